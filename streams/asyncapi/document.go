// Package asyncapi describes the stream: the types of its messages, which the
// WebSocket server uses, and the AsyncAPI 3.0 document that is made of them and
// served at /api/asyncapi.yaml. ../ws/PROTOCOL.md says in words what the
// document says in schemas.
//
// A Handler is safe for concurrent use; the document is made once.
package asyncapi

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"

	"cityhub/streams"
)

// Options of the document. The zero value is a document of a hub on this machine.
type Options struct {
	Version string // of the hub, e.g. 0.1.0; empty means 0
	Host    string // host:port under which clients reach the hub; empty means 127.0.0.1:8080
	TLS     bool   // clients reach it by wss and https
}

type messageType struct {
	name, summary string
	of            reflect.Type
}

func message[T any](name, summary string) messageType {
	return messageType{name, summary, reflect.TypeFor[T]()}
}

// fromClient and fromHub list the messages in the order of PROTOCOL.md.
var (
	fromClient = []messageType{
		message[Auth]("auth", "Says who the client is, before its first subscription."),
		message[Subscribe]("subscribe", "Begins or replaces a subscription."),
		message[Update]("update", "Gives a subscription another filter in place, e.g. as a camera moves."),
		message[Unsubscribe]("unsubscribe", "Ends a subscription."),
		message[Ping]("ping", "Measures the way there and back."),
	}
	fromHub = []messageType{
		message[Welcome]("welcome", "The first message; again after auth."),
		message[Subscribed]("subscribed", "The subscription has begun."),
		message[Snapshot]("snapshot", "The latest observation of every Datastream in the view, or a part of them."),
		message[Delta]("delta", "Every observation of the view after the position of the message before."),
		message[Changed]("changed", "What is new in a view and what left it, after update."),
		message[Event]("event", "Something that happened beside the readings."),
		message[Unsubscribed]("unsubscribed", "The subscription has ended."),
		message[Heartbeat]("heartbeat", "Everything up to its position has been sent."),
		message[Pong]("pong", "Answers a ping."),
		message[Error]("error", "A request has failed; the connection goes on."),
	}
	shared = []messageType{
		message[Filter]("Filter", ""),
		message[Position]("Position", "A place in the log: positions of different epochs cannot be compared."),
		message[Datastream]("Datastream", "Describes a Datastream."),
	}
)

// closeCodes are those of the WebSocket, with what they say.
var closeCodes = []struct {
	code streams.CloseCode
	why  string
}{
	{streams.CloseNormal, "normal end"}, {1002, "the frames broke RFC 6455"}, {1007, "text that is not UTF-8, or a compressed message that is not valid"},
	{streams.CloseMalformed, "malformed message"}, {streams.CloseUnauthorized, "the token is unknown or has expired"}, {streams.CloseForbidden, "forbidden"},
	{streams.CloseTooManySubs, "more subscriptions than maxSubscriptions"}, {streams.CloseTooLarge, "a message larger than messageBytes"},
	{streams.CloseSlow, "slow consumer: resume after the last position"}, {streams.CloseIdle, "no pong came back"},
	{streams.CloseAccess, "access changed"}, {streams.CloseShutdown, "the server is shutting down"},
}

func channelMessages(channel string, list []messageType) []any {
	var out []any
	for _, m := range list {
		out = append(out, object{{"$ref", "#/channels/" + channel + "/messages/" + m.name}})
	}
	return out
}

