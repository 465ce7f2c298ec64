#!/usr/bin/env python3
"""Extent in WGS 84 of a CityJSON file or sequence, computed without cityhub: the
vertices that geometries use, through PROJ's cs2cs.

    extent.py FILE EPSG:28992 EPSG:4326
"""
import json
import subprocess
import sys


def indices(a, out):
    for x in a:
        if isinstance(x, list):
            indices(x, out)
        else:
            out.add(x)


def points(obj, transform):
    used = set()
    for o in obj["CityObjects"].values():
        for g in o.get("geometry", []):
            indices(g["boundaries"], used)
    s, t = transform["scale"], transform["translate"]
    for i in used:
        v = obj["vertices"][i]
        yield [v[k] * s[k] + t[k] for k in range(3)]


path, source, target = sys.argv[1:4]
pts = []
with open(path, encoding="utf-8") as f:
    if path.endswith(".jsonl"):
        head = json.loads(f.readline())
        for line in f:
            pts += points(json.loads(line), head["transform"])
    else:
        doc = json.load(f)
        pts += points(doc, doc["transform"])
# -E would echo; PROJ reads the axes in the order of the definition.
order = (1, 0) if source in ("EPSG:31256",) else (0, 1)
text = "\n".join(f"{p[order[0]]:.6f} {p[order[1]]:.6f}" for p in pts)
out = subprocess.run(["cs2cs", "-f", "%.9f", source, target], input=text, capture_output=True, text=True, check=True).stdout
lat, lon = zip(*[map(float, line.split()[:2]) for line in out.splitlines()])
print("points", len(pts), "west", min(lon), "south", min(lat), "east", max(lon), "north", max(lat),
      "z", min(p[2] for p in pts), max(p[2] for p in pts))
