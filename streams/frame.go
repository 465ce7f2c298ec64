package streams

import (
	"sync"

	"github.com/gorilla/websocket"

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

// Frame is one encoded message, shared by every client that gets it: nobody
// changes it. It is safe for concurrent use.
type Frame struct {
	Kind     FrameKind
	JSON     []byte        // one line
	Position twin.Position // of a delta, a heartbeat and the last part of a snapshot or a change; else zero

	view    *view  // of a delta: what a purge looks for
	dataset string // of an event: whose visibility decides

	once     sync.Once
	prepared *websocket.PreparedMessage
	err      error
}

// Prepared is the frame in WebSocket form, made at the first call and shared by
// all later ones.
func (f *Frame) Prepared() (*websocket.PreparedMessage, error) {
	f.once.Do(func() {
		f.prepared, f.err = websocket.NewPreparedMessage(websocket.TextMessage, f.JSON)
	})
	return f.prepared, f.err
}

// Shared reports whether the frame may go to more than one client, so that
// preparing it pays.
func (f *Frame) Shared() bool { return f.Kind != FrameControl }
