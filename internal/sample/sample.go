// Package sample is the built-in sample of `make run`: a dozen terminals of
// Gusu, Suzhou's old town, that publish a simulated hour in a loop over real
// MQTT, with current times of observation. Everything in it is marked
// simulated.
//
// The hour is laid on the clock: what stands at offset 600 is published at ten
// past every hour. So the loop has no seam, and a restart publishes the same
// readings with the same times again instead of second ones.
//
// Run may be called concurrently; it starts no goroutine.
package sample

//go:generate go run ./gen -out ../../configs/sample/hour.csv

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"sort"
	"strconv"
	"time"

	sampledata "cityhub/configs/sample"
	"cityhub/internal/mqttclient"
	"cityhub/twin"
)

// Backfill is how much of the past Run publishes at the start unless told
// otherwise, so that curves are not empty.
const Backfill = 15 * time.Minute

// pollEvery bounds how long Run does not look at the clock.
const pollEvery = 100 * time.Millisecond

// Options of Run. Broker is required.
type Options struct {
	Broker   string // address as mqttclient.Options has it
	ClientID string // empty means "cityhub-sample"
	Username string
	Password string
	// Backfill is how much of the past is published at the start, at most an
	// hour; zero means the constant Backfill, negative nothing.
	Backfill time.Duration
	Now      func() time.Time // nil means time.Now
	Logger   *slog.Logger     // nil means none
}

// Manifest is the terminals manifest of the sample, in YAML. Do not change it.
func Manifest() []byte { return sampledata.Terminals }

// message is what one terminal publishes at one moment of the hour.
type message struct {
	offset   time.Duration // into the hour
	topic    string
	readings []byte // ,"name":value for each
	count    int
}

// Run publishes until ctx ends, and returns nil then. It connects again as
// often as it must; only the first connection is not tried twice.
func Run(ctx context.Context, o Options) error {
	if o.ClientID == "" {
		o.ClientID = "cityhub-sample"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Backfill == 0 {
		o.Backfill = Backfill
	}
	if o.Backfill > time.Hour {
		return &twin.Error{Code: twin.CodeInvalid, Op: "run sample", Field: "backfill", Message: fmt.Sprintf("%s is more than the hour that the sample holds", o.Backfill)}
	}
	hour, err := parse(bytes.NewReader(sampledata.Hour))
	if err != nil {
		return err
	}
	p, err := mqttclient.NewPublisher(ctx, mqttclient.PublisherOptions{
		Options: mqttclient.Options{Address: o.Broker, ClientID: o.ClientID, Username: o.Username, Password: o.Password, KeepAlive: 30 * time.Second, Window: 100},
		QoS:     1, RetryFor: -1, Logger: o.Logger,
	})
	if err != nil {
		return err
	}
	defer p.Close()
	if err := play(ctx, o, p, hour); ctx.Err() == nil {
		return err
	}
	return nil
}

// play publishes hour after hour.
func play(ctx context.Context, o Options, p *mqttclient.Publisher, hour []message) error {
	var payload []byte
	from := o.Now().Add(-max(o.Backfill, 0))
	start, i := place(hour, from)
	for {
		if i == len(hour) {
			start, i = start.Add(time.Hour), 0
		}
		m := &hour[i]
		due := start.Add(m.offset)
		now := o.Now()
		for now.Before(due) {
			if err := p.Poll(ctx, min(due.Sub(now), pollEvery)); err != nil {
				return err
			}
			now = o.Now()
		}
		// A machine that slept does not catch up on what nobody waits for.
		if late := now.Sub(due); late > max(o.Backfill, time.Minute)+time.Minute {
			start, i = place(hour, now)
			continue
		}
		payload = append(payload[:0], `{"t":`...)
		payload = strconv.AppendInt(payload, due.UnixMilli(), 10)
		payload = append(payload, m.readings...)
		payload = append(payload, '}')
		if err := p.Publish(ctx, m.topic, payload); err != nil {
			return err
		}
		i++
	}
}

// place finds the first message that is due at t or later, and the start of
// the hour it belongs to.
func place(hour []message, t time.Time) (start time.Time, i int) {
	start = t.UTC().Truncate(time.Hour)
	return start, sort.Search(len(hour), func(i int) bool { return !start.Add(hour[i].offset).Before(t) })
}

// parse reads the hour and puts the readings of one terminal and offset into
// one message.
func parse(r io.Reader) ([]message, error) {
	bad := func(line int, column, found string) error {
		return &twin.Error{Code: twin.CodeInvalid, Op: "read sample hour", Field: fmt.Sprintf("line %d, column %s", line, column), Message: fmt.Sprintf("%q is not expected", found), Hint: "make the file with go generate ./internal/sample"}
	}
	in := csv.NewReader(r)
	in.FieldsPerRecord = 4
	records, err := in.ReadAll()
	if err != nil {
		return nil, &twin.Error{Code: twin.CodeInvalid, Op: "read sample hour", Message: "is not CSV", Err: err}
	}
	if len(records) < 2 {
		return nil, bad(1, "offset", "")
	}
	var out []message
	var terminal string
	for i, rec := range records[1:] {
		seconds, err := strconv.Atoi(rec[0])
		offset := time.Duration(seconds) * time.Second
		if err != nil || offset < 0 || offset >= time.Hour || len(out) > 0 && offset < out[len(out)-1].offset {
			return nil, bad(i+2, "offset", rec[0])
		}
		if len(out) == 0 || rec[1] != terminal || offset != out[len(out)-1].offset {
			terminal = rec[1]
			out = append(out, message{offset: offset, topic: "terminals/" + terminal + "/up/json"})
		}
		m := &out[len(out)-1]
		value := []byte(rec[3])
		if !json.Valid(value) { // a text; numbers, true and false stand as they are
			if value, err = json.Marshal(rec[3]); err != nil {
				return nil, bad(i+2, "value", rec[3])
			}
		}
		m.readings = append(m.readings, `,"`+rec[2]+`":`...)
		m.readings = append(m.readings, value...)
		m.count++
	}
	return out, nil
}
