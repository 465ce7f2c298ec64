package query

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/paulmach/orb"
	"github.com/paulmach/orb/planar"

	"cityhub/spatial/city"
)

// TestPlane against PROJ (+proj=tmerc +k=1 +ellps=WGS84) and geodesics of
// GeographicLib, both through pyproj 3.
func TestPlane(t *testing.T) {
	pl := planeAt(orb.Point{120.62, 31.3})
	for p, want := range map[orb.Point]orb.Point{
		{120.6154, 31.32454}: {-437.8247, 2720.8779}, {121.5, 31.9}: {83245.5449, 66865.7395}, {119, 30}: {-156318.2657, -143017.4050}, {120.62, 31.3}: {},
	} {
		got := pl.project(p)
		if math.Hypot(got[0]-want[0], got[1]-want[1]) > 1e-4 {
			t.Errorf("%v: %v, want %v", p, got, want)
		}
		if back := pl.degrees(got); math.Abs(back[0]-p[0])+math.Abs(back[1]-p[1]) > 1e-11 {
			t.Errorf("%v: back %v", p, back)
		}
	}
	// 北寺塔 to a place 3.6 km away.
	a, b := orb.Point{120.6154, 31.32454}, orb.Point{120.64, 31.30}
	m := measure(a, 10)
	if d := distance(m.plain, m.pl.project(b)); math.Abs(d-3589.81218870148) > 1e-3 {
		t.Errorf("%v m, want 3589.812", d)
	}
}

func TestDistance(t *testing.T) {
	hole := orb.Polygon{{{0, 0}, {10, 0}, {10, 10}, {0, 10}, {0, 0}}, {{2, 2}, {8, 2}, {8, 8}, {2, 8}, {2, 2}}}
	for _, c := range []struct {
		g    orb.Geometry
		p    orb.Point
		want float64
	}{
		{orb.Point{0, 0}, orb.Point{3, 4}, 5}, {orb.MultiPoint{{0, 0}, {3, 0}}, orb.Point{3, 4}, 4}, {orb.LineString{{0, 0}, {10, 0}}, orb.Point{5, 2}, 2},
		{orb.LineString{{0, 0}, {10, 0}}, orb.Point{13, 4}, 5}, {orb.MultiLineString{{{0, 0}, {1, 0}}, {{5, 5}, {6, 5}}}, orb.Point{6, 7}, 2},
		{hole, orb.Point{1, 1}, 0}, {hole, orb.Point{5, 5}, 3}, {hole, orb.Point{13, 14}, 5}, {orb.MultiPolygon{hole}, orb.Point{-1, 5}, 1},
		{orb.Collection{orb.Point{0, 0}, hole}, orb.Point{0, -2}, 2}, {orb.LineString{{1, 1}, {1, 1}}, orb.Point{1, 2}, 1},
	} {
		if got := distance(c.g, c.p); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%v from %v: %v, want %v", c.p, c.g, got, c.want)
		}
	}
	if !math.IsInf(distance(orb.LineString{}, orb.Point{}), 1) {
		t.Error("nothing is near")
	}
}

