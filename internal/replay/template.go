package replay

import (
	"fmt"
	"slices"
	"strings"
)

// A template is text with variables: {column} of the row, {file.group} of the
// file's name, {join.column} of a join; |lower after it makes it lower case.
type template []part

type part struct {
	text  string // verbatim, when source is none
	from  source
	join  string // with fromJoin
	name  string // column or group
	lower bool
}

type source uint8

const (
	verbatim source = iota
	fromRow
	fromFile
	fromJoin
)

func (m *Mapping) template(field, s string, joins map[string]bool, required bool) (template, error) {
	if s == "" {
		if required {
			return nil, m.bad(field, "is missing", "")
		}
		return nil, nil
	}
	var t template
	for rest := s; rest != ""; {
		text, after, ok := strings.Cut(rest, "{")
		if text != "" {
			t = append(t, part{text: text})
		}
		if !ok {
			break
		}
		inner, tail, ok := strings.Cut(after, "}")
		if !ok || inner == "" || strings.Contains(inner, "{") {
			return nil, m.bad(field, fmt.Sprintf("%q has a { without a variable and a }", s), "e.g. {station}, {file.id} or {station.lon}")
		}
		p := part{from: fromRow, name: inner}
		if name, filter, ok := strings.Cut(inner, "|"); ok {
			if filter != "lower" {
				return nil, m.bad(field, fmt.Sprintf("filter %q is not known", filter), "only |lower")
			}
			p.name, p.lower = name, true
		}
		if prefix, name, ok := strings.Cut(p.name, "."); ok && (prefix == "file" || joins[prefix]) {
			p.from, p.join, p.name = fromJoin, prefix, name
			if prefix == "file" {
				p.from = fromFile
				if !slices.Contains(m.fileName.SubexpNames(), name) {
					return nil, m.bad(field, fmt.Sprintf("files.name has no group %q", name), "a group is written (?P<"+name+">…)")
				}
			}
		}
		t = append(t, p)
		rest = tail
	}
	return t, nil
}

// columns are the columns of the row that t depends on, by way of joins too.
func (m *Mapping) columns(t template) []string {
	var out []string
	for _, p := range t {
		switch p.from {
		case fromRow:
			out = append(out, p.name)
		case fromJoin:
			for _, j := range m.Join {
				if j.Name == p.join {
					k, _ := m.template("", j.Key, m.joinsBefore(j.Name), false)
					out = append(out, m.columns(k)...)
				}
			}
		}
	}
	return out
}

// joinsBefore are the joins that the key of the join called name may use.
func (m *Mapping) joinsBefore(name string) map[string]bool {
	out := map[string]bool{}
	for _, j := range m.Join {
		if j.Name == name {
			break
		}
		out[j.Name] = true
	}
	return out
}
