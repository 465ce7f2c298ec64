package state

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/paulmach/orb"
	"golang.org/x/sync/errgroup"

	"cityhub/spatial/index"
	"cityhub/spatial/store"
	"cityhub/twin"
	"cityhub/twin/registry"
)

// Directory says where Datastreams observe; *registry.Registry is one.
type Directory interface {
	Places(ctx context.Context, after twin.DatastreamID, fn func(registry.Place) bool) error
	Datastream(ctx context.Context, id twin.DatastreamID) (*twin.Datastream, error)
}

// JoinOptions of a Join.
type JoinOptions struct {
	Directory Directory         // required
	Index     func() index.View // of everything that is valid now; required
	Rules     []Rule            // nil: DefaultRules
	// DistrictType and CellType are the types of the objects that are
	// administrative districts and unit grid cells; empty: none are assigned.
	DistrictType, CellType string
	Logger                 *slog.Logger // nil: no log
}

// Join binds every Datastream to the CityObject that it observes
// (苏州市数据条例 第二十九条: 空间落位、数字建模、数据融合; R52): to the one that is declared,
// else to one at the terminal's place by the Rules. It is a view of the registry
// and of the city model, held in memory (some 90 bytes a Datastream) and made
// anew at every start.
//
// All methods are safe for concurrent use.
type Join struct {
	o       JoinOptions
	current atomic.Pointer[Bindings]
	wake    chan struct{} // of capacity one

	working sync.Mutex // one change at a time
	rebound func(ids []twin.DatastreamID)

	mu    sync.Mutex
	dirty changes
}

// changes are what the next Sync has to look at.
type changes struct {
	all   bool // everything
	ids   map[twin.DatastreamID]struct{}
	areas []orb.Bound // in which the model changed

}

