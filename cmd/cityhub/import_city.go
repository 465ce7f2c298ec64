package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"cityhub/spatial"
	"cityhub/spatial/cityimport"
	"cityhub/spatial/citymodel/open"
	"cityhub/twin"
	"cityhub/twin/registry"
	"cityhub/twin/registry/manifest"
)

type importCityCmd struct {
	target
	Files          []string `arg:"" name:"file" help:"City model: CityJSON, CityGML, GeoJSON, sequences of these, GeoPackage, Shapefile, KML, OSM PBF, CSV with WKT or coordinates; also in gzip or zip."`
	Dataset        string   `placeholder:"CODE" help:"Code of the data set (default: from the file's name). Objects are known again by it and their identifier."`
	Class          string   `enum:"building,road,water,underground,component," default:"" help:"Class of the objects of which the file does not tell: building, road, water, underground or component."`
	ID             string   `name:"id" placeholder:"ATTRIBUTE" help:"Attribute that identifies the objects, where the file has no identifiers."`
	Type           string   `placeholder:"TYPE" help:"Type of all objects; AdministrativeDistrict makes them districts."`
	Level          string   `placeholder:"CIM1…CIM7" help:"CIM level of the model."`
	CRS            string   `name:"crs" placeholder:"EPSG:4549" help:"Coordinate reference system, where the file has none or a wrong one; EPSG:4549+5737 names the datum of heights as well."`
	GCJ02          bool     `name:"gcj02" help:"The coordinates are GCJ-02, as map services in China give them; they are converted."`
	SwapAxes       bool     `help:"X and Y are exchanged in the file, e.g. longitude first in GML of EPSG:4326."`
	Complete       bool     `help:"The file is all of the data set: its objects that do not come end now."`
	DryRun         bool     `help:"Read and check everything, say what would happen and change nothing."`
	Repair         string   `enum:"safe,none" default:"safe" help:"Mend geometry where only one thing can be meant (safe, the default), or nothing (none)."`
	Strict         bool     `help:"Refuse the import where geometry stays that breaks ISO 19107."`
	SkipUnreadable bool     `help:"Import the rest where something of the file cannot be read."`
	Title          string   `help:"Title of the data set in the catalogue (default: its code)."`
	Owner          string   `help:"Body responsible for the data set, for the catalogue."`
	Open           string   `enum:"unconditional,conditional,none," default:"" help:"Who sees the data set: unconditional, conditional, none (default for a new one: none)."`
	Format         string   `placeholder:"NAME" help:"Format, where it cannot be told from the file: ${cityFormats}."`
	Layer          string   `placeholder:"NAME" help:"Layer of a GeoPackage (default: all)."`
	Member         string   `placeholder:"NAME" help:"Data set in an archive that holds several."`
	Encoding       string   `placeholder:"NAME" help:"Encoding of the texts of a Shapefile or CSV table, e.g. GBK."`
	Column         string   `placeholder:"NAME" help:"Column of a CSV table that holds the geometry as WKT."`
	X              string   `placeholder:"NAME" help:"Column of a CSV table with the easting or longitude; with --y, and --z for the height."`
	Y              string   `hidden:""`
	Z              string   `hidden:""`
	ClassProperty  string   `placeholder:"NAME" help:"Attribute that says the class of each object."`
	PostGIS        string   `name:"postgis" env:"CITYHUB_CITY_URL" placeholder:"URL" help:"Import into the PostGIS of a stopped hub, postgres://user:password@host/database, as city.url names it."`
	Report         string   `placeholder:"FILE" help:"Write every finding to a file, .json or .csv."`
	JSON           bool     `name:"json" help:"Print the report as JSON, one line for each data set."`
}

func (c *importCityCmd) Help() string {
	return `Importing a file again changes only the objects that differ; what they were before stays
as an earlier version. A file is imported as a whole or not at all; several files of one
--dataset are one import, except on a running hub, where each is one.

Examples:
  cityhub import city rotterdam.city.json                                  # into ./data, hub stopped
  cityhub import city footprints.geojson --class building --open unconditional
  cityhub import city vienna.city.jsonl --crs EPSG:31256+8881 --dry-run --report problems.csv
  cityhub import city districts.geojson --type AdministrativeDistrict --gcj02
  cityhub import city bridges.gml --server http://127.0.0.1:8080 --token $TOKEN`
}

