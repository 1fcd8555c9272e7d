# An event loop that threads wake through a socket pair, as asyncio does it, and two ends that talk through another.
import asyncio
import hashlib
import socket
import sys

ROUNDS = int(sys.argv[1])


def digest(n):
    h = hashlib.sha256()
    for i in range(2000):
        h.update(b"%d/%d" % (n, i))
    return h.hexdigest()


async def echo(sock):
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(sock, 65536):
        await loop.sock_sendall(sock, data[::-1])


async def main():
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    talker = asyncio.create_task(echo(theirs))
    for n in range(ROUNDS):
        parts = await asyncio.gather(*(loop.run_in_executor(None, digest, n * 4 + i) for i in range(4)))
        await loop.sock_sendall(ours, parts[n % 4].encode())
        got = b""
        while len(got) < 64:
            got += await loop.sock_recv(ours, 64 - len(got))
        print(n, got.decode(), flush=True)
    ours.close()
    await talker


asyncio.run(main())
