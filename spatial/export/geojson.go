package export

import (
	"bufio"
	"bytes"
	"io"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/paulmach/orb"
)

// geoJSON writes a FeatureCollection (RFC 7946). Its last members are
// numberReturned and those of Options.Meta.
type geoJSON struct {
	w       *bufio.Writer
	o       Options
	buf     []byte
	n       int64
	started bool
	closed  bool
}

func newGeoJSON(w io.Writer, o Options) *geoJSON {
	return &geoJSON{w: bufio.NewWriterSize(w, 64<<10), o: o}
}

func (g *geoJSON) start() {
	if !g.started {
		g.started = true
		_, _ = g.w.WriteString(`{"type":"FeatureCollection","features":[`) // the buffer keeps the error
	}
}

// Write writes a feature.
func (g *geoJSON) Write(row *Row) error {
	g.start()
	b := g.buf[:0]
	if g.n > 0 {
		b = append(b, ',')
	}
	b = append(b, '\n')
	b, err := AppendFeature(b, row, g.o.Columns)
	g.buf = b
	if err != nil {
		return err
	}
	g.n++
	_, err = g.w.Write(b)
	return err
}

// Close ends the collection.
func (g *geoJSON) Close() error {
	if g.closed {
		return nil
	}
	g.closed = true
	g.start()
	b := append(g.buf[:0], "\n],\"numberReturned\":"...)
	b = strconv.AppendInt(b, g.n, 10)
	if meta := bytes.TrimSpace(g.o.Meta); len(meta) > 2 {
		b = append(b, ',')
		b = append(b, meta[1:]...) // ends the object
	} else {
		b = append(b, '}')
	}
	if _, err := g.w.Write(append(b, '\n')); err != nil {
		return err
	}
	return g.w.Flush()
}

// Abort leaves the collection without its end.
func (g *geoJSON) Abort() { g.closed = true }

// AppendFeature appends a row as a GeoJSON Feature.
func AppendFeature(b []byte, row *Row, columns []Column) ([]byte, error) {
	if err := check(row, columns); err != nil {
		return b, err
	}
	b = append(b, `{"type":"Feature"`...)
	if row.ID != "" {
		b = append(b, `,"id":`...)
		b = appendString(b, row.ID)
	}
	b = append(b, `,"geometry":`...)
	g, err := (&projector{}).apply(row.Geometry)
	if err != nil {
		return b, err
	}
	b = appendGeometry(b, g)
	b = append(b, `,"properties":{`...)
	for i, c := range columns {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, c.Name)
		b = append(b, ':')
		b = appendValue(b, c.Type, row.Values[i])
	}
	return append(b, "}}"...), nil
}

func appendValue(b []byte, t Type, v Value) []byte {
	if !v.Set {
		return append(b, "null"...)
	}
	switch t {
	case Integer:
		return strconv.AppendInt(b, v.Int, 10)
	case Number:
		return appendNumber(b, v.Number)
	case Bool:
		return strconv.AppendBool(b, v.Int != 0)
	case Time:
		b = append(b, '"')
		b = time.Unix(0, v.Int).UTC().AppendFormat(b, time.RFC3339Nano)
		return append(b, '"')
	case JSON:
		return append(b, v.Text...)
	default:
		return appendString(b, v.Text)
	}
}

// appendNumber writes the shortest text that gives the same number again.
func appendNumber(b []byte, f float64) []byte {
	if a := f; a != 0 && (a < 1e-6 && a > -1e-6 || a >= 1e21 || a <= -1e21) {
		return strconv.AppendFloat(b, f, 'e', -1, 64)
	}
	return strconv.AppendFloat(b, f, 'f', -1, 64)
}

const hexDigits = "0123456789abcdef"

// appendString writes a JSON string. Bytes that are no UTF-8 become U+FFFD.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
			i++
		case c < 0x20:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			i++
		case c < utf8.RuneSelf:
			b = append(b, c)
			i++
		default:
			r, n := utf8.DecodeRuneInString(s[i:])
			b = utf8.AppendRune(b, r)
			i += n
		}
	}
	return append(b, '"')
}

func appendGeometry(b []byte, g orb.Geometry) []byte {
	if g == nil {
		return append(b, "null"...)
	}
	b = append(b, `{"type":"`...)
	b = append(b, g.GeoJSONType()...)
	if c, ok := g.(orb.Collection); ok {
		b = append(b, `","geometries":[`...)
		for i, member := range c {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendGeometry(b, member)
		}
		return append(b, "]}"...)
	}
	b = append(b, `","coordinates":`...)
	switch g := g.(type) {
	case orb.Point:
		b = appendPoint(b, g)
	case orb.MultiPoint:
		b = appendPoints(b, g)
	case orb.LineString:
		b = appendPoints(b, g)
	case orb.MultiLineString:
		b = appendList(b, g, func(b []byte, l orb.LineString) []byte { return appendPoints(b, l) })
	case orb.Polygon:
		b = appendPolygon(b, g)
	case orb.MultiPolygon:
		b = appendList(b, g, appendPolygon)
	}
	return append(b, '}')
}

func appendPolygon(b []byte, p orb.Polygon) []byte {
	return appendList(b, p, func(b []byte, r orb.Ring) []byte { return appendPoints(b, r) })
}

func appendPoints(b []byte, points []orb.Point) []byte { return appendList(b, points, appendPoint) }

func appendPoint(b []byte, p orb.Point) []byte {
	b = append(b, '[')
	b = appendNumber(b, p[0])
	b = append(b, ',')
	b = appendNumber(b, p[1])
	return append(b, ']')
}

func appendList[T any](b []byte, list []T, one func([]byte, T) []byte) []byte {
	b = append(b, '[')
	for i, t := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = one(b, t)
	}
	return append(b, ']')
}
