package manifest

import (
	"fmt"
	"strings"

	"cityhub/twin"
)

// MaxProblems is how many problems of one manifest are reported.
const MaxProblems = 50

// Problem is one mistake in a manifest.
type Problem struct {
	Line     int    `json:"line,omitempty"` // of the file, from 1; 0: not from a file
	Field    string `json:"field,omitempty"`
	Found    string `json:"found,omitempty"` // what stands there; empty: nothing
	Expected string `json:"expected"`
	Hint     string `json:"hint,omitempty"`
}

// Message says what was found and what was expected.
func (p Problem) Message() string {
	var b strings.Builder
	if p.Found == "" {
		b.WriteString("missing")
	} else {
		b.WriteString("found ")
		b.WriteString(p.Found)
	}
	b.WriteString(", expected ")
	b.WriteString(p.Expected)
	return b.String()
}

func (p Problem) write(b *strings.Builder, file string) {
	switch {
	case file != "" && p.Line > 0:
		fmt.Fprintf(b, "%s:%d: ", file, p.Line)
	case p.Line > 0:
		fmt.Fprintf(b, "line %d: ", p.Line)
	case file != "":
		b.WriteString(file + ": ")
	}
	if p.Field != "" {
		b.WriteString(p.Field + ": ")
	}
	b.WriteString(p.Message())
	if p.Hint != "" {
		b.WriteString(" (" + p.Hint + ")")
	}
}

// Error is every problem of one manifest. It unwraps to a *twin.Error with
// CodeInvalid whose Message is the whole list.
type Error struct {
	Op       string
	File     string // empty: not from a file
	Problems []Problem
	// Truncated says that the manifest has more problems than MaxProblems.
	Truncated bool
}

// Error lists the problems, one a line.
func (e *Error) Error() string { return e.Op + ": " + e.message() }

func (e *Error) message() string {
	var b strings.Builder
	if len(e.Problems) == 1 && !e.Truncated {
		e.Problems[0].write(&b, e.File)
		return b.String()
	}
	name := e.File
	if name == "" {
		name = "the input"
	}
	more := ""
	if e.Truncated {
		more = "more than "
	}
	fmt.Fprintf(&b, "%s has %s%d problems", name, more, len(e.Problems))
	for _, p := range e.Problems {
		b.WriteString("\n  ")
		p.write(&b, e.File)
	}
	return b.String()
}

// Unwrap gives the *twin.Error.
func (e *Error) Unwrap() error {
	te := &twin.Error{Code: twin.CodeInvalid, Op: e.Op, Message: e.message()}
	if len(e.Problems) > 0 {
		te.Field = e.Problems[0].Field
	}
	if len(e.Problems) == 1 && !e.Truncated {
		// Field and Hint have their own place in a twin.Error.
		p := e.Problems[0]
		te.Message, te.Hint = p.Message(), p.Hint
		if p.Line > 0 {
			te.Message = fmt.Sprintf("line %d: %s", p.Line, te.Message)
		}
	}
	return te
}

// Collector gathers the problems of one manifest, at most MaxProblems.
type Collector struct {
	Op, File  string
	problems  []Problem
	truncated bool
}

// Add keeps p unless the limit is reached.
func (c *Collector) Add(p Problem) {
	if len(c.problems) >= MaxProblems {
		c.truncated = true
		return
	}
	c.problems = append(c.problems, p)
}

// Full reports whether no further problem would be kept.
func (c *Collector) Full() bool { return c.truncated }

// Err is nil when there is no problem, else an *Error.
func (c *Collector) Err() error {
	if len(c.problems) == 0 {
		return nil
	}
	return &Error{Op: c.Op, File: c.File, Problems: c.problems, Truncated: c.truncated}
}

// quote shows a found value, shortened.
func quote(s string) string {
	if r := []rune(s); len(r) > 60 {
		s = string(r[:60]) + "…"
	}
	return fmt.Sprintf("%q", s)
}

// suggest gives the known word nearest to s, or "" when none is near. Case,
// "_" and "-" do not count, so that name_en finds nameEn.
func suggest(s string, known []string) string {
	fold := func(s string) string {
		return strings.NewReplacer("_", "", "-", "", " ", "", ".", "").Replace(strings.ToLower(s))
	}
	fs := fold(s)
	best, at := "", 3
	if len(fs) < 6 { // pm10 is no misspelt pm25
		at = 2
	}
	if len(fs) > maxCodeLen {
		return ""
	}
	for _, k := range known {
		if d := distance(fs, fold(k)); d < at && d < len(k) {
			best, at = k, d
		}
	}
	return best
}

// distance is the edit distance of two short words.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	prev := make([]int, len(y)+1)
	for j := range prev {
		prev[j] = j
	}
	for i, ca := range x {
		diag := prev[0]
		prev[0] = i + 1
		for j, cb := range y {
			cost := diag
			if ca != cb {
				cost++
			}
			diag = prev[j+1]
			prev[j+1] = min(cost, prev[j]+1, diag+1)
		}
	}
	return prev[len(y)]
}
