package decode

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"cityhub/twin"
)

// SensorThings decodes an Observation as OGC SensorThings 1.1 writes it
// (18-088, 8.2.6 and 14.2.1): result, phenomenonTime, resultTime and
// resultQuality, the Datastream's id in the topic, the URL or an inline
// Datastream. phenomenonTime may be an interval start/end; its start is the
// reading's time. resultQuality is one of the quality marks, by number or
// name. parameters, validTime and FeatureOfInterest are accepted and not kept.
func SensorThings(m *Message, payload []byte) error {
	m.reset()
	if !utf8.Valid(payload) {
		return invalidUTF8(payload)
	}
	s := scanner{data: payload, m: m}
	if s.peek() != '{' {
		return s.expected("an Observation object")
	}
	var out Reading
	hasResult := false
	err := s.object(func(key []byte) error {
		var v Reading
		switch string(key) {
		case "result":
			ok, err := s.value(&v)
			if ok && err == nil {
				out.Kind, out.Value, out.Text, hasResult = v.Kind, v.Value, v.Text, true
			}
			return err
		case "phenomenonTime":
			ok, err := s.value(&v)
			if ok && err == nil {
				if v.Kind == Text {
					v.Text, _, _ = bytes.Cut(v.Text, []byte("/"))
				}
				out.HasPhenomenon = true
				out.PhenomenonNs = out.setTime("phenomenonTime", &v)
			}
			return err
		case "resultTime":
			ok, err := s.value(&v)
			if ok && err == nil {
				out.HasResult = true
				out.ResultNs = out.setTime("resultTime", &v)
			}
			return err
		case "resultQuality":
			ok, err := s.value(&v)
			if !ok || err != nil {
				return err
			}
			if out.Quality, ok = qualityOf(&v); !ok {
				return s.malformed("resultQuality is not one of 1 good, 2 not-evaluated, 3 suspect, 4 bad, 9 missing")
			}
			return nil
		case "Datastream":
			if s.peek() != '{' {
				return s.expected(`an object such as {"@iot.id": 12}`)
			}
			return s.object(func(key []byte) error {
				if string(key) != "@iot.id" {
					return s.skip(1)
				}
				ok, err := s.value(&v)
				if err != nil || !ok {
					return err
				}
				id := twin.DatastreamID(v.Value)
				if v.Kind != Number || float64(id) != v.Value || id <= 0 {
					return s.malformed("Datastream @iot.id is not a positive whole number")
				}
				m.Datastream = id
				return nil
			})
		case "parameters", "validTime", "FeatureOfInterest", "@iot.id":
			return s.skip(0)
		}
		return s.malformed("%.40q is not a property of an Observation", key)
	})
	if err != nil {
		return err
	}
	if err := s.end(); err != nil {
		return err
	}
	if hasResult {
		m.Readings = append(m.Readings, out)
	}
	return nil
}

// setTime reads a time for field; a failure is kept in BadTime.
func (r *Reading) setTime(field string, v *Reading) int64 {
	ns, bad := timeOf(v)
	if v.Kind != Text {
		bad = "expected RFC 3339, e.g. 2026-01-02T15:04:05Z"
	}
	if bad != "" {
		r.BadTime = fmt.Sprintf("%s: %s", field, bad)
	}
	return ns
}

func qualityOf(v *Reading) (twin.Quality, bool) {
	switch v.Kind {
	case Number:
		q := twin.Quality(v.Value)
		return q, float64(q) == v.Value && q.Valid()
	case Text:
		return twin.ParseQuality(view(v.Text))
	}
	return 0, false
}
