package policy

import (
	"context"
	"fmt"
	"math"
	"strconv"

	"cityhub/twin"
	"cityhub/twin/registry"
	"cityhub/twin/series"
)

// View is what one kind of caller may see. Everything it gives is what the
// caller may see; the rest is CodeNotFound, and in no count.
type View struct {
	g        *Gate
	all      bool
	terminal string // RoleTerminal: the code of the caller
}

// Key names what the View shows: Views of one Gate with the same Key see the
// same at any time, so that what is encoded for one can be sent to all.
func (v *View) Key() string {
	switch {
	case v.all:
		return "all"
	case v.terminal != "":
		return "terminal:" + v.terminal
	}
	return "public"
}

// Sees reports whether the caller may see ds. It takes no lock and allocates
// nothing as long as the catalogue has not changed; after a change the first
// question reads the catalogue again.
func (v *View) Sees(ds *twin.Datastream) bool {
	if v.all {
		return true
	}
	return v.g.catalogue().isOpen(ds.Dataset) || (v.terminal != "" && ds.Terminal == v.terminal)
}

// Datastream gives a Datastream.
func (v *View) Datastream(ctx context.Context, id twin.DatastreamID) (*twin.Datastream, error) {
	ds, err := v.g.o.Registry.Datastream(ctx, id)
	if err != nil {
		return nil, err
	}
	if !v.Sees(ds) {
		// In the words of the registry, so that the two cannot be told apart.
		return nil, noDatastream(id)
	}
	return ds, nil
}

func noDatastream(id twin.DatastreamID) error {
	return &twin.Error{Code: twin.CodeNotFound, Op: "find datastream", Field: "id", Message: fmt.Sprintf("there is no Datastream %d", id)}
}

// scope limits q to what the caller sees. Of a terminal's own Datastreams the
// lists show nothing that the public does not see: it reads them one by one.
func (v *View) scope(q registry.Query) registry.Query {
	q.All, q.Datasets = v.all, nil
	if !v.all {
		q.Datasets = v.g.catalogue().open
	}
	return q
}

// Things lists Things; the total is -1 unless q.Count. What q says about
// visibility is not read.
func (v *View) Things(ctx context.Context, q registry.Query) ([]twin.Thing, int, error) {
	return v.g.o.Registry.Things(ctx, v.scope(q))
}

// Locations lists Locations like Things.
func (v *View) Locations(ctx context.Context, q registry.Query) ([]twin.Location, int, error) {
	return v.g.o.Registry.Locations(ctx, v.scope(q))
}

// Sensors lists Sensors like Things.
func (v *View) Sensors(ctx context.Context, q registry.Query) ([]twin.Sensor, int, error) {
	return v.g.o.Registry.Sensors(ctx, v.scope(q))
}

// ObservedProperties lists ObservedProperties like Things.
func (v *View) ObservedProperties(ctx context.Context, q registry.Query) ([]twin.ObservedProperty, int, error) {
	return v.g.o.Registry.ObservedProperties(ctx, v.scope(q))
}

// Datastreams lists Datastreams like Things.
func (v *View) Datastreams(ctx context.Context, q registry.Query) ([]*twin.Datastream, int, error) {
	return v.g.o.Registry.Datastreams(ctx, v.scope(q))
}

