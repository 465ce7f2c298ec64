// Package city is what one caller may see of the city: the model, the index of
// what is valid now, and what is observed on the objects. The handlers below
// spatial read through it and through nothing else; the gate makes it.
//
// A View is for one request and safe for concurrent use.
package city

import (
	"context"
	"net/http"
	"time"

	"github.com/paulmach/orb"

	"cityhub/spatial"
	"cityhub/spatial/index"
	"cityhub/spatial/store"
)

// Gate gives the View of who makes a request.
type Gate interface {
	City(r *http.Request) (*View, error)
}

// View is the city as one caller sees it. Objects of data sets that the caller
// may not see, and what is observed on or by what it may not see, are in no
// answer and in no count.
type View struct {
	// Key names what is shown: views with equal keys show the same, so that one
	// answer can be kept for all of them. It changes with the caller's rights,
	// not with the city's content.
	Key      string
	Store    store.Reader
	Index    index.View
	Observed Observed
	Bindings Bindings
	Edit     Editor // nil: the caller may not change the model
}

// Editor changes the city model. The index and what is bound to it follow
// before a call returns.
type Editor interface {
	// Put creates objects or replaces them.
	Put(ctx context.Context, dataset string, objects []*spatial.CityObject) (store.ImportResult, error)
	// Delete ends the validity of objects.
	Delete(ctx context.Context, dataset string, ids []string) (store.ImportResult, error)
}

// Observed is what the caller may see of observations.
type Observed interface {
	// Properties are the observed properties, by name.
	Properties(ctx context.Context) ([]Property, error)
	// Datastreams are those that s selects, in order of ID.
	Datastreams(ctx context.Context, s Select) ([]*Datastream, error)
	// Terminals are the terminals with a Datastream that s selects, with these
	// Datastreams, in order of ID: those after the given one, at most limit.
	Terminals(ctx context.Context, s Select, after int64, limit int) ([]*Terminal, error)
	// On appends to dst the Datastreams that observe the object at a
	// store.Version.Position.
	On(ctx context.Context, position int64, dst []*Datastream) []*Datastream
	// Objects are the positions of the objects on which a property is observed,
	// ascending; of any property where it is empty.
	Objects(ctx context.Context, property string) ([]int64, error)
	// Latest is the latest reading of a Datastream; false where there is none.
	Latest(ds *Datastream) (Reading, bool)
	// LatestAt is the last reading of a Datastream at or before a time.
	LatestAt(ctx context.Context, ds *Datastream, at time.Time) (Reading, bool, error)
	// Range calls fn for the readings of a Datastream with from <= time < to, in
	// order of time, until fn returns false.
	Range(ctx context.Context, ds *Datastream, from, to time.Time, fn func(Reading) bool) error
}

// Bindings say which object each Datastream observes, and why.
type Bindings interface {
	// Binding is that of a Datastream; false where the caller sees no such
	// Datastream.
	Binding(ctx context.Context, datastream int64) (Binding, bool)
	// Unplaced are the Datastreams after the given one that observe no object, in
	// order of ID, at most limit, and how many the caller sees in all.
	Unplaced(ctx context.Context, after int64, limit int) ([]Unbound, int, error)
}

// Binding is why a Datastream is bound to its object.
type Binding struct {
	Position int64   // store.Version.Position of the object; zero: none
	How      string  // declared, inside, on, nearest or unplaced
	Metres   float64 // from the terminal's place to the object
	District string  // identifier of the district in which the terminal stands
	Cell     string  // identifier of its cell of the unit grid
}

// Unbound is a Datastream that observes no object.
type Unbound struct {
	*Datastream
	Reason string
}

// Property is an observed property.
type Property struct {
	Name       string // as in payloads, e.g. pm25
	Title      string // Chinese
	TitleEn    string
	Definition string // URI
	UnitName   string // of most of its Datastreams
	UnitSymbol string // as shown, e.g. µg/m³
	UnitCode   string // UCUM, e.g. ug/m3
	Text       bool   // its results are texts
}

// Terminal is a SensorThings Thing. Values are shared: do not change them.
type Terminal struct {
	ID           int64
	Code         string
	Name, NameEn string
	Domain       string
	District     string // administrative code; empty: in none
	State        string
	Simulated    bool
	Lon, Lat     float64  // WGS 84 degrees; both NaN where it has no place
	HeightMetres *float64 // nil: not known
	HeightDatum  string   // empty: above the ellipsoid
	Datastreams  []*Datastream
}

// Datastream is one observed property of one terminal. Values are shared: do
// not change them.
type Datastream struct {
	ID             int64
	Name           string
	Terminal       string // code
	TerminalName   string
	TerminalNameEn string
	Property       string // Property.Name
	UnitSymbol     string
	UnitCode       string // UCUM
	Dataset        string // code
	Domain         string
	District       string // administrative code; empty: in none
	Text           bool   // its results are texts
	Simulated      bool
	Lon, Lat       float64 // WGS 84 degrees; both NaN where the terminal has no place
	Position       int64   // store.Version.Position of the object it observes; zero: none
}

// Reading is one observation.
type Reading struct {
	Time    time.Time // of the phenomenon, UTC
	Value   float64
	Text    string // of a Datastream with Text
	Quality string // good, not-evaluated, suspect, bad or missing
}

// Select selects Datastreams. All conditions hold together; the zero value
// selects all.
type Select struct {
	IDs       []int64
	Property  string
	Terminal  string // code
	Domain    string
	District  string
	Dataset   string
	Bound     *orb.Bound // in which the terminal stands
	Positions []int64    // of the observed objects, ascending
}

// Code classifies an Error; the codes are those of the hub's problem documents.
type Code string

// The codes.
const (
	Invalid       Code = "invalid"
	NotFound      Code = "not-found"
	Conflict      Code = "conflict"
	Unauthorized  Code = "unauthorized"
	Forbidden     Code = "forbidden"
	TooLarge      Code = "too-large"
	Unavailable   Code = "unavailable"
	NotAcceptable Code = "not-acceptable" // none of the media types or CRSs asked for is served
)

// Error is a refusal, for the person who asked.
type Error struct {
	Code    Code
	Field   string // of the request, e.g. "bbox"
	Message string // what was found and what was expected
	Hint    string // how to mend it
	Err     error  // the cause; not shown
}

// Error gives everything in one line.
func (e *Error) Error() string {
	s := e.Message
	if e.Field != "" {
		s = e.Field + ": " + s
	}
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }
