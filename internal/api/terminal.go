package api

import (
	"math"
	"time"

	"cityhub/twin"
	"cityhub/twin/policy"
	"cityhub/twin/registry"
	"cityhub/twin/registry/manifest"
)

// Terminal is a terminal as its managers see it.
type Terminal struct {
	Code            string             `json:"code"`
	Thing           twin.ThingID       `json:"thing" doc:"Its id as a SensorThings Thing"`
	Name            string             `json:"name"`
	NameEn          string             `json:"nameEn,omitempty"`
	Description     string             `json:"description,omitempty"`
	Domain          twin.Domain        `json:"domain"`
	District        string             `json:"district,omitempty"`
	State           twin.TerminalState `json:"state"`
	Simulated       bool               `json:"simulated"`
	Location        *manifest.Location `json:"location,omitempty" doc:"WGS 84 degrees; metres"`
	Dataset         string             `json:"dataset" doc:"Code of its Dataset"`
	Sensor          manifest.Sensor    `json:"sensor,omitzero"`
	LegalBasis      string             `json:"legalBasis,omitempty"`
	Purpose         string             `json:"purpose,omitempty"`
	Username        string             `json:"username,omitempty" doc:"MQTT user name; absent when it has no credentials"`
	Observes        manifest.Observes  `json:"observes,omitempty" doc:"City objects that it is declared to observe, DATASET/ID: one, or one by property"`
	Extra           map[string]any     `json:"extra,omitempty"`
	Updated         time.Time          `json:"updated"`
	DatastreamCount int                `json:"datastreamCount"`
	Datastreams     []Datastream       `json:"datastreams,omitempty" doc:"Only where one terminal is read"`
}

// Datastream is one property of a terminal with its latest value.
type Datastream struct {
	ID       twin.DatastreamID `json:"id"`
	Property string            `json:"property" doc:"Its name in payloads"`
	Title    string            `json:"title"`
	TitleEn  string            `json:"titleEn,omitempty"`
	Unit     string            `json:"unit,omitempty" doc:"The unit as shown"`
	UCUM     string            `json:"ucum,omitempty" doc:"The unit's UCUM code"`
	Dataset  string            `json:"dataset" doc:"Code of its Dataset"`
	Result   manifest.Type     `json:"result" enum:"measurement,count,text,truth"`
	Retired  bool              `json:"retired,omitempty" doc:"No longer a property of the terminal; its history stays"`
	Latest   *Value            `json:"latest,omitempty"`
}

// Value is a reading.
type Value struct {
	Time    time.Time `json:"time" doc:"When it was true"`
	Value   any       `json:"value" doc:"A number, a text, true or false; null when the reading is missing"`
	Quality string    `json:"quality" enum:"good,not-evaluated,suspect,bad,missing"`
}

func terminalOf(i *registry.TerminalInfo) Terminal {
	t := Terminal{
		Code: i.Thing.Code, Thing: i.Thing.ID, Name: i.Thing.Name, NameEn: i.Thing.NameEn, Description: i.Thing.Description,
		Domain: i.Thing.Domain, District: i.Thing.District, State: i.Thing.State, Simulated: i.Thing.Simulated,
		Dataset: i.Dataset, LegalBasis: i.LegalBasis, Purpose: i.Purpose, Observes: i.Observes, Username: i.Username,
		Sensor: manifest.Sensor{Name: i.Sensor.Name, Description: i.Sensor.Description, EncodingType: i.Sensor.EncodingType, Metadata: i.Sensor.Metadata},
		Extra:  i.Thing.Properties, Updated: i.Thing.Updated, DatastreamCount: i.DatastreamCount,
	}
	if l := i.Location; l != nil {
		t.Location = &manifest.Location{Lon: l.Lon, Lat: l.Lat, Height: l.HeightMetres, HeightDatum: l.HeightDatum}
	}
	return t
}

func datastreamOf(v *policy.View, d registry.TerminalDatastream, p twin.ObservedProperty) Datastream {
	out := Datastream{
		ID: d.ID, Property: d.PropertyName, Title: p.Title, TitleEn: p.TitleEn, Unit: d.Unit.Symbol, UCUM: d.Unit.Code,
		Dataset: v.DatasetCode(d.Dataset), Result: manifest.TypeOf(d.Result), Retired: d.Retired,
	}
	if o, ok := v.Latest(d.Datastream); ok {
		out.Latest = &Value{Time: time.Unix(0, o.PhenomenonNs).UTC(), Value: resultOf(d.Result, o), Quality: o.Quality.String()}
	}
	return out
}

func resultOf(rt twin.ResultType, o twin.Observation) any {
	switch {
	case o.IsText:
		return o.Text
	case o.Quality == twin.QualityMissing, math.IsNaN(o.Value), math.IsInf(o.Value, 0):
		return nil
	case rt == twin.ResultTruth:
		return o.Value != 0
	}
	return o.Value
}

// manifestOf is the manifest entry that registers what is registered. It has
// no credentials: those stay as they are.
func manifestOf(i *registry.TerminalInfo, properties map[twin.ObservedPropertyID]twin.ObservedProperty) manifest.Terminal {
	d := terminalOf(i)
	t := manifest.Terminal{
		Code: d.Code, Name: d.Name, NameEn: d.NameEn, Description: d.Description, Domain: d.Domain, District: d.District, State: d.State,
		Location: d.Location, Dataset: d.Dataset, Sensor: d.Sensor, Simulated: d.Simulated, LegalBasis: d.LegalBasis, Purpose: d.Purpose, Observes: d.Observes,
		Extra: d.Extra, Properties: []*manifest.Property{},
	}
	for _, ds := range i.Datastreams {
		if ds.Retired {
			continue
		}
		p := properties[ds.Property]
		t.Properties = append(t.Properties, &manifest.Property{
			Name: ds.PropertyName, Title: p.Title, TitleEn: p.TitleEn, Definition: p.Definition, Description: p.Description,
			Unit: manifest.Unit{Name: ds.Unit.Name, Symbol: ds.Unit.Symbol, UCUM: ds.Unit.Code}, Type: manifest.TypeOf(ds.Result),
		})
	}
	return t
}
