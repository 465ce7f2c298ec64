package export

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"slices"

	"github.com/parquet-go/parquet-go"
	"github.com/paulmach/orb"
	"github.com/paulmach/orb/encoding/wkb"
)

const (
	// groupRows and groupBytes bound a row group, and with it the memory.
	groupRows  = 64 << 10
	groupBytes = 32 << 20
)

// parquetWriter writes GeoParquet 1.1.0: WKB in the column geometry, its
// rectangle in the column bbox as covering, so that readers skip row groups and
// pages by place.
type parquetWriter struct {
	w       *parquet.GenericWriter[any]
	o       Options
	p       *projector
	columns []int // leaf of each column
	geom    int
	box     [4]int // leaves of xmin, ymin, xmax, ymax
	row     parquet.Row
	wkb     bytes.Buffer
	types   []string
	bound   orb.Bound
	any     bool
	rows    int
	bytes   int
	closed  bool
}

// ordered is a group whose fields stand in the order in which they were given.
type ordered struct {
	parquet.Group
	names []string
}

// Fields gives the fields in their order.
func (o ordered) Fields() []parquet.Field {
	fields := o.Group.Fields()
	slices.SortFunc(fields, func(a, b parquet.Field) int {
		return slices.Index(o.names, a.Name()) - slices.Index(o.names, b.Name())
	})
	return fields
}

func newParquet(w io.Writer, o Options, p *projector) (*parquetWriter, error) {
	group := ordered{Group: parquet.Group{}}
	add := func(name string, n parquet.Node) {
		group.Group[name] = parquet.Compressed(n, &parquet.Zstd)
		group.names = append(group.names, name)
	}
	for _, c := range o.Columns {
		var n parquet.Node
		switch c.Type {
		case Integer:
			n = parquet.Int(64)
		case Number:
			n = parquet.Leaf(parquet.DoubleType)
		case Bool:
			n = parquet.Leaf(parquet.BooleanType)
		case Time:
			n = parquet.Timestamp(parquet.Microsecond)
		default:
			n = parquet.Encoded(parquet.String(), &parquet.RLEDictionary)
		}
		add(c.Name, parquet.Optional(n))
	}
	add("geometry", parquet.Optional(parquet.Leaf(parquet.ByteArrayType)))
	box := ordered{Group: parquet.Group{}, names: []string{"xmin", "ymin", "xmax", "ymax"}}
	for _, name := range box.names {
		box.Group[name] = parquet.Compressed(parquet.Leaf(parquet.DoubleType), &parquet.Zstd)
	}
	group.Group["bbox"] = parquet.Optional(box)
	group.names = append(group.names, "bbox")

	schema := parquet.NewSchema(o.Name, group)
	options := []parquet.WriterOption{
		schema, parquet.CreatedBy("cityhub", "1", "spatial/export"), parquet.SkipPageBounds("geometry"), parquet.DataPageStatistics(true),
	}
	if len(o.Meta) > 0 {
		options = append(options, parquet.KeyValueMetadata("cityhub", string(o.Meta)))
	}
	out := &parquetWriter{w: parquet.NewGenericWriter[any](w, options...), o: o, p: p}
	leaf := func(path ...string) int {
		l, _ := schema.Lookup(path...) // made above
		return l.ColumnIndex
	}
	for _, c := range o.Columns {
		out.columns = append(out.columns, leaf(c.Name))
	}
	out.geom = leaf("geometry")
	for i, name := range box.names {
		out.box[i] = leaf("bbox", name)
	}
	out.row = make(parquet.Row, len(o.Columns)+5)
	return out, nil
}

// Write writes a row.
func (p *parquetWriter) Write(row *Row) error {
	if err := check(row, p.o.Columns); err != nil {
		return err
	}
	put := func(leaf int, v parquet.Value, set bool) {
		if set {
			p.row[leaf] = v.Level(0, 1, leaf)
		} else {
			p.row[leaf] = parquet.NullValue().Level(0, 0, leaf)
		}
	}
	for i, c := range p.o.Columns {
		v := row.Values[i]
		var out parquet.Value
		switch c.Type {
		case Integer:
			out = parquet.Int64Value(v.Int)
		case Number:
			out = parquet.DoubleValue(v.Number)
		case Bool:
			out = parquet.BooleanValue(v.Int != 0)
		case Time:
			out = parquet.Int64Value(v.Int / 1000)
		default:
			out = parquet.ByteArrayValue([]byte(v.Text))
			p.bytes += len(v.Text)
		}
		put(p.columns[i], out, v.Set)
	}
	g, err := p.p.apply(row.Geometry)
	if err != nil {
		return err
	}
	p.wkb.Reset()
	var b orb.Bound
	if g != nil {
		if err := wkb.NewEncoder(&p.wkb).SetByteOrder(binary.LittleEndian).Encode(g); err != nil {
			return err
		}
		b = g.Bound()
		if !p.any {
			p.bound, p.any = b, true
		}
		p.bound = p.bound.Union(b)
		if t := g.GeoJSONType(); !slices.Contains(p.types, t) {
			p.types = append(p.types, t)
		}
	}
	put(p.geom, parquet.ByteArrayValue(p.wkb.Bytes()), g != nil)
	for i, v := range [4]float64{b.Min[0], b.Min[1], b.Max[0], b.Max[1]} {
		put(p.box[i], parquet.DoubleValue(v), g != nil)
	}
	if _, err := p.w.WriteRows([]parquet.Row{p.row}); err != nil {
		return err
	}
	p.rows++
	p.bytes += p.wkb.Len() + 8*len(p.row)
	if p.rows >= groupRows || p.bytes >= groupBytes {
		p.rows, p.bytes = 0, 0
		return p.w.Flush()
	}
	return nil
}

// Close writes the footer with GeoParquet's metadata.
func (p *parquetWriter) Close() error {
	if p.closed {
		return nil
	}
	p.closed = true
	projjson, err := p.p.projjson()
	if err != nil {
		return err
	}
	slices.Sort(p.types)
	path := func(name string) []string { return []string{"bbox", name} }
	column := map[string]any{
		"encoding": "WKB", "geometry_types": append([]string{}, p.types...), "crs": projjson, "edges": "planar",
		"covering": map[string]any{"bbox": map[string]any{"xmin": path("xmin"), "ymin": path("ymin"), "xmax": path("xmax"), "ymax": path("ymax")}},
	}
	if p.any {
		column["bbox"] = []float64{p.bound.Min[0], p.bound.Min[1], p.bound.Max[0], p.bound.Max[1]}
	}
	geo, err := json.Marshal(map[string]any{"version": "1.1.0", "primary_column": "geometry", "columns": map[string]any{"geometry": column}})
	if err != nil {
		return err
	}
	p.w.SetKeyValueMetadata("geo", string(geo))
	return p.w.Close()
}

// Abort leaves the file without its footer.
func (p *parquetWriter) Abort() { p.closed = true }
