package cityimport

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"cityhub/spatial"
)

// Text is p in a few words, with the rate and the time that is left.
func (p Progress) Text() string {
	var parts []string
	if p.Objects > 0 {
		parts = append(parts, objects(p.Objects))
	}
	if p.Total > 0 {
		parts = append(parts, fmt.Sprintf("%s of %s", size(p.Bytes), size(p.Total)))
	}
	if p.Seconds > 0 {
		if p.Objects > 0 {
			parts = append(parts, number(int(float64(p.Objects)/p.Seconds))+"/s")
		}
		if p.Bytes > 0 && p.Bytes < p.Total {
			left := time.Duration(p.Seconds * float64(p.Total-p.Bytes) / float64(p.Bytes) * float64(time.Second))
			parts = append(parts, left.Round(time.Second).String()+" left")
		}
	}
	return strings.Join(parts, ", ")
}

// number writes n with commas between the thousands.
func number(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// size writes bytes for people.
func size(n int64) string {
	switch {
	case n < 1e3:
		return fmt.Sprintf("%d B", n)
	case n < 1e6:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 1e9:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.2f GB", float64(n)/1e9)
}

// WriteText writes r for people.
func (r *Report) WriteText(w io.Writer) error {
	var b bytes.Buffer
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %-10s %s\n", name, fmt.Sprintf(format, args...))
	}
	for _, s := range r.Sources {
		fmt.Fprintf(&b, "%s: %s, %s, %s\n", s.Name, s.Format, size(s.Bytes), objects(s.Objects))
	}
	head := "stored"
	switch {
	case r.DryRun:
		head = "dry run"
	case !r.Stored:
		head = "not stored"
	}
	if r.Stored || r.DryRun {
		row(head, "%s added, %s updated, %s unchanged, %s ended, in data set %s", number(r.Added), number(r.Updated), number(r.Unchanged), number(r.Ended), r.Dataset)
	} else {
		row(head, "nothing was changed")
	}
	if r.Objects > 0 {
		row("classes", "%s", counts(r.Classes, "none", ""))
		if len(r.Types) > 1 || r.Types[""] == 0 {
			row("types", "%s", counts(r.Types, "none", ""))
		}
		row("CIM level", "%s", counts(r.CIMLevels, "not stated", ""))
		if len(r.LoDs) > 0 {
			row("detail", "%s", counts(r.LoDs, "not stated", "LoD"))
		}
	}
	if r.NoGeometry > 0 {
		row("", "%s without geometry of their own", objects(r.NoGeometry))
	}
	if e := r.Extent; e != nil {
		row("extent", "%.6f, %.6f to %.6f, %.6f (WGS 84: west, south to east, north)", e.West, e.South, e.East, e.North)
	}
	if len(r.CRS) > 0 {
		from := ""
		if r.GCJ02 {
			from = ", taken out of GCJ-02"
		}
		row("CRS", "%s%s; converted to WGS 84 within %.2g m", strings.Join(slices.Sorted(maps.Keys(r.CRS)), ", "), from, r.AccuracyM)
	}
	for _, h := range r.Heights {
		datum := h.Datum
		if datum == "" {
			datum = "a datum that is not stated; name it with --crs, e.g. EPSG:4549+5737"
		}
		row("heights", "%.2f to %.2f m above %s", h.Min, h.Max, datum)
	}
	for _, n := range r.Notes {
		row("note", "%s", n)
	}
	if r.Mended+r.Flagged+r.Unreadable > 0 {
		row("checked", "%s mended, %s flagged in their attribute %s, %s faults with which something was lost", objects(r.Mended), objects(r.Flagged), GeometryFaults, number(r.Unreadable))
	}
	for _, c := range r.Findings {
		if c.Action == Noted && !r.Stored && !r.DryRun {
			continue // they are not why nothing was stored
		}
		code := c.Code
		if c.ISO19107 != 0 {
			code += " (" + strconv.Itoa(c.ISO19107) + ")"
		}
		fmt.Fprintf(&b, "    %-8s %-7s %-32s %8s\n", c.Action, c.Severity, code, number(c.Count))
		for _, f := range c.First {
			fmt.Fprintf(&b, "      %s\n", r.place(f))
		}
	}
	if r.Objects > 0 {
		fmt.Fprintf(&b, "  %s in %.1f s, %s/s\n", objects(r.Objects), r.Seconds, number(int(r.ObjectsRate)))
	}
	_, err := w.Write(bytes.Map(printable, b.Bytes()))
	return err
}

// printable keeps what a file holds from steering the terminal.
func printable(r rune) rune {
	if unicode.IsControl(r) && r != '\n' {
		return unicode.ReplacementChar
	}
	return r
}

// place is where f was found and what it says.
func (r *Report) place(f Finding) string {
	s := "line " + strconv.Itoa(f.Line)
	if len(r.Sources) > 1 {
		s = f.File + ":" + strconv.Itoa(f.Line)
	}
	for _, part := range []string{f.Object, f.Field, f.Message} {
		if part != "" {
			s += ": " + part
		}
	}
	return s
}

// objects writes a number of objects.
func objects(n int) string {
	if n == 1 {
		return "1 object"
	}
	return number(n) + " objects"
}

// counts writes a table in the order of the classes, or of the names.
func counts(m map[string]int, none, prefix string) string {
	keys := slices.Sorted(maps.Keys(m))
	slices.SortStableFunc(keys, func(a, b string) int { return order(a) - order(b) })
	var parts []string
	for _, k := range keys {
		name := prefix + k
		if k == "" {
			name = none
		}
		parts = append(parts, name+" "+number(m[k]))
	}
	return strings.Join(parts, ", ")
}

func order(key string) int {
	if key == "" {
		return 1000
	}
	return slices.Index(spatial.Classes(), spatial.Class(key))
}
