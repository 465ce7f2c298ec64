package query

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"cityhub/spatial/city"
)

// Visibility says who may read and run a saved question. The answer is always
// computed with the view of who runs it.
type Visibility string

// The visibilities.
const (
	Private Visibility = "private" // its owner
	Shared  Visibility = "shared"  // everybody who is signed in
	Public  Visibility = "public"  // everybody
)

// Question is a saved question.
type Question struct {
	ID          string          `json:"id"`
	Name        string          `json:"name"`             // Chinese
	NameEn      string          `json:"nameEn,omitempty"` // English
	Description string          `json:"description,omitempty"`
	Owner       string          `json:"owner"`
	Visibility  Visibility      `json:"visibility"`
	Document    json.RawMessage `json:"document"`
	Created     time.Time       `json:"created"`
	Updated     time.Time       `json:"updated"`
}

// Saved keeps questions. It is safe for concurrent use, and what Put and Delete
// have done is durable when they return.
type Saved interface {
	// Put stores a question, or replaces the one with its ID.
	Put(ctx context.Context, q Question) error
	// Get is the question with an ID; false where there is none.
	Get(ctx context.Context, id string) (Question, bool, error)
	// List are the questions that a caller may see, in order of ID: those after
	// the given one, at most limit.
	List(ctx context.Context, c Caller, after string, limit int) ([]Question, error)
	// Delete deletes a question. One that is not there is no error.
	Delete(ctx context.Context, id string) error
}

// Caller is who makes a request, as far as saved questions are concerned.
type Caller struct {
	Name   string // that owns questions; empty: not signed in
	Manage bool   // may see, change and delete the questions of others
}

// Sees reports whether c may read and run q.
func (c Caller) Sees(q *Question) bool {
	return q.Visibility == Public || c.Name != "" && (q.Visibility == Shared || q.Owner == c.Name) || c.Manage
}

// changes reports whether c may change and delete q.
func (c Caller) changes(q *Question) bool { return c.Manage || c.Name != "" && q.Owner == c.Name }

const maxQuestions = 1000 // of a page

func (h *handler) caller(r *http.Request) Caller {
	if h.o.Who == nil {
		return Caller{}
	}
	return h.o.Who(r)
}

func (h *handler) saved(ctx context.Context, c Caller, id string) (*Question, error) {
	q, ok, err := h.o.Saved.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	if !ok || !c.Sees(&q) { // what one may not see is not there
		return nil, &city.Error{Code: city.NotFound, Field: "id", Message: "there is no question " + clip(id)}
	}
	return &q, nil
}

func clip(s string) string {
	if len(s) > 64 {
		s = s[:64] + "…"
	}
	return strings.ToValidUTF8(s, "�")
}

// listed is a question with its links.
type listed struct {
	Question
	Links []link `json:"links"`
}

type link struct {
	Href  string `json:"href"`
	Rel   string `json:"rel"`
	Type  string `json:"type,omitempty"`
	Title string `json:"title,omitempty"`
}

func (h *handler) links(r *http.Request, q Question) listed {
	self := h.base(r) + Path + "/questions/" + q.ID
	return listed{q, []link{{self, "self", "application/json", ""}, {self + "/run", "http://www.opengis.net/def/rel/ogc/1.0/results", "application/geo+json", "运行 Run"}}}
}

func (h *handler) listQuestions(w http.ResponseWriter, r *http.Request) error {
	p, err := h.params(r, "after", "limit")
	if err != nil {
		return err
	}
	limit, err := p.integer("limit", 100, 1, maxQuestions)
	if err != nil {
		return err
	}
	list, err := h.o.Saved.List(r.Context(), h.caller(r), p.get("after"), limit+1)
	if err != nil {
		return err
	}
	out := struct {
		Questions []listed `json:"questions"`
		Links     []link   `json:"links"`
	}{Questions: []listed{}, Links: []link{{h.base(r) + Path + "/questions", "self", "application/json", ""}}}
	if len(list) > limit {
		list = list[:limit]
		out.Links = append(out.Links, link{h.base(r) + Path + "/questions?limit=" + itoa(limit) + "&after=" + list[limit-1].ID, "next", "application/json", ""})
	}
	for _, q := range list {
		out.Questions = append(out.Questions, h.links(r, q))
	}
	return h.json(w, http.StatusOK, out)
}

func (h *handler) getQuestion(w http.ResponseWriter, r *http.Request) error {
	if _, err := h.params(r); err != nil {
		return err
	}
	q, err := h.saved(r.Context(), h.caller(r), r.PathValue("id"))
	if err != nil {
		return err
	}
	return h.json(w, http.StatusOK, h.links(r, *q))
}

