package memory

import (
	"encoding/binary"
	"math"
	"slices"
	"time"
	"unsafe"

	"cityhub/spatial"
	"cityhub/spatial/store"
)

// A record is, with numbers as unsigned varints unless another size is given:
//
//	length of what follows, 4 bytes
//	class, type, data set                 numbers of shared texts
//	id, name                              length and bytes
//	level 1 byte
//	height: what it is from (a shared text); where that is not empty metres and
//	        base, 8 bytes each
//	source EPSG, vertical EPSG, datum (shared), file (shared), line, offset
//	valid from, nanoseconds, 8 bytes
//	lowest and highest point, 8 bytes each
//	number of parents, of children, and their ids
//	number of attributes; for each its name (shared), kind 1 byte and value
//	kind of the footprint 1 byte, 0 for none; numbers of rings and surfaces, their
//	        ends, number of points, x and y of each, 8 bytes each
//
// It never leaves the process, so that it has no version.

func recordLength(record []byte) int { return int(binary.LittleEndian.Uint32(record)) + 4 }

func (ch *Change) encode(b []byte, v *store.Version) []byte {
	o := &v.Object
	b = append(b, 0, 0, 0, 0)
	b = ch.shared(b, string(o.Class))
	b = ch.shared(b, o.Type)
	b = ch.shared(b, v.Dataset)
	b = text(b, o.ID)
	b = text(b, o.Name)
	b = append(b, byte(o.Level))
	b = ch.shared(b, o.Height.From)
	if o.Height.From != "" {
		b = number(b, o.Height.Metres)
		b = number(b, o.Height.BaseMetres)
	}
	b = binary.AppendUvarint(b, uint64(v.SourceCRS))
	b = binary.AppendUvarint(b, uint64(o.CRS.Vertical))
	b = ch.shared(b, o.CRS.VerticalDatum)
	b = ch.shared(b, o.Source.File)
	b = binary.AppendUvarint(b, uint64(o.Source.Line))
	b = binary.AppendUvarint(b, uint64(o.Source.Offset))
	b = binary.LittleEndian.AppendUint64(b, uint64(v.ValidFrom.UnixNano()))
	b = number(b, v.LowMetres)
	b = number(b, v.HighMetres)
	for _, ids := range [2][]string{o.Parents, o.Children} {
		b = binary.AppendUvarint(b, uint64(len(ids)))
		for _, id := range ids {
			b = text(b, id)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(o.Attributes)))
	for _, a := range o.Attributes {
		b = ch.shared(b, a.Name)
		b = append(b, byte(a.Value.Kind()))
		switch a.Value.Kind() {
		case spatial.Bool:
			if yes, _ := a.Value.Bool(); yes {
				b = append(b, 1)
			} else {
				b = append(b, 0)
			}
		case spatial.Int:
			n, _ := a.Value.Int()
			b = binary.AppendVarint(b, n)
		case spatial.Float:
			f, _ := a.Value.Number()
			b = number(b, f)
		case spatial.Text, spatial.JSON:
			b = text(b, a.Value.String())
		}
	}
	g := v.Footprint
	if g == nil {
		b = append(b, 0)
	} else {
		b = append(b, byte(g.Kind))
		b = binary.AppendUvarint(b, uint64(len(g.Rings)))
		b = binary.AppendUvarint(b, uint64(len(g.Surfaces)))
		for _, ends := range [2][]int32{g.Rings, g.Surfaces} {
			for _, end := range ends {
				b = binary.AppendUvarint(b, uint64(end))
			}
		}
		b = binary.AppendUvarint(b, uint64(len(g.XYZ)/3))
		for i := 0; i+2 < len(g.XYZ); i += 3 {
			b = number(b, g.XYZ[i])
			b = number(b, g.XYZ[i+1])
		}
	}
	binary.LittleEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

// shared appends the number of a text that many objects have.
func (ch *Change) shared(b []byte, s string) []byte {
	t := ch.t
	n, ok := t.number[s]
	if !ok {
		n = uint32(len(t.texts))
		t.texts = append(t.texts, s)
		t.number[s] = n
	}
	return binary.AppendUvarint(b, uint64(n))
}

func text(b []byte, s string) []byte { return append(binary.AppendUvarint(b, uint64(len(s))), s...) }

func number(b []byte, f float64) []byte {
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(f))
}

// cursor reads a record. Records were made by encode: they are not checked.
type cursor struct {
	b     []byte
	texts []string
}

func (c *cursor) uvarint() uint64 {
	if c.b[0] < 0x80 {
		n := uint64(c.b[0])
		c.b = c.b[1:]
		return n
	}
	n, size := binary.Uvarint(c.b)
	c.b = c.b[size:]
	return n
}

func (c *cursor) varint() int64 {
	n, size := binary.Varint(c.b)
	c.b = c.b[size:]
	return n
}

func (c *cursor) byte() byte { v := c.b[0]; c.b = c.b[1:]; return v }

func (c *cursor) uint64() uint64 {
	v := binary.LittleEndian.Uint64(c.b)
	c.b = c.b[8:]
	return v
}

