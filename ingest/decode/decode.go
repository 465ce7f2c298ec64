// Package decode turns the payload of a message into readings, one file per
// wire format. Decoders know syntax only: which Datastream a reading belongs
// to, and whether its value and time make sense, is the pipeline's business.
//
// A decoder writes into a Message that its caller uses again for the next
// payload; after the first few messages it allocates nothing. A Message
// belongs to one goroutine.
package decode

import (
	"fmt"

	"cityhub/twin"
)

// Kind is the kind of a value as the payload had it.
type Kind uint8

// The kinds of value.
const (
	Number     Kind = iota // Reading.Value holds it
	Text                   // Reading.Text holds it
	Truth                  // Reading.Value is 1 or 0
	NotNumber              // NaN, an infinity or a number beyond float64; Reading.Text holds it as written
	Structured             // an object or an array; Reading.Text holds its start
)

// Reading is one value of one observed property.
type Reading struct {
	// Property is the observed property's name; empty when the topic names
	// the Datastream. It and Text are valid until the payload changes or the
	// Message is used again.
	Property []byte
	Text     []byte
	Value    float64
	Kind     Kind
	Quality  twin.Quality // zero: the payload does not say

	// PhenomenonNs and ResultNs are ns since 1970-01-01 UTC, valid when the
	// flag beside them is set; otherwise the time of receipt stands in.
	PhenomenonNs  int64
	ResultNs      int64
	HasPhenomenon bool
	HasResult     bool

	// BadTime says why the reading's time cannot be used; empty: it can.
	BadTime string
}

// Message is the decoded form of one payload.
type Message struct {
	Readings []Reading
	// Datastream is the id that the payload names, for formats that name one;
	// 0: none.
	Datastream twin.DatastreamID

	scratch []byte // unescaped strings
}

// reset empties m for a new payload.
func (m *Message) reset() {
	m.Readings = m.Readings[:0]
	m.scratch = m.scratch[:0]
	m.Datastream = 0
}

// Func decodes payload into m. On an error, always an *Error, the Readings of
// m are of no use.
type Func func(m *Message, payload []byte) error

// Formats gives the decoders that a topic of the form
// terminals/{code}/up/{format} can name.
func Formats() map[string]Func {
	return map[string]Func{"json": JSON}
}

// Error is a payload that does not follow its format.
type Error struct {
	Reason twin.RejectReason
	Offset int // in bytes from the start of the payload
	Detail string
}

// Error says what was expected, and where.
func (e *Error) Error() string {
	return fmt.Sprintf("%s at byte %d: %s", e.Reason, e.Offset, e.Detail)
}
