// Package geojson reads GeoJSON (RFC 7946, and the GeoJSON of 2008 with its
// member crs) and GeoJSON text sequences (RFC 8142, or one text a line) as
// CityObjects.
//
// Coordinates are longitude, latitude in WGS 84 degrees (RFC 7946 section 4)
// and metres above its ellipsoid, unless the file has a member crs or the
// options name a CRS; then they are easting or longitude first as well
// (GeoJSON 2008 section 2.1.1). A Feature without geometry is given without.
// A polygon's last position, which repeats the first, is left out.
//
// Of a FeatureCollection one Feature is in memory at a time; it is read twice,
// because crs may stand behind the features.
package geojson

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/internal/faults"
	"cityhub/spatial/citymodel/internal/jsonscan"
	"cityhub/spatial/citymodel/internal/records"
)

var (
	_ citymodel.Reader = (*Reader)(nil)
	_ citymodel.Reader = (*SeqReader)(nil)
)

// Options say how properties become fields of the CityObject. GeoJSON itself
// has no classes: without Options.Class and ClassProperty objects have none.
type Options struct {
	citymodel.Options
	IDProperty   string   // used where a Feature has no member id; empty: none
	NameProperty []string // the first that is a text; default "name", "name:zh"
	// ClassProperty names the property from which the class follows. Its value
	// is looked up in Classes, then taken as the name of a class, then as a type
	// of CityGML or CityJSON.
	ClassProperty string
	Classes       map[string]spatial.Class
	// MetresPerLevel is the height of a storey where only building:levels is
	// given; default 3.
	MetresPerLevel float64
}

// Reader reads one GeoJSON text: a FeatureCollection, a Feature or a geometry.
type Reader struct {
	src  io.ReaderAt
	size int64
	d    *decoder
	info citymodel.Info
	root root
	used bool
}

// root is what the first pass finds.
type root struct {
	typ, name string
	line      int // of the features, or of the whole where it is one Feature
	offset    int64
	features  bool
	crs       crsMember
}

// Open makes the first pass over size bytes of src. Its errors are of type
// *citymodel.Error.
func Open(src io.ReaderAt, size int64, o Options) (*Reader, error) {
	r := &Reader{src: src, size: size, d: newDecoder(o)}
	s := jsonscan.New(io.NewSectionReader(src, 0, size), r.d.scanOptions())
	err := r.root.scan(s)
	if err == nil {
		if err = s.End(); err != nil && (s.Peek() == '{' || s.Peek() == 0x1e) {
			err = faults.At(s, citymodel.Syntax, "a second JSON text follows: this is a GeoJSON text sequence")
		}
	}
	switch typ := r.root.typ; {
	case err != nil:
	case typ == "FeatureCollection" && !r.root.features:
		err = faults.At(s, citymodel.Missing, "a FeatureCollection without features")
	case typ != "FeatureCollection" && typ != "Feature" && shapes[typ].kind == 0 && typ != collection:
		err = faults.At(s, citymodel.WrongType, "type %.100q is none of GeoJSON", typ)
	}
	if err != nil {
		return nil, faults.Final(r.d.opt.File, err)
	}
	r.d.useCRS(r.root.crs)
	r.info = citymodel.Info{Format: "GeoJSON", CRS: r.d.crs, Title: r.root.name}
	return r, nil
}

// scan is the first pass.
func (r *root) scan(s *jsonscan.Scanner) error {
	s.Peek()
	r.line, r.offset = s.Line(), s.Offset()
	return s.Object(func(k []byte) (err error) {
		switch string(k) {
		case "type":
			if r.typ != "" {
				return faults.At(s, citymodel.Syntax, "member type stands twice")
			}
			r.typ, err = s.String()
		case "name", "title":
			if s.Peek() != '"' {
				return s.Skip()
			}
			r.name, err = s.String()
		case "crs":
			return r.crs.read(s)
		case "features":
			if r.features {
				return faults.At(s, citymodel.Syntax, "member features stands twice")
			}
			s.Peek()
			r.features, r.line, r.offset = true, s.Line(), s.Offset()
			return s.Skip()
		default:
			return s.Skip()
		}
		return err
	})
}

// Info is what the source says of itself.
func (r *Reader) Info() citymodel.Info { return r.info }

// Tally counts what has been read.
func (r *Reader) Tally() citymodel.Tally { return r.d.tally }

var errUsed = errors.New("the objects have been read already")

// Objects is the second pass. It can be made once.
func (r *Reader) Objects() iter.Seq2[*spatial.CityObject, error] {
	return func(yield func(*spatial.CityObject, error) bool) {
		if r.used {
			yield(nil, errUsed)
			return
		}
		r.used = true
		o := r.d.scanOptions()
		o.Line, o.Offset = r.root.line, r.root.offset
		s := jsonscan.New(io.NewSectionReader(r.src, o.Offset, r.size-o.Offset), o)
		one := func(i int) error {
			return r.d.object(s, fmt.Sprintf("features[%d]", i), func(o *spatial.CityObject) bool { return yield(o, nil) })
		}
		var err error
		if r.root.typ == "FeatureCollection" {
			err = s.Array(one)
		} else {
			err = one(0)
		}
		if err != nil && !errors.Is(err, faults.ErrStop) {
			yield(nil, faults.Final(r.d.opt.File, err))
		}
	}
}

// SeqReader reads a GeoJSON text sequence of Features and geometries. A text
// that cannot be read is reported and left out.
type SeqReader struct {
	rec  *records.Reader
	s    *jsonscan.Scanner
	d    *decoder
	used bool
}

// NewSeqReader reads from r.
func NewSeqReader(r io.Reader, o Options) *SeqReader {
	q := &SeqReader{d: newDecoder(o)}
	q.rec = records.New(r, q.d.limits.RecordBytes)
	q.s = jsonscan.New(bytes.NewReader(nil), q.d.scanOptions())
	q.d.useCRS(crsMember{})
	return q
}

// Info is what is known of every such sequence.
func (q *SeqReader) Info() citymodel.Info {
	return citymodel.Info{Format: "GeoJSONSeq", CRS: q.d.crs}
}

// Tally counts what has been read.
func (q *SeqReader) Tally() citymodel.Tally { return q.d.tally }

// Objects reads the sequence. It can be called once.
func (q *SeqReader) Objects() iter.Seq2[*spatial.CityObject, error] {
	return func(yield func(*spatial.CityObject, error) bool) {
		if q.used {
			yield(nil, errUsed)
			return
		}
		q.used = true
		for {
			ok, err := q.rec.Next()
			if err != nil {
				yield(nil, faults.Final(q.d.opt.File, err))
				return
			}
			if !ok {
				return
			}
			q.s.ResetBytes(q.rec.Record, q.rec.Line, q.rec.Offset)
			err = q.d.object(q.s, "", func(o *spatial.CityObject) bool { return yield(o, nil) })
			if errors.Is(err, faults.ErrStop) {
				return
			}
			if err == nil {
				err = q.s.End()
			}
			if err != nil {
				q.d.report.Report(faults.Problem(err, "", "", "left out"))
			}
		}
	}
}