func (c *importCityCmd) Run(ctx context.Context, std *output) (err error) {
	if err := c.validate(); err != nil {
		return err
	}
	groups, err := c.groups()
	if err != nil {
		return err
	}
	// An import makes much garbage beside little that stays: collecting it less
	// often makes it a tenth faster for some hundred megabytes.
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	out, err := newFindingsFile(c.Report)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.close()) }()
	one := c.remote
	if c.Server == "" {
		open, closeAll, err := c.openCity(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = closeAll() }()
		one = open
	}
	for _, g := range groups {
		p := newImportProgress(std.err)
		g.Options.Progress = p.show
		g.Options.Finding = out.add
		report, note, err := one(ctx, g)
		p.end()
		if report != nil {
			out.report(report)
			if werr := c.print(std, report, note, err); werr != nil {
				return werr
			}
		}
		if err != nil {
			return err
		}
	}
	return out.err
}

func (c *importCityCmd) print(std *output, r *cityimport.Report, note string, failed error) error {
	if c.JSON {
		return json.NewEncoder(std.out).Encode(cityimport.Event{Report: r, Note: note})
	}
	w := std.out
	if failed != nil {
		w = std.err
	}
	if err := r.WriteText(w); err != nil {
		return err
	}
	if note != "" {
		fmt.Fprintf(std.err, "  note: %s\n", note)
	}
	return nil
}

// groups gives the import of each data set, in the order of the files.
func (c *importCityCmd) groups() ([]*cityimport.Parameters, error) {
	base := cityimport.Options{
		Class: spatial.Class(c.Class), ID: c.ID, Type: c.Type, GCJ02: c.GCJ02, SwapAxes: c.SwapAxes, Complete: c.Complete, DryRun: c.DryRun,
		Reading: cityimport.Reading{Format: c.Format, Layer: c.Layer, Member: c.Member, Encoding: c.Encoding, Column: c.Column, X: c.X, Y: c.Y, Z: c.Z, ClassProperty: c.ClassProperty},
		Repair:  cityimport.RepairMode(c.Repair), Strict: c.Strict, SkipUnreadable: c.SkipUnreadable,
	}
	var err error
	if base.Level, err = cityimport.ParseLevel(c.Level); err != nil {
		return nil, err
	}
	if base.CRS, err = cityimport.ParseCRS(c.CRS); err != nil {
		return nil, err
	}
	var groups []*cityimport.Parameters
	byCode := map[string]*cityimport.Parameters{}
	for _, file := range c.Files {
		code := c.Dataset
		if code == "" {
			code = cityimport.DatasetOf(file)
		}
		if code == "" {
			return nil, fmt.Errorf("%s: no code of a data set can be made of the file's name; name it with --dataset", file)
		}
		g := byCode[code]
		if g == nil || c.Server != "" {
			if g != nil && c.Complete {
				return nil, fmt.Errorf("--complete: several files of the data set %s cannot be imported into a running hub as one; import one file, or stop the hub and use --data", code)
			}
			g = &cityimport.Parameters{
				Options: base, File: filepath.Base(file), Findings: c.Report != "",
				Entry: cityimport.Entry{Code: code, Title: c.Title, Owner: c.Owner, Open: c.Open},
			}
			g.Options.Dataset = code
			byCode[code] = g
			groups = append(groups, g)
		}
		g.Options.Sources = append(g.Options.Sources, cityimport.Source{Path: file})
	}
	return groups, nil
}

// importFunc imports one data set. The report may be there beside an error.
type importFunc = func(context.Context, *cityimport.Parameters) (*cityimport.Report, string, error)

// openCity opens the city model of a stopped hub.
func (c *importCityCmd) openCity(ctx context.Context) (importFunc, func() error, error) {
	r, closeRegistry, err := c.openRegistry(ctx)
	if err != nil {
		return nil, nil, err
	}
	cfg := defaultConfig()
	if c.Data != "" {
		cfg.Data = c.Data
	}
	if c.PostGIS != "" {
		cfg.City.Store, cfg.City.URL = "postgis", c.PostGIS
	}
	s, err := openCity(ctx, cfg)
	if err != nil {
		return nil, nil, errors.Join(err, closeRegistry())
	}
	catalogue := cityCatalogue{r}
	run := func(ctx context.Context, p *cityimport.Parameters) (*cityimport.Report, string, error) {
		if err := catalogue.Check(ctx, p.Entry); err != nil {
			return nil, "", err
		}
		o := p.Options
		o.Store = s
		report, err := cityimport.Run(ctx, o)
		if err != nil || o.DryRun {
			return report, "", err
		}
		note, err := catalogue.Put(ctx, p.Entry)
		if err != nil {
			err = fmt.Errorf("the objects are stored, but not their entry in the catalogue; import again: %w", err)
		}
		return report, note, err
	}
	return run, func() error { return errors.Join(s.Close(), closeRegistry()) }, nil
}

// cityCatalogue keeps the catalogue's entries of the city model's data sets. It
// is cityimport.Catalogue.
type cityCatalogue struct{ registry *registry.Registry }

// unnamedOwner stands for the responsible body that nobody has named yet.
const unnamedOwner = "未登记"

