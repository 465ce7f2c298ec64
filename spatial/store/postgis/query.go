package postgis

import (
	"context"
	"strconv"

	"github.com/jackc/pgx/v5"

	"cityhub/spatial/store"
)

// keptChunk is how many rows are read at a time where Keep may refuse some.
const keptChunk = 4000

// statement is SQL and its arguments.
type statement struct {
	sql  string
	args []any
}

// arg adds an argument and gives its placeholder.
func (s *statement) arg(v any) string {
	s.args = append(s.args, v)
	return "$" + strconv.Itoa(len(s.args))
}

// where is what q demands of the rows of a table, without the rectangle for the
// history where exact is not set: the caller compares it once more, for the boxes
// of PostGIS are rounded outwards.
func (s *statement) where(q store.Query, history, exact bool) {
	s.sql += ` WHERE position > ` + s.arg(q.After)
	if history {
		s.sql += ` AND class = ` + s.arg(classTable(q.Class))
	}
	if q.Dataset != "" {
		s.sql += ` AND dataset_no = (SELECT no FROM cityhub.dataset WHERE name = ` + s.arg(clean(q.Dataset)) + `)`
	}
	if q.Datasets != nil {
		names := make([]string, len(q.Datasets))
		for i, name := range q.Datasets {
			names[i] = clean(name)
		}
		s.sql += ` AND dataset_no = ANY(ARRAY(SELECT no FROM cityhub.dataset WHERE name = ANY(` + s.arg(names) + `)))`
	}
	if q.Type != "" {
		s.sql += ` AND type = ` + s.arg(clean(q.Type))
	}
	if q.Positions != nil {
		s.sql += ` AND position = ANY(` + s.arg(q.Positions) + `)`
	}
	if !q.At.IsZero() {
		at := s.arg(moment(q.At))
		s.sql += ` AND valid_from <= ` + at
		if history {
			s.sql += ` AND valid_to > ` + at
		}
	}
	if b := q.BBox; b != nil {
		boxes := []store.BBox{*b}
		if b.West > b.East { // across the antimeridian
			boxes = []store.BBox{{West: b.West, South: b.South, East: 180, North: b.North}, {West: -180, South: b.South, East: b.East, North: b.North}}
		}
		sep := ` AND (`
		for _, b := range boxes {
			w, so, e, n := s.arg(b.West), s.arg(b.South), s.arg(b.East), s.arg(b.North)
			s.sql += sep + `geom && ST_MakeEnvelope(` + w + `, ` + so + `, ` + e + `, ` + n + `, 4326)`
			if exact {
				s.sql += ` AND ST_XMax(geom) >= ` + w + ` AND ST_XMin(geom) <= ` + e + ` AND ST_YMax(geom) >= ` + so + ` AND ST_YMin(geom) <= ` + n
			}
			sep = ` OR `
		}
		s.sql += `)`
	}
}

// Query is one page of objects, in the order in which they were first stored.
func (s *Store) Query(ctx context.Context, q store.Query) (store.Page, error) {
	const op = "query"
	var page store.Page
	if err := q.Check(); err != nil {
		return page, err
	}
	if q.BBox != nil && q.BBox.Empty {
		return page, nil
	}
	limit := q.Limit
	if limit == 0 {
		limit = 1000
	}
	chunk := limit + 1
	if q.BBox != nil {
		chunk += 16 // some may only meet the rounded rectangle
	}
	var from querier = s.pool
	if q.Keep != nil {
		// Several statements, in one state of the database.
		chunk = max(chunk, keptChunk)
		tx, err := s.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
		if err != nil {
			return page, fail(op, err)
		}
		defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // it only reads
		from = tx
	}
	geometries := withoutGeometries
	if q.Geometries {
		geometries = withGeometries
	}
	for {
		st := statement{sql: current(classTable(q.Class), geometries)}
		st.where(q, false, false)
		if !q.At.IsZero() {
			st.sql += ` UNION ALL ` + past(geometries)
			st.where(q, true, false)
		}
		st.sql += ` ORDER BY position LIMIT ` + st.arg(chunk)
		read := 0
		err := each(ctx, from, op, func(v *store.Version) (bool, error) {
			read++
			q.After = v.Position
			keep, err := keeps(q, v)
			if err != nil || !keep {
				return true, err
			}
			if len(page.Versions) == limit {
				page.Next = page.Versions[limit-1].Position
				return false, nil
			}
			page.Versions = append(page.Versions, v)
			return true, nil
		}, st.sql, st.args...)
		if err != nil {
			return store.Page{}, err
		}
		if page.Next != 0 || read < chunk {
			return page, nil
		}
	}
}

// keeps reports whether v, which the server selected, belongs to what q selects.
func keeps(q store.Query, v *store.Version) (bool, error) {
	if q.BBox != nil && !q.BBox.Intersects(boundsOf(v.Footprint)) {
		return false, nil
	}
	if q.Keep == nil {
		return true, nil
	}
	geometries := v.Object.Geometries
	v.Object.Geometries = nil
	keep, err := q.Keep(v)
	v.Object.Geometries = geometries
	return keep, err
}

// Count is the number of objects that q selects.
func (s *Store) Count(ctx context.Context, q store.Query) (int64, error) {
	const op = "count"
	q.After = 0
	if err := q.Check(); err != nil {
		return 0, err
	}
	if q.BBox != nil && q.BBox.Empty {
		return 0, nil
	}
	if q.Keep != nil {
		return s.countKept(ctx, q)
	}
	st := statement{sql: `SELECT (SELECT count(*) FROM cityhub.` + classTable(q.Class)}
	st.where(q, false, true)
	st.sql += `)`
	if !q.At.IsZero() {
		st.sql += ` + (SELECT count(*) FROM cityhub.history`
		st.where(q, true, true)
		st.sql += `)`
	}
	var n int64
	err := s.pool.QueryRow(ctx, st.sql, st.args...).Scan(&n)
	return n, fail(op, err)
}

// countKept counts what q.Keep keeps, page by page.
func (s *Store) countKept(ctx context.Context, q store.Query) (int64, error) {
	var n int64
	q.Limit, q.Geometries = store.MaxLimit, false
	for {
		page, err := s.Query(ctx, q)
		if err != nil {
			return 0, err
		}
		n += int64(len(page.Versions))
		if page.Next == 0 {
			return n, nil
		}
		q.After = page.Next
	}
}
