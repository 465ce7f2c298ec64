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

// SpatialQuestion is a saved spatial question. Its fields are those of
// spatial/query.Question, which a store may not import: convert the one into the
// other.
type SpatialQuestion struct {
	ID          string
	Name        string // Chinese
	NameEn      string // English; may be empty
	Description string
	Owner       string // of whom it is
	Visibility  string // private, shared (with who is signed in) or public
	Document    json.RawMessage
	Created     time.Time
	Updated     time.Time
}

const questionColumns = `id, name, name_en, description, owner, visibility, document, created_ns, updated_ns`

func scanQuestion(row scanner, q *SpatialQuestion) error {
	var document string
	var created, updated int64
	if err := row.Scan(&q.ID, &q.Name, &q.NameEn, &q.Description, &q.Owner, &q.Visibility, &document, &created, &updated); err != nil {
		return err
	}
	q.Document, q.Created, q.Updated = json.RawMessage(document), time.Unix(0, created).UTC(), time.Unix(0, updated).UTC()
	return nil
}

// PutSpatialQuestion stores a question, or replaces the one with its ID, whose
// time of creation stays.
func (r *Registry) PutSpatialQuestion(ctx context.Context, q SpatialQuestion) error {
	const op = "save question"
	fault := func(field, format string, args ...any) error {
		return &twin.Error{Code: twin.CodeInvalid, Op: op, Field: field, Message: fmt.Sprintf(format, args...)}
	}
	switch {
	case q.ID == "" || q.Name == "" || q.Owner == "":
		return fault("id", "expected an id, a name and an owner")
	case q.Visibility != "private" && q.Visibility != "shared" && q.Visibility != "public":
		return fault("visibility", "found %q, expected private, shared or public", q.Visibility)
	case !json.Valid(q.Document):
		return fault("document", "found what is not JSON")
	}
	return r.update(ctx, op, false, func(w *writer) error {
		_, err := w.exec(`INSERT INTO spatial_questions (`+questionColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (id) DO UPDATE SET name = excluded.name, name_en = excluded.name_en, description = excluded.description, owner = excluded.owner,
			visibility = excluded.visibility, document = excluded.document, updated_ns = excluded.updated_ns`,
			q.ID, q.Name, q.NameEn, q.Description, q.Owner, q.Visibility, string(q.Document), q.Created.UnixNano(), q.Updated.UnixNano())
		return err
	})
}

// SpatialQuestion is the saved question with an ID; false where there is none.
func (r *Registry) SpatialQuestion(ctx context.Context, id string) (SpatialQuestion, bool, error) {
	var q SpatialQuestion
	err := scanQuestion(r.read.QueryRowContext(ctx, `SELECT `+questionColumns+` FROM spatial_questions WHERE id = ?`, id), &q)
	if errors.Is(err, sql.ErrNoRows) {
		return SpatialQuestion{}, false, nil
	}
	return q, err == nil, dbError("read question", err)
}

// SpatialQuestions are the saved questions that somebody may see, in order of
// ID: those after the given one, at most limit. The public ones are for all, the
// shared ones for who has a name, the private ones for their owner; with all
// every one.
func (r *Registry) SpatialQuestions(ctx context.Context, name string, all bool, after string, limit int) ([]SpatialQuestion, error) {
	const op = "list questions"
	rows, err := r.read.QueryContext(ctx, `SELECT `+questionColumns+` FROM spatial_questions
		WHERE id > ?1 AND (?2 OR visibility = 'public' OR ?3 <> '' AND (visibility = 'shared' OR owner = ?3)) ORDER BY id LIMIT ?4`, after, all, name, limit)
	if err != nil {
		return nil, dbError(op, err)
	}
	defer func() { _ = rows.Close() }() // its error is that of rows.Err
	var out []SpatialQuestion
	for rows.Next() {
		var q SpatialQuestion
		if err := scanQuestion(rows, &q); err != nil {
			return nil, dbError(op, err)
		}
		out = append(out, q)
	}
	return out, dbError(op, rows.Err())
}

// DeleteSpatialQuestion deletes a saved question. One that is not there is no
// error.
func (r *Registry) DeleteSpatialQuestion(ctx context.Context, id string) error {
	const op = "delete question"
	return r.update(ctx, op, false, func(w *writer) error {
		_, err := w.exec(`DELETE FROM spatial_questions WHERE id = ?`, id)
		return err
	})
}
