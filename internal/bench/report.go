package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// report is the outcome of a run.
type report struct {
	Quick   bool         `json:"quick"`
	Machine machine      `json:"machine"`
	Rows    []rowOutcome `json:"rows"`
}

type rowOutcome struct {
	Row   string `json:"row"`
	Error string `json:"error,omitempty"`
	Lines []line `json:"lines"`

	about string
}

func (r *report) add(w row, lines []line, err error) {
	o := rowOutcome{Row: w.name, Lines: lines, about: w.about}
	if err != nil {
		o.Error = err.Error()
	}
	if o.Lines == nil {
		o.Lines = []line{}
	}
	r.Rows = append(r.Rows, o)
}

func (r *report) failed() bool {
	for _, o := range r.Rows {
		if o.Error != "" {
			return true
		}
	}
	return false
}

func (r *report) writeJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// writeMarkdown prints the tables of docs/BENCHMARKS.md. A row that failed
// shows no figure.
func (r *report) writeMarkdown(w io.Writer) error {
	b := bufio.NewWriter(w)
	if r.Quick {
		fmt.Fprint(b, "A smoke run: the figures show that the rows work, not how fast the hub is.\n\n")
	}
	m := &r.Machine
	fmt.Fprintf(b, "| | |\n|---|---|\n")
	fmt.Fprintf(b, "| processor, cores | %s, %d |\n", cell(m.Processor), m.Cores)
	fmt.Fprintf(b, "| memory | %s |\n", bytesText(m.Memory))
	fmt.Fprintf(b, "| disk, file system, cost of one fsync | %s; append of 24 KB and fsync p50 / p99 %s |\n", cell(m.FileSystem), m.Disk)
	fmt.Fprintf(b, "| kernel, Go | %s, %s |\n", cell(m.Kernel), m.Go)
	fmt.Fprintf(b, "| date, version | %s, %s |\n\n", m.Date.Format(time.DateOnly), cell(m.Version))
	fmt.Fprintf(b, "| path | goal | measured |\n|---|---|---|\n")
	for _, o := range r.Rows {
		if o.Error != "" {
			reason, _, _ := strings.Cut(o.Error, "\n")
			fmt.Fprintf(b, "| %s | | FAILED: %s |\n", cell(o.about), cell(reason))
			continue
		}
		for _, l := range o.Lines {
			measured := l.Measured
			if l.Checked != "" {
				measured += "; " + l.Checked
			}
			fmt.Fprintf(b, "| %s | %s | %s |\n", cell(l.Path), cell(l.Goal), cell(measured))
		}
	}
	return b.Flush()
}

// cell keeps a text within its cell of a Markdown table.
func cell(s string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(s), " "), "|", `\|`)
}

// count prints a figure with three digits or more, if it has them, and groups
// of thousands.
func count(v float64) string {
	switch a := math.Abs(v); {
	case a < 100 && v == math.Trunc(v):
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a < 10:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case a < 100:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	s := strconv.FormatFloat(math.Round(v), 'f', 0, 64)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// ms prints milliseconds.
func ms(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) }

// bytesText prints bytes in units of 1024, as the goals do.
func bytesText(n int64) string {
	v, unit := float64(n), "B"
	for _, u := range []string{"KB", "MB", "GB", "TB"} {
		if math.Abs(v) < 1024 {
			break
		}
		v, unit = v/1024, u
	}
	if unit == "B" {
		return strconv.FormatInt(n, 10) + " B"
	}
	return strconv.FormatFloat(v, 'f', 1, 64) + " " + unit
}

func durationText(d time.Duration) string {
	if d < time.Second {
		return strconv.FormatFloat(d.Seconds()*1000, 'f', 0, 64) + " ms"
	}
	return strconv.FormatFloat(d.Seconds(), 'f', 2, 64) + " s"
}
