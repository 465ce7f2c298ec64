package query

import (
	"encoding/json"
	"math"

	"cityhub/spatial"
)

// AttributesJSON is attributes as a JSON object, in their order; empty for none.
// A number that JSON cannot hold is null.
func AttributesJSON(attributes spatial.Attributes) (string, error) {
	if len(attributes) == 0 {
		return "", nil
	}
	b := []byte{'{'}
	for i, a := range attributes {
		if i > 0 {
			b = append(b, ',')
		}
		name, err := json.Marshal(a.Name)
		if err != nil {
			return "", err
		}
		b = append(append(b, name...), ':')
		var v any
		switch a.Value.Kind() {
		case spatial.Bool:
			v, _ = a.Value.Bool()
		case spatial.Int:
			v, _ = a.Value.Int()
		case spatial.Float:
			if f, _ := a.Value.Number(); !math.IsNaN(f) && !math.IsInf(f, 0) {
				v = f
			}
		case spatial.Text:
			v, _ = a.Value.Text()
		case spatial.JSON:
			v = json.RawMessage(a.Value.String())
		}
		value, err := json.Marshal(v)
		if err != nil {
			return "", err
		}
		b = append(b, value...)
	}
	return string(append(b, '}')), nil
}
