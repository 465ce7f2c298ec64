package registry

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"unicode/utf8"

	"cityhub/twin"
	"cityhub/twin/registry/manifest"
)

// maxAutoQueue bounds the registrations that wait for the writer.
const maxAutoQueue = 1 << 16

// autoQueue gathers automatic registrations while another write runs, so that
// many terminals that appear at once share one synced transaction. Each entry
// is a caller that waits, at most maxAutoQueue: beyond, CodeUnavailable.
type autoQueue struct {
	mu      sync.Mutex
	waiting []*autoRequest
}

type autoRequest struct {
	code, property string
	result         twin.ResultType
	done           bool // under Registry.writing
	err            error
}

// AutoRegister makes sure that the terminal exists and has the property, and
// gives the terminal. An empty property registers the terminal alone. What it
// makes is in the Dataset "auto", which is not open and whose owner is
// "unassigned" (苏州市数据条例 第十四条): nobody has decided to open it. A new
// terminal is active, in the domain city-management, and marked
// {"autoRegistered": true} in its Properties; an import gives it its real
// description. The unit is not known and left empty.
//
// Errors: CodeInvalid for a code or property that cannot be registered,
// CodeConflict when the terminal is retired or the property holds texts and
// result is a number (or the other way), CodeTooMany over
// manifest.MaxProperties.
func (r *Registry) AutoRegister(ctx context.Context, code, property string, result twin.ResultType) (*Terminal, error) {
	const op = "register terminal"
	switch {
	case !manifest.ValidCode(code):
		return nil, &twin.Error{Code: twin.CodeInvalid, Op: op, Field: "code", Message: fmt.Sprintf("found %s, expected 1–64 of A–Z a–z 0–9 . _ -", clip(code))}
	case property != "" && !manifest.ValidPropertyName(property):
		return nil, &twin.Error{Code: twin.CodeInvalid, Op: op, Field: "property", Message: fmt.Sprintf("found %s, expected 1–64 letters, digits or . _ - : /", clip(property))}
	case property != "" && !result.Valid():
		return nil, &twin.Error{Code: twin.CodeInvalid, Op: op, Field: "result", Message: fmt.Sprintf("found %s, expected a result type", clip(string(result)))}
	}
	t, err := r.Terminal(ctx, code)
	if err == nil && (property == "" || t.Datastream(property) != nil) {
		return t, nil
	}
	if err != nil && twin.ErrorCode(err) != twin.CodeNotFound {
		return nil, err
	}

	req := &autoRequest{code: code, property: property, result: result}
	if err := r.auto.add(req); err != nil {
		return nil, err
	}
	if err := r.lock(ctx, op); err != nil {
		r.auto.remove(req)
		return nil, err
	}
	if !req.done {
		r.registerWaiting(context.WithoutCancel(ctx), op)
	}
	r.unlock()
	if req.err != nil {
		return nil, req.err
	}
	return r.Terminal(ctx, code)
}

// clip quotes at most 64 bytes of what a terminal sent.
func clip(s string) string {
	if len(s) > 64 {
		s = s[:64]
		for len(s) > 0 && !utf8.ValidString(s) && utf8.RuneStart(s[len(s)-1]) {
			s = s[:len(s)-1]
		}
	}
	return strconv.Quote(s)
}

func (q *autoQueue) add(req *autoRequest) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) >= maxAutoQueue {
		return &twin.Error{Code: twin.CodeUnavailable, Op: "register terminal", Message: "too many terminals wait to be registered"}
	}
	q.waiting = append(q.waiting, req)
	return nil
}

func (q *autoQueue) remove(req *autoRequest) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, w := range q.waiting {
		if w == req {
			q.waiting = append(q.waiting[:i], q.waiting[i+1:]...)
			return
		}
	}
}

// registerWaiting registers everything that waits in one transaction. The
// caller is the writer; its own request is among those that wait, and a
// request taken here is done when the writer's place is free again.
func (r *Registry) registerWaiting(ctx context.Context, op string) {
	r.auto.mu.Lock()
	reqs := r.auto.waiting
	r.auto.waiting = nil
	r.auto.mu.Unlock()
	err := r.updateLocked(ctx, op, false, func(w *writer) error {
		for _, req := range reqs {
			refused, err := w.autoRegister(req)
			if err != nil {
				return err
			}
			req.err = refused
		}
		return nil
	})
	for _, req := range reqs {
		req.done = true
		if err != nil {
			req.err = err
		}
	}
}