// document builds the whole.
func document(o Options) object {
	if o.Version == "" {
		o.Version = "0"
	}
	if o.Host == "" {
		o.Host = "127.0.0.1:8080"
	}
	s := ""
	if o.TLS {
		s = "s"
	}
	both := append(append([]messageType(nil), fromClient...), fromHub...)
	var inStream, inEvents object
	for _, m := range both {
		inStream.add(m.name, ref("messages", m.name))
	}
	events := []messageType{}
	for _, m := range fromHub {
		switch m.name {
		case "snapshot", "delta", "event", "heartbeat":
			events = append(events, m)
			inEvents.add(m.name, ref("messages", m.name))
		}
	}
	var codes object
	for _, c := range closeCodes {
		codes.add(fmt.Sprint(int(c.code)), c.why)
	}
	return object{
		{"asyncapi", "3.0.0"},
		{"info", object{
			{"title", "cityhub stream"}, {"version", o.Version},
			{"description", "Live observations of a city: subscribe to a piece of it and miss nothing. Messages are JSON text (subprotocol cityhub.v1.json) or the same as deterministic CBOR, RFC 8949 (cityhub.v1.cbor). Clients ignore members and types that they do not know."},
			{"license", object{{"name", "Apache-2.0"}}},
		}},
		{"defaultContentType", "application/json"},
		{"servers", object{
			{"websocket", object{{"host", o.Host}, {"protocol", "ws" + s}, {"security", []any{ref("securitySchemes", "bearer")}}}},
			{"http", object{{"host", o.Host}, {"protocol", "http" + s}, {"security", []any{ref("securitySchemes", "bearer")}}}},
		}},
		{"channels", object{
			{"stream", object{
				{"address", "/stream"}, {"title", "WebSocket"},
				{"description", "RFC 6455, with permessage-deflate (RFC 7692) without context takeover. Close codes from 4000 to 4099 say that the client is at fault; from 4100 on it reconnects with backoff."},
				{"servers", []any{object{{"$ref", "#/servers/websocket"}}}},
				{"messages", inStream},
				{"bindings", object{{"ws", object{{"method", "GET"}}}}},
				{"x-close-codes", codes},
			}},
			{"events", object{
				{"address", "/stream/events"}, {"title", "Server-sent events"},
				{"description", "One subscription for clients that only listen; the event is the message's type, the id its position as epoch:offset. Last-Event-ID resumes."},
				{"servers", []any{object{{"$ref", "#/servers/http"}}}},
				{"messages", inEvents},
			}},
		}},
		{"operations", object{
			{"take", object{
				{"action", "receive"}, {"title", "What the hub takes from a client"}, {"channel", object{{"$ref", "#/channels/stream"}}}, {"messages", channelMessages("stream", fromClient)},
			}},
			{"send", object{
				{"action", "send"}, {"title", "What the hub sends"}, {"channel", object{{"$ref", "#/channels/stream"}}}, {"messages", channelMessages("stream", fromHub)},
			}},
			{"sendEvents", object{
				{"action", "send"}, {"title", "What the hub sends as server-sent events"}, {"channel", object{{"$ref", "#/channels/events"}}}, {"messages", channelMessages("events", events)},
				{"bindings", object{{"http", object{{"method", "GET"}, {"query", eventParameters()}}}}},
			}},
		}},
		{"components", object{
			{"messages", componentMessages(both)},
			{"schemas", componentSchemas(both)},
			{"securitySchemes", object{{"bearer", object{{"type", "http"}, {"scheme", "bearer"}, {"description", "An access token; without one the caller sees what is open to the public. Browsers send the session cookie, or auth as first message."}}}}},
		}},
	}
}

// eventParameters are the query parameters of /stream/events.
func eventParameters() object {
	var props object
	for _, p := range Parameters {
		props.add(p.Name, object{{"type", "string"}, {"description", p.Doc}})
	}
	return object{{"type", "object"}, {"properties", props}, {"additionalProperties", false}}
}

// Parameter is a query parameter of /stream/events.
type Parameter struct{ Name, Doc string }

// Parameters of /stream/events; those of the filter may come more than once,
// or hold a list separated by commas, unless they say otherwise.
var Parameters = []Parameter{
	{"property", "Names of observed properties."},
	{"datastream", "Ids of Datastreams."},
	{"bbox", "west,south,east,north in WGS 84 degrees, once."},
	{"domain", "Domains."},
	{"district", "Codes of administrative districts."},
	{"object", "Keys DATASET/ID of CityObjects; one each, since a key may hold a comma."},
	{"parts", "false: without the parts of the objects; once."},
	{"polygon", "A GeoJSON Polygon or MultiPolygon, once."},
	{"cql", "A CQL2 filter, once."},
	{"mode", "every or latest, once."},
	{"minIntervalMs", "Of mode latest, in ms, once."},
	{"events", "Kinds of events."},
}

