package gpkg

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

// appendAttributes writes attributes as one JSON object that keeps their order
// and their types: a Float always has a point or an exponent, an Int never.
// Text that is not UTF-8 gets U+FFFD for what is not. No attributes are "{}".
func appendAttributes(b []byte, attributes spatial.Attributes) ([]byte, error) {
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

// decodeAttributes reads a JSON object, also one that another program wrote.
func decodeAttributes(b []byte) (spatial.Attributes, error) {
	if string(b) == "{}" {
		return nil, nil
	}
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
