package edr

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"log/slog"
	"math"
	"net/http"
	"sort"
	"strconv"
	"time"

	"cityhub/internal/jsonenc"
	"cityhub/spatial/city"
)

// The media types of data. That of CoverageJSON is not registered with IANA; it is
// the one of 19-086r6.
const (
	mediaCoverage = "application/prs.coverage+json"
	mediaGeoJSON  = "application/geo+json"
	mediaCSV      = "text/csv"
)

// quality is the name of the range with the quality of readings.
const quality = "quality"

// category is a mark of quality and its number in the five-level scheme of IOC
// Manuals and Guides 54 vol. 3, as everywhere in the hub.
type category struct {
	name string
	code int
}

// qualities are the categories of quality.
func qualities() []category {
	return []category{{"good", 1}, {"not-evaluated", 2}, {"suspect", 3}, {"bad", 4}, {"missing", 9}}
}

// readings appends what a query asks of a Datastream, in order of time.
func (q *query) readings(ctx context.Context, ds *city.Datastream, dst []city.Reading, limit int) ([]city.Reading, error) {
	switch {
	case !q.at.IsZero():
		r, ok, err := q.view.Observed.LatestAt(ctx, ds, q.at)
		if err != nil || !ok {
			return dst, err
		}
		return append(dst, r), nil
	case q.to.IsZero():
		if r, ok := q.view.Observed.Latest(ds); ok {
			dst = append(dst, r)
		}
		return dst, nil
	}
	err := q.view.Observed.Range(ctx, ds, q.from, q.to, func(r city.Reading) bool {
		dst = append(dst, r)
		return len(dst) <= limit
	})
	return dst, err
}

// count refuses an answer that is too large before any of it is written.
func (h *handler) count(ctx context.Context, q *query, list []selected) error {
	if len(list) > h.o.MaxStations {
		return tooMany("Datastreams", len(list), h.o.MaxStations)
	}
	if q.to.IsZero() {
		return nil // one reading each
	}
	n := 0
	for _, s := range list {
		err := q.view.Observed.Range(ctx, s.Datastream, q.from, q.to, func(city.Reading) bool {
			n++
			return n <= h.o.MaxValues
		})
		if err != nil {
			return err
		}
		if n > h.o.MaxValues {
			return &city.Error{Code: city.TooLarge, Field: "datetime", Message: "the answer would have more than " + strconv.Itoa(h.o.MaxValues) + " readings",
				Hint: "ask for a shorter datetime, a smaller area or fewer parameters (parameter-name)"}
		}
	}
	return nil
}

// write answers with the readings of list.
func (h *handler) write(w http.ResponseWriter, r *http.Request, q *query, list []selected) error {
	if err := h.count(r.Context(), q, list); err != nil {
		return err
	}
	media := map[string]string{"CoverageJSON": mediaCoverage, "GeoJSON": mediaGeoJSON, "CSV": mediaCSV + "; charset=utf-8; header=present"}[q.format]
	w.Header().Set("Content-Type", media)
	w.Header().Set("Content-Crs", "<"+q.crs+">")
	if r.Method == http.MethodHead {
		return nil
	}
	out := bufio.NewWriterSize(w, 32<<10)
	var err error
	switch q.format {
	case "GeoJSON":
		err = h.writeGeoJSON(r.Context(), out, q, list)
	case "CSV":
		err = h.writeCSV(r.Context(), out, q, list)
	default:
		err = h.writeCoverages(r.Context(), out, q, list)
	}
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		// A part has been sent: only a broken connection can say that it is not all.
		if r.Context().Err() == nil {
			h.o.Logger.Warn("observations not sent whole", slog.String("path", r.URL.EscapedPath()), slog.Any("err", err))
		}
		panic(http.ErrAbortHandler)
	}
	return nil
}

