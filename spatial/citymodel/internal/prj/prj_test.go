package prj

import (
	"encoding/json"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"cityhub/internal/testkit"
	"cityhub/spatial/crs"
)

// gdalScript prints how GDAL writes CRSs, by code and form.
const gdalScript = `
import json, sys
from osgeo import osr
forms = {"wkt_esri": "WKT1_ESRI", "wkt1": "WKT1_GDAL", "wkt2": "WKT2_2018"}
out = {}
for code in sys.argv[1:]:
    s = osr.SpatialReference()
    if s.ImportFromEPSG(int(code)) != 0:
        sys.exit("GDAL does not know EPSG:" + code)
    out[code] = {form: s.ExportToWkt(["FORMAT=" + name, "MULTILINE=NO"]) for form, name in forms.items()}
json.dump(out, sys.stdout)
`

// TestGDAL lets GDAL write every horizontal CRS that package crs knows, in the
// forms of Esri and of OGC, with the codes and without.
func TestGDAL(t *testing.T) {
	const python = "/usr/bin/python3" // Debian's own, which has GDAL's modules
	if exec.Command(python, "-c", "from osgeo import osr").Run() != nil {
		testkit.Missing(t, "GDAL's Python modules are not installed (apt install python3-gdal)")
	}
	args := []string{"-c", gdalScript}
	for _, code := range crs.Codes() {
		c, err := crs.ByCode(code)
		if err != nil {
			t.Fatal(err)
		}
		if c.Dimensions() != 3 {
			args = append(args, strconv.Itoa(code))
		}
	}
	var stderr strings.Builder
	cmd := exec.Command(python, args...)
	cmd.Stderr = &stderr
	b, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	var written map[int]map[string]string
	if err := json.Unmarshal(b, &written); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	if len(written) != len(args)-2 || len(written) < 100 {
		t.Fatalf("GDAL wrote %d of %d", len(written), len(args)-2)
	}
	for code, forms := range written {
		for form, text := range forms {
			if got, _, err := Code(text); got != code {
				t.Errorf("%s of EPSG:%d gives %d, %v\n%s", form, code, got, err, text)
			}
			if form == "wkt2" {
				continue
			}
			bare := strings.ReplaceAll(text, `"EPSG"`, `"none"`)
			if got, _, err := Code(bare); got != code {
				t.Errorf("%s of EPSG:%d without codes gives %d, %v\n%s", form, code, got, err, text)
			}
		}
	}
}

func TestCompoundAndUnknown(t *testing.T) {
	h, v, err := Code(`COMPD_CS["x",GEOGCS["WGS 84",AUTHORITY["EPSG","4326"]],VERT_CS["EGM96 height",AUTHORITY["EPSG","5773"]]]`)
	if h != 4326 || v != 5773 || err != nil {
		t.Error(h, v, err)
	}
	for text, want := range map[string]string{
		``:              "expected a word",
		`LOCAL_CS["a"]`: "is no coordinate reference system",
		`PROJCS["a`:     `expected "`,
		`GEOGCS["GCS_Tokyo",DATUM["D_Tokyo",SPHEROID["Bessel",6377397.155,299.15]]]`: `the CRS "GCS_Tokyo" is none that is known here`,
		// WGS 84's name on another ellipsoid is not WGS 84.
		`GEOGCS["GCS_WGS_1984",DATUM["D_WGS_1984",SPHEROID["x",6377397.155,299.15]]]`: "is none that is known here",
		strings.Repeat("A[", 100): "brackets inside each other",
		`COMPD_CS["a",B["b"]]`:    "without two parts",
	} {
		if h, _, err := Code(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %d, %v; want %s", text, h, err, want)
		}
	}
}

func FuzzCode(f *testing.F) {
	f.Add(`PROJCS["a",GEOGCS["b",DATUM["D_WGS_1984",SPHEROID["c",6378137,298]],UNIT["d",0.0174]],PROJECTION["Transverse_Mercator"],PARAMETER["x",1e3],AXIS["X",EAST]]`)
	f.Add(`COMPD_CS["x",GEOGCS["WGS 84",AUTHORITY["EPSG","4326"]],VERT_CS["EGM96 ""height",AUTHORITY["EPSG","5773"]]]`)
	f.Fuzz(func(t *testing.T, text string) {
		if h, _, err := Code(text); (h == 0) != (err != nil) {
			t.Errorf("%d, %v", h, err)
		}
	})
}
