package registry

import (
	"context"

	"cityhub/twin"
)

// PropertyUse is how many Datastreams of an ObservedProperty have one unit and
// result type.
type PropertyUse struct {
	Property twin.ObservedPropertyID
	Unit     twin.Unit
	Result   twin.ResultType
	Count    int
}

// PropertyUses counts the Datastreams that q sees by property, unit and result
// type, in order of the property, the most frequent first. What else q says is
// not read.
func (r *Registry) PropertyUses(ctx context.Context, q Query) ([]PropertyUse, error) {
	const op = "count the uses of properties"
	where, args := "", []any{}
	if !q.All {
		where, args = " WHERE d.dataset_id IN (SELECT value FROM json_each(?))", append(args, idList(q.Datasets))
	}
	rows, err := r.read.QueryContext(ctx, `SELECT d.property_id, u.name, u.symbol, u.code, d.result, count(*) AS n
		FROM datastreams d JOIN units u ON u.id = d.unit_id`+where+` GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, n DESC, 2, 5`, args...)
	if err != nil {
		return nil, dbError(op, err)
	}
	defer func() { _ = rows.Close() }() // its error is that of rows.Err
	var out []PropertyUse
	for rows.Next() {
		var u PropertyUse
		if err := rows.Scan(&u.Property, &u.Unit.Name, &u.Unit.Symbol, &u.Unit.Code, &u.Result, &u.Count); err != nil {
			return nil, dbError(op, err)
		}
		out = append(out, u)
	}
	return out, dbError(op, rows.Err())
}
