package sensorthings

import (
	"context"
	"net/http"
	"strings"

	"cityhub/internal/web"
	"cityhub/twin"
	"cityhub/twin/policy"
)

// Prefix is the path of the service root.
const Prefix = "/sta/v1.1"

// Options of a Handler.
type Options struct {
	Gate *policy.Gate // reads go through it

	// Ingester takes Observations in; nil: POST is answered with 501.
	Ingester Ingester
	// Terminals knows the terminals' credentials; nil: only tokens are taken.
	Terminals TerminalAuthenticator

	MaxTop  int   // the largest $top; zero: 10000
	MaxBody int64 // bytes of a POST; zero: 1 MiB
}

// Handler serves SensorThings at Prefix. It expects web.Authenticate around it.
type Handler struct {
	o Options
}

// New makes a Handler.
func New(o Options) *Handler {
	if o.MaxTop == 0 {
		o.MaxTop = maxTop
	}
	if o.MaxBody == 0 {
		o.MaxBody = 1 << 20
	}
	return &Handler{o: o}
}

// ServeHTTP answers everything at Prefix and under it.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var err error
	switch path, ok := strings.CutPrefix(r.URL.Path, Prefix); {
	case !ok || (path != "" && path[0] != '/'):
		web.NotFound(w, r)
		return
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		err = h.get(w, r, strings.TrimPrefix(path, "/"))
	case r.Method == http.MethodPost:
		err = h.post(w, r, strings.TrimPrefix(path, "/"))
	default:
		err = h.otherMethod(w, r, strings.TrimPrefix(path, "/"))
	}
	if err != nil {
		web.Problem(w, r, err)
	}
}

// otherMethod answers a method that is not served anywhere here.
func (h *Handler) otherMethod(w http.ResponseWriter, r *http.Request, path string) error {
	segs, err := parsePath(path)
	if err != nil {
		return err
	}
	allow := "GET, HEAD"
	if isObservations(segs) {
		allow = "GET, HEAD, POST"
	}
	web.MethodNotAllowed(w, r, allow)
	return nil
}

func (h *Handler) encoder(r *http.Request, q query) *encoder {
	return newEncoder(web.BaseURL(r)+Prefix, q.sel)
}

// entity is one entity on a path.
type entity struct {
	set      set
	thing    *twin.Thing
	location *twin.Location
	sensor   *twin.Sensor
	property *twin.ObservedProperty
	ds       *twin.Datastream
	obs      twin.Observation
}

func (h *Handler) get(w http.ResponseWriter, r *http.Request, path string) error {
	segs, err := parsePath(path)
	if err != nil {
		return err
	}
	q, err := parseQuery(r.URL.RawQuery, h.o.MaxTop)
	if err != nil {
		return err
	}
	if len(segs) == 0 {
		if len(q.raw) > 0 {
			return badOption(firstName(q), "the service root takes no query option", "")
		}
		web.JSON(w, r, http.StatusOK, rootOf(web.BaseURL(r)+Prefix))
		return nil
	}
	last := segs[len(segs)-1]
	if err := checkSelect(last.set, q.sel); err != nil {
		return err
	}
	v, err := h.o.Gate.View(r.Context(), web.PrincipalFrom(r.Context()))
	if err != nil {
		return err
	}
	walk := segs
	if last.many {
		walk = segs[:len(segs)-1]
	}
	at, err := resolve(r.Context(), v, walk)
	if err != nil {
		return err
	}
	self := web.BaseURL(r) + Prefix + "/" + strings.TrimSuffix(path, "/")
	switch {
	case !last.many:
		return h.one(w, r, v, q, at)
	case last.set == observations:
		oq, err := q.observations()
		if err != nil {
			return err
		}
		if r.Method == http.MethodHead {
			w.Header().Set("Content-Type", "application/json")
			return nil
		}
		if at == nil {
			return h.ofAll(w, r, v, q, oq, self)
		}
		return h.ofDatastream(w, r, v, q, oq, at.ds, self)
	default:
		return h.list(w, r, v, q, last.set, at, self)
	}
}

