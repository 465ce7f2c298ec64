// Package shapefile reads Esri shapefiles (ESRI Shapefile Technical
// Description, 1998) as CityObjects, one for each record that is not deleted:
// shapes of every type with or without Z and M, the attributes in dBASE (.dbf),
// the CRS in .prj and the encoding in .cpg.
//
// A shapefile's polygon is a list of rings, exteriors clockwise. They become
// polygons with their holes, exteriors counter-clockwise as everywhere in the
// hub; the order of the points is all that is changed. Measures (M) are passed
// over. A MultiPatch becomes a MultiSurface of its rings and triangles.
//
// dBASE: numbers without decimals are whole numbers, with decimals they are
// Float; dates are texts such as 2026-01-31; blank fields are null.
//
// Memory is one record, within Limits; counts in the file are believed only as
// far as the file is long.
package shapefile

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"strings"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/internal/charset"
	"cityhub/spatial/citymodel/internal/flat"
	"cityhub/spatial/citymodel/internal/prj"
	"cityhub/spatial/crs"
)

var _ citymodel.Reader = (*Reader)(nil)

// Part is one file of a shapefile. The zero value is a file that is not there.
type Part struct {
	At   io.ReaderAt
	Size int64 // bytes
}

func (p Part) there() bool { return p.At != nil }

func (p Part) section(offset int64) io.Reader {
	return io.NewSectionReader(p.At, offset, max(p.Size-offset, 0))
}

// Files are the files of a shapefile. SHP is needed; without SHX the records
// are read one after the other, without DBF there are no attributes, without
// PRJ the CRS is not known.
type Files struct {
	SHP, SHX, DBF, PRJ, CPG Part
}

// Options say how attributes become fields of the CityObject.
type Options struct {
	citymodel.FeatureOptions
	Encoding string // of the texts, e.g. "GBK"; empty: as .cpg or .dbf says, else UTF-8, and GB 18030 what is not
}

// Reader reads one shapefile.
type Reader struct {
	m    *flat.Maker
	opt  Options
	f    Files
	crs  spatial.CRS
	info citymodel.Info
	dbf  *table
	typ  uint32
	used bool

	br   *bufio.Reader
	at   int64 // where br stands
	buf  []byte
	work int // steps left to find out which hole belongs to which ring
}

// Record types.
const (
	null       = 0
	point      = 1
	polyLine   = 3
	polygon    = 5
	multiPoint = 8
	multiPatch = 31
)

const headerBytes = 100

// Recognise reports whether head begins a .shp file.
func Recognise(head []byte) bool {
	return len(head) >= headerBytes && binary.BigEndian.Uint32(head) == 9994 && binary.LittleEndian.Uint32(head[28:]) == 1000
}

// Open reads the headers. Its errors are of type *citymodel.Error.
func Open(f Files, o Options) (*Reader, error) {
	r := &Reader{m: flat.New("Shapefile", o.FeatureOptions), opt: o, f: f}
	if !f.SHP.there() {
		return nil, r.m.Final(0, 0, flat.Faultf(citymodel.Missing, "no .shp file"))
	}
	head := make([]byte, headerBytes)
	if _, err := io.ReadFull(f.SHP.section(0), head); err != nil || !Recognise(head) {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = nil
		}
		if err == nil {
			err = flat.Faultf(citymodel.Syntax, "the .shp file does not begin as one: expected 100 bytes with file code 9994 and version 1000")
		}
		return nil, r.m.Final(0, 0, err)
	}
	if r.typ = binary.LittleEndian.Uint32(head[32:]); !known(r.typ) {
		return nil, r.m.Final(0, 32, flat.Faultf(citymodel.UnknownType, "shape type %d is none of a shapefile", r.typ))
	}
	if err := r.prj(); err != nil {
		return nil, r.m.Final(0, 0, err)
	}
	if f.DBF.there() {
		if err := r.openTable(); err != nil {
			return nil, r.m.Final(0, 0, err)
		}
	} else {
		r.warn(citymodel.Missing, "dbf", "no .dbf file lies beside the .shp file: the objects have no attributes")
	}
	r.info = citymodel.Info{Format: "Shapefile", CRS: r.crs, Extent: extent(head)}
	return r, nil
}

