// Package kml reads KML 2.2 and 2.3 (OGC 07-147r2, 12-007r2) as CityObjects,
// one for each Placemark. (A KMZ is an archive around it; see package open.)
//
// Coordinates are longitude, latitude in WGS 84. Altitudes count where
// altitudeMode is absolute: metres above the geoid EGM96 (section 6.2.1 of KML
// 2.2). Where it is relativeToGround the geometry is flat; with extrude the
// altitude is the object's height. Where it is clampToGround, as without any,
// they say nothing and the geometry is flat.
//
// Attributes are the Placemark's own simple elements by their names (name,
// description, address, …), "folder" with the names of the Folders around it,
// altitudeMode and extrude as given, then ExtendedData: typed where a Schema
// stands before it in the document, else texts. Styles, views, overlays and
// models are left out, links are not followed.
//
// A document is read once, as a stream; memory is one Placemark, within
// Limits. Document types are refused and no entity but those of XML is known.
package kml

import (
	"errors"
	"io"
	"iter"
	"strings"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/internal/flat"
)

var _ citymodel.Reader = (*Reader)(nil)

// egm96 is the EPSG code of the heights of altitudeMode absolute.
const egm96 = 5773

// Reader reads one document.
type Reader struct {
	m       *flat.Maker
	t       *tokens
	crs     spatial.CRS
	title   string
	folders []folder
	schemas map[string]map[string]string // id or name to name of the field to its type
	fields  int                          // in schemas
	used    bool
}

// folder is a container that is open.
type folder struct {
	depth int
	name  string
	named bool // in an object's attribute
}

// Open reads the document's first element. Its errors are of type
// *citymodel.Error.
func Open(src io.Reader, o citymodel.FeatureOptions) (*Reader, error) {
	r := &Reader{m: flat.New("KML", o), schemas: map[string]map[string]string{}}
	r.t = newTokens(src, r.m.Limits)
	r.crs = spatial.CRS{Horizontal: spatial.CRS84}
	if o.CRS.Known() {
		r.crs = o.CRS
	}
	start, _, err := r.t.next()
	for err == nil && start == nil {
		start, _, err = r.t.next()
	}
	switch {
	case errors.Is(err, io.EOF):
		err = r.t.fault(citymodel.WrongType, "the document has no elements; expected kml")
	case err == nil && start.Name.Local != "kml":
		// Google Earth reads documents that begin with another element, and so
		// did KML 2.0.
		if l := start.Name.Local; l != "Document" && l != "Folder" {
			err = r.t.fault(citymodel.WrongType, "the document begins with %.100q; expected kml", l)
		}
	}
	if err != nil {
		return nil, r.final(err)
	}
	r.push(start.Name.Local)
	return r, nil
}

func (r *Reader) final(err error) error {
	var f *fault
	if errors.As(err, &f) {
		return &citymodel.Error{Code: f.code, File: r.m.Opt.File, Line: max(f.line, 1), Offset: f.offset, Message: f.text, Err: f.err}
	}
	return r.m.Final(max(r.t.line, 1), r.t.offset, err)
}

// Info is what is known of every document.
func (r *Reader) Info() citymodel.Info {
	return citymodel.Info{Format: "KML", CRS: r.crs, Title: r.title}
}

// Tally counts what has been read.
func (r *Reader) Tally() citymodel.Tally { return r.m.Tally }

func (r *Reader) push(local string) {
	r.folders = append(r.folders, folder{depth: r.t.depth, named: local == "Folder"})
}

// Objects reads the Placemarks. It can be called once.
func (r *Reader) Objects() iter.Seq2[*spatial.CityObject, error] {
	return func(yield func(*spatial.CityObject, error) bool) {
		if r.used {
			yield(nil, flat.ErrUsed)
			return
		}
		r.used = true
		for {
			o, err := r.next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(nil, r.final(err))
				return
			}
			if !yield(o, nil) {
				return
			}
		}
	}
}

// next reads to the end of the next Placemark; io.EOF: there is none.
func (r *Reader) next() (*spatial.CityObject, error) {
	for {
		start, end, err := r.t.next()
		if err != nil {
			if errors.Is(err, io.EOF) && r.t.depth > 0 {
				err = r.t.fault(citymodel.Syntax, "the document ends with %d elements open", r.t.depth)
			}
			return nil, err
		}
		if end {
			if n := len(r.folders); n > 0 && r.t.depth < r.folders[n-1].depth {
				r.folders = r.folders[:n-1]
			}
			continue
		}
		if start == nil {
			continue
		}
		switch start.Name.Local {
		case "kml", "Document", "Folder":
			r.push(start.Name.Local)
		case "Placemark":
			return r.placemark(attribute(start.Attr, "id"))
		case "name":
			text, err := r.t.text()
			if err != nil {
				return nil, err
			}
			if n := len(r.folders); n > 0 {
				r.folders[n-1].name = strings.TrimSpace(text)
				if r.title == "" {
					r.title = r.folders[n-1].name
				}
			}
		case "Schema":
			if err := r.schema(attribute(start.Attr, "id"), attribute(start.Attr, "name")); err != nil {
				return nil, err
			}
		default:
			if l := start.Name.Local; (l == "NetworkLink" || strings.HasSuffix(l, "Overlay") || l == "Update") && r.m.Once(l) {
				r.m.Report.Report(citymodel.Problem{Severity: citymodel.SeverityWarning, Code: citymodel.UnknownType, Line: r.t.line, Offset: r.t.offset, Field: l, Message: "it is left out, as all of its kind: links are not followed and images are no objects"})
			}
			if err := r.t.skip(); err != nil {
				return nil, err
			}
		}
	}
}

// schema keeps the types of the fields of a Schema.
func (r *Reader) schema(id, name string) error {
	types := map[string]string{}
	err := r.t.children(func(local string, attr func(string) string) error {
		if local == "SimpleField" {
			if r.fields++; r.fields > 100_000 || r.fields > r.m.Limits.Attributes {
				return r.t.fault(citymodel.TooLarge, "more than %d fields in Schemas", r.fields-1)
			}
			types[attr("name")] = strings.TrimPrefix(attr("type"), "xsd:")
		}
		return r.t.skip()
	})
	for _, key := range []string{id, name} {
		if key != "" {
			r.schemas[key] = types
		}
	}
	return err
}
