package webhook

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"cityhub/streams/internal/streamtest"
	"cityhub/twin"
)

func TestHandler(t *testing.T) {
	w := newWorld(t)
	rc := receive(t, nil)
	o := w.options()
	o.MaxWebhooks = 2
	now := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	o.Clock = func() time.Time { return now }
	hub := run(t, o)
	h, err := hub.Handler(HandlerOptions{Problem: streamtest.Problem, Caller: func(r *http.Request) (Owner, error) {
		if r.Header.Get("Authorization") != "Bearer operator" {
			return Owner{}, &twin.Error{Code: twin.CodeForbidden, Op: "webhooks", Message: "for operators"}
		}
		return Owner{Name: "li", Role: "admin", Token: 7}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	call := func(method, path, body string, want int) (Webhook, string) {
		t.Helper()
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer operator")
		r.Header.Set("Content-Type", "application/json")
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		text, _ := io.ReadAll(rec.Body)
		if rec.Code != want {
			t.Fatalf("%s %s: %d, want %d: %s", method, path, rec.Code, want, text)
		}
		if want < 300 && rec.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s %s may be kept", method, path)
		}
		var v Webhook
		_ = json.Unmarshal(text, &v) // an error is text
		return v, string(text)
	}

	made, text := call("POST", Path, `{"url":"`+rc.URL+`/hook","description":"消防","filter":{"observedProperties":["pm25"],"bbox":[120,31,121,32]},"maxDelayMs":50}`, 201)
	if made.ID == "" || !strings.HasPrefix(made.Secret, "whsec_") || made.Owner != "li" || made.Mode != ModeEvery || made.MaxReadings != DefaultReadings || made.State.Status != StatusActive {
		t.Errorf("%s", text)
	}
	path := Path + "/" + made.ID
	if _, text := call("GET", path, "", 200); strings.Contains(text, "whsec_") || strings.Contains(text, made.Secret) {
		t.Errorf("the secret is shown again: %s", text)
	}
	if _, text := call("GET", Path, "", 200); !strings.Contains(text, made.ID) || strings.Contains(text, "whsec_") {
		t.Errorf("%s", text)
	}

	if _, text := call("POST", path+"/test", "", 200); !strings.Contains(text, `"delivered":true,"status":204`) {
		t.Errorf("%s", text)
	}
	if d := rc.deliveries()[0]; d.msg.Type != "test" || !verify(made.Secret, d) || len(d.msg.Observations) != 0 {
		t.Errorf("%+v", d)
	}

	// Both secrets sign until the overlap ends.
	rotated, _ := call("POST", path+"/secret", "", 200)
	if rotated.Secret == made.Secret || !rotated.State.OldSecretTo.Equal(now.Add(24*time.Hour)) {
		t.Errorf("%+v", rotated)
	}
	call("POST", path+"/test", "", 200)
	if d := rc.deliveries()[1]; !verify(made.Secret, d) || !verify(rotated.Secret, d) {
		t.Errorf("within the overlap: %q", d.signature)
	}
	now = now.Add(25 * time.Hour)
	call("POST", path+"/test", "", 200)
	if d := rc.deliveries()[2]; verify(made.Secret, d) || !verify(rotated.Secret, d) {
		t.Errorf("after the overlap: %q", d.signature)
	}

	if v, _ := call("POST", path+"/pause", "", 200); v.State.Status != StatusPaused || v.State.PausedWhy != "by hand" {
		t.Errorf("%+v", v.State)
	}
	w.log.Append(streamtest.Reading(2, 1, 1), streamtest.Reading(1, 1, 2))
	if v, _ := call("PUT", path, `{"url":"`+rc.URL+`","filter":{"datastreams":[1]},"maxDelayMs":50}`, 200); v.State.Status != StatusPaused || v.URL != rc.URL || v.State.Behind != 1 || v.Secret != "" {
		t.Errorf("%+v", v)
	}
	call("POST", path+"/resume", "", 200)
	hub.await(t, made.ID, "the new filter is at work", func(v Webhook) bool { return v.State.Behind == 0 && !v.State.Delivered.IsZero() })
	if got := rc.values(); len(got) != 1 || got[0] != "2" {
		t.Errorf("%v", got)
	}

	for body, want := range map[string]string{
		`{"url":"http://a.example"}`:                                     "plain http",
		`{"url":"https://a.example","filtre":{}}`:                        "filtre",
		`{"url":"https://a.example","filter":{"property":["x"]}}`:        "filter.property",
		`{"url":"https://a.example","filter":{"datastreams":["x"]}}`:     "filter.datastreams",
		`{"url":"https://a.example","filter":{"bbox":[1,2]}}`:            "filter.bbox",
		`{"url":"https://a.example","filter":{"observedProperties":[]}}`: "filter.observedProperties",
		`{"url":"https://a.example","mode":"all"}`:                       "mode",
		`{"url":"https://a.example","maxReadings":-1}`:                   "maxReadings",
		`{"url":"https://a.example","maxDelayMs":1}`:                     "maxDelayMs",
		`nothing`: "JSON",
	} {
		if _, text := call("POST", Path, body, 400); !strings.Contains(text, want) {
			t.Errorf("%s: %s, want %q", body, text, want)
		}
	}
	call("POST", Path, `{"url":"https://a.example"}`, 201)
	call("POST", Path, `{"url":"https://a.example"}`, 429)
	call("DELETE", path, "", 204)
	for method, p := range map[string]string{"GET": path, "PUT": path, "DELETE": path, "POST": path + "/pause"} {
		r := httptest.NewRequest(method, p, strings.NewReader(`{"url":"https://a.example"}`))
		r.Header.Set("Authorization", "Bearer operator")
		r.Header.Set("Content-Type", "application/json")
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		if !strings.Contains(rec.Body.String(), "there is no webhook") {
			t.Errorf("%s of a deleted one: %d %s", method, rec.Code, rec.Body)
		}
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest("PATCH", Path, nil))
	if rec.Code != 405 || rec.Header().Get("Allow") != "GET, POST" {
		t.Errorf("%d %v", rec.Code, rec.Header())
	}
	for _, method := range []string{"GET", "POST"} {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(method, Path, nil))
		if rec.Code != http.StatusForbidden {
			t.Errorf("%s by somebody: %d", method, rec.Code)
		}
	}
}
