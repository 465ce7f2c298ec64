package registry

import (
	"context"
	"fmt"
	"strconv"

	"cityhub/twin"
	"cityhub/twin/registry/manifest"
)

// ImportOptions of Import.
type ImportOptions struct {
	// DryRun checks everything, says what would happen and changes nothing.
	DryRun bool
	// Progress, when set, is called from Import's goroutine now and then and at
	// the end with the number of terminals done.
	Progress func(done, total int)
	// File names the manifest in errors; empty: none.
	File string
}

// ImportResult counts terminals, and Datasets apart.
type ImportResult struct {
	Created   int `json:"created"`
	Updated   int `json:"updated"`
	Unchanged int `json:"unchanged"`

	DatasetsCreated   int `json:"datasetsCreated"`
	DatasetsUpdated   int `json:"datasetsUpdated"`
	DatasetsUnchanged int `json:"datasetsUnchanged"`

	// Datastreams is the number of Datastreams that the manifest names.
	Datastreams int `json:"datastreams"`
	// Warnings are sentences for the person who imports, at most 50.
	Warnings []string `json:"warnings,omitempty"`
}

func (c *ImportResult) count(o outcome) {
	switch o {
	case created:
		c.Created++
	case updated:
		c.Updated++
	default:
		c.Unchanged++
	}
}

const progressEvery = 512 // terminals

// Import registers everything in m, in one transaction: all or nothing.
// Datasets, terminals and properties are found by their codes and names, so
// that the same manifest again changes nothing, and Datastreams keep their
// ids. Mistakes come together as a *manifest.Error.
//
// Passwords cost one key derivation each (about 2 ms of a core); other writes
// wait while the transaction runs.
func (r *Registry) Import(ctx context.Context, m *manifest.Manifest, o ImportOptions) (ImportResult, error) {
	const op = "import terminals"
	if err := m.Check(); err != nil {
		return ImportResult{}, err
	}
	creds, err := r.prepareAll(ctx, m)
	if err != nil {
		return ImportResult{}, dbError(op, err)
	}
	var res ImportResult
	err = r.update(ctx, op, o.DryRun, func(w *writer) error {
		res = ImportResult{}
		c := &manifest.Collector{Op: op, File: o.File}
		for i := range m.Datasets {
			out, _, err := w.putDataset(&m.Datasets[i])
			if err != nil {
				return err
			}
			switch out {
			case created:
				res.DatasetsCreated++
			case updated:
				res.DatasetsUpdated++
			default:
				res.DatasetsUnchanged++
			}
		}
		unfounded := 0
		for i := range m.Terminals {
			if i%progressEvery == 0 {
				if err := ctx.Err(); err != nil {
					return err
				}
				if o.Progress != nil && i > 0 {
					o.Progress(i, len(m.Terminals))
				}
			}
			t := &m.Terminals[i]
			out, err := w.putTerminal(t, creds[i], func(field, found, expected, hint string) {
				c.Add(manifest.Problem{Line: t.Line, Field: "terminals[" + strconv.Itoa(i) + "]." + field, Found: found, Expected: expected, Hint: hint})
			})
			if err != nil {
				return err
			}
			if c.Full() {
				break
			}
			res.count(out)
			res.Datastreams += len(t.Properties)
			if !t.Simulated && (t.LegalBasis == "" || t.Purpose == "") {
				unfounded++
			}
		}
		if err := c.Err(); err != nil {
			return err
		}
		if unfounded > 0 {
			// 苏州市数据条例 第十一条: data is collected for a legal duty (R08).
			w.warnings = append([]string{fmt.Sprintf("%d terminals have no legalBasis or no purpose (苏州市数据条例 第十一条)", unfounded)}, w.warnings...)
		}
		res.Warnings = w.warnings
		if o.Progress != nil {
			o.Progress(len(m.Terminals), len(m.Terminals))
		}
		return nil
	})
	if err != nil {
		return ImportResult{}, err
	}
	return res, nil
}

// PutTerminal creates or updates one terminal, as an import of it alone would.
// Its Dataset has to be registered. Mistakes come together as a
// *manifest.Error.
func (r *Registry) PutTerminal(ctx context.Context, t manifest.Terminal) (PutResult, error) {
	const op = "put terminal"
	t.Properties = append([]*manifest.Property(nil), t.Properties...)
	if err := t.Check(); err != nil {
		return PutResult{}, err
	}
	var cred *credential
	var err error
	if t.Credentials != nil {
		if cred, err = r.prepare(ctx, t.Code, t.Credentials); err != nil {
			return PutResult{}, dbError(op, err)
		}
	}
	var res PutResult
	err = r.update(ctx, op, false, func(w *writer) error {
		c := &manifest.Collector{Op: op}
		out, err := w.putTerminal(&t, cred, func(field, found, expected, hint string) {
			c.Add(manifest.Problem{Field: field, Found: found, Expected: expected, Hint: hint})
		})
		if err != nil {
			return err
		}
		res = PutResult{Created: out == created, Changed: out != unchanged, Warnings: w.warnings}
		return c.Err()
	})
	if err != nil {
		return PutResult{}, err
	}
	return res, nil
}

// PutResult says what a PutTerminal did.
type PutResult struct {
	Created  bool     `json:"created"`
	Changed  bool     `json:"changed"`
	Warnings []string `json:"warnings,omitempty"`
}

// RetireTerminal sets the terminal's state to retired. Its readings are
// refused from now on; its history, ids and code stay. Retiring it again
// changes nothing. CodeNotFound when there is none.
func (r *Registry) RetireTerminal(ctx context.Context, code string) error {
	const op = "retire terminal"
	return r.update(ctx, op, false, func(w *writer) error {
		var id twin.ThingID
		var state twin.TerminalState
		known, err := w.row(`SELECT id, state FROM things WHERE code = ?`, []any{code}, &id, &state)
		if err != nil {
			return err
		}
		if !known {
			return noTerminal(op, code)
		}
		if state == twin.StateRetired {
			return nil
		}
		// The digest goes: an import of the old manifest entry is a change.
		if _, err := w.exec(`UPDATE things SET state = ?, digest = NULL, updated_ns = ? WHERE id = ?`, string(twin.StateRetired), w.nowNs, int64(id)); err != nil {
			return err
		}
		w.changed(id, code)
		return nil
	})
}
