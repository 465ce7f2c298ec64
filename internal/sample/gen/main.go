// Command gen makes configs/sample/hour.csv, the simulated hour of the
// built-in sample. The same program makes the same bytes: the seed is fixed.
//
// Every series has the period of the hour, so that the loop has no seam: it is
// made of whole waves and of noise that is smoothed around the end. Series
// that hang together share their drivers: traffic drives noise and nitrogen
// dioxide, that takes ozone away, and visitors fill the car park.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
)

func main() {
	out := flag.String("out", "hour.csv", "file to write")
	flag.Parse()
	if err := os.WriteFile(*out, hour(), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

const (
	seconds = 3600
	knot    = 10 // seconds between two points of a noise
	knots   = seconds / knot
)

// wave is a sine of n whole periods an hour.
func wave(n, phase float64) func(s int) float64 {
	return func(s int) float64 { return math.Sin(2 * math.Pi * (n*float64(s)/seconds + phase)) }
}

// noise is white noise smoothed over width knots, around the end of the hour,
// with a standard deviation of 1.
func noise(r *rand.Rand, width int) func(s int) float64 {
	raw := make([]float64, knots)
	for i := range raw {
		raw[i] = r.NormFloat64()
	}
	smooth := make([]float64, knots)
	for i := range smooth {
		for j := range width {
			smooth[i] += raw[(i+j)%knots]
		}
		smooth[i] /= math.Sqrt(float64(width))
	}
	return func(s int) float64 { return smooth[s/knot%knots] }
}

type series struct {
	terminal, property string
	every, offset      int // seconds
	value              func(s int) string
}

func number(decimals int, f func(s int) float64) func(s int) string {
	return func(s int) string {
		text := strconv.FormatFloat(f(s), 'f', decimals, 64)
		if strings.Trim(text, "-0.") == "" {
			return strings.TrimPrefix(text, "-") // no minus zero
		}
		return text
	}
}

func hour() []byte {
	r := rand.New(rand.NewPCG(20260501, 1229)) // 1229: the year of the stone city map
	var all []series
	add := func(terminal, property string, every, decimals int, f func(s int) float64) {
		all = append(all, series{"gusu-" + terminal, property, every, len(all) % 7, number(decimals, f)})
	}
	n := func(width int) func(int) float64 { return noise(r, width) }

	// Drivers.
	rush := wave(1, 0.1)                                        // traffic builds up and eases
	lights := func(s int) float64 { return wave(30, 0)(s) }     // two minutes of traffic light
	crowd := wave(1, 0.35)                                      // visitors come and go
	haze := n(60)                                               // of the whole town
	shower := func(s int) float64 { return bump(s, 2100, 260) } // one short shower
	wind := n(20)

	// Traffic: speed falls as occupancy rises.
	load := map[string]func(int) float64{}
	for i, t := range []string{"leqiao", "xiangmen"} {
		own, phase := n(6), 0.05*float64(i)
		base := 620.0 - 130*float64(i)
		load[t] = func(s int) float64 {
			return base + 190*wave(1, 0.1+phase)(s) + 70*lights(s) + 35*own(s) - 90*shower(s)
		}
		f := load[t]
		speed := func(s int) float64 { return math.Max(6, 47-0.031*f(s)-7*shower(s)+1.1*own(s+400)) }
		add("traffic-"+t, "traffic_flow", 20, 0, f)
		add("traffic-"+t, "traffic_speed", 20, 1, speed)
		add("traffic-"+t, "occupancy", 20, 1, func(s int) float64 { return math.Min(95, f(s)/speed(s)*0.62) })
	}

	// Air: one haze, local traffic, ozone against nitrogen dioxide.
	for i, t := range []string{"beisita", "pingjiang"} {
		a, b, c, d := n(18), n(18), n(24), n(18)
		off := 3 * float64(i)
		pm25 := func(s int) float64 { return 38 - off + 5*haze(s) + 2.4*rush(s) + 1.2*a(s) - 9*shower(s-300) }
		no2 := func(s int) float64 { return 34 - 2*off + 8*rush(s) + 2*b(s) - 4*shower(s-200) }
		add("air-"+t, "pm25", 60, 0, func(s int) float64 { return math.Max(5, pm25(s)) })
		add("air-"+t, "pm10", 60, 0, func(s int) float64 { return math.Max(9, 1.55*pm25(s)+6+2*d(s)-6*shower(s-200)) })
		add("air-"+t, "o3", 60, 0, func(s int) float64 { return 118 - 1.3*no2(s) + 3*c(s) - 8*shower(s-200) })
		add("air-"+t, "no2", 60, 0, no2)
	}

	hum := n(2)
	add("noise-guanqian", "laeq", 20, 1, func(s int) float64 { return 62 + 2.6*crowd(s) + 1.1*lights(s) + 1.3*hum(s) + 3*shower(s) })

	// Water: the shower raises the canals slowly; Panmen pumps against it.
	ripple, drift := n(12), n(90)
	level := func(s int) float64 { return 3.06 + 0.012*drift(s) + 0.045*bump(s, 2700, 900) }
	add("level-pingjiang", "water_level", 30, 3, func(s int) float64 { return level(s) + 0.002*ripple(s) })
	add("level-pingjiang", "flow_speed", 30, 2, func(s int) float64 { return 0.14 + 0.05*bump(s, 2700, 900) + 0.008*ripple(s+90) })
	add("level-panmen", "water_level", 30, 3, func(s int) float64 { return level(s) + 0.021 - 0.018*bump(s, 2900, 500) + 0.002*ripple(s+700) })
	all = append(all, series{"gusu-level-panmen", "gate_state", 60, 3, func(s int) string {
		switch {
		case s >= 2280 && s < 2400:
			return "closing"
		case s >= 2400 && s < 3240:
			return "closed"
		case s >= 3240 && s < 3360:
			return "opening"
		}
		return "open"
	}})

	// Weather.
	warm, gust, veer := n(60), n(4), n(30)
	temp := func(s int) float64 { return 23.6 + 0.5*wave(1, 0.8)(s) + 0.15*warm(s) - 1.9*bump(s, 2300, 700) }
	add("weather-canglang", "air_temperature", 60, 1, temp)
	add("weather-canglang", "relative_humidity", 60, 0, func(s int) float64 { return 64 - 4*(temp(s)-23.6) + 9*bump(s, 2300, 600) })
	add("weather-canglang", "wind_speed", 30, 1, func(s int) float64 { return math.Max(0.2, 2.3+0.5*wind(s)+0.4*gust(s)+2.2*bump(s, 1950, 250)) })
	add("weather-canglang", "wind_direction", 30, 0, func(s int) float64 { return 130 + 12*veer(s) + 60*bump(s, 2000, 350) })
	add("weather-canglang", "rain_intensity", 60, 1, func(s int) float64 { return math.Max(0, 14*shower(s)-0.4) })

	// Visitors seek shelter when it rains.
	stroll, group := n(30), n(8)
	add("visitors-zhuozheng", "visitors_present", 30, 0, func(s int) float64 { return 2850 + 420*crowd(s) + 28*stroll(s) - 160*shower(s-200) })
	add("visitors-pingjiang", "crowd_density", 30, 1, func(s int) float64 { return math.Max(0.1, 3.4+0.9*crowd(s)+0.3*group(s)-1.5*shower(s-60)) })
	cars := n(24)
	add("parking-guanqian", "parking_free", 30, 0, func(s int) float64 { return math.Max(0, 118-52*crowd(s-400)-5*cars(s)) })

	// Heritage: thermal tilt of thousandths of a degree, traffic shakes.
	tx, ty, shake := n(40), n(40), n(1)
	add("tilt-beisita", "tilt_x", 30, 4, func(s int) float64 { return 0.0112 + 0.0006*(temp(s)-23.6) + 0.0002*tx(s) })
	add("tilt-beisita", "tilt_y", 30, 4, func(s int) float64 { return -0.0067 + 0.0003*(temp(s)-23.6) + 0.0002*ty(s) })
	add("tilt-beisita", "vibration", 10, 3, func(s int) float64 {
		return 0.05 + 0.02*math.Abs(shake(s)) + 0.00004*math.Max(0, load["leqiao"](s)-500)
	})

	// Electricity: the cable warms with the current of the afternoon.
	leak, amps := n(10), n(24)
	add("fire-pingjiang", "residual_current", 30, 0, func(s int) float64 { return 62 + 6*leak(s) + 95*bump(s, 2350, 420) })
	add("fire-pingjiang", "cable_temperature", 30, 1, func(s int) float64 { return 34 + 2.2*crowd(s-300) + 0.5*amps(s) })
	all = append(all, series{"gusu-fire-pingjiang", "smoke", 60, 5, func(int) string { return "false" }})

	return write(all)
}

// bump rises to 1 at the second at, width seconds wide, and is 0 at the seam.
func bump(s, at, width int) float64 {
	d := float64(((s-at)%seconds+seconds+seconds/2)%seconds-seconds/2) / float64(width)
	if math.Abs(d) >= 1 {
		return 0
	}
	c := math.Cos(math.Pi / 2 * d)
	return c * c
}

func write(all []series) []byte {
	type row struct {
		offset             int
		terminal, property string
		value              string
	}
	// The series of a terminal report together: one message, one offset.
	offsets := map[string]int{}
	var rows []row
	for _, x := range all {
		off, ok := offsets[x.terminal]
		if !ok {
			off = x.offset
			offsets[x.terminal] = off
		}
		for s := off; s < seconds; s += x.every {
			rows = append(rows, row{s, x.terminal, x.property, x.value(s)})
		}
	}
	slices.SortStableFunc(rows, func(a, b row) int {
		if a.offset != b.offset {
			return a.offset - b.offset
		}
		return strings.Compare(a.terminal, b.terminal)
	})
	var b bytes.Buffer
	b.WriteString("offset,terminal,property,value\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "%d,%s,%s,%s\n", r.offset, r.terminal, r.property, r.value)
	}
	return b.Bytes()
}
