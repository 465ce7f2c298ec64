package gpkg

import (
	"context"
	"database/sql"
	"encoding/json"

	"cityhub/spatial/store"
)

// condition is q as SQL: what holds in the feature table, and the arguments; and
// the same for the history, which is only asked about the past. The R*Tree holds
// rounded numbers, so that the rectangle is compared once more with envelopes.
type condition struct {
	now, then         string
	nowArgs, thenArgs []any
}

func conditionOf(q store.Query) condition {
	c := condition{now: `fid > ?`, nowArgs: []any{q.After}}
	c.then, c.thenArgs = `class = ? AND fid > ?`, []any{string(q.Class), q.After}
	if q.Dataset != "" {
		c.now, c.nowArgs = c.now+` AND dataset = ?`, append(c.nowArgs, q.Dataset)
		c.then, c.thenArgs = c.then+` AND dataset = ?`, append(c.thenArgs, q.Dataset)
	}
	both := func(condition string, arg any) {
		c.now, c.nowArgs = c.now+` AND `+condition, append(c.nowArgs, arg)
		c.then, c.thenArgs = c.then+` AND `+condition, append(c.thenArgs, arg)
	}
	if q.Datasets != nil {
		both(`dataset IN (SELECT value FROM json_each(?))`, jsonArray(q.Datasets))
	}
	if q.Type != "" {
		both(`type = ?`, q.Type)
	}
	if q.Positions != nil {
		both(`fid IN (SELECT value FROM json_each(?))`, jsonArray(q.Positions))
	}
	if !q.At.IsZero() {
		at := moment(q.At)
		c.now, c.nowArgs = c.now+` AND valid_from <= ?`, append(c.nowArgs, at)
		c.then, c.thenArgs = c.then+` AND valid_from <= ? AND valid_to > ?`, append(c.thenArgs, at, at)
	}
	if b := q.BBox; b != nil {
		c.then += ` AND geom IS NOT NULL`
		meets := `maxx >= ? AND minx <= ?`
		if b.West > b.East {
			meets = `(maxx >= ? OR minx <= ?)`
		}
		if q.Positions != nil {
			return c // few, and their envelopes are looked at
		}
		c.now += ` AND fid IN (SELECT id FROM rtree_` + tableOf(q.Class) + `_geom WHERE ` + meets + ` AND maxy >= ? AND miny <= ?)`
		c.nowArgs = append(c.nowArgs, b.West, b.East, b.South, b.North)
	}
	return c
}

// jsonArray is a list as SQLite's json_each takes it: one argument, however long.
func jsonArray[T any](list []T) string {
	b, err := json.Marshal(list)
	if err != nil || list == nil {
		return "[]" // texts and numbers always marshal
	}
	return string(b)
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
	geometries := `NULL`
	if q.Geometries {
		geometries = geometriesSQL
	}
	c := conditionOf(q)
	query, args := current(tableOf(q.Class), geometries)+` WHERE `+c.now, c.nowArgs
	if !q.At.IsZero() {
		query += ` UNION ALL ` + past(geometries) + ` WHERE ` + c.then
		args = append(args, c.thenArgs...)
	}
	err := s.each(ctx, op, func(sc *scanner) (bool, error) {
		if q.BBox != nil {
			b, err := envelope(sc.geom())
			if err != nil {
				return false, &store.Error{Code: store.Corrupt, Op: op, Field: tableOf(q.Class) + ".geom", Err: err}
			}
			if b.Empty || !q.BBox.Intersects(b.West, b.South, b.East, b.North) {
				return true, nil
			}
		}
		v, err := sc.version()
		if err != nil {
			return false, err
		}
		if q.Keep != nil {
			geometries := v.Object.Geometries
			v.Object.Geometries = nil
			keep, err := q.Keep(v)
			if err != nil || !keep {
				return true, err
			}
			v.Object.Geometries = geometries
		}
		if len(page.Versions) == limit {
			page.Next = page.Versions[limit-1].Position
			return false, nil
		}
		page.Versions = append(page.Versions, v)
		return true, nil
	}, query+` ORDER BY 1`, args...)
	if err != nil {
		return store.Page{}, err
	}
	return page, nil
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
	c := conditionOf(q)
	what := `count(*)`
	if q.BBox != nil {
		what = envelopeSQL
	}
	query, args := `SELECT `+what+` FROM `+tableOf(q.Class)+` WHERE `+c.now, c.nowArgs
	if !q.At.IsZero() {
		query += ` UNION ALL SELECT ` + what + ` FROM cityhub_history WHERE ` + c.then
		args = append(args, c.thenArgs...)
	}
	rows, err := s.read.QueryContext(ctx, query, args...)
	if err != nil {
		return 0, fail(op, err)
	}
	defer func() { _ = rows.Close() }() // Err below has what matters
	var sum int64
	for rows.Next() {
		if q.BBox == nil {
			var n int64
			if err := rows.Scan(&n); err != nil {
				return 0, fail(op, err)
			}
			sum += n
			continue
		}
		var geom sql.RawBytes
		if err := rows.Scan(&geom); err != nil {
			return 0, fail(op, err)
		}
		b, err := envelope(geom)
		if err != nil {
			return 0, &store.Error{Code: store.Corrupt, Op: op, Field: tableOf(q.Class) + ".geom", Err: err}
		}
		if !b.Empty && q.BBox.Intersects(b.West, b.South, b.East, b.North) {
			sum++
		}
	}
	return sum, fail(op, rows.Err())
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
