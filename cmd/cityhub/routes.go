package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"cityhub/internal/api"
	"cityhub/internal/web"
	"cityhub/spatial/cityimport"
	"cityhub/streams"
	"cityhub/streams/asyncapi"
	"cityhub/streams/log"
	"cityhub/streams/sse"
	"cityhub/streams/webhook"
	"cityhub/streams/ws"
	"cityhub/twin"
	"cityhub/twin/policy"
	"cityhub/twin/sensorthings"
	"cityhub/viewer"
)

// routes is everything the hub serves over HTTP. All of it but health and
// metrics, which hold no city data, is read through the gate.
func (h *hub) routes() (http.Handler, error) {
	standard, err := web.Standard(web.Options{Logger: h.logger.With("part", "http"), Verifier: h.gate, MaxBody: 64 << 20})
	if err != nil {
		return nil, err
	}
	management, err := api.New(api.Options{Registry: h.registry, Gate: h.gate, Rejects: rejects{h.log}, Status: h, Version: version})
	if err != nil {
		return nil, err
	}
	origins := streams.Origins(h.cfg.HTTP.AllowedOrigins)
	auth := authenticator{h.gate}
	socket, err := ws.New(ws.Options{Hub: h.streams, Auth: auth, Problem: web.Problem, Identity: identity, Name: "cityhub/" + version, Origins: origins, Logger: h.logger.With("part", "ws")})
	if err != nil {
		return nil, err
	}
	events, err := sse.New(sse.Options{Hub: h.streams, Auth: auth, Identity: identity, Problem: web.Problem, Origins: origins, Logger: h.logger.With("part", "sse")})
	if err != nil {
		return nil, err
	}
	things := sensorthings.New(sensorthings.Options{
		Gate: h.gate, Terminals: h.registry,
		Ingester: &observer{pipeline: h.pipeline, view: h.stored, clock: time.Now},
	})

	// Asked every few seconds by machines: no access log, no session.
	probes := http.NewServeMux()
	probes.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		web.JSON(w, r, http.StatusOK, map[string]string{"status": "ok", "version": version})
	})
	probes.HandleFunc("GET /readyz", h.ready)
	probes.Handle("GET /metrics", promhttp.HandlerFor(h.metrics, promhttp.HandlerOpts{}))

	mux := http.NewServeMux()
	mux.Handle(sensorthings.Prefix, web.OpenReads(things))
	mux.Handle(sensorthings.Prefix+"/", web.OpenReads(things))
	mux.Handle("/api/", management)
	if err := h.cityRoutes(mux); err != nil {
		return nil, err
	}
	hooks, err := h.hooks.Handler(webhook.HandlerOptions{Caller: h.webhookOwner, Problem: web.Problem})
	if err != nil {
		return nil, err
	}
	mux.Handle(webhook.Path, hooks)
	mux.Handle(webhook.Path+"/", hooks)
	mux.Handle("GET /api/asyncapi.yaml", asyncapi.Handler(asyncapi.Options{Version: version}))
	mux.Handle("/stream", socket)
	mux.Handle("/stream/events", events)
	mux.Handle("GET /problems/{code}", web.ProblemTypes())
	mux.Handle("/", viewer.Handler())
	served := standard(mux)
	imports, err := h.importRoute()
	if err != nil {
		return nil, err
	}
	large, err := web.Standard(web.Options{Logger: h.logger.With("part", "http"), Verifier: h.gate, MaxBody: maxUpload + 1})
	if err != nil {
		return nil, err
	}
	imported := large(imports)
	probed := web.Chain(probes, web.SecurityHeaders, web.Recover(h.logger.With("part", "http")))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/healthz", "/readyz", "/metrics":
			if r.Method == http.MethodGet || r.Method == http.MethodHead {
				probed.ServeHTTP(w, r)
				return
			}
		case cityimport.Path:
			imported.ServeHTTP(w, r)
			return
		}
		served.ServeHTTP(w, r)
	}), nil
}

// partHealth is how one part does, in the answer of /readyz.
type partHealth struct {
	Part    string `json:"part"`
	Ready   bool   `json:"ready"`
	Problem string `json:"problem,omitempty"`
}

// health asks every part whether it can do its work.
func (h *hub) health(ctx context.Context) (parts []partHealth, all bool) {
	all = true
	add := func(part string, err error) {
		p := partHealth{Part: part, Ready: err == nil}
		if err != nil {
			p.Problem = err.Error()
			all = false
		}
		parts = append(parts, p)
	}
	add("registry", h.registry.Healthy(ctx))
	add("log", h.log.Healthy(ctx))
	add("ingest", h.pipeline.Healthy())
	series := h.series.Healthy()
	if series == nil {
		series = h.follows(&h.seriesFault, h.stored.position())
	}
	add("series", series)
	add("city", h.city.Healthy())
	select {
	case <-h.streams.Ready():
		add("streams", h.follows(&h.streamsFault, h.streams.Position()))
	default:
		add("streams", &twin.Error{Code: twin.CodeUnavailable, Message: "the latest values are still being loaded"})
	}
	return parts, all
}