func firstName(q query) string {
	for name := range q.raw {
		return name
	}
	return ""
}

// resolve walks the path to one entity; nil for the empty path.
func resolve(ctx context.Context, v *policy.View, segs []segment) (*entity, error) {
	var at *entity
	for _, sg := range segs {
		next, err := step(ctx, v, at, sg)
		if err != nil {
			return nil, err
		}
		at = next
	}
	return at, nil
}

func step(ctx context.Context, v *policy.View, from *entity, sg segment) (*entity, error) {
	e := &entity{set: sg.set}
	id := sg.id
	if !sg.hasID {
		switch { // a navigation to one entity
		case from.set == observations:
			id = int64(from.obs.Datastream)
		case sg.set == things:
			id = int64(from.ds.Thing)
		case sg.set == sensors:
			id = int64(from.ds.Sensor)
		case sg.set == observedProperties:
			id = int64(from.ds.Property)
		}
	}
	var err error
	switch sg.set {
	case things:
		e.thing, err = v.Thing(ctx, twin.ThingID(id))
	case locations:
		e.location, err = v.Location(ctx, twin.LocationID(id))
	case sensors:
		e.sensor, err = v.Sensor(ctx, twin.SensorID(id))
	case observedProperties:
		e.property, err = v.ObservedProperty(ctx, twin.ObservedPropertyID(id))
	case datastreams:
		e.ds, err = v.Datastream(ctx, twin.DatastreamID(id))
	case observations:
		if e.ds, err = v.Datastream(ctx, sg.obsDS); err == nil {
			e.obs, err = v.Observation(ctx, sg.obsDS, sg.obsNs)
		}
	}
	if err != nil {
		return nil, err
	}
	if from != nil && sg.hasID && !belongs(from, e) {
		return nil, &twin.Error{Code: twin.CodeNotFound, Op: "read path", Message: "this one of " + sg.set.String() + " does not belong to what stands before it in the path"}
	}
	return e, nil
}

// belongs reports whether e is reached from the entity before it in the path.
func belongs(from, e *entity) bool {
	switch {
	case from.set == things && e.set == locations:
		return from.thing.Location == e.location.ID
	case from.set == locations && e.set == things:
		return e.thing.Location == from.location.ID
	case from.set == things && e.set == datastreams:
		return e.ds.Thing == from.thing.ID
	case from.set == sensors && e.set == datastreams:
		return e.ds.Sensor == from.sensor.ID
	case from.set == observedProperties && e.set == datastreams:
		return e.ds.Property == from.property.ID
	case from.set == datastreams && e.set == observations:
		return e.obs.Datastream == from.ds.ID
	}
	return false
}

// one answers with a single entity.
func (h *Handler) one(w http.ResponseWriter, r *http.Request, v *policy.View, q query, at *entity) error {
	for name := range q.raw {
		if name != "$select" {
			return badOption(name, "a single entity takes no "+name, "supported here: $select")
		}
	}
	enc := h.encoder(r, q)
	body, err := h.encode(r.Context(), v, enc, nil, at)
	if err != nil {
		return err
	}
	writeJSON(w, r, http.StatusOK, append(body, '\n'))
	return nil
}

// encode appends e.
func (h *Handler) encode(ctx context.Context, v *policy.View, enc *encoder, b []byte, e *entity) ([]byte, error) {
	switch e.set {
	case things:
		b = enc.thing(b, e.thing)
	case locations:
		b = enc.location(b, e.location)
	case sensors:
		b = enc.sensor(b, e.sensor)
	case observedProperties:
		b = enc.observedProperty(b, e.property)
	case datastreams:
		var times span
		if enc.wants("phenomenonTime") {
			var err error
			if times, err = spanOf(ctx, v, e.ds); err != nil {
				return nil, err
			}
		}
		b = enc.datastream(b, e.ds, v.DatasetCode(e.ds.Dataset), times)
	case observations:
		b = enc.observation(b, e.ds, e.obs)
	}
	return b, enc.err
}