// readQuestion reads the body of a POST or PUT.
func (h *handler) readQuestion(w http.ResponseWriter, r *http.Request, q *Question) error {
	body, err := h.body(w, r)
	if err != nil {
		return err
	}
	n, err := parseJSON(body)
	if err != nil {
		return err
	}
	if err := n.object("name", "nameEn", "description", "visibility", "document"); err != nil {
		return err
	}
	for _, t := range []struct {
		name string
		to   *string
		most int
	}{{"name", &q.Name, 128}, {"nameEn", &q.NameEn, 128}, {"description", &q.Description, 4000}} {
		if *t.to, err = n.member(t.name).text(""); err != nil {
			return err
		}
		if bad := func(c rune) bool { return unicode.IsControl(c) && c != '\n' }; utf8.RuneCountInString(*t.to) > t.most || strings.ContainsFunc(*t.to, bad) {
			return n.member(t.name).fault("expected at most %d characters, none of them a control character", t.most)
		}
	}
	if strings.TrimSpace(q.Name) == "" {
		return n.member("name").fault("is missing; expected the question's name")
	}
	v, err := n.member("visibility").oneOf(string(Private), string(Private), string(Shared), string(Public))
	if err != nil {
		return err
	}
	q.Visibility = Visibility(v)
	document := n.member("document")
	if !document.present() {
		return document.fault("is missing; expected the question")
	}
	q.Document = document.raw()
	if _, err := Parse(q.Document, h.o.Limits); err != nil {
		return within("/document", err)
	}
	return nil
}

// within moves the pointer of an error below another.
func within(ptr string, err error) error {
	if e, ok := err.(*city.Error); ok && strings.HasPrefix(e.Field, "/") {
		moved := *e
		moved.Field = strings.TrimSuffix(ptr+e.Field, "/")
		return &moved
	}
	return err
}

func (h *handler) mayWrite(c Caller) error {
	if c.Name == "" {
		return &city.Error{Code: city.Unauthorized, Message: "only who is signed in may save questions", Hint: "send an access token"}
	}
	return nil
}

func (h *handler) createQuestion(w http.ResponseWriter, r *http.Request) error {
	c := h.caller(r)
	if err := h.mayWrite(c); err != nil {
		return err
	}
	if _, err := h.params(r); err != nil {
		return err
	}
	now := h.now().UTC()
	q := Question{ID: strings.ToLower(rand.Text()), Owner: c.Name, Created: now, Updated: now}
	if err := h.readQuestion(w, r, &q); err != nil {
		return err
	}
	if err := h.o.Saved.Put(r.Context(), q); err != nil {
		return err
	}
	w.Header().Set("Location", h.base(r)+Path+"/questions/"+q.ID)
	return h.json(w, http.StatusCreated, h.links(r, q))
}

// owned is a question that the caller may change.
func (h *handler) owned(r *http.Request) (*Question, error) {
	c := h.caller(r)
	if err := h.mayWrite(c); err != nil {
		return nil, err
	}
	if _, err := h.params(r); err != nil {
		return nil, err
	}
	q, err := h.saved(r.Context(), c, r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	if !c.changes(q) {
		return nil, &city.Error{Code: city.Forbidden, Message: "the question is somebody else's", Hint: "save one of your own with the same document"}
	}
	return q, nil
}

func (h *handler) putQuestion(w http.ResponseWriter, r *http.Request) error {
	q, err := h.owned(r)
	if err != nil {
		return err
	}
	q.Updated = h.now().UTC()
	if err := h.readQuestion(w, r, q); err != nil {
		return err
	}
	if err := h.o.Saved.Put(r.Context(), *q); err != nil {
		return err
	}
	return h.json(w, http.StatusOK, h.links(r, *q))
}

func (h *handler) deleteQuestion(w http.ResponseWriter, r *http.Request) error {
	q, err := h.owned(r)
	if err != nil {
		return err
	}
	if err := h.o.Saved.Delete(r.Context(), q.ID); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// runQuestion answers a saved question with what the caller may see.
func (h *handler) runQuestion(w http.ResponseWriter, r *http.Request) error {
	p, err := h.params(r, formatParams()...)
	if err != nil {
		return err
	}
	q, err := h.saved(r.Context(), h.caller(r), r.PathValue("id"))
	if err != nil {
		return err
	}
	d, err := Parse(q.Document, h.o.Limits)
	if err != nil {
		return err
	}
	return h.answer(w, r, p, d, q.Name)
}

// body reads the body of a request, within the limit.
func (h *handler) body(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	limit := h.o.Limits.defaults().Body
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if _, ok := err.(*http.MaxBytesError); ok {
		return nil, &city.Error{Code: city.TooLarge, Field: "body", Message: "the body is larger than " + itoa(int(limit)) + " bytes", Hint: "simplify the geometries"}
	}
	if err != nil {
		return nil, &city.Error{Code: city.Invalid, Field: "body", Message: "the body cannot be read", Err: err}
	}
	return b, nil
}
