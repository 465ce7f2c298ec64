package sensorthings

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"

	"cityhub/internal/web"
	"cityhub/twin"
	"cityhub/twin/policy"
)

// Submission is one Observation that a caller wants stored.
type Submission struct {
	Principal  policy.Principal // the operator, or with RoleTerminal the terminal that Datastream belongs to
	Datastream *twin.Datastream // where it belongs; the caller may write to it
	Remote     string           // address of the caller
	Body       []byte           // the SensorThings Observation: a JSON object, not checked further; it may name its Datastream
}

// Ingester takes Observations in, on the same way as every other reading:
// decode, validate, append, acknowledge.
type Ingester interface {
	// Observe returns the stored Observation once it is durable and can be
	// read back. A reading that is refused is a *RejectedError.
	Observe(ctx context.Context, s Submission) (twin.Observation, error)
}

// TerminalAuthenticator knows the terminals' credentials; *registry.Registry
// is one.
type TerminalAuthenticator interface {
	// Authenticate gives the code of the terminal that has this user name and
	// password: CodeUnauthorized when none has.
	Authenticate(ctx context.Context, username, password string) (terminal string, err error)
}

// RejectedError says that a reading was refused and recorded as a reject.
type RejectedError struct {
	Reason twin.RejectReason
	Detail string // what was found and what was expected
}

// Error is the reason and the detail.
func (e *RejectedError) Error() string { return string(e.Reason) + ": " + e.Detail }

// rejection turns a refusal into a problem that names the reason.
func rejection(e *RejectedError) error {
	te := &twin.Error{Code: twin.CodeInvalid, Op: "create observation", Message: e.Detail}
	if te.Message == "" {
		te.Message = string(e.Reason)
	}
	status := http.StatusBadRequest
	switch e.Reason {
	case twin.RejectTooLarge:
		status = http.StatusRequestEntityTooLarge
	case twin.RejectNotAuthorized:
		status = http.StatusForbidden
	case twin.RejectTerminalState:
		status = http.StatusConflict
	case twin.RejectUnknownTerminal, twin.RejectUnknownDatastream:
		status = http.StatusNotFound
	case twin.RejectFuture, twin.RejectPast, twin.RejectBadTime:
		te.Field = "phenomenonTime"
	case twin.RejectNotANumber, twin.RejectWrongType, twin.RejectEmpty:
		te.Field = "result"
	}
	return web.ObservationRejected(status, e.Reason, te)
}

func isObservations(segs []segment) bool {
	return len(segs) > 0 && segs[len(segs)-1].set == observations && segs[len(segs)-1].many
}

// post answers POST Observations and POST Datastreams(n)/Observations.
func (h *Handler) post(w http.ResponseWriter, r *http.Request, path string) error {
	segs, err := parsePath(path)
	if err != nil {
		return err
	}
	if !isObservations(segs) {
		web.MethodNotAllowed(w, r, "GET, HEAD")
		return nil
	}
	if len(segs) > 2 {
		return &twin.Error{Code: twin.CodeInvalid, Op: "create observation", Field: "path", Message: "Observations are not created on this path", Hint: "POST to Datastreams(12)/Observations or to Observations"}
	}
	if h.o.Ingester == nil {
		return web.NotImplemented("", "Observations are not taken in here", "publish them over MQTT")
	}
	// Who asks comes before everything that the answer could tell.
	who, err := h.submitter(w, r)
	if err != nil {
		return err
	}
	if r.URL.RawQuery != "" {
		return badOption("", "POST takes no query option", "")
	}
	body, inBody, err := h.readObservation(w, r)
	if err != nil {
		return err
	}
	v, err := h.o.Gate.View(r.Context(), who)
	if err != nil {
		return err
	}
	ds, err := target(r.Context(), v, segs, inBody)
	if err != nil {
		return err
	}
	if who.Role == policy.RoleTerminal && ds.Terminal != who.Name {
		return &twin.Error{Code: twin.CodeForbidden, Op: "create observation", Message: "the terminal " + who.Name + " may only write to its own Datastreams"}
	}
	o, err := h.o.Ingester.Observe(r.Context(), Submission{Principal: who, Datastream: ds, Remote: r.RemoteAddr, Body: body})
	if err != nil {
		var rejected *RejectedError
		if errors.As(err, &rejected) {
			return rejection(rejected)
		}
		return err
	}
	enc := h.encoder(r, query{})
	w.Header().Set("Location", enc.root+"/Observations('"+o.ID()+"')")
	writeJSON(w, r, http.StatusCreated, append(enc.observation(nil, ds, o), '\n'))
	return nil
}

