package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"cityhub/ingest"
	"cityhub/ingest/mqttd"
	"cityhub/internal/sample"
	"cityhub/spatial/store"
	"cityhub/streams"
	"cityhub/streams/log"
	"cityhub/streams/mqttout"
	"cityhub/streams/webhook"
	"cityhub/twin"
	"cityhub/twin/block"
	"cityhub/twin/policy"
	"cityhub/twin/registry"
	"cityhub/twin/registry/manifest"
	"cityhub/twin/series/pebble"
	"cityhub/twin/state"
)

// hub is every part of a running cityhub.
type hub struct {
	cfg     Config
	logger  *slog.Logger
	metrics *prometheus.Registry

	registry                  *registry.Registry
	log                       *log.Log
	series                    *pebble.Store
	state                     *state.State
	gate                      *policy.Gate
	pipeline                  *ingest.Pipeline
	mqtt                      *mqttd.Server
	streams                   *streams.Hub
	hooks                     *webhook.Manager
	updates                   *mqttout.Server
	cityStore                 store.Store
	city                      *cityModel
	stored                    *watermark // how far the series store has come
	labels                    *labels
	handler                   http.Handler
	started                   time.Time
	seriesFault, streamsFault atomic.Pointer[error] // as are the next two:
	hooksFault, updatesFault  atomic.Pointer[error] // why a view does not follow the log now; nil: it does

	atStart twin.Position // the last record that the log held when the hub opened it

	sampleTerminals int
}

// service is something that runs beside the hub and ends with it.
type service struct {
	name string
	run  func(ctx context.Context) error
}

// openHub opens the stores and builds every part. The caller closes it.
func openHub(ctx context.Context, cfg Config, logger *slog.Logger) (_ *hub, err error) {
	h := &hub{cfg: cfg, logger: logger, metrics: prometheus.NewRegistry(), started: time.Now().UTC()}
	h.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	defer func() {
		if err != nil {
			err = errors.Join(err, h.Close())
		}
	}()
	part := func(name string) *slog.Logger { return logger.With("part", name) }

	if h.registry, err = registry.Open(ctx, registry.Options{Path: filepath.Join(cfg.Data, "registry.db"), Logger: part("registry"), Changed: h.changed, Wrote: h.wrote}); err != nil {
		return nil, err
	}
	minFree := cfg.Log.MinFreeBytes
	if minFree == 0 {
		minFree = -1 // the parts take zero for their default
	}
	if h.log, err = log.Open(ctx, log.Options{
		Dir: filepath.Join(cfg.Data, "log"), URL: cfg.Log.URL, Credentials: cfg.Log.Credentials,
		MaxAge: cfg.Log.MaxAge, MaxBytes: cfg.Log.MaxBytes, MinFree: minFree, Replicas: cfg.Log.Replicas,
		Logger: part("log"), Metrics: h.metrics,
	}); err != nil {
		return nil, err
	}
	first, last, err := h.log.Bounds(ctx)
	if err != nil {
		return nil, err
	}
	if last.Offset >= first.Offset {
		h.atStart = last
	}
	if h.series, err = pebble.Open(filepath.Join(cfg.Data, "series"), pebble.Options{MinFreeBytes: minFree, SyncEvery: time.Second, Logger: part("series"), Metrics: h.metrics}); err != nil {
		return nil, err
	}
	h.state = state.New()
	pos, err := h.state.Load(ctx, h.series)
	if err != nil {
		return nil, err
	}
	h.stored = newWatermark(pos)
	if h.cityStore, err = openCity(ctx, cfg); err != nil {
		return nil, err
	}
	h.city = newCityModel(h.cityStore, cmp.Or(cfg.City.MemoryBytes, -1), h.registry, part("city"))
	h.city.measure(h.metrics)
	if h.gate, err = policy.New(policy.Options{
		Registry: h.registry, Series: h.series, State: h.state,
		City: h.city.cache, Index: h.city.index, Join: h.city.join, Editor: h.city,
		AnonymousRole: policy.Role(cfg.Auth.AnonymousRole), Logger: part("gate"),
	}); err != nil {
		return nil, err
	}
	h.labels = &labels{gate: h.gate, names: map[twin.ObservedPropertyID]twin.ObservedProperty{}}
	h.pipeline = ingest.New(ingest.Options{
		Registry: h.registry, Log: h.log, AutoRegister: cfg.Ingest.AutoRegister,
		MaxFuture: cfg.Ingest.MaxFuture, MaxPast: cfg.Ingest.MaxPast,
		Logger: part("ingest"), Metrics: h.metrics,
	})
	h.mqtt = mqttd.New(mqttd.Options{
		Pipeline: h.pipeline, Authenticate: h.registry.Authenticate,
		Updates:        func(terminal string, s mqttd.Sink) mqttd.UpdateSession { return h.updates.Open(terminal, s) },
		MaxPacketBytes: cfg.MQTT.MaxPacketBytes, MaxConnections: cfg.MQTT.MaxConnections,
		Logger: part("mqtt"), Metrics: h.metrics,
	})
	if h.streams, err = streams.New(streams.Options{
		Source: streams.SourceFunc(h.tail), State: h.state, Directory: h.registry, Labels: h.labels.of,
		Place: places{h.city}, Resume: streams.SourceFunc(h.strictTail),
		MaxClients: cfg.HTTP.MaxStreamClients, Logger: part("streams"), Metrics: h.metrics,
	}); err != nil {
		return nil, err
	}
	if err = h.openDelivery(); err != nil {
		return nil, err
	}
	h.city.join.Rebound(h.bound)
	if h.handler, err = h.routes(); err != nil {
		return nil, err
	}
	return h, nil
}