func extent(head []byte) *spatial.Box {
	var v [6]float64
	for i, at := range []int{36, 44, 68, 52, 60, 76} {
		if v[i] = math.Float64frombits(binary.LittleEndian.Uint64(head[at:])); math.IsNaN(v[i]) || math.IsInf(v[i], 0) {
			return nil
		}
	}
	return &spatial.Box{Min: [3]float64(v[:3]), Max: [3]float64(v[3:])}
}

// known reports whether typ is a type of the specification.
func known(typ uint32) bool {
	switch typ {
	case null, multiPatch, point, polyLine, polygon, multiPoint:
		return true
	}
	b := base(typ)
	return typ > 10 && typ < 30 && (b == point || b == polyLine || b == polygon || b == multiPoint)
}

// base is the type without Z and M.
func base(typ uint32) uint32 {
	if typ == multiPatch {
		return typ
	}
	return typ % 10
}

func (r *Reader) warn(code citymodel.Code, field, message string) {
	r.m.Report.Report(citymodel.Problem{Severity: citymodel.SeverityWarning, Code: code, Field: field, Message: message})
}

// prj finds the CRS.
func (r *Reader) prj() error {
	if r.crs = r.opt.CRS; r.crs.Known() {
		return nil
	}
	report := func(message string) {
		r.m.Report.Report(citymodel.Problem{Severity: citymodel.SeverityError, Code: citymodel.UnknownCRS, Field: "prj", Message: message + "; name the CRS with --crs, e.g. --crs EPSG:4549"})
	}
	if !r.f.PRJ.there() {
		report("no .prj file lies beside the .shp file")
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(r.f.PRJ.section(0), 1<<20))
	if err != nil {
		return err
	}
	h, v, err := prj.Code(string(text))
	if err != nil {
		report(err.Error())
		return nil
	}
	r.crs = crs.EPSG(h)
	if v != 0 {
		r.crs.Vertical, r.crs.VerticalDatum = v, crs.VerticalEPSG(v).Short()
	}
	return nil
}

// openTable opens the attributes.
func (r *Reader) openTable() (err error) {
	if r.dbf, err = newTable(r.f.DBF, r.m.Limits); err != nil {
		return err
	}
	name, from := r.opt.Encoding, "the options"
	if name == "" && r.f.CPG.there() {
		text, err := io.ReadAll(io.LimitReader(r.f.CPG.section(0), 256))
		if err != nil {
			return err
		}
		name, from = strings.TrimSpace(strings.TrimPrefix(string(text), "\ufeff")), ".cpg"
		if ldid, ok := strings.CutPrefix(name, "LDID/"); ok {
			name = languageDriver(ldid)
		}
	}
	if name == "" {
		name, from = languageDriver(fmt.Sprint(r.dbf.language)), ".dbf"
	}
	ok := false
	if r.dbf.text, ok = charset.New(name); !ok {
		if r.opt.Encoding != "" {
			return flat.Faultf(citymodel.UnknownType, "no encoding is called %.40q; expected e.g. UTF-8 or GBK", name)
		}
		r.warn(citymodel.UnknownType, "cpg", fmt.Sprintf("%s names the encoding %.40q, which is not known; texts are read as UTF-8, or GB 18030 where they are not", from, name))
	}
	r.dbf.nameFields()
	if r.dbf.memo {
		r.warn(citymodel.UnknownType, "dbf", "memo fields are in another file (.dbt, .fpt) and left out")
	}
	return nil
}

// Info is what the files say of themselves.
func (r *Reader) Info() citymodel.Info { return r.info }

// Tally counts what has been read.
func (r *Reader) Tally() citymodel.Tally { return r.m.Tally }

// Objects reads the records. It can be called once.
func (r *Reader) Objects() iter.Seq2[*spatial.CityObject, error] {
	return func(yield func(*spatial.CityObject, error) bool) {
		if r.used {
			yield(nil, flat.ErrUsed)
			return
		}
		r.used = true
		records := int64(math.MaxInt64) // without .shx: to the end of the file
		if r.f.SHX.there() {
			records = max(r.f.SHX.Size-headerBytes, 0) / 8
		}
		index := bufio.NewReaderSize(r.f.SHX.sectionOrEmpty(headerBytes), 8<<10)
		next := int64(headerBytes)
		for i := int64(0); i < records; i++ {
			if r.f.SHX.there() {
				var e [8]byte
				if _, err := io.ReadFull(index, e[:]); err != nil {
					yield(nil, r.m.Final(int(i+1), 0, fmt.Errorf(".shx: %w", err)))
					return
				}
				next = 2 * int64(binary.BigEndian.Uint32(e[:]))
			}
			o, end, err := r.record(i, next)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(nil, r.m.Final(int(i+1), next, err))
				return
			}
			if next = end; o != nil && !yield(o, nil) {
				return
			}
		}
	}
}

