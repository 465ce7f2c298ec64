package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"cityhub/internal/replay"
)

// replayRow publishes the recorded hours of Beijing's air at full speed and
// has the program compare what is stored with the files, value by value.
func replayRow(ctx context.Context, b *bench) ([]line, error) {
	mapping := filepath.Join(b.root, "configs", "replay", "beijing-prsa.yaml")
	data := b.beijing
	if b.quick {
		files, err := filepath.Glob(filepath.Join(data, "*.csv.gz"))
		if err != nil || len(files) == 0 {
			return nil, fmt.Errorf("no .csv.gz file is in %s", data)
		}
		data = files[0]
	}
	manifest, _, err := b.command(ctx, "replay", mapping, data, "--manifest")
	if err != nil {
		return nil, err
	}
	name := b.file("terminals.yaml")
	if err := os.WriteFile(name, manifest, 0o644); err != nil {
		return nil, err
	}
	h, err := b.startHub(ctx, b.file("data"))
	if err != nil {
		return nil, err
	}
	if _, _, err := b.command(ctx, "import", "terminals", name, "--server", h.http, "--token", h.token); err != nil {
		return nil, err
	}
	// The command fails when a count differs.
	out, _, err := b.command(ctx, "replay", mapping, data, "--broker", h.mqtt, "--verify", "--server", h.http, "--token", h.token, "--json")
	if err != nil {
		return nil, err
	}
	var res replay.Result
	var rep replay.Report
	dec := json.NewDecoder(bytes.NewReader(out))
	if err := errors.Join(dec.Decode(&res), dec.Decode(&rep)); err != nil {
		return nil, fmt.Errorf("cityhub replay printed no result: %w", err)
	}
	if rep.Stored == 0 || rep.Stored != rep.InFiles || rep.Different != 0 {
		return nil, fmt.Errorf("the files hold %d values, %d are stored", rep.InFiles, rep.Stored)
	}
	rate := float64(res.Readings) / res.Elapsed.Seconds()
	return []line{{
		Path: fmt.Sprintf("replay of Beijing stations, %s rows, full speed", count(float64(res.Rows))), Goal: "every value stored once",
		Measured: fmt.Sprintf("%s readings/s, %s", count(rate), durationText(res.Elapsed)),
		Checked:  fmt.Sprintf("%s values in the files = stored, in each of %s series", count(float64(rep.Stored)), count(float64(len(rep.Rows)))),
		Values:   map[string]float64{"readingsPerSecond": rate, "seconds": res.Elapsed.Seconds(), "stored": float64(rep.Stored), "inFiles": float64(rep.InFiles)},
	}}, nil
}
