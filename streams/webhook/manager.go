package webhook

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"cityhub/streams"
	"cityhub/twin"
	"cityhub/twin/registry"
)

// Owner is who made a webhook and whose rights it has.
type Owner struct {
	Name  string
	Role  string
	Token int64 // of the registry; 0: none
}

// Store keeps webhooks; *registry.Registry is one. MarkWebhook is durable when
// it returns.
type Store interface {
	PutWebhook(ctx context.Context, h registry.Webhook) error
	MarkWebhook(ctx context.Context, id string, p registry.WebhookProgress) error
	Webhooks(ctx context.Context) ([]registry.Webhook, error)
	DeleteWebhook(ctx context.Context, id string) error
}

// Options of a Manager. Store, Source, Bounds, Directory, Select and Access are
// needed.
type Options struct {
	Store Store
	// Source is the log. For a position that the log does not hold Tail fails
	// with CodeConflict; with maxRows 1 it hands over record by record.
	Source streams.Source
	// Bounds are the positions of the first and last record of the log; of an
	// empty one first is the position after last.
	Bounds    func(ctx context.Context) (first, last twin.Position, err error)
	Directory streams.Directory
	// Select compiles a filter; Hub.Select does.
	Select func(f streams.Filter) (*streams.Selection, error)
	// Labels gives names for a Datastream's description; nil: none.
	Labels func(ctx context.Context, ds *twin.Datastream) (streams.Labels, error)
	// Access gives what an owner may see now, from memory; CodeUnauthorized or
	// CodeForbidden once the owner may see nothing any more. It is asked before
	// every try, and every RecheckEvery and at every Invalidate while one is on
	// its way.
	Access func(ctx context.Context, o Owner) (streams.View, error)

	PlainHosts      []string       // hosts that plain http may reach
	InnerNetworks   []netip.Prefix // networks that deliveries may reach although they are not public
	TLS             *tls.Config    // nil: the system's roots
	MaxWebhooks     int            // zero means 100
	Timeout         time.Duration  // of one try; zero means 15 s
	RetryMin        time.Duration  // first pause after a failure; zero means 1 s
	RetryMax        time.Duration  // longest pause; zero means 5 min
	GiveUpAfter     time.Duration  // of failures without a success: the webhook is paused; zero means 72 h
	SecretOverlap   time.Duration  // how long an old secret signs beside the new; zero means 24 h
	RecheckEvery    time.Duration  // zero means 1 s
	CheckpointEvery time.Duration  // how often the position of a quiet webhook is stored; zero means 30 s

	Clock   func() time.Time      // nil means time.Now
	Logger  *slog.Logger          // nil means none
	Metrics prometheus.Registerer // nil means none
}

