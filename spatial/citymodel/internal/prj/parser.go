package prj

import (
	"fmt"
	"strconv"
	"strings"
)

// maxDepth is of nodes inside each other; well-known text has about 6.
const maxDepth = 32

type parser struct {
	text string
	at   int
}

func (p *parser) space() {
	for p.at < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.at]) >= 0 {
		p.at++
	}
}

func (p *parser) fault(expected string) error {
	found := p.text[p.at:]
	if len(found) > 20 {
		found = found[:20]
	}
	return fmt.Errorf("well-known text of a CRS: expected %s at character %d, found %q", expected, p.at+1, found)
}

// node reads WORD[…] or WORD(…).
func (p *parser) node(depth int) (*node, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("more than %d brackets inside each other", maxDepth)
	}
	n := &node{word: p.word()}
	if n.word == "" {
		return nil, p.fault("a word such as PROJCS")
	}
	p.space()
	if p.at >= len(p.text) || p.text[p.at] != '[' && p.text[p.at] != '(' {
		return nil, p.fault("[")
	}
	p.at++
	for {
		if err := p.member(n, depth); err != nil {
			return nil, err
		}
		p.space()
		if p.at >= len(p.text) {
			return nil, p.fault("]")
		}
		c := p.text[p.at]
		p.at++
		switch c {
		case ',':
		case ']', ')':
			return n, nil
		default:
			p.at--
			return nil, p.fault(", or ]")
		}
	}
}

func (p *parser) word() string {
	p.space()
	from := p.at
	for p.at < len(p.text) {
		if c := p.text[p.at]; c != '_' && !(c|0x20 >= 'a' && c|0x20 <= 'z') && (p.at == from || c < '0' || c > '9') {
			break
		}
		p.at++
	}
	return strings.ToUpper(p.text[from:p.at])
}

// member reads a text, a number, a node or a bare word such as NORTH.
func (p *parser) member(n *node, depth int) error {
	p.space()
	if p.at >= len(p.text) {
		return p.fault("a value")
	}
	switch c := p.text[p.at]; {
	case c == '"':
		var b strings.Builder
		for p.at++; ; p.at++ {
			i := strings.IndexByte(p.text[p.at:], '"')
			if i < 0 {
				return p.fault(`"`)
			}
			b.WriteString(p.text[p.at : p.at+i])
			if p.at += i + 1; p.at >= len(p.text) || p.text[p.at] != '"' {
				break
			}
			b.WriteByte('"') // twice is once
		}
		n.texts = append(n.texts, b.String())
	case c == '-' || c == '+' || c == '.' || c >= '0' && c <= '9':
		from := p.at
		for p.at < len(p.text) && strings.IndexByte("+-.eE0123456789", p.text[p.at]) >= 0 {
			p.at++
		}
		v, err := strconv.ParseFloat(p.text[from:p.at], 64)
		if err != nil {
			p.at = from
			return p.fault("a number")
		}
		n.numbers = append(n.numbers, v)
	default:
		mark := p.at
		if p.word() == "" {
			return p.fault("a value")
		}
		p.space()
		if p.at < len(p.text) && (p.text[p.at] == '[' || p.text[p.at] == '(') {
			p.at = mark
			m, err := p.node(depth + 1)
			if err != nil {
				return err
			}
			n.nodes = append(n.nodes, m)
		}
	}
	return nil
}
