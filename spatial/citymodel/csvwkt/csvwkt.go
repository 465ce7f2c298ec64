// Package csvwkt reads CSV (RFC 4180, with any of , ; tab and | between the
// fields) as CityObjects: one for each record, whose geometry is well-known
// text in one column or a longitude and a latitude in two.
//
// The first record names the columns. The text is UTF-8, with or without byte
// order mark, or UTF-16 with one; a field that is not UTF-8 is taken as GB 18030,
// which has GBK in it.
//
// Without an SRID (EWKT) and without Options.CRS coordinates are longitude,
// latitude in WGS 84. A value is a number where the number says all that the
// text does: 12 and 1.5 are, 0012, +5, 1.50 and 1e3 remain texts. An empty field is
// null. Memory is one record, within Limits.RecordBytes.
package csvwkt

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/unicode"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/internal/charset"
	"cityhub/spatial/citymodel/internal/flat"
	"cityhub/spatial/citymodel/internal/wkx"
	"cityhub/spatial/crs"
)

var _ citymodel.Reader = (*Reader)(nil)

// Options say where the geometry is. The zero value finds it by the names of
// the columns: wkt, geometry, geom, the_geom, …, else lon and lat, lng, x and y, 经度 and 纬度, ….
type Options struct {
	citymodel.FeatureOptions
	Column   string // has the geometry; empty: found by name
	X, Y, Z  string // columns of coordinates; empty: found by name
	Comma    rune   // between the fields; zero: found in the first line
	Encoding string // e.g. "GBK"; empty: UTF-8, and GB 18030 what is not
}

// The names by which columns are found, without regard to upper and lower case.
var (
	geometryNames  = []string{"wkt", "geometry", "geom", "the_geom", "wkt_geom", "_ogr_geometry_", "geomwkt", "shape", "几何"}
	longitudeNames = []string{"lon", "lng", "long", "longitude", "经度", "x", "point_x"}
	latitudeNames  = []string{"lat", "latitude", "纬度", "y", "point_y"}
	heightNames    = []string{"z", "alt", "altitude", "elevation", "ele", "高程", "point_z"}
)

// Reader reads one table.
type Reader struct {
	m       *flat.Maker
	opt     Options
	src     *meter
	csv     *csv.Reader
	text    *charset.Decoder
	names   []string
	wkt     int // column, or -1
	x, y, z int
	crs     spatial.CRS
	told    map[int]spatial.CRS // by SRID
	used    bool
}

// meter ends the reading of a record that is too long.
type meter struct {
	r     io.Reader
	since int // bytes since the last record
	limit int
}

var errLong = errors.New("too long")

func (m *meter) Read(b []byte) (int, error) {
	if m.since > m.limit {
		return 0, errLong
	}
	n, err := m.r.Read(b)
	m.since += n
	return n, err
}

// sample is how much is looked at to find out what the table is.
const sample = 64 << 10

// Recognise reports whether head, the beginning of a file, is a table in whose
// first line the columns of a geometry are named.
func Recognise(head []byte) bool {
	if i := strings.IndexByte(string(head), 0); i >= 0 && !strings.HasPrefix(string(head), "\xff\xfe") && !strings.HasPrefix(string(head), "\xfe\xff") {
		return false
	}
	r, err := Open(strings.NewReader(string(head)), Options{})
	return err == nil && len(r.names) > 1
}

// Open reads the first record. Its errors are of type *citymodel.Error.
func Open(src io.Reader, o Options) (*Reader, error) {
	r := &Reader{m: flat.New("CSV", o.FeatureOptions), opt: o, told: map[int]spatial.CRS{}}
	br := bufio.NewReaderSize(src, sample)
	head, err := br.Peek(sample)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, r.m.Final(1, 0, err)
	}
	var in io.Reader = br
	switch {
	case strings.HasPrefix(string(head), "\xff\xfe"), strings.HasPrefix(string(head), "\xfe\xff"):
		in = unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewDecoder().Reader(br)
		wide := bufio.NewReaderSize(in, sample)
		if head, err = wide.Peek(sample / 2); err != nil && !errors.Is(err, io.EOF) {
			return nil, r.m.Final(1, 0, err)
		}
		in = wide
	case strings.HasPrefix(string(head), "\xef\xbb\xbf"):
		if _, err := br.Discard(3); err != nil {
			return nil, r.m.Final(1, 0, err)
		}
		head = head[3:]
	}
	var ok bool
	if r.text, ok = charset.New(o.Encoding); !ok {
		return nil, r.m.Final(1, 0, flat.Faultf(citymodel.UnknownType, "no encoding is called %.40q; expected e.g. UTF-8 or GBK", o.Encoding))
	}
	r.src = &meter{r: in, limit: r.m.Limits.RecordBytes}
	r.csv = csv.NewReader(r.src)
	r.csv.FieldsPerRecord = -1
	r.csv.ReuseRecord = true
	r.csv.Comma = o.Comma
	if o.Comma == 0 {
		r.csv.Comma = comma(head)
	}
	if err := r.header(); err != nil {
		return nil, r.m.Final(1, 0, err)
	}
	r.crs = spatial.CRS{Horizontal: spatial.CRS84}
	if o.CRS.Known() {
		r.crs = o.CRS
	}
	return r, nil
}

