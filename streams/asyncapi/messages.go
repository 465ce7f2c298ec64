package asyncapi

import "encoding/json"

// The messages of the stream. The tags say what the schemas say: json the name,
// doc what it is, is the conditions. A member without omitempty is required.

// Auth says who the client is.
type Auth struct {
	Type  string `json:"type" is:"const=auth"`
	Token string `json:"token" is:"minLength=1" doc:"Bearer token."`
}

// Subscribe begins or replaces a subscription.
type Subscribe struct {
	Type          string          `json:"type" is:"const=subscribe"`
	ID            string          `json:"id" is:"minLength=1 maxLength=64" doc:"Chosen by the client, unique on its connection; a known one is replaced."`
	Filter        json.RawMessage `json:"filter,omitempty" is:"ref=Filter"`
	Mode          string          `json:"mode,omitempty" is:"enum=every|latest" doc:"every (default): each reading, in order, no gap. latest: at most one delta every minIntervalMs."`
	MinIntervalMs int64           `json:"minIntervalMs,omitempty" is:"minimum=50 maximum=60000" doc:"Of mode latest, in ms; 200 without it."`
	After         *Position       `json:"after,omitempty" doc:"Resume after this position."`
	Events        []string        `json:"events,omitempty" is:"items=terminal|catalogue|model|quality|incident" doc:"Kinds of events to be told of."`
	At            string          `json:"at,omitempty" is:"format=date-time" doc:"Reserved: a snapshot as of a past time."`
	Replay        json.RawMessage `json:"replay,omitempty" is:"any" doc:"Reserved: readings from a past time."`
}

// Update gives a subscription another filter in place.
type Update struct {
	Type   string          `json:"type" is:"const=update"`
	ID     string          `json:"id" is:"minLength=1 maxLength=64"`
	Filter json.RawMessage `json:"filter,omitempty" is:"ref=Filter"`
}

// Unsubscribe ends a subscription.
type Unsubscribe struct {
	Type string `json:"type" is:"const=unsubscribe"`
	ID   string `json:"id" is:"minLength=1 maxLength=64"`
}

// Ping measures the way there and back.
type Ping struct {
	Type string      `json:"type" is:"const=ping"`
	T    json.Number `json:"t,omitempty" doc:"Comes back as it was."`
}

// Filter chooses Datastreams; its members are combined with AND.
type Filter struct {
	_                  struct{}        `is:"closed" doc:"Members are combined with AND; an empty filter chooses all that the caller may see. An unknown member is an error."`
	ObservedProperties []string        `json:"observedProperties,omitempty" is:"minItems=1 maxItems=100" doc:"Names of observed properties, e.g. pm25."`
	Datastreams        []int64         `json:"datastreams,omitempty" is:"minItems=1 maxItems=5000 itemMinimum=1" doc:"Ids of Datastreams."`
	BBox               []float64       `json:"bbox,omitempty" is:"minItems=4 maxItems=4" doc:"[west, south, east, north], WGS 84 degrees; west greater than east crosses the antimeridian."`
	Domains            []string        `json:"domains,omitempty" is:"minItems=1" doc:"Domains, e.g. environment."`
	Districts          []string        `json:"districts,omitempty" is:"minItems=1 maxItems=100" doc:"Codes of administrative districts, e.g. 320508."`
	Polygon            json.RawMessage `json:"polygon,omitempty" is:"ref=Polygon"`
	Objects            []string        `json:"objects,omitempty" is:"minItems=1 maxItems=1000" doc:"Keys DATASET/ID of the CityObjects that Datastreams observe."`
	Parts              *bool           `json:"parts,omitempty" doc:"Of objects: with those of their parts; true without it."`
	CQL                json.RawMessage `json:"cql,omitempty" is:"ref=CQL2"`
}

// Position is a place in the log.
type Position struct {
	Epoch  string `json:"epoch" doc:"Names the log; changes when the log is made anew."`
	Offset uint64 `json:"offset" doc:"Of a record in the log, from 1; 0 before the first."`
}

// Welcome is the server's first message.
type Welcome struct {
	Type              string  `json:"type" is:"const=welcome"`
	Protocol          string  `json:"protocol" is:"const=cityhub.v1"`
	Server            string  `json:"server" doc:"Name and version of the server."`
	Epoch             string  `json:"epoch" doc:"Of the log; empty while the log is."`
	Time              string  `json:"time" is:"format=date-time"`
	Role              string  `json:"role" doc:"Of the caller, e.g. public or admin."`
	HeartbeatSeconds  float64 `json:"heartbeatSeconds" is:"exclusiveMinimum=0"`
	MaxSubscriptions  int     `json:"maxSubscriptions" is:"minimum=1" doc:"On this connection."`
	QueueBytes        int     `json:"queueBytes" is:"minimum=1" doc:"Queued for this client before it counts as slow."`
	MessageBytes      int     `json:"messageBytes" is:"minimum=1" doc:"Of one message from the client."`
	MessagesPerSecond int     `json:"messagesPerSecond" is:"minimum=1" doc:"From the client; faster ones are read later."`
	MinIntervalMs     int64   `json:"minIntervalMs" is:"minimum=1" doc:"The least that mode latest may ask for, in ms."`
}

