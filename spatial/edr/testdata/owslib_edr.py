"""Asks an EDR server with OWSLib and prints what it found as JSON.

usage: owslib_edr.py URL
"""
import json
import sys

from owslib.ogcapi.edr import EnvironmentalDataRetrieval

edr = EnvironmentalDataRetrieval(sys.argv[1])
data = edr.query_data("pm25", "radius", coords="POINT(120.6 31.3)", within="400", datetime_="2026-05-01T12:00:00Z/2026-05-01T14:00:00Z")
answer = json.loads(data.read() if hasattr(data, "read") else data) if not isinstance(data, dict) else data
print(json.dumps({
    "Collections": edr.data(),
    "Terminals": [c["cityhub:terminal"] for c in answer["coverages"]],
    "Classes": len(edr.conformance()["conformsTo"]),
}))
