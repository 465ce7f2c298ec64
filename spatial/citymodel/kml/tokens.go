package kml

import (
	"bufio"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/transform"

	"cityhub/spatial/citymodel"
)

// fault is why the rest of a document cannot be read.
type fault struct {
	code   citymodel.Code
	line   int
	offset int64
	text   string
	err    error
}

func (f *fault) Error() string { return f.text }

// bounded ends a token that is too long before it is in memory.
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

// tokens reads the tokens of a document within the limits.
type tokens struct {
	src    *bounded
	dec    *xml.Decoder
	limits citymodel.Limits
	depth  int // of the elements that are open
	line   int // where the last token begins
	offset int64
	chars  []byte // of the last token, if it was characters
}

func newTokens(src io.Reader, limits citymodel.Limits) *tokens {
	t := &tokens{limits: limits, src: &bounded{Reader: bufio.NewReaderSize(src, 64<<10), limit: limits.ValueBytes}}
	t.src.left = t.src.limit
	t.dec = xml.NewDecoder(t.src)
	t.dec.CharsetReader = func(name string, in io.Reader) (io.Reader, error) {
		e, err := htmlindex.Get(strings.ToLower(name))
		if err != nil {
			return nil, fmt.Errorf("the encoding %.40q is not known", name)
		}
		t.src = &bounded{Reader: bufio.NewReaderSize(transform.NewReader(in, e.NewDecoder()), 64<<10), left: limits.ValueBytes, limit: limits.ValueBytes}
		return t.src, nil
	}
	return t
}

func (t *tokens) fault(code citymodel.Code, format string, args ...any) *fault {
	return &fault{code: code, line: t.line, offset: t.offset, text: fmt.Sprintf(format, args...)}
}

// next reads a token: a start, an end, or characters, which are in t.chars. It
// gives io.EOF at the end of the document.
func (t *tokens) next() (start *xml.StartElement, end bool, err error) {
	for {
		t.line, _ = t.dec.InputPos()
		t.offset = t.dec.InputOffset()
		t.src.left = t.src.limit
		token, err := t.dec.Token()
		switch {
		case t.src.err == errLong:
			return nil, false, t.fault(citymodel.TooLarge, "a text or tag of more than %d bytes; raise Limits.ValueBytes if it is meant to be that long", t.src.limit)
		case t.src.err != nil:
			f := t.fault(citymodel.Syntax, "cannot be read: %v", t.src.err)
			f.err = t.src.err
			return nil, false, f
		case err == io.EOF:
			return nil, false, io.EOF
		case err != nil:
			t.line, _ = t.dec.InputPos()
			t.offset = t.dec.InputOffset()
			var s *xml.SyntaxError
			if errors.As(err, &s) {
				return nil, false, t.fault(citymodel.Syntax, "%s", s.Msg)
			}
			return nil, false, t.fault(citymodel.Syntax, "%v", err)
		}
		t.chars = nil
		switch v := token.(type) {
		case xml.StartElement:
			if t.depth++; t.depth > t.limits.Depth {
				return nil, false, t.fault(citymodel.TooLarge, "more than %d elements inside each other", t.limits.Depth)
			}
			return &v, false, nil
		case xml.EndElement:
			t.depth--
			return nil, true, nil
		case xml.CharData:
			t.chars = v
			return nil, false, nil
		case xml.Directive:
			return nil, false, t.fault(citymodel.Syntax, "<!%.40s>: document types and entities are refused", v)
		}
	}
}

func (t *tokens) early(err error) error {
	if errors.Is(err, io.EOF) {
		return t.fault(citymodel.Syntax, "the document ends with %d elements open", t.depth)
	}
	return err
}

// children calls f at the start of each child of the element that has just
// started, and returns behind its end. f reads the child to its end.
func (t *tokens) children(f func(local string, attr func(string) string) error) error {
	for {
		start, end, err := t.next()
		if err != nil {
			return t.early(err)
		}
		if end {
			return nil
		}
		if start != nil {
			if err := f(start.Name.Local, func(name string) string { return attribute(start.Attr, name) }); err != nil {
				return err
			}
		}
	}
}

// skip reads to the end of the element that has just started.
func (t *tokens) skip() error {
	for depth := t.depth; t.depth >= depth; {
		if _, _, err := t.next(); err != nil {
			return t.early(err)
		}
	}
	return nil
}

// text reads the characters of the element that has just started, without
// those of its children, to its end.
func (t *tokens) text() (string, error) {
	b, err := t.bytes(nil)
	return string(b), err
}

func (t *tokens) bytes(b []byte) ([]byte, error) {
	for depth := t.depth; t.depth >= depth; {
		if _, _, err := t.next(); err != nil {
			return b, t.early(err)
		}
		if t.depth == depth && t.chars != nil {
			if len(b)+len(t.chars) > t.limits.ValueBytes {
				return b, t.fault(citymodel.TooLarge, "a text of more than %d bytes; raise Limits.ValueBytes if it is meant to be that long", t.limits.ValueBytes)
			}
			b = append(b, t.chars...)
		}
	}
	return b, nil
}

func attribute(list []xml.Attr, name string) string {
	for _, a := range list {
		if a.Name.Local == name && a.Name.Space == "" {
			return a.Value
		}
	}
	return ""
}
