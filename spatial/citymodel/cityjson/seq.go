package cityjson

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

// SeqReader reads a CityJSON text sequence: a line with a CityJSON object that
// has the transform and the CRS, then a line for each CityJSONFeature, which
// has vertices of its own. A line that cannot be read is reported and left out.
type SeqReader struct {
	rec     *records.Reader
	s       *jsonscan.Scanner
	info    citymodel.Info
	d       *decoder
	feature document
	used    bool
}

// NewSeqReader reads the first line of r. Its errors are of type *citymodel.Error.
func NewSeqReader(r io.Reader, o citymodel.Options) (*SeqReader, error) {
	q := &SeqReader{d: newDecoder(o)}
	q.rec = records.New(r, q.d.limits.RecordBytes)
	q.s = jsonscan.New(bytes.NewReader(nil), q.d.scanOptions())
	if err := q.header(); err != nil {
		return nil, faults.Final(q.d.opt.File, err)
	}
	return q, nil
}

func (q *SeqReader) header() error {
	ok, err := q.rec.Next()
	if err != nil {
		return err
	}
	if !ok {
		return &faults.Placed{Code: citymodel.Missing, Line: 1, Text: "the source is empty; expected a line with a CityJSON object"}
	}
	var doc document
	q.s.ResetBytes(q.rec.Record, q.rec.Line, q.rec.Offset)
	if err := doc.scan(q.s, q.d.limits); err != nil {
		return err
	}
	if err := q.s.End(); err != nil {
		return err
	}
	if q.info, err = q.d.begin(q.s, &doc); err != nil {
		return err
	}
	q.info.Format = "CityJSONSeq, " + q.info.Format
	if !doc.templates.there {
		return nil
	}
	skip := int(doc.templates.offset - q.rec.Offset)
	q.s.ResetBytes(q.rec.Record[skip:], doc.templates.line, doc.templates.offset)
	q.d.s = q.s
	return q.d.readTemplates(&doc.templateVert)
}

// Info is what the first line says.
func (q *SeqReader) Info() citymodel.Info { return q.info }

// Tally counts what has been read.
func (q *SeqReader) Tally() citymodel.Tally { return q.d.tally }

// Objects reads the features. It can be called once.
func (q *SeqReader) Objects() iter.Seq2[*spatial.CityObject, error] {
	return func(yield func(*spatial.CityObject, error) bool) {
		if q.used {
			yield(nil, errors.New("the objects have been read already"))
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
			err = q.one(func(o *spatial.CityObject) bool { return yield(o, nil) })
			if errors.Is(err, faults.ErrStop) {
				return
			}
			if err != nil {
				q.d.report.Report(faults.Problem(err, q.feature.id, "", "the rest of the line is left out"))
			}
		}
	}
}

// one reads the feature of one line.
func (q *SeqReader) one(yield func(*spatial.CityObject) bool) error {
	q.s.ResetBytes(q.rec.Record, q.rec.Line, q.rec.Offset)
	f := &q.feature
	if err := f.scan(q.s, q.d.limits); err != nil {
		return err
	}
	if err := q.s.End(); err != nil {
		return err
	}
	if f.typ != "CityJSONFeature" {
		return &faults.Placed{Code: citymodel.WrongType, Line: q.rec.Line, Offset: q.rec.Offset, Text: fmt.Sprintf("the line's type is %.100q, expected \"CityJSONFeature\"", f.typ)}
	}
	if !f.objects.there {
		return &faults.Placed{Code: citymodel.Missing, Line: q.rec.Line, Offset: q.rec.Offset, Text: "no member CityObjects"}
	}
	if f.appearance {
		q.d.tally.Appearances++
	}
	q.d.tally.Textures += f.textures
	q.d.tally.Materials += f.materials
	q.d.tally.TextureVertices += f.textureVertices
	q.d.verts = &f.verts
	q.s.ResetBytes(q.rec.Record[f.objects.offset-q.rec.Offset:], f.objects.line, f.objects.offset)
	q.d.s = q.s
	return q.d.objects(yield)
}
