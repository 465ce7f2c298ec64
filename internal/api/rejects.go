package api

import (
	"context"
	"encoding/base64"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"cityhub/twin"
)

// RejectQuery chooses rejects. Empty fields choose all.
type RejectQuery struct {
	Terminal string // exactly this terminal
	Reason   string // exactly this reason
	Before   uint64 // RejectPage.Next of the page before; zero: the newest
	Limit    int    // 1 to 1000
}

// RejectEntry is a kept reject.
type RejectEntry struct {
	ID string
	twin.Reject
}

// RejectPage is a page of rejects, newest first.
type RejectPage struct {
	Rejects []RejectEntry
	Next    uint64 // the Before of the page that follows; zero: there is none
}

// RejectSource keeps the refused messages; the log is one.
type RejectSource interface {
	Rejects(ctx context.Context, q RejectQuery) (RejectPage, error)
}

// Reject is a refused message, or one refused reading of a message.
type Reject struct {
	ID       string    `json:"id"`
	Time     time.Time `json:"time" doc:"When it was received"`
	Source   string    `json:"source"`
	Client   string    `json:"client,omitempty"`
	Terminal string    `json:"terminal,omitempty" doc:"As named by the topic; it may be unknown"`
	Topic    string    `json:"topic"`
	Property string    `json:"property,omitempty" doc:"Set when one reading of the message was refused"`
	Payload  string    `json:"payload" doc:"The beginning of the payload: text, or base64 when it is not UTF-8"`
	Encoding string    `json:"payloadEncoding" enum:"text,base64"`
	Size     int       `json:"size" doc:"Bytes of the whole payload"`
	Reason   string    `json:"reason"`
	Detail   string    `json:"detail,omitempty" doc:"What was found and what was expected"`
}

type rejectsOutput struct {
	Body struct {
		Rejects []Reject `json:"rejects"`
		Next    string   `json:"next,omitempty" doc:"The before of the next page; absent on the last. A page may be short or empty and still have it"`
	}
}

func (a *API) rejects() {
	register(a, admin, huma.Operation{OperationID: "list-rejects", Method: http.MethodGet, Path: "/api/v1/rejects", Summary: "List refused messages, newest first", Tags: []string{"ingest"}},
		func(ctx context.Context, in *struct {
			Terminal string `query:"terminal" maxLength:"256"`
			Reason   string `query:"reason" maxLength:"64"`
			Before   string `query:"before" maxLength:"20" doc:"The next of the page before"`
			Limit    int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
		}) (*rejectsOutput, error) {
			if a.o.Rejects == nil {
				return nil, &twin.Error{Code: twin.CodeUnavailable, Op: "list rejects", Message: "rejects are not kept here"}
			}
			q := RejectQuery{Terminal: in.Terminal, Reason: in.Reason, Limit: in.Limit}
			if in.Before != "" {
				var err error
				if q.Before, err = strconv.ParseUint(in.Before, 10, 64); err != nil || q.Before == 0 {
					return nil, &twin.Error{Code: twin.CodeInvalid, Op: "list rejects", Field: "before", Message: strconv.Quote(in.Before) + " is not the next of a page"}
				}
			}
			page, err := a.o.Rejects.Rejects(ctx, q)
			if err != nil {
				return nil, err
			}
			out := &rejectsOutput{}
			out.Body.Rejects = make([]Reject, len(page.Rejects))
			for i, e := range page.Rejects {
				out.Body.Rejects[i] = rejectOf(e)
			}
			if page.Next != 0 {
				out.Body.Next = strconv.FormatUint(page.Next, 10)
			}
			return out, nil
		})
}

func rejectOf(e RejectEntry) Reject {
	r := Reject{
		ID: e.ID, Time: time.Unix(0, e.ReceivedNs).UTC(), Source: e.Source, Client: valid(e.Client), Terminal: valid(e.Terminal), Topic: valid(e.Topic),
		Property: valid(e.Property), Size: e.Size, Reason: string(e.Reason), Detail: valid(e.Detail), Payload: string(e.Payload), Encoding: "text",
	}
	text := e.Payload
	if e.Size > len(text) { // cut: the cut may be inside a letter
		for i := 0; i < utf8.UTFMax-1 && len(text) > 0 && !utf8.Valid(text); i++ {
			text = text[:len(text)-1]
		}
	}
	if utf8.Valid(text) {
		r.Payload = string(text)
	} else {
		r.Payload, r.Encoding = base64.StdEncoding.EncodeToString(e.Payload), "base64"
	}
	return r
}

// valid makes text of a stranger fit for JSON.
func valid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return string([]rune(s))
}
