package tiles3d

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"

	"cityhub/spatial/city"
)

// subtreeLevels is the number of levels of a subtree: 341 tiles at most, some
// kilobytes.
const subtreeLevels = 5

// The parts of a tileset and of a subtree that are written (22-025r4).
type (
	tileset struct {
		Asset          map[string]string `json:"asset"`
		Schema         any               `json:"schema"`
		GeometricError float64           `json:"geometricError"`
		Root           tileJSON          `json:"root"`
	}
	tileJSON struct {
		BoundingVolume region        `json:"boundingVolume"`
		GeometricError float64       `json:"geometricError"`
		Refine         string        `json:"refine"`
		Content        *contentJSON  `json:"content,omitempty"`
		Implicit       *implicitJSON `json:"implicitTiling,omitempty"`
		Children       []tileJSON    `json:"children,omitempty"`
	}
	region struct {
		Region [6]float64 `json:"region"` // west, south, east, north in radians, low, high in metres
	}
	contentJSON struct {
		URI string `json:"uri"`
	}
	implicitJSON struct {
		Scheme          string      `json:"subdivisionScheme"`
		SubtreeLevels   int         `json:"subtreeLevels"`
		AvailableLevels int         `json:"availableLevels"`
		Subtrees        contentJSON `json:"subtrees"`
	}
	subtree struct {
		Buffers        []subtreeBuffer     `json:"buffers,omitempty"`
		BufferViews    []subtreeBufferView `json:"bufferViews,omitempty"`
		PropertyTables []any               `json:"propertyTables,omitempty"`
		Tiles          availability        `json:"tileAvailability"`
		Contents       []availability      `json:"contentAvailability"`
		Children       availability        `json:"childSubtreeAvailability"`
		TileMetadata   int                 `json:"tileMetadata"`
	}
	subtreeBuffer struct {
		ByteLength int `json:"byteLength"`
	}
	subtreeBufferView struct {
		Buffer     int `json:"buffer"`
		ByteOffset int `json:"byteOffset"`
		ByteLength int `json:"byteLength"`
	}
	availability struct {
		Bitstream *int `json:"bitstream,omitempty"`
		Constant  *int `json:"constant,omitempty"`
		Count     int  `json:"availableCount,omitempty"`
	}
)

// tileSchema is the metadata of tiles: what implicit tiling would derive.
func tileSchema() any {
	return map[string]any{"id": "cityhubTile", "classes": map[string]any{"tile": map[string]any{"properties": map[string]property{
		"boundingRegion": {Type: "SCALAR", ComponentType: "FLOAT64", Array: true, Count: 6, Semantic: "TILE_BOUNDING_REGION"},
		"geometricError": {Type: "SCALAR", ComponentType: "FLOAT64", Semantic: "TILE_GEOMETRIC_ERROR"},
	}}}}
}

// tilesetJSON is the tileset.json of a layout. Its root has no content; its
// children are the implicit roots.
func (l *layout) tilesetJSON() ([]byte, error) {
	t := tileset{Asset: map[string]string{"version": "1.1", "generator": "cityhub"}, Schema: tileSchema()}
	t.Root.Refine = "REPLACE"
	all := emptyRegion()
	for _, at := range l.roots {
		x := &l.tiles[at]
		w, s, e, n := x.cell.degrees()
		rad := func(deg float64) float64 { return deg * math.Pi / 180 }
		r := [6]float64{rad(w), rad(s), rad(e), rad(n), x.region[4], x.region[5]}
		all = union(all, union(r, x.region))
		// A child's error is not above its parent's; at the root nothing is drawn, so
		// that the error is all there is.
		t.Root.GeometricError = max(t.Root.GeometricError, x.cell.metres(), x.err)
		prefix := x.cell.String()
		t.Root.Children = append(t.Root.Children, tileJSON{
			BoundingVolume: region{r}, GeometricError: x.err, Refine: "REPLACE",
			Content: &contentJSON{prefix + "/content/{level}/{x}/{y}.glb"},
			Implicit: &implicitJSON{
				Scheme: "QUADTREE", SubtreeLevels: subtreeLevels, AvailableLevels: l.depth + 1,
				Subtrees: contentJSON{prefix + "/subtrees/{level}/{x}/{y}.subtree"},
			},
		})
	}
	if len(l.roots) == 0 {
		all = [6]float64{} // a tileset without tiles: its root has no content
	}
	t.Root.BoundingVolume.Region = all
	t.GeometricError = t.Root.GeometricError
	return json.Marshal(t)
}

