// Package twin holds the domain of the city data hub: the entities of OGC
// SensorThings 1.1 (Thing, Location, Sensor, ObservedProperty, Datastream,
// Observation), the catalogue's Dataset, the log Position, the quality marks
// and the error type that every other package speaks.
//
// The package does no I/O, starts no goroutine and imports nothing of the
// hub but spatial. Its values are plain data: copy them freely; share them
// between goroutines only for reading.
package twin

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Identifiers of the entities. They are assigned by the registry, start at 1,
// grow without gaps worth mentioning and are never used again, so that a slice
// indexed by them is a good map. Zero is no entity.
type (
	ThingID            int64
	LocationID         int64
	SensorID           int64
	ObservedPropertyID int64
	DatastreamID       int64
	DatasetID          int64
)

// Domain is one of the five fields in which a city's sensing terminals are
// managed together (苏州市数据条例 第四十一条; R50).
type Domain string

// The five domains, in the order of the article.
const (
	DomainCityManagement Domain = "city-management" // 城市管理
	DomainPublicSafety   Domain = "public-safety"   // 公共安全
	DomainTransport      Domain = "transport"       // 交通运输
	DomainEnvironment    Domain = "environment"     // 生态环境
	DomainEmergency      Domain = "emergency"       // 应急防灾
)

// Domains lists every Domain in the order of the article.
func Domains() []Domain {
	return []Domain{DomainCityManagement, DomainPublicSafety, DomainTransport, DomainEnvironment, DomainEmergency}
}

// Valid reports whether d is one of the five domains.
func (d Domain) Valid() bool {
	switch d {
	case DomainCityManagement, DomainPublicSafety, DomainTransport, DomainEnvironment, DomainEmergency:
		return true
	}
	return false
}

// TerminalState is the life-cycle state of a terminal (R50).
type TerminalState string

// The states of a terminal. Only an active one may publish; the others are
// refused at ingest with their state as the reason, except fault, whose
// readings are kept so that the fault can be studied.
const (
	StatePlanned     TerminalState = "planned"
	StateActive      TerminalState = "active"
	StateFault       TerminalState = "fault"
	StateMaintenance TerminalState = "maintenance"
	StateRetired     TerminalState = "retired"
)

// Valid reports whether s is a known state.
func (s TerminalState) Valid() bool {
	switch s {
	case StatePlanned, StateActive, StateFault, StateMaintenance, StateRetired:
		return true
	}
	return false
}

// MayPublish reports whether readings of a terminal in this state are taken.
func (s TerminalState) MayPublish() bool { return s == StateActive || s == StateFault }

// Thing is a SensorThings Thing. Managed hardware, a terminal, is a Thing with
// a Code.
type Thing struct {
	ID          ThingID
	Code        string // the terminal's code, unique, as it stands in MQTT topics
	Name        string
	NameEn      string // English name; empty: Name serves both
	Description string
	Domain      Domain
	District    string // administrative district code; empty: not assigned
	State       TerminalState
	Simulated   bool // readings come from a generator or a replay, and say so wherever they show
	Location    LocationID
	Properties  map[string]any // whatever else the manifest says, kept as given
	Updated     time.Time
}

// Location is where a Thing stands.
type Location struct {
	ID          LocationID
	Name        string
	Description string
	// Lon and Lat are WGS 84 (EPSG:4326) degrees, longitude first as in GeoJSON.
	Lon, Lat float64
	// HeightMetres is above the ellipsoid unless HeightDatum names another
	// datum; nil: not known.
	HeightMetres *float64
	HeightDatum  string
}

// Sensor is the procedure or instrument behind a Datastream.
type Sensor struct {
	ID           SensorID
	Name         string
	Description  string
	EncodingType string // media type of Metadata
	Metadata     string
}

// ObservedProperty is the phenomenon observed, e.g. pm25.
type ObservedProperty struct {
	ID          ObservedPropertyID
	Name        string // short name as it stands in payloads, e.g. pm25
	Title       string // name to show, Chinese
	TitleEn     string // name to show, English
	Definition  string // URI
	Description string
}

// ResultType says what kind of result a Datastream holds. The values are the
// last path segments of the O&M observation types that SensorThings names.
type ResultType string

