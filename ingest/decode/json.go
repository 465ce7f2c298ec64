package decode

import (
	"unicode/utf8"

	"cityhub/twin"
)

// JSON decodes the hub's own format: an object, or an array of objects, such as
//
//	{"t": 1790000000000, "pm25": 12.3, "pm10": 20}
//
// where t is the phenomenon time in milliseconds since the epoch or as
// RFC 3339 text, absent for the time of receipt, and every other member is an
// observed property. null is no reading.
//
// It is written by hand because every reading of the city passes here: see
// docs/BENCHMARKS.md for what encoding/json costs instead.
func JSON(m *Message, payload []byte) error {
	m.reset()
	if !utf8.Valid(payload) {
		return invalidUTF8(payload)
	}
	s := scanner{data: payload, m: m}
	var err error
	switch s.peek() {
	case '{':
		err = s.readings()
	case '[':
		s.off++
		if s.peek() == ']' {
			s.off++
			break
		}
		for {
			if s.peek() != '{' {
				return s.expected("an object")
			}
			if err = s.readings(); err != nil {
				return err
			}
			c := s.peek()
			if c != ',' && c != ']' {
				return s.expected("a comma or the end of the array")
			}
			s.off++
			if c == ']' {
				break
			}
		}
	default:
		return s.expected("an object or an array of objects")
	}
	if err != nil {
		return err
	}
	return s.end()
}

// readings reads one object. Its time may come after its values, so it is
// written into them at the end. The loop of scanner.object stands here again
// without the call per member: this is the hottest loop of the hub.
func (s *scanner) readings() error {
	m := s.m
	first := len(m.Readings)
	var at Reading
	timed := false
	s.off++
	if s.peek() == '}' {
		s.off++
		return nil
	}
	for {
		if s.peek() != '"' {
			return s.expected("a member name")
		}
		key, err := s.string()
		if err != nil {
			return err
		}
		if s.peek() != ':' {
			return s.expected("a colon")
		}
		s.off++
		if len(key) == 1 && key[0] == 't' {
			if timed, err = s.value(&at); err != nil {
				return err
			}
		} else {
			m.Readings = append(m.Readings, Reading{Property: key})
			present, err := s.value(&m.Readings[len(m.Readings)-1])
			if err != nil {
				return err
			}
			if !present {
				m.Readings = m.Readings[:len(m.Readings)-1]
			}
		}
		c := s.peek()
		if c != ',' && c != '}' {
			return s.expected("a comma or the end of the object")
		}
		s.off++
		if c == '}' {
			break
		}
	}
	if !timed {
		return nil
	}
	ns, bad := timeOf(&at)
	for i := first; i < len(m.Readings); i++ {
		r := &m.Readings[i]
		r.PhenomenonNs, r.HasPhenomenon, r.BadTime = ns, true, bad
	}
	return nil
}

// invalidUTF8 says where payload stops being UTF-8.
func invalidUTF8(payload []byte) error {
	off := 0
	for off < len(payload) {
		r, n := utf8.DecodeRune(payload[off:])
		if r == utf8.RuneError && n <= 1 {
			break
		}
		off += n
	}
	return &Error{Reason: twin.RejectInvalidUTF8, Offset: off, Detail: "the payload must be UTF-8"}
}
