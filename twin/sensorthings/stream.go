package sensorthings

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"cityhub/internal/web"

	"cityhub/internal/jsonenc"
)

const (
	streamChunk = 32 << 10 // bytes that are kept back before a write
	// writeTimeout is how long a caller may take for one chunk; a slower one is
	// cut off, because a reader that waits holds a view of the store open.
	writeTimeout = 30 * time.Second
)

// errClientGone says that the answer can no longer reach the caller.
var errClientGone = errors.New("the caller is gone or too slow")

// stream writes a collection document as its elements come. Until the first
// chunk is sent an error can still become a problem document; after it, the
// connection is cut, so that half a page is not taken for a whole one.
type stream struct {
	w    http.ResponseWriter
	r    *http.Request
	rc   *http.ResponseController
	buf  []byte
	n    int
	sent bool
}

func newStream(w http.ResponseWriter, r *http.Request) *stream {
	return &stream{w: w, r: r, rc: http.NewResponseController(w), buf: make([]byte, 0, streamChunk+4096)}
}

func (s *stream) begin(count *int64) {
	s.buf = append(s.buf, '{')
	if count != nil {
		s.buf = append(s.buf, `"@iot.count":`...)
		s.buf = strconv.AppendInt(s.buf, *count, 10)
		s.buf = append(s.buf, ',')
	}
	s.buf = append(s.buf, `"value":[`...)
}

// element adds one element, which write appends to what it is given.
func (s *stream) element(write func([]byte) []byte) error {
	if s.n++; s.n > 1 {
		s.buf = append(s.buf, ',')
	}
	s.buf = write(s.buf)
	if len(s.buf) < streamChunk {
		return nil
	}
	return s.flush()
}

func (s *stream) flush() error {
	if !s.sent {
		s.sent = true
		s.w.Header().Set("Content-Type", "application/json")
		s.w.WriteHeader(http.StatusOK)
	}
	// A writer without deadlines, as in tests, does not block either.
	_ = s.rc.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := s.w.Write(s.buf)
	s.buf = s.buf[:0]
	if err != nil {
		return errClientGone
	}
	return nil
}

// end closes the document and sends what is left.
func (s *stream) end(nextLink string) error {
	s.buf = append(s.buf, ']')
	if nextLink != "" {
		s.buf = append(s.buf, `,"@iot.nextLink":`...)
		s.buf = jsonenc.AppendString(s.buf, nextLink)
	}
	s.buf = append(s.buf, '}', '\n')
	if !s.sent {
		s.w.Header().Set("Content-Length", strconv.Itoa(len(s.buf)))
	}
	err := s.flush()
	_ = s.rc.SetWriteDeadline(time.Time{}) // the next request on this connection has its own time
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}

// fail gives err to the caller as long as nothing was sent, else it cuts the
// connection.
func (s *stream) fail(err error) error {
	if !s.sent && !errors.Is(err, errClientGone) {
		return err
	}
	if !errors.Is(err, errClientGone) && s.r.Context().Err() == nil {
		web.LogFailure(s.r, err)
	}
	panic(http.ErrAbortHandler)
}
