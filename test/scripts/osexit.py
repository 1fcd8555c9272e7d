# A thread ends the process while the others sleep and compute.
import os
import threading
import time


def leave():
    print("leaving", flush=True)
    os._exit(3)


def busy():
    while True:
        pass


threading.Thread(target=time.sleep, args=(100,)).start()
threading.Thread(target=busy, daemon=True).start()
threading.Thread(target=leave).start()
time.sleep(100)
