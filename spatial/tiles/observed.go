package tiles

import (
	"math"
	"time"

	"github.com/paulmach/orb"

	"cityhub/spatial/city"
)

// reading is the last reading of a Datastream at the time that is shown.
func (b *builder) reading(ds *city.Datastream) (city.Reading, bool, error) {
	if b.content.at.IsZero() {
		r, ok := b.view.Observed.Latest(ds)
		return r, ok, nil
	}
	return b.view.Observed.LatestAt(b.ctx, ds, b.content.at)
}

// named is the latest reading of an observed property.
type named struct {
	property string
	text     bool
	city.Reading
}

// readings are the latest readings of list by property, in the order of list.
// Where several Datastreams observe one property the latest reading counts.
func (b *builder) readings(list []*city.Datastream) ([]named, error) {
	last := b.last[:0]
next:
	for _, ds := range list {
		r, ok, err := b.reading(ds)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		for i := range last {
			if last[i].property == ds.Property {
				if r.Time.After(last[i].Time) {
					last[i] = named{ds.Property, ds.Text, r}
				}
				continue next
			}
		}
		last = append(last, named{ds.Property, ds.Text, r})
	}
	b.last = last
	return last, nil
}

// setReadings sets each value under its property's name, and beside it its time
// and quality.
func setReadings(l *layerWriter, last []named) {
	for _, r := range last {
		if r.text {
			l.set(r.property, textValue(cut(r.Text, maxText)))
		} else if !math.IsNaN(r.Value) { // a missing value is no number and not sent
			l.set(r.property, numberValue(r.Value))
		}
		l.set(r.property+"_time", textValue(r.Time.UTC().Format(time.RFC3339)))
		if r.Quality != "" {
			l.set(r.property+"_quality", textValue(r.Quality))
		}
	}
}

// terminals makes the layer of the terminals that stand in the tile.
func (b *builder) terminals(left budget) (*layerWriter, error) {
	l := newLayer(layerTerminals)
	area := b.tile.bound(buffer)
	sel := city.Select{Bound: &area}
	after := int64(0)
	const page = 1000
	for {
		list, err := b.view.Observed.Terminals(b.ctx, sel, after, page)
		if err != nil {
			return nil, err
		}
		for _, t := range list {
			if l.count >= left.features || l.bytes() >= left.bytes {
				b.omitted++
				b.atLeast = true
				return l, nil
			}
			at := orb.Point{t.Lon, t.Lat}
			kind, commands := b.shape.encode(at)
			if len(commands) == 0 {
				continue
			}
			last, err := b.readings(t.Datastreams)
			if err != nil {
				return nil, err
			}
			if f := b.content.filter; f != nil && !f.matchTerminal(t, at, last) {
				continue
			}
			l.setID(t.Code)
			l.set("name", textValue(t.Name))
			l.set("name_en", textValue(t.NameEn))
			l.set("domain", textValue(t.Domain))
			l.set("district", textValue(t.District))
			l.set("state", textValue(t.State))
			l.set("simulated", boolValue(t.Simulated))
			if t.HeightMetres != nil {
				l.set("height", numberValue(centimetres(*t.HeightMetres)))
			}
			setReadings(l, last)
			l.add(uint64(t.ID), kind, commands)
		}
		if len(list) < page {
			return l, nil
		}
		after = list[len(list)-1].ID
	}
}

// live makes the layer of the objects on which something is observed.
func (b *builder) live(left budget) (*layerWriter, error) {
	l := newLayer(layerLive)
	positions, err := b.view.Observed.Objects(b.ctx, "")
	if err != nil {
		return nil, err
	}
	area := b.tile.bound(buffer)
	var list []*city.Datastream
	for i, position := range positions {
		if i%1000 == 0 {
			if err := b.ctx.Err(); err != nil {
				return nil, err
			}
		}
		ref, ok := b.view.Index.At(position)
		if !ok {
			continue
		}
		o := b.view.Index.Object(ref)
		if o.Bound.IsEmpty() || !o.Bound.Intersects(area) {
			continue
		}
		if l.count >= left.features || l.bytes() >= left.bytes {
			b.omitted++
			b.atLeast = true
			return l, nil
		}
		list = b.view.Observed.On(b.ctx, position, list[:0])
		if len(list) == 0 {
			continue
		}
		g := b.view.Index.Footprint(ref)
		kind, commands := b.shape.encode(g)
		if len(commands) == 0 {
			continue
		}
		last, err := b.readings(list)
		if err != nil {
			return nil, err
		}
		if f := b.content.filter; f != nil && !f.matchObject(o, g, last) {
			continue
		}
		setObject(l, o)
		setReadings(l, last)
		l.add(uint64(position), kind, commands)
	}
	return l, nil
}
