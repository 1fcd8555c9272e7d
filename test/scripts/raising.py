# A thread works, then the program ends with a traceback.
import threading

t = threading.Thread(target=lambda: sum(range(1000)))
t.start()
t.join()


def inner(value):
    return {}[value]


print("before", flush=True)
inner("missing")
