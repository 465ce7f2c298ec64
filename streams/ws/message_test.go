package ws

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"cityhub/streams"
	"cityhub/twin"
)

func FuzzMessage(f *testing.F) {
	for _, s := range []string{
		`{"type":"ping","t":123}`, `{"type":"auth","token":"x"}`, `{"type":"unsubscribe","id":"s"}`, `{"type":"subscribe","id":"s","filter":{"bbox":[1,2,3,4]}}`,
		`{"type":"subscribe","id":"s","filter":{"observedProperties":["pm25"],"datastreams":[12]}}`, `{"type":"subscribe","filter":[]}`, `{"type":7}`, `[]`, "\xff", `{"type":"ping","t":1e999}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseMessage(data)
		if err != nil {
			if closeCodeOf(err) != streams.CloseMalformed {
				t.Fatalf("%q: %v is no malformed message", data, err)
			}
			if r := reason(err.Error()); len(r) > 123 || !utf8.ValidString(r) || r == "" {
				t.Fatalf("%q gives the reason %q", data, r)
			}
			return
		}
		if m.Type == "ping" && !json.Valid(encodePong(m.ping.T)) {
			t.Fatalf("%q: pong %s", data, encodePong(m.ping.T))
		}
		filter, err := parseFilter(m.subscribe.Filter)
		if err == nil {
			err = filter.Validate()
		}
		var e *twin.Error
		if err != nil && (!errors.As(err, &e) || e.Code != twin.CodeInvalid || !strings.HasPrefix(e.Field, "filter")) {
			t.Fatalf("%q: %v names no field", data, err)
		}
		if err != nil && !json.Valid(encodeError(m.ID, err)) {
			t.Fatalf("%q: error %s", data, encodeError(m.ID, err))
		}
	})
}

func TestErrorsKeepTheirCause(t *testing.T) {
	secret := errors.New("table dataset: row 7")
	for _, err := range []error{secret, fmt.Errorf("wrapped: %w", secret), &twin.Error{Code: twin.CodeUnavailable, Message: "later", Err: secret}} {
		if s := string(encodeError("s", err)); strings.Contains(s, "row 7") {
			t.Errorf("the client is told %s", s)
		}
	}
}

func TestReasonFitsACloseFrame(t *testing.T) {
	for _, s := range []string{"short", strings.Repeat("x", 200), strings.Repeat("长", 60), "x" + strings.Repeat("长", 60), "\xff bad"} {
		if r := reason(s); len(r) > 123 || !utf8.ValidString(r) || r == "" {
			t.Errorf("%q becomes %q", s, r)
		}
	}
}

func TestLimiter(t *testing.T) {
	l := limiter{perSecond: 10}
	now := time.Unix(0, 0)
	for i := range 20 {
		if d := l.wait(now, 1); i < 19 && d != 0 {
			t.Fatalf("message %d of a burst waits %v", i, d)
		}
	}
	if d := l.wait(now, 1); d != 100*time.Millisecond {
		t.Errorf("the message after a burst waits %v", d)
	}
	if d := l.wait(now.Add(10*time.Second), 1); d != 0 {
		t.Errorf("after a pause: %v", d)
	}
}
