package export

import (
	"bufio"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/paulmach/orb"
	"github.com/paulmach/orb/encoding/wkt"
	"github.com/paulmach/orb/planar"
)

// csvWriter writes RFC 4180: CRLF after every record, fields with a comma, a
// quote or a line break in quotes. Null is the empty field.
//
// A text that a spreadsheet would take for a formula, because it begins with
// = + - @, a tab or a carriage return, gets an apostrophe before it (OWASP, CSV
// injection). Columns of numbers are numbers and stay as they are.
type csvWriter struct {
	w       *bufio.Writer
	o       Options
	p       *projector
	buf     []byte
	started bool
	closed  bool
}

func newCSV(w io.Writer, o Options, p *projector) (*csvWriter, error) {
	if o.Geometry > Without {
		return nil, &Error{"Geometry", "expected WKT, LonLat or Without"}
	}
	for _, c := range o.Columns {
		switch c.Name {
		case "lon", "lat", "x", "y":
			if o.Geometry == LonLat {
				return nil, &Error{"Columns", "found " + c.Name + ", which is the name of a coordinate"}
			}
		}
	}
	return &csvWriter{w: bufio.NewWriterSize(w, 64<<10), o: o, p: p}, nil
}

func (c *csvWriter) start() {
	if c.started {
		return
	}
	c.started = true
	b := c.buf[:0]
	if c.o.BOM {
		b = append(b, "\ufeff"...)
	}
	for i, column := range c.o.Columns {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendField(b, guard(column.Name))
	}
	switch {
	case c.o.Geometry == WKT:
		b = append(b, ",geometry"...)
	case c.o.Geometry == LonLat && c.p.projected:
		b = append(b, ",x,y"...)
	case c.o.Geometry == LonLat:
		b = append(b, ",lon,lat"...)
	}
	if len(c.o.Columns) == 0 && len(b) > 0 && b[0] == ',' {
		b = b[1:]
	}
	_, _ = c.w.Write(append(b, '\r', '\n')) // the buffer keeps the error
	c.buf = b
}

// Write writes a record.
func (c *csvWriter) Write(row *Row) error {
	c.start()
	if err := check(row, c.o.Columns); err != nil {
		return err
	}
	b := c.buf[:0]
	for i, column := range c.o.Columns {
		if i > 0 {
			b = append(b, ',')
		}
		v := row.Values[i]
		switch {
		case !v.Set:
		case column.Type == Time:
			b = time.Unix(0, v.Int).UTC().AppendFormat(b, time.RFC3339Nano)
		case column.Type == Text || column.Type == JSON:
			b = appendField(b, guard(v.Text))
		default:
			b = appendValue(b, column.Type, v)
		}
	}
	if c.o.Geometry != Without {
		g, err := c.p.apply(row.Geometry)
		if err != nil {
			return err
		}
		if len(c.o.Columns) > 0 {
			b = append(b, ',')
		}
		switch {
		case c.o.Geometry == WKT && g != nil:
			b = appendField(b, wkt.MarshalString(g))
		case c.o.Geometry == LonLat && g != nil:
			pt := centre(g)
			b = strconv.AppendFloat(b, pt[0], 'f', -1, 64)
			b = append(b, ',')
			b = strconv.AppendFloat(b, pt[1], 'f', -1, 64)
		case c.o.Geometry == LonLat:
			b = append(b, ',')
		}
	}
	c.buf = b
	_, err := c.w.Write(append(b, '\r', '\n'))
	return err
}

// centre is a point as it is, of a collection the middle of its rectangle, else
// the centroid.
func centre(g orb.Geometry) orb.Point {
	switch g := g.(type) {
	case orb.Point:
		return g
	case orb.Collection:
		return g.Bound().Center()
	}
	p, _ := planar.CentroidArea(g)
	return p
}

// Close ends the file.
func (c *csvWriter) Close() error {
	if c.closed {
		return nil
	}
	c.closed = true
	c.start()
	return c.w.Flush()
}

// Abort leaves the file without its end.
func (c *csvWriter) Abort() { c.closed = true }

// guard makes a text that a spreadsheet would compute a text.
func guard(s string) string {
	if s != "" && strings.IndexByte("=+-@\t\r", s[0]) >= 0 {
		return "'" + s
	}
	return s
}

func appendField(b []byte, s string) []byte {
	if s != "" && !strings.ContainsAny(s, ",\"\r\n") && s[0] != ' ' && s[len(s)-1] != ' ' {
		return append(b, s...)
	}
	b = append(b, '"')
	for i := range len(s) {
		if s[i] == '"' {
			b = append(b, '"')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}
