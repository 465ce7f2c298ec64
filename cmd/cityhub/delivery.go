package main

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/paulmach/orb"

	"cityhub/internal/web"
	"cityhub/spatial/index"
	"cityhub/spatial/store"
	"cityhub/streams"
	"cityhub/streams/log"
	"cityhub/streams/mqttout"
	"cityhub/streams/webhook"
	"cityhub/twin"
	"cityhub/twin/policy"
	"cityhub/twin/registry"
)

// strictTail follows the log from a position that it holds: unlike hub.tail it
// says so where it does not, for those who must not miss or repeat a reading.
func (h *hub) strictTail(ctx context.Context, after twin.Position, maxRows int, fn streams.GroupFunc) error {
	return h.log.Tail(ctx, after, log.TailOptions{MaxRows: maxRows}, fn)
}

// openDelivery builds the webhooks and the SensorThings updates over MQTT. Both
// read the log by themselves.
func (h *hub) openDelivery() (err error) {
	source := streams.SourceFunc(h.strictTail)
	inner := make([]netip.Prefix, len(h.cfg.Webhooks.InnerNetworks))
	for i, s := range h.cfg.Webhooks.InnerNetworks {
		if inner[i], err = netip.ParsePrefix(s); err != nil {
			return err // Validate has looked at them
		}
	}
	if h.hooks, err = webhook.New(webhook.Options{
		Store: h.registry, Source: source, Bounds: h.log.Bounds, Directory: h.registry, Select: h.streams.Select, Labels: h.labels.of,
		Access: func(ctx context.Context, o webhook.Owner) (streams.View, error) {
			if o.Token != 0 {
				if err := h.registry.TokenInForce(ctx, o.Token); err != nil {
					return nil, err
				}
			}
			return h.gate.View(ctx, policy.Principal{Name: o.Name, Role: policy.Role(o.Role)})
		},
		PlainHosts: h.cfg.Webhooks.PlainHosts, InnerNetworks: inner, Logger: h.logger.With("part", "webhooks"), Metrics: h.metrics,
	}); err != nil {
		return err
	}
	h.updates, err = mqttout.New(mqttout.Options{
		Source: source, Directory: h.registry,
		End: func(ctx context.Context) (twin.Position, error) {
			_, last, err := h.log.Bounds(ctx)
			return last, err
		},
		View: h.terminalView,
		Dataset: func(ctx context.Context, ds *twin.Datastream) string {
			l, err := h.labels.of(ctx, ds)
			if err != nil {
				return "" // the update goes out without it
			}
			return l.Dataset
		},
		Logger: h.logger.With("part", "mqtt updates"), Metrics: h.metrics,
	})
	return err
}

// terminalView is what a client of the MQTT endpoint sees: the terminal that it
// logged in as, or the public.
func (h *hub) terminalView(ctx context.Context, terminal string) (streams.View, error) {
	if terminal == "" {
		return h.gate.View(ctx, h.gate.Anonymous())
	}
	t, err := h.registry.Terminal(ctx, terminal)
	switch {
	case twin.ErrorCode(err) == twin.CodeNotFound:
		return nil, &twin.Error{Code: twin.CodeUnauthorized, Op: "open updates", Message: "there is no terminal " + terminal}
	case err != nil:
		return nil, err
	case t.Thing.State == twin.StateRetired:
		return nil, &twin.Error{Code: twin.CodeForbidden, Op: "open updates", Message: "the terminal " + terminal + " is retired"}
	}
	return h.gate.View(ctx, policy.Principal{Name: terminal, Role: policy.RoleTerminal})
}

// webhookOwner is who manages webhooks: the operator.
func (h *hub) webhookOwner(r *http.Request) (webhook.Owner, error) {
	p := web.PrincipalFrom(r.Context())
	if err := p.RequireAdmin("manage webhooks"); err != nil {
		return webhook.Owner{}, err
	}
	o := webhook.Owner{Name: p.Name, Role: string(p.Role)}
	if token := web.TokenFrom(r.Context()); token != "" {
		t, err := h.registry.VerifyToken(r.Context(), token)
		if err != nil {
			return webhook.Owner{}, err
		}
		o.Token = t.ID
	}
	return o, nil
}

// identity is whose a stream is, for the limits of one caller; empty: the
// address counts.
func identity(r *http.Request) string { return web.PrincipalFrom(r.Context()).Name }

// expiringView is a View that ends with its token (R29).
type expiringView struct {
	*policy.View
	expires time.Time
}

// Expires implements streams.Expiring.
func (v expiringView) Expires() time.Time { return v.expires }

// expiring gives v the end of a token; a zero time is none.
func expiring(v *policy.View, expires time.Time) streams.View {
	if expires.IsZero() {
		return v
	}
	return expiringView{v, expires}
}

// places tells the streams where Datastreams belong by the city model.
type places struct{ model *cityModel }

// maxAncestors bounds how far up a place names what its object is a part of.
const maxAncestors = 16

// Binding implements streams.Places.
func (p places) Binding(id twin.DatastreamID) (streams.Place, bool) {
	b, ok := p.model.join.Bindings().Of(id)
	if !ok {
		return streams.Place{}, false
	}
	out := streams.Place{District: b.District}
	v := p.model.index.For(nil)
	ref, ok := v.At(b.Position)
	if b.Position == 0 || !ok {
		return out, true
	}
	o := v.Object(ref)
	out.Object, out.Class, out.Type, out.Name = o.Key.String(), string(o.Class), o.Type, o.Name
	out.Footprint = func() orb.Geometry { return v.Footprint(ref) }
	out.Parents = p.parents(v, o.Key.Dataset, b.Position, nil)
	return out, true
}

// parents appends the keys of what the object at a position is a part of.
func (p places) parents(v index.View, dataset string, position int64, known []string) []string {
	object, ok := p.model.cache.Peek(position)
	if !ok {
		return known
	}
	for _, id := range object.Object.Parents {
		key := store.Key{Dataset: dataset, ID: id}
		if len(known) >= maxAncestors || slices.Contains(known, key.String()) {
			continue
		}
		known = append(known, key.String())
		if ref, ok := v.Find(key); ok {
			known = p.parents(v, dataset, v.Object(ref).Position, known)
		}
	}
	return known
}

var _ webhook.Store = (*registry.Registry)(nil)