// subtree is the binary subtree whose root is c, which is a multiple of
// subtreeLevels below its implicit root.
func (l *layout) subtree(c cell) ([]byte, error) {
	if b, ok := l.subtrees.Load(c); ok {
		return b.([]byte), nil
	}
	if _, ok := l.at[c]; !ok {
		return nil, notFound("there is no tile %v", c)
	}
	const tiles = (1<<(2*subtreeLevels) - 1) / 3
	bits := make([]byte, (tiles+7)/8)
	children := make([]byte, 1<<(2*subtreeLevels)/8)
	var regions, errors []byte
	count, childCount := 0, 0
	// Level by level, and in Morton order within: one list after the other.
	list, first := []cell{c}, 0
	for level := range subtreeLevels + 1 {
		var next []cell
		for _, x := range list {
			at := l.at[x]
			k := (cell{level, x.x - c.x<<level, x.y - c.y<<level}).morton()
			if level == subtreeLevels {
				children[k/8] |= 1 << (k % 8)
				childCount++
				continue
			}
			bit := uint64(first) + k
			bits[bit/8] |= 1 << (bit % 8)
			count++
			y := &l.tiles[at]
			for _, v := range y.region {
				regions = binary.LittleEndian.AppendUint64(regions, math.Float64bits(v))
			}
			errors = binary.LittleEndian.AppendUint64(errors, math.Float64bits(y.err))
			for q, child := range y.children {
				if child >= 0 {
					next = append(next, x.child(q))
				}
			}
		}
		first += 1 << (2 * level)
		list = next
	}
	s := subtree{}
	var bin []byte
	view := func(b []byte) *int {
		for len(bin)%8 != 0 {
			bin = append(bin, 0)
		}
		s.BufferViews = append(s.BufferViews, subtreeBufferView{ByteOffset: len(bin), ByteLength: len(b)})
		bin = append(bin, b...)
		n := len(s.BufferViews) - 1
		return &n
	}
	tileBits := view(bits)
	s.Tiles = availability{Bitstream: tileBits, Count: count}
	s.Contents = []availability{{Bitstream: tileBits, Count: count}}
	if childCount == 0 {
		s.Children = availability{Constant: new(int)}
	} else {
		s.Children = availability{Bitstream: view(children), Count: childCount}
	}
	s.PropertyTables = []any{map[string]any{"class": "tile", "count": count, "properties": map[string]any{
		"boundingRegion": map[string]any{"values": *view(regions)},
		"geometricError": map[string]any{"values": *view(errors)},
	}}}
	for len(bin)%8 != 0 {
		bin = append(bin, 0)
	}
	s.Buffers = []subtreeBuffer{{len(bin)}}
	head, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("tiles3d: subtree: %w", err)
	}
	for len(head)%8 != 0 {
		head = append(head, ' ')
	}
	b := append(make([]byte, 0, 24+len(head)+len(bin)), "subt"...)
	b = binary.LittleEndian.AppendUint32(b, 1)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(head)))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(bin)))
	b = append(append(b, head...), bin...)
	l.subtrees.Store(c, b)
	return b, nil
}

func notFound(format string, args ...any) error {
	return &city.Error{Code: city.NotFound, Message: fmt.Sprintf(format, args...), Hint: "take addresses from /3dtiles and tileset.json"}
}
