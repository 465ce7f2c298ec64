package registry

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"cityhub/twin"
)

// Webhook is a standing delivery of readings to another system, and how far it
// has come. What it delivers is in Document, which package streams/webhook
// reads.
type Webhook struct {
	ID       string
	Owner    string // name of the token of its creator
	Token    int64  // that token's ID: the webhook ends with it; 0: its creator had none
	Role     string // of its creator: whose rights it has
	Document json.RawMessage
	Secret   string // deliveries are signed with it
	// OldSecret signs too until OldUntil, so that receivers can change over.
	OldSecret string
	OldUntil  time.Time
	Created   time.Time
	Updated   time.Time
	Progress  WebhookProgress
}

// WebhookProgress is the part of a Webhook that deliveries change.
type WebhookProgress struct {
	// Position is that of the last confirmed delivery.
	Position twin.Position
	// Sequence numbers the delivery begun last. It ends with the record at
	// PendingEnd of the log, and has been confirmed when that is zero.
	Sequence   uint64
	PendingEnd uint64
	Gap        string    // what the next delivery has to say was lost; empty: nothing
	Paused     time.Time // zero: it is at work
	PausedWhy  string
	Delivered  time.Time // of the last confirmed delivery; zero: none yet
	Failing    time.Time // since when deliveries fail; zero: they do not
}

const webhookColumns = `id, owner, token_id, role, document, secret, old_secret, old_until_ns, created_ns, updated_ns,
	paused_ns, paused_why, epoch, log_offset, sequence, pending_end, gap, delivered_ns, failing_ns`

func scanWebhook(row scanner, h *Webhook) error {
	var document string
	var until, created, updated, paused, delivered, failing, offset, sequence, end int64
	p := &h.Progress
	if err := row.Scan(&h.ID, &h.Owner, &h.Token, &h.Role, &document, &h.Secret, &h.OldSecret, &until, &created, &updated,
		&paused, &p.PausedWhy, &p.Position.Epoch, &offset, &sequence, &end, &p.Gap, &delivered, &failing); err != nil {
		return err
	}
	h.Document = json.RawMessage(document)
	h.OldUntil, h.Created, h.Updated = timeOrZero(until), timeOrZero(created), timeOrZero(updated)
	p.Paused, p.Delivered, p.Failing = timeOrZero(paused), timeOrZero(delivered), timeOrZero(failing)
	p.Position.Offset, p.Sequence, p.PendingEnd = uint64(offset), uint64(sequence), uint64(end)
	return nil
}

func timeOrZero(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}

func nsOrZero(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func (p *WebhookProgress) args() []any {
	return []any{nsOrZero(p.Paused), p.PausedWhy, p.Position.Epoch, int64(p.Position.Offset), int64(p.Sequence), int64(p.PendingEnd), p.Gap, nsOrZero(p.Delivered), nsOrZero(p.Failing)}
}

// PutWebhook stores a webhook with its progress, or replaces the one with its
// ID, whose owner, token, role and time of creation stay.
func (r *Registry) PutWebhook(ctx context.Context, h Webhook) error {
	const op = "save webhook"
	switch {
	case h.ID == "" || h.Role == "" || h.Secret == "":
		return &twin.Error{Code: twin.CodeInvalid, Op: op, Field: "id", Message: "expected an id, a role and a secret"}
	case !json.Valid(h.Document):
		return &twin.Error{Code: twin.CodeInvalid, Op: op, Field: "document", Message: "found what is not JSON"}
	}
	args := append([]any{h.ID, h.Owner, h.Token, h.Role, string(h.Document), h.Secret, h.OldSecret, nsOrZero(h.OldUntil), nsOrZero(h.Created), nsOrZero(h.Updated)}, h.Progress.args()...)
	return r.update(ctx, op, false, func(w *writer) error {
		_, err := w.exec(`INSERT INTO webhooks (`+webhookColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (id) DO UPDATE SET document = excluded.document, secret = excluded.secret, old_secret = excluded.old_secret,
			old_until_ns = excluded.old_until_ns, updated_ns = excluded.updated_ns, paused_ns = excluded.paused_ns, paused_why = excluded.paused_why,
			epoch = excluded.epoch, log_offset = excluded.log_offset, sequence = excluded.sequence, pending_end = excluded.pending_end,
			gap = excluded.gap, delivered_ns = excluded.delivered_ns, failing_ns = excluded.failing_ns`, args...)
		return err
	})
}

// MarkWebhook stores the progress of a webhook; it is on disk when the call
// returns. CodeNotFound when there is none with the ID.
func (r *Registry) MarkWebhook(ctx context.Context, id string, p WebhookProgress) error {
	const op = "mark webhook"
	return r.update(ctx, op, false, func(w *writer) error {
		res, err := w.exec(`UPDATE webhooks SET paused_ns = ?, paused_why = ?, epoch = ?, log_offset = ?, sequence = ?, pending_end = ?, gap = ?, delivered_ns = ?, failing_ns = ?
			WHERE id = ?`, append(p.args(), id)...)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n > 0 {
			return err
		}
		return &twin.Error{Code: twin.CodeNotFound, Op: op, Field: "id", Message: fmt.Sprintf("there is no webhook %.64q", id)}
	})
}

// Webhook is the webhook with an ID; false where there is none.
func (r *Registry) Webhook(ctx context.Context, id string) (Webhook, bool, error) {
	var h Webhook
	err := scanWebhook(r.read.QueryRowContext(ctx, `SELECT `+webhookColumns+` FROM webhooks WHERE id = ?`, id), &h)
	if errors.Is(err, sql.ErrNoRows) {
		return Webhook{}, false, nil
	}
	return h, err == nil, dbError("read webhook", err)
}

// Webhooks are all webhooks in order of ID.
func (r *Registry) Webhooks(ctx context.Context) ([]Webhook, error) {
	const op = "list webhooks"
	rows, err := r.read.QueryContext(ctx, `SELECT `+webhookColumns+` FROM webhooks ORDER BY id`)
	if err != nil {
		return nil, dbError(op, err)
	}
	defer func() { _ = rows.Close() }() // its error is that of rows.Err
	var out []Webhook
	for rows.Next() {
		var h Webhook
		if err := scanWebhook(rows, &h); err != nil {
			return nil, dbError(op, err)
		}
		out = append(out, h)
	}
	return out, dbError(op, rows.Err())
}

// DeleteWebhook deletes a webhook. One that is not there is no error.
func (r *Registry) DeleteWebhook(ctx context.Context, id string) error {
	return r.update(ctx, "delete webhook", false, func(w *writer) error {
		_, err := w.exec(`DELETE FROM webhooks WHERE id = ?`, id)
		return err
	})
}

// TokenInForce says whether the token with an ID is neither revoked nor expired,
// for what goes on in its holder's name without the secret: CodeUnauthorized
// when it is not.
func (r *Registry) TokenInForce(ctx context.Context, id int64) error {
	const op = "check token"
	var one int
	err := r.read.QueryRowContext(ctx, `SELECT 1 FROM tokens WHERE id = ? AND revoked_ns = 0 AND (expires_ns = 0 OR expires_ns > ?)`, id, r.o.Clock().UnixNano()).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return &twin.Error{Code: twin.CodeUnauthorized, Op: op, Message: fmt.Sprintf("token %d is no longer in force", id)}
	}
	return dbError(op, err)
}