// follows says why a view does not follow the log, or that it has not yet
// caught up with what the log held when the hub started: until then it shows
// the past.
func (h *hub) follows(fault *atomic.Pointer[error], pos twin.Position) error {
	if err := fault.Load(); err != nil {
		return *err
	}
	if h.atStart.Offset == 0 || pos.Epoch == h.atStart.Epoch && pos.Offset >= h.atStart.Offset {
		return nil
	}
	return &twin.Error{Code: twin.CodeUnavailable, Message: fmt.Sprintf("still at record %d of the %d that the log held at the start", pos.Offset, h.atStart.Offset)}
}

// ready answers 200 when every part can do its work, else 503 with the reasons.
func (h *hub) ready(w http.ResponseWriter, r *http.Request) {
	parts, all := h.health(r.Context())
	status := http.StatusOK
	if !all {
		status = http.StatusServiceUnavailable
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(struct {
		Ready bool         `json:"ready"`
		Parts []partHealth `json:"parts"`
	}{all, parts})
}

// Status implements api.StatusSource.
func (h *hub) Status(ctx context.Context) (api.Status, error) {
	first, last, err := h.log.Bounds(ctx)
	s := api.Status{
		Version: version, Started: h.started,
		Log: api.LogStatus{Epoch: h.log.Epoch(), First: first.Offset, Last: last.Offset},
		Views: []api.ViewStatus{
			{Name: "series", Position: h.stored.position()},
			{Name: "streams", Position: h.streams.Position()},
		},
		Counts: api.Counts{Live: h.state.Len(), Connections: h.mqtt.Connections(), Subscribers: h.streams.Clients()},
	}
	readings, capacity, bytes := h.pipeline.Open()
	s.Queues = []api.QueueStatus{{Name: "ingest", Items: readings, Capacity: capacity, Bytes: int64(bytes)}}
	if err == nil {
		err = h.log.Healthy(ctx)
	}
	if err == nil {
		err = h.pipeline.Healthy()
	}
	if err != nil {
		s.Log.Problem = err.Error()
	}
	if err := h.series.Healthy(); err != nil {
		s.Views[0].Problem = err.Error()
	}
	return s, nil
}

// rejects gives the log's rejects to the management API.
type rejects struct{ log *log.Log }

func (r rejects) Rejects(ctx context.Context, q api.RejectQuery) (api.RejectPage, error) {
	page, err := r.log.Rejects(ctx, log.RejectQuery(q))
	out := api.RejectPage{Next: page.Next, Rejects: make([]api.RejectEntry, len(page.Rejects))}
	for i, e := range page.Rejects {
		out.Rejects[i] = api.RejectEntry(e)
	}
	return out, err
}

// authenticator gives the streams the gate's Views.
type authenticator struct{ gate *policy.Gate }

func (a authenticator) View(ctx context.Context, token string) (streams.View, string, error) {
	p := web.PrincipalFrom(ctx)
	if token == "" {
		// A stream outlives its request: its token is asked for again, it may
		// have been revoked or expired (R29).
		token = web.TokenFrom(ctx)
	}
	if token != "" {
		var err error
		if p, err = a.gate.Verify(ctx, token); err != nil {
			return nil, "", err
		}
	}
	v, err := a.gate.View(ctx, p)
	if err != nil {
		return nil, "", err
	}
	role := p.Role
	if role == "" {
		role = policy.RolePublic
	}
	return expiring(v, p.Expires), string(role), nil
}

// labels gives the streams the names that go with a Datastream. They are asked
// for once per Datastream and client view, so each property is kept.
type labels struct {
	gate  *policy.Gate
	mu    sync.Mutex
	names map[twin.ObservedPropertyID]twin.ObservedProperty
}

func (l *labels) forget() {
	l.mu.Lock()
	clear(l.names)
	l.mu.Unlock()
}

func (l *labels) of(ctx context.Context, ds *twin.Datastream) (streams.Labels, error) {
	v, err := l.gate.View(ctx, policy.Principal{Name: "streams", Role: policy.RoleAdmin})
	if err != nil {
		return streams.Labels{}, err
	}
	l.mu.Lock()
	p, ok := l.names[ds.Property]
	l.mu.Unlock()
	if !ok {
		found, err := v.ObservedProperty(ctx, ds.Property)
		if err != nil {
			return streams.Labels{}, err
		}
		p = *found
		l.mu.Lock()
		l.names[ds.Property] = p
		l.mu.Unlock()
	}
	return streams.Labels{Title: p.Title, TitleEn: p.TitleEn, Dataset: v.DatasetCode(ds.Dataset)}, nil
}
