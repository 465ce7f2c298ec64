"""Validates what the EDR handler answered with the models of covjson-pydantic and
edr-pydantic, which share no code with it, and prints a summary as JSON.

usage: validate.py FOLDER   with *.covjson and collections.json in it
"""
import json
import pathlib
import sys

from covjson_pydantic.coverage import CoverageCollection
from edr_pydantic.collections import Collection, Collections

out = {}
folder = pathlib.Path(sys.argv[1])
for path in sorted(folder.glob("*.covjson")):
    c = CoverageCollection.model_validate_json(path.read_text())
    values, nulls = 0, 0
    for cov in c.coverages:
        n = len(cov.domain.axes.t.values)
        for name, r in cov.ranges.items():
            assert name in c.parameters.root, (path, name, "is no parameter")
            assert r.shape == [n] == [len(r.values)], (path, name, r.shape, n)
        values += n
        nulls += sum(v is None for name, r in cov.ranges.items() if name != "quality" for v in r.values)
    out[path.stem] = {"coverages": len(c.coverages), "values": values, "nulls": nulls}
Collections.model_validate_json((folder / "collections.json").read_text())
Collection.model_validate_json((folder / "collection.json").read_text())
print(json.dumps(out))
