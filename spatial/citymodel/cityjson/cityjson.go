// Package cityjson reads CityJSON 1.0, 1.1 and 2.0 (https://www.cityjson.org/specs/2.0.1/)
// and CityJSON text sequences, CityJSONSeq (https://www.cityjson.org/cityjsonseq/).
//
// A CityJSON file is read twice: first for its vertices, transform and CRS,
// which may stand behind the objects that need them, then for the objects. In
// memory are the vertices (12 bytes each while they are integers of 32 bits,
// as in most files, else 24), the geometry templates, and one object. A
// sequence is read line by line.
//
// Coordinates are given as they are: X, Y and Z are the first, second and third
// coordinate of the file. Appearance is counted and left out, everything else
// that an object has is kept: as attributes of the same name, if it has no
// place of its own in spatial.CityObject.
package cityjson

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/internal/faults"
	"cityhub/spatial/citymodel/internal/jsonscan"
	"cityhub/spatial/crs"
)

var (
	_ citymodel.Reader = (*Reader)(nil)
	_ citymodel.Reader = (*SeqReader)(nil)
)

// Reader reads one CityJSON object.
type Reader struct {
	src  io.ReaderAt
	size int64
	doc  document
	info citymodel.Info
	d    *decoder
	used bool
}

// Open makes the first pass over size bytes of src. Its errors are of type
// *citymodel.Error.
func Open(src io.ReaderAt, size int64, o citymodel.Options) (*Reader, error) {
	r := &Reader{src: src, size: size, d: newDecoder(o)}
	s := jsonscan.New(io.NewSectionReader(src, 0, size), r.d.scanOptions())
	err := r.doc.scan(s, r.d.limits)
	if err == nil {
		err = s.End()
		if err != nil && s.Peek() == '{' {
			err = faults.At(s, citymodel.Syntax, "a second JSON object follows: this is a CityJSON text sequence")
		}
	}
	if err == nil && !r.doc.objects.there {
		err = faults.At(s, citymodel.Missing, "no member CityObjects")
	}
	if err == nil {
		r.info, err = r.d.begin(s, &r.doc)
	}
	if err == nil {
		err = r.readTemplates()
	}
	if err != nil {
		return nil, faults.Final(r.d.opt.File, err)
	}
	return r, nil
}

// at gives a Scanner that begins at m.
func (r *Reader) at(m mark) *jsonscan.Scanner {
	o := r.d.scanOptions()
	o.Line, o.Offset = m.line, m.offset
	return jsonscan.New(io.NewSectionReader(r.src, m.offset, r.size-m.offset), o)
}

func (r *Reader) readTemplates() error {
	if !r.doc.templates.there {
		return nil
	}
	r.d.s = r.at(r.doc.templates)
	return r.d.readTemplates(&r.doc.templateVert)
}

// begin checks what doc says of the whole source and takes it over.
func (d *decoder) begin(s *jsonscan.Scanner, doc *document) (citymodel.Info, error) {
	if doc.typ != "CityJSON" {
		return citymodel.Info{}, faults.At(s, citymodel.WrongType, "the object's type is %.100q, expected \"CityJSON\"", doc.typ)
	}
	short, ok := supported(doc.version)
	if !ok {
		return citymodel.Info{}, faults.At(s, citymodel.WrongType, "CityJSON version %.100q; 1.0, 1.1 and 2.0 can be read", doc.version)
	}
	d.src = spatial.Source{File: d.opt.File, Line: 1}
	if !doc.transform.there && short != "1.0" {
		d.problem(citymodel.SeverityWarning, citymodel.Missing, "transform", "CityJSON %s demands it; the vertices are taken as coordinates", short)
	}
	d.transform = doc.transform
	d.verts = &doc.verts
	d.crs = d.opt.CRS
	if !d.crs.Known() {
		d.readCRS(doc)
	}
	if d.crs.Degrees() {
		d.problem(citymodel.SeverityWarning, citymodel.AxisOrder, "metadata.referenceSystem", "%v has degrees; the first coordinate is taken as the longitude, and neither planarity nor volume is checked", d.crs)
	}
	for _, m := range doc.other {
		if m[:min(1, len(m))] != "+" {
			d.problem(citymodel.SeverityWarning, citymodel.UnknownType, fmt.Sprintf("%.100s", m), "no member of CityJSON; left out")
		}
	}
	if doc.appearance {
		d.tally.Appearances++
	}
	d.tally.Textures, d.tally.Materials, d.tally.TextureVertices = doc.textures, doc.materials, doc.textureVertices
	info := citymodel.Info{Format: "CityJSON " + doc.version, CRS: d.crs, Title: doc.title, Extensions: slices.Clone(doc.extensions)}
	if doc.extent != nil {
		box := *doc.extent
		info.Extent = &box
	}
	return info, nil
}

func (d *decoder) readCRS(doc *document) {
	if !doc.crsAt.there {
		d.problem(citymodel.SeverityWarning, citymodel.UnknownCRS, "metadata.referenceSystem", "the source does not name its CRS; name it with the option for it")
		return
	}
	var err error
	if d.crs, err = crs.Reference(doc.crs); err != nil {
		d.report.Report(citymodel.Problem{
			Severity: citymodel.SeverityError, Code: citymodel.UnknownCRS, Line: doc.crsAt.line, Offset: doc.crsAt.offset, Field: "metadata.referenceSystem", Message: err.Error(),
		})
	}
}

// Info is what the source says of itself.
func (r *Reader) Info() citymodel.Info { return r.info }

// Tally counts what has been read.
func (r *Reader) Tally() citymodel.Tally { return r.d.tally }

// Objects is the second pass. It can be made once.
func (r *Reader) Objects() iter.Seq2[*spatial.CityObject, error] {
	return func(yield func(*spatial.CityObject, error) bool) {
		if r.used {
			yield(nil, errors.New("the objects have been read already"))
			return
		}
		r.used = true
		r.d.s = r.at(r.doc.objects)
		err := r.d.objects(func(o *spatial.CityObject) bool { return yield(o, nil) })
		if err != nil && !errors.Is(err, faults.ErrStop) {
			yield(nil, faults.Final(r.d.opt.File, err))
		}
	}
}
