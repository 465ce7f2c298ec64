package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"cityhub/spatial"
)

// Steps of stored coordinates; spatial/store/gpkg/FORMAT.md.
const (
	codecVersion  = 1
	stepsPerDeg   = 1e9 // of longitude and latitude: 0.11 mm at the equator
	stepsPerMetre = 1e4 // of height
	maxHeight     = 1e8 // metres
)

const (
	flagHasZ = 1 << iota
	flagSemantics
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// AppendGeometries writes geometries in degrees and metres as spatial/store/gpkg/FORMAT.md says.
// They are Valid.
func AppendGeometries(b []byte, geometries []spatial.Geometry) ([]byte, error) {
	start := len(b)
	b = append(b, codecVersion)
	b = binary.AppendUvarint(b, uint64(len(geometries)))
	var err error
	for i := range geometries {
		if b, err = appendOne(b, &geometries[i]); err != nil {
			return nil, fmt.Errorf("geometry[%d]: %w", i, err)
		}
	}
	return append(b[:start], appendChecksum(b[start:])...), nil
}

func appendChecksum(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func appendOne(b []byte, g *spatial.Geometry) ([]byte, error) {
	flags := byte(0)
	if g.HasZ {
		flags |= flagHasZ
	}
	if len(g.Semantics) > 0 || len(g.SemanticOf) > 0 {
		flags |= flagSemantics
	}
	b = append(b, byte(g.Kind), flags)
	b = appendText(b, g.LoD)
	b = binary.AppendUvarint(b, uint64(g.NumPoints()))
	var last [3]int64
	for p := 0; p+2 < len(g.XYZ); p += 3 {
		z := g.XYZ[p+2]
		if math.Abs(z) > maxHeight {
			return nil, fmt.Errorf("a height of %g m; expected at most %g", z, float64(maxHeight))
		}
		at := [3]int64{int64(math.Round(g.XYZ[p] * stepsPerDeg)), int64(math.Round(g.XYZ[p+1] * stepsPerDeg)), int64(math.Round(z * stepsPerMetre))}
		b = binary.AppendVarint(b, at[0]-last[0])
		b = binary.AppendVarint(b, at[1]-last[1])
		if g.HasZ {
			b = binary.AppendVarint(b, at[2]-last[2])
		}
		last = at
	}
	for i, level := range [...][]int32{g.Rings, g.Surfaces, g.Shells, g.Solids} {
		if i >= levels(g.Kind) {
			break
		}
		b = binary.AppendUvarint(b, uint64(len(level)))
		before := int32(0)
		for _, end := range level {
			b = binary.AppendUvarint(b, uint64(end-before))
			before = end
		}
	}
	if flags&flagSemantics == 0 {
		return b, nil
	}
	b = binary.AppendUvarint(b, uint64(len(g.Semantics)))
	for i := range g.Semantics {
		s := &g.Semantics[i]
		b = appendText(append(b, byte(s.Kind)), s.Type)
		b = binary.AppendVarint(b, int64(s.Parent))
		text, err := AppendAttributes(nil, s.Attributes)
		if err != nil {
			return nil, fmt.Errorf("semantics[%d]: %w", i, err)
		}
		b = appendText(b, string(text))
	}
	b = binary.AppendUvarint(b, uint64(len(g.SemanticOf)))
	for _, j := range g.SemanticOf {
		b = binary.AppendUvarint(b, uint64(j+1))
	}
	return b, nil
}

// levels is how many of Rings, Surfaces, Shells and Solids a kind has.
func levels(k spatial.Kind) int {
	switch {
	case k.IsSolid():
		return 4
	case k.IsSurface():
		return 2
	case k == spatial.MultiLine:
		return 1
	}
	return 0
}

func appendFloat(b []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// DecodeGeometries reads what AppendGeometries wrote. It takes no more memory
// than some 24 bytes for each byte of b.
func DecodeGeometries(b []byte) ([]spatial.Geometry, error) {
	if len(b) < 6 {
		return nil, fmt.Errorf("%d bytes are no geometries", len(b))
	}
	if b[0] != codecVersion {
		return nil, fmt.Errorf("geometries of format %d, this cityhub reads %d", b[0], codecVersion)
	}
	body := b[:len(b)-4]
	if got, want := crc32.Checksum(body, castagnoli), binary.LittleEndian.Uint32(b[len(body):]); got != want {
		return nil, fmt.Errorf("checksum %08x, expected %08x", got, want)
	}
	d := blobReader{b: body[1:]}
	n := d.count(4)
	var geometries []spatial.Geometry
	for i := range n {
		var g spatial.Geometry
		d.geometry(&g)
		if d.err == nil {
			d.err = g.Valid()
		}
		if d.err != nil {
			return nil, fmt.Errorf("geometry[%d]: %w", i, d.err)
		}
		geometries = append(geometries, g)
	}
	if d.err == nil && len(d.b) > 0 {
		d.err = fmt.Errorf("%d bytes too many", len(d.b))
	}
	return geometries, d.err
}

// blobReader reads the parts of a blob. After the first fault it reads nothing more.
type blobReader struct {
	b   []byte
	err error
}

var errShort = errors.New("ends too early")

func (d *blobReader) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.b = nil
}

func (d *blobReader) byte() byte {
	if len(d.b) == 0 {
		d.fail(errShort)
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *blobReader) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail(errShort)
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *blobReader) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail(errShort)
		return 0
	}
	d.b = d.b[n:]
	return v
}

