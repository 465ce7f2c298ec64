package cityjson

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/internal/jsonscan"
)

// SeqReader reads a CityJSON text sequence: a line with a CityJSON object that
// has the transform and the CRS, then a line for each CityJSONFeature, which
// has vertices of its own. A line that cannot be read is reported and left out.
type SeqReader struct {
	br      *bufio.Reader
	s       *jsonscan.Scanner
	record  []byte
	line    int   // of the record
	offset  int64 // of the record
	read    int64 // bytes
	info    citymodel.Info
	d       *decoder
	feature document
	used    bool
}

// NewSeqReader reads the first line of r. Its errors are of type *Error.
func NewSeqReader(r io.Reader, o citymodel.Options) (*SeqReader, error) {
	q := &SeqReader{br: bufio.NewReaderSize(r, 64<<10), d: newDecoder(o)}
	q.s = jsonscan.New(bytes.NewReader(nil), q.d.scanOptions())
	if err := q.header(); err != nil {
		return nil, final(q.d.opt.File, err)
	}
	return q, nil
}

func (q *SeqReader) header() error {
	ok, err := q.next()
	if err != nil {
		return err
	}
	if !ok {
		return &placed{code: citymodel.Missing, line: 1, text: "the source is empty; expected a line with a CityJSON object"}
	}
	var doc document
	q.s.ResetBytes(bytes.TrimPrefix(q.record, []byte("\ufeff")), q.line, q.offset)
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
	skip := int(doc.templates.offset - q.offset)
	q.s.ResetBytes(bytes.TrimPrefix(q.record, []byte("\ufeff"))[skip:], doc.templates.line, doc.templates.offset)
	q.d.s = q.s
	return q.d.readTemplates(&doc.templateVert)
}

// next reads the next line that is not blank.
func (q *SeqReader) next() (bool, error) {
	for {
		q.line++
		q.offset = q.read
		q.record = q.record[:0]
		for {
			part, err := q.br.ReadSlice('\n')
			q.read += int64(len(part))
			if len(q.record)+len(part) > q.d.limits.RecordBytes {
				return false, &placed{code: citymodel.TooLarge, line: q.line, offset: q.offset, text: fmt.Sprintf("a line of more than %d bytes; raise Limits.RecordBytes if it is meant to be that long", q.d.limits.RecordBytes)}
			}
			q.record = append(q.record, part...)
			if err == bufio.ErrBufferFull {
				continue
			}
			if err != nil && err != io.EOF {
				return false, &jsonscan.Error{Kind: jsonscan.Read, Line: q.line, Offset: q.read, Message: "cannot be read: " + err.Error(), Err: err}
			}
			if len(bytes.TrimSpace(q.record)) > 0 {
				return true, nil
			}
			if err == io.EOF {
				return false, nil
			}
			break
		}
	}
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
			ok, err := q.next()
			if err != nil {
				yield(nil, final(q.d.opt.File, err))
				return
			}
			if !ok {
				return
			}
			err = q.one(func(o *spatial.CityObject) bool { return yield(o, nil) })
			if errors.Is(err, errStop) {
				return
			}
			if err != nil {
				code, line, offset, text := place(err)
				q.d.report.Report(citymodel.Problem{
					Severity: citymodel.SeverityError, Code: code, Line: line, Offset: offset, Object: q.feature.id, Message: text + "; the rest of the line is left out",
				})
			}
		}
	}
}

// one reads the feature of one line.
func (q *SeqReader) one(yield func(*spatial.CityObject) bool) error {
	q.s.ResetBytes(q.record, q.line, q.offset)
	f := &q.feature
	if err := f.scan(q.s, q.d.limits); err != nil {
		return err
	}
	if err := q.s.End(); err != nil {
		return err
	}
	if f.typ != "CityJSONFeature" {
		return &placed{code: citymodel.WrongType, line: q.line, offset: q.offset, text: fmt.Sprintf("the line's type is %.100q, expected \"CityJSONFeature\"", f.typ)}
	}
	if !f.objects.there {
		return &placed{code: citymodel.Missing, line: q.line, offset: q.offset, text: "no member CityObjects"}
	}
	if f.appearance {
		q.d.tally.Appearances++
	}
	q.d.tally.Textures += f.textures
	q.d.tally.Materials += f.materials
	q.d.tally.TextureVertices += f.textureVertices
	q.d.verts = &f.verts
	q.s.ResetBytes(q.record[f.objects.offset-q.offset:], f.objects.line, f.objects.offset)
	q.d.s = q.s
	return q.d.objects(yield)
}
