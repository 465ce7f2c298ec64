package query

import (
	"fmt"
	"math"
	"strconv"
	"time"
	_ "time/tzdata" // the time zones, where the machine has none

	"cityhub/spatial/city"
)

// DefaultZone is the time zone of questions that name none.
const DefaultZone = "Asia/Shanghai"

// span is an ISO 8601 duration: calendar parts, which are as long as the time
// zone makes them, and a fixed rest.
type span struct {
	years, months, days int
	rest                time.Duration
}

func (s span) zero() bool { return s == span{} }

// after is t and n spans. Counting from the start keeps the last days of months.
func (s span) after(t time.Time, n int) time.Time {
	return t.AddDate(n*s.years, n*s.months, n*s.days).Add(time.Duration(n) * s.rest)
}

// about is the length, with months of 28 days: the least it can be.
func (s span) about() time.Duration {
	return time.Duration(s.years*365+s.months*28+s.days)*23*time.Hour + s.rest
}

// parseSpan reads P1Y2M3W4DT5H6M7S, whole numbers, positive as a whole.
func parseSpan(text string) (span, error) {
	wrong := fmt.Errorf("found %q, expected an ISO 8601 duration such as PT10M, PT1H, P1D or P1M", text)
	var s span
	if len(text) < 3 || text[0] != 'P' {
		return s, wrong
	}
	clock, rank := false, 0
	for rest := text[1:]; rest != ""; {
		if rest[0] == 'T' {
			if clock || len(rest) == 1 {
				return s, wrong
			}
			clock, rest = true, rest[1:]
		}
		i := 0
		for i < len(rest) && rest[i] >= '0' && rest[i] <= '9' {
			i++
		}
		if i == 0 || i > 6 || i == len(rest) {
			return s, wrong
		}
		n, _ := strconv.Atoi(rest[:i])
		at := 0
		switch unit := rest[i]; {
		case !clock && unit == 'Y' && n <= 1000:
			s.years, at = n, 1
		case !clock && unit == 'M' && n <= 12000:
			s.months, at = n, 2
		case !clock && unit == 'W' && n <= 52000:
			s.days, at = 7*n, 3
		case !clock && unit == 'D':
			s.days, at = s.days+n, 4
		case clock && unit == 'H' && n <= 100_000:
			s.rest, at = time.Duration(n)*time.Hour, 5
		case clock && unit == 'M':
			s.rest, at = s.rest+time.Duration(n)*time.Minute, 6
		case clock && unit == 'S':
			s.rest, at = s.rest+time.Duration(n)*time.Second, 7
		}
		if at <= rank {
			return s, wrong
		}
		rank, rest = at, rest[i+1:]
	}
	if s.zero() {
		return s, fmt.Errorf("found %q, expected a duration of more than nothing", text)
	}
	return s, nil
}

// Window is [From, To).
type Window struct{ From, To time.Time }

// Times are the time windows of a question.
type Times struct {
	from, to string // RFC 3339, a date, or empty
	last     span
	every    span
	Zone     *time.Location
	at       node
}

func decodeTimes(n node) (*Times, error) {
	if !n.present() {
		return nil, n.fault("is missing; expected an object with from and to, or last")
	}
	if err := n.object("from", "to", "last", "every", "zone"); err != nil {
		return nil, err
	}
	t := &Times{at: n}
	name, err := n.member("zone").text(DefaultZone)
	if err != nil {
		return nil, err
	}
	if t.Zone, err = time.LoadLocation(name); err != nil || name == "Local" || name == "" {
		return nil, n.member("zone").fault("found %q, expected a time zone of the IANA database such as Asia/Shanghai or UTC", name)
	}
	if t.from, err = n.member("from").text(""); err != nil {
		return nil, err
	}
	if t.to, err = n.member("to").text(""); err != nil {
		return nil, err
	}
	for _, m := range []string{"last", "every"} {
		text, err := n.member(m).text("")
		if err != nil {
			return nil, err
		}
		if text == "" {
			continue
		}
		s, err := parseSpan(text)
		if err != nil {
			return nil, n.member(m).fault("%v", err)
		}
		if m == "last" {
			t.last = s
		} else {
			t.every = s
		}
	}
	if t.from == "" == t.last.zero() {
		return nil, n.fault("expected either from or last")
	}
	_, err = t.windows(time.Unix(0, 0), math.MaxInt32, true)
	return t, err
}

// moment reads a time or a date, which begins at midnight of the zone.
func (t *Times) moment(member, text string) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return at, nil
	}
	at, err := time.ParseInLocation(time.DateOnly, text, t.Zone)
	if err != nil || at.Year() < 1 {
		return at, t.at.member(member).fault("found %q, expected a time such as 2026-11-21T08:00:00+08:00 or a date such as 2026-11-21", text)
	}
	return at, nil
}

// windows are the windows as they lie at a time; check: only whether they are
// well formed.
func (t *Times) windows(now time.Time, most int, check bool) ([]Window, error) {
	to := now
	var err error
	if t.to != "" {
		if to, err = t.moment("to", t.to); err != nil {
			return nil, err
		}
	}
	to = to.In(t.Zone)
	var from time.Time
	if t.from != "" {
		if from, err = t.moment("from", t.from); err != nil {
			return nil, err
		}
	} else {
		from = t.last.after(to, -1)
	}
	from = from.In(t.Zone)
	if check && t.to == "" {
		return nil, nil
	}
	if !from.Before(to) {
		return nil, t.at.fault("from is %s and to is %s; expected from before to", from.Format(time.RFC3339), to.Format(time.RFC3339))
	}
	// 250 years and the longest span fit into a time.Duration.
	if from.Year() < 1900 || to.Year() > 2150 {
		return nil, t.at.fault("expected times between the years 1900 and 2150")
	}
	if check {
		return nil, nil
	}
	if t.every.zero() {
		return []Window{{from, to}}, nil
	}
	if n := to.Sub(from) / max(t.every.about(), 1); n > 2*time.Duration(most) {
		return nil, tooManyWindows(t, most)
	}
	var out []Window
	for i := 0; ; i++ {
		w := Window{t.every.after(from, i), t.every.after(from, i+1)}
		if !w.From.Before(to) {
			return out, nil
		}
		if len(out) == most {
			return nil, tooManyWindows(t, most)
		}
		if w.To.After(to) {
			w.To = to
		}
		if w.From.Before(w.To) { // a day that a time zone skips has no window
			out = append(out, w)
		}
	}
}

func tooManyWindows(t *Times, most int) error {
	e := t.at.member("every").fault("these are more than %d windows of time", most)
	e.Code, e.Hint = city.TooLarge, "ask for longer windows, or for a shorter time"
	return e
}
