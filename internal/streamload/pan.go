package streamload

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
)

// panners write for all clients.
const panners = 4

// Box is a viewport: WGS 84 degrees, longitude first.
type Box struct{ West, South, East, North float64 }

// Filter is the filter with this viewport as its bbox.
func (b Box) Filter() string {
	s := append(make([]byte, 0, 80), `{"bbox":[`...)
	for i, v := range [4]float64{b.West, b.South, b.East, b.North} {
		if i > 0 {
			s = append(s, ',')
		}
		s = strconv.AppendFloat(s, v, 'f', 6, 64)
	}
	return string(append(s, "]}"...))
}

// Camera moves a viewport of a fixed size through an area, a part of its width
// at a time, as a visitor does who looks around. It belongs to one goroutine.
type Camera struct {
	area       Box
	w, h       float64 // degrees
	x, y, r, q float64
	rnd        *rand.Rand
}

// NewCamera of the size of a share of area, both ways, begins somewhere; equal
// seeds move equally.
func NewCamera(area Box, share float64, seed uint64) *Camera {
	c := &Camera{area: area, w: (area.East - area.West) * share, h: (area.North - area.South) * share, rnd: rand.New(rand.NewPCG(seed, 7))}
	c.x = area.West + c.rnd.Float64()*(area.East-area.West-c.w)
	c.y = area.South + c.rnd.Float64()*(area.North-area.South-c.h)
	c.r, c.q = c.rnd.Float64()-0.5, c.rnd.Float64()-0.5
	return c
}

// Box is where the camera looks.
func (c *Camera) Box() Box { return Box{c.x, c.y, c.x + c.w, c.y + c.h} }

// Move goes up to a quarter of the viewport on and turns at the edge of the area.
func (c *Camera) Move() Box {
	c.x += c.r * c.w / 2
	c.y += c.q * c.h / 2
	if c.x < c.area.West || c.x+c.w > c.area.East {
		c.r = -c.r
		c.x = min(max(c.x, c.area.West), c.area.East-c.w)
	}
	if c.y < c.area.South || c.y+c.h > c.area.North {
		c.q = -c.q
		c.y = min(max(c.y, c.area.South), c.area.North-c.h)
	}
	return c.Box()
}

// Pan changes the view of every client each interval until ctx ends, which is no
// error: with `update` where the hub knows it, and else by subscribing again
// under the same id. filter is called for one client by one goroutine at a
// time. A client whose last change has no answer yet is left out and counted.
func (l *Load) Pan(ctx context.Context, interval time.Duration, filter func(i int) string) error {
	var g errgroup.Group
	for p := range panners {
		g.Go(func() error {
			began := time.Now()
			n := (len(l.clients) - p + panners - 1) / panners
			for k := 0; ; k++ {
				if n == 0 {
					return nil
				}
				due := began.Add(time.Duration(k/n)*interval + time.Duration(k%n)*interval/time.Duration(n))
				if wait := time.Until(due); wait > 0 {
					select {
					case <-ctx.Done():
						return nil
					case <-l.failed:
						return l.err
					case <-time.After(wait):
					}
				} else if ctx.Err() != nil {
					return nil
				}
				if err := l.pan(l.clients[p+k%n*panners], filter); err != nil {
					return err
				}
			}
		})
	}
	return g.Wait()
}

func (l *Load) pan(c *client, filter func(i int) string) error {
	if c.askedNs.Load() != 0 {
		l.late.Add(1)
		return nil
	}
	f := filter(c.i)
	m := l.subscribe(c.i, f)
	if c.update.Load() {
		m = l.request(`{"type":"update","id":"s1"`, f)
	}
	c.askedNs.Store(time.Now().UnixNano())
	if err := c.send(m); err != nil {
		return fmt.Errorf("client %d: change the view: %w", c.i, err)
	}
	return nil
}
