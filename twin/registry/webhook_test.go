package registry

import (
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"cityhub/twin"
)

func TestWebhooks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registry.db")
	r, err := Open(t.Context(), Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	at := time.Date(2026, 11, 21, 8, 0, 0, 5, time.UTC)
	h := Webhook{ID: "wh1", Owner: "消防 '", Token: 3, Role: "admin", Document: []byte(`{"url":"https://a.example"}`), Secret: "whsec_x", Created: at, Updated: at,
		Progress: WebhookProgress{Position: twin.Position{Epoch: "e", Offset: 7}}}
	other := h
	other.ID = "wh0"
	for _, h := range []Webhook{h, other} {
		if err := r.PutWebhook(t.Context(), h); err != nil {
			t.Fatal(err)
		}
	}
	h.Progress = WebhookProgress{Position: twin.Position{Epoch: "f", Offset: 1 << 62}, Sequence: 9, PendingEnd: 1<<62 + 5, Gap: "lost", Paused: at, PausedWhy: "410", Delivered: at, Failing: at.Add(time.Second)}
	if err := r.MarkWebhook(t.Context(), "wh1", h.Progress); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil { // it is on the disk
		t.Fatal(err)
	}
	if r, err = Open(t.Context(), Options{Path: path}); err != nil {
		t.Fatal(err)
	}
	if got, ok, err := r.Webhook(t.Context(), "wh1"); err != nil || !ok || !reflect.DeepEqual(got, h) {
		t.Errorf("%+v, %v, %v; want %+v", got, ok, err, h)
	}
	changed := h
	changed.Owner, changed.Token, changed.Role, changed.Created = "else", 9, "public", at.Add(time.Hour)
	changed.Document, changed.Secret, changed.OldSecret, changed.OldUntil, changed.Updated = []byte(`{}`), "new", h.Secret, at.Add(time.Hour), at.Add(time.Minute)
	changed.Progress = WebhookProgress{Position: h.Progress.Position, Sequence: 10}
	if err := r.PutWebhook(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	changed.Owner, changed.Token, changed.Role, changed.Created = h.Owner, h.Token, h.Role, h.Created
	if list, err := r.Webhooks(t.Context()); err != nil || !reflect.DeepEqual(list, []Webhook{other, changed}) {
		t.Errorf("%+v, %v", list, err)
	}
	for range 2 {
		if err := r.DeleteWebhook(t.Context(), "wh1"); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok, err := r.Webhook(t.Context(), "wh1"); ok || err != nil {
		t.Errorf("deleted: %v, %v", ok, err)
	}
	if err := r.MarkWebhook(t.Context(), "wh1", WebhookProgress{}); twin.ErrorCode(err) != twin.CodeNotFound {
		t.Errorf("mark of a deleted one: %v", err)
	}
	for _, bad := range []Webhook{{}, {ID: "a", Role: "admin", Secret: "s", Document: []byte("{")}, {ID: "a", Role: "admin", Document: []byte("{}")}} {
		if err := r.PutWebhook(t.Context(), bad); twin.ErrorCode(err) != twin.CodeInvalid {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// What goes on in a token's name ends with the token.
func TestTokenInForceR29(t *testing.T) {
	now := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	r := open(t, Options{Clock: func() time.Time { return now }})
	check := func(what string, id int64, want twin.Code) {
		t.Helper()
		if err := r.TokenInForce(t.Context(), id); (err == nil) != (want == "") || err != nil && twin.ErrorCode(err) != want {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
	}
	check("unknown", 1, twin.CodeUnauthorized)
	for _, expires := range []time.Time{now.Add(time.Hour), {}} {
		if _, err := r.CreateToken(t.Context(), "a", RoleOperator, expires); err != nil {
			t.Fatal(err)
		}
	}
	check("in force", 1, "")
	now = now.Add(2 * time.Hour)
	check("expired", 1, twin.CodeUnauthorized)
	check("another of that name", 2, "")
	if err := r.RevokeToken(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	check("revoked", 2, twin.CodeUnauthorized)
}
