"""Computes for a while with files of several kinds open, and tells at the end whether all came out right."""
import gzip, hashlib, os, sys, tempfile, threading, queue

n = int(sys.argv[1])
log = open("log", "w", buffering=1)
back = open("log")
tmp = tempfile.TemporaryFile()
packed = gzip.GzipFile("packed.gz", "wb", mtime=0)
r, w = os.pipe()
work, done = queue.Queue(4), queue.Queue()


def worker():
    while (item := work.get()) is not None:
        done.put(hashlib.sha256(b"%d" % item * 2000).hexdigest())


threads = [threading.Thread(target=worker) for _ in range(3)]
for t in threads:
    t.start()
whole, mine, random_bytes = hashlib.sha256(), 0, os.urandom(8)
for i in range(n):
    work.put(i)
    digest = done.get()
    whole.update(digest.encode())
    mine ^= int(digest, 16)
    print(i, digest, file=log)
    packed.write(digest.encode())
    tmp.write(digest[:8].encode())
    os.write(w, digest[:4].encode())
    assert os.read(r, 4) == digest[:4].encode()
    assert back.readline() == "%d %s\n" % (i, digest)
    if i % 20 == 0:
        print(i, digest[:16], flush=True)
for t in threads:
    work.put(None)
for t in threads:
    t.join()
packed.close()
tmp.seek(0)
assert len(tmp.read()) == 8 * n
print(whole.hexdigest(), hex(mine))
