package jsonscan

import (
	"bytes"
	"strconv"

	"cityhub/spatial"
)

// Value takes any value as that of an attribute. Arrays, objects, and numbers
// that neither int64 nor float64 hold as they are written, are kept as text.
func (s *Scanner) Value() (spatial.Value, error) {
	switch c := s.Peek(); {
	case c == '"':
		text, err := s.String()
		return spatial.TextValue(text), err
	case c == 't' || c == 'f':
		b, err := s.Bool()
		return spatial.BoolValue(b), err
	case c == 'n':
		_, err := s.Null()
		return spatial.NullValue(), err
	case c == '{' || c == '[':
		raw, err := s.Raw()
		return spatial.JSONValue(string(raw)), err
	}
	text, integer, err := s.Number()
	if err != nil {
		return spatial.Value{}, err
	}
	if integer && !bytes.Equal(text, []byte("-0")) {
		if n, err := strconv.ParseInt(string(text), 10, 64); err == nil {
			return spatial.IntValue(n), nil
		}
		return spatial.JSONValue(string(text)), nil
	}
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil || significant(text) > 17 {
		return spatial.JSONValue(string(text)), nil
	}
	return spatial.FloatValue(f), nil
}

// significant counts the digits of a numeral from the first that is not zero
// to the last that is not: 17 are the most that a float64 can tell apart.
func significant(text []byte) int {
	n, zeros := 0, 0
	for _, c := range text {
		switch {
		case c|0x20 == 'e':
			return n
		case c == '0' && n > 0:
			zeros++
		case c >= '1' && c <= '9':
			n += zeros + 1
			zeros = 0
		}
	}
	return n
}
