package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"cityhub/internal/api"
	"cityhub/internal/loadgen"
)

// askers is how many questions are asked at a time.
const askers = 4

// catchUpLimit is how long the views may take to come to the end of the log.
const catchUpLimit = 2 * time.Minute

func (h *hub) get(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.http+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+h.token)
	res, err := h.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, 8<<20))
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s: %.300s", path, res.Status, body)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	return nil
}

func (h *hub) status(ctx context.Context) (s api.Status, err error) {
	err = h.get(ctx, "/api/v1/status", &s)
	return s, err
}

// caughtUp waits until every view stands at the end of the log and no reading
// is on its way there; it gives the time that took.
func (h *hub) caughtUp(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	for {
		s, err := h.status(ctx)
		if err != nil {
			return 0, err
		}
		behind := ""
		for _, q := range s.Queues {
			if q.Items > 0 {
				behind = fmt.Sprintf("%d items are in the queue %s", q.Items, q.Name)
			}
		}
		for _, v := range s.Views {
			if v.Position.Offset < s.Log.Last {
				behind = fmt.Sprintf("the view %s is at %d of %d", v.Name, v.Position.Offset, s.Log.Last)
			}
		}
		took := time.Since(began)
		if behind == "" {
			return took, nil
		}
		if took > catchUpLimit {
			return took, fmt.Errorf("%s after %v", behind, catchUpLimit)
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return took, err
		}
	}
}

// storedLoad is the number of readings that the hub holds of a run of the load
// generator. It fails when a Datastream does not hold exactly the first
// readings of its terminal, each with its value: the times of a terminal's
// readings lie a step apart, so a count that fits the last time leaves no gap.
// With gaps true only the count is taken.
func (h *hub) storedLoad(ctx context.Context, res *loadgen.Result, gaps bool) (int64, error) {
	var total atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(askers)
	for i := range res.Terminals {
		g.Go(func() error {
			ids, err := h.datastreams(ctx, loadgen.Code("", i))
			if err != nil {
				return err
			}
			for k := range res.PerMessage {
				id, ok := ids[loadgen.Property(k)]
				if !ok {
					return fmt.Errorf("%s has no Datastream of %s", loadgen.Code("", i), loadgen.Property(k))
				}
				n, last, err := h.lastOf(ctx, id)
				if err != nil {
					return err
				}
				total.Add(n)
				if n == 0 || gaps {
					continue
				}
				if want := res.Base.Add(time.Duration(n-1) * time.Duration(res.StepMs) * time.Millisecond); !last.Time.Equal(want) {
					return fmt.Errorf("of Datastream %d there are %d readings, the last of %v, expected %v: some are missing or came from elsewhere", id, n, last.Time, want)
				}
				if want := loadgen.Value(uint64(n-1), k); math.Abs(last.Result-want) > 1e-9 {
					return fmt.Errorf("the last result of Datastream %d is %v, expected %v", id, last.Result, want)
				}
			}
			return nil
		})
	}
	err := g.Wait()
	return total.Load(), err
}

// datastreams gives the Datastreams of a terminal by observed property.
func (h *hub) datastreams(ctx context.Context, code string) (map[string]int64, error) {
	var t struct {
		Datastreams []struct {
			ID       int64  `json:"id"`
			Property string `json:"property"`
		} `json:"datastreams"`
	}
	if err := h.get(ctx, "/api/v1/terminals/"+url.PathEscape(code), &t); err != nil {
		return nil, err
	}
	ids := make(map[string]int64, len(t.Datastreams))
	for _, d := range t.Datastreams {
		ids[d.Property] = d.ID
	}
	return ids, nil
}

type observation struct {
	Time   time.Time `json:"phenomenonTime"`
	Result float64   `json:"result"`
}

// lastOf gives the number of a Datastream's Observations and the last of them.
func (h *hub) lastOf(ctx context.Context, id int64) (n int64, last observation, err error) {
	var page struct {
		Count *int64        `json:"@iot.count"`
		Value []observation `json:"value"`
	}
	path := fmt.Sprintf("/sta/v1.1/Datastreams(%d)/Observations?$count=true&$top=1&$orderby=%s", id, url.QueryEscape("phenomenonTime desc"))
	if err := h.get(ctx, path, &page); err != nil {
		return 0, last, err
	}
	if page.Count == nil {
		return 0, last, errors.New("the answer to " + path + " has no @iot.count")
	}
	if len(page.Value) > 0 {
		last = page.Value[0]
	}
	return *page.Count, last, nil
}