// Subscribed tells that a subscription has begun.
type Subscribed struct {
	Type    string `json:"type" is:"const=subscribed"`
	ID      string `json:"id"`
	View    string `json:"view" doc:"As snapshot and delta name it; equal subscriptions share one."`
	Resumed *bool  `json:"resumed,omitempty" doc:"There if after was given: true, deltas go on behind that position; false, a snapshot follows."`
	Reason  string `json:"reason,omitempty" doc:"Why it could not be resumed."`
}

// Unsubscribed tells that a subscription has ended.
type Unsubscribed struct {
	Type string `json:"type" is:"const=unsubscribed"`
	ID   string `json:"id"`
}

// Snapshot is what a view shows at a position, or a part of it.
type Snapshot struct {
	Type         string        `json:"type" is:"const=snapshot"`
	View         string        `json:"view"`
	Position     Position      `json:"position"`
	Time         string        `json:"time" is:"format=date-time"`
	Last         bool          `json:"last" doc:"No further part follows."`
	Datastreams  []Datastream  `json:"datastreams"`
	Observations []Observation `json:"observations"`
}

// Delta is what happened after the position of the message before.
type Delta struct {
	Type         string        `json:"type" is:"const=delta"`
	View         string        `json:"view"`
	Position     Position      `json:"position"`
	Observations []Observation `json:"observations"`
	Datastreams  []Datastream  `json:"datastreams,omitempty" is:"minItems=1" doc:"That come for the first time, or whose description has changed."`
	Left         []int64       `json:"left,omitempty" is:"minItems=1" doc:"Datastreams that no longer meet the condition on the reading."`
}

// Changed answers an update: what is new in the view and what left it, or a part
// of that.
type Changed struct {
	Type         string        `json:"type" is:"const=changed"`
	ID           string        `json:"id"`
	View         string        `json:"view" doc:"The subscription's view from now on."`
	Position     Position      `json:"position"`
	Time         string        `json:"time" is:"format=date-time"`
	Last         bool          `json:"last" doc:"No further part follows."`
	Left         []int64       `json:"left,omitempty" is:"minItems=1" doc:"Datastreams that the subscription no longer shows."`
	Datastreams  []Datastream  `json:"datastreams"`
	Observations []Observation `json:"observations"`
}

// Event is something that happened beside the readings. Each kind has members of
// its own.
type Event struct {
	_        struct{}  `is:"open"`
	Type     string    `json:"type" is:"const=event"`
	ID       string    `json:"id"`
	Kind     string    `json:"kind" is:"enum=terminal|catalogue|model|quality|incident"`
	Dataset  string    `json:"dataset" doc:"Code of the Dataset whose visibility decided."`
	Time     string    `json:"time" is:"format=date-time"`
	Position *Position `json:"position,omitempty"`
}

// Heartbeat says that everything up to its position has been sent.
type Heartbeat struct {
	Type     string   `json:"type" is:"const=heartbeat"`
	Position Position `json:"position"`
	Time     string   `json:"time" is:"format=date-time"`
}

// Pong answers a ping.
type Pong struct {
	Type string      `json:"type" is:"const=pong"`
	T    json.Number `json:"t,omitempty"`
}

// Error tells of a request that failed.
type Error struct {
	Type    string `json:"type" is:"const=error"`
	ID      string `json:"id,omitempty"`
	Code    string `json:"code" doc:"invalid, not-found, unavailable or internal."`
	Field   string `json:"field,omitempty" doc:"The member at fault."`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// Datastream describes a Datastream.
type Datastream struct {
	ID        int64    `json:"id" is:"minimum=1"`
	Terminal  string   `json:"terminal" doc:"Code of the Thing."`
	Name      string   `json:"name" doc:"Of the Thing, Chinese."`
	NameEn    string   `json:"nameEn" doc:"Of the Thing, English."`
	Property  string   `json:"property" doc:"Short name of the ObservedProperty."`
	Title     string   `json:"title" doc:"Of the ObservedProperty, Chinese."`
	TitleEn   string   `json:"titleEn" doc:"Of the ObservedProperty, English."`
	Unit      string   `json:"unit" doc:"As shown."`
	UCUM      string   `json:"ucum" doc:"UCUM code of the unit."`
	Result    string   `json:"result" doc:"O&M type."`
	Domain    string   `json:"domain"`
	Dataset   string   `json:"dataset" doc:"Code of the Dataset."`
	Lon       *float64 `json:"lon" is:"minimum=-180 maximum=180" doc:"WGS 84 degrees; null without a Location."`
	Lat       *float64 `json:"lat" is:"minimum=-90 maximum=90" doc:"WGS 84 degrees; null without a Location."`
	Simulated bool     `json:"simulated"`
}

// Observation is [datastream, phenomenon time, result, quality].
type Observation [4]any
