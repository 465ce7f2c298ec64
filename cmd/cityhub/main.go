// Command cityhub is the city data hub: one program that takes a city's
// readings in over MQTT, keeps them and streams them live.
//
//	cityhub serve              run the hub
//	cityhub import terminals   register terminals from a manifest
//	cityhub replay             publish recorded data over MQTT
//	cityhub load               publish generated load and measure it
//	cityhub tail               print readings live in the terminal
//	cityhub token              make, list and revoke access tokens
//
// Only this package reads configuration, flags and the environment; it builds
// every part and hands each what it needs.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"cityhub/twin"
)

// version is set by the build.
var version = "dev"

type cli struct {
	Serve   serveCmd   `cmd:"" help:"Run the hub: MQTT in, time series, SensorThings and streaming out."`
	Import  importCmd  `cmd:"" help:"Bring terminals or a city model into the hub."`
	Replay  replayCmd  `cmd:"" help:"Publish recorded data over MQTT, as a city's terminals would."`
	Load    loadCmd    `cmd:"" help:"Publish generated readings as fast as wanted and measure the acknowledgements."`
	Tail    tailCmd    `cmd:"" help:"Print readings live as they come, filtered, as columns or JSON."`
	Token   tokenCmd   `cmd:"" help:"Make, list and revoke access tokens."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

type versionCmd struct{}

func (versionCmd) Run(std *output) error {
	_, err := fmt.Fprintln(std.out, "cityhub", version)
	return err
}

// output is where a command writes: results to out, everything else to err.
type output struct{ out, err io.Writer }

func main() {
	os.Exit(run(os.Args[1:], &output{os.Stdout, os.Stderr}))
}

// run parses args and runs the command; it gives the exit status.
func run(args []string, std *output) int {
	var c cli
	exit := -1
	parser, err := kong.New(&c,
		kong.Name("cityhub"),
		kong.Description("City data hub: readings in over MQTT, durable, joined to the city and streamed live."),
		kong.UsageOnError(),
		kong.Vars{"cityFormats": cityFormats()},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Writers(std.out, std.err),
		kong.Exit(func(code int) { exit = code }),
	)
	if err != nil {
		fmt.Fprintln(std.err, "cityhub:", err)
		return 1
	}
	kctx, err := parser.Parse(args)
	if exit >= 0 { // --help
		return exit
	}
	if err != nil {
		var perr *kong.ParseError
		if errors.As(err, &perr) {
			_ = perr.Context.PrintUsage(true)
		}
		fmt.Fprintln(std.err, "cityhub:", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	kctx.BindTo(ctx, (*context.Context)(nil))
	kctx.Bind(std)
	if err := kctx.Run(); err != nil {
		fmt.Fprintln(std.err, "cityhub:", explain(err))
		return 1
	}
	return 0
}

// explain puts an error's hint on a line of its own.
func explain(err error) string {
	var e *twin.Error
	if !errors.As(err, &e) || e.Hint == "" {
		return err.Error()
	}
	plain := *e
	plain.Hint = ""
	if err == error(e) {
		return plain.Error() + "\n  " + e.Hint
	}
	return err.Error()
}
