package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"cityhub/twin"
)

// Status is how the hub does.
type Status struct {
	Version string        `json:"version"`
	Started time.Time     `json:"started"`
	Log     LogStatus     `json:"log"`
	Views   []ViewStatus  `json:"views" doc:"What follows the log, and how far it is"`
	Queues  []QueueStatus `json:"queues"`
	Counts  Counts        `json:"counts"`
}

// LogStatus is what the log holds.
type LogStatus struct {
	Epoch   string `json:"epoch"`
	First   uint64 `json:"first" doc:"Offset of the first record kept"`
	Last    uint64 `json:"last" doc:"Offset of the last record"`
	Problem string `json:"problem,omitempty" doc:"Why nothing is taken in; absent when all is well"`
}

// ViewStatus is the position of a view of the log.
type ViewStatus struct {
	Name     string        `json:"name"`
	Position twin.Position `json:"position"`
	Problem  string        `json:"problem,omitempty"`
}

// QueueStatus is how full a bounded queue is.
type QueueStatus struct {
	Name     string `json:"name"`
	Items    int    `json:"items"`
	Capacity int    `json:"capacity"`
	Bytes    int64  `json:"bytes,omitempty"`
}

// Counts are how many there are.
type Counts struct {
	Live        int `json:"live" doc:"Datastreams that have a value"`
	Terminals   int `json:"terminals"`
	Connections int `json:"connections" doc:"MQTT connections that are open"`
	Subscribers int `json:"subscribers" doc:"Streams that are open"`
}

// StatusSource knows how the hub does.
type StatusSource interface {
	Status(ctx context.Context) (Status, error)
}

type statusOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         Status
}

func (a *API) status() {
	register(a, admin, huma.Operation{OperationID: "get-status", Method: http.MethodGet, Path: "/api/v1/status", Summary: "How the hub does", Tags: []string{"status"}},
		func(ctx context.Context, _ *struct{}) (*statusOutput, error) {
			if a.o.Status == nil {
				return nil, &twin.Error{Code: twin.CodeUnavailable, Op: "read status", Message: "the status is not known here"}
			}
			s, err := a.o.Status.Status(ctx)
			if err != nil {
				return nil, err
			}
			if s.Views == nil {
				s.Views = []ViewStatus{}
			}
			if s.Queues == nil {
				s.Queues = []QueueStatus{}
			}
			return &statusOutput{CacheControl: "no-store", Body: s}, nil
		})
}
