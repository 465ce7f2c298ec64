package mqttd

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// linesPerSecond bounds what clients can make the server log: whoever floods
// the endpoint shall not fill the disk with the tale of it.
const linesPerSecond = 50

// lines is a logger that keeps to linesPerSecond and says how many it left out.
type lines struct {
	log   *slog.Logger
	clock func() time.Time

	mu      sync.Mutex
	second  int64
	written int
	left    int // out, since the last line that was written
}

// write logs a line, unless this second has had its share.
func (l *lines) write(level slog.Level, msg string, args ...any) {
	if !l.log.Enabled(context.Background(), level) {
		return
	}
	l.mu.Lock()
	if now := l.clock().Unix(); now != l.second {
		l.second, l.written = now, 0
	}
	if l.written >= linesPerSecond {
		l.left++
		l.mu.Unlock()
		return
	}
	l.written++
	left := l.left
	l.left = 0
	l.mu.Unlock()
	if left > 0 {
		l.log.Warn("lines about clients were left out: too many in a second", "lines", left)
	}
	l.log.Log(context.Background(), level, msg, args...)
}
