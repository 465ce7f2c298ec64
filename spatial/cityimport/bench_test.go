package cityimport

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"cityhub/spatial"
	"cityhub/spatial/store"
)

// generate writes n footprints of four corners as a GeoJSON text sequence.
func generate(tb testing.TB, n int) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "x.geojsonl")
	f, err := os.Create(path)
	if err != nil {
		tb.Fatal(err)
	}
	w := bufio.NewWriter(f)
	for i := range n {
		x, y := 120+float64(i%1000)*0.001, 31+float64(i/1000)*0.001
		fmt.Fprintf(w, `{"type":"Feature","id":%d,"properties":{"name":"b%d","height":%d},"geometry":{"type":"Polygon","coordinates":[[[%.7f,%.7f],[%.7f,%.7f],[%.7f,%.7f],[%.7f,%.7f],[%.7f,%.7f]]]}}`+"\n",
			i, i, i%30+3, x, y, x+0.0005, y, x+0.0005, y+0.0005, x, y+0.0005, x, y)
	}
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		tb.Fatal(err)
	}
	return path
}

// BenchmarkImport gives objects a second of everything but the store, and with it.
func BenchmarkImport(b *testing.B) {
	const n = 50_000
	path := generate(b, n)
	for name, s := range map[string]func() Importer{
		"read, check, place": func() Importer {
			return importerFunc(func(_ context.Context, _ store.ImportOptions, objects seq) (store.ImportResult, error) {
				for _, err := range objects {
					if err != nil {
						return store.ImportResult{}, err
					}
				}
				return store.ImportResult{}, nil
			})
		},
		"and store": func() Importer { return openStore(b) },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				r, err := Run(b.Context(), Options{Store: s(), Dataset: "x", Class: spatial.ClassBuilding, Sources: []Source{{Path: path}}})
				if err != nil || r.Objects != n || r.Flagged+r.Mended > 0 {
					b.Fatalf("%+v, %v", r, err)
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "objects/s")
		})
	}
}
