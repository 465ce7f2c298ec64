package ws_test

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"cityhub/streams/asyncapi"
)

// published holds the schemas of the served AsyncAPI document, by message name.
type published map[string]*jsonschema.Schema

var compiled = sync.OnceValues(func() (published, error) {
	var doc any
	if err := yaml.Unmarshal(asyncapi.Document(asyncapi.Options{}), &doc); err != nil {
		return nil, err
	}
	strict(doc)
	b, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	if doc, err = jsonschema.UnmarshalJSON(strings.NewReader(string(b))); err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft7)
	c.AssertFormat()
	if err := c.AddResource("asyncapi.json", doc); err != nil {
		return nil, err
	}
	p := published{}
	messages := doc.(map[string]any)["components"].(map[string]any)["messages"].(map[string]any)
	for name, m := range messages {
		ref := m.(map[string]any)["payload"].(map[string]any)["$ref"].(string)
		if p[name], err = c.Compile("asyncapi.json" + ref); err != nil {
			return nil, err
		}
	}
	return p, nil
})

func schemas(t testing.TB) published {
	t.Helper()
	p, err := compiled()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// strict forbids what the schemas do not name, so that nothing goes unpublished.
func strict(v any) {
	switch v := v.(type) {
	case map[string]any:
		if _, says := v["additionalProperties"]; v["type"] == "object" && v["properties"] != nil && !says {
			v["additionalProperties"] = false
		}
		for _, e := range v {
			strict(e)
		}
	case []any:
		for _, e := range v {
			strict(e)
		}
	}
}

// check reports a message that its schema does not allow. What the examples
// send to be refused has no schema.
func (p published) check(t testing.TB, msg string) {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(msg))
	if err != nil {
		t.Fatalf("%s: %v", msg, err)
	}
	m, _ := v.(map[string]any)
	kind, _ := m["type"].(string)
	s, known := p[kind]
	if !known {
		if kind != "suscribe" { // the slip in an example
			t.Errorf("no schema for %s", msg)
		}
		return
	}
	err = s.Validate(v)
	if refused := strings.Contains(msg, "observedProperty\":"); refused {
		if err == nil {
			t.Errorf("%s: its schema allows it", msg)
		}
		return
	}
	if err != nil {
		t.Errorf("%s: %v", msg, err)
	}
}
