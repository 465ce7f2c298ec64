package registry

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"

	"cityhub/twin"
	"cityhub/twin/registry/manifest"
)

// TerminalInfo is a terminal as its managers see it. It never holds a password
// or its hash.
type TerminalInfo struct {
	Thing      twin.Thing
	Location   *twin.Location // nil: not known
	Dataset    string         // code
	Sensor     twin.Sensor
	LegalBasis string
	Purpose    string
	Observes   manifest.Observes
	Username   string // empty: the terminal has no credentials
	// DatastreamCount is of those in use; Datastreams has the retired ones too
	// and is filled by TerminalInfo alone, in order of the property's name.
	DatastreamCount int
	Datastreams     []TerminalDatastream
}

// TerminalDatastream is a Datastream as its managers see it.
type TerminalDatastream struct {
	*twin.Datastream
	Retired bool // no longer a property of the terminal
}

const infoSQL = `SELECT ` + thingColumns + `, ` + locationColumns + `, ds.code, s.id, s.name, s.description, s.encoding_type, s.metadata, t.legal_basis, t.purpose, t.observes, coalesce(c.username, ''),
	(SELECT count(*) FROM datastreams d WHERE d.thing_id = t.id AND d.retired = 0)
	FROM things t JOIN datasets ds ON ds.id = t.dataset_id JOIN sensors s ON s.id = t.sensor_id
	LEFT JOIN locations l ON l.id = t.location_id LEFT JOIN credentials c ON c.thing_id = t.id`

func scanInfo(row scanner, i *TerminalInfo) error {
	var (
		id                sql.NullInt64
		name, desc, datum sql.NullString
		lon, lat, height  sql.NullFloat64
		observes          string
	)
	s := &i.Sensor
	err := scanThing(row, &i.Thing, &id, &name, &desc, &lon, &lat, &height, &datum, &i.Dataset,
		&s.ID, &s.Name, &s.Description, &s.EncodingType, &s.Metadata, &i.LegalBasis, &i.Purpose, &observes, &i.Username, &i.DatastreamCount)
	if err == nil {
		i.Observes, err = manifest.ParseObserves(observes)
	}
	if err != nil || !id.Valid {
		return err
	}
	i.Location = &twin.Location{ID: twin.LocationID(id.Int64), Name: name.String, Description: desc.String, Lon: lon.Float64, Lat: lat.Float64, HeightDatum: datum.String}
	if height.Valid {
		i.Location.HeightMetres = &height.Float64
	}
	return nil
}

// TerminalInfo gives a terminal with its Datastreams. CodeNotFound when there
// is none.
func (r *Registry) TerminalInfo(ctx context.Context, code string) (*TerminalInfo, error) {
	const op = "find terminal"
	i := &TerminalInfo{}
	err := scanInfo(r.read.QueryRowContext(ctx, infoSQL+` WHERE t.code = ?`, code), i)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, noTerminal(op, code)
	}
	if err != nil {
		return nil, dbError(op, err)
	}
	rows, err := r.read.QueryContext(ctx, `SELECT id, retired FROM datastreams WHERE thing_id = ? ORDER BY property`, int64(i.Thing.ID))
	if err != nil {
		return nil, dbError(op, err)
	}
	defer func() { _ = rows.Close() }() // its error is that of rows.Err
	type row struct {
		id      twin.DatastreamID
		retired bool
	}
	var found []row
	for rows.Next() {
		var d row
		if err := rows.Scan(&d.id, &d.retired); err != nil {
			return nil, dbError(op, err)
		}
		found = append(found, d)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, dbError(op, err)
	}
	for _, d := range found {
		ds, err := r.Datastream(ctx, d.id)
		if err != nil {
			return nil, err
		}
		i.Datastreams = append(i.Datastreams, TerminalDatastream{Datastream: ds, Retired: d.retired})
	}
	return i, nil
}

// TerminalQuery selects terminals for management. Zero values are no
// condition.
type TerminalQuery struct {
	After    string // codes after this one
	Offset   int
	Limit    int // 0: DefaultLimit; at most MaxLimit
	Domain   twin.Domain
	District string
	State    twin.TerminalState
	Dataset  string // code
	Text     string // in the code or a name; ASCII letters match in either case
}

// ListTerminals gives terminals in order of code, without their Datastreams,
// and how many match the conditions other than After.
func (r *Registry) ListTerminals(ctx context.Context, q TerminalQuery) (page []TerminalInfo, total int, err error) {
	const op = "list terminals"
	if q.Limit < 0 || q.Limit > MaxLimit || q.Offset < 0 {
		return nil, 0, &twin.Error{Code: twin.CodeInvalid, Op: op, Field: "Limit", Message: "expected a limit of 1 to 10000 and an offset of 0 or more"}
	}
	if q.Limit == 0 {
		q.Limit = DefaultLimit
	}
	var conds []string
	var args []any
	add := func(cond string, arg ...any) { conds, args = append(conds, cond), append(args, arg...) }
	if q.Domain != "" {
		add("t.domain = ?", string(q.Domain))
	}
	if q.District != "" {
		add("t.district = ?", q.District)
	}
	if q.State != "" {
		add("t.state = ?", string(q.State))
	}
	if q.Dataset != "" {
		add("t.dataset_id = (SELECT id FROM datasets WHERE code = ?)", q.Dataset)
	}
	if q.Text != "" {
		like := "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(q.Text) + "%"
		add(`(t.code LIKE ? ESCAPE '\' OR t.name LIKE ? ESCAPE '\' OR t.name_en LIKE ? ESCAPE '\')`, like, like, like)
	}
	where := func() string {
		if len(conds) == 0 {
			return ""
		}
		return " WHERE " + strings.Join(conds, " AND ")
	}
	if err := r.read.QueryRowContext(ctx, `SELECT count(*) FROM things t`+where(), args...).Scan(&total); err != nil {
		return nil, 0, dbError(op, err)
	}
	if q.After != "" {
		add("t.code > ?", q.After)
	}
	rows, err := r.read.QueryContext(ctx, infoSQL+where()+` ORDER BY t.code LIMIT ? OFFSET ?`, append(args, q.Limit, q.Offset)...)
	if err != nil {
		return nil, 0, dbError(op, err)
	}
	defer func() { _ = rows.Close() }() // its error is that of rows.Err
	for rows.Next() {
		var i TerminalInfo
		if err := scanInfo(rows, &i); err != nil {
			return nil, 0, dbError(op, err)
		}
		page = append(page, i)
	}
	return page, total, dbError(op, rows.Err())
}

