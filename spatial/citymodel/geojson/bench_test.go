package geojson

import (
	"fmt"
	"strings"
	"testing"
)

func BenchmarkRead(b *testing.B) {
	var text strings.Builder
	text.WriteString(`{"type":"FeatureCollection","features":[`)
	const n = 5000
	for i := range n {
		if i > 0 {
			text.WriteString(",\n")
		}
		x, y := 120.6+float64(i%100)*1e-4, 31.3+float64(i/100)*1e-4
		fmt.Fprintf(&text, `{"type":"Feature","id":%d,"properties":{"height":10,"name":"楼"},"geometry":{"type":"Polygon","coordinates":[[[%.7f,%.7f],[%.7f,%.7f],[%.7f,%.7f],[%.7f,%.7f],[%.7f,%.7f]]]}}`,
			i, x, y, x+5e-5, y, x+5e-5, y+5e-5, x, y+5e-5, x, y)
	}
	text.WriteString("]}")
	s := text.String()
	b.SetBytes(int64(len(s)))
	b.ReportAllocs()
	for b.Loop() {
		if r := read(s, buildings); r.err != nil || len(r.objects) != n || len(r.problems) > 0 {
			b.Fatal(r.err, len(r.objects), r.problems)
		}
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "features/s")
}
