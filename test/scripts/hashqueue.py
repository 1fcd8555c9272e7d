# Threads hash blocks from one queue and hand the digests back through another.
import hashlib
import queue
import random
import sys
import threading

blocks, size = int(sys.argv[1]), int(sys.argv[2])
todo, done = queue.Queue(maxsize=8), queue.Queue()


def work():
    while (item := todo.get()) is not None:
        number, data = item
        done.put((number, hashlib.sha256(data).hexdigest()))


threads = [threading.Thread(target=work) for _ in range(4)]
for t in threads:
    t.start()
source = random.Random(7)
for number in range(blocks):
    todo.put((number, source.randbytes(size)))
for t in threads:
    todo.put(None)
for t in threads:
    t.join()
digests = sorted(done.get() for _ in range(blocks))
print(hashlib.sha256(repr(digests).encode()).hexdigest())