// count reads how many members of at least size bytes follow.
func (d *blobReader) count(size int) int {
	n := d.uvarint()
	if n > uint64(len(d.b)/size) {
		d.fail(fmt.Errorf("%d members in %d bytes", n, len(d.b)))
		return 0
	}
	return int(n)
}

func (d *blobReader) text() string {
	n := d.count(1)
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

func (d *blobReader) geometry(g *spatial.Geometry) {
	g.Kind = spatial.Kind(d.byte())
	flags := d.byte()
	g.HasZ = flags&flagHasZ != 0
	g.LoD = d.text()
	dims := 2
	if g.HasZ {
		dims = 3
	}
	if n := d.count(dims); n > 0 {
		g.XYZ = make([]float64, 3*n)
	}
	var at [3]int64
	for p := 0; p < len(g.XYZ); p += 3 {
		for i := range dims {
			at[i] += d.varint()
		}
		g.XYZ[p] = float64(at[0]) / stepsPerDeg
		g.XYZ[p+1] = float64(at[1]) / stepsPerDeg
		g.XYZ[p+2] = float64(at[2]) / stepsPerMetre
	}
	for i, level := range [...]*[]int32{&g.Rings, &g.Surfaces, &g.Shells, &g.Solids} {
		if i >= levels(g.Kind) {
			break
		}
		*level = d.ends()
	}
	if flags&flagSemantics == 0 {
		return
	}
	for range d.count(4) {
		s := spatial.Semantic{Kind: spatial.SurfaceKind(d.byte()), Type: d.text(), Parent: int32(d.varint())}
		text := d.text()
		if d.err != nil {
			return
		}
		var err error
		if s.Attributes, err = DecodeAttributes(text); err != nil {
			d.fail(err)
			return
		}
		g.Semantics = append(g.Semantics, s)
	}
	for range d.count(1) {
		j := d.uvarint()
		if j > math.MaxInt32 {
			d.fail(fmt.Errorf("semantic %d", j))
			return
		}
		g.SemanticOf = append(g.SemanticOf, int32(j)-1)
	}
}

func (d *blobReader) ends() []int32 {
	n := d.count(1)
	if n == 0 {
		return nil
	}
	ends := make([]int32, n)
	sum := uint64(0)
	for i := range ends {
		v := d.uvarint()
		if sum += v; v > math.MaxInt32 || sum > math.MaxInt32 {
			d.fail(fmt.Errorf("member %d ends at %d", i, sum))
			return nil
		}
		ends[i] = int32(sum)
	}
	return ends
}
