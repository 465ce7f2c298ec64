package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/paulmach/orb"
	"github.com/prometheus/client_golang/prometheus"

	"cityhub/internal/web"
	"cityhub/spatial"
	"cityhub/spatial/city"
	"cityhub/spatial/cql2"
	"cityhub/spatial/index"
	"cityhub/spatial/network"
	"cityhub/spatial/query"
	"cityhub/spatial/store"
	"cityhub/spatial/store/gpkg"
	"cityhub/spatial/store/memory"
	"cityhub/spatial/store/postgis"
	"cityhub/twin"
	"cityhub/twin/policy"
	"cityhub/twin/registry"
	"cityhub/twin/state"
)

// cityFile is the GeoPackage of the city model in the data folder. QGIS opens it.
const cityFile = "city.gpkg"

// openCity opens the city model's store that the configuration names.
func openCity(ctx context.Context, cfg Config) (store.Store, error) {
	if cfg.City.Store == "postgis" {
		return postgis.Open(ctx, postgis.Options{URL: cfg.City.URL})
	}
	return gpkg.Open(ctx, gpkg.Options{Path: filepath.Join(cfg.Data, cityFile)})
}

// cityModel is the city model of a running hub: the store, the index of what
// is valid now, and the join with the Datastreams, which follow the store.
type cityModel struct {
	store    store.Store
	cache    *memory.Cache // before store, for questions
	index    *index.Index
	join     *state.Join
	registry *registry.Registry
	logger   *slog.Logger

	following sync.Mutex
	last      int64 // the last import that index and join have
	loaded    chan struct{}
	objects   atomic.Int64 // loaded so far
	fault     atomic.Pointer[error]

	networking sync.Mutex
	canals     *network.Network // of canals and pipes, of the index as it was last asked
}

func newCityModel(s store.Store, memoryBytes int64, r *registry.Registry, logger *slog.Logger) *cityModel {
	c := &cityModel{store: s, index: index.New(index.Settings{}), registry: r, logger: logger, loaded: make(chan struct{})}
	c.cache = memory.New(s, func() index.View { return c.index.For(nil) }, memory.Options{Bytes: memoryBytes})
	c.join = state.NewJoin(state.JoinOptions{
		Directory: r, Index: func() index.View { return c.index.For(nil) },
		DistrictType: city.TypeDistrict, CellType: city.TypeUnitGrid, Logger: logger,
	})
	return c
}

// measure registers what an operator watches of the city model.
func (c *cityModel) measure(r prometheus.Registerer) {
	gauge := func(name, help string, labels prometheus.Labels, value func() float64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, value))
	}
	gauge("cityhub_city_objects", "Objects of the city model that are valid now.", nil, func() float64 { return float64(c.index.For(nil).Len()) })
	gauge("cityhub_city_memory_objects", "Objects that are kept in memory to answer questions.", nil, func() float64 { n, _ := c.cache.Stats(); return float64(n) })
	gauge("cityhub_city_memory_bytes", "Memory that they take, of city.memoryBytes.", nil, func() float64 { _, n := c.cache.Stats(); return float64(n) })
	for _, how := range []state.How{state.Declared, state.Inside, state.On, state.Nearest, state.Unplaced} {
		gauge("cityhub_city_datastreams", "Datastreams by the grounds on which they are bound to a city object.", prometheus.Labels{"bound": how.String()},
			func() float64 { return float64(c.join.Bindings().Counts()[how]) })
	}
}

// pollEvery is how often the store is asked for imports by other nodes.
const pollEvery = 2 * time.Second

// Run loads the index, binds the Datastreams and follows both until ctx ends.
func (c *cityModel) Run(ctx context.Context) error {
	began := time.Now()
	if err := c.load(ctx); err != nil {
		return err
	}
	if n := c.objects.Load(); n > 0 {
		c.logger.Info("city model loaded", "objects", n, "took", time.Since(began).Round(time.Millisecond))
	}
	select {
	case <-c.loaded: // a second run
	default:
		close(c.loaded)
	}
	binding := make(chan error, 1)
	inner, cancel := context.WithCancel(ctx)
	go func() { binding <- c.join.Run(inner) }()
	defer func() {
		cancel()
		<-binding
	}()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := c.follow(ctx); err != nil {
				return err
			}
		}
	}
}

