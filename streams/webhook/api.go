package webhook

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"time"

	"cityhub/twin"
	"cityhub/twin/registry"
)

// Status of a webhook.
const (
	StatusActive  = "active"
	StatusFailing = "failing" // a delivery is being repeated
	StatusPaused  = "paused"
)

// State is how a webhook does.
type State struct {
	Status      string        `json:"status"`
	PausedWhy   string        `json:"pausedReason,omitempty"`
	Paused      time.Time     `json:"paused,omitzero"`
	Position    twin.Position `json:"position"` // of the last confirmed delivery
	Read        twin.Position `json:"read"`     // how far the log has been looked at
	Behind      uint64        `json:"behind"`   // records of the log after position
	Sequence    uint64        `json:"sequence"` // of the delivery begun last
	Pending     bool          `json:"pending"`  // that one is not confirmed
	Queued      int           `json:"queued"`   // readings in memory
	Delivered   time.Time     `json:"delivered,omitzero"`
	Failing     time.Time     `json:"failingSince,omitzero"`
	Failures    int           `json:"failures"` // in a row
	LastStatus  int           `json:"lastStatus,omitempty"`
	LastError   string        `json:"lastError,omitempty"`
	NextTry     time.Time     `json:"nextTry,omitzero"`
	OldSecretTo time.Time     `json:"oldSecretUntil,omitzero"` // until then the old secret signs too
}

// Webhook is a webhook as the API shows it, without its secrets.
type Webhook struct {
	ID      string    `json:"id"`
	Owner   string    `json:"owner"`
	Role    string    `json:"role"`
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
	Definition
	State State `json:"state"`
	// Secret is given once: when the webhook is made and when it gets another.
	Secret string `json:"secret,omitempty"`
}

// update changes what the API shows, under h's lock.
func (h *hook) update(fn func(s *State, p *registry.WebhookProgress)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	fn(&h.state, &h.rec.Progress)
}

func (h *hook) snapshot() State {
	h.mu.Lock()
	defer h.mu.Unlock()
	s, p := h.state, h.rec.Progress
	s.Status = StatusActive
	switch {
	case !p.Paused.IsZero():
		s.Status = StatusPaused
	case !p.Failing.IsZero() || !s.NextTry.IsZero():
		s.Status = StatusFailing
	}
	s.PausedWhy, s.Paused, s.Position, s.Sequence, s.Pending = p.PausedWhy, p.Paused, p.Position, p.Sequence, p.PendingEnd != 0
	s.Delivered, s.Failing = p.Delivered, p.Failing
	if h.rec.OldSecret != "" {
		s.OldSecretTo = h.rec.OldUntil
	}
	if s.Read.Epoch != s.Position.Epoch || s.Read.Offset < s.Position.Offset {
		s.Read = s.Position
	}
	return s
}