// each calls fn with the readings of every Datastream of list that has any. The
// readings are only valid during the call.
func (h *handler) each(ctx context.Context, q *query, list []selected, fn func(s selected, rs []city.Reading) error) error {
	var rs []city.Reading
	var err error
	for _, s := range list {
		// What came in since the count may make it somewhat more, not much more.
		if rs, err = q.readings(ctx, s.Datastream, rs[:0], h.o.MaxValues); err != nil {
			return err
		}
		if len(rs) == 0 {
			continue
		}
		if err := fn(s, rs); err != nil {
			return err
		}
	}
	return nil
}

// parameter is a parameter of CoverageJSON (21-069r2, section 6.3), whose texts are by language.
func parameter(p city.Property, ds *city.Datastream) map[string]any {
	label := map[string]string{}
	if p.Title != "" {
		label["zh"] = p.Title
	}
	if p.TitleEn != "" {
		label["en"] = p.TitleEn
	}
	if len(label) == 0 {
		label["und"] = ds.Property
	}
	observed := map[string]any{"label": label}
	if p.Definition != "" {
		observed["id"] = p.Definition
	}
	m := map[string]any{"type": "Parameter", "observedProperty": observed}
	if ds.Text {
		return m
	}
	if u := unitOf(ds.UnitCode, ds.UnitSymbol); u != nil {
		if p.UnitName != "" && p.UnitCode == ds.UnitCode {
			u["label"] = map[string]string{"en": p.UnitName}
		}
		m["unit"] = u
	}
	return m
}

// qualityParameter tells the categories of quality (21-069r2, section 6.3.2).
func qualityParameter() map[string]any {
	titles := map[string][2]string{"good": {"良好", "good"}, "not-evaluated": {"未评估", "not evaluated"}, "suspect": {"可疑", "suspect"}, "bad": {"错误", "bad"}, "missing": {"缺测", "missing"}}
	var categories []map[string]any
	encoding := map[string]int{}
	for _, q := range qualities() {
		categories = append(categories, map[string]any{"id": q.name, "label": map[string]string{"zh": titles[q.name][0], "en": titles[q.name][1]}})
		encoding[q.name] = q.code
	}
	return map[string]any{"type": "Parameter", "observedProperty": map[string]any{"label": map[string]string{"zh": "质量", "en": "quality"}, "categories": categories}, "categoryEncoding": encoding}
}

// parameters are those of list, by key.
func (q *query) parameters(list []selected) map[string]any {
	m := map[string]any{}
	for _, s := range list {
		if _, ok := m[s.key]; !ok {
			m[s.key] = parameter(q.properties[s.Property], s.Datastream)
		}
	}
	if len(list) > 0 {
		m[quality] = qualityParameter()
	}
	return m
}