// TestBuffer: areas by the formulas of the shapes, and points at random.
func TestBuffer(t *testing.T) {
	shapes := map[float64]orb.Geometry{
		math.Pi * 100:                 orb.Point{5, 5},
		math.Pi*100 + 20*50:           orb.LineString{{0, 0}, {50, 0}},
		50*50 + 4*50*10 + math.Pi*100: orb.Polygon{{{0, 0}, {50, 0}, {50, 50}, {0, 50}, {0, 0}}},
		2 * math.Pi * 100:             orb.MultiPoint{{0, 0}, {100, 0}},
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for want, g := range shapes {
		shape, err := buffer(g, 10)
		if err != nil {
			t.Fatal(err)
		}
		if got := math.Abs(planar.Area(shape)); math.Abs(got/want-1) > 5e-4 || got > want {
			t.Errorf("%s: %v m², want %v", g.GeoJSONType(), got, want)
		}
		for range 2000 {
			p := orb.Point{rng.Float64()*200 - 50, rng.Float64()*200 - 50}
			d := distance(g, p)
			if math.Abs(d-10) > 0.01 && (d < 10) != (distance(shape, p) == 0) {
				t.Fatalf("%s: %v is %v m away", g.GeoJSONType(), p, d)
			}
		}
	}
}

// TestZonalBeijing: readings of two stations by day against pandas 2 on the same
// files (mean, std, quantile), one zone with both, one with none.
func TestZonalBeijing(t *testing.T) {
	view := &city.View{Observed: beijing(t)}
	rows := ask(t, view, time.Now(), `{"kind":"zonal",
	 "zones":{"type":"features","of":{"features":[
	  {"type":"Feature","id":"both","properties":{"name":"两站"},"geometry":{"type":"Polygon","coordinates":[[[116.3,39.92],[116.4,39.92],[116.4,40],[116.3,40],[116.3,39.92]]]}},
	  {"type":"Feature","id":"none","geometry":{"type":"Polygon","coordinates":[[[110,30],[110.1,30],[110.1,30.1],[110,30]]]}}]}},
	 "observations":{"property":"pm25"},"time":{"from":"2017-01-01","to":"2017-01-03","every":"P1D"},
	 "statistics":["count","mean","min","max","sum","stddev","p95","median"]}`)
	want := []map[string]float64{
		{"count": 48, "mean": 478.7916666666667, "min": 381, "max": 575, "sum": 22982, "stddev": 49.823927573659304, "p95": 568, "median": 475.5},
		{"count": 48, "mean": 188.08333333333334, "min": 12, "max": 500, "sum": 9028, "stddev": 134.3505787638609, "p95": 446.7, "median": 174.5},
	}
	if len(rows) != 4 {
		t.Fatalf("%d rows", len(rows))
	}
	for i, w := range want {
		for name, v := range w {
			got := rows[i][name]
			if n, ok := got.(int64); ok {
				got = float64(n)
			}
			if !near(got, v, 1e-9) {
				t.Errorf("day %d: %s %v, want %v", i, name, got, v)
			}
		}
	}
	if rows[0]["from"] != "2017-01-01T00:00:00+08:00" || rows[1]["to"] != "2017-01-03T00:00:00+08:00" || rows[0]["zone"] != "both" || rows[0]["name"] != "两站" || rows[0]["unit"] != "µg/m³" || rows[0]["datastreams"] != int64(2) {
		t.Errorf("row %v", rows[0])
	}
	if e := rows[2]; e["zone"] != "none" || e["count"] != int64(0) || e["mean"] != nil || e["p95"] != nil || e["datastreams"] != int64(0) {
		t.Errorf("an empty zone is listed with nulls: %v", e)
	}
}

// TestHeld: January 2017 at one station, hourly readings that hold for an hour,
// so that a duration is the count of readings in hours and the time-weighted
// mean is that of pandas.
func TestHeld(t *testing.T) {
	view := &city.View{Observed: beijing(t)}
	doc := func(more string) string {
		return `{"kind":"zonal","zones":{"type":"buffer","metres":100,"of":{"geometry":{"type":"Point","coordinates":[116.397,39.982]}}},
	 "observations":{"property":"pm25"},"time":{"from":"2017-01-01","every":"P1M","to":"2017-02-01"},"statistics":["count","mean","above:150","first","last","p50","stddev"]` + more + `}`
	}
	row := ask(t, view, time.Now(), doc(""))[0]
	if row["count"] != int64(743) || !near(row["mean"], 115.50605652759084, 1e-9) || !near(row["above_150_s"], 221*3600, 0) || !near(row["first"], 485, 0) || !near(row["last"], 3, 0) || !near(row["stddev"], 133.185478164839, 1e-9) {
		t.Errorf("%v", row)
	}
	if !near(row["area_m2"], math.Pi*1e4, 20) {
		t.Errorf("area %v m²", row["area_m2"])
	}
	row = ask(t, view, time.Now(), doc(`,"timeWeighted":true`))[0]
	if !near(row["mean"], 115.50605652759084, 1e-9) || !near(row["above_150_s"], 221*3600, 0) {
		t.Errorf("time-weighted %v", row)
	}
	// Held for up to two hours the one missing hour is no gap: but the missing
	// reading ends the one before, so nothing changes.
	again := ask(t, view, time.Now(), doc(`,"timeWeighted":true,"maxGap":"PT2H"`))[0]
	if !near(again["mean"], row["mean"].(float64), 1e-9) {
		t.Errorf("a reading that does not count ends the one before: %v, want %v", again["mean"], row["mean"])
	}
}

// TestHeldByHand: two readings in a window of an hour, and one before it.
func TestHeldByHand(t *testing.T) {
	at := func(min int) time.Time { return time.Date(2026, 1, 1, 10, min, 0, 0, time.UTC) }
	good := func(min int, v float64) city.Reading { return city.Reading{Time: at(min), Value: v, Quality: "good"} }
	view := &city.View{Observed: &hourly{streams: []*city.Datastream{{ID: 1, Property: "level", UnitCode: "m", Lon: 120.6, Lat: 31.3}},
		readings: map[int64][]city.Reading{1: {good(-30, 4), good(10, 2), {Time: at(20), Value: 9, Quality: "bad"}, good(40, 6)}}}}
	doc := `{"kind":"zonal","zones":{"type":"geohash","precision":5},"observations":{"property":"level"},"time":{"from":"2026-01-01T10:00:00Z","to":"2026-01-01T11:00:00Z","every":"PT30M"},
	"statistics":["count","mean","above:3","below:3","p50"],"timeWeighted":true,"maxGap":"PT45M"}`
	rows := ask(t, view, at(50), doc)
	// 4 holds from 9:30 for 45 minutes, so to 10:10 it is 10 minutes in the window; 2 from 10:10 to 10:20; then bad;
	// 6 from 10:40 to now, 10:50.
	if r := rows[0]; r["count"] != int64(1) || !near(r["mean"], (4*10+2*10)/20., 1e-12) || !near(r["above_3_s"], 600, 0) || !near(r["below_3_s"], 600, 0) {
		t.Errorf("%v", r)
	}
	if r := rows[1]; r["count"] != int64(1) || !near(r["mean"], 6, 0) || !near(r["above_3_s"], 600, 0) || !near(r["below_3_s"], 0, 0) || !near(r["p50"], 6, 0) {
		t.Errorf("%v", r)
	}
}

// TestBruteForce: random zones, windows and readings against a second
// computation that keeps everything and is written without any of this package.
func TestBruteForce(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	h := &hourly{readings: map[int64][]city.Reading{}}
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	marks := []string{"good", "good", "not-evaluated", "suspect", "bad"}
	for id := int64(1); id <= 60; id++ {
		h.streams = append(h.streams, &city.Datastream{ID: id, Property: "x", UnitCode: "m", Lon: 120.6 + rng.Float64()*0.05, Lat: 31.3 + rng.Float64()*0.05})
		at := start
		for range 200 {
			at = at.Add(time.Duration(rng.IntN(3600)+1) * time.Second)
			h.readings[id] = append(h.readings[id], city.Reading{Time: at, Value: float64(rng.IntN(1000)) / 10, Quality: marks[rng.IntN(5)]})
		}
	}
	view := &city.View{Observed: h}
	var first []map[string]any
	for workers := range 3 {
		d, err := Parse([]byte(`{"kind":"zonal","zones":{"type":"grid","metres":700,"bbox":[120.6,31.3,120.65,31.35]},"observations":{"property":"x"},
	"time":{"from":"2026-03-01T00:00:00Z","to":"2026-03-04T05:00:00Z","every":"PT6H","zone":"UTC"},"statistics":["count","mean","min","max","sum","stddev","p10","p90","first","last"]}`), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		a, err := (&Engine{Workers: workers * 3}).Answer(t.Context(), view, d, nil)
		if err != nil {
			t.Fatal(err)
		}
		rows := table(t, a)
		if first == nil {
			first = rows
		} else if !reflect.DeepEqual(rows, first) {
			t.Fatal("the number of workers changes the answer")
		}
	}
	total := int64(0)
	for _, row := range first {
		from, _ := time.Parse(time.RFC3339, row["from"].(string))
		to, _ := time.Parse(time.RFC3339, row["to"].(string))
		ring := row["geometry"].(orb.Polygon)[0]
		var v []float64
		var firstAt, lastAt time.Time
		var firstV, lastV float64
		for _, d := range h.streams {
			if planar.RingContains(ring, orb.Point{d.Lon, d.Lat}) {
				for _, r := range h.readings[d.ID] {
					if (r.Quality == "good" || r.Quality == "not-evaluated") && !r.Time.Before(from) && r.Time.Before(to) {
						if len(v) == 0 || r.Time.Before(firstAt) {
							firstAt, firstV = r.Time, r.Value
						}
						if len(v) == 0 || !r.Time.Before(lastAt) {
							lastAt, lastV = r.Time, r.Value
						}
						v = append(v, r.Value)
					}
				}
			}
		}
		total += row["count"].(int64)
		if row["count"] != int64(len(v)) {
			t.Fatalf("%v %v: %v readings, want %d", row["zone"], row["from"], row["count"], len(v))
		}
		if len(v) == 0 {
			continue
		}
		sum, sq := 0.0, 0.0
		for _, x := range v {
			sum += x
		}
		mean := sum / float64(len(v))
		for _, x := range v {
			sq += (x - mean) * (x - mean)
		}
		slices.Sort(v)
		q := func(p float64) float64 {
			at := p * float64(len(v)-1)
			lo, hi := math.Floor(at), math.Ceil(at)
			return v[int(lo)]*(1-(at-lo)) + v[int(hi)]*(at-lo)
		}
		for name, want := range map[string]float64{"mean": mean, "sum": sum, "min": v[0], "max": v[len(v)-1], "p10": q(0.1), "p90": q(0.9), "first": firstV, "last": lastV} {
			if !near(row[name], want, 1e-9*max(1, math.Abs(want))) {
				t.Fatalf("%v %v: %s %v, want %v", row["zone"], row["from"], name, row[name], want)
			}
		}
		if len(v) > 1 && !near(row["stddev"], math.Sqrt(sq/float64(len(v)-1)), 1e-9) {
			t.Fatalf("stddev %v", row["stddev"])
		}
	}
	if total < 3000 {
		t.Errorf("only %d readings", total)
	}
}

// TestCells: known geohashes and quadkeys, and each place in the cell that holds it.
func TestCells(t *testing.T) {
	box := orb.Bound{Min: orb.Point{120.59, 31.28}, Max: orb.Point{120.65, 31.34}}
	p := orb.Point{120.6154, 31.32454}
	for want, z := range map[string]*Zones{
		"wttf0w":          {Type: "geohash", Precision: 6},  // pygeohash
		"132121013100032": {Type: "quadkey", Precision: 15}, // mercantile
		"r9-c4":           {Type: "grid", Metres: 500},
	} {
		c := division(z, box)
		x, y := c.locate(p)
		id, shape := c.cell(x, y)
		if id != want || !planar.PolygonContains(shape, p) {
			t.Errorf("%s: %s, want %s", z.Type, id, want)
		}
		for range 500 {
			q := orb.Point{box.Min[0] + rand.Float64()*0.06, box.Min[1] + rand.Float64()*0.06}
			x, y := c.locate(q)
			_, shape := c.cell(x, y)
			if x < 0 || y < 0 || x >= c.columns || y >= c.rows || !shape.Bound().Pad(1e-9).Contains(q) {
				t.Fatalf("%s: %v is in cell %d, %d of %d, %d", z.Type, q, x, y, c.columns, c.rows)
			}
		}
	}
}

// TestChangeOfObservations: two days at two stations against pandas.
func TestChangeOfObservations(t *testing.T) {
	rows := ask(t, &city.View{Observed: beijing(t)}, time.Now(), `{"kind":"change","of":"observations",
	"zones":{"type":"grid","metres":1000000,"bbox":[116.3,39.92,116.4,40]},"observations":{"property":"pm25","bbox":[116.3,39.92,116.4,40]},
	"before":{"from":"2017-01-01","to":"2017-01-02"},"after":{"from":"2017-01-02","to":"2017-01-03"},"statistics":["mean","count"]}`)
	if len(rows) != 1 {
		t.Fatalf("%d rows", len(rows))
	}
	r := rows[0]
	a, b := 478.7916666666667, 188.08333333333334
	if !near(r["before_mean"], a, 1e-9) || !near(r["after_mean"], b, 1e-9) || !near(r["diff_mean"], b-a, 1e-9) || !near(r["ratio_mean"], b/a, 1e-12) || r["diff_count"] != int64(0) {
		t.Errorf("%v", r)
	}
}

// TestWindows: days of a zone with summer time, months' ends, ISO weeks.
func TestWindows(t *testing.T) {
	for _, c := range []struct{ time, want string }{
		{`{"from":"2026-03-28","to":"2026-03-31","every":"P1D","zone":"Europe/Amsterdam"}`, "24h0m0s 23h0m0s 24h0m0s"},
		{`{"from":"2026-01-31","to":"2026-03-31","every":"P1M"}`, "744h0m0s 672h0m0s"}, // 31 January and 1 month is 3 March
		{`{"from":"2026-01-01","to":"2026-01-02T01:30:00+08:00","every":"P1D"}`, "24h0m0s 1h30m0s"},
		{`{"last":"PT90M"}`, "1h30m0s"},
		{`{"from":"1900-01-02","to":"1930-01-01","every":"PT100000H","zone":"UTC"}`, "100000h0m0s 100000h0m0s 62944h0m0s"},
		{`{"last":"P1W","every":"P3DT12H"}`, "84h0m0s 84h0m0s"},
	} {
		n, err := parseJSON([]byte(c.time))
		if err != nil {
			t.Fatal(err)
		}
		times, err := decodeTimes(n)
		if err != nil {
			t.Fatal(err)
		}
		windows, err := times.windows(time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC), 100, false)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for i, w := range windows {
			if i > 0 {
				got += " "
				if !w.From.Equal(windows[i-1].To) {
					t.Errorf("%s: a gap", c.time)
				}
			}
			got += w.To.Sub(w.From).String()
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.time, got, c.want)
		}
	}
	for _, bad := range []string{"", "P", "PT", "1D", "P1", "P1D1Y", "PT1D", "P-1D", "P0D", "PT1H1H", "P1.5D", "P9999999D", "PT1HT1M", "P1WW", "PT100001H"} {
		if s, err := parseSpan(bad); err == nil {
			t.Errorf("%q is accepted: %v", bad, s)
		}
	}
}

