//go:build race

package replay

// The race detector makes reading CSV some thirty times as slow: with it, one
// Beijing station stands for the twelve.
const raceEnabled = true
