package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"cityhub/twin"
)

// maxExtraNodes bounds what aliases can make of one terminal's extra.
const maxExtraNodes = 10_000

// Parse reads a manifest in the notation that the file name's extension
// names: .yaml, .yml, .json (JSON is YAML) or .csv.
func Parse(file string, r io.Reader) (*Manifest, error) {
	switch ext := strings.ToLower(file[strings.LastIndexByte(file, '.')+1:]); ext {
	case "yaml", "yml", "json":
		return ParseYAML(file, r)
	case "csv":
		return ParseCSV(file, r)
	}
	return nil, &twin.Error{Code: twin.CodeInvalid, Op: "read manifest", Field: "file", Message: quote(file) + " is neither a .yaml nor a .csv file", Hint: "rename it to say which it is"}
}

// ParseYAML reads a YAML manifest; file names it in errors. The error is an
// *Error with every mistake of the file, CodeTooLarge over MaxBytes, or r's.
func ParseYAML(file string, r io.Reader) (*Manifest, error) {
	src, err := readAll(file, r)
	if err != nil {
		return nil, err
	}
	c := &Collector{Op: "read manifest", File: file}
	dec := yaml.NewDecoder(bytes.NewReader(src))
	var doc yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		c.Add(Problem{Line: 1, Found: "an empty file", Expected: "datasets, properties and terminals"})
		return nil, c.Err()
	case err != nil:
		c.Add(syntaxProblem(err))
		return nil, c.Err()
	}
	var second yaml.Node
	if err := dec.Decode(&second); err == nil {
		c.Add(Problem{Line: second.Line, Found: "a second document", Expected: "one document", Hint: "remove the --- line"})
	} else if !errors.Is(err, io.EOF) {
		c.Add(syntaxProblem(err))
	}
	y := &yamlReader{c: c, defs: map[string]*Property{}, intern: map[Property]*Property{}}
	m := y.manifest(doc.Content[0])
	if len(c.problems) == 0 {
		// The structure is right, so each path of the check has its node.
		m.check(c, func(path string) int { return lineOf(doc.Content[0], path) })
	} else {
		// Say more at once, where the structure allows: mistakes of values that
		// were read. Fields with a structural mistake are not reported twice.
		more := &Collector{}
		m.check(more, func(path string) int { return lineOf(doc.Content[0], path) })
		for _, p := range more.problems {
			if !y.reported(p) {
				c.Add(p)
			}
		}
		c.truncated = c.truncated || more.truncated
	}
	if err := c.Err(); err != nil {
		return nil, err
	}
	return m, nil
}

func readAll(file string, r io.Reader) ([]byte, error) {
	src, err := io.ReadAll(io.LimitReader(r, MaxBytes+1))
	if err != nil {
		return nil, &twin.Error{Code: twin.CodeUnavailable, Op: "read manifest", Message: file + " cannot be read", Err: err}
	}
	if len(src) > MaxBytes {
		return nil, &twin.Error{Code: twin.CodeTooLarge, Op: "read manifest", Message: fmt.Sprintf("%s is larger than %d MiB", file, MaxBytes>>20), Hint: "split the file"}
	}
	src = bytes.TrimPrefix(src, []byte("\xef\xbb\xbf")) // spreadsheets write a byte order mark
	if i := invalidUTF8(src); i >= 0 {
		c := &Collector{Op: "read manifest", File: file}
		c.Add(Problem{Line: 1 + bytes.Count(src[:i], []byte("\n")), Found: fmt.Sprintf("the byte 0x%02x", src[i]), Expected: "UTF-8", Hint: "a file in GBK must be saved again as UTF-8"})
		return nil, c.Err()
	}
	return src, nil
}

