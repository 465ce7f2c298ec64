package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cityhub/internal/testkit"
	"cityhub/streams"
	"cityhub/streams/internal/streamtest"
	"cityhub/twin"
	"cityhub/twin/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a log, a catalogue and the registry that webhooks work with. Its
// Datastreams 1 to 8 are of the open Dataset 1, 9 of the closed Dataset 2.
type world struct {
	log   *streamtest.Log
	dir   *streamtest.Directory
	store *registry.Registry
	hub   *streams.Hub // compiles filters

	mu     sync.Mutex
	denied map[string]bool // owners whose rights are gone
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{log: streamtest.NewLog(), dir: streamtest.NewDirectory(), denied: map[string]bool{}}
	for id := twin.DatastreamID(1); id <= 9; id++ {
		set := twin.DatasetID(1)
		if id == 9 {
			set = 2
		}
		w.dir.Put(streamtest.Datastream(id, []string{"pm25", "pm10"}[id%2], set, 120.6, 31.3))
	}
	w.dir.SetOpen(1, true)
	var err error
	if w.store, err = registry.Open(context.Background(), registry.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.store.Close() })
	if w.hub, err = streams.New(streams.Options{Source: w.log, State: streamtest.NewState(), Directory: w.dir}); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) deny(owner string, denied bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.denied[owner] = denied
}

func (w *world) access(ctx context.Context, o Owner) (streams.View, error) {
	w.mu.Lock()
	denied := w.denied[o.Name]
	w.mu.Unlock()
	if denied {
		return nil, &twin.Error{Code: twin.CodeUnauthorized, Op: "authenticate", Message: "the token was revoked"}
	}
	if o.Role == "admin" {
		return streamtest.View{Name: "admin", All: true}, nil
	}
	v, _, err := (&streamtest.Gate{Directory: w.dir}).View(ctx, "")
	return v, err
}

func (w *world) bounds(context.Context) (first, last twin.Position, err error) {
	return twin.Position{Epoch: streamtest.Epoch, Offset: 1}, twin.Position{Epoch: streamtest.Epoch, Offset: uint64(len(w.log.Records()))}, nil
}

func (w *world) options() Options {
	return Options{
		Store: w.store, Source: w.log, Bounds: w.bounds, Directory: w.dir, Select: w.hub.Select, Access: w.access,
		PlainHosts: []string{"127.0.0.1", "localhost"}, InnerNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
		Timeout: 300 * time.Millisecond, RetryMin: 2 * time.Millisecond, RetryMax: 20 * time.Millisecond, RecheckEvery: 50 * time.Millisecond,
	}
}

// running is a Manager at work.
type running struct {
	*Manager
	stop func() // as a crash or a stop of the hub; waits
}

func run(t testing.TB, o Options) running {
	t.Helper()
	m, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	testkit.WaitFor(t, 5*time.Second, "the webhooks are at work", func() bool { return m.serving("") == nil })
	return running{m, stop}
}

// delivery is what a receiver got.
type delivery struct {
	id, timestamp, signature string
	body                     []byte
	msg                      message
}

type message struct {
	Type         string               `json:"type"`
	Webhook      string               `json:"webhook"`
	Delivery     string               `json:"delivery"`
	Timestamp    time.Time            `json:"timestamp"`
	Sequence     uint64               `json:"sequence"`
	Position     twin.Position        `json:"position"`
	Gap          string               `json:"gap"`
	Observations [][4]json.RawMessage `json:"observations"`
	Datastreams  []struct {
		ID       twin.DatastreamID `json:"id"`
		Property string            `json:"property"`
	} `json:"datastreams"`
}

// values are the results of the observations.
func (m *message) values() []string {
	var out []string
	for _, o := range m.Observations {
		out = append(out, string(o[2]))
	}
	return out
}

// receiver is the system of another department. answer decides what becomes of
// the nth request, from 0; nil: 204.
type receiver struct {
	*httptest.Server
	t      testing.TB
	answer func(n int, w http.ResponseWriter, r *http.Request)

	mu  sync.Mutex
	n   int
	got []delivery
}

func receive(t testing.TB, answer func(n int, w http.ResponseWriter, r *http.Request)) *receiver {
	rc := &receiver{t: t, answer: answer}
	rc.Server = httptest.NewServer(rc)
	t.Cleanup(rc.Close)
	return rc
}

// ServeHTTP takes a delivery.
func (rc *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // cut off on its way
	}
	d := delivery{id: r.Header.Get("webhook-id"), timestamp: r.Header.Get("webhook-timestamp"), signature: r.Header.Get("webhook-signature"), body: body}
	if err := json.Unmarshal(body, &d.msg); err != nil {
		rc.t.Errorf("a body that is not JSON: %v\n%s", err, body)
	}
	if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" || d.msg.Delivery != d.id {
		rc.t.Errorf("%s %v for delivery %q", r.Method, r.Header, d.msg.Delivery)
	}
	rc.mu.Lock()
	n := rc.n
	rc.n++
	rc.got = append(rc.got, d)
	rc.mu.Unlock()
	if rc.answer != nil {
		rc.answer(n, w, r)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// deliveries are those received so far, repeats too.
func (rc *receiver) deliveries() []delivery {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	return slices.Clone(rc.got)
}

// once are the deliveries without the repeats, as a receiver keeps them.
func (rc *receiver) once() []delivery {
	seen := map[string]bool{}
	var out []delivery
	for _, d := range rc.deliveries() {
		if !seen[d.id] {
			seen[d.id] = true
			out = append(out, d)
		}
	}
	return out
}

// values are the results received, repeats dropped by webhook-id.
func (rc *receiver) values() []string {
	var out []string
	for _, d := range rc.once() {
		out = append(out, d.msg.values()...)
	}
	return out
}

// verify is how a receiver checks a signature, written from the specification.
func verify(secret string, d delivery) bool {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return false
	}
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write([]byte(d.id + "." + d.timestamp + "." + string(d.body)))
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	return slices.Contains(strings.Split(d.signature, " "), want)
}

func (r running) make(t testing.TB, owner, role string, d Definition) Webhook {
	t.Helper()
	v, err := r.Create(t.Context(), Owner{Name: owner, Role: role}, d)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (r running) await(t testing.TB, id, what string, ok func(Webhook) bool) Webhook {
	t.Helper()
	var v Webhook
	testkit.WaitFor(t, 10*time.Second, what, func() bool {
		var err error
		if v, err = r.Get(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		return ok(v)
	})
	return v
}