// Result types of a Datastream.
const (
	ResultMeasurement ResultType = "OM_Measurement"         // a number
	ResultCount       ResultType = "OM_CountObservation"    // a whole number
	ResultText        ResultType = "OM_CategoryObservation" // a text
	ResultTruth       ResultType = "OM_TruthObservation"    // true or false, kept as 1 or 0
)

// ObservationTypeURI is the URI that SensorThings uses for r.
func (r ResultType) ObservationTypeURI() string {
	return "http://www.opengis.net/def/observationType/OGC-OM/2.0/" + string(r)
}

// Valid reports whether r is a known result type.
func (r ResultType) Valid() bool {
	switch r {
	case ResultMeasurement, ResultCount, ResultText, ResultTruth:
		return true
	}
	return false
}

// Unit is a unit of measurement; Code is UCUM.
type Unit struct {
	Name   string // e.g. microgram per cubic metre
	Symbol string // e.g. µg/m³, as shown
	Code   string // e.g. ug/m3, UCUM
}

// Datastream joins a Thing, a Sensor and an ObservedProperty. It carries what
// ingest, the gate and the stream hub ask for at every reading, so that no
// join is needed on the way of a reading. Values handed out by the registry
// are shared: do not change them.
type Datastream struct {
	ID           DatastreamID
	Thing        ThingID
	Terminal     string // Thing.Code
	ThingName    string
	ThingNameEn  string
	Sensor       SensorID
	Property     ObservedPropertyID
	PropertyName string // ObservedProperty.Name
	Dataset      DatasetID
	Domain       Domain
	District     string
	Name         string
	Description  string
	Result       ResultType
	Unit         Unit
	Lon, Lat     float64 // WGS 84 degrees; both NaN when the Thing has no Location
	Simulated    bool
	// Observes is the key DATASET/ID of the CityObject that it is declared to
	// observe; empty: found by place.
	Observes string
}

// Openness is the class in which a Dataset is opened to society
// (苏州市数据条例 第十四条; R32): unconditional, conditional or none.
type Openness string

// The three classes of opening.
const (
	OpenUnconditional Openness = "unconditional" // 无条件开放
	OpenConditional   Openness = "conditional"   // 有条件开放
	OpenNone          Openness = "none"          // 不予开放
)

// Valid reports whether o is one of the three classes.
func (o Openness) Valid() bool {
	return o == OpenUnconditional || o == OpenConditional || o == OpenNone
}

// Dataset is an entry of the public data catalogue. Every Datastream belongs
// to one, and the Dataset's class decides who sees it (R28, R36).
type Dataset struct {
	ID          DatasetID
	Code        string // unique, e.g. gusu-air
	Title       string // Chinese
	TitleEn     string
	Description string
	Owner       string // the one responsible body (R01)
	Open        Openness
	Simulated   bool
}

// Quality is the mark of an observation, numbered as in the five-level scheme
// of IOC Manuals and Guides 54 vol. 3 that ocean and air data use.
type Quality uint8

// The five marks.
const (
	QualityGood         Quality = 1
	QualityNotEvaluated Quality = 2
	QualitySuspect      Quality = 3
	QualityBad          Quality = 4
	QualityMissing      Quality = 9
)

// String is the name of the mark as the API gives it.
func (q Quality) String() string {
	switch q {
	case QualityGood:
		return "good"
	case QualityNotEvaluated:
		return "not-evaluated"
	case QualitySuspect:
		return "suspect"
	case QualityBad:
		return "bad"
	case QualityMissing:
		return "missing"
	}
	return "quality-" + strconv.Itoa(int(q))
}

// Valid reports whether q is one of the five marks.
func (q Quality) Valid() bool {
	switch q {
	case QualityGood, QualityNotEvaluated, QualitySuspect, QualityBad, QualityMissing:
		return true
	}
	return false
}

// ParseQuality reads a mark by the name that String gives.
func ParseQuality(s string) (Quality, bool) {
	for _, q := range []Quality{QualityGood, QualityNotEvaluated, QualitySuspect, QualityBad, QualityMissing} {
		if q.String() == s {
			return q, true
		}
	}
	return 0, false
}

// Observation is one reading of one Datastream. Datastream and PhenomenonNs
// together are its identity: a second one with the same pair corrects the first.
type Observation struct {
	Datastream   DatastreamID
	PhenomenonNs int64 // when it was true, ns since 1970-01-01 UTC
	ResultNs     int64 // when the result was made; the time of receipt unless the payload says
	Value        float64
	Text         string // the result of a ResultText Datastream, with IsText set
	IsText       bool
	Quality      Quality
}

