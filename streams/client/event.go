package client

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"cityhub/twin"
)

// Event is what Next gives: *Connected, *Disconnected, *Subscribed, *Gap,
// *Snapshot, *Delta, *Changed, *CityEvent, *Heartbeat or *Failed. Lists in it
// may be shared with events of other subscriptions and must not be changed.
type Event interface{ event() }

// Connected tells that the hub has welcomed the client.
type Connected struct {
	Server           string        // e.g. cityhub/0.1.0
	Role             string        // public or admin
	Epoch            string        // of the log; empty while it is
	Time             time.Time     // the hub's clock
	Heartbeat        time.Duration // between heartbeats
	MaxSubscriptions int
	Limits           map[string]any // all members of the welcome, e.g. queueBytes
}

// Disconnected tells that the connection was lost and will be made anew. Its
// Err is a *CloseError when the hub gave a reason.
type Disconnected struct {
	Err     error
	Retry   time.Duration // the wait before the next attempt
	Attempt int           // its number since the last good connection, from 1
}

// Subscribed tells that the hub has taken a subscription.
type Subscribed struct {
	Subscription string
	Resumed      bool   // it goes on where it was: no Snapshot follows
	Reason       string // why it was not resumed although that was asked for
}

// Gap tells that readings of a subscription may be missing between the events
// before it and the Snapshot that follows. It is honest, not certain: the hub
// could not show that there are none. The mode Latest, which leaves readings
// out by its nature, has none.
type Gap struct {
	Subscription string
	After        twin.Position // what came before is complete up to here
	Reason       string
}

// Snapshot is a part of the state at Position: the latest observation of each
// Datastream of the subscription. With First set it replaces all that the
// caller holds of the subscription; with Last it is complete.
type Snapshot struct {
	Subscription string
	Position     twin.Position
	Time         time.Time // the hub's clock
	First, Last  bool
	Datastreams  []Datastream
	Observations []Observation
}

// Delta are observations in the order of the log, up to Position. Once they are
// handled, Position is where a later Request may go on.
type Delta struct {
	Subscription string
	Position     twin.Position
	Datastreams  []Datastream // new ones, and those whose description has changed
	Observations []Observation
	Left         []twin.DatastreamID // whose latest reading no longer fits the filter
}

// Changed is the difference that Update makes, in one or more parts; after the
// Last one the deltas are those of the new filter.
type Changed struct {
	Subscription string
	Position     twin.Position
	First, Last  bool
	Left         []twin.DatastreamID // no longer in the view
	Datastreams  []Datastream        // new in the view
	Observations []Observation       // the latest of the new ones
}

// CityEvent is something that happened beside readings.
type CityEvent struct {
	Subscription string
	Kind         string // terminal, catalogue, model, quality, incident …
	Time         time.Time
	Position     twin.Position  // zero when it has none
	Members      map[string]any // all members of the message
}

// Heartbeat tells that every subscription of the mode Every that is complete
// has got everything up to Position: it may go on from there.
type Heartbeat struct {
	Position twin.Position
	Time     time.Time // the hub's clock
}

// Failed tells that the hub refused a subscription, or a change of it, which
// then stays as it was. With Retry the client asks again by itself; else a
// refused subscription has ended.
type Failed struct {
	Subscription string
	Err          *twin.Error
	Retry        time.Duration
}

func (*Connected) event()    {}
func (*Disconnected) event() {}
func (*Subscribed) event()   {}
func (*Gap) event()          {}
func (*Snapshot) event()     {}
func (*Delta) event()        {}
func (*Changed) event()      {}
func (*CityEvent) event()    {}
func (*Heartbeat) event()    {}
func (*Failed) event()       {}

// Datastream describes a series of observations: what, where and by which
// terminal.
type Datastream struct {
	ID        twin.DatastreamID `json:"id"`
	Terminal  string            `json:"terminal"` // code of the Thing
	Name      string            `json:"name"`     // of the Thing, Chinese
	NameEn    string            `json:"nameEn"`
	Property  string            `json:"property"` // of the ObservedProperty, e.g. pm25
	Title     string            `json:"title"`
	TitleEn   string            `json:"titleEn"`
	Unit      string            `json:"unit"` // as shown
	UCUM      string            `json:"ucum"`
	Result    string            `json:"result"` // O&M type
	Domain    twin.Domain       `json:"domain"`
	Dataset   string            `json:"dataset"` // code
	Lon       *float64          `json:"lon"`     // WGS 84 degrees; nil without a Location
	Lat       *float64          `json:"lat"`
	Simulated bool              `json:"simulated"` // and must say so wherever it shows
}

// Observation is one reading.
type Observation struct {
	Datastream   twin.DatastreamID
	PhenomenonNs int64 // when it was true, ns since 1970-01-01 UTC
	Result       Result
	Quality      twin.Quality
}

// Time is the phenomenon time, UTC.
func (o *Observation) Time() time.Time { return time.Unix(0, o.PhenomenonNs).UTC() }

// Kind is what a Result is.
type Kind uint8

// The kinds of results.
const (
	None   Kind = iota // a number that cannot be written
	Number             // in Value
	Text               // in Text
	Truth              // Value is 1 or 0
)

// Result of an observation.
type Result struct {
	Kind  Kind
	Value float64
	Text  string
}

// String is the result as people write it; "-" for none.
func (r Result) String() string {
	switch r.Kind {
	case Number:
		return strconv.FormatFloat(r.Value, 'g', -1, 64)
	case Text:
		return r.Text
	case Truth:
		return strconv.FormatBool(r.Value != 0)
	}
	return "-"
}

// MarshalJSON writes a number, a string, a truth value or null.
func (r Result) MarshalJSON() ([]byte, error) {
	switch r.Kind {
	case Number:
		return json.Marshal(r.Value)
	case Text:
		return json.Marshal(r.Text)
	case Truth:
		return strconv.AppendBool(nil, r.Value != 0), nil
	}
	return []byte("null"), nil
}

// CloseError is a close code of the hub with its reason, a sentence for people.
type CloseError struct {
	Code   int
	Reason string
}

// Error is code and reason.
func (e *CloseError) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("the hub closed the stream with %d", e.Code)
	}
	return fmt.Sprintf("the hub closed the stream with %d: %s", e.Code, e.Reason)
}

// Final reports whether the hub says that the same request would fail again.
func (e *CloseError) Final() bool { return e.Code >= 4000 && e.Code <= 4099 }
