package main

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"cityhub/spatial/cityimport"
)

// importProgress shows how far an import is: a bar on a terminal, else a line
// every few seconds. It is for one goroutine at a time.
type importProgress struct {
	w        io.Writer
	terminal bool
	bars     *mpb.Progress
	bar      *mpb.Bar
	last     cityimport.Progress
	shown    time.Time
}

// importLineEvery is how often a line is printed where there is no terminal.
const importLineEvery = 5 * time.Second

func newImportProgress(w io.Writer) *importProgress {
	p := &importProgress{w: w, shown: time.Now()}
	if f, ok := w.(*os.File); ok {
		p.terminal = term.IsTerminal(int(f.Fd()))
	}
	return p
}

func (p *importProgress) show(now cityimport.Progress) {
	stage := now.Source != p.last.Source && strings.HasPrefix(p.last.Source, "sending ")
	p.last = now
	if p.terminal {
		if p.bars == nil {
			p.bars = mpb.New(mpb.WithOutput(p.w), mpb.WithWidth(40))
		}
		if stage { // the file is sent, now it is imported
			p.bar.Abort(true)
			p.bar = nil
		}
		if p.bar == nil {
			p.bar = p.bars.AddBar(now.Total,
				mpb.PrependDecorators(decor.Any(func(decor.Statistics) string { return filepath.Base(now.Source) + " " })),
				mpb.AppendDecorators(decor.Percentage(decor.WC{W: 5}), decor.Any(func(decor.Statistics) string { return " " + now.Text() })),
			)
		}
		p.bar.SetCurrent(now.Bytes)
		return
	}
	if t := time.Now(); t.Sub(p.shown) >= importLineEvery {
		p.shown = t
		fmt.Fprintf(p.w, "  %s: %s\n", now.Source, now.Text())
	}
}

// end takes the bar away.
func (p *importProgress) end() {
	if p.bar != nil {
		p.bar.Abort(true)
	}
	if p.bars != nil {
		p.bars.Wait()
	}
}

// findingsFile writes every finding of an import to a file. A nil one does
// nothing.
type findingsFile struct {
	f       *os.File
	buf     *bufio.Writer
	csv     *csv.Writer // nil: JSON
	n       int
	reports []*cityimport.Report
	err     error
}

// newFindingsFile creates the file; an empty path gives nil.
func newFindingsFile(path string) (*findingsFile, error) {
	o := &findingsFile{}
	if path == "" {
		return o, nil
	}
	ext := strings.ToLower(filepath.Ext(path))
	if ext != ".json" && ext != ".csv" {
		return nil, fmt.Errorf("--report: %s: expected a name that ends with .json or .csv", path)
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("--report: %w", err)
	}
	o.f, o.buf = f, bufio.NewWriter(f)
	if ext == ".csv" {
		o.csv = csv.NewWriter(o.buf)
		o.err = o.csv.Write([]string{"action", "severity", "code", "iso19107", "file", "line", "object", "field", "message"})
	} else {
		_, o.err = o.buf.WriteString("{\"findings\":[")
	}
	return o, nil
}

func (o *findingsFile) add(f cityimport.Finding) {
	if o.f == nil || o.err != nil {
		return
	}
	if o.csv != nil {
		number := ""
		if f.ISO19107 != 0 {
			number = strconv.Itoa(f.ISO19107)
		}
		o.err = o.csv.Write([]string{string(f.Action), f.Severity, f.Code, number, cell(f.File), strconv.Itoa(f.Line), cell(f.Object), cell(f.Field), cell(f.Message)})
		return
	}
	b, err := json.Marshal(f)
	if err == nil {
		if o.n++; o.n > 1 {
			b = append([]byte(",\n"), b...)
		}
		_, err = o.buf.Write(b)
	}
	o.err = err
}

// cell keeps a text of a supplier's file from being a formula where the findings
// are opened in a spreadsheet.
func cell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

func (o *findingsFile) report(r *cityimport.Report) {
	if o.f != nil && o.csv == nil {
		o.reports = append(o.reports, r)
	}
}

// close ends the file.
func (o *findingsFile) close() error {
	if o.f == nil {
		return nil
	}
	err := o.err
	if o.csv != nil {
		o.csv.Flush()
		err = errors.Join(err, o.csv.Error())
	} else {
		b, jerr := json.Marshal(o.reports)
		_, werr := fmt.Fprintf(o.buf, "],\n\"reports\":%s}\n", b)
		err = errors.Join(err, jerr, werr)
	}
	if err = errors.Join(err, o.buf.Flush(), o.f.Close()); err != nil {
		return fmt.Errorf("--report: %w", err)
	}
	return nil
}
