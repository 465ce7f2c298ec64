package manifest

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
)

// otherProperties is the key of Observes for what has none of its own.
const otherProperties = "*"

// Observes declares which CityObject each property of a terminal is observed
// on: the key of the object, DATASET/ID, by the property's name; "*" stands for
// the properties that are not named. In YAML and JSON a text alone is that of
// "*". What is not declared is found by the terminal's place.
type Observes map[string]string

// Of is the key of the object on which a property is observed; empty: not
// declared.
func (o Observes) Of(property string) string {
	if key, ok := o[property]; ok {
		return key
	}
	return o[otherProperties]
}

// MarshalJSON gives a text where one object is declared for all.
func (o Observes) MarshalJSON() ([]byte, error) {
	if key, ok := o[otherProperties]; ok && len(o) == 1 {
		return json.Marshal(key)
	}
	return json.Marshal(map[string]string(o))
}

// UnmarshalJSON takes what MarshalJSON gives.
func (o *Observes) UnmarshalJSON(b []byte) error {
	var key string
	if json.Unmarshal(b, &key) == nil {
		*o = nil
		if key != "" {
			*o = Observes{otherProperties: key}
		}
		return nil
	}
	var m map[string]string
	if json.Unmarshal(b, &m) != nil {
		return errors.New("expected DATASET/ID of a city object, or a mapping from properties to such")
	}
	*o = m
	return nil
}

// Text is o as JSON, empty where nothing is declared; equal declarations give
// equal texts.
func (o Observes) Text() string {
	if len(o) == 0 {
		return ""
	}
	b, _ := json.Marshal(o) // texts cannot fail
	return string(b)
}

// ParseObserves is the inverse of Observes.Text.
func ParseObserves(text string) (Observes, error) {
	if text == "" {
		return nil, nil
	}
	var o Observes
	err := json.Unmarshal([]byte(text), &o)
	return o, err
}

// check reports keys that cannot be and properties that the terminal lacks.
func (o Observes) check(k checker, properties []*Property) {
	for _, name := range slices.Sorted(maps.Keys(o)) {
		field := "observes"
		if name != otherProperties {
			field += "." + name
			if !slices.ContainsFunc(properties, func(p *Property) bool { return p != nil && p.Name == name }) {
				k.add(field, quote(name), "a property of the terminal, or * for all others", "")
			}
		}
		key := o[name]
		if dataset, id, ok := strings.Cut(key, "/"); !ok || dataset == "" || id == "" {
			k.add(field, quote(key), "the key of a city object, DATASET/ID", "e.g. gusu-buildings/way/42, as in the model's collections")
			continue
		}
		k.text(field, key, maxTextRunes, true, true)
	}
}
