package manifest

import (
	"encoding/json"
	"io"

	"go.yaml.in/yaml/v3"
)

// WriteYAML writes m so that ParseYAML gives it back. A property whose name
// has one definition in m is defined once at the top. Passwords are written
// when m has them: a registry's export has none.
func WriteYAML(w io.Writer, m *Manifest) error {
	type terminal struct {
		Terminal
		Properties []any `json:"properties"` // names, or definitions where a name has several
	}
	out := struct {
		Datasets   []Dataset   `json:"datasets,omitempty"`
		Properties []*Property `json:"properties,omitempty"`
		Terminals  []terminal  `json:"terminals,omitempty"`
	}{Datasets: m.Datasets}

	defs := map[string]*Property{}
	several := map[string]bool{}
	var order []string
	for i := range m.Terminals {
		for _, p := range m.Terminals[i].Properties {
			d, ok := defs[p.Name]
			if !ok {
				defs[p.Name] = p
				order = append(order, p.Name)
			} else if *d != *p {
				several[p.Name] = true
			}
		}
	}
	for _, name := range order {
		if !several[name] {
			out.Properties = append(out.Properties, defs[name])
		}
	}
	for i := range m.Terminals {
		t := terminal{Terminal: m.Terminals[i], Properties: make([]any, len(m.Terminals[i].Properties))}
		for j, p := range m.Terminals[i].Properties {
			if several[p.Name] {
				t.Properties[j] = p
			} else {
				t.Properties[j] = p.Name
			}
		}
		out.Terminals = append(out.Terminals, t)
	}

	// JSON is YAML: the field names and their order are those of the JSON form.
	src, err := json.Marshal(out)
	if err != nil {
		return err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(src, &doc); err != nil {
		return err
	}
	plain(&doc, 0)
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	if err := enc.Encode(&doc); err != nil {
		return err
	}
	return enc.Close()
}

// plain takes the JSON look off: block style, but short mappings in one line.
func plain(n *yaml.Node, depth int) {
	n.Style = 0
	if depth > 3 && n.Kind == yaml.MappingNode {
		n.Style = yaml.FlowStyle
	}
	for _, c := range n.Content {
		plain(c, depth+1)
	}
}
