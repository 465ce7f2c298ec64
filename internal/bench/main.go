// Command bench measures the hub as docs/BENCHMARKS.md describes and prints
// the table of that file: `make bench`, or `go run ./internal/bench`.
//
// Every row starts the real program as a child process on a fresh data folder
// and free ports, drives it from outside as its users would, and checks that
// the hub holds exactly what it acknowledged; a row whose check fails has no
// figure and makes the exit status 1. Each row is bounded in time, and no
// child outlives the program.
//
// The rows run one after another. What a row starts ends with the row.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// options are the command line.
type options struct {
	binary  string
	run     string
	dir     string
	profile string
	beijing string
	postgis string
	list    bool
	quick   bool
	json    bool
	keep    bool
}

const usage = `bench measures the hub and prints the table of docs/BENCHMARKS.md.

  go run ./internal/bench                       every row, about ten minutes
  go run ./internal/bench --list                the rows
  go run ./internal/bench --run 'mqtt|latency'  the rows whose name matches
  go run ./internal/bench --quick               a smoke run; its figures mean nothing

`

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, out, errs io.Writer) int {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(errs)
	flags.StringVar(&o.binary, "binary", "", "the `FILE` of the cityhub program to measure; empty: build it")
	flags.StringVar(&o.run, "run", "", "run only the rows whose name matches `REGEXP`")
	flags.StringVar(&o.dir, "dir", "", "`FOLDER` for the hub's data, on the disk to measure; default .cache/bench in the project")
	flags.StringVar(&o.profile, "profile", "", "write a CPU profile of the hub of every row into `FOLDER`")
	flags.StringVar(&o.beijing, "beijing", "", "`FOLDER` with the PRSA data of Beijing's stations; without it the row replay is left out")
	flags.StringVar(&o.postgis, "postgis", "", "`URL` of an empty database with PostGIS; without it the row city-postgis is left out")
	flags.BoolVar(&o.list, "list", false, "list the rows and end")
	flags.BoolVar(&o.quick, "quick", false, "small and short: shows that every row works, not how fast")
	flags.BoolVar(&o.json, "json", false, "print JSON instead of Markdown")
	flags.BoolVar(&o.keep, "keep", false, "keep the data folders")
	flags.Usage = func() { fmt.Fprint(errs, usage); flags.PrintDefaults() }
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(errs, "bench: %q is not expected; see --help\n", flags.Arg(0))
		return 2
	}
	match, err := regexp.Compile(o.run)
	if err != nil {
		fmt.Fprintf(errs, "bench: --run: %v\n", err)
		return 2
	}
	var chosen []row
	for _, r := range rows() {
		if match.MatchString(r.name) {
			if r.name == "replay" && o.beijing == "" && !o.list {
				fmt.Fprintln(errs, "bench: the row replay is left out: --beijing names no folder with its data")
				continue
			}
			if r.name == "city-postgis" && o.postgis == "" && !o.list {
				fmt.Fprintln(errs, "bench: the row city-postgis is left out: --postgis names no database")
				continue
			}
			chosen = append(chosen, r)
		}
	}
	if o.list {
		for _, r := range chosen {
			fmt.Fprintf(out, "%-14s %s\n", r.name, r.about)
		}
		return 0
	}
	if len(chosen) == 0 {
		fmt.Fprintf(errs, "bench: no row to run matches %q; --list shows them\n", o.run)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	rep, err := measure(ctx, o, chosen, errs)
	if err != nil {
		fmt.Fprintln(errs, "bench:", err)
		if rep == nil {
			return 1
		}
	}
	write := rep.writeMarkdown
	if o.json {
		write = rep.writeJSON
	}
	if werr := write(out); werr != nil {
		fmt.Fprintln(errs, "bench:", werr)
		return 1
	}
	if err != nil || rep.failed() {
		return 1
	}
	return 0
}

// measure prepares the program and the folder, and runs the rows. The report
// comes with an error when it was cut short.
func measure(ctx context.Context, o options, chosen []row, errs io.Writer) (_ *report, err error) {
	root, err := projectRoot(ctx)
	if err != nil {
		return nil, err
	}
	if o.dir == "" {
		o.dir = filepath.Join(root, ".cache", "bench")
	}
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(o.dir, "run-")
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	if o.profile != "" {
		if err := os.MkdirAll(o.profile, 0o755); err != nil {
			return nil, err
		}
		if o.profile, err = filepath.Abs(o.profile); err != nil {
			return nil, err
		}
	}
	if o.beijing, err = filepath.Abs(o.beijing); err != nil {
		return nil, err
	}
	if o.keep {
		fmt.Fprintln(errs, "bench: data folders are kept in", dir)
	} else {
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	b := &bench{root: root, dir: dir, binary: o.binary, profile: o.profile, beijing: o.beijing, postgis: o.postgis, quick: o.quick, keep: o.keep, errs: errs}
	if b.binary == "" {
		b.binary = filepath.Join(dir, "cityhub")
		b.logf("building cityhub")
		if err := build(ctx, root, b.binary); err != nil {
			return nil, err
		}
	} else if b.binary, err = filepath.Abs(b.binary); err != nil {
		return nil, err
	}
	rep := &report{Quick: o.quick}
	if rep.Machine, err = b.machine(ctx); err != nil {
		return nil, err
	}
	for _, r := range chosen {
		if ctx.Err() != nil {
			return rep, errors.New("stopped; the rows so far follow")
		}
		b.logf("%s: %s", r.name, r.about)
		began := time.Now()
		lines, err := b.runRow(ctx, r)
		b.logf("%s: took %.1f s", r.name, time.Since(began).Seconds())
		rep.add(r, lines, err)
		if err != nil {
			b.logf("%s: FAILED: %v", r.name, err)
		}
	}
	return rep, nil
}

// projectRoot is the folder of the module that the program was started in.
func projectRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the project: go env GOMOD: %w", err)
	}
	mod := strings.TrimSpace(string(out))
	if mod == "" || mod == os.DevNull {
		return "", errors.New("start it in the folder of the project")
	}
	return filepath.Dir(mod), nil
}

// build builds the program as the Makefile does.
func build(ctx context.Context, root, file string) error {
	version := "dev"
	describe := exec.CommandContext(ctx, "git", "describe", "--tags", "--always", "--dirty")
	describe.Dir = root
	if out, err := describe.Output(); err == nil {
		version = strings.TrimSpace(string(out))
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.version="+version, "-o", file, "./cmd/cityhub")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build cityhub: %w\n%s", err, out)
	}
	return nil
}