func (c *cityModel) load(ctx context.Context) error {
	c.following.Lock()
	defer c.following.Unlock()
	last, err := c.store.LastImport(ctx)
	if err != nil {
		return err
	}
	fill := c.cache.Begin(true)
	err = c.index.Load(ctx, &filling{Reader: c.store, fill: fill}, c.objects.Store)
	fill.Commit()
	if err != nil {
		return err
	}
	if kept, _ := c.cache.Stats(); int64(kept) < c.objects.Load() {
		c.logger.Info("not all objects fit into city.memoryBytes: questions that meet the others take longer", "objects", c.objects.Load(), "kept", kept)
	}
	c.last = last
	c.join.ModelChanged(nil)
	return c.join.Sync(ctx)
}

// filling puts what is read from a store into memory as it passes.
type filling struct {
	store.Reader
	fill *memory.Change
}

func (f *filling) Changes(ctx context.Context, after int64, fn func(store.Change) error) (int64, error) {
	return f.Reader.Changes(ctx, after, func(ch store.Change) error {
		if ch.Version != nil {
			f.fill.Put(ch.Version)
		}
		return fn(ch)
	})
}

// manyChanges is beyond how many changed objects the index is loaded anew.
const manyChanges = 200_000

// follow takes in what imports have changed since.
func (c *cityModel) follow(ctx context.Context) error {
	c.following.Lock()
	last, err := c.store.LastImport(ctx)
	if err != nil || last == c.last {
		c.following.Unlock()
		return err
	}
	reload, err := c.apply(ctx)
	c.following.Unlock()
	if reload && err == nil {
		err = c.load(ctx)
	}
	return err
}

var errMany = errors.New("many changes")

// apply brings the changes into the index and the join; reload: they are so many
// that loading all is faster, or the store is another one.
func (c *cityModel) apply(ctx context.Context) (reload bool, err error) {
	var ended []int64
	var areas []orb.Bound
	before := c.index.For(nil)
	var changed []*store.Version
	last, err := c.store.Changes(ctx, c.last, func(ch store.Change) error {
		if len(changed)+len(ended) >= manyChanges {
			return errMany
		}
		if ref, ok := before.At(ch.Position); ok {
			if b := before.Object(ref).Bound; !b.IsEmpty() {
				areas = append(areas, b)
			}
		}
		if ch.Version == nil {
			ended = append(ended, ch.Position)
			return nil
		}
		changed = append(changed, ch.Version)
		if f := ch.Version.Footprint; f != nil {
			b := f.Bounds()
			areas = append(areas, orb.Bound{Min: orb.Point{b.Min[0], b.Min[1]}, Max: orb.Point{b.Max[0], b.Max[1]}})
		}
		return nil
	})
	var se *store.Error
	switch {
	case errors.Is(err, errMany), errors.As(err, &se) && se.Code == store.NotFound:
		return true, nil
	case err != nil:
		return false, err
	}
	change := c.cache.Begin(false)
	for _, position := range ended {
		change.Drop(position)
	}
	for _, v := range changed {
		change.Put(v)
	}
	change.Commit()
	if err := c.index.Apply(index.Versions(changed), ended); err != nil {
		return false, err
	}
	c.last = last
	c.join.ModelChanged(areas)
	return false, c.join.Sync(ctx)
}

// network is the network of canals and pipes. It is built when it is asked for,
// once for each state of the city.
func (c *cityModel) network(ctx context.Context) (*network.Network, error) {
	c.networking.Lock()
	defer c.networking.Unlock()
	v := c.index.For(nil)
	if c.canals != nil && c.canals.Version() == v.Version() {
		return c.canals, nil
	}
	n, err := network.Build(ctx, v, c.store, network.Options{})
	if err != nil {
		return nil, err
	}
	c.canals = n
	return n, nil
}

