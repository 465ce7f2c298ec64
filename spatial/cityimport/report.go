package cityimport

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"time"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/crs"
	"cityhub/spatial/store"
)

// Action is what was done about a fault.
type Action string

// The actions.
const (
	Noted    Action = "noted"    // nothing had to be done
	Repaired Action = "repaired" // mended, see package repair
	Kept     Action = "kept"     // stored as it is; the object's attribute GeometryFaults names it
	Dropped  Action = "dropped"  // left out
)

// Finding is one fault of a source and what was done about it.
type Finding struct {
	Action   Action `json:"action"`
	Severity string `json:"severity"` // error or warning
	Code     string `json:"code"`
	// ISO19107 is the number that val3dity gives the fault of geometry; zero:
	// it is none of geometry.
	ISO19107 int    `json:"iso19107,omitempty"`
	File     string `json:"file"`
	Line     int    `json:"line"` // from 1
	Object   string `json:"object,omitempty"`
	Field    string `json:"field,omitempty"`
	Message  string `json:"message"`
}

// String is f in one line.
func (f Finding) String() string {
	s := f.File + ":" + strconv.Itoa(f.Line) + ": " + f.Severity + " " + f.Code
	if f.ISO19107 != 0 {
		s += " (" + strconv.Itoa(f.ISO19107) + ")"
	}
	for _, part := range []string{f.Object, f.Field, f.Message} {
		if part != "" {
			s += ": " + part
		}
	}
	return s + " [" + string(f.Action) + "]"
}

func findingOf(p citymodel.Problem, a Action) Finding {
	return Finding{
		Action: a, Severity: p.Severity.String(), Code: string(p.Code), ISO19107: p.Code.Val3dity(),
		File: p.File, Line: p.Line, Object: p.Object, Field: p.Field, Message: p.Message,
	}
}

// firstPlaces is how many findings of each kind a Report has.
const firstPlaces = 3

// FindingCount is how often a fault was found and treated in a way.
type FindingCount struct {
	Code     string    `json:"code"`
	ISO19107 int       `json:"iso19107,omitempty"`
	Severity string    `json:"severity"`
	Action   Action    `json:"action"`
	Count    int       `json:"count"`
	First    []Finding `json:"first"`
}

// SourceReport is what was read of one file.
type SourceReport struct {
	Name    string `json:"name"`
	Format  string `json:"format"`
	Title   string `json:"title,omitempty"`
	CRS     string `json:"crs"` // as the file says, or as the options do
	Bytes   int64  `json:"bytes"`
	Objects int    `json:"objects"`
}

// Extent is a box in WGS 84 degrees.
type Extent struct {
	West  float64 `json:"west"`
	South float64 `json:"south"`
	East  float64 `json:"east"`
	North float64 `json:"north"`
}

// HeightRange is the least and greatest height above one datum, metres.
type HeightRange struct {
	Datum   string  `json:"datum"` // empty: not stated
	Min     float64 `json:"min"`
	Max     float64 `json:"max"`
	Objects int     `json:"objects"`
}

// Report is what an import found and did.
type Report struct {
	Dataset   string         `json:"dataset"`
	DryRun    bool           `json:"dryRun"`
	Stored    bool           `json:"stored"`       // false: nothing was changed
	At        *time.Time     `json:"at,omitempty"` // valid time of what was stored; absent: nothing differed
	Sources   []SourceReport `json:"sources"`
	Objects   int            `json:"objects"`
	Added     int            `json:"added"`
	Updated   int            `json:"updated"`
	Unchanged int            `json:"unchanged"`
	Ended     int            `json:"ended"`
	Parts     int            `json:"parts"` // objects that are part of another

	Classes     map[string]int `json:"classes"`   // by class; "" are those of none
	Types       map[string]int `json:"types"`     // by type; "" are those of none
	CIMLevels   map[string]int `json:"cimLevels"` // "CIM1" …; "" are those that state none
	LoDs        map[string]int `json:"lods"`      // geometries by level of detail; "" are those that state none
	NoGeometry  int            `json:"noGeometry"`
	Geometries  int            `json:"geometries"`
	Points      int            `json:"points"`
	Extent      *Extent        `json:"extent,omitempty"`
	Heights     []HeightRange  `json:"heights,omitempty"`
	CRS         map[string]int `json:"crs"`            // objects by the CRS of their coordinates
	AccuracyM   float64        `json:"accuracyMetres"` // of the conversion to WGS 84
	GCJ02       bool           `json:"gcj02,omitempty"`
	Findings    []FindingCount `json:"findings"`
	Unreadable  int            `json:"unreadable"` // findings with which something was lost
	Flagged     int            `json:"flagged"`    // objects with GeometryFaults
	Mended      int            `json:"mended"`     // objects that were repaired
	Notes       []string       `json:"notes,omitempty"`
	Seconds     float64        `json:"seconds"`     // all in all
	ObjectsRate float64        `json:"objectsRate"` // objects a second
}

// tally counts what a run meets.
type tally struct {
	rep      Report
	counts   map[findingKey]*FindingCount
	heights  map[string]*HeightRange
	extent   Extent
	placed   bool
	started  time.Time
	accuracy float64
}