// one is the entity with the id in a list.
func one[T any](ctx context.Context, list func(context.Context, registry.Query) ([]T, int, error), op, what string, id int64) (*T, error) {
	if id <= 0 { // Query takes 0 for no condition
		return nil, notFound(op, what+" "+strconv.FormatInt(id, 10))
	}
	page, _, err := list(ctx, registry.Query{ID: id, Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(page) == 0 {
		return nil, notFound(op, what+" "+strconv.FormatInt(id, 10))
	}
	return &page[0], nil
}

// Thing gives a Thing.
func (v *View) Thing(ctx context.Context, id twin.ThingID) (*twin.Thing, error) {
	return one(ctx, v.Things, "find thing", "Thing", int64(id))
}

// Location gives a Location.
func (v *View) Location(ctx context.Context, id twin.LocationID) (*twin.Location, error) {
	return one(ctx, v.Locations, "find location", "Location", int64(id))
}

// Sensor gives a Sensor.
func (v *View) Sensor(ctx context.Context, id twin.SensorID) (*twin.Sensor, error) {
	return one(ctx, v.Sensors, "find sensor", "Sensor", int64(id))
}

// ObservedProperty gives an ObservedProperty.
func (v *View) ObservedProperty(ctx context.Context, id twin.ObservedPropertyID) (*twin.ObservedProperty, error) {
	return one(ctx, v.ObservedProperties, "find observed property", "ObservedProperty", int64(id))
}

// Latest is the observation of ds with the greatest phenomenon time; false
// when there is none or ds is not seen.
func (v *View) Latest(ds *twin.Datastream) (twin.Observation, bool) {
	if !v.Sees(ds) {
		return twin.Observation{}, false
	}
	return v.g.o.State.Latest(ds.ID)
}

// Observations calls fn for the observations of a Datastream in w, as
// series.Store.Range does.
func (v *View) Observations(ctx context.Context, id twin.DatastreamID, w series.Window, fn func(twin.Observation) bool) error {
	if _, err := v.Datastream(ctx, id); err != nil {
		return err
	}
	return v.g.o.Series.Range(ctx, id, w, fn)
}

// Count is the number of observations of a Datastream in w.
func (v *View) Count(ctx context.Context, id twin.DatastreamID, w series.Window) (int64, error) {
	if _, err := v.Datastream(ctx, id); err != nil {
		return 0, err
	}
	return v.g.o.Series.Count(ctx, id, w)
}

// Observation gives the observation of a Datastream at a phenomenon time in
// ns since 1970-01-01 UTC.
func (v *View) Observation(ctx context.Context, id twin.DatastreamID, phenomenonNs int64) (twin.Observation, error) {
	const op = "find observation"
	var out twin.Observation
	found := false
	w := series.Window{FromNs: phenomenonNs, ToNs: phenomenonNs + 1}
	if phenomenonNs == math.MaxInt64 || w.ToNs == 0 { // ToNs 0 is no end
		w.ToNs = 0
	}
	err := v.Observations(ctx, id, w, func(o twin.Observation) bool {
		out, found = o, o.PhenomenonNs == phenomenonNs
		return false
	})
	if err != nil && !isNotFound(err) {
		return twin.Observation{}, err
	}
	if !found {
		return twin.Observation{}, notFound(op, "Observation "+twin.Observation{Datastream: id, PhenomenonNs: phenomenonNs}.ID())
	}
	return out, nil
}

// observedChunk is how many ids are taken from the live values at a time.
const observedChunk = 1 << 16

// Observed calls fn for the Datastreams from start on that have observations,
// in order of id, until fn returns false or an error.
func (v *View) Observed(ctx context.Context, start twin.DatastreamID, fn func(*twin.Datastream) (bool, error)) error {
	var ids []twin.DatastreamID
	for {
		ids = ids[:0]
		// Not inside Each: fn reads stores, and Each may hold a lock.
		v.g.o.State.Each(func(o twin.Observation) bool {
			if o.Datastream >= start {
				ids = append(ids, o.Datastream)
			}
			return len(ids) < observedChunk
		})
		for _, id := range ids {
			ds, err := v.Datastream(ctx, id)
			if isNotFound(err) {
				continue
			}
			if err != nil {
				return err
			}
			if more, err := fn(ds); err != nil || !more {
				return err
			}
		}
		if len(ids) < observedChunk {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		start = ids[len(ids)-1] + 1
	}
}

// Datasets lists the Datasets that the caller sees, in order of id.
func (v *View) Datasets() []twin.Dataset {
	c := v.g.catalogue()
	out := make([]twin.Dataset, 0, len(c.all))
	for _, d := range c.all {
		if v.all || c.isOpen(d.ID) {
			out = append(out, d)
		}
	}
	return out
}

// DatasetCode is the code of a Dataset; empty when there is none.
func (v *View) DatasetCode(id twin.DatasetID) string { return v.g.catalogue().datasets[id].Code }