// ID is the observation's identifier in SensorThings, "datastream_ns".
func (o Observation) ID() string {
	return strconv.FormatInt(int64(o.Datastream), 10) + "_" + strconv.FormatInt(o.PhenomenonNs, 10)
}

// ParseObservationID is the inverse of Observation.ID.
func ParseObservationID(s string) (DatastreamID, int64, error) {
	ds, ns, ok := strings.Cut(s, "_")
	d, err1 := strconv.ParseInt(ds, 10, 64)
	t, err2 := strconv.ParseInt(ns, 10, 64)
	if !ok || err1 != nil || err2 != nil || d <= 0 {
		return 0, 0, &Error{Code: CodeInvalid, Op: "parse observation id", Message: fmt.Sprintf("%q is not an observation id", s), Hint: "an id looks like 12_1790000000000000000: the Datastream and the time in nanoseconds"}
	}
	return DatastreamID(d), t, nil
}

// Position is a place in the log: the stream's resume token and every view's
// checkpoint. An offset alone cannot prove a recovery: a log that was
// recreated counts from 1 again, so the Epoch says which log it was.
type Position struct {
	Epoch  string `json:"epoch"`
	Offset uint64 `json:"offset"`
}

// IsZero reports whether p is the place before the first record of any log.
func (p Position) IsZero() bool { return p.Offset == 0 }

// String is "epoch:offset".
func (p Position) String() string { return p.Epoch + ":" + strconv.FormatUint(p.Offset, 10) }

// ParsePosition is the inverse of Position.String.
func ParsePosition(s string) (Position, error) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return Position{}, &Error{Code: CodeInvalid, Op: "parse position", Message: fmt.Sprintf("%q is not a position", s), Hint: "a position looks like epoch:offset"}
	}
	n, err := strconv.ParseUint(s[i+1:], 10, 64)
	if err != nil {
		return Position{}, &Error{Code: CodeInvalid, Op: "parse position", Message: fmt.Sprintf("%q is not an offset", s[i+1:]), Hint: "a position looks like epoch:offset"}
	}
	return Position{Epoch: s[:i], Offset: n}, nil
}

// Reject is a message, or one reading of a message, that was refused. It is
// kept with its reason: nothing is dropped silently.
type Reject struct {
	ReceivedNs int64        `json:"receivedNs"`
	Source     string       `json:"source"`             // mqtt, http …
	Client     string       `json:"client,omitempty"`   // MQTT client id or HTTP principal
	Terminal   string       `json:"terminal,omitempty"` // as named by the topic; may be unknown
	Topic      string       `json:"topic"`
	Property   string       `json:"property,omitempty"` // set when one reading of the message was refused
	Payload    []byte       `json:"payload"`            // the first MaxRejectPayload bytes
	Size       int          `json:"size"`               // of the whole payload
	Reason     RejectReason `json:"reason"`
	Detail     string       `json:"detail,omitempty"` // what was found and what was expected
	Readings   int          `json:"readings"`         // how many readings were refused with it; 0 when the payload could not be read
}

// MaxRejectPayload bounds, in bytes, what is kept of a refused payload.
const MaxRejectPayload = 4096

// RejectReason is a short, stable reason; it is a metric label and a filter.
type RejectReason string

// The reasons for which a message or a reading is refused.
const (
	RejectUnknownTopic      RejectReason = "unknown topic"
	RejectUnknownFormat     RejectReason = "unknown format"
	RejectUnknownTerminal   RejectReason = "unknown terminal"
	RejectUnknownDatastream RejectReason = "unknown datastream"
	RejectUnknownProperty   RejectReason = "unknown property"
	RejectTerminalState     RejectReason = "terminal not active"
	RejectNotAuthorized     RejectReason = "not authorized"
	RejectMalformed         RejectReason = "malformed payload"
	RejectInvalidUTF8       RejectReason = "invalid UTF-8"
	RejectEmpty             RejectReason = "no reading"
	RejectNotANumber        RejectReason = "not a number"
	RejectWrongType         RejectReason = "wrong type"
	RejectBadTime           RejectReason = "bad time"
	RejectFuture            RejectReason = "too far in the future"
	RejectPast              RejectReason = "too far in the past"
	RejectTooLarge          RejectReason = "too large"
)