func (o *Options) complete() error {
	const op = "new webhooks"
	if o.Store == nil || o.Source == nil || o.Bounds == nil || o.Directory == nil || o.Select == nil || o.Access == nil {
		return &twin.Error{Code: twin.CodeInvalid, Op: op, Field: "Store, Source, Bounds, Directory, Select, Access", Message: "are needed"}
	}
	for _, d := range []struct {
		v    *time.Duration
		zero time.Duration
		name string
	}{
		{&o.Timeout, 15 * time.Second, "Timeout"}, {&o.RetryMin, time.Second, "RetryMin"}, {&o.RetryMax, 5 * time.Minute, "RetryMax"},
		{&o.GiveUpAfter, 72 * time.Hour, "GiveUpAfter"}, {&o.SecretOverlap, 24 * time.Hour, "SecretOverlap"},
		{&o.RecheckEvery, time.Second, "RecheckEvery"}, {&o.CheckpointEvery, 30 * time.Second, "CheckpointEvery"},
	} {
		if *d.v < 0 {
			return &twin.Error{Code: twin.CodeInvalid, Op: op, Field: d.name, Message: "a negative duration", Hint: "zero means the default"}
		}
		if *d.v == 0 {
			*d.v = d.zero
		}
	}
	if o.MaxWebhooks == 0 {
		o.MaxWebhooks = 100
	}
	if o.MaxWebhooks < 0 {
		return &twin.Error{Code: twin.CodeInvalid, Op: op, Field: "MaxWebhooks", Message: "is negative", Hint: "zero means the default"}
	}
	if o.RetryMin > o.RetryMax {
		return &twin.Error{Code: twin.CodeInvalid, Op: op, Field: "RetryMin", Message: "is longer than RetryMax"}
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Manager keeps the webhooks and has them at work while Run runs. See the
// package comment.
type Manager struct {
	o       Options
	m       *metrics
	guard   guard
	client  *http.Client
	changes atomic.Uint64 // counts calls of Invalidate
	testing chan struct{} // a place for each test delivery on its way

	change sync.Mutex // held by who makes, changes or ends a webhook, over stopping its worker

	mu      sync.Mutex
	ctx     context.Context // of Run; nil while it does not run
	hooks   map[string]*hook
	workers sync.WaitGroup
}

// hook is a webhook and its worker.
type hook struct {
	id   string
	sel  *streams.Selection
	poke chan struct{} // something changed that the worker keeps

	cancel context.CancelFunc // of the worker; nil: none
	done   chan struct{}      // closed when the worker has ended

	mu    sync.Mutex
	rec   registry.Webhook
	def   Definition
	state State // what the API shows beyond rec
}

// New makes a Manager; Run has it work.
func New(o Options) (*Manager, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	m := &Manager{o: o, hooks: map[string]*hook{}, testing: make(chan struct{}, 4)}
	for _, h := range o.PlainHosts {
		m.guard.hosts = append(m.guard.hosts, strings.ToLower(h))
	}
	m.guard.nets = slices.Clone(o.InnerNetworks)
	m.client = &http.Client{
		Transport:     m.guard.transport(o.TLS),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	var err error
	if m.m, err = newMetrics(o.Metrics, m); err != nil {
		return nil, &twin.Error{Code: twin.CodeConflict, Op: "new webhooks", Field: "Metrics", Message: "cannot register the metrics", Err: err}
	}
	return m, nil
}

// Run loads the webhooks and delivers until ctx ends, then waits for the
// workers. An error is that of the store. One Run at a time.
func (m *Manager) Run(ctx context.Context) error {
	m.change.Lock()
	list, err := m.o.Store.Webhooks(ctx)
	if err != nil {
		m.change.Unlock()
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	m.mu.Lock()
	m.ctx = ctx
	clear(m.hooks)
	m.mu.Unlock()
	for _, rec := range list {
		h := &hook{id: rec.ID, rec: rec, poke: make(chan struct{}, 1)}
		err := json.Unmarshal(rec.Document, &h.def)
		if err == nil {
			h.sel, err = h.def.complete(&m.guard, m.o.Select)
		}
		m.put(h)
		if err != nil {
			// The configuration may have become stricter since it was made.
			m.pause(ctx, h, "its definition is no longer valid: "+err.Error())
			continue
		}
		m.start(h)
	}
	m.change.Unlock()

	<-ctx.Done()
	m.mu.Lock()
	m.ctx = nil
	m.mu.Unlock()
	m.workers.Wait()
	m.client.CloseIdleConnections()
	return nil
}

// Invalidate tells that Datastreams or rights have changed: every worker asks
// again before it goes on, one with a delivery on its way at once. It never
// blocks.
func (m *Manager) Invalidate() {
	m.changes.Add(1)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, h := range m.hooks {
		select {
		case h.poke <- struct{}{}:
		default:
		}
	}
}

func (m *Manager) put(h *hook) {
	m.mu.Lock()
	m.hooks[h.id] = h
	m.mu.Unlock()
}

// all are the webhooks in order of id.
func (m *Manager) all() []*hook {
	m.mu.Lock()
	out := make([]*hook, 0, len(m.hooks))
	for _, h := range m.hooks {
		out = append(out, h)
	}
	m.mu.Unlock()
	slices.SortFunc(out, func(a, b *hook) int { return strings.Compare(a.id, b.id) })
	return out
}

// find is the webhook with an id.
func (m *Manager) find(id string) (*hook, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if h := m.hooks[id]; h != nil {
		return h, nil
	}
	return nil, &twin.Error{Code: twin.CodeNotFound, Op: "find webhook", Field: "id", Message: fmt.Sprintf("there is no webhook %.64q", id)}
}

// start has h at work, unless it is paused or Run does not run.
func (m *Manager) start(h *hook) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h.mu.Lock()
	paused := !h.rec.Progress.Paused.IsZero()
	h.mu.Unlock()
	if paused || m.ctx == nil || m.ctx.Err() != nil {
		return
	}
	var ctx context.Context
	ctx, h.cancel = context.WithCancel(m.ctx)
	done := make(chan struct{})
	h.done = done
	w := newWorker(m, h)
	m.workers.Go(func() {
		defer close(done)
		w.run(ctx)
	})
}

// stop ends the worker of h and waits for it.
func (m *Manager) stop(h *hook) {
	m.mu.Lock()
	cancel, done := h.cancel, h.done
	h.cancel, h.done = nil, nil
	m.mu.Unlock()
	if cancel != nil {
		cancel()
		<-done
	}
}

// pause stores that h is paused and why. Its worker has ended, or is asking.
func (m *Manager) pause(ctx context.Context, h *hook, why string) {
	h.mu.Lock()
	h.rec.Progress.Paused, h.rec.Progress.PausedWhy = m.o.Clock().UTC(), why
	h.state.NextTry, h.state.Queued = time.Time{}, 0
	id, owner, p := h.rec.ID, h.rec.Owner, h.rec.Progress
	h.mu.Unlock()
	m.o.Logger.Warn("a webhook is paused", "webhook", id, "owner", owner, "reason", why)
	if err := m.o.Store.MarkWebhook(ctx, id, p); err != nil {
		// After a restart it is tried again and paused again.
		m.o.Logger.Error("that a webhook is paused could not be stored", "webhook", id, "error", err)
	}
}

// backoff is the pause after the nth failure, from 0: it doubles, and half of
// it is chance so that receivers are not called all at once.
func (m *Manager) backoff(n int) time.Duration {
	d := m.o.RetryMax
	if n < 30 {
		d = min(d, m.o.RetryMin<<n)
	}
	return d/2 + rand.N(d/2+1)
}
