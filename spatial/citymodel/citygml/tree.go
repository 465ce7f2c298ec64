package citygml

import (
	"bytes"
	"encoding/xml"
	"io"
	"math"
	"strconv"
	"strings"

	"cityhub/spatial/citymodel"
)

// node is an element of a member. Relatives are indexes into tree.nodes; zero,
// which is the member itself, stands for none.
type node struct {
	name                      *name
	parent, first, last, next int32
	from, to                  int32 // of its numbers in tree.numbers
	line                      int32
	offset                    int64
	id, href, text            string
	attrs                     *attrs
	coords                    bool // it has numbers
	bad                       bool // it has something else where numbers should be
}

// attrs are the XML attributes that few elements have.
type attrs struct {
	name, uom, srs string
	dimension      int
	reversed       bool // orientation="-"
}

// tree is one member.
type tree struct {
	d       *decoder
	nodes   []node
	numbers []float64
	ids     map[string]int32
	srs     string // the first srsName
	text    []byte
	common  map[string]string // texts that come again and again
}

// read takes the element whose start was read last. After a fault that is not
// fatal it has passed over the element.
func (t *tree) read() error {
	tk := t.d.tokens
	t.nodes, t.numbers, t.srs = t.nodes[:0], t.numbers[:0], ""
	if len(t.ids) > 0 || t.ids == nil {
		t.ids = map[string]int32{}
	}
	depth, begin := tk.depth, tk.offset
	at := t.open(0)
	t.text = t.text[:0]
	for {
		token, err := tk.next()
		if err == io.EOF {
			return tk.early(1)
		}
		if err != nil {
			return err
		}
		if what := t.over(begin); what != "" {
			f := tk.fault(citymodel.TooLarge, "%s", what)
			f.fatal = false
			return t.leave(f, depth)
		}
		switch v := token.(type) {
		case xml.StartElement:
			t.text = t.text[:0]
			if tk.name.city() && tk.name.local == "Appearance" {
				if err := tk.skip(); err != nil {
					return err
				}
				continue
			}
			at = t.open(at)
		case xml.CharData:
			t.text = append(t.text, v...)
		case xml.EndElement:
			t.close(at)
			if tk.depth < depth {
				return nil
			}
			at = t.nodes[at].parent
			t.text = t.text[:0]
		}
	}
}

// over says what of the member is beyond the limits.
func (t *tree) over(begin int64) string {
	l := &t.d.limits
	switch {
	case t.d.tokens.offset-begin > int64(l.RecordBytes):
		return "a member of more than " + strconv.Itoa(l.RecordBytes) + " bytes; raise Limits.RecordBytes if it is meant to be that long"
	case len(t.nodes) > 2*l.ObjectPoints:
		return "a member of more than " + strconv.Itoa(2*l.ObjectPoints) + " elements; raise Limits.ObjectPoints if it is meant to be that large"
	case len(t.numbers) > 3*l.ObjectPoints:
		return "a member of more than " + strconv.Itoa(l.ObjectPoints) + " points; raise Limits.ObjectPoints if it is meant to be that large"
	case len(t.text) > l.ValueBytes:
		return "a text of more than " + strconv.Itoa(l.ValueBytes) + " bytes; raise Limits.ValueBytes if it is meant to be that long"
	}
	return ""
}

// leave passes over what is left of an element that was depth elements deep.
func (t *tree) leave(f *fault, depth int) error {
	tk := t.d.tokens
	for tk.depth >= depth {
		if _, err := tk.next(); err == io.EOF {
			return tk.early(1)
		} else if err != nil {
			return err
		}
	}
	return f
}

// open makes a node of the start that was read last.
func (t *tree) open(parent int32) int32 {
	tk := t.d.tokens
	at := int32(len(t.nodes))
	t.nodes = append(t.nodes, node{name: tk.name, parent: parent, line: int32(min(tk.line, math.MaxInt32)), offset: tk.offset})
	if at > 0 {
		p := &t.nodes[parent]
		if p.first == 0 {
			p.first = at
		} else {
			t.nodes[p.last].next = at
		}
		p.last = at
	}
	n := &t.nodes[at]
	more := func() *attrs {
		if n.attrs == nil {
			n.attrs = &attrs{}
		}
		return n.attrs
	}
	for _, a := range tk.attrs {
		switch a.Name.Local {
		case "id":
			if namespaceOf(a.Name.Space) == nsGML {
				n.id = a.Value
				if _, ok := t.ids[n.id]; !ok {
					t.ids[n.id] = at
				}
			}
		case "href":
			if a.Name.Space == xlink {
				n.href = strings.TrimSpace(a.Value)
			}
		case "srsName":
			more().srs = a.Value
			if t.srs == "" {
				t.srs = a.Value
			}
		case "srsDimension", "dimension":
			if k, err := strconv.Atoi(a.Value); err == nil {
				more().dimension = k
			}
		case "orientation":
			if strings.TrimSpace(a.Value) == "-" {
				more().reversed = true
			}
		case "uom":
			more().uom = a.Value
		case "name":
			if a.Name.Space == "" {
				more().name = a.Value
			}
		}
	}
	return at
}

// close takes the text of a node without children.
func (t *tree) close(at int32) {
	n := &t.nodes[at]
	text := bytes.TrimSpace(t.text)
	if n.first != 0 || len(text) == 0 {
		return
	}
	if n.name.ns == nsGML {
		switch n.name.local {
		case "posList", "pos", "coordinates", "lowerCorner", "upperCorner":
			t.parse(n, text)
			return
		}
	}
	if n.name.local == "transformationMatrix" {
		t.parse(n, text)
		return
	}
	if len(text) > 40 {
		n.text = string(text)
		return
	}
	if s, ok := t.common[string(text)]; ok {
		n.text = s
		return
	}
	n.text = string(text)
	if t.common == nil || len(t.common) > 10_000 {
		t.common = map[string]string{}
	}
	t.common[n.text] = n.text
}

// parse takes numbers with spaces between them; gml:coordinates has commas as
// well (GML 3.1.1 section 9.2).
func (t *tree) parse(n *node, text []byte) {
	n.coords = true
	n.from = int32(len(t.numbers))
	for len(text) > 0 {
		end := bytes.IndexAny(text, " \t\r\n,")
		word := text
		if end >= 0 {
			word, text = text[:end], text[end+1:]
		} else {
			text = nil
		}
		if len(word) == 0 {
			continue
		}
		v, err := strconv.ParseFloat(string(word), 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) || bytes.ContainsAny(word, "xX_pP") {
			n.bad = true
			n.text = string(word[:min(len(word), 40)])
			return
		}
		if len(t.numbers) > 3*t.d.limits.ObjectPoints {
			break // over reports it
		}
		t.numbers = append(t.numbers, v)
	}
	n.to = int32(len(t.numbers))
}

// child is the first child of node i with this local name, or zero.
func (t *tree) child(i int32, local string) int32 {
	for c := t.nodes[i].first; c != 0; c = t.nodes[c].next {
		if t.nodes[c].name.local == local {
			return c
		}
	}
	return 0
}

// find is what a reference within the member leads to.
func (t *tree) find(href string) (int32, bool) {
	if !strings.HasPrefix(href, "#") {
		return 0, false
	}
	i, ok := t.ids[href[1:]]
	return i, ok
}
