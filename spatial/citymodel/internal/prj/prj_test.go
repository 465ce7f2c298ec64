package prj

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"cityhub/internal/testkit"
	"cityhub/spatial/crs"
)

// TestGDAL lets GDAL write the horizontal CRSs that package crs knows, of each
// family of zones the ends and some between, in the forms of Esri and of OGC,
// with the codes and without.
func TestGDAL(t *testing.T) {
	program := testkit.Require(t, "gdalsrsinfo")
	for _, code := range crs.Codes() {
		c, err := crs.ByCode(code)
		if err != nil {
			t.Fatal(err)
		}
		if c.Dimensions() == 3 {
			continue
		}
		_, before := crs.ByCode(code - 1)
		_, after := crs.ByCode(code + 1)
		if before == nil && after == nil && code%10 != 6 {
			continue // the inside of a family of zones; its ends are enough
		}
		for _, form := range []string{"wkt_esri", "wkt1", "wkt2"} {
			out, err := exec.Command(program, "--single-line", "-o", form, "EPSG:"+strconv.Itoa(code)).Output()
			if err != nil {
				t.Fatalf("gdalsrsinfo EPSG:%d: %v", code, err)
			}
			text := strings.TrimSpace(string(out))
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