type findingKey struct {
	code, severity string
	action         Action
}

func newTally(o *Options) *tally {
	return &tally{
		rep: Report{
			Dataset: o.Dataset, DryRun: o.DryRun, GCJ02: o.GCJ02, Sources: []SourceReport{},
			Classes: map[string]int{}, Types: map[string]int{}, CIMLevels: map[string]int{}, LoDs: map[string]int{}, CRS: map[string]int{},
		},
		counts: map[findingKey]*FindingCount{}, heights: map[string]*HeightRange{}, started: time.Now(),
	}
}

func (t *tally) finding(f Finding) {
	k := findingKey{f.Code, f.Severity, f.Action}
	c := t.counts[k]
	if c == nil {
		c = &FindingCount{Code: f.Code, ISO19107: f.ISO19107, Severity: f.Severity, Action: f.Action}
		t.counts[k] = c
	}
	c.Count++
	if len(c.First) < firstPlaces {
		c.First = append(c.First, f)
	}
}

// maxKinds bounds the types and levels of detail that are counted by name.
const maxKinds = 200

func count(m map[string]int, key string) {
	if _, there := m[key]; !there && len(m) >= maxKinds {
		key = "…"
	}
	m[key]++
}

// object counts an object as it is stored.
func (t *tally) object(o *spatial.CityObject) {
	t.rep.Objects++
	count(t.rep.Classes, string(o.Class))
	count(t.rep.Types, o.Type)
	count(t.rep.CIMLevels, o.Level.String())
	if len(o.Parents) > 0 {
		t.rep.Parts++
	}
	if len(o.Geometries) == 0 {
		t.rep.NoGeometry++
		return
	}
	count(t.rep.CRS, o.CRS.String())
	hasZ := false
	for i := range o.Geometries {
		g := &o.Geometries[i]
		t.rep.Geometries++
		t.rep.Points += g.NumPoints()
		count(t.rep.LoDs, g.LoD)
		hasZ = hasZ || g.HasZ
	}
	if !hasZ {
		return
	}
	box := spatial.EmptyBox()
	for i := range o.Geometries {
		if o.Geometries[i].HasZ {
			box = box.Union(o.Geometries[i].Bounds())
		}
	}
	if box.Empty() {
		return
	}
	datum := datumName(o.CRS)
	h := t.heights[datum]
	if h == nil {
		h = &HeightRange{Datum: datum, Min: box.Min[2], Max: box.Max[2]}
		t.heights[datum] = h
	}
	h.Min, h.Max = min(h.Min, box.Min[2]), max(h.Max, box.Max[2])
	h.Objects++
}

// datumName is what heights of c are measured from, for people.
func datumName(c spatial.CRS) string {
	if c.Vertical != 0 {
		return c.VerticalDatum + " (EPSG:" + strconv.Itoa(c.Vertical) + ")"
	}
	if c.VerticalDatum == spatial.Ellipsoid {
		return crs.Ellipsoidal.Name()
	}
	return c.VerticalDatum
}

// place widens the extent by a position in WGS 84.
func (t *tally) place(lon, lat float64) {
	if !t.placed {
		t.extent, t.placed = Extent{lon, lat, lon, lat}, true
		return
	}
	e := &t.extent
	e.West, e.East = min(e.West, lon), max(e.East, lon)
	e.South, e.North = min(e.South, lat), max(e.North, lat)
}

func (e *Extent) holds(lon, lat float64) bool {
	return lon >= e.West && lon <= e.East && lat >= e.South && lat <= e.North
}

// report is what was counted, with the result of the store.
func (t *tally) report(res store.ImportResult) *Report {
	r := t.rep
	r.Added, r.Updated, r.Unchanged, r.Ended = res.Added, res.Updated, res.Unchanged, res.Ended
	if !res.At.IsZero() {
		at := res.At
		r.At = &at
	}
	if t.placed {
		e := t.extent
		r.Extent = &e
	}
	for _, datum := range slices.Sorted(maps.Keys(t.heights)) {
		r.Heights = append(r.Heights, *t.heights[datum])
	}
	r.Findings = make([]FindingCount, 0, len(t.counts))
	for _, c := range t.counts {
		r.Findings = append(r.Findings, *c)
	}
	slices.SortFunc(r.Findings, func(a, b FindingCount) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(b.Count, a.Count), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Severity, b.Severity))
	})
	r.AccuracyM = t.accuracy
	if r.Seconds = time.Since(t.started).Seconds(); r.Seconds > 0 {
		r.ObjectsRate = float64(r.Objects) / r.Seconds
	}
	return &r
}

// rank puts what was lost before what stays wrong before what was mended.
func rank(c FindingCount) int {
	switch {
	case c.Action == Dropped && c.ISO19107 == 0:
		return 0
	case c.Action == Kept && c.Severity == citymodel.SeverityError.String():
		return 1
	case c.Action == Dropped:
		return 2
	case c.Action == Kept:
		return 3
	case c.Action == Repaired:
		return 4
	}
	return 5
}
