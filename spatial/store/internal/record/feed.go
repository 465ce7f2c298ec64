package record

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"cityhub/spatial"
	"cityhub/spatial/store"
)

const (
	batchObjects = 256
	batchBytes   = 4 << 20
	batchesAhead = 2 // that wait for the writer
)

var errStopped = errors.New("stopped")

// Options of Feed.
type Options struct {
	Op string // for errors
	// Footprint appends a footprint to b in the form that the store keeps.
	Footprint func(b []byte, f *spatial.Geometry) ([]byte, error)
}

// Feed makes records of objects, in the caller's goroutine, while another one
// hands those before to put, in their order and some hundred at a time. It gives
// the keys of all. An error of objects or put, an object that cannot be stored or
// comes twice, or the end of ctx ends it; after it put is not called any more.
func Feed(ctx context.Context, o Options, objects iter.Seq2[*spatial.CityObject, error], put func([]*Record) error) (map[[16]byte]struct{}, error) {
	batches := make(chan []*Record, batchesAhead)
	stopped := make(chan struct{})
	var failed error // of the writer; read after stopped is closed
	go func() {
		defer close(stopped)
		for batch := range batches {
			if failed = put(batch); failed != nil {
				return
			}
		}
	}()
	seen := make(map[[16]byte]struct{})
	enc := newEncoder(o.Op, o.Footprint)
	var batch []*Record
	size := 0
	send := func() error {
		if err := ctx.Err(); err != nil || len(batch) == 0 {
			return err
		}
		select {
		case batches <- batch:
			batch, size = make([]*Record, 0, batchObjects), 0
			return nil
		case <-stopped:
			return errStopped
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	read := func() error {
		for object, err := range objects {
			if err != nil {
				return &store.Error{Code: store.Invalid, Op: o.Op, Message: "the source cannot be read", Hint: "nothing was stored", Err: err}
			}
			r, err := enc.record(object)
			if err != nil {
				return err
			}
			if _, twice := seen[r.Key]; twice {
				return enc.fault(object, "ID", "give each object of the data set an identifier of its own", fmt.Errorf("it comes twice"))
			}
			seen[r.Key] = struct{}{}
			batch = append(batch, r)
			if size += len(r.Geometries) + len(r.Footprint) + len(r.Attributes); len(batch) >= batchObjects || size >= batchBytes {
				if err := send(); err != nil {
					return err
				}
			}
		}
		return send()
	}
	err := func() error {
		defer func() { // also when objects panics: the writer must have ended before the rollback
			close(batches)
			<-stopped
		}()
		return read()
	}()
	if failed != nil {
		return nil, failed
	}
	return seen, err
}