// Export gives everything registered as a manifest, without credentials, in
// order of id: importing it elsewhere registers the same. It is one consistent
// state of the registry. A property that registered itself on a terminal of
// another Dataset is left out, so that an import cannot open it by the way.
func (r *Registry) Export(ctx context.Context) (*manifest.Manifest, error) {
	const op = "export terminals"
	tx, err := r.read.BeginTx(ctx, nil)
	if err != nil {
		return nil, dbError(op, err)
	}
	defer func() { _ = tx.Rollback() }() // only read
	m := &manifest.Manifest{}
	err = each(ctx, tx, `SELECT `+datasetColumns+` FROM datasets ORDER BY id`, func(rows *sql.Rows) error {
		var d twin.Dataset
		err := scanDataset(rows, &d)
		m.Datasets = append(m.Datasets, manifest.Dataset{Code: d.Code, Title: d.Title, TitleEn: d.TitleEn, Owner: d.Owner, Open: d.Open, Description: d.Description, Simulated: d.Simulated})
		return err
	})
	if err != nil {
		return nil, dbError(op, err)
	}
	index := map[int64]int{}
	err = each(ctx, tx, `SELECT t.id, t.code, t.name, t.name_en, t.description, t.domain, t.district, t.state, t.simulated, t.legal_basis, t.purpose, t.observes, t.extra,
		l.lon, l.lat, l.height, coalesce(l.height_datum, ''), ds.code, s.name, s.description, s.encoding_type, s.metadata
		FROM things t JOIN datasets ds ON ds.id = t.dataset_id JOIN sensors s ON s.id = t.sensor_id LEFT JOIN locations l ON l.id = t.location_id ORDER BY t.id`, func(rows *sql.Rows) error {
		var (
			t        = manifest.Terminal{Properties: []*manifest.Property{}}
			id       int64
			extra    string
			observes string
			lon, lat sql.NullFloat64
			height   *float64
			datum    string
		)
		if err := rows.Scan(&id, &t.Code, &t.Name, &t.NameEn, &t.Description, &t.Domain, &t.District, &t.State, &t.Simulated, &t.LegalBasis, &t.Purpose, &observes, &extra,
			&lon, &lat, &height, &datum, &t.Dataset, &t.Sensor.Name, &t.Sensor.Description, &t.Sensor.EncodingType, &t.Sensor.Metadata); err != nil {
			return err
		}
		var err error
		if t.Observes, err = manifest.ParseObserves(observes); err != nil {
			return err
		}
		if lon.Valid {
			t.Location = &manifest.Location{Lon: lon.Float64, Lat: lat.Float64, Height: height, HeightDatum: datum}
		}
		if t.Sensor.Name == unknownSensor && t.Sensor.Description == "" && t.Sensor.Metadata == "" {
			t.Sensor = manifest.Sensor{}
		} else if media := t.Sensor.EncodingType; (manifest.Sensor{Metadata: t.Sensor.Metadata}).Encoding() == media {
			t.Sensor.EncodingType = "" // what it is by default
		}
		if extra != "" {
			if err := json.Unmarshal([]byte(extra), &t.Extra); err != nil {
				return err
			}
		}
		index[id] = len(m.Terminals)
		m.Terminals = append(m.Terminals, t)
		return nil
	})
	if err != nil {
		return nil, dbError(op, err)
	}
	shared := map[manifest.Property]*manifest.Property{}
	err = each(ctx, tx, `SELECT d.thing_id, p.name, p.title, p.title_en, p.definition, p.description, u.name, u.symbol, u.code, d.result
		FROM datastreams d JOIN observed_properties p ON p.id = d.property_id JOIN units u ON u.id = d.unit_id JOIN things t ON t.id = d.thing_id
		WHERE d.retired = 0 AND d.dataset_id = t.dataset_id ORDER BY d.id`, func(rows *sql.Rows) error {
		var (
			thing  int64
			p      manifest.Property
			result twin.ResultType
		)
		if err := rows.Scan(&thing, &p.Name, &p.Title, &p.TitleEn, &p.Definition, &p.Description, &p.Unit.Name, &p.Unit.Symbol, &p.Unit.UCUM, &result); err != nil {
			return err
		}
		p.Type = manifest.TypeOf(result)
		if p.Unit == (manifest.Unit{}) && result == twin.ResultMeasurement {
			p.Unit = manifest.Unit{Name: "unknown", UCUM: "{unknown}"} // registered automatically
		}
		q := shared[p]
		if q == nil {
			q = &p
			shared[p] = q
		}
		t := &m.Terminals[index[thing]]
		t.Properties = append(t.Properties, q)
		return nil
	})
	if err != nil {
		return nil, dbError(op, err)
	}
	return m, nil
}

// each calls fn for every row of a query.
func each(ctx context.Context, q querier, query string, fn func(*sql.Rows) error) error {
	rows, err := q.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	for rows.Next() {
		if err := fn(rows); err != nil {
			return errors.Join(err, rows.Close())
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}
