package web

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/klauspost/compress/gzhttp"
)

// Options of Standard.
type Options struct {
	Logger    *slog.Logger
	Clock     func() time.Time // nil: time.Now
	Verifier  Verifier
	PublicURL string // as the callers reach the hub, e.g. https://hub.example; empty: as the request says
	MaxBody   int64  // bytes of a request body; zero: 64 MiB
}

// Standard is the middleware around every handler of the hub, in the one order
// in which it works: the log sees the status that was sent, a panic becomes a
// problem before compression closes the response, and nothing runs before it
// is known who asks.
func Standard(o Options) (Middleware, error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.MaxBody == 0 {
		o.MaxBody = 64 << 20
	}
	compress, err := Compress(1024)
	if err != nil {
		return nil, err
	}
	return func(next http.Handler) http.Handler {
		return Chain(next, PublicURL(o.PublicURL), AccessLog(o.Logger, o.Clock), SecurityHeaders, compress,
			Recover(o.Logger), LimitBody(o.MaxBody), Authenticate(o.Verifier))
	}, nil
}

// Recover turns a panic of a handler into a 500 problem with an incident
// number, and logs it with its stack. http.ErrAbortHandler passes: it is how a
// handler cuts a response short. When part of the response has been sent, the
// connection is cut, so that half an answer is not taken for a whole one.
func Recover(logger *slog.Logger) Middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r, s := withState(r)
			s.logger = logger
			rec := record(w)
			defer func() {
				v := recover()
				if v == nil {
					return
				}
				if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
					panic(http.ErrAbortHandler)
				}
				if rec.status != 0 {
					logger.LogAttrs(r.Context(), slog.LevelError, "panic in handler", slog.String("path", r.URL.EscapedPath()),
						slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
					panic(http.ErrAbortHandler)
				}
				Problem(rec, r, fmt.Errorf("panic: %v\n%s", v, debug.Stack()))
			}()
			next.ServeHTTP(rec, r)
		})
	}
}

// AccessLog logs every request when it ends: who, what, the status, bytes and
// time. It logs the path and never the query or a header, because those may
// carry a secret.
func AccessLog(logger *slog.Logger, clock func() time.Time) Middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r, s := withState(r)
			s.logger = logger
			rec := record(w)
			start := clock()
			defer func() {
				level := slog.LevelDebug
				if rec.status >= http.StatusInternalServerError {
					level = slog.LevelWarn
				} else if r.Method != http.MethodGet && r.Method != http.MethodHead {
					level = slog.LevelInfo
				}
				if !logger.Enabled(r.Context(), level) {
					return
				}
				logger.LogAttrs(r.Context(), level, "request",
					slog.String("method", r.Method), slog.String("path", r.URL.EscapedPath()), slog.Int("status", rec.status),
					slog.Int64("bytes", rec.bytes), slog.Duration("took", clock().Sub(start)),
					slog.String("remote", r.RemoteAddr), slog.String("principal", s.principal.Name))
			}()
			next.ServeHTTP(rec, r)
		})
	}
}

// recorder remembers what was answered. It keeps Flush and Hijack of the
// writer below, which streams and WebSockets need.
type recorder struct {
	http.ResponseWriter
	status int // 0: nothing sent yet
	bytes  int64
}

func record(w http.ResponseWriter) *recorder {
	if rec, ok := w.(*recorder); ok {
		return rec
	}
	return &recorder{ResponseWriter: w}
}

func (rec *recorder) WriteHeader(status int) {
	if rec.status == 0 && status >= http.StatusOK {
		rec.status = status
	}
	rec.ResponseWriter.WriteHeader(status)
}

func (rec *recorder) Write(b []byte) (int, error) {
	if rec.status == 0 {
		rec.status = http.StatusOK
	}
	n, err := rec.ResponseWriter.Write(b)
	rec.bytes += int64(n)
	return n, err
}

func (rec *recorder) Unwrap() http.ResponseWriter { return rec.ResponseWriter }

// Flush sends what is buffered.
func (rec *recorder) Flush() {
	if rec.status == 0 {
		rec.status = http.StatusOK
	}
	_ = http.NewResponseController(rec.ResponseWriter).Flush() // a writer that cannot flush has no buffer to hold
}

// Hijack takes the connection over, for a WebSocket.
func (rec *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(rec.ResponseWriter).Hijack()
	if err == nil {
		rec.status = http.StatusSwitchingProtocols
	}
	return conn, rw, err
}

// contentSecurityPolicy is for answers that are no pages: a browser that shows
// one runs, loads and frames nothing. The viewer sets its own.
const contentSecurityPolicy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// SecurityHeaders sets the headers that keep a browser from doing more with a
// response than it should. A handler may override them.
func SecurityHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Content-Security-Policy", contentSecurityPolicy)
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(self)")
		if r.TLS != nil {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}

// OpenReads lets a page of any site read what it is put around, with a token
// of its own or as the public: open data is for society to build on
// (苏州市数据条例 第十四条, 第二十九条; R36, R53). Cookies are not part of it: a
// browser does not show a response that was made with one to another site.
func OpenReads(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			h.Set("Access-Control-Allow-Origin", "*")
			h.Set("Access-Control-Allow-Methods", "GET, HEAD")
			h.Set("Access-Control-Allow-Headers", "Authorization, Accept")
			h.Set("Access-Control-Max-Age", "86400")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			h.Set("Access-Control-Allow-Origin", "*")
			h.Set("Access-Control-Expose-Headers", "Link, Location, Retry-After")
		}
		next.ServeHTTP(w, r)
	})
}

// LimitBody cuts request bodies after max bytes: reading on gives an error
// that ReadBody and DecodeJSON turn into a 413 problem.
func LimitBody(max int64) Middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Body != nil && r.Body != http.NoBody {
				r.Body = http.MaxBytesReader(w, r.Body, max)
			}
			next.ServeHTTP(w, r)
		})
	}
}

// Compress compresses JSON and text for callers that accept it. Server-sent
// events and WebSockets pass as they are: each of their messages must leave at
// once. minSize is the smallest body in bytes worth it.
func Compress(minSize int) (Middleware, error) {
	wrap, err := gzhttp.NewWrapper(gzhttp.MinSize(minSize), gzhttp.ContentTypeFilter(compressible))
	if err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	return func(next http.Handler) http.Handler {
		packed := wrap(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Upgrade") != "" {
				next.ServeHTTP(w, r)
				return
			}
			packed.ServeHTTP(w, r)
		})
	}, nil
}

func compressible(contentType string) bool {
	mt, _, _ := strings.Cut(contentType, ";")
	mt = strings.ToLower(strings.TrimSpace(mt))
	switch {
	case mt == "text/event-stream":
		return false
	case strings.HasPrefix(mt, "text/"), mt == "application/json", strings.HasSuffix(mt, "+json"),
		mt == "application/javascript", mt == "application/wasm", mt == "image/svg+xml":
		return true
	}
	return false
}
