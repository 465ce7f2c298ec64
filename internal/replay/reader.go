package replay

import (
	"container/heap"
	"context"
	"errors"
	"io"
	"math"
	"strconv"
	"time"

	"cityhub/twin"
)

// reader merges files by time of observation and hands their rows to the
// connections. It belongs to one goroutine.
type reader struct {
	r       *runner
	paced   bool
	start   time.Time // of the pass
	pending []*batch  // by connection
}

func (r *runner) newReader(paced bool) *reader {
	return &reader{r: r, paced: paced, start: r.clock(), pending: make([]*batch, len(r.queues))}
}

// cursors is a heap of open files, the one with the earliest row first.
type cursors []*cursor

type cursor struct {
	*rows
	file int
}

func (c cursors) Len() int { return len(c) }
func (c cursors) Less(i, j int) bool {
	return c[i].ms < c[j].ms || c[i].ms == c[j].ms && c[i].file < c[j].file
}
func (c cursors) Swap(i, j int) { c[i], c[j] = c[j], c[i] }
func (c *cursors) Push(x any)   { *c = append(*c, x.(*cursor)) }
func (c *cursors) Pop() any {
	old := *c
	x := old[len(old)-1]
	*c = old[:len(old)-1]
	return x
}

// read publishes the rows of files merged in order of time. A row that goes
// back in time within its file keeps its place: it was recorded late.
func (d *reader) read(ctx context.Context, files []int) error {
	var open cursors
	defer func() {
		for _, c := range open {
			c.close()
		}
	}()
	for _, f := range files {
		rows, err := d.r.s.open(f)
		if err != nil {
			return err
		}
		c := &cursor{rows: rows, file: f}
		switch err := c.next(); {
		case errors.Is(err, io.EOF):
			c.close()
		case err != nil:
			c.close()
			return err
		default:
			open = append(open, c)
		}
	}
	heap.Init(&open)
	for len(open) > 0 {
		c := open[0]
		if err := d.row(ctx, c.rows); err != nil {
			return err
		}
		switch err := c.next(); {
		case errors.Is(err, io.EOF):
			c.close()
			heap.Pop(&open)
		case err != nil:
			return err
		default:
			if len(open) > 1 {
				heap.Fix(&open, 0)
			}
		}
	}
	return d.flush(ctx)
}

// row sends one row on its way, at its time.
func (d *reader) row(ctx context.Context, row *rows) error {
	d.r.rows.Add(1)
	n, ok := d.r.index[row.code]
	if !ok {
		return &twin.Error{Code: twin.CodeInvalid, Op: "replay", Field: row.file.path, Message: "terminal " + row.code + " was not there when the files were counted", Hint: "the file was changed meanwhile; start again"}
	}
	ms := row.ms
	if d.paced {
		after := time.Duration(math.Min(float64(ms-d.r.counts.First.UnixMilli())*1e6/d.r.o.Speed, math.MaxInt64/2))
		due := d.start.Add(after)
		if err := d.until(ctx, due); err != nil {
			return err
		}
		if d.r.o.Now {
			ms = due.UnixMilli()
		}
	}
	q := int(n) % len(d.pending)
	b := d.pending[q]
	if b == nil {
		b = d.r.batch()
		d.pending[q] = b
	}
	b.rows++
	if row.has != 0 {
		b.buf = append(b.buf, `{"t":`...)
		b.buf = strconv.AppendInt(b.buf, ms, 10)
		b.buf = append(b.buf, row.readings...)
		b.buf = append(b.buf, '}')
		b.ends = append(b.ends, len(b.buf))
		b.terminals = append(b.terminals, n)
		b.readings += int64(row.values())
	}
	if len(b.ends) >= batchMessages || len(b.buf) >= batchBytes || b.rows >= 8*batchMessages {
		return d.send(ctx, q)
	}
	return nil
}

// until waits for due, after what is pending has been handed over.
func (d *reader) until(ctx context.Context, due time.Time) error {
	wait := due.Sub(d.r.clock())
	if wait <= 0 {
		return nil
	}
	if err := d.flush(ctx); err != nil {
		return err
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (d *reader) flush(ctx context.Context) error {
	for q := range d.pending {
		if d.pending[q] != nil {
			if err := d.send(ctx, q); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *reader) send(ctx context.Context, q int) error {
	select {
	case d.r.queues[q] <- d.pending[q]:
		d.pending[q] = nil
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