// writeCoverages writes a CoverageCollection of PointSeries (21-069r2, sections
// 6.5 and 9.5). A value that is missing is null. What a station without a place
// observes, which only …/locations/{code} shows, has the axis of time alone.
func (h *handler) writeCoverages(ctx context.Context, out *bufio.Writer, q *query, list []selected) error {
	// The coordinates are named in the order of the CRS's axes.
	axes := []string{"x", "y"}
	if q.latFirst {
		axes = []string{"y", "x"}
	}
	everywhere := true // every station has a place
	for _, s := range list {
		everywhere = everywhere && placed(s.Datastream)
	}
	referencing := []map[string]any{{"coordinates": []string{"t"}, "system": map[string]any{"type": "TemporalRS", "calendar": "Gregorian"}}}
	head := map[string]any{"parameters": q.parameters(list)}
	if everywhere {
		head["domainType"] = "PointSeries"
		referencing = append([]map[string]any{{"coordinates": axes, "system": map[string]any{"type": "GeographicCRS", "id": q.crs}}}, referencing...)
	}
	head["referencing"] = referencing
	b, err := json.Marshal(head)
	if err != nil {
		return err
	}
	_, _ = out.WriteString(`{"type":"CoverageCollection",`)
	_, _ = out.Write(b[1 : len(b)-1])
	_, _ = out.WriteString(`,"coverages":[`)
	comma := ""
	var line []byte
	err = h.each(ctx, q, list, func(s selected, rs []city.Reading) error {
		line = append(line[:0], comma...)
		comma = ","
		line = append(line, `{"type":"Coverage","id":`...)
		line = jsonenc.AppendString(line, s.Terminal+"/"+strconv.FormatInt(s.ID, 10))
		line = append(line, `,"cityhub:terminal":`...)
		line = jsonenc.AppendString(line, s.Terminal)
		if !math.IsNaN(s.metres) {
			line = append(line, `,"cityhub:distanceMetres":`...)
			line = jsonenc.AppendFloat(line, math.Round(s.metres*10)/10)
		}
		line = append(line, `,"domain":{"type":"Domain",`...)
		if everywhere {
			line = append(line, `"domainType":"PointSeries","axes":{"x":{"values":[`...)
			line = jsonenc.AppendFloat(line, s.Lon)
			line = append(line, `]},"y":{"values":[`...)
			line = jsonenc.AppendFloat(line, s.Lat)
			line = append(line, `]},"t":{"values":[`...)
		} else {
			line = append(line, `"axes":{"t":{"values":[`...)
		}
		line = list1(line, rs, func(dst []byte, r city.Reading) []byte {
			dst = append(dst, '"')
			dst = r.Time.UTC().AppendFormat(dst, time.RFC3339Nano)
			return append(dst, '"')
		})
		line = append(line, `]}}},"ranges":{`...)
		kind := "float"
		if s.Text {
			kind = "string"
		}
		line = jsonenc.AppendString(line, s.key)
		line = array(line, kind, len(rs))
		line = list1(line, rs, func(dst []byte, r city.Reading) []byte { return appendValue(dst, s.Datastream, r) })
		line = append(line, `]},"`+quality+`"`...)
		line = array(line, "integer", len(rs))
		line = list1(line, rs, func(dst []byte, r city.Reading) []byte { return appendQuality(dst, r) })
		line = append(line, `]}}}`...)
		_, err := out.Write(line)
		return err
	})
	if err != nil {
		return err
	}
	_, err = out.WriteString("]}")
	return err
}

// array begins an NdArray over t (21-069r2, section 6.4).
func array(dst []byte, kind string, n int) []byte {
	dst = append(dst, `:{"type":"NdArray","dataType":"`+kind+`","axisNames":["t"],"shape":[`...)
	dst = strconv.AppendInt(dst, int64(n), 10)
	return append(dst, `],"values":[`...)
}

func list1(dst []byte, rs []city.Reading, each func([]byte, city.Reading) []byte) []byte {
	for i, r := range rs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = each(dst, r)
	}
	return dst
}

// appendValue is null for what is missing and for what is no number.
func appendValue(dst []byte, ds *city.Datastream, r city.Reading) []byte {
	switch {
	case r.Quality == "missing":
		return append(dst, "null"...)
	case ds.Text:
		return jsonenc.AppendString(dst, r.Text)
	}
	return jsonenc.AppendFloat(dst, r.Value)
}

func appendQuality(dst []byte, r city.Reading) []byte {
	for _, q := range qualities() {
		if q.name == r.Quality {
			return strconv.AppendInt(dst, int64(q.code), 10)
		}
	}
	return append(dst, "null"...)
}