func (m *Manager) show(ctx context.Context, h *hook) Webhook {
	s := h.snapshot()
	if _, last, err := m.o.Bounds(ctx); err == nil && last.Epoch == s.Position.Epoch && last.Offset > s.Position.Offset {
		s.Behind = last.Offset - s.Position.Offset
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return Webhook{ID: h.rec.ID, Owner: h.rec.Owner, Role: h.rec.Role, Created: h.rec.Created, Updated: h.rec.Updated, Definition: h.def, State: s}
}

// List gives every webhook in order of id.
func (m *Manager) List(ctx context.Context) []Webhook {
	out := []Webhook{}
	for _, h := range m.all() {
		out = append(out, m.show(ctx, h))
	}
	return out
}

// Get gives a webhook.
func (m *Manager) Get(ctx context.Context, id string) (Webhook, error) {
	h, err := m.find(id)
	if err != nil {
		return Webhook{}, err
	}
	return m.show(ctx, h), nil
}

// serving is an error while Run does not run: nothing may be changed that it
// has not loaded.
func (m *Manager) serving(op string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ctx == nil {
		return &twin.Error{Code: twin.CodeUnavailable, Op: op, Message: "the webhooks are not at work", Hint: "try again in a few seconds"}
	}
	return nil
}

// Create makes a webhook that delivers from now on. Its secret is in the
// answer, this once.
func (m *Manager) Create(ctx context.Context, o Owner, d Definition) (Webhook, error) {
	const op = "make webhook"
	m.change.Lock()
	defer m.change.Unlock()
	if err := m.serving(op); err != nil {
		return Webhook{}, err
	}
	if n := len(m.all()); n >= m.o.MaxWebhooks {
		return Webhook{}, &twin.Error{Code: twin.CodeTooMany, Op: op, Message: "there are " + strconv.Itoa(n) + " webhooks, which is the limit"}
	}
	h := &hook{def: d, poke: make(chan struct{}, 1)}
	var err error
	if h.sel, err = h.def.complete(&m.guard, m.o.Select); err != nil {
		return Webhook{}, err
	}
	if _, err := m.o.Access(ctx, o); err != nil {
		return Webhook{}, err
	}
	_, last, err := m.o.Bounds(ctx)
	if err != nil {
		return Webhook{}, err
	}
	now := m.o.Clock().UTC()
	h.id = newID()
	h.rec = registry.Webhook{ID: h.id, Owner: o.Name, Role: o.Role, Token: o.Token, Secret: newSecret(), Created: now, Updated: now, Progress: registry.WebhookProgress{Position: last}}
	if h.rec.Document, err = json.Marshal(h.def); err != nil {
		return Webhook{}, err
	}
	if err := m.o.Store.PutWebhook(ctx, h.rec); err != nil {
		return Webhook{}, err
	}
	secret := h.rec.Secret
	m.put(h)
	m.start(h)
	out := m.show(ctx, h)
	out.Secret = secret
	return out, nil
}

// Replace gives a webhook another definition. A delivery that was begun is not
// repeated: what it held comes again under the next number.
func (m *Manager) Replace(ctx context.Context, id string, d Definition) (Webhook, error) {
	sel, err := d.complete(&m.guard, m.o.Select)
	if err != nil {
		return Webhook{}, err
	}
	doc, err := json.Marshal(d)
	if err != nil {
		return Webhook{}, err
	}
	return m.edit(ctx, id, func(h *hook, rec *registry.Webhook) error {
		rec.Document, rec.Progress.PendingEnd = doc, 0
		return nil
	}, func(h *hook) { h.def, h.sel = d, sel })
}

// Rotate gives a webhook another secret; the old one signs beside it for
// SecretOverlap. The new one is in the answer, this once.
func (m *Manager) Rotate(ctx context.Context, id string) (Webhook, error) {
	secret := newSecret()
	out, err := m.edit(ctx, id, func(_ *hook, rec *registry.Webhook) error {
		rec.OldSecret, rec.OldUntil, rec.Secret = rec.Secret, m.o.Clock().UTC().Add(m.o.SecretOverlap), secret
		return nil
	}, nil)
	if err == nil {
		out.Secret = secret
	}
	return out, err
}

// Pause stops a webhook until Resume.
func (m *Manager) Pause(ctx context.Context, id string) (Webhook, error) {
	return m.edit(ctx, id, func(_ *hook, rec *registry.Webhook) error {
		if rec.Progress.Paused.IsZero() {
			rec.Progress.Paused, rec.Progress.PausedWhy = m.o.Clock().UTC(), "by hand"
		}
		return nil
	}, nil)
}

// Resume has a paused webhook go on where it stopped, if its creator still has
// the rights.
func (m *Manager) Resume(ctx context.Context, id string) (Webhook, error) {
	return m.edit(ctx, id, func(_ *hook, rec *registry.Webhook) error {
		if _, err := m.o.Access(ctx, Owner{Name: rec.Owner, Role: rec.Role, Token: rec.Token}); err != nil {
			return &twin.Error{Code: twin.CodeConflict, Op: "resume webhook", Message: "the rights it was made with are gone", Hint: "make a new webhook", Err: err}
		}
		rec.Progress.Paused, rec.Progress.PausedWhy, rec.Progress.Failing = time.Time{}, "", time.Time{}
		return nil
	}, nil)
}

// Delete ends a webhook.
func (m *Manager) Delete(ctx context.Context, id string) error {
	m.change.Lock()
	defer m.change.Unlock()
	if err := m.serving("delete webhook"); err != nil {
		return err
	}
	h, err := m.find(id)
	if err != nil {
		return err
	}
	m.stop(h)
	if err := m.o.Store.DeleteWebhook(ctx, id); err != nil {
		m.start(h)
		return err
	}
	m.mu.Lock()
	delete(m.hooks, id)
	m.mu.Unlock()
	return nil
}

// edit stops the worker, changes the record, stores it and starts a worker.
func (m *Manager) edit(ctx context.Context, id string, change func(h *hook, rec *registry.Webhook) error, then func(h *hook)) (Webhook, error) {
	m.change.Lock()
	defer m.change.Unlock()
	if err := m.serving("change webhook"); err != nil {
		return Webhook{}, err
	}
	h, err := m.find(id)
	if err != nil {
		return Webhook{}, err
	}
	m.stop(h)
	defer m.start(h)
	h.mu.Lock()
	rec := h.rec
	h.mu.Unlock()
	if err := change(h, &rec); err != nil {
		return Webhook{}, err
	}
	rec.Updated = m.o.Clock().UTC()
	if err := m.o.Store.PutWebhook(ctx, rec); err != nil {
		return Webhook{}, err
	}
	h.mu.Lock()
	h.rec, h.state = rec, State{}
	if then != nil {
		then(h)
	}
	h.mu.Unlock()
	return m.show(ctx, h), nil
}

// TestResult is how a test delivery ended.
type TestResult struct {
	Delivered bool   `json:"delivered"`
	Status    int    `json:"status,omitempty"`
	Error     string `json:"error,omitempty"`
	Millis    int64  `json:"millis"`
}

// Test sends a signed body of type test, without readings and outside the
// order of the deliveries, once.
func (m *Manager) Test(ctx context.Context, id string) (TestResult, error) {
	h, err := m.find(id)
	if err != nil {
		return TestResult{}, err
	}
	select {
	case m.testing <- struct{}{}:
		defer func() { <-m.testing }()
	default:
		return TestResult{}, &twin.Error{Code: twin.CodeTooMany, Op: "test webhook", Message: "other test deliveries are on their way", Hint: "try again in a few seconds"}
	}
	h.mu.Lock()
	rec := h.rec
	h.mu.Unlock()
	if _, err := m.o.Access(ctx, Owner{Name: rec.Owner, Role: rec.Role, Token: rec.Token}); err != nil {
		return TestResult{}, err
	}
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	delivery := rec.ID + "_test_" + hex.EncodeToString(b[:])
	start := time.Now()
	res := m.send(ctx, &rec, delivery, append(m.begin(nil, "test", rec.ID, delivery), '}'))
	out := TestResult{Delivered: res.ok(), Status: res.status, Millis: time.Since(start).Milliseconds()}
	if !res.ok() {
		out.Error = res.text()
	}
	return out, nil
}

// targetOf is the URL in a record.
func targetOf(rec *registry.Webhook) (string, error) {
	var d struct {
		URL string `json:"url"`
	}
	if err := json.Unmarshal(rec.Document, &d); err != nil {
		return "", &twin.Error{Code: twin.CodeCorrupt, Op: "read webhook", Message: "its definition cannot be read", Err: err}
	}
	return d.URL, nil
}
