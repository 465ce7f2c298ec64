package citygml

import (
	"bufio"
	"encoding/xml"
	"errors"
	"fmt"
	"io"

	"cityhub/spatial/citymodel"
)

// bounded counts the bytes of a token and ends a longer one before it is in
// memory.
type bounded struct {
	*bufio.Reader
	left, limit int
	err         error
}

var errLong = errors.New("too long")

// ReadByte makes the XML decoder read byte by byte from here, without a buffer
// of its own.
func (b *bounded) ReadByte() (byte, error) {
	if b.left--; b.left < 0 {
		b.err = errLong
		return 0, errLong
	}
	c, err := b.Reader.ReadByte()
	if err != nil && err != io.EOF {
		b.err = err
	}
	return c, err
}

// tokens reads the tokens of a document.
type tokens struct {
	src      bounded
	dec      *xml.Decoder
	limits   citymodel.Limits
	tally    *citymodel.Tally
	names    map[xml.Name]*name
	prefixes map[string]string // of namespaces

	depth  int // of the elements that are open
	line   int // where the last token begins
	offset int64
	name   *name      // of the last start
	attrs  []xml.Attr // of the last start
}

func newTokens(r io.Reader, limits citymodel.Limits, tally *citymodel.Tally) *tokens {
	t := &tokens{limits: limits, tally: tally, names: map[xml.Name]*name{}, prefixes: map[string]string{}, name: &name{}}
	t.src = bounded{Reader: bufio.NewReaderSize(r, 64<<10), limit: limits.ValueBytes}
	t.dec = xml.NewDecoder(&t.src)
	return t
}

func (t *tokens) fault(code citymodel.Code, format string, args ...any) *fault {
	return &fault{code: code, line: max(t.line, 1), offset: t.offset, text: fmt.Sprintf(format, args...), fatal: true}
}

// next reads a token: xml.StartElement, xml.EndElement or xml.CharData.
func (t *tokens) next() (xml.Token, error) {
	for {
		t.line, _ = t.dec.InputPos()
		t.offset = t.dec.InputOffset()
		t.src.left = t.src.limit
		token, err := t.dec.Token()
		switch {
		case t.src.err == errLong:
			return nil, t.fault(citymodel.TooLarge, "a text or tag of more than %d bytes; raise Limits.ValueBytes if it is meant to be that long", t.src.limit)
		case t.src.err != nil:
			f := t.fault(citymodel.Syntax, "cannot be read: %v", t.src.err)
			f.err = t.src.err
			return nil, f
		case err == io.EOF:
			return nil, io.EOF
		case err != nil:
			t.line, _ = t.dec.InputPos()
			t.offset = t.dec.InputOffset()
			var s *xml.SyntaxError
			if errors.As(err, &s) {
				return nil, t.fault(citymodel.Syntax, "%s", s.Msg)
			}
			return nil, t.fault(citymodel.Syntax, "%v", err)
		}
		switch v := token.(type) {
		case xml.StartElement:
			if t.depth++; t.depth > t.limits.Depth {
				return nil, t.fault(citymodel.TooLarge, "more than %d elements inside each other", t.limits.Depth)
			}
			t.take(v)
			return token, nil
		case xml.EndElement:
			t.depth--
			return token, nil
		case xml.CharData:
			return token, nil
		case xml.Directive:
			return nil, t.fault(citymodel.Syntax, "<!%.40s>: document types and entities are refused", v)
		}
	}
}

// take keeps the name and the prefixes of a start.
func (t *tokens) take(e xml.StartElement) {
	t.attrs = e.Attr
	for _, a := range e.Attr {
		if _, ok := t.prefixes[a.Value]; a.Name.Space == "xmlns" && !ok && len(t.prefixes) < 1000 && len(a.Value) < 1000 {
			t.prefixes[a.Value] = a.Name.Local
		}
	}
	if n, ok := t.names[e.Name]; ok {
		t.name = n
		return
	}
	n := &name{ns: namespaceOf(e.Name.Space), space: e.Name.Space, local: e.Name.Local, label: e.Name.Local}
	if prefix := t.prefixes[n.space]; n.ns == nsOther && prefix != "" {
		n.label = prefix + ":" + n.local
	}
	t.name = n
	if len(t.names) < 10_000 && len(n.local) <= 200 && len(n.space) <= 200 {
		t.names[e.Name] = n
	}
}

// isExtension reports whether a prefix is that of a vocabulary that is none of
// the standards on which CityGML stands, and from which names can come.
func (t *tokens) isExtension(prefix string) bool {
	for space, p := range t.prefixes {
		if p == prefix {
			return namespaceOf(space) == nsOther && isExtensionSpace(space)
		}
	}
	return false
}

// start reads to the next start of an element whose parent is depth elements
// deep; false: that parent ends.
func (t *tokens) start(depth int) (bool, error) {
	for {
		token, err := t.next()
		if err == io.EOF {
			return false, t.early(depth)
		}
		if err != nil {
			return false, err
		}
		switch token.(type) {
		case xml.StartElement:
			return true, nil
		case xml.EndElement:
			if t.depth < depth {
				return false, nil
			}
		}
	}
}

// early is the fault of a document that ends too early.
func (t *tokens) early(depth int) error {
	if depth == 0 {
		return t.fault(citymodel.Syntax, "the document is empty")
	}
	return t.fault(citymodel.Syntax, "the document ends inside of an element")
}

// end reads what follows the document's element.
func (t *tokens) end() error {
	for {
		token, err := t.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if _, ok := token.(xml.StartElement); ok {
			return t.fault(citymodel.Syntax, "a second element <%.100s> follows the document's end", t.name.local)
		}
	}
}

// skip passes over the element whose start was read last. It counts the
// appearance that is in it.
func (t *tokens) skip() error {
	for depth := t.depth; ; {
		t.count()
		token, err := t.next()
		for err == nil {
			if _, ok := token.(xml.StartElement); ok {
				break
			}
			if t.depth < depth {
				return nil
			}
			token, err = t.next()
		}
		if err == io.EOF {
			return t.early(1)
		}
		if err != nil {
			return err
		}
	}
}

// count counts the start that was read last, if it is a part of appearance.
func (t *tokens) count() {
	if !t.name.city() {
		return
	}
	switch t.name.local {
	case "Appearance":
		t.tally.Appearances++
	case "ParameterizedTexture", "GeoreferencedTexture":
		t.tally.Textures++
	case "X3DMaterial":
		t.tally.Materials++
	}
}
