# multiprocessing.pool.ThreadPool over a function that computes and compresses.
import sys
import zlib
from multiprocessing.pool import ThreadPool


def work(n):
    text = b"".join(b"%d," % (i * i % (n + 7)) for i in range(3000))
    return n, zlib.crc32(zlib.compress(text, 6))


with ThreadPool(4) as pool:
    for n, crc in pool.imap(work, range(int(sys.argv[1]))):
        print(n, f"{crc:08x}")
