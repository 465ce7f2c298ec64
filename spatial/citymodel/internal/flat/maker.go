package flat

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/internal/heights"
)

// Maker finishes the objects of one source.
type Maker struct {
	Opt    citymodel.FeatureOptions // with defaults
	Limits citymodel.Limits
	Tally  citymodel.Tally
	Report citymodel.Reporter
	// Typed: the reader gave the objects type and class.
	Typed   bool
	told    map[string]bool
	unknown map[string]bool
}

// New gives a Maker for a source; format is its name where the options have none.
func New(format string, o citymodel.FeatureOptions) *Maker {
	if o.File == "" {
		o.File = format
	}
	if len(o.NameProperty) == 0 {
		o.NameProperty = []string{"name", "name:zh"}
	}
	if !(o.MetresPerLevel > 0) {
		o.MetresPerLevel = heights.MetresPerLevel
	}
	m := &Maker{Opt: o, Limits: o.Limits.WithDefaults(), told: map[string]bool{}, unknown: map[string]bool{}}
	m.Report = citymodel.Reporter{File: o.File, Sink: o.Problem, Tally: &m.Tally}
	return m
}

// Warn reports a warning about o.
func (m *Maker) Warn(o *spatial.CityObject, code citymodel.Code, field, format string, args ...any) {
	m.problem(citymodel.SeverityWarning, o, code, field, format, args...)
}

// Error reports an error about o.
func (m *Maker) Error(o *spatial.CityObject, code citymodel.Code, field, format string, args ...any) {
	m.problem(citymodel.SeverityError, o, code, field, format, args...)
}

func (m *Maker) problem(severity citymodel.Severity, o *spatial.CityObject, code citymodel.Code, field, format string, args ...any) {
	m.Report.Report(citymodel.Problem{
		Severity: severity, Code: code, Line: o.Source.Line, Offset: o.Source.Offset, Object: o.ID, Field: field, Message: fmt.Sprintf(format, args...),
	})
}

// Once reports whether it is asked about key for the first time.
func (m *Maker) Once(key string) bool {
	if m.told[key] || len(m.told) > 10_000 {
		return false
	}
	m.told[key] = true
	return true
}

// Dropped reports that a geometry of o was left out because of err.
func (m *Maker) Dropped(o *spatial.CityObject, field string, err error) {
	m.Tally.Dropped++
	m.Error(o, CodeOf(err), field, "%v; the geometry is left out", err)
}

// CodeOf is the code of a Fault, Syntax for other errors.
func CodeOf(err error) citymodel.Code {
	var f *Fault
	if errors.As(err, &f) {
		return f.Code
	}
	return citymodel.Syntax
}

// Geometries gives o what s has built, without what has no finite coordinates.
func (m *Maker) Geometries(o *spatial.CityObject, s *Shapes, field string) {
	if s.Open > 0 {
		m.Error(o, citymodel.RingNotClosed, field, "the last point of %d rings is not the first; they are taken as closed", s.Open)
	}
	for i := range s.List {
		g := &s.List[i]
		if err := valid(g, o.CRS.Degrees()); err != nil {
			m.Dropped(o, field, err)
			continue
		}
		o.Geometries = append(o.Geometries, *g)
	}
}

func valid(g *spatial.Geometry, degrees bool) error {
	for p := 0; p < len(g.XYZ); p += 3 {
		x, y := g.XYZ[p], g.XYZ[p+1]
		for _, v := range g.XYZ[p : p+3] {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return Faultf(citymodel.OutOfRange, "point %d is %v, %v, %v; expected finite numbers", p/3, x, y, g.XYZ[p+2])
			}
		}
		if degrees && (math.Abs(x) > 180 || math.Abs(y) > 90) {
			return Faultf(citymodel.OutOfRange, "point %d is %v, %v, which is no longitude and latitude in degrees; the source may have latitude first, or be in another CRS (name it with --crs)", p/3, x, y)
		}
	}
	if err := g.Valid(); err != nil {
		return Faultf(citymodel.Syntax, "%v", err)
	}
	return nil
}