func componentMessages(list []messageType) (out object) {
	for _, m := range list {
		out.add(m.name, object{{"name", m.name}, {"title", m.name}, {"summary", m.summary}, {"payload", ref("schemas", m.of.Name())}})
	}
	return out
}

func componentSchemas(list []messageType) (out object) {
	for _, m := range list {
		out.add(m.of.Name(), schemaOf(m.of, m.summary))
	}
	for _, m := range shared {
		out.add(m.of.Name(), schemaOf(m.of, m.summary))
	}
	out.add("Observation", object{
		{"type", "array"}, {"description", "[datastream, phenomenon time in ms since 1970-01-01 UTC, result, quality]. A result is a number, a text, true or false; null is a number that JSON cannot write. Quality: 1 good, 2 not evaluated, 3 suspect, 4 bad, 9 missing."},
		{"items", []any{
			object{{"type", "integer"}, {"minimum", int64(1)}}, object{{"type", "number"}},
			object{{"type", []any{"number", "string", "boolean", "null"}}}, object{{"type", "integer"}, {"enum", []any{int64(1), int64(2), int64(3), int64(4), int64(9)}}},
		}},
		{"minItems", int64(4)}, {"maxItems", int64(4)},
	})
	ring := object{{"type", "array"}, {"items", object{{"type", "array"}, {"minItems", int64(2)}, {"items", object{{"type", "number"}}}}}}
	rings := object{{"type", "array"}, {"items", ring}}
	out.add("Polygon", object{
		{"description", "A GeoJSON geometry (RFC 7946), Polygon or MultiPolygon, of at most 10,000 vertices."},
		{"oneOf", []any{
			object{{"type", "object"}, {"required", []any{"type", "coordinates"}}, {"properties", object{{"type", object{{"const", "Polygon"}}}, {"coordinates", rings}}}},
			object{{"type", "object"}, {"required", []any{"type", "coordinates"}}, {"properties", object{{"type", object{{"const", "MultiPolygon"}}}, {"coordinates", object{{"type", "array"}, {"items", rings}}}}}},
		}},
	})
	out.add("CQL2", object{
		{"description", "A CQL2 filter over Thing, Datastream, CityObject and reading: text, or CQL2 JSON."},
		{"oneOf", []any{object{{"type", "string"}, {"minLength", int64(1)}}, object{{"type", "object"}}}},
	})
	return out
}

// node turns a value into YAML that keeps its order.
func node(v any) *yaml.Node {
	switch v := v.(type) {
	case object:
		n := &yaml.Node{Kind: yaml.MappingNode}
		for _, m := range v {
			n.Content = append(n.Content, node(m.name), node(m.value))
		}
		return n
	case []any:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		plain := true
		for _, e := range v {
			c := node(e)
			plain = plain && c.Kind == yaml.ScalarNode
			n.Content = append(n.Content, c)
		}
		if plain {
			n.Style = yaml.FlowStyle
		}
		return n
	}
	n := new(yaml.Node)
	if err := n.Encode(v); err != nil {
		panic("asyncapi: " + err.Error()) // strings, numbers and booleans encode
	}
	return n
}

// Document is the AsyncAPI document in YAML.
func Document(o Options) []byte {
	var b strings.Builder
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(node(document(o))); err != nil {
		panic("asyncapi: " + err.Error()) // a tree of nodes encodes
	}
	return []byte(b.String())
}

// Handler serves the document to GET and HEAD.
func Handler(o Options) http.Handler {
	doc := Document(o)
	sum := sha256.Sum256(doc)
	tag := `"` + hex.EncodeToString(sum[:8]) + `"`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "application/yaml; charset=utf-8") // RFC 9512
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", tag)
		h.Set("Access-Control-Allow-Origin", "*") // it tells nothing that is not public
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = w.Write(doc) // a caller who has left needs none
	})
}