// submitter finds out who writes: a terminal by its own credentials or the
// operator by token.
func (h *Handler) submitter(w http.ResponseWriter, r *http.Request) (policy.Principal, error) {
	const op = "create observation"
	if user, password, ok := r.BasicAuth(); ok && h.o.Terminals != nil {
		code, err := h.o.Terminals.Authenticate(r.Context(), user, password)
		if err != nil {
			if twin.ErrorCode(err) == twin.CodeUnauthorized {
				challenge(w)
			}
			return policy.Principal{}, err
		}
		return policy.Principal{Name: code, Role: policy.RoleTerminal}, nil
	}
	p := web.PrincipalFrom(r.Context())
	if err := p.RequireAdmin(op); err != nil {
		if twin.ErrorCode(err) == twin.CodeUnauthorized && h.o.Terminals != nil {
			challenge(w)
			return policy.Principal{}, &twin.Error{Code: twin.CodeUnauthorized, Op: op, Message: "writing needs the terminal's user name and password, or the operator's token",
				Hint: "send them as Authorization: Basic, or the token as Authorization: Bearer"}
		}
		return policy.Principal{}, err
	}
	return p, nil
}

func challenge(w http.ResponseWriter) {
	w.Header()["Www-Authenticate"] = []string{`Bearer realm="cityhub"`, `Basic realm="cityhub", charset="UTF-8"`}
}

// readObservation reads the body and the Datastream that it names, 0 for none.
func (h *Handler) readObservation(w http.ResponseWriter, r *http.Request) ([]byte, twin.DatastreamID, error) {
	if mt, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mt != "application/json" {
		return nil, 0, web.UnsupportedMediaType(r.Header.Get("Content-Type"), "application/json")
	}
	body, err := web.ReadBody(w, r, h.o.MaxBody)
	if err != nil {
		return nil, 0, err
	}
	var in struct {
		Datastream *struct {
			ID json.RawMessage `json:"@iot.id"`
		} `json:"Datastream"`
		FeatureOfInterest json.RawMessage `json:"FeatureOfInterest"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, 0, web.JSONError(err)
	}
	if in.FeatureOfInterest != nil {
		return nil, 0, web.NotImplemented("FeatureOfInterest", "FeaturesOfInterest are not served yet", "leave it out")
	}
	if in.Datastream == nil {
		return body, 0, nil
	}
	id, err := strconv.ParseInt(string(in.Datastream.ID), 10, 64)
	if err != nil || id <= 0 {
		return nil, 0, &twin.Error{Code: twin.CodeInvalid, Op: "create observation", Field: "Datastream.@iot.id",
			Message: fmt.Sprintf("%q is not the id of a Datastream", in.Datastream.ID), Hint: `like {"Datastream": {"@iot.id": 12}}`}
	}
	return body, twin.DatastreamID(id), nil
}

// target is the Datastream that the path or the body names.
func target(ctx context.Context, v *policy.View, segs []segment, inBody twin.DatastreamID) (*twin.Datastream, error) {
	if len(segs) == 1 {
		if inBody == 0 {
			return nil, &twin.Error{Code: twin.CodeInvalid, Op: "create observation", Field: "Datastream", Message: "is missing",
				Hint: `add "Datastream": {"@iot.id": 12}, or POST to Datastreams(12)/Observations`}
		}
		return v.Datastream(ctx, inBody)
	}
	id := twin.DatastreamID(segs[0].id)
	if inBody != 0 && inBody != id {
		return nil, &twin.Error{Code: twin.CodeInvalid, Op: "create observation", Field: "Datastream.@iot.id", Message: "is another Datastream than the one in the path", Hint: "leave it out"}
	}
	return v.Datastream(ctx, id)
}
