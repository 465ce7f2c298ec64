#!/usr/bin/env python3
"""Measures a CityJSON file or sequence without the code under test.

Everything is counted in the integers of the file (whole multiples of the
transform's scale), so that sums are exact: six times a volume is a sum of
determinants of integers. Only the last step turns them into metres. A shell
counts as closed when each directed edge between two points occurs as often as
its reverse. Surfaces without a solid are taken as one shell.

    measure.py FILE
"""
import collections
import json
import sys


def load(path):
    with open(path) as f:
        first = json.loads(f.readline() if path.endswith("l") else f.read())
        yield first, first["transform"], first["vertices"]
        for line in f:
            feature = json.loads(line)
            yield feature, first["transform"], feature["vertices"]


def det(a, b, c):
    return (a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0]) + a[2] * (b[0] * c[1] - b[1] * c[0]))


def shell(surfaces, vertices):
    six, edges = 0, collections.Counter()
    for surface in surfaces:
        for ring in surface:
            p = [tuple(vertices[i]) for i in ring]
            six += sum(det(p[0], p[i], p[i + 1]) for i in range(1, len(p) - 1))
            for a, b in zip(p, p[1:] + p[:1]):
                if a != b:
                    edges[a, b] += 1
    return six, bool(surfaces) and all(edges[b, a] == n for (a, b), n in edges.items())


types, geometries, semantics = collections.Counter(), collections.Counter(), collections.Counter()
closed, volume6, points, heights = collections.Counter(), collections.Counter(), 0, 0
lo, hi = [10**12] * 3, [-10**12] * 3
measured, tallest = 0.0, (0, "")
for doc, transform, vertices in load(sys.argv[1]):
    scale, translate = transform["scale"], transform["translate"]
    for ident, o in doc["CityObjects"].items():
        types[o["type"]] += 1
        measured += o.get("attributes", {}).get("measuredHeight", 0)
        zs = []
        for g in o.get("geometry", []):
            geometries[g["type"], str(g["lod"])] += 1
            shells = g["boundaries"] if g["type"] == "Solid" else [g["boundaries"]]
            values = g.get("semantics", {}).get("values", [])
            for v in values:
                semantics[g["semantics"]["surfaces"][v]["type"]] += 1
            ok, six = True, 0
            for s in shells:
                part, part_ok = shell(s, vertices)
                six, ok = six + part, ok and part_ok
                for surface in s:
                    for ring in surface:
                        points += len(ring)
                        for i in ring:
                            lo = [min(a, b) for a, b in zip(lo, vertices[i])]
                            hi = [max(a, b) for a, b in zip(hi, vertices[i])]
                            zs.append(vertices[i][2])
            if ok:
                closed[g["type"]] += 1
                volume6[g["type"]] += six
        if zs:
            heights += max(zs) - min(zs)
            tallest = max(tallest, (max(zs) - min(zs), ident))
unit = scale[0] * scale[1] * scale[2]
print("types      ", dict(types))
print("geometries ", dict(geometries), "points", points)
print("surfaces of each kind", dict(semantics))
print("extent     ", [a * s + t for a, s, t in zip(lo, scale, translate)], [a * s + t for a, s, t in zip(hi, scale, translate)])
print("sum of heights %.3f m, of measuredHeight %.2f m, tallest %.3f m %s" % (heights * scale[2], measured, tallest[0] * scale[2], tallest[1]))
for t in closed:
    print("closed %-12s %d of volume %.6f m3 in all" % (t, closed[t], volume6[t] / 6 * unit))
