import hashlib, multiprocessing as mp, sys
def f(i):
    h = str(i).encode()
    for _ in range(30000): h = hashlib.sha256(h).digest()
    return h.hex()
if __name__ == "__main__":
    mp.set_start_method("fork")
    with mp.Pool(4) as p:
        r = p.map(f, range(int(sys.argv[1])))
    print(hashlib.sha256("".join(r).encode()).hexdigest())
    q = mp.Queue(); l = mp.Lock(); v = mp.Value('i', 0)
    def g(n):
        for i in range(300):
            with l: v.value += 1
        q.put(n)
    ps = [mp.Process(target=g, args=(i,)) for i in range(3)]
    [x.start() for x in ps]; print(sorted(q.get() for _ in ps)); [x.join() for x in ps]
    print(v.value, [x.exitcode for x in ps])
