package registry

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"cityhub/twin"
	"cityhub/twin/registry/manifest"
)

const datasetColumns = `id, code, title, title_en, description, owner, open, simulated`

func scanDataset(row scanner, d *twin.Dataset) error {
	return row.Scan(&d.ID, &d.Code, &d.Title, &d.TitleEn, &d.Description, &d.Owner, &d.Open, &d.Simulated)
}

// Datasets gives every Dataset in order of id.
func (r *Registry) Datasets(ctx context.Context) ([]twin.Dataset, error) {
	const op = "list datasets"
	rows, err := r.read.QueryContext(ctx, `SELECT `+datasetColumns+` FROM datasets ORDER BY id`)
	if err != nil {
		return nil, dbError(op, err)
	}
	defer func() { _ = rows.Close() }() // its error is that of rows.Err
	var out []twin.Dataset
	for rows.Next() {
		var d twin.Dataset
		if err := scanDataset(rows, &d); err != nil {
			return nil, dbError(op, err)
		}
		out = append(out, d)
	}
	return out, dbError(op, rows.Err())
}

// Dataset gives the Dataset with the id. CodeNotFound when there is none.
func (r *Registry) Dataset(ctx context.Context, id twin.DatasetID) (twin.Dataset, error) {
	const op = "find dataset"
	var d twin.Dataset
	err := scanDataset(r.read.QueryRowContext(ctx, `SELECT `+datasetColumns+` FROM datasets WHERE id = ?`, int64(id)), &d)
	if errors.Is(err, sql.ErrNoRows) {
		return twin.Dataset{}, &twin.Error{Code: twin.CodeNotFound, Op: op, Field: "id", Message: fmt.Sprintf("there is no Dataset %d", id)}
	}
	return d, dbError(op, err)
}

// DatasetByCode gives the Dataset with the code. CodeNotFound when there is none.
func (r *Registry) DatasetByCode(ctx context.Context, code string) (twin.Dataset, error) {
	const op = "find dataset"
	var d twin.Dataset
	err := scanDataset(r.read.QueryRowContext(ctx, `SELECT `+datasetColumns+` FROM datasets WHERE code = ?`, code), &d)
	if errors.Is(err, sql.ErrNoRows) {
		return twin.Dataset{}, &twin.Error{Code: twin.CodeNotFound, Op: op, Field: "code", Message: fmt.Sprintf("there is no Dataset %q", code)}
	}
	return d, dbError(op, err)
}

// PutDataset creates or updates a Dataset by its Code and gives it as stored;
// d.ID is not read. An empty Open is none (苏州市数据条例 第十四条); a missing
// Owner is CodeInvalid (第八条, R01).
func (r *Registry) PutDataset(ctx context.Context, d twin.Dataset) (twin.Dataset, error) {
	m := manifest.Dataset{Code: d.Code, Title: d.Title, TitleEn: d.TitleEn, Owner: d.Owner, Open: d.Open, Description: d.Description, Simulated: d.Simulated}
	if err := m.Check(); err != nil {
		return twin.Dataset{}, err
	}
	err := r.update(ctx, "put dataset", false, func(w *writer) error {
		_, id, err := w.putDataset(&m)
		d.ID, d.Open = id, m.Open
		return err
	})
	if err != nil {
		return twin.Dataset{}, err
	}
	return d, nil
}
