package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/width"

	"cityhub/streams/client"
	"cityhub/twin"
)

// jsonLines prints one JSON object per reading.
type jsonLines struct{ out *bufio.Writer }

func (p jsonLines) reading(d *client.Datastream, o *client.Observation, position twin.Position) error {
	line := struct {
		PhenomenonTime time.Time         `json:"phenomenonTime"`
		Result         client.Result     `json:"result"`
		Quality        string            `json:"quality"`
		Datastream     twin.DatastreamID `json:"datastream"`
		Terminal       string            `json:"terminal"`
		Name           string            `json:"name"`
		NameEn         string            `json:"nameEn"`
		Property       string            `json:"property"`
		Unit           string            `json:"unit"`
		UCUM           string            `json:"ucum"`
		Domain         twin.Domain       `json:"domain"`
		Dataset        string            `json:"dataset"`
		Lon            *float64          `json:"lon"`
		Lat            *float64          `json:"lat"`
		Simulated      bool              `json:"simulated"`
		Position       string            `json:"position,omitempty"`
	}{
		o.Time(), o.Result, o.Quality.String(), o.Datastream, d.Terminal, d.Name, d.NameEn, d.Property, d.Unit, d.UCUM, d.Domain, d.Dataset, d.Lon, d.Lat, d.Simulated, "",
	}
	if !position.IsZero() {
		line.Position = position.String()
	}
	e := json.NewEncoder(p.out)
	e.SetEscapeHTML(false)
	return e.Encode(line)
}

// The columns of a line, and how wide each may grow.
const (
	colTime = iota
	colTerminal
	colName
	colProperty
	colResult
	colUnit
	colQuality
	columnCount
)

var (
	columnTitles = [columnCount]string{"TIME", "TERMINAL", "NAME", "PROPERTY", "RESULT", "UNIT", "QUALITY"}
	columnLimits = [columnCount]int{40, 32, 32, 24, 24, 12, 16}
)

// columns prints aligned columns. A column grows with what it has shown, up to
// its limit; a longer text is shown whole and moves the rest of its line.
type columns struct {
	out    *bufio.Writer
	zone   *time.Location
	colour bool
	header bool // still to be printed
	widths [columnCount]int
}

func newColumns(out *bufio.Writer, zone *time.Location, header, colour bool) *columns {
	c := &columns{out: out, zone: zone, header: header, colour: colour}
	c.widths = [columnCount]int{29, 12, 12, 8, 8, 5, 0}
	return c
}

// Colours of the quality marks that a reader must not overlook.
var qualityColours = map[twin.Quality]string{twin.QualitySuspect: "\x1b[33m", twin.QualityBad: "\x1b[31m", twin.QualityMissing: "\x1b[2m"}

func (c *columns) reading(d *client.Datastream, o *client.Observation, _ twin.Position) error {
	if c.header {
		c.header = false
		if err := c.line(columnTitles, "\x1b[1m"); err != nil {
			return err
		}
	}
	terminal, name, unit := d.Terminal, d.Name, d.Unit
	if terminal == "" {
		terminal = fmt.Sprintf("datastream %d", o.Datastream)
	}
	if name == "" {
		name = d.NameEn
	}
	if d.Simulated { // and must say so wherever it shows
		name += " (simulated)"
	}
	quality := ""
	if o.Quality != twin.QualityNotEvaluated {
		quality = o.Quality.String()
	}
	return c.line([columnCount]string{
		// The offset is always shown: a time without its zone is a riddle.
		o.Time().In(c.zone).Format("2006-01-02 15:04:05.000-07:00"),
		terminal, name, d.Property, o.Result.String(), unit, quality,
	}, qualityColours[o.Quality])
}

func (c *columns) line(cells [columnCount]string, colour string) error {
	var b strings.Builder
	for i, cell := range cells {
		cell = printable(cell)
		w := displayWidth(cell)
		c.widths[i] = max(c.widths[i], min(w, columnLimits[i]))
		pad := strings.Repeat(" ", max(0, c.widths[i]-w))
		if i > 0 {
			b.WriteString("  ")
		}
		if i == colResult { // numbers stand to the right
			b.WriteString(pad + cell)
		} else {
			b.WriteString(cell + pad)
		}
	}
	text := strings.TrimRight(b.String(), " ")
	if c.colour && colour != "" {
		text = colour + text + "\x1b[0m"
	}
	_, err := c.out.WriteString(text + "\n")
	return err
}

// printable takes the control characters out of a text of the city: a name must
// not steer the terminal of whoever reads it.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// displayWidth is the cells that a terminal needs for s: Chinese takes two each.
func displayWidth(s string) int {
	n := 0
	for _, r := range s {
		switch k := width.LookupRune(r).Kind(); {
		case unicode.Is(unicode.Mn, r): // stands on the one before
		case k == width.EastAsianWide || k == width.EastAsianFullwidth:
			n += 2
		default:
			n++
		}
	}
	return n
}
