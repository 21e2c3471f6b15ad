package app

import (
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/kiwerk/kiwerk/internal/server"
)

type object = map[string]any

var wildcard = regexp.MustCompile(`\{([^}.$]+)(\.\.\.)?\}`)

// describe makes the OpenAPI document of the routes. Types come from the
// request and response values of the endpoints.
func describe(endpoints []server.Endpoint, version string) object {
	d := describer{schemas: object{}}
	paths := object{}
	for _, e := range endpoints {
		path := wildcard.ReplaceAllString(strings.TrimSuffix(e.Pattern, "{$}"), "{$1}")
		item, ok := paths[path].(object)
		if !ok {
			item = object{}
			paths[path] = item
		}
		method := strings.ToLower(e.Method)
		if method == "" {
			method = "x-any-method"
		}
		item[method] = d.operation(e)
	}
	return object{
		"openapi": "3.1.0",
		"info":    object{"title": "Kiwerk", "version": version},
		"paths":   paths,
		"components": object{
			"schemas":         d.schemas,
			"securitySchemes": object{"token": object{"type": "http", "scheme": "bearer"}},
		},
	}
}

type describer struct{ schemas object }

func (d *describer) operation(e server.Endpoint) object {
	op := object{"x-permission": e.Permission.String()}
	if e.Summary != "" {
		op["summary"] = e.Summary
	}
	if !e.Permission.IsPublic() {
		op["security"] = []object{{"token": []string{}}}
	}
	var params []object
	for _, m := range wildcard.FindAllStringSubmatch(e.Pattern, -1) {
		params = append(params, object{"name": m[1], "in": "path", "required": true, "schema": object{"type": "string"}})
	}
	if params != nil {
		op["parameters"] = params
	}
	if e.Request != nil && e.Method != http.MethodGet && e.Method != http.MethodDelete {
		op["requestBody"] = object{"content": object{"application/json": object{"schema": d.schema(reflect.TypeOf(e.Request))}}}
	}
	ok := object{"description": "OK"}
	if e.Response != nil {
		ok["content"] = object{"application/json": object{"schema": d.schema(reflect.TypeOf(e.Response))}}
	}
	op["responses"] = object{"200": ok}
	return op
}

var timeType = reflect.TypeFor[time.Time]()

// schema of a Go type as encoding/json writes it; structs go under components.
func (d *describer) schema(t reflect.Type) object {
	switch {
	case t == timeType:
		return object{"type": "string", "format": "date-time"}
	case t.Implements(reflect.TypeFor[interface{ MarshalJSON() ([]byte, error) }]()):
		return object{} // its own form
	}
	switch t.Kind() {
	case reflect.Pointer:
		return d.schema(t.Elem())
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Float32, reflect.Float64:
		return object{"type": "number"}
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return object{"type": "string", "contentEncoding": "base64"}
		}
		return object{"type": "array", "items": d.schema(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": d.schema(t.Elem())}
	case reflect.Struct:
		return d.structure(t)
	case reflect.Interface:
		return object{}
	default:
		return object{"type": "integer"}
	}
}

func (d *describer) structure(t reflect.Type) object {
	name := schemaName(t)
	if name == "" {
		return d.fields(t)
	}
	if _, known := d.schemas[name]; !known {
		d.schemas[name] = object{} // so that a type that contains itself ends here
		d.schemas[name] = d.fields(t)
	}
	return object{"$ref": "#/components/schemas/" + name}
}

var notName = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// schemaName is unique per type and stable: package and name.
func schemaName(t reflect.Type) string {
	if t.Name() == "" {
		return ""
	}
	pkg := t.PkgPath()[strings.LastIndexByte(t.PkgPath(), '/')+1:]
	return notName.ReplaceAllString(pkg+"."+t.Name(), "_")
}

func (d *describer) fields(t reflect.Type) object {
	properties := object{}
	for _, f := range reflect.VisibleFields(t) {
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || tag == "-" || len(f.Index) > 1 && f.Tag.Get("json") == "" || f.Anonymous && tag == "" {
			continue
		}
		if tag == "" {
			tag = f.Name
		}
		properties[tag] = d.schema(f.Type)
	}
	return object{"type": "object", "properties": properties}
}
