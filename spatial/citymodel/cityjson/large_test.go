package cityjson

import (
	"bytes"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"cityhub/spatial/citymodel"
)

// virtual is a file that is computed: parts, each a text that comes n times.
type virtual []struct {
	text string
	n    int64
}

func (v virtual) size() (size int64) {
	for _, p := range v {
		size += p.n * int64(len(p.text))
	}
	return size
}

func (v virtual) ReadAt(b []byte, off int64) (n int, err error) {
	for _, p := range v {
		whole := p.n * int64(len(p.text))
		for off < whole && n < len(b) {
			m := copy(b[n:], p.text[off%int64(len(p.text)):])
			if left := whole - off; int64(m) > left {
				m = int(left)
			}
			n += m
			off += int64(m)
		}
		if off -= whole; n == len(b) {
			return n, nil
		}
		off = max(off, 0)
	}
	return n, io.EOF
}

// large is a CityJSON file of objects buildings with vertices behind them.
func large(objects, vertices int64) virtual {
	pad := strings.Repeat("苏州市姑苏区平江路", 20)
	return virtual{
		{"{" + header + `,"CityObjects":{"first":{"type":"Building"}` + "\n", 1},
		{`,"b":{"type":"Building","attributes":{"address":"` + pad + `","n":1},"geometry":[{"type":"Solid","lod":"2","boundaries":[[` + cube + `]],"semantics":{"surfaces":[{"type":"GroundSurface"},{"type":"RoofSurface"},{"type":"WallSurface"}],"values":[[0,1,2,2,2,2]]}}]}` + "\n", objects},
		{`},"vertices":[` + cubeVertices, 1},
		{",\n[123456,234567,3456]", vertices},
		{"]}", 1},
	}
}

// A file is read in the memory of its vertices and of one object, whatever its
// size. CITYHUB_TEST_LARGE_MB sets another size than 16 MB, e.g. 2048.
func TestMemoryDoesNotGrowWithTheFile(t *testing.T) {
	mb := int64(16)
	if s := os.Getenv("CITYHUB_TEST_LARGE_MB"); s != "" {
		var err error
		if mb, err = strconv.ParseInt(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	one := int64(len(large(1, 0)[1].text))
	objects, verts := mb<<20/one*9/10, mb<<20/200
	v := large(objects, verts)
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	r, err := Open(v, v.size(), citymodel.Options{})
	if err != nil {
		t.Fatal(err)
	}
	n, peak := int64(0), uint64(0)
	for o, err := range r.Objects() {
		if err != nil {
			t.Fatal(err)
		}
		if n%5000 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&now)
			peak = max(peak, now.HeapAlloc-min(now.HeapAlloc, before.HeapAlloc))
		}
		if n++; n > 1 && (len(o.Geometries) != 1 || o.Source.Line != int(n)) {
			t.Fatalf("object %d on line %d: %d geometries", n, o.Source.Line, len(o.Geometries))
		}
	}
	if n != objects+1 {
		t.Errorf("%d objects, want %d", n, objects+1)
	}
	// 12 bytes a vertex, a chunk that is not full, the window, one object.
	if limit := uint64(12*verts + 12*chunk + 2<<20); peak > limit {
		t.Errorf("a file of %d MB took %d bytes, more than %d", v.size()>>20, peak, limit)
	}
	t.Logf("%d MB, %d objects, %d vertices: %.1f MB in memory", v.size()>>20, n, verts, float64(peak)/(1<<20))
}

func BenchmarkOpenAndRead(b *testing.B) {
	v := large(2000, 16000)
	b.SetBytes(v.size())
	b.ReportAllocs()
	for b.Loop() {
		r, err := Open(v, v.size(), citymodel.Options{})
		if err != nil {
			b.Fatal(err)
		}
		for _, err := range r.Objects() {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(2000*b.N)/b.Elapsed().Seconds(), "objects/s")
}

func TestVirtualFile(t *testing.T) {
	v := virtual{{"ab", 2}, {"c", 0}, {"def", 3}}
	all := make([]byte, 20)
	n, err := v.ReadAt(all, 0)
	if got := string(all[:n]); got != "ababdefdefdef" || err != io.EOF {
		t.Fatal(got, err)
	}
	for from := range 13 {
		for to := from; to <= 13; to++ {
			part := make([]byte, to-from)
			if n, err := v.ReadAt(part, int64(from)); n != len(part) || len(part) > 0 && err != nil || !bytes.Equal(part, all[from:to]) {
				t.Errorf("%d to %d: %q, %v", from, to, part[:n], err)
			}
		}
	}
}
