// Package citygml reads CityGML 1.0, 2.0 (OGC 12-019) and 3.0 (OGC 20-010 and
// its GML encoding, OGC 21-006r2).
//
// A document is read once, as a stream, one cityObjectMember at a time; what is
// in memory is that member, within citymodel.Limits: of Limits.ObjectPoints points and twice
// as many elements, at about 130 bytes each. References (xlink:href)
// are followed inside of a member and reported where they lead out of it.
// Document types are refused and no entity but those of XML is known.
//
// Coordinates. GML gives them in the order of the CRS's definition: latitude
// first for EPSG:6697. They are handed on with x, the longitude or easting,
// first, as package crs knows the definition; their values are not changed.
//
// Objects. Parts, installations, rooms, sections and the like are objects of
// their own, behind the one they belong to. Boundary surfaces, openings and
// traffic areas are semantic surfaces. Surfaces that no solid or surface of
// their object and level has make a MultiSurface. Left out are appearances,
// which are counted, terrain intersection curves and code spaces.
//
// Attributes have the names of their elements, those of an application domain
// extension (ADE) with the prefix that the document declares, e.g.
// "uro:buildingID". Generic attributes have the name they were given. A
// structure, such as an ADE's data type, gives an attribute with the name of
// its property and the type as value, followed by those of its members; gml:name
// is "gml:name". Values with a unit are numbers, the unit follows as "….uom"
// where it is not metres; values whose type is only in the schema of an ADE
// are texts: a code such as 01 is no number.
package citygml

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
)

var _ citymodel.Reader = (*Reader)(nil)

// Reader reads one document.
type Reader struct {
	d    *decoder
	info citymodel.Info
	used bool
}

// Open reads src to the first object. Its errors are of type *citymodel.Error.
func Open(src io.Reader, o citymodel.Options) (*Reader, error) {
	d := newDecoder(src, o)
	r := &Reader{d: d}
	if err := d.open(&r.info); err != nil {
		return nil, d.final(err)
	}
	return r, nil
}

// Info is what the document says of itself before its first object.
func (r *Reader) Info() citymodel.Info { return r.info }

// Tally counts what has been read.
func (r *Reader) Tally() citymodel.Tally { return r.d.tally }

// Objects reads the objects. It can be called once.
func (r *Reader) Objects() iter.Seq2[*spatial.CityObject, error] {
	return func(yield func(*spatial.CityObject, error) bool) {
		if r.used {
			yield(nil, errors.New("the objects have been read already"))
			return
		}
		r.used = true
		if err := r.d.members(func(o *spatial.CityObject) bool { return yield(o, nil) }); err != nil && !errors.Is(err, errStop) {
			yield(nil, r.d.final(err))
		}
	}
}

// errStop ends the reading because the caller wants no more.
var errStop = errors.New("stop")

// fault is a fault at a place of the source.
type fault struct {
	code   citymodel.Code
	line   int
	offset int64
	text   string
	err    error // the source's, if reading it failed
	fatal  bool  // nothing behind it can be read
}

func (f *fault) Error() string { return fmt.Sprintf("line %d, byte %d: %s", f.line, f.offset, f.text) }

// decoder makes objects of a document.
type decoder struct {
	tokens  *tokens
	opt     citymodel.Options
	limits  citymodel.Limits
	report  citymodel.Reporter
	tally   citymodel.Tally
	crs     system // of the document
	systems map[string]system
	unknown map[string]bool // types that have been reported
	begun   bool            // the start of the first member has been taken
	tree    tree

	src    spatial.Source // of the object in work
	id     string
	points int // that the geometries of the member may still have
	steps  int // elements that may still be looked at for them
}

func newDecoder(src io.Reader, o citymodel.Options) *decoder {
	if o.File == "" {
		o.File = "CityGML"
	}
	d := &decoder{opt: o, limits: o.Limits.WithDefaults(), systems: map[string]system{}, unknown: map[string]bool{}}
	d.report = citymodel.Reporter{File: o.File, Sink: o.Problem, Tally: &d.tally}
	d.tokens = newTokens(src, d.limits, &d.tally)
	d.tree.d = d
	d.src = spatial.Source{File: o.File, Line: 1}
	return d
}

// final makes err a *citymodel.Error.
func (d *decoder) final(err error) error {
	var f *fault
	if !errors.As(err, &f) {
		f = d.tokens.fault(citymodel.Syntax, "%v", err)
	}
	return &citymodel.Error{Code: f.code, File: d.opt.File, Line: max(f.line, 1), Offset: f.offset, Message: f.text, Err: f.err}
}

// problem reports something about the object in work.
func (d *decoder) problem(severity citymodel.Severity, code citymodel.Code, line int, offset int64, field, format string, args ...any) {
	d.report.Report(citymodel.Problem{
		Severity: severity, Code: code, Line: max(line, 1), Offset: offset, Object: d.id, Field: field, Message: fmt.Sprintf(format, args...),
	})
}

// open reads the document to its first member.
func (d *decoder) open(info *citymodel.Info) error {
	t := d.tokens
	ok, err := t.start(0)
	if err != nil {
		return err
	}
	version := ""
	if ok {
		version = versionOf(t.name.space)
	}
	if !ok || t.name.local != "CityModel" || version == "" {
		return t.fault(citymodel.WrongType, "the document begins with %.100q, expected a CityModel of CityGML 1.0, 2.0 or 3.0", t.name.local)
	}
	info.Format = "CityGML " + version
	if d.opt.CRS.Known() {
		d.crs = d.systemOf(d.opt.CRS)
	}
	for {
		if ok, err = t.start(1); err != nil || !ok {
			break
		}
		if isMember(t.name) {
			d.begun = true
			break
		}
		if err = d.header(info); err != nil {
			break
		}
	}
	if err != nil {
		return err
	}
	info.CRS = d.crs.crs
	for _, prefix := range slices.Sorted(maps.Values(t.prefixes)) {
		if len(info.Extensions) < 100 && prefix != "" && t.isExtension(prefix) {
			info.Extensions = append(info.Extensions, prefix)
		}
	}
	return nil
}

// header takes an element of the document that is no member.
func (d *decoder) header(info *citymodel.Info) error {
	t := d.tokens
	if t.name.ns != nsGML {
		return t.skip()
	}
	line, offset := t.line, t.offset
	if err := d.tree.read(); err != nil {
		var f *fault
		if errors.As(err, &f) && !f.fatal {
			d.problem(citymodel.SeverityError, f.code, f.line, f.offset, "", "%s; left out", f.text)
			return nil
		}
		return err
	}
	n := &d.tree.nodes[0]
	switch n.name.local {
	case "name":
		if info.Title == "" {
			info.Title = n.text
		}
	case "boundedBy":
		d.envelope(info, line, offset)
	}
	return nil
}

// members reads the members of the document.
func (d *decoder) members(yield func(*spatial.CityObject) bool) error {
	t := d.tokens
	for {
		ok := d.begun
		if !ok {
			var err error
			if ok, err = t.start(1); err != nil {
				return err
			}
		}
		d.begun = false
		switch {
		case !ok:
			return t.end()
		case !isMember(t.name):
			if err := t.skip(); err != nil {
				return err
			}
			continue
		}
		d.id, d.src.Line, d.src.Offset = "", t.line, t.offset
		if err := d.tree.read(); err != nil {
			var f *fault
			if !errors.As(err, &f) || f.fatal {
				return err
			}
			for i := range d.tree.nodes {
				if d.tree.nodes[i].id != "" {
					d.id = d.tree.nodes[i].id
					break
				}
			}
			d.problem(citymodel.SeverityError, f.code, f.line, f.offset, "", "%s; the object is left out", f.text)
			continue
		}
		if err := d.member(yield); err != nil {
			return err
		}
	}
}
