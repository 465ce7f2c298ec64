package mqttout

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"cityhub/streams"
	"cityhub/twin"
	"cityhub/twin/sensorthings"
)

// Session is what one client has subscribed to.
type Session struct {
	s        *Server
	terminal string
	sink     Sink

	// Guarded by Server.mu.
	view   streams.View
	subs   []*subscription
	closed bool
}

// subscription is one topic of one client.
type subscription struct {
	of     *Session
	topic  string // as the client wrote it
	target target
	by     *encoder
	last   *twin.Datastream // of a Datastream: the one told last
}

// encoder is a $select; equal ones are one.
type encoder struct {
	u    *sensorthings.Updates
	key  string
	uses int
}

func (e *encoder) observation(dst []byte, ds *twin.Datastream, o twin.Observation) []byte {
	return e.u.Observation(dst, ds, o)
}

func (e *encoder) datastream(dst []byte, ds *twin.Datastream, dataset string) ([]byte, error) {
	return e.u.Datastream(dst, ds, dataset)
}

// Open begins a session of a client; terminal is the code that its credentials
// proved, empty for none.
func (s *Server) Open(terminal string, sink Sink) *Session {
	c := &Session{s: s, terminal: terminal, sink: sink, view: nothing{}}
	s.mu.Lock()
	s.sessions[c] = struct{}{}
	s.mu.Unlock()
	return c
}

// nothing is what a client without a subscription sees.
type nothing struct{}

func (nothing) Key() string                { return "" }
func (nothing) Sees(*twin.Datastream) bool { return false }

// Subscribe delivers to the client what is new under topic from now on. Again
// changes nothing. CodeInvalid: the topic is none of those in the package
// comment; CodeTooMany: as many subscriptions as there may be; an error of View.
func (c *Session) Subscribe(ctx context.Context, topic string) error {
	t, sel, err := parseTopic(topic)
	if err != nil {
		return err
	}
	s := c.s
	view, err := s.o.View(ctx, c.terminal)
	if err != nil {
		return err
	}
	var last *twin.Datastream
	if t.entity {
		if last, err = s.o.Directory.Datastream(ctx, t.id); err != nil && twin.ErrorCode(err) != twin.CodeNotFound {
			return err
		}
		if last != nil && !view.Sees(last) {
			last = nil
		}
	}
	var end twin.Position
	if !t.entity {
		// Asked before the subscription stands: what comes after it is delivered.
		if end, err = s.o.End(ctx); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case c.closed:
		return &twin.Error{Code: twin.CodeUnavailable, Op: "subscribe", Message: "the connection is closing"}
	case slices.ContainsFunc(c.subs, func(sub *subscription) bool { return sub.topic == topic }):
		return nil
	case s.n >= s.o.MaxSubscriptions:
		return &twin.Error{Code: twin.CodeTooMany, Op: "subscribe", Message: "there are " + strconv.Itoa(s.n) + " subscriptions, which is the limit", Hint: "try again later"}
	}
	by, err := s.encoder(t, sel)
	if err != nil {
		return err
	}
	c.view = view
	sub := &subscription{of: c, topic: topic, target: t, by: by, last: last}
	c.subs = append(c.subs, sub)
	s.n++
	switch {
	case t.entity:
		s.entities[t.id] = append(s.entities[t.id], sub)
	case t.id == 0:
		s.every = append(s.every, sub)
	default:
		s.byID[t.id] = append(s.byID[t.id], sub)
	}
	if !t.entity && !s.follows {
		s.follows, s.from = true, end
		s.signal()
	}
	return nil
}

// Unsubscribe ends a subscription; a topic without one is no error.
func (c *Session) Unsubscribe(topic string) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if i := slices.IndexFunc(c.subs, func(sub *subscription) bool { return sub.topic == topic }); i >= 0 {
		c.s.remove(c.subs[i])
		c.subs = slices.Delete(c.subs, i, i+1)
	}
}

// Close ends the session; nothing is delivered after it has returned. It may be
// called more than once.
func (c *Session) Close() {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.drop(c)
}

// drop forgets a client. Under Server.mu.
func (s *Server) drop(c *Session) {
	c.closed = true
	delete(s.sessions, c)
	for _, sub := range c.subs {
		s.remove(sub)
	}
	c.subs = nil
}

// remove takes a subscription out. Under Server.mu.
func (s *Server) remove(sub *subscription) {
	without := func(list []*subscription) []*subscription {
		if i := slices.Index(list, sub); i >= 0 {
			list[i] = list[len(list)-1]
			list[len(list)-1] = nil
			list = list[:len(list)-1]
		}
		return list
	}
	in := func(m map[twin.DatastreamID][]*subscription) {
		if m[sub.target.id] = without(m[sub.target.id]); len(m[sub.target.id]) == 0 {
			delete(m, sub.target.id)
		}
	}
	switch {
	case sub.target.entity:
		in(s.entities)
	case sub.target.id == 0:
		s.every = without(s.every)
	default:
		in(s.byID)
	}
	s.n--
	if sub.by.uses--; sub.by.uses == 0 {
		delete(s.encoders, sub.by.key)
	}
	if s.follows && len(s.every)+len(s.byID) == 0 {
		s.follows = false
		s.signal()
	}
}

// encoder finds or makes the encoder of a $select. Under Server.mu.
func (s *Server) encoder(t target, sel []string) (*encoder, error) {
	key := strconv.FormatBool(t.entity) + strings.Join(sel, ",")
	if e := s.encoders[key]; e != nil {
		e.uses++
		return e, nil
	}
	build := sensorthings.ObservationUpdates
	if t.entity {
		build = sensorthings.DatastreamUpdates
	}
	u, err := build(s.o.Root, sel)
	if err != nil {
		return nil, err
	}
	e := &encoder{u: u, key: key, uses: 1}
	s.encoders[key] = e
	return e, nil
}

// target is what a topic names: a Datastream's Observations, with id 0 those
// of all, or the Datastream itself.
type target struct {
	id     twin.DatastreamID
	entity bool
}

// parseTopic reads a topic of 18-088 clause 14.2: the resource path, and
// $select for an entity set or an entity.
func parseTopic(topic string) (t target, sel []string, err error) {
	bad := func(msg string) (target, []string, error) {
		return target{}, nil, &twin.Error{Code: twin.CodeInvalid, Op: "subscribe", Field: "topic", Message: msg,
			Hint: "topics are v1.1/Observations, v1.1/Datastreams(ID)/Observations and v1.1/Datastreams(ID), each with an optional ?$select=a,b"}
	}
	path, query, has := strings.Cut(topic, "?")
	if has {
		list, ok := strings.CutPrefix(query, "$select=")
		if !ok || list == "" || strings.Contains(list, "&") {
			return bad("the only option is $select")
		}
		for _, name := range strings.Split(list, ",") {
			if name = strings.TrimSpace(name); name == "" {
				return bad("an empty name in $select")
			}
			sel = append(sel, name)
		}
		slices.Sort(sel)
		sel = slices.Compact(sel)
	}
	if path == "v1.1/Observations" {
		return t, sel, nil
	}
	rest, ok := strings.CutPrefix(path, "v1.1/Datastreams(")
	digits, rest, closed := strings.Cut(rest, ")")
	n, err := strconv.ParseInt(digits, 10, 64)
	if !ok || !closed || err != nil || n <= 0 || digits != strconv.FormatInt(n, 10) || rest != "" && rest != "/Observations" {
		return bad("there is nothing at this topic")
	}
	return target{id: twin.DatastreamID(n), entity: rest == ""}, sel, nil
}
