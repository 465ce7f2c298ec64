package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"
)

// Counts are the exact contents of the data files.
type Counts struct {
	Files     int             `json:"files"`
	Rows      int64           `json:"rows"`
	EmptyRows int64           `json:"emptyRows"` // rows without a value; they publish nothing
	Values    int64           `json:"values"`    // as they stand in the files
	Distinct  int64           `json:"distinct"`  // terminal, property and time told apart
	Repeated  int64           `json:"repeated"`  // Values - Distinct: a later row corrects an earlier one
	Numbers   int64           `json:"numbers"`   // of Distinct: numbers and truth values
	Texts     int64           `json:"texts"`     // of Distinct: texts
	First     time.Time       `json:"first"`
	Last      time.Time       `json:"last"`
	Terminals []TerminalCount `json:"terminals"` // sorted by Code

	// fileTerminals are the indexes into Terminals of each file.
	fileTerminals [][]int
}

// TerminalCount are the values of one terminal.
type TerminalCount struct {
	Code       string          `json:"code"`
	Rows       int64           `json:"rows"`
	Properties []PropertyCount `json:"properties"` // in the order of the mapping, those without a value too
}

// PropertyCount are the values of one property of a terminal.
type PropertyCount struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Values   int64  `json:"values"`
	Distinct int64  `json:"distinct"`
}

// seen is what one terminal's rows hold: time and values present.
type seen struct {
	ms  int64
	has uint64
}

type fileScan struct {
	rows, empty int64
	terminals   map[string][]seen
}

// Count reads every file whole and counts its values. It checks every value
// on the way: the first mistake ends it with file, line and column. It holds
// 16 bytes a row. Progress goes to progress; nil means none.
func Count(ctx context.Context, s *Source, progress io.Writer) (*Counts, error) {
	bar := newProgress(progress, "counting", "files", int64(len(s.files)))
	defer bar.done()
	scans := make([]fileScan, len(s.files))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, min(runtime.GOMAXPROCS(0), 8)))
	for i := range s.files {
		g.Go(func() (err error) {
			scans[i], err = s.scan(ctx, i)
			bar.add(1, 0)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return s.merge(scans), nil
}

func (s *Source) scan(ctx context.Context, i int) (fileScan, error) {
	out := fileScan{terminals: map[string][]seen{}}
	r, err := s.open(i)
	if err != nil {
		return out, err
	}
	defer r.close()
	var code string
	var list []seen
	for {
		err := r.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return out, err
		}
		if out.rows++; out.rows%4096 == 0 && ctx.Err() != nil {
			return out, context.Cause(ctx)
		}
		if r.has == 0 {
			out.empty++
		}
		// The rows of one terminal mostly follow each other.
		if r.code != code {
			if code != "" {
				out.terminals[code] = list
			}
			code = strings.Clone(r.code)
			list = out.terminals[code]
		}
		list = append(list, seen{ms: r.ms, has: r.has})
	}
	if code != "" {
		out.terminals[code] = list
	}
	return out, nil
}

func (s *Source) merge(scans []fileScan) *Counts {
	c := &Counts{Files: len(scans), fileTerminals: make([][]int, len(scans))}
	index := map[string]int{}
	var codes []string
	for _, f := range scans {
		c.Rows += f.rows
		c.EmptyRows += f.empty
		for code := range f.terminals {
			if _, ok := index[code]; !ok {
				index[code] = 0
				codes = append(codes, code)
			}
		}
	}
	slices.Sort(codes)
	c.Terminals = make([]TerminalCount, len(codes))
	first, last := int64(math.MaxInt64), int64(math.MinInt64)
	for n, code := range codes {
		index[code] = n
		var all []seen
		for i := range scans {
			list, ok := scans[i].terminals[code]
			if !ok {
				continue
			}
			c.fileTerminals[i] = append(c.fileTerminals[i], n)
			if all == nil {
				all = list
			} else {
				all = append(all, list...)
			}
		}
		for _, x := range all {
			first, last = min(first, x.ms), max(last, x.ms)
		}
		c.Terminals[n] = s.countTerminal(code, all)
	}
	for _, t := range c.Terminals {
		for _, p := range t.Properties {
			c.Values += p.Values
			c.Distinct += p.Distinct
			if p.Type == "text" {
				c.Texts += p.Distinct
			} else {
				c.Numbers += p.Distinct
			}
		}
	}
	c.Repeated = c.Values - c.Distinct
	if c.Rows == 0 {
		return c
	}
	c.First, c.Last = time.UnixMilli(first).UTC(), time.UnixMilli(last).UTC()
	return c
}

func (s *Source) countTerminal(code string, all []seen) TerminalCount {
	t := TerminalCount{Code: code, Rows: int64(len(all)), Properties: make([]PropertyCount, len(s.m.Properties))}
	for i, p := range s.m.Properties {
		t.Properties[i].Name, t.Properties[i].Type = p.Name, p.Type
	}
	byTime := func(a, b seen) int {
		switch {
		case a.ms < b.ms:
			return -1
		case a.ms > b.ms:
			return 1
		}
		return 0
	}
	if !slices.IsSortedFunc(all, byTime) {
		slices.SortFunc(all, byTime)
	}
	var at uint64 // properties already seen at the current time
	for i, x := range all {
		if i == 0 || x.ms != all[i-1].ms {
			at = 0
		}
		for has := x.has; has != 0; has &= has - 1 {
			t.Properties[bits.TrailingZeros64(has)].Values++
		}
		for fresh := x.has &^ at; fresh != 0; fresh &= fresh - 1 {
			t.Properties[bits.TrailingZeros64(fresh)].Distinct++
		}
		at |= x.has
	}
	return t
}

// WriteTable prints the counts per terminal and the totals.
func (c *Counts) WriteTable(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "terminal\trows\tvalues\tdistinct\trepeated\t")
	for _, t := range c.Terminals {
		var values, distinct int64
		for _, p := range t.Properties {
			values += p.Values
			distinct += p.Distinct
		}
		fmt.Fprintf(tw, "%s\t%d\t%d\t%d\t%d\t\n", t.Code, t.Rows, values, distinct, values-distinct)
	}
	fmt.Fprintf(tw, "total\t%d\t%d\t%d\t%d\t\n", c.Rows, c.Values, c.Distinct, c.Repeated)
	if err := tw.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d files, %d rows without a value, %d numbers, %d texts, %s to %s\n",
		c.Files, c.EmptyRows, c.Numbers, c.Texts, c.First.Format(time.RFC3339), c.Last.Format(time.RFC3339))
	return err
}