// writeGeoJSON writes a Feature for each Datastream (RFC 7946; 19-086r6, edr-geojson).
func (h *handler) writeGeoJSON(ctx context.Context, out *bufio.Writer, q *query, list []selected) error {
	b, err := json.Marshal(q.parameters(list))
	if err != nil {
		return err
	}
	_, _ = out.WriteString(`{"type":"FeatureCollection","parameters":`)
	_, _ = out.Write(b)
	_, _ = out.WriteString(`,"features":[`)
	comma := ""
	var line []byte
	err = h.each(ctx, q, list, func(s selected, rs []city.Reading) error {
		about := map[string]any{"type": "Feature", "id": s.Terminal + "/" + strconv.FormatInt(s.ID, 10), "geometry": pointOf(s.Lon, s.Lat)}
		properties := map[string]any{
			"terminal": s.Terminal, "label": labelOf(s.Datastream), "parameter-name": []string{s.key}, "simulated": s.Simulated,
			"datetime": stamp(rs[0].Time) + "/" + stamp(rs[len(rs)-1].Time),
		}
		if len(rs) == 1 {
			properties["datetime"] = stamp(rs[0].Time)
		}
		if s.UnitCode != "" {
			properties["unit"] = s.UnitCode
		}
		if !math.IsNaN(s.metres) {
			properties["distanceMetres"] = math.Round(s.metres*10) / 10
		}
		head, err := json.Marshal(about)
		if err != nil {
			return err
		}
		props, err := json.Marshal(properties)
		if err != nil {
			return err
		}
		line = append(line[:0], comma...)
		comma = ","
		line = append(line, head[:len(head)-1]...)
		line = append(line, `,"properties":`...)
		line = append(line, props[:len(props)-1]...)
		line = append(line, `,"times":[`...)
		line = list1(line, rs, func(dst []byte, r city.Reading) []byte {
			dst = append(dst, '"')
			dst = r.Time.UTC().AppendFormat(dst, time.RFC3339Nano)
			return append(dst, '"')
		})
		line = append(line, `],"values":[`...)
		line = list1(line, rs, func(dst []byte, r city.Reading) []byte { return appendValue(dst, s.Datastream, r) })
		line = append(line, `],"quality":[`...)
		line = list1(line, rs, func(dst []byte, r city.Reading) []byte { return jsonenc.AppendString(dst, r.Quality) })
		line = append(line, `]}}`...)
		_, err = out.Write(line)
		return err
	})
	if err != nil {
		return err
	}
	_, err = out.WriteString("]}")
	return err
}

// writeCSV writes a row for each reading, with a column for each parameter and
// its unit in the header (RFC 4180). A text that a spreadsheet would take for a
// formula has an apostrophe before it.
func (h *handler) writeCSV(ctx context.Context, out *bufio.Writer, q *query, list []selected) error {
	units := map[string]string{}
	for _, s := range list {
		unit := s.UnitCode
		if unit == "" {
			unit = s.UnitSymbol
		}
		if s.Text {
			unit = ""
		}
		units[s.key] = unit
	}
	keys := make([]string, 0, len(units))
	for k := range units {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	fixed := []string{"terminal", "longitude (deg)", "latitude (deg)", "time (UTC)", "quality"}
	header := append([]string{}, fixed...)
	column := map[string]int{}
	for _, k := range keys {
		column[k] = len(header)
		title := k
		if units[k] != "" {
			title += " (" + units[k] + ")"
		}
		header = append(header, harmless(title))
	}
	c := csv.NewWriter(out)
	c.UseCRLF = true
	if err := c.Write(header); err != nil {
		return err
	}
	row := make([]string, len(header))
	err := h.each(ctx, q, list, func(s selected, rs []city.Reading) error {
		clear(row)
		row[0], row[1], row[2] = harmless(s.Terminal), number(s.Lon), number(s.Lat)
		at := column[s.key]
		for _, r := range rs {
			row[3], row[4] = stamp(r.Time), r.Quality
			switch {
			case r.Quality == "missing":
				row[at] = ""
			case s.Text:
				row[at] = harmless(r.Text)
			default:
				row[at] = number(r.Value)
			}
			if err := c.Write(row); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.Flush()
	return c.Error()
}

// number is empty for what is no number.
func number(f float64) string {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return ""
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

func harmless(s string) string {
	if s != "" && (s[0] == '=' || s[0] == '+' || s[0] == '-' || s[0] == '@' || s[0] == '\t' || s[0] == '\r') {
		return "'" + s
	}
	return s
}