// comma finds what separates the fields: what the first line has most of,
// outside of quotes.
func comma(head []byte) rune {
	count := map[byte]int{}
	quoted := false
line:
	for _, c := range head {
		switch {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '\n':
			break line
		default:
			count[c]++
		}
	}
	best := byte(',')
	for _, c := range []byte{';', '\t', '|'} {
		// The second byte of a GBK character can be a |.
		if count[c] > count[best] && (c != '|' || utf8.Valid(head[:len(head)-min(len(head), utf8.UTFMax)])) {
			best = c
		}
	}
	return rune(best)
}

func (r *Reader) header() error {
	fields, err := r.csv.Read()
	switch {
	case errors.Is(err, io.EOF):
		return flat.Faultf(citymodel.Missing, "the table is empty; expected a first line that names the columns")
	case errors.Is(err, errLong):
		return r.long()
	case err != nil:
		return flat.Faultf(citymodel.Syntax, "the first line, which names the columns: %v", err)
	case len(fields) > r.m.Limits.Attributes:
		return flat.Faultf(citymodel.TooLarge, "%d columns; the limit is %d", len(fields), r.m.Limits.Attributes)
	}
	for i, f := range fields {
		name := strings.TrimSpace(r.text.Text([]byte(f)))
		if name == "" {
			name = "column " + strconv.Itoa(i+1)
		}
		r.names = append(r.names, name)
	}
	if r.wkt, err = r.find(r.opt.Column, geometryNames); err != nil {
		return err
	}
	for _, c := range []struct {
		column *int
		name   string
		names  []string
	}{{&r.x, r.opt.X, longitudeNames}, {&r.y, r.opt.Y, latitudeNames}, {&r.z, r.opt.Z, heightNames}} {
		if *c.column, err = r.find(c.name, c.names); err != nil {
			return err
		}
	}
	if r.opt.X != "" && r.opt.Column == "" {
		r.wkt = -1
	}
	if r.wkt < 0 && (r.x < 0 || r.y < 0) {
		return flat.Faultf(citymodel.Missing, "no column has a geometry: found %.200q; expected one of %s, or of %s with one of %s (or name them with --column, or --x and --y)",
			strings.Join(r.names, ", "), strings.Join(geometryNames[:4], ", "), strings.Join(longitudeNames[:5], ", "), strings.Join(latitudeNames[:3], ", "))
	}
	return nil
}

// find is the column of that name, or the first of the names; -1: none.
func (r *Reader) find(name string, names []string) (int, error) {
	if name != "" {
		names = []string{name}
	}
	for _, want := range names {
		for i, n := range r.names {
			if strings.EqualFold(n, want) {
				return i, nil
			}
		}
	}
	if name != "" {
		return -1, flat.Faultf(citymodel.Missing, "no column is called %.100q; there are %.200q", name, strings.Join(r.names, ", "))
	}
	return -1, nil
}

func (r *Reader) long() error {
	return flat.Faultf(citymodel.TooLarge, "a record of more than %d bytes; a quotation mark may not be closed, or raise Limits.RecordBytes", r.m.Limits.RecordBytes)
}

