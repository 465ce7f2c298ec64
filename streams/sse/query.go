package sse

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"cityhub/streams"
	"cityhub/streams/asyncapi"
	"cityhub/twin"
)

// ParseSubscription reads the parameters of a request: those that
// asyncapi.Parameters lists. An error names the parameter.
func ParseSubscription(q url.Values) (streams.Subscription, error) {
	s := streams.Subscription{ID: "events"}
	for name, values := range q {
		read, known := readers[name]
		if !known {
			return s, badParameter(name, "unknown parameter", "the parameters are "+strings.Join(parameterNames(), ", "))
		}
		if read.once && len(values) > 1 {
			return s, badParameter(name, "given more than once", "")
		}
		for _, value := range values {
			if err := read.into(&s, value); err != nil {
				return s, renamed(err)
			}
		}
	}
	return s, renamed(s.Filter.Validate())
}

func parameterNames() (names []string) {
	for _, p := range asyncapi.Parameters {
		names = append(names, p.Name)
	}
	return names
}

type reader struct {
	once bool
	into func(*streams.Subscription, string) error
}

var readers = map[string]reader{
	"property": {into: func(s *streams.Subscription, value string) error {
		s.Filter.ObservedProperties = append(s.Filter.ObservedProperties, strings.Split(value, ",")...)
		return nil
	}},
	"datastream": {into: func(s *streams.Subscription, value string) error {
		for v := range strings.SplitSeq(value, ",") {
			id, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			if err != nil {
				return badParameter("datastream", fmt.Sprintf("%q is no Datastream id", v), "ids are whole numbers from 1")
			}
			s.Filter.Datastreams = append(s.Filter.Datastreams, twin.DatastreamID(id))
		}
		return nil
	}},
	"bbox": {once: true, into: func(s *streams.Subscription, value string) (err error) {
		var nums []float64
		for part := range strings.SplitSeq(value, ",") {
			v, err := strconv.ParseFloat(strings.TrimSpace(part), 64)
			if err != nil {
				return badParameter("bbox", fmt.Sprintf("%q is no number", part), "a bbox is west,south,east,north in degrees")
			}
			nums = append(nums, v)
		}
		s.Filter.BBox, err = streams.ParseBBox(nums)
		return err
	}},
	"domain": {into: func(s *streams.Subscription, value string) error {
		for v := range strings.SplitSeq(value, ",") {
			s.Filter.Domains = append(s.Filter.Domains, twin.Domain(v))
		}
		return nil
	}},
	"district": {into: func(s *streams.Subscription, value string) error {
		s.Filter.Districts = append(s.Filter.Districts, strings.Split(value, ",")...)
		return nil
	}},
	"object": {into: func(s *streams.Subscription, value string) error {
		s.Filter.Objects = append(s.Filter.Objects, value)
		return nil
	}},
	"parts": {once: true, into: func(s *streams.Subscription, value string) error {
		switch value {
		case "true":
		case "false":
			s.Filter.WithoutParts = true
		default:
			return badParameter("parts", fmt.Sprintf("%q, expected true or false", value), "")
		}
		return nil
	}},
	"polygon": {once: true, into: func(s *streams.Subscription, value string) (err error) {
		s.Filter.Polygon, err = streams.ParsePolygon([]byte(value))
		return err
	}},
	"cql": {once: true, into: func(s *streams.Subscription, value string) (err error) {
		s.Filter.CQL, err = streams.ParseCQL(value)
		return err
	}},
	"mode": {once: true, into: func(s *streams.Subscription, value string) (err error) {
		s.Mode, err = streams.ParseMode(value)
		return err
	}},
	"minIntervalMs": {once: true, into: func(s *streams.Subscription, value string) error {
		ms, err := strconv.ParseInt(value, 10, 32)
		if err != nil || ms < 1 {
			return badParameter("minIntervalMs", fmt.Sprintf("%q is no number of milliseconds", value), "")
		}
		s.Interval = time.Duration(ms) * time.Millisecond
		return nil
	}},
	"events": {into: func(s *streams.Subscription, value string) error {
		for v := range strings.SplitSeq(value, ",") {
			s.Events = append(s.Events, streams.EventKind(v))
		}
		return nil
	}},
}

// parameterOf names the parameter for a member of the subscribe message.
var parameterOf = map[string]string{
	"filter.bbox": "bbox", "filter.datastreams": "datastream", "filter.observedProperties": "property", "filter.domains": "domain", "filter.districts": "district",
	"filter.objects": "object", "filter.polygon": "polygon", "filter.cql": "cql",
}

// renamed names the query parameter instead of the message's member.
func renamed(err error) error {
	var e *twin.Error
	if !errors.As(err, &e) {
		return err
	}
	name, ok := parameterOf[e.Field]
	if !ok {
		return err
	}
	c := *e
	c.Field = name
	return &c
}

func badParameter(name, msg, hint string) error {
	return &twin.Error{Code: twin.CodeInvalid, Op: "open event stream", Field: name, Message: msg, Hint: hint}
}
