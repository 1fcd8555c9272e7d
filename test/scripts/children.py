# Children, pipes, sockets, selectors and signals of the standard library.
import selectors
import signal
import socket
import subprocess
import threading

out = subprocess.run(["tr", "a-z", "A-Z"], input=b"piped", capture_output=True, check=True).stdout
print(out.decode())
a, b = socket.socketpair()
sel = selectors.DefaultSelector()
sel.register(a, selectors.EVENT_READ)
threading.Timer(0.02, b.sendall, [b"late"]).start()
print(sel.select(10)[0][0].fileobj.recv(10).decode())
got = []
signal.signal(signal.SIGALRM, lambda n, f: got.append(n))
signal.setitimer(signal.ITIMER_REAL, 0.02)
while not got:
    signal.pause()
print(got == [signal.SIGALRM], subprocess.call(["false"]))