func invalidUTF8(b []byte) int {
	if utf8.Valid(b) {
		return -1
	}
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

var yamlLine = regexp.MustCompile(`line (\d+): (.*)`)

func syntaxProblem(err error) Problem {
	p := Problem{Line: 1, Found: "text that is not YAML: " + strings.TrimPrefix(err.Error(), "yaml: "), Expected: "YAML"}
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		p.Line, _ = strconv.Atoi(m[1])
		p.Found = "text that is not YAML: " + m[2]
	}
	if strings.Contains(err.Error(), "cannot start any token") {
		p.Hint = "texts that begin with % or @ need quotes; indent with blanks, not tabs"
	}
	return p
}

type yamlReader struct {
	c      *Collector
	defs   map[string]*Property
	intern map[Property]*Property
	fields map[string]struct{} // paths with a structural problem
}

func (y *yamlReader) add(n *yaml.Node, path, found, expected, hint string) {
	if y.fields == nil {
		y.fields = map[string]struct{}{}
	}
	y.fields[path] = struct{}{}
	y.c.Add(Problem{Line: n.Line, Field: path, Found: found, Expected: expected, Hint: hint})
}

func (y *yamlReader) reported(p Problem) bool {
	for f := p.Field; f != ""; {
		if _, ok := y.fields[f]; ok {
			return true
		}
		i := strings.LastIndexAny(f, ".[")
		if i < 0 {
			return false
		}
		f = f[:i]
	}
	return false
}

// pair is one key of a mapping with its value.
type pair struct {
	key   string
	value *yaml.Node
}

// pairs gives the keys of the mapping n; merge keys (<<) come after the
// mapping's own. Unknown and repeated keys are reported and left out.
func (y *yamlReader) pairs(n *yaml.Node, path string, known []string, expected string) []pair {
	n = deref(n)
	if n.Kind != yaml.MappingNode {
		y.add(n, path, describe(n), expected, "")
		return nil
	}
	out := make([]pair, 0, len(n.Content)/2)
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		if key.Tag == "!!merge" {
			switch v := deref(val); v.Kind {
			case yaml.SequenceNode:
				merged = append(merged, v.Content...)
			default:
				merged = append(merged, v)
			}
			continue
		}
		name := deref(key).Value
		if known != nil && !contains(known, name) {
			hint := did(name, known)
			if hint == "" {
				hint = "the keys here are " + strings.Join(known, ", ")
			}
			y.add(key, join(path, name), "the unknown key "+quote(name), "a key of the manifest", hint)
			continue
		}
		if at := find(out, name); at >= 0 {
			y.add(key, join(path, name), "the key a second time", "every key once", "it stands at line "+strconv.Itoa(out[at].value.Line)+" already")
			continue
		}
		out = append(out, pair{name, val})
	}
	for _, from := range merged {
		from = deref(from)
		if from.Kind != yaml.MappingNode {
			y.add(from, join(path, "<<"), describe(from), "a mapping to merge", "")
			continue
		}
		for i := 0; i+1 < len(from.Content); i += 2 {
			name := deref(from.Content[i]).Value
			if from.Content[i].Tag == "!!merge" || (known != nil && !contains(known, name)) {
				y.add(from.Content[i], join(path, name), "the unknown key "+quote(name)+" in a merged mapping", "a key of the manifest", did(name, known))
				continue
			}
			if find(out, name) < 0 {
				out = append(out, pair{name, from.Content[i+1]})
			}
		}
	}
	return out
}

func find(ps []pair, name string) int {
	for i := range ps {
		if ps[i].key == name {
			return i
		}
	}
	return -1
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func deref(n *yaml.Node) *yaml.Node {
	for i := 0; n.Kind == yaml.AliasNode && n.Alias != nil && i < 8; i++ {
		n = n.Alias
	}
	return n
}

func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		if n.Tag == "!!null" {
			return "nothing"
		}
		return quote(n.Value)
	}
	return "an alias that leads nowhere"
}

