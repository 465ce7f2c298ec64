package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"cityhub/streams/client"
	"cityhub/twin"
)

type tailCmd struct {
	Server string `default:"http://127.0.0.1:8080" placeholder:"URL" help:"Address of the hub (default ${default})."`
	Token  string `env:"CITYHUB_TOKEN" placeholder:"TOKEN" help:"Access token (default: what is open to the public)."`

	Property   []string `short:"p" placeholder:"NAME" help:"Only these observed properties, e.g. pm25,pm10."`
	Datastream []int64  `placeholder:"ID" help:"Only these Datastreams."`
	BBox       string   `name:"bbox" placeholder:"W,S,E,N" help:"Only within this box, degrees of WGS 84."`
	Object     []string `placeholder:"DATASET/ID" help:"Only what these city objects or their parts are observed by."`
	District   []string `placeholder:"CODE" help:"Only these districts, e.g. 320508."`
	Domain     []string `placeholder:"NAME" help:"Only these domains, e.g. environment."`
	Filter     string   `short:"f" placeholder:"CQL2" help:"Only what this CQL2 filter chooses, e.g. \"value > 75\"."`

	Mode     string        `enum:"every,latest" default:"every" help:"every: each reading, without a gap. latest: of each Datastream the latest now and then (default ${default})."`
	Interval time.Duration `placeholder:"DURATION" help:"With --mode latest: at most one update in this time, 50ms to 1m (default 200ms)."`
	Since    string        `placeholder:"POSITION" help:"Go on after this position, as a line of --json gave it, e.g. 5f0c:1234."`
	New      bool          `help:"Only new readings: leave out the latest one of each Datastream that is there at the start."`

	Number int  `short:"n" placeholder:"N" help:"End after so many readings (default: until Ctrl-C)."`
	JSON   bool `name:"json" help:"Print one JSON object per reading."`
	UTC    bool `name:"utc" help:"Show times in UTC (default: the local zone)."`
}

func (c *tailCmd) Help() string {
	return `Prints readings as they come: first the latest of each Datastream, then every new one.
Standard output has readings only; what happens to the connection is told on standard error.
A lost connection is made again and goes on where it was. Ctrl-C ends it with status 0.

Examples:
  cityhub tail                                             # all that is open to the public
  cityhub tail -p pm25,pm10 --bbox 120.598,31.285,120.641,31.332
  cityhub tail --domain emergency --filter "value > 3.5" --token $TOKEN
  cityhub tail --mode latest --interval 5s                 # at most one update in 5 s
  cityhub tail --json -n 1000 | jq -r '[.terminal, .result] | @tsv'
  cityhub tail --json --since 5f0c:1234 >> readings.jsonl  # after the last "position" of the file

A line of --json has phenomenonTime (UTC), result, quality, datastream, terminal, name, nameEn, property, unit, ucum,
domain, dataset, lon, lat, simulated and, on the last reading of a message, position.`
}

func (c *tailCmd) request() (r client.Request, err error) {
	r = client.Request{Mode: client.Mode(c.Mode), MinInterval: c.Interval}
	r.Filter = client.Filter{ObservedProperties: c.Property, Objects: c.Object, Districts: c.District, CQL: c.Filter}
	for _, d := range c.Domain {
		if !twin.Domain(d).Valid() {
			return r, fmt.Errorf("--domain: %q is none of %v", d, twin.Domains())
		}
		r.Filter.Domains = append(r.Filter.Domains, twin.Domain(d))
	}
	for _, id := range c.Datastream {
		r.Filter.Datastreams = append(r.Filter.Datastreams, twin.DatastreamID(id))
	}
	if c.BBox != "" {
		parts := strings.Split(c.BBox, ",")
		r.Filter.BBox = new(client.BBox)
		for i, p := range parts {
			v, perr := strconv.ParseFloat(strings.TrimSpace(p), 64)
			if perr != nil || len(parts) != len(r.Filter.BBox) {
				return r, fmt.Errorf("--bbox: %q is not west,south,east,north in degrees, e.g. 120.598,31.285,120.641,31.332", c.BBox)
			}
			r.Filter.BBox[i] = v
		}
	}
	if c.Since != "" {
		if r.After, err = twin.ParsePosition(c.Since); err != nil {
			return r, fmt.Errorf("--since: %w", err)
		}
	}
	if c.Interval != 0 && r.Mode != client.Latest {
		return r, errors.New("--interval: is for --mode latest")
	}
	return r, nil
}

