package query

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"cityhub/spatial/city"
)

// node is a value of a JSON document and its place in it.
type node struct {
	v   any
	ptr string // JSON Pointer, RFC 6901
}

// parseJSON reads a document of one JSON value.
func parseJSON(src []byte) (node, error) {
	d := json.NewDecoder(bytes.NewReader(src))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return node{}, &city.Error{Code: city.Invalid, Field: "body", Message: "the question is not JSON: " + err.Error(), Hint: "GET /api/v1/spatial/schema describes questions"}
	}
	if _, err := d.Token(); err != io.EOF {
		return node{}, &city.Error{Code: city.Invalid, Field: "body", Message: "found more after the question's end"}
	}
	return node{v: v}, nil
}

func (n node) fault(format string, args ...any) *city.Error {
	ptr := n.ptr
	if ptr == "" {
		ptr = "/"
	}
	return &city.Error{Code: city.Invalid, Field: ptr, Message: fmt.Sprintf(format, args...)}
}

func (n node) found() string {
	b, err := json.Marshal(n.v)
	if err != nil || len(b) > 60 {
		return string(b[:min(len(b), 57)]) + "…"
	}
	return string(b)
}

func (n node) present() bool { return n.v != nil }

// raw is the value as JSON.
func (n node) raw() []byte {
	b, _ := json.Marshal(n.v) // it was decoded from JSON
	return b
}

// object checks that n is an object with none but the members given.
func (n node) object(members ...string) error {
	m, ok := n.v.(map[string]any)
	if !ok {
		return n.fault("found %s, expected an object with %s", n.found(), strings.Join(members, ", "))
	}
	var extra []string
	for name := range m {
		if !slices.Contains(members, name) {
			extra = append(extra, name)
		}
	}
	if len(extra) > 0 {
		slices.Sort(extra)
		return n.member(extra[0]).fault("there is no such member; expected %s", strings.Join(members, ", "))
	}
	return nil
}

// member is a member of an object; one that is not there is not present.
func (n node) member(name string) node {
	m, _ := n.v.(map[string]any)
	escaped := strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
	return node{m[name], n.ptr + "/" + escaped}
}

func (n node) items(what string, least, most int) ([]node, error) {
	list, ok := n.v.([]any)
	if !ok || len(list) < least || len(list) > most {
		return nil, n.fault("found %s, expected an array of %d to %d %s", n.found(), least, most, what)
	}
	out := make([]node, len(list))
	for i, v := range list {
		out[i] = node{v, fmt.Sprintf("%s/%d", n.ptr, i)}
	}
	return out, nil
}

// text is a string; absent where it is not there.
func (n node) text(absent string) (string, error) {
	if !n.present() {
		return absent, nil
	}
	s, ok := n.v.(string)
	if !ok || len(s) > 10_000 {
		return "", n.fault("found %s, expected a text", n.found())
	}
	return s, nil
}

func (n node) oneOf(absent string, words ...string) (string, error) {
	s, err := n.text(absent)
	if err == nil && !slices.Contains(words, s) {
		if !n.present() {
			return "", n.fault("is missing; expected one of %s", strings.Join(words, ", "))
		}
		return "", n.fault("found %s, expected one of %s", n.found(), strings.Join(words, ", "))
	}
	return s, err
}

func (n node) number(absent, least, most float64) (float64, error) {
	if !n.present() && !math.IsNaN(absent) {
		return absent, nil
	}
	num, ok := n.v.(json.Number)
	f, err := num.Float64()
	if !ok || err != nil || !(f >= least && f <= most) {
		if !n.present() {
			return 0, n.fault("is missing; expected a number from %v to %v", least, most)
		}
		return 0, n.fault("found %s, expected a number from %v to %v", n.found(), least, most)
	}
	return f, nil
}

func (n node) integer(absent, least, most int) (int, error) {
	f, err := n.number(float64(absent), float64(least), float64(most))
	if err == nil && f != math.Trunc(f) {
		return 0, n.fault("found %s, expected a whole number from %d to %d", n.found(), least, most)
	}
	return int(f), err
}

func (n node) truth() (bool, error) {
	if !n.present() {
		return false, nil
	}
	b, ok := n.v.(bool)
	if !ok {
		return false, n.fault("found %s, expected true or false", n.found())
	}
	return b, nil
}

func (n node) texts(most int) ([]string, error) {
	if !n.present() {
		return nil, nil
	}
	list, err := n.items("texts", 1, most)
	if err != nil {
		return nil, err
	}
	out := make([]string, len(list))
	for i, item := range list {
		if out[i], err = item.text(""); err != nil {
			return nil, err
		}
		if out[i] == "" {
			return nil, item.fault("found %s, expected a text that is not empty", item.found())
		}
	}
	return out, nil
}