// autoRegister gives the reason for refusing the request, or an error that
// ends the transaction.
func (w *writer) autoRegister(req *autoRequest) (refused, err error) {
	const op = "register terminal"
	id, state, err := w.autoTerminal(req.code)
	if err != nil {
		return nil, err
	}
	if state == twin.StateRetired {
		return &twin.Error{Code: twin.CodeConflict, Op: op, Field: "code", Message: "the terminal " + req.code + " is retired"}, nil
	}
	if req.property == "" {
		return nil, nil
	}
	stored, err := w.storedDatastreams(id)
	if err != nil {
		return nil, err
	}
	has, known := stored[req.property]
	switch {
	case known && (has.result == twin.ResultText) != (req.result == twin.ResultText):
		return &twin.Error{Code: twin.CodeConflict, Op: op, Field: "property", Message: fmt.Sprintf("%s of %s is %s", req.property, req.code, manifest.TypeOf(has.result))}, nil
	case known && !has.retired:
		return nil, nil
	case known:
		_, err = w.exec(`UPDATE datastreams SET retired = 0 WHERE id = ?`, has.id)
	case len(stored) >= manifest.MaxProperties:
		return &twin.Error{Code: twin.CodeTooMany, Op: op, Field: "property", Message: fmt.Sprintf("%s has %d properties already, the most a terminal may have", req.code, len(stored))}, nil
	default:
		err = w.autoDatastream(id, req)
	}
	if err != nil {
		return nil, err
	}
	if _, err := w.exec(`UPDATE things SET digest = NULL, updated_ns = ? WHERE id = ?`, w.nowNs, int64(id)); err != nil {
		return nil, err
	}
	w.changed(id, req.code)
	return nil, nil
}

func (w *writer) autoTerminal(code string) (id twin.ThingID, state twin.TerminalState, err error) {
	known, err := w.row(`SELECT id, state FROM things WHERE code = ?`, []any{code}, &id, &state)
	if err != nil || known {
		return id, state, err
	}
	dataset, err := w.autoDataset()
	if err != nil {
		return 0, "", err
	}
	sensor, err := w.sensor(manifest.Sensor{})
	if err != nil {
		return 0, "", err
	}
	n, err := w.insert(`INSERT INTO things (code, name, domain, state, dataset_id, sensor_id, extra, updated_ns) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		code, code, string(twin.DomainCityManagement), string(twin.StateActive), int64(dataset), sensor, `{"`+autoRegisteredMark+`":true}`, w.nowNs)
	if err != nil {
		return 0, "", err
	}
	w.changed(twin.ThingID(n), code)
	return twin.ThingID(n), twin.StateActive, nil
}

func (w *writer) autoDatastream(id twin.ThingID, req *autoRequest) error {
	dataset, err := w.autoDataset()
	if err != nil {
		return err
	}
	unit, err := w.unit(manifest.Unit{})
	if err != nil {
		return err
	}
	// The phenomenon of that name that was registered first, if there is one.
	var property int64
	known, err := w.row(`SELECT id FROM observed_properties WHERE name = ? ORDER BY id LIMIT 1`, []any{req.property}, &property)
	if err == nil && !known {
		property, err = w.insert(`INSERT INTO observed_properties (name, title) VALUES (?, ?)`, req.property, req.property)
	}
	if err != nil {
		return err
	}
	var sensor int64
	var name string
	if _, err := w.row(`SELECT sensor_id, name FROM things WHERE id = ?`, []any{int64(id)}, &sensor, &name); err != nil {
		return err
	}
	_, err = w.exec(insertDatastream, int64(id), req.property, property, sensor, int64(dataset), unit, string(req.result), name+nameSeparator+req.property)
	return err
}

// autoDataset finds or makes the Dataset of what registered itself. One that
// exists is left as it is.
func (w *writer) autoDataset() (twin.DatasetID, error) {
	id, err := w.dataset(autoDatasetCode)
	if err != nil || id != 0 {
		return id, err
	}
	_, id, err = w.putDataset(&manifest.Dataset{Code: autoDatasetCode, Title: "自动注册", TitleEn: "Registered automatically", Owner: autoDatasetOwner, Open: twin.OpenNone})
	return id, err
}
