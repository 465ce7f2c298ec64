package sensorthings

import (
	"net/http"
	"strconv"
)

// rootDocument is the service root (OGC 18-088 section 9.2.1).
type rootDocument struct {
	Value          []rootEntry    `json:"value"`
	ServerSettings serverSettings `json:"serverSettings"`
}

type rootEntry struct {
	Name string `json:"name"`
	URL  string `json:"url"`
}

type serverSettings struct {
	Conformance []string `json:"conformance"`
}

func rootOf(base string) rootDocument {
	d := rootDocument{ServerSettings: serverSettings{Conformance: conformance()}}
	for s := things; s <= observations; s++ {
		d.Value = append(d.Value, rootEntry{Name: s.String(), URL: base + "/" + s.String()})
	}
	return d
}

// conformance lists the requirements of OGC 18-088 that hold whole. What holds
// in part is not in it: the relations of Thing, Location and Observation
// (HistoricalLocations and FeaturesOfInterest are missing), resource paths,
// $filter, $orderby, $count (not at /Observations), $expand, and
// create-update-delete, of which only Observations can be created.
func conformance() []string {
	const base = "http://www.opengis.net/spec/iot_sensing/1.1/req/"
	return []string{
		base + "datamodel/entity-control-information/common-control-information",
		base + "datamodel/thing/properties",
		base + "datamodel/location/properties",
		base + "datamodel/sensor/properties",
		base + "datamodel/sensor/relations",
		base + "datamodel/observed-property/properties",
		base + "datamodel/observed-property/relations",
		base + "datamodel/datastream/properties",
		base + "datamodel/datastream/relations",
		base + "datamodel/observation/properties",
		base + "request-data/select",
		base + "request-data/top",
		base + "request-data/skip",
		base + "request-data/pagination",
		base + "request-data/status-code",
		base + "request-data/query-status-code",
	}
}

func writeJSON(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the caller is gone: there is nobody left to tell
	}
}
