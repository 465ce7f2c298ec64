#!/usr/bin/env python3
"""Measures the buildings of a CityGML 2.0 document whose CRS is EPSG:6697
(latitude, longitude, height), without the code under test.

Coordinates are read as decimals and kept as fractions, so that sums are exact.
A volume is a sixth of the sum of the determinants of the triangles of a fan
over each ring of a solid, with x = longitude and y = latitude: in square
degrees times metres, positive where the surfaces face outwards.

    measure.py FILE
"""
import collections
import fractions
import sys
import xml.etree.ElementTree as ET

GML = "{http://www.opengis.net/gml}"
BLDG = "{http://www.opengis.net/citygml/building/2.0}"


def ring(text):
    v = [fractions.Fraction(w) for w in text.split()]
    points = [(v[i + 1], v[i], v[i + 2]) for i in range(0, len(v), 3)]
    assert points[0] == points[-1]
    return points[:-1]


def det(a, b, c):
    return (a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0]) + a[2] * (b[0] * c[1] - b[1] * c[0]))


def volume(rings):
    o = rings[0][0]
    total = 0
    for r in rings:
        p = [tuple(a - b for a, b in zip(q, o)) for q in r]
        for i in range(1, len(p) - 1):
            total += det(p[0], p[i], p[i + 1])
    return total / 6


root = ET.parse(sys.argv[1]).getroot()
count = collections.Counter()
points = []
heights = measured = total = 0
tallest = (0, "")
for b in root.iter(BLDG + "Building"):
    count["Building"] += 1
    own = []
    for r in b.iter(GML + "posList"):
        own += ring(r.text)
    points += own
    h = max(p[2] for p in own) - min(p[2] for p in own)
    heights += h
    tallest = max(tallest, (h, b.get(GML + "id")))
    for m in b.iter(BLDG + "measuredHeight"):
        count["measuredHeight"] += 1
        measured += fractions.Fraction(m.text)
    for s in b.iter(GML + "Solid"):
        rings = [ring(r.text) for r in s.iter(GML + "posList")]
        edges = collections.Counter()
        for r in rings:
            for p, q in zip(r, r[1:] + r[:1]):
                edges[p, q] += 1
        count["solids"] += 1
        count["closed"] += all(edges[q, p] == n for (p, q), n in edges.items())
        count["surfaces of solids"] += len(rings)
        total += volume(rings)
print(dict(count), "points", len(points))
print("extent", [float(min(p[k] for p in points)) for k in range(3)], [float(max(p[k] for p in points)) for k in range(3)])
print("heights", float(heights), "tallest", float(tallest[0]), tallest[1], "measured", float(measured))
print("volume", float(total), "square degrees * m")
print("depth", float(sum(fractions.Fraction(e.text) for e in root.iter() if e.tag.endswith("}depth"))))
