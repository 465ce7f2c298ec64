package features

import (
	"slices"

	"github.com/paulmach/orb"

	"cityhub/spatial"
	"cityhub/spatial/cql2"
	"cityhub/spatial/index"
	"cityhub/spatial/store"
)

// selection makes the selection of a request for the items of a collection of
// objects.
func (c *call) selection(k kind, s search) (*selection, error) {
	sel := &selection{kind: k, classes: k.classes(), tall: s.tall, low: s.low, high: s.high, withLive: s.live || k.live(),
		q: store.Query{Type: k.Type, At: s.at, BBox: s.bbox, Geometries: s.tall || c.format.name == formatJSONFG.name && s.profile != "rfc7946"}}
	var err error
	if sel.live, err = c.liveReader(s.at); err != nil {
		return nil, err
	}
	var sch *schema
	lookup := func(name string) (cql2.Queryable, bool, error) {
		for _, complete := range []bool{false, true} {
			if sch, err = c.schema(k, sel.live, complete); err != nil {
				return cql2.Queryable{}, false, err
			}
			if q, _, ok := sch.queryables.Lookup(name); ok {
				return q, true, nil
			}
		}
		return cql2.Queryable{}, false, nil
	}
	e, err := c.expression(s, lookup)
	if err != nil {
		return nil, err
	}
	if e != nil {
		if sch == nil { // only the box
			if sch, err = boxSchema(); err != nil {
				return nil, err
			}
		}
		if err := sel.apply(e, sch); err != nil {
			return nil, err
		}
	}
	return sel, c.positions(sel, e)
}

// boxSchema is the queryables that the parameter bbox needs.
func boxSchema() (*schema, error) {
	s := &schema{columns: fixedColumns()[:1]}
	var err error
	s.queryables, err = cql2.NewQueryables(s.columns[0].Queryable)
	return s, err
}

// apply compiles a filter and narrows the store's query by what it demands.
func (s *selection) apply(e cql2.Expr, sch *schema) error {
	var err error
	if s.filter, err = cql2.Compile(e, sch.queryables); err != nil {
		return err
	}
	s.schema, s.slow = sch, slowVertices(e)
	s.need = liveNeed(e, sch, s.live)
	h := cql2.Hints(e)
	s.never = h.Never
	if b, ok := h.Bounds["geometry"]; ok && (s.q.BBox == nil || s.q.BBox.West <= s.q.BBox.East) {
		box := store.BBox{West: max(b.Min[0], -180), South: max(b.Min[1], -90), East: min(b.Max[0], 180), North: min(b.Max[1], 90)}
		if o := s.q.BBox; o != nil {
			box = store.BBox{West: max(box.West, o.West), South: max(box.South, o.South), East: min(box.East, o.East), North: min(box.North, o.North)}
		}
		if box.West > box.East || box.South > box.North {
			s.never = true
		} else {
			s.q.BBox = &box
		}
	}
	if v, ok := equalText(h, "dataset"); ok {
		s.q.Dataset = v
	}
	if v, ok := equalText(h, "type"); ok && s.q.Type == "" {
		s.q.Type = v
	}
	if v, ok := equalText(h, "class"); ok {
		s.classes = slices.DeleteFunc(s.classes, func(c spatial.Class) bool { return string(c) != v })
		s.never = s.never || len(s.classes) == 0
	}
	return nil
}

// equalText is the text that a property must equal; false where there is none
// or more than one may do.
func equalText(h cql2.Hint, name string) (string, bool) {
	list := h.Equal[name]
	if len(list) != 1 {
		return "", false
	}
	s, ok := list[0].(*cql2.String)
	if !ok || s.Value == "" {
		return "", false
	}
	return s.Value, true
}

// liveNeed marks the observed properties that a filter reads.
func liveNeed(e cql2.Expr, sch *schema, l *liveReader) []bool {
	var need []bool
	for _, name := range cql2.Properties(e) {
		_, i, ok := sch.queryables.Lookup(name)
		if !ok {
			continue
		}
		if col := sch.columns[i]; col.field >= fieldLive && col.field < fieldAttribute {
			if need == nil {
				need = make([]bool, len(l.props))
			}
			need[col.prop] = true
		}
	}
	return need
}

