#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Renders a picture by children at every node, as PPM on standard output.

    popcorn run --nodes 3 -- python3 examples/pathtracer.py 3 > picture.ppm
    python3 examples/pathtracer.py 3 > picture.ppm    # the same, by three children here
"""
import ctypes
import math
import os
import random
import sys

WIDTH, HEIGHT, SAMPLES = 32, 24, 1
SPHERES = [((0, -1000, 0), 999, 0, .7), ((0, 30, 5), 18, 3, 1)]
SPHERES += [((x, -.4, abs(x) + 1), .6, 0, .3 + x / 10) for x in (-3, -1.5, 0, 1.5, 3)]


def unit(a):
    length = math.sqrt(sum(v * v for v in a))
    return [v / length for v in a]


def hit(start, way):
    near, found = 1e9, None
    for s in SPHERES:
        o = [p - c for p, c in zip(start, s[0])]
        b = sum(p * d for p, d in zip(o, way))
        d = b * b - sum(v * v for v in o) + s[1] * s[1]
        if d >= 0 and 1e-6 < -b - math.sqrt(d) < near:
            near, found = -b - math.sqrt(d), s
    return near, found


def radiance(start, way, chance, bounces=4):
    near, s = hit(start, way)
    if s is None or bounces == 0:
        return .4
    start = [p + near * (1 - 1e-9) * d for p, d in zip(start, way)]
    normal = unit([p - c for p, c in zip(start, s[0])])
    way = unit([n + .99 * r for n, r in zip(normal, unit([chance.uniform(-1, 1) for _ in way]))])
    return s[2] + s[3] * radiance(start, way, chance, bounces - 1)


def row(y):
    out = []
    for x in range(WIDTH):
        chance = random.Random(y * WIDTH + x)  # who renders it makes no difference
        ways = [unit([(x + chance.random()) / HEIGHT - .67, .5 - (y + chance.random()) / HEIGHT, 1]) for _ in range(SAMPLES)]
        light = sum(radiance([0, .5, -5], w, chance) for w in ways) / SAMPLES
        out += [int(255 * math.sqrt(min(light, 1)))] * 3
    return bytes(out)


def telefork(node, libc=ctypes.CDLL(None)):
    libc.syscall(904, node, 1)  # the next child goes there; without popcorn, this says no
    return os.fork()


parts = int(sys.argv[1]) if len(sys.argv) > 1 else 1
pipes = []
for part in range(parts):
    r, w = os.pipe()
    if telefork(part) == 0:
        with os.fdopen(w, "wb") as out:
            for y in range(part, HEIGHT, parts):
                out.write(row(y))
        os._exit(0)
    os.close(w)
    pipes.append(os.fdopen(r, "rb"))
sys.stdout.buffer.write(b"P6\n%d %d\n255\n" % (WIDTH, HEIGHT))
for y in range(HEIGHT):
    sys.stdout.buffer.write(pipes[y % parts].read(WIDTH * 3))
sys.exit(any(os.wait()[1] for _ in range(parts)))
