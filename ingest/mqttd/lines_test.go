package mqttd

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestLogLinesAreBounded(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(1790000000, 0)
	l := lines{log: slog.New(slog.NewTextHandler(&out, nil)), clock: func() time.Time { return now }}
	for range 10_000 {
		l.write(slog.LevelWarn, "flood")
		l.write(slog.LevelDebug, "not logged at all")
	}
	if n := strings.Count(out.String(), "flood"); n != linesPerSecond {
		t.Errorf("%d lines in a second, want %d", n, linesPerSecond)
	}
	now = now.Add(time.Second)
	l.write(slog.LevelWarn, "after")
	if s := out.String(); !strings.Contains(s, "lines=9950") || !strings.Contains(s, "after") {
		t.Errorf("what was left out is not told:\n%s", s[len(s)-300:])
	}
}
