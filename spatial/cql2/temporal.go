package cql2

import (
	"cmp"
	"math"
	"time"
)

// moment is an instant on the line of time, with the two infinities as the
// ends of unbounded intervals. Seconds, because literals reach from year 0 to
// 9999 and nanoseconds in 64 bits do not.
type moment struct{ sec, nsec int64 }

var (
	past   = moment{math.MinInt64, 0}
	future = moment{math.MaxInt64, 0}
)

func momentOf(t time.Time) moment { return moment{t.Unix(), int64(t.Nanosecond())} }

func momentOfNs(ns int64) moment {
	sec, nsec := ns/1e9, ns%1e9
	if nsec < 0 {
		sec, nsec = sec-1, nsec+1e9
	}
	return moment{sec, nsec}
}

func (m moment) compare(o moment) int {
	if m.sec != o.sec {
		return cmp.Compare(m.sec, o.sec)
	}
	return cmp.Compare(m.nsec, o.nsec)
}

// span is a stretch of time; an instant has start and end alike.
type span struct{ start, end moment }

type (
	momentFunc func(Row) (moment, bool)
	spanFunc   func(Row) (span, bool)
)

// moment compiles an instant. A date is its first instant in UTC.
func (c *compiler) moment(e Expr) momentFunc {
	switch e := e.(type) {
	case *Instant:
		m := momentOf(e.Time)
		return func(Row) (moment, bool) { return m, true }
	case *Property:
		col := c.column(e)
		return func(r Row) (moment, bool) {
			ns, ok := r.Time(col)
			return momentOfNs(ns), ok
		}
	}
	c.unsupported(e, "an expression", "an instant")
	return func(Row) (moment, bool) { return moment{}, false }
}

// span compiles an instant or an interval. An interval that ends before it
// starts is none: NULL.
func (c *compiler) span(e Expr) spanFunc {
	i, ok := e.(*Interval)
	if !ok {
		f := c.moment(e)
		return func(r Row) (span, bool) {
			m, ok := f(r)
			return span{m, m}, ok
		}
	}
	start := func(Row) (moment, bool) { return past, true }
	if i.Start != nil {
		start = c.moment(i.Start)
	}
	end := func(Row) (moment, bool) { return future, true }
	if i.End != nil {
		end = c.moment(i.End)
	}
	return func(r Row) (span, bool) {
		a, ok := start(r)
		if !ok {
			return span{}, false
		}
		b, ok := end(r)
		return span{a, b}, ok && a.compare(b) <= 0
	}
}

func (c *compiler) compareMoments(op Op, left, right Expr) condition {
	a, b, want := c.moment(left), c.moment(right), accepts(op)
	return func(r Row, _ *env) Truth {
		x, ok := a(r)
		if !ok {
			return Unknown
		}
		y, ok := b(r)
		if !ok {
			return Unknown
		}
		return want[x.compare(y)+1]
	}
}

func (c *compiler) temporal(e *Call) condition {
	a, b, holds := c.span(e.Args[0]), c.span(e.Args[1]), temporalRelation(e.Op)
	return func(r Row, _ *env) Truth {
		x, ok := a(r)
		if !ok {
			return Unknown
		}
		y, ok := b(r)
		if !ok {
			return Unknown
		}
		return truth(holds(x, y))
	}
}

// temporalRelation gives the relation op as OWL-Time defines it (21-065r2,
// clause 7.8, both tables). Two unbounded ends coincide.
func temporalRelation(op Op) func(a, b span) bool {
	flip := func(f func(a, b span) bool) func(a, b span) bool { return func(a, b span) bool { return f(b, a) } }
	before := func(a, b span) bool { return a.end.compare(b.start) < 0 }
	meets := func(a, b span) bool { return a.end.compare(b.start) == 0 }
	overlaps := func(a, b span) bool {
		return a.start.compare(b.start) < 0 && a.end.compare(b.start) > 0 && a.end.compare(b.end) < 0
	}
	starts := func(a, b span) bool { return a.start.compare(b.start) == 0 && a.end.compare(b.end) < 0 }
	during := func(a, b span) bool { return a.start.compare(b.start) > 0 && a.end.compare(b.end) < 0 }
	finishes := func(a, b span) bool { return a.start.compare(b.start) > 0 && a.end.compare(b.end) == 0 }
	disjoint := func(a, b span) bool { return before(a, b) || before(b, a) }
	switch op {
	case OpTBefore:
		return before
	case OpTAfter:
		return flip(before)
	case OpTDisjoint:
		return disjoint
	case OpTIntersects:
		return func(a, b span) bool { return !disjoint(a, b) }
	case OpTMeets:
		return meets
	case OpTMetBy:
		return flip(meets)
	case OpTOverlaps:
		return overlaps
	case OpTOverlappedBy:
		return flip(overlaps)
	case OpTStarts:
		return starts
	case OpTStartedBy:
		return flip(starts)
	case OpTDuring:
		return during
	case OpTContains:
		return flip(during)
	case OpTFinishes:
		return finishes
	case OpTFinishedBy:
		return flip(finishes)
	}
	return func(a, b span) bool { return a == b } // OpTEquals
}
