//go:build race

package cql2

// raceEnabled: the race detector makes sync.Pool drop what it holds.
const raceEnabled = true
