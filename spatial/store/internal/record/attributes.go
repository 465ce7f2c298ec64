package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"cityhub/spatial"
)

// AppendAttributes writes attributes as one JSON object that keeps their order
// and their types: a Float always has a point or an exponent, an Int never.
// Text that is not UTF-8 gets U+FFFD for what is not. No attributes are "{}".
func AppendAttributes(b []byte, attributes spatial.Attributes) ([]byte, error) {
	b = append(b, '{')
	for i := range attributes {
		a := &attributes[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, a.Name), ':')
		switch v := a.Value; v.Kind() {
		case spatial.Text:
			text, _ := v.Text()
			b = appendString(b, text)
		case spatial.Float:
			f, _ := v.Number()
			if math.IsNaN(f) || math.IsInf(f, 0) {
				return nil, fmt.Errorf("attribute %q is %v; expected a finite number", a.Name, f)
			}
			b = append(b, floatText(f)...)
		case spatial.JSON:
			if !json.Valid([]byte(v.String())) {
				return nil, fmt.Errorf("attribute %q is no well-formed JSON", a.Name)
			}
			b = append(b, v.String()...)
		default:
			b = append(b, v.String()...)
		}
	}
	return append(b, '}'), nil
}

func floatText(f float64) string {
	s := strconv.FormatFloat(f, 'g', -1, 64)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return s
}

// appendString writes s as a JSON string.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			if c >= utf8.RuneSelf && !strings.ContainsFunc(s, special) {
				break
			}
			var buf bytes.Buffer
			e := json.NewEncoder(&buf)
			e.SetEscapeHTML(false)
			_ = e.Encode(s) // strings and buffers do not fail
			return append(b, bytes.TrimSuffix(buf.Bytes(), []byte{'\n'})...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// special reports whether a character cannot stand in a JSON string as it is.
func special(r rune) bool {
	return r < ' ' || r == '"' || r == '\\' || r == utf8.RuneError
}

// DecodeAttributes reads a JSON object, also one that another program wrote.
// The attributes share the memory of s.
func DecodeAttributes(s string) (spatial.Attributes, error) {
	if s == "{}" {
		return nil, nil
	}
	if attributes, ok := scanAttributes(s); ok {
		return attributes, nil
	}
	return decodeAny([]byte(s))
}

// scanAttributes reads what AppendAttributes writes, as long as it is simple:
// neither escapes nor arrays nor objects. It is what most rows are.
func scanAttributes(s string) (spatial.Attributes, bool) {
	if len(s) < 2 || s[0] != '{' {
		return nil, false
	}
	attributes := make(spatial.Attributes, 0, 1+strings.Count(s, `,"`))
	for s[0] == '{' || s[0] == ',' {
		name, rest, ok := scanText(s[1:])
		if !ok || len(rest) < 2 || rest[0] != ':' {
			return nil, false
		}
		s = rest[1:]
		if s[0] == '"' {
			text, rest, ok := scanText(s)
			if !ok || rest == "" {
				return nil, false
			}
			attributes = append(attributes, spatial.Attribute{Name: name, Value: spatial.TextValue(text)})
			s = rest
			continue
		}
		end := strings.IndexAny(s, ",}")
		if end < 0 {
			return nil, false
		}
		v, ok := scanValue(s[:end])
		if !ok {
			return nil, false
		}
		attributes = append(attributes, spatial.Attribute{Name: name, Value: v})
		s = s[end:]
	}
	return attributes, s == "}"
}

// scanText reads a JSON string without escapes and gives what is behind it.
func scanText(s string) (text, rest string, ok bool) {
	if s == "" || s[0] != '"' {
		return "", "", false
	}
	ascii := true
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return s[1:i], s[i+1:], ascii || utf8.ValidString(s[1:i])
		case c < ' ' || c == '\\':
			return "", "", false
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return "", "", false
}

// scanValue reads a truth value, null or a number in the form in which it is
// written. What else a number can look like is for decodeAny.
func scanValue(s string) (spatial.Value, bool) {
	switch s {
	case "null":
		return spatial.NullValue(), true
	case "true", "false":
		return spatial.BoolValue(s == "true"), true
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && c != '-' && c != '+' && c != '.' && c != 'e' {
			return spatial.Value{}, false
		}
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return spatial.IntValue(n), strconv.FormatInt(n, 10) == s
	}
	f, err := strconv.ParseFloat(s, 64)
	return spatial.FloatValue(f), err == nil && floatText(f) == s
}

// decodeAny reads any JSON object.
func decodeAny(b []byte) (spatial.Attributes, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("attributes are no JSON object")
	}
	var attributes spatial.Attributes
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("attributes: %w", err)
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, fmt.Errorf("attribute %q: %w", name, err)
		}
		text, _ := name.(string)
		attributes = append(attributes, spatial.Attribute{Name: text, Value: valueOf(raw)})
	}
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("attributes: %w", err)
	}
	if d.InputOffset() != int64(len(b)) {
		return nil, errors.New("something behind the attributes")
	}
	return attributes, nil
}

// valueOf is the value that well-formed JSON stands for.
func valueOf(raw json.RawMessage) spatial.Value {
	text := string(raw)
	switch raw[0] {
	case 'n':
		return spatial.NullValue()
	case 't', 'f':
		return spatial.BoolValue(raw[0] == 't')
	case '"':
		var s string
		if json.Unmarshal(raw, &s) == nil {
			return spatial.TextValue(s)
		}
	case '{', '[':
	default:
		if n, err := strconv.ParseInt(text, 10, 64); err == nil && strconv.FormatInt(n, 10) == text {
			return spatial.IntValue(n)
		}
		if f, err := strconv.ParseFloat(text, 64); err == nil && floatText(f) == text {
			return spatial.FloatValue(f)
		}
	}
	return spatial.JSONValue(text)
}
