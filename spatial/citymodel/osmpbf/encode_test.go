package osmpbf

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// What follows writes PBF files for tests.

type testNode struct {
	id       int64
	lon, lat float64
	tags     []string // key, value, …
}

type testWay struct {
	id   int64
	refs []int64
	tags []string
}

type testRelation struct {
	id      int64
	members []member
	tags    []string
}

type testFile struct {
	nodes     []testNode
	ways      []testWay
	relations []testRelation

	plainNodes  bool   // not dense
	pack        string // "", "raw", "zstd"
	granularity int64
	perBlob     int
	features    []string
}

type buffer struct{ b []byte }

func (w *buffer) varint(field int, v uint64) {
	w.b = binary.AppendUvarint(w.b, uint64(field)<<3)
	w.b = binary.AppendUvarint(w.b, v)
}

func (w *buffer) bytes(field int, b []byte) {
	w.b = binary.AppendUvarint(w.b, uint64(field)<<3|2)
	w.b = binary.AppendUvarint(w.b, uint64(len(b)))
	w.b = append(w.b, b...)
}

func zig(v int64) uint64 { return uint64(v<<1) ^ uint64(v>>63) }

func packed(values []int64, delta, signed bool) (b []byte) {
	var last int64
	for _, v := range values {
		d := v
		if delta {
			d, last = v-last, v
		}
		if signed {
			b = binary.AppendUvarint(b, zig(d))
		} else {
			b = binary.AppendUvarint(b, uint64(d))
		}
	}
	return b
}

func blobOf(typ string, raw []byte, pack string) []byte {
	var data buffer
	switch pack {
	case "raw":
		data.bytes(1, raw)
	case "zstd":
		e, err := zstd.NewWriter(nil)
		if err != nil {
			panic(err)
		}
		data.varint(2, uint64(len(raw)))
		data.bytes(7, e.EncodeAll(raw, nil))
	default:
		var z bytes.Buffer
		w := zlib.NewWriter(&z)
		if _, err := w.Write(raw); err != nil {
			panic(err)
		}
		if err := w.Close(); err != nil {
			panic(err)
		}
		data.varint(2, uint64(len(raw)))
		data.bytes(3, z.Bytes())
	}
	var head buffer
	head.bytes(1, []byte(typ))
	head.varint(3, uint64(len(data.b)))
	return slices.Concat(binary.BigEndian.AppendUint32(nil, uint32(len(head.b))), head.b, data.b)
}

// table is a string table.
type table struct {
	list  []string
	index map[string]int64
}

func (t *table) of(s string) int64 {
	if i, ok := t.index[s]; ok {
		return i
	}
	t.list = append(t.list, s)
	t.index[s] = int64(len(t.list) - 1)
	return t.index[s]
}

func (t *table) tags(w *buffer, tags []string) {
	var keys, vals []int64
	for i := 0; i < len(tags); i += 2 {
		keys, vals = append(keys, t.of(tags[i])), append(vals, t.of(tags[i+1]))
	}
	if len(keys) > 0 {
		w.bytes(2, packed(keys, false, false))
		w.bytes(3, packed(vals, false, false))
	}
}

func (f *testFile) block(group func(*table) []byte) []byte {
	t := &table{list: []string{""}, index: map[string]int64{"": 0}}
	g := group(t)
	var strings, w buffer
	for _, s := range t.list {
		strings.bytes(1, []byte(s))
	}
	w.bytes(1, strings.b)
	w.bytes(2, g)
	if f.granularity != 0 {
		w.varint(17, uint64(f.granularity))
	}
	return blobOf("OSMData", w.b, f.pack)
}

func (f *testFile) unit(degrees float64) int64 {
	g := f.granularity
	if g == 0 {
		g = 100
	}
	v := degrees * 1e9 / float64(g)
	if v < 0 {
		return int64(v - 0.5)
	}
	return int64(v + 0.5)
}

// encode writes the file.
func (f *testFile) encode() []byte {
	var header buffer
	for _, feature := range append([]string{"OsmSchema-V0.6", "DenseNodes"}, f.features...) {
		header.bytes(4, []byte(feature))
	}
	out := blobOf("OSMHeader", header.b, f.pack)
	per := f.perBlob
	if per == 0 {
		per = 8000
	}
	for nodes := range slices.Chunk(f.nodes, per) {
		out = append(out, f.block(func(t *table) []byte {
			var g buffer
			if f.plainNodes {
				for _, n := range nodes {
					var w buffer
					w.varint(1, zig(n.id))
					t.tags(&w, n.tags)
					w.varint(8, zig(f.unit(n.lat)))
					w.varint(9, zig(f.unit(n.lon)))
					g.bytes(1, w.b)
				}
				return g.b
			}
			var ids, lats, lons, kv []int64
			for _, n := range nodes {
				ids, lats, lons = append(ids, n.id), append(lats, f.unit(n.lat)), append(lons, f.unit(n.lon))
				for _, s := range n.tags {
					kv = append(kv, t.of(s))
				}
				kv = append(kv, 0)
			}
			var w buffer
			w.bytes(1, packed(ids, true, true))
			w.bytes(8, packed(lats, true, true))
			w.bytes(9, packed(lons, true, true))
			w.bytes(10, packed(kv, false, false))
			g.bytes(2, w.b)
			return g.b
		})...)
	}
	for ways := range slices.Chunk(f.ways, per) {
		out = append(out, f.block(func(t *table) []byte {
			var g buffer
			for _, v := range ways {
				var w buffer
				w.varint(1, uint64(v.id))
				t.tags(&w, v.tags)
				w.bytes(8, packed(v.refs, true, true))
				g.bytes(3, w.b)
			}
			return g.b
		})...)
	}
	for relations := range slices.Chunk(f.relations, per) {
		out = append(out, f.block(func(t *table) []byte {
			var g buffer
			for _, v := range relations {
				var w buffer
				var roles, ids, types []int64
				for _, m := range v.members {
					roles, ids, types = append(roles, t.of(m.role)), append(ids, m.id), append(types, int64(m.kind))
				}
				w.varint(1, uint64(v.id))
				t.tags(&w, v.tags)
				w.bytes(8, packed(roles, false, false))
				w.bytes(9, packed(ids, true, true))
				w.bytes(10, packed(types, false, false))
				g.bytes(4, w.b)
			}
			return g.b
		})...)
	}
	return out
}
