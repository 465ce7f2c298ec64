#!/usr/bin/env python3
"""Measures a GeoJSON FeatureCollection of Polygons without the code under test.

Coordinates are read as decimals and counted in whole 1e-7 degrees, so that the
sum of the areas (shoelace formula, square degrees) is exact.

    measure.py FILE
"""
import decimal
import json
import sys

with open(sys.argv[1], encoding="utf-8") as f:
    features = json.load(f, parse_float=decimal.Decimal)["features"]
named = points = 0
heights, other, twice = decimal.Decimal(0), 0, 0
xs, ys = [], []
tallest = (0, "")
for feature in features:
    p = feature["properties"]
    named += bool(p.get("name"))
    heights += p["height"]
    other += p["height"] != 10
    tallest = max(tallest, (p["height"], p.get("name", "")))
    for ring in feature["geometry"]["coordinates"]:
        q = [(int(x * 10**7), int(y * 10**7)) for x, y in ring]
        assert q[0] == q[-1]
        points += len(q) - 1
        twice += abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(q, q[1:])))
        xs += [x for x, _ in q]
        ys += [y for _, y in q]
print(len(features), "features", named, "named", points, "points", other, "not 10 m, sum of heights", heights, "tallest", tallest)
print("extent", min(xs), min(ys), max(xs), max(ys), "e-7 degrees; area", twice, "/ 2e14 square degrees")