func isNull(n *yaml.Node) bool { n = deref(n); return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// str takes any scalar as it is written: a code 0012 stays 0012.
func (y *yamlReader) str(n *yaml.Node, path string) string {
	n = deref(n)
	if n.Kind != yaml.ScalarNode {
		y.add(n, path, describe(n), "a text", "")
		return ""
	}
	if n.Tag == "!!null" {
		return ""
	}
	return n.Value
}

func (y *yamlReader) boolean(n *yaml.Node, path string) bool {
	v, ok := parseBool(y.str(n, path))
	if !ok {
		y.add(n, path, describe(deref(n)), "true or false", "")
	}
	return v
}

func parseBool(s string) (v, ok bool) {
	switch strings.ToLower(s) {
	case "true", "yes", "1":
		return true, true
	case "false", "no", "0", "":
		return false, true
	}
	return false, false
}

func (y *yamlReader) number(n *yaml.Node, path, expected string) (float64, bool) {
	n = deref(n)
	if n.Kind == yaml.ScalarNode {
		if f, ok := parseNumber(n.Value); ok {
			return f, true
		}
	}
	found := describe(n)
	if isNull(n) {
		found = ""
	}
	y.add(n, path, found, expected, "")
	return 0, false
}

func parseNumber(s string) (float64, bool) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) || strings.ContainsAny(s, "xX_pP") {
		return 0, false
	}
	return f, true
}

func (y *yamlReader) list(n *yaml.Node, path, expected string) []*yaml.Node {
	n = deref(n)
	if n.Kind != yaml.SequenceNode {
		y.add(n, path, describe(n), expected, "")
		return nil
	}
	return n.Content
}

// value is n as a JSON value. Numbers are float64 as in JSON; left bounds the
// nodes, because an alias can stand for many.
func (y *yamlReader) value(n *yaml.Node, path string, left *int, depth int) any {
	n = deref(n)
	*left--
	if *left < 0 || depth > 32 {
		if *left > -maxExtraNodes { // once
			*left = -maxExtraNodes
			y.add(n, path, "too much", fmt.Sprintf("at most %d values, nested at most 32 deep", maxExtraNodes), "")
		}
		return nil
	}
	switch n.Kind {
	case yaml.SequenceNode:
		out := make([]any, 0, min(len(n.Content), 1024))
		for i, c := range n.Content {
			out = append(out, y.value(c, path+"["+strconv.Itoa(i)+"]", left, depth+1))
			if *left < 0 {
				return nil
			}
		}
		return out
	case yaml.MappingNode:
		out := make(map[string]any, min(len(n.Content)/2, 1024))
		for _, p := range y.pairs(n, path, nil, "") {
			out[p.key] = y.value(p.value, join(path, p.key), left, depth+1)
			if *left < 0 {
				return nil
			}
		}
		return out
	case yaml.ScalarNode:
		switch n.Tag {
		case "!!null":
			return nil
		case "!!bool":
			b, _ := strconv.ParseBool(n.Value)
			return b
		case "!!int", "!!float":
			f, ok := parseNumber(n.Value)
			if !ok || (n.Tag == "!!int" && math.Abs(f) > 1<<53) {
				y.add(n, path, quote(n.Value), "a number that JSON can hold", "put it in quotes to keep it as a text")
				return nil
			}
			return f
		}
		return n.Value
	}
	return nil
}

// lineOf is the line of the node at path, or of the nearest one around it.
func lineOf(root *yaml.Node, path string) int {
	if n := lookup(root, strings.Split(strings.NewReplacer("[", ".", "]", "").Replace(path), ".")); n != nil {
		return n.Line
	}
	return root.Line
}

func lookup(n *yaml.Node, steps []string) *yaml.Node {
	for _, s := range steps {
		n = deref(n)
		next := step(n, s)
		if next == nil {
			break
		}
		n = next
	}
	return n
}

func step(n *yaml.Node, s string) *yaml.Node {
	switch n.Kind {
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(s); err == nil && i >= 0 && i < len(n.Content) {
			return n.Content[i]
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == s {
				return n.Content[i+1]
			}
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Tag == "!!merge" {
				if m := deref(n.Content[i+1]); m.Kind == yaml.MappingNode {
					if v := step(m, s); v != nil {
						return v
					}
				}
			}
		}
	}
	return nil
}