// entry is what e makes of the catalogue's entry, and whether that is new or
// changed.
func (c cityCatalogue) entry(ctx context.Context, e cityimport.Entry) (d twin.Dataset, created, changed bool, err error) {
	d, err = c.registry.DatasetByCode(ctx, e.Code)
	switch {
	case twin.ErrorCode(err) == twin.CodeNotFound:
		d, created, changed = twin.Dataset{Code: e.Code, Title: e.Code, Owner: unnamedOwner, Open: twin.OpenNone}, true, true
	case err != nil:
		return d, false, false, err
	}
	set := func(to *string, value string) {
		if value != "" && *to != value {
			*to, changed = value, true
		}
	}
	set(&d.Title, e.Title)
	set(&d.Owner, e.Owner)
	set((*string)(&d.Open), e.Open)
	m := manifest.Dataset{Code: d.Code, Title: d.Title, TitleEn: d.TitleEn, Owner: d.Owner, Open: d.Open, Description: d.Description, Simulated: d.Simulated}
	return d, created, changed, m.Check()
}

func (c cityCatalogue) Check(ctx context.Context, e cityimport.Entry) error {
	_, _, _, err := c.entry(ctx, e)
	return err
}

func (c cityCatalogue) Put(ctx context.Context, e cityimport.Entry) (note string, err error) {
	d, created, changed, err := c.entry(ctx, e)
	if err != nil || !changed {
		return "", err
	}
	if _, err := c.registry.PutDataset(ctx, d); err != nil {
		return "", err
	}
	if !created {
		return "", nil
	}
	note = fmt.Sprintf("the data set %s is new in the catalogue", d.Code)
	if d.Open == twin.OpenNone {
		note += ", and only operators see it; import again with --open unconditional, or conditional, to show it"
	}
	if d.Owner == unnamedOwner {
		note += "; name the body that is responsible for it with --owner"
	}
	return note, nil
}

var errStopped = errors.New("stopped; the hub stores nothing of an import whose client goes before its end")

// remote gives a file to a running hub and follows its import.
func (c *importCityCmd) remote(ctx context.Context, p *cityimport.Parameters) (*cityimport.Report, string, error) {
	base, err := url.Parse(c.Server)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, "", fmt.Errorf("--server: %q is not an address such as http://127.0.0.1:8080", c.Server)
	}
	f, err := os.Open(p.Options.Sources[0].Path)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, "", err
	}
	body := &upload{f: f, total: info.Size(), name: p.File, show: p.Options.Progress, began: time.Now()}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(c.Server, "/")+cityimport.Path+"?"+p.Query().Encode(), body)
	if err != nil {
		return nil, "", err
	}
	req.ContentLength = info.Size()
	req.Header.Set("Content-Type", "application/octet-stream")
	req.Header.Set("Accept", cityimport.Lines)
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	resp, err := (&http.Client{}).Do(req) // an import takes as long as it takes; the context ends it
	if err != nil {
		if ctx.Err() != nil {
			return nil, "", errStopped
		}
		return nil, "", fmt.Errorf("ask %s: %w", c.Server, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode >= 300 {
		b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		if err != nil {
			return nil, "", fmt.Errorf("ask %s: %w", c.Server, err)
		}
		return nil, "", problem(resp, b)
	}
	for dec := json.NewDecoder(resp.Body); ; {
		var e cityimport.Event
		if err := dec.Decode(&e); err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("the answer ended without a report")
			}
			if ctx.Err() != nil { // the person here did, not the hub
				return nil, "", errStopped
			}
			return nil, "", fmt.Errorf("ask %s: the hub broke off the import; look into its log: %w", c.Server, err)
		}
		switch {
		case e.Error != nil:
			return e.Report, "", e.Error.Err()
		case e.Report != nil:
			return e.Report, e.Note, nil
		case e.Progress != nil:
			p.Options.Progress(*e.Progress)
		case e.Finding != nil:
			p.Options.Finding(*e.Finding)
		}
	}
}

// upload shows how far a file has been sent.
type upload struct {
	f     io.Reader
	sent  int64
	total int64
	name  string
	show  func(cityimport.Progress)
	began time.Time
	shown time.Time
}

func (u *upload) Read(b []byte) (int, error) {
	n, err := u.f.Read(b)
	u.sent += int64(n)
	if now := time.Now(); now.Sub(u.shown) > 200*time.Millisecond {
		u.shown = now
		u.show(cityimport.Progress{Source: "sending " + u.name, Bytes: u.sent, Total: u.total, Seconds: now.Sub(u.began).Seconds()})
	}
	return n, err
}

// cityFormats lists the formats of city models for --help.
func cityFormats() string {
	var names []string
	for _, f := range open.Formats() {
		names = append(names, f.Name)
	}
	return strings.Join(names, ", ")
}
