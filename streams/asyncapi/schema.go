package asyncapi

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// object is a map that keeps its order, so that the document reads as it was
// written.
type object []member

type member struct {
	name  string
	value any // object, []any, string, bool, int64, float64
}

func (o *object) add(name string, value any) { *o = append(*o, member{name, value}) }

func ref(kind, name string) object { return object{{"$ref", "#/components/" + kind + "/" + name}} }

var (
	rawType    = reflect.TypeFor[json.RawMessage]()
	numberType = reflect.TypeFor[json.Number]()
	rowType    = reflect.TypeFor[Observation]()
)

// schemaOf is the JSON Schema (draft 7, as AsyncAPI 3 takes it) of a struct of
// messages.go. It panics over tags that say nothing: they are part of the code.
func schemaOf(t reflect.Type, doc string) object {
	s := object{{"type", "object"}}
	if doc != "" {
		s.add("description", doc)
	}
	var props object
	var required []any
	for i := range t.NumField() {
		f := t.Field(i)
		is, doc := f.Tag.Get("is"), f.Tag.Get("doc")
		if f.Name == "_" {
			if doc != "" {
				s.add("description", doc)
			}
			switch is {
			case "closed":
				s.add("additionalProperties", false)
			case "open":
				s.add("additionalProperties", true)
			}
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		p := typeOf(f.Type)
		for c := range strings.FieldsSeq(is) {
			p = condition(p, c)
		}
		if doc != "" && (len(p) == 0 || p[0].name != "$ref") {
			p.add("description", doc)
		}
		props.add(name, p)
		if options != "omitempty" {
			required = append(required, name)
		}
	}
	if len(required) > 0 {
		s.add("required", required)
	}
	s.add("properties", props)
	return s
}

func typeOf(t reflect.Type) object {
	switch {
	case t == rawType:
		return object{}
	case t == numberType:
		return object{{"type", "number"}}
	case t == rowType:
		return ref("schemas", "Observation")
	}
	switch t.Kind() {
	case reflect.String:
		return object{{"type", "string"}}
	case reflect.Bool:
		return object{{"type", "boolean"}}
	case reflect.Int, reflect.Int64:
		return object{{"type", "integer"}}
	case reflect.Uint64:
		return object{{"type", "integer"}, {"minimum", int64(0)}}
	case reflect.Float64:
		return object{{"type", "number"}}
	case reflect.Slice:
		return object{{"type", "array"}, {"items", typeOf(t.Elem())}}
	case reflect.Struct:
		return ref("schemas", t.Name())
	case reflect.Pointer:
		p := typeOf(t.Elem())
		if t.Elem().Kind() == reflect.Float64 {
			p[0].value = []any{"number", "null"}
		}
		return p
	}
	panic("asyncapi: no schema of " + t.String())
}

// condition adds one condition of an is tag.
func condition(s object, c string) object {
	name, value, _ := strings.Cut(c, "=")
	switch name {
	case "any":
	case "ref":
		return ref("schemas", value)
	case "const", "format":
		s.add(name, value)
	case "enum":
		s.add(name, list(value))
	case "items":
		s[1].value = object{{"type", "string"}, {"enum", list(value)}}
	case "itemMinimum":
		s[1].value = append(s[1].value.(object), member{"minimum", whole(value)})
	case "minimum", "maximum", "exclusiveMinimum", "minLength", "maxLength", "minItems", "maxItems":
		s.add(name, whole(value))
	default:
		panic(fmt.Sprintf("asyncapi: no condition %q", c))
	}
	return s
}

func list(s string) []any {
	var out []any
	for v := range strings.SplitSeq(s, "|") {
		out = append(out, v)
	}
	return out
}

func whole(s string) int64 {
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		panic("asyncapi: " + err.Error())
	}
	return v
}