// Finish fills in what follows from the rest, checks and counts.
func (m *Maker) Finish(o *spatial.CityObject) {
	o.Level, o.Source.File = m.Opt.Level, m.Opt.File
	if m.Opt.IDProperty != "" {
		if v, ok := get(o.Attributes, m.Opt.IDProperty); ok && v.Kind() != spatial.Null && v.String() != "" {
			o.ID = v.String()
		}
	}
	if o.ID == "" {
		o.ID = MadeUp(o)
		if m.Once("id") {
			m.Warn(o, citymodel.NoID, "id", "no identifier: one is made of the object's content, here and wherever it is missing, so that a changed object is another one; name an attribute that identifies it")
		}
	}
	if o.Name == "" {
		for _, name := range m.Opt.NameProperty {
			if v, ok := get(o.Attributes, name); ok {
				if o.Name, _ = v.Text(); o.Name != "" {
					break
				}
			}
		}
	}
	m.Tally.Objects++
	for i := range o.Geometries {
		m.Tally.Geometries++
		m.Tally.Points += o.Geometries[i].NumPoints()
	}
	m.classify(o)
	o.Height = heights.Of(o.Attributes, m.Opt.MetresPerLevel, func(name, message string) {
		m.Warn(o, citymodel.OutOfRange, name, "%s", message)
	})
	citymodel.Check(o, m.Opt.Check, m.Report.Report)
}

// get finds an attribute; formats and databases differ in upper and lower case.
func get(attributes spatial.Attributes, name string) (spatial.Value, bool) {
	if v, ok := attributes.Get(name); ok {
		return v, true
	}
	for i := range attributes {
		if strings.EqualFold(attributes[i].Name, name) {
			return attributes[i].Value, true
		}
	}
	return spatial.Value{}, false
}

// maxWord is the longest unknown class that is remembered.
const maxWord = 100

// classify gives o its class.
func (m *Maker) classify(o *spatial.CityObject) {
	if v, ok := get(o.Attributes, m.Opt.ClassProperty); ok && m.Opt.ClassProperty != "" {
		word := v.String()
		class, known := m.Opt.Classes[word]
		if !known {
			class = spatial.Class(word)
			if known = class.Valid(); !known {
				typed := *o
				typed.Type = word
				if known = m.Opt.Classify(&typed); known {
					o.Type, class = word, typed.Class
				}
			}
		}
		if known {
			o.Class = class
			return
		}
		if !m.unknown[word] && len(m.unknown) < 1000 {
			if len(word) <= maxWord {
				m.unknown[word] = true
			}
			m.Warn(o, citymodel.UnknownType, m.Opt.ClassProperty, "%.100q is no element class; its objects get %q", word, m.Opt.Class)
		}
	}
	if o.Class == "" {
		o.Class = m.Opt.Class
	}
	if o.Class == "" && !m.Typed && m.Once("class") {
		m.Warn(o, citymodel.NoClass, "", "the object is of none of the five element classes, here and wherever this is so; name the class, or the attribute that has it")
	}
}

// MadeUp is an identifier from the geometry and the attributes of o.
func MadeUp(o *spatial.CityObject) string {
	h := sha256.New()
	var b []byte
	for i := range o.Geometries {
		g := &o.Geometries[i]
		b = append(b[:0], byte(g.Kind))
		for _, v := range g.XYZ {
			bits := math.Float64bits(v)
			b = append(b, byte(bits), byte(bits>>8), byte(bits>>16), byte(bits>>24), byte(bits>>32), byte(bits>>40), byte(bits>>48), byte(bits>>56))
		}
		for _, end := range g.Rings {
			b = append(b, byte(end), byte(end>>8), byte(end>>16), byte(end>>24))
		}
		h.Write(b)
	}
	for _, a := range o.Attributes {
		fmt.Fprintf(h, "%q=%d%q", a.Name, a.Value.Kind(), a.Value.String())
	}
	return "sha-" + hex.EncodeToString(h.Sum(nil)[:8])
}

// Final makes err a *citymodel.Error that ends the reading of file.
func (m *Maker) Final(line int, offset int64, err error) error {
	var e *citymodel.Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	return &citymodel.Error{Code: CodeOf(err), File: m.Opt.File, Line: line, Offset: offset, Message: err.Error(), Err: err}
}

// ErrUsed is the error of a second call of Objects.
var ErrUsed = errors.New("the objects have been read already")