// Info is what is known of the table.
func (r *Reader) Info() citymodel.Info { return citymodel.Info{Format: "CSV", CRS: r.crs} }

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
		line := 1
		for {
			r.src.since = 0
			offset := r.csv.InputOffset()
			fields, err := r.csv.Read()
			var fault *csv.ParseError
			switch {
			case errors.Is(err, io.EOF):
				return
			case errors.Is(err, errLong):
				yield(nil, r.m.Final(line+1, offset, r.long()))
				return
			case errors.As(err, &fault) && !errors.Is(err, errLong):
				line = fault.Line
				r.m.Report.Report(citymodel.Problem{
					Severity: citymodel.SeverityError, Code: citymodel.Syntax, Line: fault.Line, Offset: offset,
					Field: "column " + strconv.Itoa(fault.Column), Message: fmt.Sprintf("record from line %d: %v; it is left out", fault.StartLine, fault.Err),
				})
				continue
			case err != nil:
				yield(nil, r.m.Final(line, offset, err))
				return
			}
			line, _ = r.csv.FieldPos(0)
			if len(fields) != len(r.names) {
				r.m.Report.Report(citymodel.Problem{
					Severity: citymodel.SeverityError, Code: citymodel.Syntax, Line: line, Offset: offset,
					Message: fmt.Sprintf("%d fields, the first line names %d; the record is left out", len(fields), len(r.names)),
				})
				continue
			}
			if !yield(r.object(fields, spatial.Source{Line: line, Offset: offset}), nil) {
				return
			}
		}
	}
}

func (r *Reader) object(fields []string, at spatial.Source) *spatial.CityObject {
	o := &spatial.CityObject{CRS: r.crs, Source: at}
	o.Attributes = make(spatial.Attributes, 0, len(fields))
	for i, f := range fields {
		if i != r.wkt {
			o.Attributes = append(o.Attributes, spatial.Attribute{Name: r.names[i], Value: value(r.text.Text([]byte(f)))})
		}
		if i == 0 && strings.EqualFold(r.names[i], "id") {
			o.ID = r.text.Text([]byte(f))
		}
	}
	if r.text.Guessed && r.m.Once("encoding") {
		r.m.Warn(o, citymodel.Syntax, "", "the text is not UTF-8; it is taken as GB 18030 (GBK), here and wherever this is so; name the encoding if that is wrong")
	}
	var s flat.Shapes
	s.Reset(r.m.Limits.ObjectPoints)
	field, err := r.shape(&s, o, fields)
	if err != nil {
		r.m.Dropped(o, field, err)
	} else {
		r.m.Geometries(o, &s, field)
	}
	r.m.Finish(o)
	return o
}

// shape reads the geometry of a record.
func (r *Reader) shape(s *flat.Shapes, o *spatial.CityObject, fields []string) (field string, err error) {
	if r.wkt >= 0 {
		field = r.names[r.wkt]
		text := strings.TrimSpace(fields[r.wkt])
		if text == "" {
			return field, nil
		}
		srid, err := wkx.Text(s, text)
		if srid != 0 && !r.opt.CRS.Known() {
			o.CRS = r.srid(o, field, srid)
		} else if !r.opt.CRS.Known() && r.m.Once("crs") {
			r.m.Warn(o, citymodel.UnknownCRS, field, "the table names no CRS: longitude and latitude in WGS 84 are assumed; name another with --crs")
		}
		return field, err
	}
	var c [3]float64
	given := 0
	for i, column := range []int{r.x, r.y, r.z} {
		if column < 0 {
			continue
		}
		text := strings.TrimSpace(fields[column])
		if text == "" {
			continue
		}
		if c[i], err = strconv.ParseFloat(text, 64); err != nil {
			return r.names[column], flat.Faultf(citymodel.WrongType, "%.40q is no coordinate", text)
		}
		given |= 1 << i
	}
	if given&3 == 0 {
		return "", nil
	}
	if given&3 != 3 {
		return r.names[r.x], flat.Faultf(citymodel.Missing, "only one of %s and %s is given", r.names[r.x], r.names[r.y])
	}
	s.Begin(spatial.MultiPoint, given&4 != 0)
	return r.names[r.x], s.Point(c[0], c[1], c[2])
}

// srid is the CRS of an SRID, which everybody takes to be an EPSG code.
func (r *Reader) srid(o *spatial.CityObject, field string, srid int) spatial.CRS {
	c, ok := r.told[srid]
	if !ok {
		if c = crs.EPSG(srid); !c.Known() {
			r.m.Error(o, citymodel.UnknownCRS, field, "SRID %d is no horizontal CRS; name one with --crs", srid)
		}
		if len(r.told) < 1000 {
			r.told[srid] = c
		}
	}
	return c
}

// value is a number only where nothing of the text is lost by it.
func value(text string) spatial.Value {
	switch text {
	case "":
		return spatial.NullValue()
	case "true", "false":
		return spatial.BoolValue(text == "true")
	}
	if c := text[0]; c != '-' && (c < '0' || c > '9') || len(text) > 25 {
		return spatial.TextValue(text)
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && strconv.FormatInt(n, 10) == text {
		return spatial.IntValue(n)
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && strconv.FormatFloat(f, 'f', -1, 64) == text {
		return spatial.FloatValue(f)
	}
	return spatial.TextValue(text)
}
