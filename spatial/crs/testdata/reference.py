"""Writes reference.csv: positions in every known CRS, converted by PROJ.

Run with pyproj 3.7.2 (PROJ 9.5.1, EPSG v11.022), without grid files:

    python3 reference.py > reference.csv
    python3 reference.py registry > registry.csv

A row of reference.csv is: code, first and second coordinate in the order of the CRS's
definition, longitude and latitude (degrees) in its frame (WGS 84, ETRS89,
CGCS2000 or JGD2011). The rows go from the CRS to the frame, where PROJ computes
a datum shift at height 0 as this package does; coordinates are rounded to a
millimetre (or 1e-9 degrees) first, so that they are exact as written.

registry.csv has what EPSG says of every code: name, directions of the axes,
area of use.
"""
import sys
from pyproj import CRS
from pyproj.transformer import Transformer, TransformerGroup

UTM = [32601, 32618, 32630, 32631, 32632, 32650, 32651, 32660, 32701, 32721, 32756, 32760]
CODES = ([4326, 4490, 4258, 6668, 4289, 4312, 3857, 28992]
         + list(range(4491, 4555)) + list(range(6669, 6688)) + list(range(25828, 25838))
         + list(range(31254, 31260)) + [31284, 31285, 31286] + UTM)
# The shift this package uses, where PROJ knows several: code of the datum's geographic CRS -> name.
SHIFT = {4289: "Amersfoort to ETRS89 (8)", 4312: "MGI to ETRS89 (1)"}


def frame_of(base):
    return {4289: 4258, 4312: 4258}.get(base, base)


def to_frame(crs, base):
    if base not in SHIFT:
        return Transformer.from_crs(crs, frame_of(base), always_xy=True)
    for t in TransformerGroup(crs, CRS.from_epsg(frame_of(base)), always_xy=True).transformers:
        if SHIFT[base] in t.description:
            return t
    sys.exit(f"no {SHIFT[base]} for {crs}")


if sys.argv[1:] == ["registry"]:
    print("code,name,axes,west,south,east,north")
    for code in sorted(set(CODES + [4979, 4937, 4480, 6667, 6697, 7415, 9518, 9707, 5554, 5555, 5556] + list(range(10162, 10175)) + list(range(32601, 32661)) + list(range(32701, 32761)))):
        crs = CRS.from_epsg(code)
        axes = " ".join(f"{a.abbrev}:{a.direction}:{a.unit_name}" for a in crs.axis_info)
        print(f"{code},{crs.name},{axes}," + ",".join(str(v) for v in crs.area_of_use.bounds))
    sys.exit()

FAR = [(-27, 10), (33, 2), (60, 70), (-80, 89), (3, 0), (3, 90), (25, -60)]  # lon, lat, in zone 31

print("code,first,second,lon,lat")
for code in CODES:
    crs = CRS.from_epsg(code)
    base = crs.geodetic_crs.to_epsg()
    west, south, east, north = crs.area_of_use.bounds
    if code in (4326, 3857):
        west, south, east, north = -179, -85, 179, 85
    here = Transformer.from_crs(base, code, always_xy=True)
    there = to_frame(crs, base)
    yx = crs.axis_info[0].direction == "north"
    digits = 3 if crs.is_projected else 9
    points = [(west + fx * (east - west), south + fy * (north - south))
              for fx, fy in ((0.02, 0.03), (0.5, 0.5), (0.97, 0.1), (0.2, 0.96), (0.8, 0.7))]
    for point in points + (FAR if code == 32631 else []):
        x, y = here.transform(*point)
        x, y = round(x, digits), round(y, digits)
        lon, lat = there.transform(x, y)
        a, b = (y, x) if yx else (x, y)
        print(f"{code},{a:.{digits}f},{b:.{digits}f},{lon:.13f},{lat:.13f}")
