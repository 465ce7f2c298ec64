package tiles3d

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"sort"
	"strconv"
	"testing"
)

// A model is a GLB as an independent reader sees it: every vertex and triangle
// in geocentric coordinates, and the property table's strings.
type model struct {
	vertices  []vec // EPSG:4978
	feature   []int
	triangles [][3]int
	material  []string // of each triangle
	count     int
	strings   map[string][]string
	floats    map[string][]float32
	json      map[string]any
}

func num(v any) int { return int(v.(float64)) }

// readGLB reads by the glTF specification, with matrices and not with frames.
func readGLB(t testing.TB, b []byte) *model {
	t.Helper()
	if string(b[:4]) != "glTF" || binary.LittleEndian.Uint32(b[4:]) != 2 || int(binary.LittleEndian.Uint32(b[8:])) != len(b) || len(b)%4 != 0 {
		t.Fatalf("no GLB: % x", b[:12])
	}
	n := int(binary.LittleEndian.Uint32(b[12:]))
	m := &model{strings: map[string][]string{}, floats: map[string][]float32{}}
	if err := json.Unmarshal(b[20:20+n], &m.json); err != nil {
		t.Fatal(err)
	}
	var bin []byte
	if len(b) > 20+n {
		bin = b[28+n:]
	}
	view := func(i int) []byte {
		v := m.json["bufferViews"].([]any)[i].(map[string]any)
		from := num(v["byteOffset"])
		return bin[from : from+num(v["byteLength"])]
	}
	accessor := func(i int) []float64 {
		a := m.json["accessors"].([]any)[i].(map[string]any)
		data := view(num(a["bufferView"]))
		count := num(a["count"]) * map[string]int{"SCALAR": 1, "VEC3": 3}[a["type"].(string)]
		out := make([]float64, count)
		for k := range out {
			switch num(a["componentType"]) {
			case 5126:
				out[k] = float64(math.Float32frombits(binary.LittleEndian.Uint32(data[4*k:])))
			case 5125:
				out[k] = float64(binary.LittleEndian.Uint32(data[4*k:]))
			case 5123:
				out[k] = float64(binary.LittleEndian.Uint16(data[2*k:]))
			default:
				t.Fatal("component type")
			}
		}
		return out
	}
	nodes, _ := m.json["nodes"].([]any)
	for _, node := range nodes {
		node := node.(map[string]any)
		var q [4]float64
		var o vec
		for k := range q {
			q[k] = node["rotation"].([]any)[k].(float64)
		}
		for k := range o {
			o[k] = node["translation"].([]any)[k].(float64)
		}
		mesh := m.json["meshes"].([]any)[num(node["mesh"])].(map[string]any)
		for _, p := range mesh["primitives"].([]any) {
			p := p.(map[string]any)
			at := p["attributes"].(map[string]any)
			positions, features := accessor(num(at["POSITION"])), accessor(num(at["_FEATURE_ID_0"]))
			base := len(m.vertices)
			for k := range features {
				v := vec{positions[3*k], positions[3*k+1], positions[3*k+2]}
				// v + 2w (q × v) + 2 q × (q × v)
				u := vec{q[0], q[1], q[2]}
				c := u.cross(v)
				v = v.add(c.times(2 * q[3])).add(u.cross(c).times(2)).add(o)
				m.vertices = append(m.vertices, vec{v[0], -v[2], v[1]}) // y up to z up
				m.feature = append(m.feature, int(features[k]))
			}
			index := accessor(num(p["indices"]))
			name := m.json["materials"].([]any)[num(p["material"])].(map[string]any)["name"].(string)
			for k := 0; k+2 < len(index); k += 3 {
				m.triangles = append(m.triangles, [3]int{base + int(index[k]), base + int(index[k+1]), base + int(index[k+2])})
				m.material = append(m.material, name)
			}
		}
	}
	ext, _ := m.json["extensions"].(map[string]any)
	if ext == nil {
		return m
	}
	meta := ext["EXT_structural_metadata"].(map[string]any)
	class := meta["schema"].(map[string]any)["classes"].(map[string]any)["cityObject"].(map[string]any)["properties"].(map[string]any)
	table := meta["propertyTables"].([]any)[0].(map[string]any)
	m.count = num(table["count"])
	for id, p := range table["properties"].(map[string]any) {
		p := p.(map[string]any)
		values := view(num(p["values"]))
		if class[id].(map[string]any)["type"] == "STRING" {
			offsets := view(num(p["stringOffsets"]))
			for i := range m.count {
				m.strings[id] = append(m.strings[id], string(values[binary.LittleEndian.Uint32(offsets[4*i:]):binary.LittleEndian.Uint32(offsets[4*i+4:])]))
			}
		} else if class[id].(map[string]any)["componentType"] == "FLOAT32" {
			for i := range m.count {
				m.floats[id] = append(m.floats[id], math.Float32frombits(binary.LittleEndian.Uint32(values[4*i:])))
			}
		}
	}
	return m
}

// areas are the areas of the triangles of each feature, of all materials or one.
func (m *model) areas(material string) []float64 {
	a := make([]float64, m.count)
	for i, t := range m.triangles {
		if material == "" || m.material[i] == material {
			p := m.vertices[t[0]]
			a[m.feature[t[0]]] += m.vertices[t[1]].sub(p).cross(m.vertices[t[2]].sub(p)).length() / 2
		}
	}
	return a
}

// volume is the signed volume within the triangles of a feature.
func (m *model) volume(feature int) (v float64) {
	var o *vec
	for _, t := range m.triangles {
		if m.feature[t[0]] != feature {
			continue
		}
		if o == nil {
			o = &m.vertices[t[0]]
		}
		a, b, c := m.vertices[t[0]].sub(*o), m.vertices[t[1]].sub(*o), m.vertices[t[2]].sub(*o)
		v += a.dot(b.cross(c)) / 6
	}
	return v
}

var contentName = regexp.MustCompile(`^([0-9-]+)/content/(\d+)/(\d+)/(\d+)\.glb$`)

// leaves are the names of the contents that no tile below replaces.
func leaves(t testing.TB, files map[string][]byte) (names []string) {
	t.Helper()
	for name := range files {
		m := contentName.FindStringSubmatch(name)
		if m == nil {
			continue
		}
		var n [3]int
		for i := range n {
			n[i], _ = strconv.Atoi(m[i+2])
		}
		inner := false
		for k := range 4 {
			_, ok := files[fmt.Sprintf("%s/content/%d/%d/%d.glb", m[1], n[0]+1, 2*n[1]+k&1, 2*n[2]+k>>1)]
			inner = inner || ok
		}
		if !inner {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}
