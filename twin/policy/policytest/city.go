// Package policytest builds a small city on real stores, for tests of what
// reads through the gate: one Dataset of each class of opening, a terminal in
// each, and readings. It is safe to use from one goroutine at a time.
package policytest

import (
	"strings"
	"testing"
	"time"

	"cityhub/twin"
	"cityhub/twin/block"
	"cityhub/twin/policy"
	"cityhub/twin/registry"
	"cityhub/twin/registry/manifest"
	"cityhub/twin/series/pebble"
	"cityhub/twin/state"
)

// The city's manifest. The place of air-001 is the pagoda 北寺塔, the landmark
// of axis-order tests: 120.61540 east, 31.32454 north.
const cityManifest = `
datasets:
  - {code: air, title: 空气质量, titleEn: Air quality, owner: 生态环境局, open: unconditional}
  - {code: traffic, title: 交通流量, owner: 交通局, open: conditional}
  - {code: fire, title: 消防, owner: 消防支队, open: none}
terminals:
  - code: air-001
    name: 北寺塔空气站
    nameEn: Air at the North Temple Pagoda
    domain: environment
    district: "320508"
    location: {lon: 120.61540, lat: 31.32454}
    dataset: air
    sensor: {name: 颗粒物监测仪}
    legalBasis: 环境保护法
    purpose: 空气质量监测
    credentials: {username: air, password: open-sesame}
    extra: {height: 3, code: overwritten}
    properties:
      - {name: pm25, title: 细颗粒物, titleEn: PM2.5, unit: {ucum: ug/m3, name: microgram per cubic metre, symbol: µg/m³}}
      - {name: cars, title: 车辆数, type: count}
      - {name: status, title: 状态, type: text}
      - {name: alarm, title: 报警, type: truth}
  - code: traffic-001
    name: 干将路线圈
    domain: transport
    location: {lon: 120.6178, lat: 31.3088}
    dataset: traffic
    sensor: {name: 线圈}
    properties:
      - {name: flow, title: 流量, unit: "1/h"}
  - code: fire-001
    name: 平江路烟感
    domain: public-safety
    location: {lon: 120.6320, lat: 31.3113}
    dataset: fire
    sensor: {name: 烟感}
    credentials: {username: fire, password: hush}
    properties:
      - {name: smoke, title: 烟雾, type: truth}
`

// Readings is how many readings of pm25 the city has, one a minute from Start.
const Readings = 250

// Start is the time of the first reading.
var Start = time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)

// City is the small city.
type City struct {
	Registry *registry.Registry
	Series   *pebble.Store
	State    *state.State
	Gate     *policy.Gate
	Token    string // the operator's
	t        testing.TB
	offset   uint64
}

// New builds the city; it ends with the test.
func New(t testing.TB, anonymous policy.Role) *City {
	t.Helper()
	c := &City{t: t, State: state.New()}
	var err error
	if c.Registry, err = registry.Open(t.Context(), registry.Options{PasswordIterations: 1}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Registry.Close() })
	if c.Series, err = pebble.Open(t.TempDir(), pebble.Options{CacheBytes: 1 << 20, MemTableBytes: 1 << 20, MinFreeBytes: -1}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Series.Close() })
	m, err := manifest.ParseYAML("", strings.NewReader(cityManifest))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Registry.Import(t.Context(), m, registry.ImportOptions{}); err != nil {
		t.Fatal(err)
	}
	if c.Token, err = c.Registry.CreateToken(t.Context(), "operator", registry.RoleOperator, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if c.Gate, err = policy.New(policy.Options{Registry: c.Registry, Series: c.Series, State: c.State, AnonymousRole: anonymous}); err != nil {
		t.Fatal(err)
	}
	var b block.Batch
	ns := Start.UnixNano()
	pm25 := c.Datastream("air-001", "pm25")
	for i := range int64(Readings) {
		at := ns + i*int64(time.Minute)
		b.AppendNumber(pm25.ID, at, at+int64(time.Second), float64(i)/10, twin.QualityNotEvaluated)
	}
	b.AppendNumber(c.Datastream("air-001", "cars").ID, ns, ns, 12345678, twin.QualityGood)
	b.AppendText(c.Datastream("air-001", "status").ID, ns, ns, "正常 \"ok\"", twin.QualityNotEvaluated)
	b.AppendNumber(c.Datastream("air-001", "alarm").ID, ns, ns, 1, twin.QualityNotEvaluated)
	b.AppendNumber(c.Datastream("traffic-001", "flow").ID, ns, ns, 900, twin.QualityNotEvaluated)
	b.AppendNumber(c.Datastream("fire-001", "smoke").ID, ns, ns, 0, twin.QualityNotEvaluated)
	c.Append(&b)
	return c
}

// Datastream finds a Datastream of a terminal by its property.
func (c *City) Datastream(terminal, property string) *twin.Datastream {
	c.t.Helper()
	t, err := c.Registry.Terminal(c.t.Context(), terminal)
	if err != nil {
		c.t.Fatal(err)
	}
	ds := t.Datastream(property)
	if ds == nil {
		c.t.Fatalf("%s has no %s", terminal, property)
	}
	return ds
}

// Append stores readings and makes them live, as the log would.
func (c *City) Append(b *block.Batch) {
	c.t.Helper()
	c.offset++
	pos := twin.Position{Epoch: "test", Offset: c.offset}
	if err := c.Series.Append(c.t.Context(), []*block.Batch{b}, pos); err != nil {
		c.t.Fatal(err)
	}
	c.State.Apply([]*block.Batch{b}, pos)
}

// SetOpen changes how a Dataset is opened.
func (c *City) SetOpen(code string, open twin.Openness) {
	c.t.Helper()
	d, err := c.Registry.DatasetByCode(c.t.Context(), code)
	if err != nil {
		c.t.Fatal(err)
	}
	d.Open = open
	if _, err := c.Registry.PutDataset(c.t.Context(), d); err != nil {
		c.t.Fatal(err)
	}
}
