package tiles3d

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"cityhub/spatial"
)

// TestGolden compares what is written for a town of three houses with files in
// testdata: the JSON of tileset.json, of a subtree and of a GLB.
func TestGolden(t *testing.T) {
	s := openStore(t)
	a, b := box("a", 120.6, 31.3, 1e-4, 10), box("b", 120.6002, 31.3, 1e-4, 30)
	a.Name, a.Attributes = "拙政园", spatial.Attributes{{Name: "层数", Value: spatial.IntValue(2)}, {Name: "material", Value: spatial.TextValue("wood")}, {Name: "area", Value: spatial.FloatValue(105.5)}}
	c := box("c", 120.6004, 31.3, 1e-4, 0)
	c.Height = spatial.Height{}
	put(t, s, "houses", true, these(a, b, c))
	files, _ := buildAll(t, newTilesets(t, Options{TileObjects: 2}), viewOf(t, s, "all", 1), "buildings")
	for name, file := range files {
		head := file
		switch {
		case strings.HasSuffix(name, ".subtree"):
			head = file[24 : 24+binary.LittleEndian.Uint64(file[8:])]
		case strings.HasSuffix(name, ".glb"):
			head = file[20 : 20+binary.LittleEndian.Uint32(file[12:])]
			if len(files) > 3 && !strings.Contains(name, "/0/0/0.") {
				continue
			}
		}
		var v any
		if err := json.Unmarshal(head, &v); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := json.MarshalIndent(rounded(v), "", " ")
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, '\n')
		path := filepath.Join("testdata", strings.ReplaceAll(name, "/", "_")+".golden")
		if *update {
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatalf("%v; go test -run Golden -update writes it", err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s differs from %s:\n%s", name, path, got)
		}
	}
}

// rounded is v with numbers of six digits, as processors differ in the last.
func rounded(v any) any {
	switch v := v.(type) {
	case float64:
		if v == math.Trunc(v) {
			return v
		}
		f, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 6, 64), 64)
		return f
	case []any:
		for i := range v {
			v[i] = rounded(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = rounded(v[k])
		}
	}
	return v
}