func (c *cursor) number() float64 { return math.Float64frombits(c.uint64()) }

func (c *cursor) shared() string { return c.texts[c.uvarint()] }

// text is a text in the memory of its record, which is never written again.
func (c *cursor) text() string {
	n := c.uvarint()
	if n == 0 {
		return ""
	}
	s := unsafe.String(&c.b[0], int(n))
	c.b = c.b[n:]
	return s
}

func (c *cursor) ids(dst []string) []string {
	n := int(c.uvarint())
	for range n {
		dst = append(dst, c.text())
	}
	return dst
}

// reader reads the records of one question.
type reader struct {
	t        *table
	q        *store.Query
	datasets map[uint32]bool // by number of text: whether q wants it
	position int64
	v        store.Version    // scratch
	g        spatial.Geometry // its footprint
}

// selects reports whether class, type and data set are those of the question.
func (r *reader) selects(record []byte) bool {
	c := cursor{record[4:], r.t.texts}
	class, typ, dataset := c.shared(), c.shared(), uint32(c.uvarint())
	if spatial.Class(class) != r.q.Class || r.q.Type != "" && typ != r.q.Type {
		return false
	}
	if r.q.Dataset == "" && r.q.Datasets == nil {
		return true
	}
	wanted, known := r.datasets[dataset]
	if !known {
		name := r.t.texts[dataset]
		wanted = (r.q.Dataset == "" || name == r.q.Dataset) && (r.q.Datasets == nil || slices.Contains(r.q.Datasets, name))
		r.datasets[dataset] = wanted
	}
	return wanted
}

// scratch is an object for a look: the next call overwrites it.
func (r *reader) scratch(record []byte, position int64) *store.Version {
	r.v.Object.Parents, r.v.Object.Children, r.v.Object.Attributes = r.v.Object.Parents[:0], r.v.Object.Children[:0], r.v.Object.Attributes[:0]
	decode(record, r.t.texts, &r.v, &r.g)
	r.v.Position = position
	return &r.v
}

// version is an object to keep.
func (r *reader) version(record []byte) *store.Version {
	both := &struct {
		v store.Version
		g spatial.Geometry
	}{}
	decode(record, r.t.texts, &both.v, &both.g)
	both.v.Position = r.position
	return &both.v
}

// decode reads a record into v and g, whose slices it reuses.
func decode(record []byte, texts []string, v *store.Version, g *spatial.Geometry) {
	c := cursor{record[4:], texts}
	o := &v.Object
	o.Class, o.Type, v.Dataset = spatial.Class(c.shared()), c.shared(), c.shared()
	o.ID, o.Name, o.Level = c.text(), c.text(), spatial.CIMLevel(c.byte())
	o.Height = spatial.Height{From: c.shared()}
	if o.Height.From != "" {
		o.Height.Metres, o.Height.BaseMetres = c.number(), c.number()
	}
	v.SourceCRS = int(c.uvarint())
	o.CRS = spatial.CRS{Horizontal: spatial.CRS84, Vertical: int(c.uvarint()), VerticalDatum: c.shared()}
	o.Source = spatial.Source{File: c.shared(), Line: int(c.uvarint()), Offset: int64(c.uvarint())}
	v.ValidFrom = time.Unix(0, int64(c.uint64())).UTC()
	v.LowMetres, v.HighMetres = c.number(), c.number()
	o.Parents, o.Children = c.ids(o.Parents), c.ids(o.Children)
	n := int(c.uvarint())
	if n > 0 && cap(o.Attributes) < n {
		o.Attributes = make(spatial.Attributes, 0, n)
	}
	for range n {
		a := spatial.Attribute{Name: c.shared()}
		switch spatial.ValueKind(c.byte()) {
		case spatial.Bool:
			a.Value = spatial.BoolValue(c.byte() != 0)
		case spatial.Int:
			a.Value = spatial.IntValue(c.varint())
		case spatial.Float:
			a.Value = spatial.FloatValue(c.number())
		case spatial.Text:
			a.Value = spatial.TextValue(c.text())
		case spatial.JSON:
			a.Value = spatial.JSONValue(c.text())
		}
		o.Attributes = append(o.Attributes, a)
	}
	kind := c.byte()
	if kind == 0 {
		v.Footprint = nil
		return
	}
	rings, surfaces := int(c.uvarint()), int(c.uvarint())
	*g = spatial.Geometry{Kind: spatial.Kind(kind), Rings: slices.Grow(g.Rings[:0], rings), Surfaces: slices.Grow(g.Surfaces[:0], surfaces), XYZ: g.XYZ[:0]}
	for range rings {
		g.Rings = append(g.Rings, int32(c.uvarint()))
	}
	for range surfaces {
		g.Surfaces = append(g.Surfaces, int32(c.uvarint()))
	}
	points := int(c.uvarint())
	g.XYZ = slices.Grow(g.XYZ, 3*points)
	for range points {
		g.XYZ = append(g.XYZ, c.number(), c.number(), 0)
	}
	v.Footprint = g
}
