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
	passes     atomic.Int64
	began      atomic.Int64 // of the pass, ns since 1970-01-01 UTC
	w          io.Writer

	bars *mpb.Progress
	bar  *mpb.Bar
	stop chan struct{}
	end  chan struct{}
}

func newProgress(w io.Writer, verb, unit string, total int64) *progress {
	p := &progress{verb: verb, unit: unit, total: total, w: w}
	p.began.Store(time.Now().UnixNano())
	if w == nil {
		return p
	}
	p.stop, p.end = make(chan struct{}), make(chan struct{})
	every := lineEvery
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		every = 200 * time.Millisecond
		p.bars = mpb.New(mpb.WithOutput(w), mpb.WithWidth(40))
		p.addBar()
	}
	go p.run(every)
	return p
}

func (p *progress) addBar() {
	p.bar = p.bars.AddBar(p.total,
		mpb.PrependDecorators(decor.Name(p.verb+" "), decor.CountersNoUnit("%d/%d "+p.unit)),
		mpb.AppendDecorators(decor.Percentage(decor.WC{W: 5}), decor.Any(func(decor.Statistics) string { return p.rate() }), decor.Any(func(decor.Statistics) string { return p.eta() })),
	)
}

func (p *progress) run(every time.Duration) {
	defer close(p.end)
	t := time.NewTicker(every)
	defer t.Stop()
	var pass int64
	for {
		select {
		case <-p.stop:
			return
		case <-t.C:
			if p.bar != nil {
				if n := p.passes.Load(); n != pass { // a bar that is full stays full
					pass = n
					p.bar.Abort(true)
					p.addBar()
				}
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

func (p *progress) elapsed() time.Duration { return time.Since(time.Unix(0, p.began.Load())) }

func (p *progress) rate() string {
	n, s := p.readings.Load(), p.elapsed().Seconds()
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
	left := time.Duration(float64(p.elapsed()) * float64(p.total-n) / float64(n))
	return ", " + left.Round(time.Second).String() + " left"
}

// again starts from zero for another pass.
func (p *progress) again() {
	p.rows.Store(0)
	p.readings.Store(0)
	p.began.Store(time.Now().UnixNano())
	p.passes.Add(1)
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
