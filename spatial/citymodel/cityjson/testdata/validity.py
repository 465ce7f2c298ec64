#!/usr/bin/env python3
"""Counts geometry that breaks ISO 19107, without the code under test.

Rings are looked at in the integers of the file along the axis in which they
are largest, so that crossings are decided exactly. A surface is not planar when
a point lies more than 10 mm from the plane of its exterior ring (the scale of
the sample files is 1 mm).

    validity.py FILE
"""
import collections
import json
import math
import sys


def load(path):
    with open(path) as f:
        first = json.loads(f.readline() if path.endswith("l") else f.read())
        yield first, first["vertices"]
        for line in f:
            feature = json.loads(line)
            yield feature, feature["vertices"]


def newell(p):
    n = [0, 0, 0]
    for a, b in zip(p, p[1:] + p[:1]):
        n[0] += (a[1] - b[1]) * (a[2] + b[2])
        n[1] += (a[2] - b[2]) * (a[0] + b[0])
        n[2] += (a[0] - b[0]) * (a[1] + b[1])
    return n


def side(a, b, p):
    return (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0])


def between(a, b, p):
    return all(min(a[i], b[i]) <= p[i] <= max(a[i], b[i]) for i in (0, 1))


def meet(a, b, c, d):
    s, t, u, v = side(a, b, c), side(a, b, d), side(c, d, a), side(c, d, b)
    if s * t < 0 and u * v < 0:
        return True
    return s == 0 and between(a, b, c) or t == 0 and between(a, b, d) or u == 0 and between(c, d, a) or v == 0 and between(c, d, b)


found = collections.Counter()
for doc, vertices in load(sys.argv[1]):
    for o in doc["CityObjects"].values():
        for g in o.get("geometry", []):
            for shell in g["boundaries"] if g["type"] == "Solid" else [g["boundaries"]]:
                edges = collections.Counter()
                for surface in shell:
                    plane = None
                    for ring in surface:
                        p = [tuple(vertices[i]) for i in ring]
                        edges.update((min(a, b), max(a, b)) for a, b in zip(p, p[1:] + p[:1]) if a != b)
                        q = [a for a, b in zip(p, p[1:] + p[:1]) if a != b]
                        found["repeated points"] += len(p) - len(q)
                        if len(q) < 3:
                            found["rings of fewer than 3 points"] += 1
                            continue
                        n = newell(q)
                        k = max(range(3), key=lambda i: abs(n[i]))
                        f = [tuple(x for i, x in enumerate(a) if i != k) for a in q]
                        m = len(f)
                        found["rings that cross themselves"] += any(
                            meet(f[i], f[(i + 1) % m], f[j], f[(j + 1) % m])
                            for i in range(m) for j in range(i + 2, m) if not (i == 0 and j == m - 1))
                        if ring is surface[0] and any(n):
                            plane = n, [sum(a[i] for a in p) / len(p) for i in range(3)]
                    if plane:
                        n, mean = plane
                        size = math.sqrt(sum(x * x for x in n))
                        worst = max(abs(sum(n[i] * (vertices[j][i] - mean[i]) for i in range(3))) for r in surface for j in r) / size
                        found["surfaces that are not planar"] += worst > 10
                if g["type"] == "Solid":
                    found["solids with edges of 3 or more surfaces"] += any(c > 2 for c in edges.values())
                    found["solids with edges of 1 surface"] += any(c == 1 for c in edges.values())
for what, n in found.items():
    print("%6d %s" % (n, what))