// NewJoin makes a Join that has bound nothing yet.
func NewJoin(o JoinOptions) *Join {
	if o.Rules == nil {
		o.Rules = DefaultRules()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	j := &Join{o: o, wake: make(chan struct{}, 1), dirty: changes{all: true}}
	b := &Bindings{texts: []string{""}}
	b.finish()
	j.current.Store(b)
	return j
}

// Rebound has fn called after each Sync that bound Datastreams to other objects,
// districts or cells than before: with them, or with nil where they are many. Call
// it before the first Sync. fn must not block.
func (j *Join) Rebound(fn func(ids []twin.DatastreamID)) { j.rebound = fn }

// maxRebound is how many Datastreams are named to Rebound's function.
const maxRebound = 4096

// differ lists what has other bindings in next than in old; nil: many have.
func differ(old, next *Bindings) []twin.DatastreamID {
	ids := []twin.DatastreamID{}
	for id := range max(len(old.list), len(next.list)) {
		var a, b bound
		if id < len(old.list) {
			a = old.list[id]
		}
		if id < len(next.list) {
			b = next.list[id]
		}
		if a.position != b.position || old.texts[a.district] != next.texts[b.district] || old.texts[a.registered] != next.texts[b.registered] || old.texts[a.cell] != next.texts[b.cell] {
			if len(ids) == maxRebound {
				return nil
			}
			ids = append(ids, twin.DatastreamID(id))
		}
	}
	return ids
}

// Bindings are the present ones.
func (j *Join) Bindings() *Bindings { return j.current.Load() }

// Wrote says that Datastreams are new or have changed; with nil that any may
// have. It does not block: it is registry.Options.Wrote.
func (j *Join) Wrote(ids []twin.DatastreamID) {
	j.mark(func(c *changes) {
		if ids == nil || len(c.ids)+len(ids) > maxDirty {
			c.all = true
			return
		}
		if c.ids == nil {
			c.ids = map[twin.DatastreamID]struct{}{}
		}
		for _, id := range ids {
			c.ids[id] = struct{}{}
		}
	})
}

// maxDirty and maxAreas bound what waits for the next Sync; beyond them
// everything is bound anew.
const (
	maxDirty = 100_000
	maxAreas = 256
)

// ModelChanged says that the city model has changed in these boxes, old and new
// places of what changed; with nil that it has changed anywhere.
func (j *Join) ModelChanged(areas []orb.Bound) {
	j.mark(func(c *changes) {
		if areas == nil || len(c.areas)+len(areas) > maxAreas {
			c.all = true
			return
		}
		c.areas = append(c.areas, areas...)
	})
}

func (j *Join) mark(set func(*changes)) {
	j.mu.Lock()
	set(&j.dirty)
	j.mu.Unlock()
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// Run follows the changes until ctx ends. A failure is logged and tried again.
func (j *Join) Run(ctx context.Context) error {
	wait := time.Duration(0)
	for {
		err := j.Sync(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			wait = min(max(2*wait, time.Second), time.Minute)
			j.o.Logger.Error("Datastreams cannot be bound to the city model; trying again", "error", err, "retry", wait)
		default:
			wait = 0
		}
		var again <-chan time.Time
		if wait > 0 {
			again = time.After(wait)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-j.wake:
		case <-again:
		}
	}
}

// Sync takes in what has changed until now and returns when Bindings has it.
func (j *Join) Sync(ctx context.Context) (err error) {
	j.working.Lock()
	defer j.working.Unlock()
	j.mu.Lock()
	todo := j.dirty
	j.dirty = changes{}
	j.mu.Unlock()
	if !todo.all && len(todo.ids) == 0 && len(todo.areas) == 0 {
		return nil
	}
	defer func() {
		if err != nil { // to be done still
			j.mark(func(c *changes) { c.all = true })
		}
	}()
	old := j.current.Load()
	next := &Bindings{version: old.version + 1, texts: slices.Clone(old.texts)}
	w := &work{join: j, view: j.o.Index(), next: next, number: make(map[string]uint32, len(next.texts))}
	for i, text := range next.texts {
		w.number[text] = uint32(i)
	}
	if todo.all {
		next.texts, w.number = []string{""}, map[string]uint32{"": 0}
		if err := j.o.Directory.Places(ctx, 0, func(p registry.Place) bool { w.put(p); return true }); err != nil {
			return fmt.Errorf("bind Datastreams: %w", err)
		}
		for id := range next.list {
			w.todo = append(w.todo, twin.DatastreamID(id))
		}
	} else {
		next.list = slices.Clone(old.list)
		if err := w.read(ctx, todo.ids); err != nil {
			return fmt.Errorf("bind Datastreams: %w", err)
		}
		w.affected(todo.areas)
	}
	if err := w.bind(ctx); err != nil {
		return fmt.Errorf("bind Datastreams: %w", err)
	}
	next.finish()
	j.current.Store(next)
	if j.rebound != nil {
		if ids := differ(old, next); ids == nil || len(ids) > 0 {
			j.rebound(ids)
		}
	}
	return nil
}

// work is one Sync.
type work struct {
	join   *Join
	view   index.View
	next   *Bindings
	number map[string]uint32 // of Bindings.texts
	todo   []twin.DatastreamID
}

func (w *work) text(s string) uint32 {
	if n, ok := w.number[s]; ok {
		return n
	}
	n := uint32(len(w.next.texts))
	w.next.texts = append(w.next.texts, s)
	w.number[s] = n
	return n
}

func (w *work) put(p registry.Place) {
	for int64(len(w.next.list)) <= int64(p.Datastream) {
		w.next.list = append(w.next.list, bound{lon: math.NaN(), lat: math.NaN()})
	}
	w.next.list[p.Datastream] = bound{
		lon: p.Lon, lat: p.Lat, thing: p.Thing, known: true, property: w.text(p.Property), domain: w.text(string(p.Domain)),
		registered: w.text(p.District), declared: w.text(p.Observes),
	}
}

// read takes Datastreams from the registry again.
func (w *work) read(ctx context.Context, ids map[twin.DatastreamID]struct{}) error {
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		ds, err := w.join.o.Directory.Datastream(ctx, id)
		if twin.ErrorCode(err) == twin.CodeNotFound {
			continue
		}
		if err != nil {
			return err
		}
		w.put(registry.Place{Datastream: id, Thing: ds.Thing, Property: ds.PropertyName, Domain: ds.Domain, District: ds.District, Lon: ds.Lon, Lat: ds.Lat, Observes: ds.Observes})
		w.todo = append(w.todo, id)
	}
	return nil
}

// affected adds the Datastreams that a change of the model in some areas can
// concern: those within reach of it, and those that declare an object.
func (w *work) affected(areas []orb.Bound) {
	if len(areas) == 0 {
		return
	}
	reach := 0.0
	for _, r := range w.join.o.Rules {
		reach = max(reach, r.MaxMetres)
	}
	wide := make([]orb.Bound, len(areas))
	for i, a := range areas {
		lat := min(max(math.Abs(a.Min[1]), math.Abs(a.Max[1])), 89)
		dy := 1.01 * reach / 110_574
		dx := dy / math.Cos(lat*math.Pi/180)
		wide[i] = orb.Bound{Min: orb.Point{a.Min[0] - dx, a.Min[1] - dy}, Max: orb.Point{a.Max[0] + dx, a.Max[1] + dy}}
	}
	for id := range w.next.list {
		e := &w.next.list[id]
		if e.known && (e.declared != 0 || slices.ContainsFunc(wide, func(b orb.Bound) bool { return b.Contains(orb.Point{e.lon, e.lat}) })) {
			w.todo = append(w.todo, twin.DatastreamID(id))
		}
	}
}

// bind finds the objects of w.todo on all cores.
func (w *work) bind(ctx context.Context) error {
	type area struct{ district, cell string }
	areas := make([]area, len(w.todo)) // texts are numbered afterwards, by one
	g, ctx := errgroup.WithContext(ctx)
	const chunk = 4096
	g.SetLimit(runtime.GOMAXPROCS(0))
	for from := 0; from < len(w.todo); from += chunk {
		to := min(from+chunk, len(w.todo))
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			f := finder{work: w}
			for i := from; i < to; i++ {
				e := &w.next.list[w.todo[i]]
				if e.known {
					f.bind(e)
					areas[i] = area{f.district, f.cell}
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i, id := range w.todo {
		e := &w.next.list[id]
		e.district, e.cell = w.text(areas[i].district), w.text(areas[i].cell)
	}
	return nil
}

// finder binds Datastreams one after another. Those of one terminal follow each
// other mostly, so it remembers the last place and what each rule found there.
type finder struct {
	work           *work
	lon, lat       float64
	filled         bool
	district, cell string
	found          []struct {
		done     bool
		position int64
		how      How
		metres   float64
	}
}

func (f *finder) bind(e *bound) {
	w := f.work
	e.position, e.how, e.metres = 0, Unplaced, 0
	placed := !math.IsNaN(e.lon) && !math.IsNaN(e.lat)
	if !f.filled || f.lon != e.lon || f.lat != e.lat {
		f.lon, f.lat, f.filled = e.lon, e.lat, true
		f.found = make([]struct {
			done     bool
			position int64
			how      How
			metres   float64
		}, len(w.join.o.Rules))
		f.district, f.cell = "", ""
		if placed {
			f.district, f.cell = f.area(w.join.o.DistrictType), f.area(w.join.o.CellType)
		}
	}
	if e.declared != 0 {
		dataset, id, _ := strings.Cut(w.next.texts[e.declared], "/")
		if ref, ok := w.view.Find(store.Key{Dataset: dataset, ID: id}); ok {
			e.position, e.how = w.view.Object(ref).Position, Declared
		}
		return // what is declared is not guessed
	}
	if !placed {
		return
	}
	domain, property := twin.Domain(w.next.texts[e.domain]), w.next.texts[e.property]
	for i := range w.join.o.Rules {
		r := &w.join.o.Rules[i]
		if !r.applies(domain, property) {
			continue
		}
		at := &f.found[i]
		if !at.done {
			at.done = true
			at.position, at.how, at.metres = r.find(w.view, e.lon, e.lat)
		}
		if at.how != Unplaced {
			e.position, e.how, e.metres = at.position, at.how, float32(at.metres)
			return
		}
	}
}

// area is the identifier of the smallest object of a type around the place.
func (f *finder) area(typ string) string {
	if typ == "" {
		return ""
	}
	ref, ok := smallest(f.work.view, f.lon, f.lat, index.Options{Type: typ})
	if !ok {
		return ""
	}
	return f.work.view.Object(ref).Key.ID
}
