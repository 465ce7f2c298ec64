package streams

import (
	"sync"

	"cityhub/twin"
)

// FrameKind is the `type` of a message from the hub.
type FrameKind uint8

// The kinds. FrameControl is a message between one client and its transport:
// welcome, subscribed, pong, error …
const (
	FrameControl FrameKind = iota
	FrameSnapshot
	FrameDelta
	FrameHeartbeat
	FrameEvent
	FrameChanged
)

// String is the kind as the envelope writes it.
func (k FrameKind) String() string {
	switch k {
	case FrameSnapshot:
		return "snapshot"
	case FrameDelta:
		return "delta"
	case FrameHeartbeat:
		return "heartbeat"
	case FrameEvent:
		return "event"
	case FrameChanged:
		return "changed"
	}
	return "control"
}

// Form is a way in which a transport writes frames, e.g. compressed. The
// transport that uses forms gives them their meaning.
type Form uint8

// maxForms is the number of Forms, from 0.
const maxForms = 4

// Frame is one encoded message, shared by every client that gets it: nobody
// changes it. It is safe for concurrent use.
type Frame struct {
	Kind     FrameKind
	JSON     []byte        // one line
	Position twin.Position // of a delta, a heartbeat and the last part of a snapshot or a change; else zero

	view    *view  // of a delta: what a purge looks for
	dataset string // of an event: whose visibility decides

	forms [maxForms]form
}

type form struct {
	once sync.Once
	data []byte
	err  error
}

// In is the frame in a Form below 4: what encode gave at the first call, shared by all
// later ones. encode may ask for another Form of the same frame.
func (f *Frame) In(of Form, encode func() ([]byte, error)) ([]byte, error) {
	m := &f.forms[of]
	m.once.Do(func() { m.data, m.err = encode() })
	return m.data, m.err
}
