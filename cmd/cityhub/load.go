package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"time"

	"cityhub/internal/loadgen"
)

type loadCmd struct {
	Broker      string        `default:"127.0.0.1:1883" placeholder:"ADDR" help:"MQTT broker or hub to publish to (default ${default})."`
	Username    string        `help:"MQTT user name."`
	Password    string        `env:"CITYHUB_MQTT_PASSWORD" help:"MQTT password."`
	QoS         int           `name:"qos" enum:"0,1" default:"1" help:"MQTT quality of service, 0 or 1 (default 1)."`
	Connections int           `short:"n" default:"100" help:"MQTT connections (default ${default})."`
	Window      int           `short:"w" default:"20" help:"Messages in flight on a connection (default ${default})."`
	Rate        float64       `help:"Messages a second over all connections (default: as fast as possible)."`
	Duration    time.Duration `short:"d" default:"10s" help:"How long to publish (default ${default})."`
	Messages    int64         `help:"Publish so many messages instead of for a duration."`
	Readings    int           `default:"1" help:"Readings in a message (default ${default})."`
	Terminals   int           `help:"Terminals, load-000001 …, spread over the connections (default: one a connection)."`
	Payload     int           `placeholder:"BYTES" help:"Pad payloads to this size."`
	Reconnect   bool          `help:"Connect again when a connection is lost, instead of ending."`
	Manifest    bool          `help:"Print the manifest of the terminals, for cityhub import terminals, and publish nothing."`
	JSON        bool          `name:"json" help:"Print the result as JSON."`
}

func (c *loadCmd) Help() string {
	return `The hub must know the terminals, or run with --set ingest.autoRegister=true:
  cityhub load --manifest | cityhub import terminals - --server http://127.0.0.1:8080 --token $TOKEN
  cityhub load --duration 30s`
}

func (c *loadCmd) Run(ctx context.Context, std *output) error {
	if c.Manifest {
		return loadgen.Manifest(std.out, loadgen.ManifestOptions{Terminals: max(c.Terminals, c.Connections), Readings: c.Readings})
	}
	o := loadgen.Options{
		Broker: c.Broker, Username: c.Username, Password: c.Password, QoS: byte(c.QoS),
		Connections: c.Connections, Window: c.Window, Rate: c.Rate, Duration: c.Duration, Messages: c.Messages,
		Readings: c.Readings, Terminals: c.Terminals, PayloadBytes: c.Payload, Reconnect: c.Reconnect,
		Live: std.err, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	if c.Messages > 0 {
		o.Duration = 0
	}
	res, err := loadgen.Run(ctx, o)
	if res != nil {
		if c.JSON {
			if werr := json.NewEncoder(std.out).Encode(res); werr != nil {
				return werr
			}
		} else if werr := res.WriteTable(std.out); werr != nil {
			return werr
		}
	}
	return err
}