func (c *tailCmd) Run(ctx context.Context, std *output) error {
	r, err := c.request()
	if err != nil {
		return err
	}
	conn, err := client.Dial(ctx, client.Options{URL: c.Server, Token: c.Token, Subscribe: []client.Request{r}, Proxy: http.ProxyFromEnvironment})
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer func() { _ = conn.Close() }()
	zone := time.Local
	if c.UTC {
		zone = time.UTC
	}
	terminal := false
	if f, ok := std.out.(*os.File); ok {
		terminal = term.IsTerminal(int(f.Fd()))
	}
	colour := terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	t := &tail{cmd: c, note: std.err, out: bufio.NewWriter(std.out), known: map[twin.DatastreamID]*tailed{}, quiet: c.New}
	if c.JSON {
		t.print = jsonLines{t.out}
	} else {
		t.print = newColumns(t.out, zone, terminal, colour)
	}
	for !t.done() {
		ev, err := conn.Next(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil // Ctrl-C is how it ends
			}
			return err
		}
		if err := t.take(ev); err != nil {
			return err
		}
		if err := t.out.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// tailed is a Datastream with the time of its latest printed reading.
type tailed struct {
	client.Datastream
	printed int64
	any     bool
}

// printer writes a reading; position is not zero when --since may go on after it.
type printer interface {
	reading(d *client.Datastream, o *client.Observation, position twin.Position) error
}

// tail prints events. known is bounded by the Datastreams of the view.
type tail struct {
	cmd   *tailCmd
	note  interface{ Write([]byte) (int, error) }
	out   *bufio.Writer
	print printer
	known map[twin.DatastreamID]*tailed
	quiet bool // the state at the start is not printed
	count int
	lost  bool
}

func (t *tail) done() bool { return t.cmd.Number > 0 && t.count >= t.cmd.Number }

func (t *tail) take(ev client.Event) error {
	switch ev := ev.(type) {
	case *client.Connected:
		if t.lost {
			t.say("connected again to %s", t.cmd.Server)
		}
		t.lost = false
	case *client.Disconnected:
		t.lost = true
		t.say("the connection is lost: %v; next attempt in %v", ev.Err, ev.Retry.Round(time.Millisecond))
	case *client.Gap:
		t.say("readings after %s may be missing: %s", ev.After, ev.Reason)
	case *client.Failed:
		if ev.Retry == 0 {
			return ev.Err
		}
		t.say("%v; asking again in %v", ev.Err, ev.Retry.Round(time.Millisecond))
	case *client.Snapshot:
		t.learn(ev.Datastreams)
		for i := range ev.Observations {
			o := &ev.Observations[i]
			d := t.of(o.Datastream)
			// A snapshot that comes again repeats what is printed already.
			if t.quiet || d.any && o.PhenomenonNs <= d.printed {
				d.saw(o)
				continue
			}
			if err := t.line(d, o, twin.Position{}); err != nil || t.done() {
				return err
			}
		}
		t.quiet = t.quiet && !ev.Last
	case *client.Delta:
		t.learn(ev.Datastreams)
		for i := range ev.Observations {
			o, position := &ev.Observations[i], twin.Position{}
			if i == len(ev.Observations)-1 {
				position = ev.Position
			}
			if err := t.line(t.of(o.Datastream), o, position); err != nil || t.done() {
				return err
			}
		}
	}
	return nil
}

func (t *tail) line(d *tailed, o *client.Observation, position twin.Position) error {
	d.saw(o)
	t.count++
	return t.print.reading(&d.Datastream, o, position)
}

func (t *tail) learn(all []client.Datastream) {
	for _, d := range all {
		t.of(d.ID).Datastream = d
	}
}

// of is the Datastream; one that the hub has not described is known by its id.
func (t *tail) of(id twin.DatastreamID) *tailed {
	d := t.known[id]
	if d == nil {
		d = &tailed{Datastream: client.Datastream{ID: id}}
		t.known[id] = d
	}
	return d
}

func (d *tailed) saw(o *client.Observation) {
	if !d.any || o.PhenomenonNs > d.printed {
		d.any, d.printed = true, o.PhenomenonNs
	}
}

func (t *tail) say(format string, args ...any) {
	fmt.Fprintf(t.note, "cityhub tail: "+format+"\n", args...)
}
