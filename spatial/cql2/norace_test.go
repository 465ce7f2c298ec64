//go:build !race

package cql2

const raceEnabled = false