// TestLimits: each says how to narrow.
func TestLimits(t *testing.T) {
	h := &hourly{readings: map[int64][]city.Reading{}}
	for id := int64(1); id <= 20; id++ {
		h.streams = append(h.streams, &city.Datastream{ID: id, Property: "x", UnitCode: "m", Lon: 120.6, Lat: 31.3})
		for i := range 100 {
			h.readings[id] = append(h.readings[id], city.Reading{Time: time.Date(2026, 1, 1, 0, i, 0, 0, time.UTC), Value: 1, Quality: "good"})
		}
	}
	doc := func(zones, every, stats string) string {
		return fmt.Sprintf(`{"kind":"zonal","zones":%s,"observations":{"property":"x"},"time":{"from":"2026-01-01T00:00:00Z","to":"2026-01-01T10:00:00Z","every":%q},"statistics":[%s]}`, zones, every, stats)
	}
	small := `{"type":"grid","metres":1000}`
	for name, c := range map[string]struct {
		limits Limits
		doc    string
		ranged func()
	}{
		"zones":       {Limits{Zones: 3}, doc(`{"type":"grid","metres":1,"bbox":[120,31,121,32]}`, "PT1H", `"count"`), nil},
		"all cells":   {Limits{}, doc(`{"type":"geohash","precision":12,"bbox":[-180,-90,180,90]}`, "PT1H", `"count"`), nil},
		"rows":        {Limits{Rows: 5}, doc(`{"type":"grid","metres":100,"bbox":[120.6,31.3,120.603,31.3]}`, "PT2H", `"count"`), nil},
		"windows":     {Limits{}, doc(small, "PT1S", `"count"`), nil},
		"datastreams": {Limits{Datastreams: 19}, doc(small, "PT1H", `"count"`), nil},
		"values":      {Limits{Values: 500}, doc(small, "PT10H", `"p95"`), nil},
		"time":        {Limits{Time: time.Millisecond}, doc(small, "PT1H", `"count"`), func() { time.Sleep(5 * time.Millisecond) }},
	} {
		h.ranged = c.ranged
		d, err := Parse([]byte(c.doc), c.limits)
		if err != nil {
			t.Fatal(name, err)
		}
		_, err = (&Engine{Limits: c.limits, Workers: 2}).Answer(t.Context(), &city.View{Observed: h}, d, nil)
		var e *city.Error
		if !errors.As(err, &e) || e.Code != city.TooLarge || e.Hint == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestGridWidth: a grid that would not be square is refused, whatever its cells.
func TestGridWidth(t *testing.T) {
	for _, box := range []string{"[-180,-90,180,90]", "[0,0,4.1,1]", "[0,0,1,4.1]"} {
		d, err := Parse([]byte(`{"kind":"zonal","zones":{"type":"grid","metres":1000000,"bbox":`+box+`},"observations":{"property":"x"},"time":{"last":"PT1H"}}`), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = (&Engine{}).Answer(t.Context(), &city.View{Observed: &hourly{}}, d, nil)
		var e *city.Error
		if !errors.As(err, &e) || e.Code != city.Invalid || e.Field != "/zones" {
			t.Errorf("%s: %v", box, err)
		}
	}
}

// TestUnits: a mean of several units means nothing.
func TestUnits(t *testing.T) {
	h := &hourly{readings: map[int64][]city.Reading{}, streams: []*city.Datastream{
		{ID: 1, Property: "co", UnitCode: "ug/m3", UnitSymbol: "µg/m³", Lon: 120, Lat: 31}, {ID: 2, Property: "co", UnitCode: "mg/m3", UnitSymbol: "mg/m³", Lon: 120, Lat: 31},
		{ID: 3, Property: "state", Text: true, Lon: 120, Lat: 31},
	}}
	doc := `{"kind":"zonal","zones":{"type":"grid","metres":100},"observations":{%s},"time":{"last":"PT1H"}}`
	for observations, wrong := range map[string]bool{`"property":"co"`: true, `"property":"co","unit":"mg/m³"`: false, `"property":"co","unit":"mg/m3"`: false, `"property":"state"`: true} {
		d, err := Parse(fmt.Appendf(nil, doc, observations), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err = (&Engine{}).Answer(t.Context(), &city.View{Observed: h}, d, nil); (err != nil) != wrong {
			t.Errorf("%s: %v", observations, err)
		}
	}
}

// BenchmarkZonalMean: 2,000 Datastreams and 30 days of hourly readings, by 100
// cells and by day.
func BenchmarkZonalMean(b *testing.B) {
	rng := rand.New(rand.NewPCG(5, 6))
	h := &hourly{readings: map[int64][]city.Reading{}}
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for id := int64(1); id <= 2000; id++ {
		h.streams = append(h.streams, &city.Datastream{ID: id, Property: "x", UnitCode: "m", Lon: 120.6 + rng.Float64()*0.05, Lat: 31.3 + rng.Float64()*0.05})
		for i := range 720 {
			h.readings[id] = append(h.readings[id], city.Reading{Time: start.Add(time.Duration(i) * time.Hour), Value: rng.Float64(), Quality: "good"})
		}
	}
	for name, stats := range map[string]string{"mean": `"mean"`, "p95": `"p95"`, "above": `"above:0.5"`} {
		b.Run(name, func(b *testing.B) {
			d, err := Parse([]byte(`{"kind":"zonal","zones":{"type":"grid","metres":500,"bbox":[120.6,31.3,120.65,31.35]},"observations":{"property":"x"},"time":{"from":"2026-03-01T00:00:00Z","to":"2026-03-31T00:00:00Z","every":"P1D","zone":"UTC"},"statistics":[`+stats+`]}`), Limits{})
			if err != nil {
				b.Fatal(err)
			}
			e := &Engine{}
			for b.Loop() {
				if _, err := e.Answer(b.Context(), &city.View{Observed: h}, d, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("only-range", func(b *testing.B) {
		for b.Loop() {
			sum := 0.0
			for _, d := range h.streams {
				if err := h.Range(b.Context(), d, start, start.AddDate(0, 0, 30), func(r city.Reading) bool { sum += r.Value; return true }); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}

// TestBufferRandom: lines that cross themselves, and areas.
func TestBufferRandom(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for k := range 40 {
		var line orb.LineString
		for range 2 + rng.IntN(12) {
			line = append(line, orb.Point{rng.Float64() * 100, rng.Float64() * 100})
		}
		var g orb.Geometry = line
		if k%3 == 0 {
			x, y := rng.Float64()*50, rng.Float64()*50
			g = orb.Collection{line, orb.Polygon{{{x, y}, {x + 40, y}, {x + 40, y + 40}, {x, y + 40}, {x, y}}, {{x + 5, y + 5}, {x + 5, y + 35}, {x + 35, y + 35}, {x + 35, y + 5}, {x + 5, y + 5}}}}
		}
		shape, err := buffer(g, 5)
		if err != nil {
			t.Fatal(err)
		}
		for range 500 {
			p := orb.Point{rng.Float64()*120 - 10, rng.Float64()*120 - 10}
			d := distance(g, p)
			if math.Abs(d-5) > 0.01 && (d < 5) != (distance(shape, p) == 0) {
				t.Fatalf("%v is %v m from %v", p, d, g)
			}
		}
	}
}