// changed passes on that something changed in the registry that the streams
// keep: rights must end at once (R29).
func (h *hub) changed(ids []twin.DatastreamID) {
	if h.labels != nil && h.streams != nil {
		h.labels.forget()
		h.streams.Invalidate(ids...)
		h.hooks.Invalidate()
		h.updates.Invalidate()
	}
}

// bound passes on that Datastreams observe other objects, or belong to other
// districts, than before.
func (h *hub) bound(ids []twin.DatastreamID) {
	h.streams.Invalidate(ids...)
	h.hooks.Invalidate()
}

// wrote passes on that terminals are new or have changed: the join with the city
// model looks where they stand.
func (h *hub) wrote(ids []twin.DatastreamID) {
	if h.city != nil {
		h.city.join.Wrote(ids)
	}
}

// Close closes the stores; Run has returned before.
func (h *hub) Close() error {
	var errs []error
	if h.log != nil {
		errs = append(errs, h.log.Close())
	}
	if h.series != nil {
		errs = append(errs, h.series.Close())
	}
	if h.cityStore != nil {
		errs = append(errs, h.cityStore.Close())
	}
	if h.registry != nil {
		errs = append(errs, h.registry.Close())
	}
	return errors.Join(errs...)
}

// Run serves until ctx ends or a part fails, then stops the parts in the order
// in which a reading passes them.
func (h *hub) Run(ctx context.Context, httpLn, mqttLn net.Listener, ready func(), beside ...service) error {
	g, ctx := errgroup.WithContext(ctx)
	start := func(name string, run func(context.Context) error) {
		g.Go(func() error {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
	}
	start("ingest", h.pipeline.Run)
	start("series", func(ctx context.Context) error { return h.again(ctx, &h.seriesFault, h.storeSeries) })
	start("registry", func(ctx context.Context) error {
		if err := h.warm(ctx); err != nil && ctx.Err() == nil {
			h.logger.Warn("what is known of the Datastreams is loaded later, one by one", "error", err)
		}
		return nil
	})
	start("city", func(ctx context.Context) error { return h.again(ctx, &h.city.fault, h.city.Run) })
	start("streams", func(ctx context.Context) error { return h.again(ctx, &h.streamsFault, h.streams.Run) })
	start("webhooks", func(ctx context.Context) error { return h.again(ctx, &h.hooksFault, h.hooks.Run) })
	start("mqtt updates", func(ctx context.Context) error { return h.again(ctx, &h.updatesFault, h.updates.Run) })
	start("mqtt", func(ctx context.Context) error { return h.mqtt.Serve(ctx, mqttLn) })
	start("http", func(ctx context.Context) error { return h.serveHTTP(ctx, httpLn) })
	for _, s := range beside {
		start(s.name, s.run)
	}
	ready()
	return g.Wait()
}

// warm has the registry load what is known of the Datastreams that have a
// value, on all cores: the streams ask for each of them before they are ready.
func (h *hub) warm(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	next := twin.DatastreamID(0)
	h.state.Each(func(o twin.Observation) bool {
		if o.Datastream < next {
			return true // its page is being loaded
		}
		next = (o.Datastream/registry.PageSize + 1) * registry.PageSize
		g.Go(func() error {
			_, err := h.registry.Datastream(ctx, o.Datastream)
			if twin.ErrorCode(err) == twin.CodeNotFound {
				return nil
			}
			return err
		})
		return ctx.Err() == nil
	})
	return g.Wait()
}

// again runs a view of the log until ctx ends. A view that fails is started
// again where it left off, so that readings go on being taken in meanwhile;
// /readyz tells of its fault.
func (h *hub) again(ctx context.Context, fault *atomic.Pointer[error], run func(context.Context) error) error {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		began := time.Now()
		mended := time.AfterFunc(time.Second, func() { fault.Store(nil) }) // it has run for a moment
		err := run(ctx)
		mended.Stop()
		if err == nil || ctx.Err() != nil {
			return nil
		}
		if time.Since(began) > time.Minute {
			wait = 100 * time.Millisecond
		}
		fault.Store(&err)
		h.logger.Error("a view of the log failed and is started again", "error", err, "retry", wait)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// serveHTTP serves until ctx ends, then gives requests and streams a moment.
func (h *hub) serveHTTP(ctx context.Context, ln net.Listener) error {
	srv := &http.Server{
		Handler:           h.handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(h.logger.With("part", "http").Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err := errors.Join(h.streams.Shutdown(stop), srv.Shutdown(stop))
	<-failed
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.Join(srv.Close())
	}
	return err
}

// tail follows the log from after. A position that the log does not have, for
// it was recreated or has let go of that record, starts at what it does have:
// views replace what they hold already, so nothing is counted twice.
func (h *hub) tail(ctx context.Context, after twin.Position, maxRows int, fn streams.GroupFunc) error {
	err := h.log.Tail(ctx, after, log.TailOptions{MaxRows: maxRows}, fn)
	if twin.ErrorCode(err) == twin.CodeConflict && ctx.Err() == nil {
		h.logger.Warn("a view starts again at the oldest record of the log", "after", after.String(), "reason", err)
		err = h.log.Tail(ctx, twin.Position{}, log.TailOptions{MaxRows: maxRows}, fn)
	}
	return err
}

// seriesRows is how many readings one write of the series store takes at most.
const seriesRows = 64 << 10

// storeSeries brings the log into the series store. Its error is a full disk,
// most likely: the readings are safe in the log.
func (h *hub) storeSeries(ctx context.Context) error {
	after, err := h.series.Position(ctx)
	if err != nil {
		return err
	}
	return h.tail(ctx, after, seriesRows, func(ctx context.Context, batches []*block.Batch, pos twin.Position) error {
		err := h.series.Append(ctx, batches, pos)
		if err == nil {
			h.stored.advance(pos)
		}
		return err
	})
}

// importSample registers the sample's terminals.
func (h *hub) importSample(ctx context.Context) error {
	m, err := manifest.ParseYAML("sample terminals", bytes.NewReader(sample.Manifest()))
	if err != nil {
		return err
	}
	h.sampleTerminals = len(m.Terminals)
	_, err = h.registry.Import(ctx, m, registry.ImportOptions{})
	return err
}
