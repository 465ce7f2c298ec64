package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"cityhub/twin"
	"cityhub/twin/registry"
	"cityhub/twin/registry/manifest"
)

type importCmd struct {
	Terminals importTerminalsCmd `cmd:"" help:"Register terminals, what they observe and their datasets from a manifest (YAML or CSV)."`
	City      importCityCmd      `cmd:"" help:"Import a city model: buildings, roads, water, underground space, components, districts."`
}

// target is where a command works: a stopped hub's data folder or a running
// hub.
type target struct {
	Data   string `placeholder:"DIR" help:"Data folder of a stopped hub (default ./data)."`
	Server string `placeholder:"URL" help:"Address of a running hub, e.g. http://127.0.0.1:8080; needs --token."`
	Token  string `env:"CITYHUB_TOKEN" placeholder:"TOKEN" help:"Operator's token for --server; the first start printed it and keeps it in DATA/operator.token."`
}

func (t *target) validate() error {
	if t.Data != "" && t.Server != "" {
		return fmt.Errorf("--data and --server exclude each other: the hub is stopped or it runs")
	}
	return nil
}

// openRegistry opens the registry of a stopped hub.
func (t *target) openRegistry(ctx context.Context) (_ *registry.Registry, closeAll func() error, err error) {
	dir := t.Data
	if dir == "" {
		dir = defaultConfig().Data
	}
	unlock, err := lockData(dir)
	if err != nil {
		return nil, nil, err
	}
	r, err := registry.Open(ctx, registry.Options{Path: filepath.Join(dir, "registry.db")})
	if err != nil {
		unlock()
		return nil, nil, err
	}
	return r, func() error {
		defer unlock()
		return r.Close()
	}, nil
}

// request asks a running hub; a problem document becomes an error.
func (t *target) request(ctx context.Context, method, path, contentType string, body io.Reader, result any) error {
	base, err := url.Parse(t.Server)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return fmt.Errorf("--server: %q is not an address such as http://127.0.0.1:8080", t.Server)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(t.Server, "/")+path, body)
	if err != nil {
		return err
	}
	if t.Token != "" {
		req.Header.Set("Authorization", "Bearer "+t.Token)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	client := &http.Client{Timeout: 10 * time.Minute}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("ask %s: %w", t.Server, err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return fmt.Errorf("ask %s: %w", t.Server, err)
	}
	if resp.StatusCode >= 300 {
		return problem(resp, b)
	}
	if result == nil || len(b) == 0 {
		return nil
	}
	return json.Unmarshal(b, result)
}

// problem turns a problem document (RFC 9457) into an error for the terminal.
func problem(resp *http.Response, body []byte) error {
	var p struct {
		Title, Detail, Field, Hint string
		Errors                     []struct{ Message string }
	}
	if json.Unmarshal(body, &p) != nil || p.Title == "" {
		return fmt.Errorf("the hub answers %s: %.200s", resp.Status, body)
	}
	msg := p.Detail
	if msg == "" {
		msg = p.Title
	}
	for _, e := range p.Errors {
		if e.Message != "" {
			msg += "\n  " + e.Message
		}
	}
	return &twin.Error{Code: twin.CodeInvalid, Op: "the hub answers " + resp.Status, Field: p.Field, Message: msg, Hint: p.Hint}
}

type importTerminalsCmd struct {
	target
	Files  []string `arg:"" name:"file" help:"Manifest, .yaml or .csv; - reads YAML from standard input."`
	DryRun bool     `help:"Check everything, say what would happen and change nothing."`
	JSON   bool     `name:"json" help:"Print the result as JSON."`
}

func (c *importTerminalsCmd) Help() string {
	return `The manifest's format is described in twin/registry/manifest/FORMAT.md. Importing it
again changes only what differs in it. Nothing is imported from a file with a mistake:
every mistake is named with its line.

Examples:
  cityhub import terminals terminals.yaml                       # into ./data, hub stopped
  cityhub import terminals stations.csv --server http://127.0.0.1:8080 --token $TOKEN`
}

func (c *importTerminalsCmd) Run(ctx context.Context, std *output) error {
	if err := c.validate(); err != nil {
		return err
	}
	put := c.remote
	if c.Server == "" {
		r, closeAll, err := c.openRegistry(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = closeAll() }()
		put = func(ctx context.Context, name string, b []byte) (registry.ImportResult, error) {
			parse := manifest.Parse
			if name == standardInput {
				parse = manifest.ParseYAML
			}
			m, err := parse(name, bytes.NewReader(b))
			if err != nil {
				return registry.ImportResult{}, err
			}
			return r.Import(ctx, m, registry.ImportOptions{DryRun: c.DryRun, File: name, Progress: progressLine(std.err, "terminals")})
		}
	}
	for _, name := range c.Files {
		b, shown, err := readInput(name)
		if err != nil {
			return err
		}
		res, err := put(ctx, shown, b)
		if err != nil {
			return err
		}
		if c.JSON {
			if err := json.NewEncoder(std.out).Encode(res); err != nil {
				return err
			}
			continue
		}
		would := ""
		if c.DryRun {
			would = " (dry run: nothing was changed)"
		}
		fmt.Fprintf(std.out, "%s: %d terminals created, %d updated, %d unchanged; %d datastreams%s\n", shown, res.Created, res.Updated, res.Unchanged, res.Datastreams, would)
		for _, w := range res.Warnings {
			fmt.Fprintf(std.err, "  note: %s\n", w)
		}
	}
	return nil
}

// remote gives a manifest to a running hub.
func (c *importTerminalsCmd) remote(ctx context.Context, name string, b []byte) (registry.ImportResult, error) {
	var res registry.ImportResult
	contentType := "application/yaml"
	if strings.EqualFold(filepath.Ext(name), ".csv") {
		contentType = "text/csv"
	}
	path := "/api/v1/terminals/import"
	if c.DryRun {
		path += "?dryRun=true"
	}
	err := c.request(ctx, http.MethodPost, path, contentType, bytes.NewReader(b), &res)
	return res, err
}

// standardInput is what - is called in messages.
const standardInput = "standard input"

// readInput reads a file, or standard input for -.
func readInput(name string) (b []byte, shown string, err error) {
	if name == "-" {
		b, err = io.ReadAll(os.Stdin)
		return b, standardInput, err
	}
	b, err = os.ReadFile(name)
	return b, name, err
}

// progressLine gives a progress function that writes a line now and then.
func progressLine(w io.Writer, what string) func(done, total int) {
	var last time.Time
	return func(done, total int) {
		if now := time.Now(); now.Sub(last) >= time.Second && done < total {
			last = now
			fmt.Fprintf(w, "  %d of %d %s\n", done, total, what)
		}
	}
}
