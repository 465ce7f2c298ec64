package features

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"cityhub/spatial/city"
	"cityhub/spatial/cql2"
	"cityhub/spatial/crs"
	"cityhub/spatial/store"
)

// search is what the parameters of a request for items ask for.
type search struct {
	limit   int
	after   int64
	crs     *crs.CRS // of the answer
	at      time.Time
	bbox    *store.BBox
	within  cql2.Expr // the box as a literal
	tall    bool      // the box has heights
	low     float64
	high    float64
	live    bool
	lod     string
	profile string
}

// searchParams are the parameters of items besides the properties.
func searchParams() []string {
	return []string{"bbox", "bbox-crs", "datetime", "limit", "cursor", "crs", "filter", "filter-lang", "filter-crs", "live", "lod", "profile"}
}

func invalid(field, hint, format string, args ...any) error {
	return &city.Error{Code: city.Invalid, Field: field, Message: fmt.Sprintf(format, args...), Hint: hint}
}

// search reads all of them but the filter.
func (c *call) search() (search, error) {
	s := search{limit: defaultLimit}
	var err error
	if c.format.name == formatHTML.name { // the fields of a form that were left empty
		for name, v := range c.query {
			if v[0] == "" {
				delete(c.query, name)
			}
		}
	}
	if v, ok := c.param("limit"); ok {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil && !strings.HasPrefix(v, "+") && isDigits(v) {
			n, err = maxLimit, nil // beyond 64 bits
		}
		if err != nil || n < 1 {
			return s, invalid("limit", "", "found %.50q, expected a whole number from 1 to %d", v, maxLimit)
		}
		s.limit = int(min(n, maxLimit)) // /req/core/fc-limit-response-1: fewer may come
	}
	if v, ok := c.param("cursor"); ok {
		if s.after, err = strconv.ParseInt(v, 36, 64); err != nil || s.after < 1 {
			return s, invalid("cursor", "take it from the link next of a page", "found %.50q", v)
		}
	}
	if s.crs, err = c.crsParam("crs", c.h.crss[0]); err != nil {
		return s, err
	}
	if s.at, err = c.moment(); err != nil {
		return s, err
	}
	if err = c.bbox(&s); err != nil {
		return s, err
	}
	if s.live, err = c.flag("live"); err != nil {
		return s, err
	}
	s.lod, s.profile, err = c.shape()
	return s, err
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

func (c *call) param(name string) (string, bool) {
	v, ok := c.query[name]
	if !ok {
		return "", false
	}
	return v[0], true
}

func (c *call) flag(name string) (bool, error) {
	switch v, ok := c.param(name); {
	case !ok || v == "false":
		return false, nil
	case v == "true":
		return true, nil
	default:
		return false, invalid(name, "", "found %.50q, expected true or false", v)
	}
}

// shape reads lod and profile, which JSON-FG has.
func (c *call) shape() (lod, profile string, err error) {
	lod, _ = c.param("lod")
	if len(lod) > 8 || strings.Trim(lod, "0123456789.") != "" {
		return "", "", invalid("lod", "", "found %.50q, expected a level of detail such as 2 or 2.2", lod)
	}
	profile, ok := c.param("profile")
	profile = strings.TrimPrefix(profile, profileBase)
	if ok && profile != "rfc7946" && profile != "jsonfg" && profile != "jsonfg-plus" {
		return "", "", invalid("profile", "", "found %.100q, expected rfc7946, jsonfg or jsonfg-plus", profile)
	}
	if profile == "" {
		profile = "jsonfg"
	}
	return lod, profile, nil
}

// crsParam reads a CRS that is served (/req/crs/fc-crs-valid-value).
func (c *call) crsParam(name string, absent *crs.CRS) (*crs.CRS, error) {
	v, ok := c.param(name)
	if !ok {
		return absent, nil
	}
	return c.h.crsOf(name, v)
}

func (h *handler) crsOf(name, v string) (*crs.CRS, error) {
	found, err := crs.Parse(v)
	if err == nil {
		for _, s := range h.crss {
			if s.Equal(found) && s.URI() == found.URI() {
				return s, nil
			}
		}
		err = fmt.Errorf("%s is not served", found)
	}
	return nil, &city.Error{Code: city.Invalid, Field: name, Message: err.Error(), Hint: "/ogc/collections lists the reference systems under crs", Err: err}
}

// moment is the time that datetime asks about; zero: now. See the package comment.
func (c *call) moment() (time.Time, error) {
	v, ok := c.param("datetime")
	if !ok {
		return time.Time{}, nil
	}
	begin, end, interval := strings.Cut(v, "/")
	fault := func() (time.Time, error) {
		return time.Time{}, invalid("datetime", "times are as in RFC 3339, e.g. 2026-11-21T08:00:00Z, 2026-11-01T00:00:00Z/.. or ../2026-11-21T00:00:00Z", "found %.100q, expected an instant or an interval", v)
	}
	if !interval {
		t, ok := instant(v, false)
		if !ok {
			return fault()
		}
		return t, nil
	}
	open := func(s string) bool { return s == "" || s == ".." }
	var from, to time.Time
	if !open(begin) {
		if from, ok = instant(begin, false); !ok {
			return fault()
		}
	}
	if open(end) {
		if open(begin) {
			return time.Time{}, nil
		}
		if from.After(c.now) {
			return from, nil
		}
		return time.Time{}, nil
	}
	if to, ok = instant(end, true); !ok {
		return fault()
	}
	if to.Before(from) {
		return time.Time{}, invalid("datetime", "", "the interval ends before it begins: %.100q", v)
	}
	if to.After(c.now) && !from.After(c.now) {
		return time.Time{}, nil
	}
	return to, nil
}

// instant reads a time or a date, which is its first instant in UTC; as the end
// of an interval, its last.
func instant(s string, end bool) (time.Time, bool) {
	// The plus of an offset, not escaped, has become a space.
	t, err := time.Parse(time.RFC3339Nano, strings.Replace(s, " ", "+", 1))
	if err == nil {
		return t.UTC(), sane(t)
	}
	if t, err = time.Parse(time.DateOnly, s); err != nil {
		return t, false
	}
	if end {
		t = t.AddDate(0, 0, 1).Add(-time.Nanosecond)
	}
	return t, sane(t)
}

// sane times have nanoseconds in 64 bits.
func sane(t time.Time) bool { return t.Year() >= 1678 && t.Year() <= 2261 }

// bbox reads the box (/req/core/fc-bbox-definition, /req/crs/fc-bbox-crs-definition).
func (c *call) bbox(s *search) error {
	v, ok := c.param("bbox")
	if !ok {
		_, err := c.crsParam("bbox-crs", nil)
		return err
	}
	parts := strings.Split(v, ",")
	if len(parts) != 4 && len(parts) != 6 {
		return invalid("bbox", "minx,miny,maxx,maxy, or with heights minx,miny,minz,maxx,maxy,maxz", "found %d numbers, expected 4 or 6", len(parts))
	}
	n := make([]float64, len(parts))
	for i, p := range parts {
		f, err := strconv.ParseFloat(strings.TrimSpace(p), 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return invalid("bbox", "", "found %.50q as number %d, expected a finite number", p, i+1)
		}
		n[i] = f
	}
	in, err := c.crsParam("bbox-crs", c.h.crss[0])
	if err != nil {
		return err
	}
	if len(n) == 6 {
		if n[2] > n[5] {
			return invalid("bbox", "", "the lowest height %v is above the highest %v", n[2], n[5])
		}
		s.tall, s.low, s.high = true, n[2], n[5]
		n = []float64{n[0], n[1], n[3], n[4]}
	}
	box, err := boxOf(in, [2]float64{n[0], n[1]}, [2]float64{n[2], n[3]}, "bbox")
	if err != nil {
		return err
	}
	if err := (store.Query{BBox: &box}).Check(); err != nil {
		hint := "the order of the axes is that of the CRS's definition; CRS84 is longitude, latitude"
		return &city.Error{Code: city.Invalid, Field: "bbox", Message: err.Error(), Hint: hint, Err: err}
	}
	s.bbox = &box
	if in.Geographic() {
		s.within = &cql2.BBox{West: box.West, South: box.South, East: box.East, North: box.North}
		return nil
	}
	s.within, err = toWGS84(&cql2.BBox{West: n[0], South: n[1], East: n[2], North: n[3]}, in)
	return err
}

// expression is the filter and what else the parameters demand of a feature,
// nil where they demand nothing. lookup finds a queryable, in all of the
// collection where a sample does not have it.
func (c *call) expression(s search, lookup func(name string) (cql2.Queryable, bool, error)) (cql2.Expr, error) {
	var all []cql2.Expr
	lang, _ := c.param("filter-lang")
	if lang != "" && lang != "cql2-text" && lang != "cql2-json" {
		return nil, invalid("filter-lang", "", "found %.50q, expected cql2-text or cql2-json", lang)
	}
	in, err := c.crsParam("filter-crs", c.h.crss[0])
	if err != nil {
		return nil, err
	}
	if text, ok := c.param("filter"); ok {
		var e cql2.Expr
		if lang == "cql2-json" || lang == "" && strings.HasPrefix(strings.TrimSpace(text), "{") {
			e, err = cql2.ParseJSON([]byte(text), cql2.Limits{})
		} else {
			e, err = cql2.ParseText(text, cql2.Limits{})
		}
		if err != nil {
			return nil, err
		}
		for _, name := range cql2.Properties(e) {
			if _, _, err := lookup(name); err != nil { // Compile says what is missing
				return nil, err
			}
		}
		if !in.Equal(c.h.crss[0]) {
			if e, err = toWGS84(e, in); err != nil {
				return nil, err
			}
		}
		all = append(all, e)
	}
	known := append([]string{"f", "lang"}, searchParams()...)
	var names []string
	for name := range c.query {
		if !slices.Contains(known, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		q, ok, err := lookup(name)
		if err != nil {
			return nil, err
		}
		if !ok || q.Type == cql2.TypeGeometry {
			return nil, unknownParameter(name, append(known, "the queryables of the collection"))
		}
		e, err := equals(q, c.query.Get(name))
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	if s.within != nil {
		all = append(all, &cql2.Call{Op: cql2.OpSIntersects, Args: []cql2.Expr{&cql2.Property{Name: "geometry"}, s.within}})
	}
	switch len(all) {
	case 0:
		return nil, nil
	case 1:
		return all[0], nil
	}
	return &cql2.Call{Op: cql2.OpAnd, Args: all}, nil
}

// equals is NAME=VALUE of the query string (/req/queryables-query-parameters).
func equals(q cql2.Queryable, value string) (cql2.Expr, error) {
	var literal cql2.Expr
	switch q.Type {
	case cql2.TypeNumber:
		f, err := strconv.ParseFloat(value, 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return nil, invalid(q.Name, "", "found %.50q, expected a number", value)
		}
		literal = &cql2.Number{Value: f}
	case cql2.TypeBool:
		if value != "true" && value != "false" {
			return nil, invalid(q.Name, "", "found %.50q, expected true or false", value)
		}
		literal = &cql2.Bool{Value: value == "true"}
	case cql2.TypeTimestamp:
		t, ok := instant(value, false)
		if !ok {
			return nil, invalid(q.Name, "", "found %.50q, expected a time as in RFC 3339", value)
		}
		literal = &cql2.Instant{Time: t}
	default:
		literal = &cql2.String{Value: value}
	}
	return &cql2.Call{Op: cql2.OpEq, Args: []cql2.Expr{&cql2.Property{Name: q.Name}, literal}}, nil
}
