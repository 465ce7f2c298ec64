package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"cityhub/internal/replay"
)

type replayCmd struct {
	Mapping string   `arg:"" type:"existingfile" help:"Mapping file, e.g. configs/replay/beijing-prsa.yaml."`
	Paths   []string `arg:"" optional:"" type:"path" help:"Data files or folders the mapping reads."`

	Broker      string        `default:"127.0.0.1:1883" placeholder:"ADDR" help:"MQTT broker or hub to publish to (default ${default})."`
	Username    string        `help:"MQTT user name."`
	Password    string        `env:"CITYHUB_MQTT_PASSWORD" help:"MQTT password."`
	QoS         int           `name:"qos" enum:"0,1" default:"1" help:"MQTT quality of service, 0 or 1 (default 1)."`
	Connections int           `default:"4" help:"MQTT connections; each terminal stays on one (default ${default})."`
	Window      int           `default:"100" help:"Messages in flight on a connection (default ${default})."`
	Speed       string        `default:"max" help:"max, 1 for the recorded speed, 60 for sixty times that … (default ${default})."`
	Loop        bool          `help:"Start over at the end, until stopped."`
	Now         bool          `help:"Move the times so that every reading is observed when it is sent; needs a --speed."`
	RetryFor    time.Duration `default:"1m" help:"How long a lost connection is tried again (default ${default})."`

	Manifest bool   `help:"Print the terminals manifest of the data, for cityhub import terminals, and publish nothing."`
	Count    bool   `help:"Count the values in the files, print the table and publish nothing."`
	Verify   bool   `help:"Afterwards ask the hub for the stored readings and compare with the files; fails when a count differs."`
	Only     bool   `help:"With --verify: publish nothing, only compare."`
	Server   string `default:"http://127.0.0.1:8080" placeholder:"URL" help:"The hub to verify against (default ${default})."`
	Token    string `env:"CITYHUB_TOKEN" help:"Operator's token for --verify."`
	JSON     bool   `name:"json" help:"Print the result as JSON."`
}

func (c *replayCmd) Help() string {
	return `Mapping files are described in configs/replay/README.md.

Examples, in the project's folder with the data beside it:
  cityhub replay configs/replay/beijing-prsa.yaml DATA --manifest > beijing.yaml
  cityhub import terminals beijing.yaml
  cityhub replay configs/replay/beijing-prsa.yaml DATA --verify --token $TOKEN   # all at full speed, then compare
  cityhub replay configs/replay/beijing-prsa.yaml DATA --speed 3600 --now        # an hour a second, as if today`
}

func (c *replayCmd) Run(ctx context.Context, std *output) error {
	speed := 0.0
	if c.Speed != "max" {
		var err error
		if speed, err = strconv.ParseFloat(strings.TrimSuffix(c.Speed, "x"), 64); err != nil || speed <= 0 {
			return fmt.Errorf("--speed: %q is neither max nor a positive number", c.Speed)
		}
	}
	if c.Now && speed == 0 {
		return fmt.Errorf("--now: give a --speed as well, e.g. --speed 1")
	}
	m, err := replay.LoadMapping(c.Mapping)
	if err != nil {
		return err
	}
	src, err := m.Open(c.Paths...)
	if err != nil {
		return err
	}
	if c.Manifest {
		b, err := src.Manifest(ctx)
		if err != nil {
			return err
		}
		_, err = std.out.Write(b)
		return err
	}
	counts, err := replay.Count(ctx, src, std.err)
	if err != nil {
		return err
	}
	if c.Count {
		if c.JSON {
			return json.NewEncoder(std.out).Encode(counts)
		}
		return counts.WriteTable(std.out)
	}
	if !c.Only {
		res, err := replay.Run(ctx, replay.Options{
			Source: src, Counts: counts, Broker: c.Broker, Username: c.Username, Password: c.Password,
			QoS: byte(c.QoS), Connections: c.Connections, Window: c.Window, Speed: speed, Loop: c.Loop, Now: c.Now,
			RetryFor: c.RetryFor, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)), Progress: std.err,
		})
		if err != nil {
			return err
		}
		if c.JSON {
			if err := json.NewEncoder(std.out).Encode(res); err != nil {
				return err
			}
		} else {
			fmt.Fprintf(std.out, "published %d readings in %d messages of %d rows in %s: %.0f readings/s; %d acknowledged, %d sent again\n",
				res.Readings, res.Messages, res.Rows, res.Elapsed.Round(time.Millisecond), float64(res.Readings)/res.Elapsed.Seconds(), res.Acked, res.Resent)
		}
	}
	if !c.Verify {
		return nil
	}
	report, err := replay.Verify(ctx, replay.VerifyOptions{BaseURL: c.Server, Token: c.Token, Counts: counts, Progress: std.err})
	if report != nil {
		if c.JSON {
			if err := json.NewEncoder(std.out).Encode(report); err != nil {
				return err
			}
		} else if werr := report.WriteTable(std.out, false); werr != nil {
			return werr
		}
	}
	return err
}
