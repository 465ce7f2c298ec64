// Package sampledata embeds the files of the built-in sample: its terminals
// and a simulated hour of their readings. The variables are read-only.
package sampledata

import _ "embed"

// Terminals is the terminals manifest, YAML.
//
//go:embed terminals.yaml
var Terminals []byte

// Hour is the simulated hour: CSV with the columns offset (seconds into the
// hour), terminal, property and value, sorted by offset and terminal.
//
//go:embed hour.csv
var Hour []byte