// positions finds where the objects are on which what the filter demands is
// observed: it has to look at these only.
func (c *call) positions(sel *selection, e cql2.Expr) error {
	if e != nil {
		for _, group := range required(e) {
			var props []int
			for _, name := range group {
				_, i, ok := sel.schema.queryables.Lookup(name)
				if !ok || sel.schema.columns[i].field < fieldLive || sel.schema.columns[i].field >= fieldAttribute {
					props = nil
					break
				}
				if p := sel.schema.columns[i].prop; !slices.Contains(props, p) {
					props = append(props, p)
				}
			}
			if props == nil {
				continue
			}
			var found []int64
			for _, p := range props {
				list, err := c.observedPositions(sel.live.props[p].Name)
				if err != nil {
					return err
				}
				found = append(found, list...)
			}
			if len(props) > 1 {
				slices.Sort(found)
				found = slices.Compact(found)
			}
			if !sel.byPosition || len(found) < len(sel.positions) {
				sel.positions = found
			}
			sel.byPosition = true
		}
	}
	if !sel.byPosition && sel.kind.live() {
		sel.byPosition = true
		var err error
		if sel.positions, err = c.observedPositions(""); err != nil {
			return err
		}
	}
	if !sel.byPosition {
		return nil
	}
	if sel.q.BBox != nil && !c.narrow(sel) {
		if sel.kind.live() {
			sel.among = sel.positions
		}
		sel.byPosition, sel.positions = false, nil
		return nil
	}
	if e == nil || !sel.q.At.IsZero() || sel.need == nil {
		return nil
	}
	return sel.applyLive(e)
}

// narrow leaves of the positions those in the box, as far as the index knows;
// false: to look at all objects in the box is less work. The index knows only
// what is valid now.
func (c *call) narrow(sel *selection) bool {
	const few, enough = 200, 20_000 // positions
	if len(sel.positions) <= few {
		return true
	}
	if c.view.Index == nil || c.view.Index.Len() == 0 {
		return len(sel.positions) < enough
	}
	now := sel.q.At.IsZero()
	most := len(sel.positions)
	if !now {
		most = min(most, enough)
	}
	var in []int64
	look := func(west, east float64) {
		b := orb.Bound{Min: orb.Point{west, sel.q.BBox.South}, Max: orb.Point{east, sel.q.BBox.North}}
		c.view.Index.Search(b, index.Options{Classes: sel.classes, Type: sel.q.Type, Dataset: sel.q.Dataset}, func(ref index.Ref) bool {
			in = append(in, c.view.Index.Object(ref).Position)
			return len(in) < most
		})
	}
	if b := sel.q.BBox; b.West > b.East {
		look(b.West, 180)
		look(-180, b.East)
	} else {
		look(b.West, b.East)
	}
	if len(in) >= most {
		return true
	}
	if !now {
		return false
	}
	slices.Sort(in)
	both := in[:0]
	for _, position := range slices.Compact(in) {
		if _, ok := slices.BinarySearch(sel.positions, position); ok {
			both = append(both, position)
		}
	}
	sel.positions = both
	return true
}

// applyLive compiles what the filter demands of live values alone: it is asked
// before an object is read. The latest values are in memory, those of the past
// are not.
func (s *selection) applyLive(e cql2.Expr) error {
	parts := []cql2.Expr{e}
	if call, ok := e.(*cql2.Call); ok && call.Op == cql2.OpAnd {
		parts = call.Args
	}
	var live []cql2.Expr
	for _, part := range parts {
		names := cql2.Properties(part)
		only := len(names) > 0
		for _, name := range names {
			_, i, ok := s.schema.queryables.Lookup(name)
			only = only && ok && s.schema.columns[i].field >= fieldLive && s.schema.columns[i].field < fieldAttribute
		}
		if only {
			live = append(live, part)
		}
	}
	var err error
	switch len(live) {
	case 0:
	case 1:
		s.liveFilter, err = cql2.Compile(live[0], s.schema.queryables)
	default:
		s.liveFilter, err = cql2.Compile(&cql2.Call{Op: cql2.OpAnd, Args: live}, s.schema.queryables)
	}
	return err
}
