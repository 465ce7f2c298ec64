package replay

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// lineEvery is how often progress is printed where there is no terminal.
const lineEvery = 5 * time.Second

// progress shows how far a run is: a bar on a terminal, else a line every few
// seconds, nothing for a nil writer. add may be called concurrently.
type progress struct {
	verb, unit string
	total      int64
	rows       atomic.Int64
	readings   atomic.Int64
	began      time.Time
	w          io.Writer

	bars *mpb.Progress
	bar  *mpb.Bar
	stop chan struct{}
	end  chan struct{}
}

func newProgress(w io.Writer, verb, unit string, total int64) *progress {
	p := &progress{verb: verb, unit: unit, total: total, began: time.Now(), w: w}
	if w == nil {
		return p
	}
	p.stop, p.end = make(chan struct{}), make(chan struct{})
	every := lineEvery
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		every = 200 * time.Millisecond
		p.bars = mpb.New(mpb.WithOutput(w), mpb.WithWidth(40))
		p.bar = p.bars.AddBar(total,
			mpb.PrependDecorators(decor.Name(verb+" "), decor.CountersNoUnit("%d/%d "+unit)),
			mpb.AppendDecorators(decor.Percentage(decor.WC{W: 5}), decor.Any(func(decor.Statistics) string { return p.rate() }), decor.Any(func(decor.Statistics) string { return p.eta() })),
		)
	}
	go p.run(every)
	return p
}

func (p *progress) run(every time.Duration) {
	defer close(p.end)
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-t.C:
			if p.bar != nil {
				p.bar.SetCurrent(p.rows.Load())
				continue
			}
			fmt.Fprintf(p.w, "%s: %d of %d %s%s%s\n", p.verb, p.rows.Load(), p.total, p.unit, p.rate(), p.eta())
		}
	}
}

func (p *progress) add(rows, readings int64) {
	p.rows.Add(rows)
	p.readings.Add(readings)
}

func (p *progress) rate() string {
	n, s := p.readings.Load(), time.Since(p.began).Seconds()
	if n == 0 || s <= 0 {
		return ""
	}
	return fmt.Sprintf(", %d readings, %.0f/s", n, float64(n)/s)
}

func (p *progress) eta() string {
	n := p.rows.Load()
	if n == 0 || n >= p.total {
		return ""
	}
	left := time.Duration(float64(time.Since(p.began)) * float64(p.total-n) / float64(n))
	return ", " + left.Round(time.Second).String() + " left"
}

// again starts from zero for another pass.
func (p *progress) again() {
	p.rows.Store(0)
	p.readings.Store(0)
}

// done ends the display and waits for it.
func (p *progress) done() {
	if p.w == nil {
		return
	}
	close(p.stop)
	<-p.end
	if p.bar != nil {
		p.bar.SetCurrent(p.rows.Load())
		if !p.bar.Completed() {
			p.bar.Abort(false)
		}
		p.bars.Wait()
	}
}