func (p Part) sectionOrEmpty(offset int64) io.Reader {
	if !p.there() {
		return strings.NewReader("")
	}
	return p.section(offset)
}

// seek lets br stand at offset.
func (r *Reader) seek(offset int64) {
	if r.br == nil {
		r.br = bufio.NewReaderSize(nil, 256<<10)
	} else if ahead := offset - r.at; ahead == 0 {
		return
	} else if ahead > 0 && ahead <= int64(r.br.Buffered()) {
		n, _ := r.br.Discard(int(ahead))
		r.at += int64(n)
		return
	}
	r.br.Reset(r.f.SHP.section(offset))
	r.at = offset
}

// record reads record i, which begins at offset; nil where it is deleted. The
// error io.EOF is the end of a file without .shx.
func (r *Reader) record(i, offset int64) (*spatial.CityObject, int64, error) {
	if offset >= r.f.SHP.Size && !r.f.SHX.there() {
		return nil, 0, io.EOF
	}
	if offset < headerBytes || offset+12 > r.f.SHP.Size {
		return nil, 0, flat.Faultf(citymodel.BadReference, "record %d begins at byte %d of a .shp file of %d bytes: the file is cut off, or .shx belongs to another one", i+1, offset, r.f.SHP.Size)
	}
	r.seek(offset)
	var head [8]byte
	n, err := io.ReadFull(r.br, head[:])
	if r.at += int64(n); err != nil {
		return nil, 0, err
	}
	length := 2 * int64(binary.BigEndian.Uint32(head[4:]))
	end := offset + 8 + length
	if end > r.f.SHP.Size || length < 4 {
		return nil, 0, flat.Faultf(citymodel.Syntax, "record %d has %d bytes from byte %d on; the .shp file ends at %d", i+1, length, offset, r.f.SHP.Size)
	}
	o := &spatial.CityObject{CRS: r.crs, Source: spatial.Source{Line: int(min(i+1, math.MaxInt)), Offset: offset}}
	if r.dbf != nil {
		deleted, err := r.dbf.read(i, o)
		if err != nil {
			return nil, 0, err
		}
		if deleted {
			return nil, end, nil
		}
		if r.dbf.text.Guessed && r.m.Once("encoding") {
			r.m.Warn(o, citymodel.Syntax, "dbf", "the texts are not UTF-8 and no encoding is named; they are taken as GB 18030 (GBK); name the encoding if that is wrong")
		}
		if r.dbf.text.Broken > 0 && r.m.Once("broken") {
			r.m.Warn(o, citymodel.Syntax, "dbf", "a text has bytes that %s does not know, here and perhaps later; name another encoding", r.dbf.text.Name)
		}
	}
	var s flat.Shapes
	s.Reset(r.m.Limits.ObjectPoints)
	if err := r.content(&s, length); err != nil {
		var fault *flat.Fault
		if !errors.As(err, &fault) {
			return nil, 0, err
		}
		r.m.Dropped(o, "geometry", err)
	} else {
		r.m.Geometries(o, &s, "geometry")
	}
	if m := r.typ / 10; m == 2 && r.m.Once("measures") {
		r.m.Warn(o, citymodel.WrongType, "geometry", "points have measures (M), which are left out, here and in all objects")
	}
	r.m.Finish(o)
	return o, end, nil
}

// content reads the shape, within the limit on points.
func (r *Reader) content(s *flat.Shapes, length int64) error {
	// The largest shape of n points is a MultiPatch of n parts.
	if limit := int64(r.m.Limits.ObjectPoints)*40 + 1024; length > limit {
		return flat.Faultf(citymodel.TooLarge, "a record of %d bytes, which has more than %d points; raise Limits.ObjectPoints if the object is meant to be that large", length, r.m.Limits.ObjectPoints)
	}
	if int64(cap(r.buf)) < length {
		r.buf = make([]byte, length+length/4)
	}
	b := r.buf[:length]
	n, err := io.ReadFull(r.br, b)
	if r.at += int64(n); err != nil {
		return err
	}
	return r.shape(s, b)
}