// upstream finds what lies upstream of objects, for spatial questions: through
// what the caller sees only.
func (c *cityModel) upstream(ctx context.Context, v *city.View, positions []int64, metres float64) ([]query.Reached, error) {
	n, err := c.network(ctx)
	if err != nil {
		return nil, err
	}
	nearest := map[int64]query.Reached{} // by position
	for _, position := range positions {
		if !n.Has(position) {
			continue
		}
		trace, err := n.Upstream(network.Start{Position: position}, network.Limits{
			MaxMetres: metres, Visible: func(p int64) bool { _, ok := v.Index.At(p); return ok },
		})
		if err != nil {
			return nil, err
		}
		for _, o := range trace.Objects {
			if old, ok := nearest[o.Position]; !ok || o.Metres < old.Metres {
				nearest[o.Position] = query.Reached{Position: o.Position, Of: position, Metres: o.Metres}
			}
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	out := make([]query.Reached, 0, len(nearest))
	for _, position := range slices.Sorted(maps.Keys(nearest)) {
		out = append(out, nearest[position])
	}
	return out, nil
}

// Healthy says why the city model cannot be asked; nil: it can.
func (c *cityModel) Healthy() error {
	if err := c.fault.Load(); err != nil {
		return *err
	}
	select {
	case <-c.loaded:
		return nil
	default:
		return &twin.Error{Code: twin.CodeUnavailable, Message: fmt.Sprintf("the city model is still being loaded, %d objects so far", c.objects.Load()), Hint: "ask again in a few seconds"}
	}
}

// Put implements city.Editor.
func (c *cityModel) Put(ctx context.Context, dataset string, objects []*spatial.CityObject) (store.ImportResult, error) {
	return c.edit(ctx, store.ImportOptions{Dataset: dataset}, objects)
}

// Delete implements city.Editor.
func (c *cityModel) Delete(ctx context.Context, dataset string, ids []string) (store.ImportResult, error) {
	return c.edit(ctx, store.ImportOptions{Dataset: dataset, End: ids}, nil)
}

func (c *cityModel) edit(ctx context.Context, o store.ImportOptions, objects []*spatial.CityObject) (store.ImportResult, error) {
	if _, err := c.registry.DatasetByCode(ctx, o.Dataset); err != nil {
		if twin.ErrorCode(err) == twin.CodeNotFound {
			err = &city.Error{Code: city.Invalid, Field: "dataset", Message: fmt.Sprintf("the catalogue has no data set %q", o.Dataset), Hint: "register it first: PUT /api/v1/datasets/{code}, or with cityhub import city"}
		}
		return store.ImportResult{}, err
	}
	res, err := c.store.Import(ctx, o, func(yield func(*spatial.CityObject, error) bool) {
		for _, object := range objects {
			if !yield(object, nil) {
				return
			}
		}
	})
	if err != nil {
		return res, err
	}
	// What is stored is stored: the caller's going away does not undo it.
	return res, c.follow(context.WithoutCancel(ctx))
}

// cityGate gives the spatial handlers the gate's Views.
type cityGate struct {
	gate  *policy.Gate
	model *cityModel
}

// City implements city.Gate.
func (g cityGate) City(r *http.Request) (*city.View, error) {
	if err := g.model.Healthy(); err != nil {
		return nil, err
	}
	v, err := g.gate.View(r.Context(), web.PrincipalFrom(r.Context()))
	if err != nil {
		return nil, err
	}
	return v.City()
}

// spatialProblem answers with an error of the spatial packages: in the words of
// the hub's problem documents.
func spatialProblem(w http.ResponseWriter, r *http.Request, err error) {
	var ce *city.Error
	var se *store.Error
	var qe *cql2.Error
	var ne *network.Error
	switch {
	case errors.As(err, &ce) && ce.Code == city.NotAcceptable:
		err = &web.StatusError{Status: http.StatusNotAcceptable, Slug: "not-acceptable", Title: "Not acceptable", Err: &twin.Error{Code: twin.CodeInvalid, Field: ce.Field, Message: ce.Message, Hint: ce.Hint}}
	case errors.As(err, &ce):
		err = &twin.Error{Code: twin.Code(ce.Code), Field: ce.Field, Message: ce.Message, Hint: ce.Hint, Err: ce.Err}
	case errors.As(err, &ne):
		err = &twin.Error{Code: twin.CodeInvalid, Field: ne.Field, Message: ne.Message, Hint: ne.Hint}
	case errors.As(err, &qe):
		err = &twin.Error{Code: twin.CodeInvalid, Field: "filter", Message: qe.Error()}
	case errors.As(err, &se):
		err = &twin.Error{Code: twin.Code(se.Code), Op: se.Op, Field: se.Field, Message: storeMessage(se), Hint: se.Hint, Err: se.Err}
	}
	web.Problem(w, r, err)
}

// storeMessage says where in a file the fault is, and why: problem documents have
// no members for these. The cause of what is not the caller's fault is for the log.
func storeMessage(e *store.Error) string {
	var parts []string
	switch {
	case e.File != "" && e.Line > 0:
		parts = append(parts, fmt.Sprintf("%s:%d", e.File, e.Line))
	case e.File != "":
		parts = append(parts, e.File)
	}
	parts = append(parts, e.Object, e.Message)
	if e.Err != nil && (e.Code == store.Invalid || e.Code == store.Conflict) {
		parts = append(parts, e.Err.Error())
	}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ": ")
}
