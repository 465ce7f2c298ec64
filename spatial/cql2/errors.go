package cql2

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Code classifies an Error.
type Code string

// The error codes.
const (
	CodeSyntax      Code = "syntax"      // not CQL2
	CodeType        Code = "type"        // an operand has the wrong type
	CodeValue       Code = "value"       // a literal whose value is not possible: 30 February, an open ring
	CodeProperty    Code = "property"    // no such queryable
	CodeFunction    Code = "function"    // no such function
	CodeLimit       Code = "limit"       // one of Limits is exceeded
	CodeUnsupported Code = "unsupported" // correct, but not evaluated here
)

// Error says what is wrong with a filter and where.
type Error struct {
	Code     Code
	Pos      Pos
	Found    string // what stands there, shortened
	Expected string // what could stand there
	Hint     string // how to mend it; may be empty
}

// Error gives position, finding, expectation and hint in one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("cql2: ")
	b.WriteString(e.Pos.String())
	b.WriteString(": ")
	if e.Found != "" {
		b.WriteString("found " + e.Found)
	}
	if e.Expected != "" {
		if e.Found != "" {
			b.WriteString(", ")
		}
		b.WriteString("expected " + e.Expected)
	}
	if e.Hint != "" {
		b.WriteString(" (" + e.Hint + ")")
	}
	return b.String()
}

// String names the place: "line 1, column 5" or "at /args/0".
func (p Pos) String() string {
	if p.Line > 0 {
		return "line " + strconv.Itoa(p.Line) + ", column " + strconv.Itoa(p.Column)
	}
	if p.Pointer == "" {
		return "at the root"
	}
	return "at " + p.Pointer
}

// Limits bounds what a parser accepts. A field that is zero or less has the
// default.
type Limits struct {
	Bytes        int // of the whole input; 65,536
	Depth        int // of nested expressions and parentheses; 64
	Nodes        int // of the tree; 10,000
	PatternBytes int // of a LIKE pattern; 1,024
	Vertices     int // of all geometry literals together; 100,000
}

func (l Limits) withDefaults() Limits {
	set := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&l.Bytes, 64<<10)
	set(&l.Depth, 64)
	set(&l.Nodes, 10_000)
	set(&l.PatternBytes, 1<<10)
	set(&l.Vertices, 100_000)
	return l
}

func limitError(pos Pos, what string, limit int) error {
	return &Error{Code: CodeLimit, Pos: pos, Found: "more " + what, Expected: fmt.Sprintf("at most %d", limit)}
}

// quoted shortens s to something that fits into a message.
func quoted(s string) string {
	const most = 40
	if len(s) > most {
		cut := most
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "…"
	}
	return strconv.Quote(s)
}

// nearest is the name in names that is most like name, or "" when none is
// close: more than a third of its characters would have to change.
func nearest(name string, names []string) string {
	const most = 64 // longer names are not compared
	best, bestDist := "", 0
	a := []rune(strings.ToLower(name))
	if len(a) > most {
		return ""
	}
	for _, n := range names {
		b := []rune(strings.ToLower(n))
		if len(b) > most {
			continue
		}
		if d := editDistance(a, b); best == "" || d < bestDist {
			best, bestDist = n, d
		}
	}
	if best == "" || bestDist > max(1, max(len(a), utf8.RuneCountInString(best))/3) {
		return ""
	}
	return best
}

// editDistance is the number of insertions, deletions, replacements and swaps
// of neighbours that make b of a (optimal string alignment).
func editDistance(a, b []rune) int {
	before, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, prev, cur = prev, cur, before
	}
	return prev[len(b)]
}
