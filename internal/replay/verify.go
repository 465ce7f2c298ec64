package replay

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"cityhub/twin"
)

// VerifyOptions of Verify. BaseURL and Counts are required.
type VerifyOptions struct {
	BaseURL string // of the hub, e.g. http://127.0.0.1:8080
	Token   string // operator token; empty: ask as anybody
	Counts  *Counts
	// Wait is how long a count that is too small is asked for again, because
	// the hub's store may be some readings behind its log; zero means 30 s,
	// negative not at all.
	Wait     time.Duration
	Client   *http.Client // nil means one with a timeout of 30 s
	Progress io.Writer    // nil means none
}

// Report compares what the files hold with what the hub holds.
type Report struct {
	Rows      []ReportRow `json:"rows"`
	InFiles   int64       `json:"inFiles"`
	Stored    int64       `json:"stored"`
	Numbers   int64       `json:"numbers"` // of Stored
	Texts     int64       `json:"texts"`   // of Stored
	Different int         `json:"different"`
}

// ReportRow is one property of one terminal.
type ReportRow struct {
	Terminal string `json:"terminal"`
	Property string `json:"property"`
	Type     string `json:"type"`
	InFiles  int64  `json:"inFiles"` // distinct values
	Stored   int64  `json:"stored"`
}

// Verify asks the hub for the number of observations of every property of
// every terminal. It fails with CodeConflict when any differs from the files;
// the Report is complete in that case too.
func Verify(ctx context.Context, o VerifyOptions) (*Report, error) {
	base, err := url.Parse(o.BaseURL)
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
		return nil, &twin.Error{Code: twin.CodeInvalid, Op: "verify", Field: "server", Message: fmt.Sprintf("%q is not an address", o.BaseURL), Hint: "e.g. http://127.0.0.1:8080"}
	}
	if o.Client == nil {
		o.Client = &http.Client{Timeout: 30 * time.Second}
	}
	if o.Wait == 0 {
		o.Wait = 30 * time.Second
	}
	v := &verifier{o: o, base: strings.TrimSuffix(o.BaseURL, "/"), deadline: time.Now().Add(o.Wait)}
	rep := &Report{}
	bar := newProgress(o.Progress, "verifying", "terminals", int64(len(o.Counts.Terminals)))
	defer bar.done()
	for _, t := range o.Counts.Terminals {
		rows, err := v.terminal(ctx, t)
		if err != nil {
			return rep, err
		}
		for _, r := range rows {
			rep.InFiles += r.InFiles
			rep.Stored += r.Stored
			if r.Type == "text" {
				rep.Texts += r.Stored
			} else {
				rep.Numbers += r.Stored
			}
			if r.InFiles != r.Stored {
				rep.Different++
			}
		}
		rep.Rows = append(rep.Rows, rows...)
		bar.add(1, 0)
	}
	if rep.Different > 0 {
		return rep, &twin.Error{Code: twin.CodeConflict, Op: "verify", Message: fmt.Sprintf("%d of %d series differ: the files hold %d values, the hub %d", rep.Different, len(rep.Rows), rep.InFiles, rep.Stored), Hint: "refused readings are listed at /api/v1/rejects"}
	}
	return rep, nil
}

type verifier struct {
	o        VerifyOptions
	base     string
	deadline time.Time
}

func (v *verifier) terminal(ctx context.Context, t TerminalCount) ([]ReportRow, error) {
	var answer struct {
		Datastreams []struct {
			ID       int64  `json:"id"`
			Property string `json:"property"`
		} `json:"datastreams"`
	}
	if err := v.get(ctx, "/api/v1/terminals/"+url.PathEscape(t.Code), &answer); err != nil {
		return nil, err
	}
	ids := map[string]int64{}
	for _, d := range answer.Datastreams {
		ids[d.Property] = d.ID
	}
	var rows []ReportRow
	for _, p := range t.Properties {
		r := ReportRow{Terminal: t.Code, Property: p.Name, Type: p.Type, InFiles: p.Distinct}
		if id, ok := ids[p.Name]; ok {
			var err error
			if r.Stored, err = v.count(ctx, id, p.Distinct); err != nil {
				return nil, err
			}
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// count asks until the hub holds what is expected, or the time is up.
func (v *verifier) count(ctx context.Context, id, want int64) (int64, error) {
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		var answer struct {
			Count *int64 `json:"@iot.count"`
		}
		path := fmt.Sprintf("/sta/v1.1/Datastreams(%d)/Observations?$count=true&$top=0", id)
		if err := v.get(ctx, path, &answer); err != nil {
			return 0, err
		}
		if answer.Count == nil {
			return 0, &twin.Error{Code: twin.CodeUnavailable, Op: "verify", Field: path, Message: "the answer has no @iot.count"}
		}
		if *answer.Count >= want || time.Now().Add(pause).After(v.deadline) {
			return *answer.Count, nil
		}
		select {
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

func (v *verifier) get(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, v.base+path, nil)
	if err != nil {
		return &twin.Error{Code: twin.CodeInvalid, Op: "verify", Field: "server", Message: "is not an address", Err: err}
	}
	if v.o.Token != "" {
		req.Header.Set("Authorization", "Bearer "+v.o.Token)
	}
	res, err := v.o.Client.Do(req)
	if err != nil {
		return &twin.Error{Code: twin.CodeUnavailable, Op: "verify", Field: "server", Message: "the hub does not answer", Err: err}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 8<<20))
	if err == nil && res.StatusCode != http.StatusOK {
		return statusError(path, res.StatusCode, body)
	}
	if err == nil {
		err = json.Unmarshal(body, into)
	}
	if err != nil {
		return &twin.Error{Code: twin.CodeUnavailable, Op: "verify", Field: path, Message: "the answer cannot be read", Err: err}
	}
	return nil
}

func statusError(path string, status int, body []byte) error {
	e := &twin.Error{Code: twin.CodeUnavailable, Op: "verify", Field: path, Message: fmt.Sprintf("the hub answers %d %s", status, http.StatusText(status))}
	switch status {
	case http.StatusNotFound:
		e.Code, e.Hint = twin.CodeNotFound, "is the terminal registered, and may this token see it? Import the manifest first"
	case http.StatusUnauthorized, http.StatusForbidden:
		e.Code, e.Hint = twin.CodeUnauthorized, "give the operator token"
	}
	var problem struct {
		Detail string `json:"detail"`
	}
	if json.Unmarshal(body, &problem) == nil && problem.Detail != "" {
		e.Message += ": " + problem.Detail
	}
	return e
}

// WriteTable prints every series, or only those that differ, and the totals.
func (r *Report) WriteTable(w io.Writer, onlyDifferent bool) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "terminal\tproperty\tin files\tstored\tdifference\t")
	for _, row := range r.Rows {
		if !onlyDifferent || row.InFiles != row.Stored {
			fmt.Fprintf(tw, "%s\t%s\t%d\t%d\t%+d\t\n", row.Terminal, row.Property, row.InFiles, row.Stored, row.Stored-row.InFiles)
		}
	}
	fmt.Fprintf(tw, "total\t\t%d\t%d\t%+d\t\n", r.InFiles, r.Stored, r.Stored-r.InFiles)
	if err := tw.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d series, %d differ; stored: %d numbers, %d texts\n", len(r.Rows), r.Different, r.Numbers, r.Texts)
	return err
}
