package kube

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SchemaOf describes a struct of ours as its JSON fields say, so that the API
// server refuses what our types cannot hold; one such object would stop the
// caches of all. Fields without omitempty are required. Bounds are added by
// the caller with [At]. What `kubectl explain` tells comes from the method
// SwaggerDoc of the types, which internal/kube/describe writes.
func SchemaOf(v any) *apiextensionsv1.JSONSchemaProps {
	s := schemaOf(reflect.TypeOf(v))
	return &s
}

// StatusSchemaOf describes what only we write: it refuses nothing that a Go value of the type can be.
func StatusSchemaOf(v any) *apiextensionsv1.JSONSchemaProps {
	s := schemaOf(reflect.TypeOf(v))
	relax(&s)
	return &s
}

func relax(s *apiextensionsv1.JSONSchemaProps) {
	s.Required, s.XValidations, s.Nullable = nil, nil, true
	for name, p := range s.Properties {
		relax(&p)
		s.Properties[name] = p
	}
	if s.Items != nil {
		relax(s.Items.Schema)
	}
	if s.AdditionalProperties != nil {
		relax(s.AdditionalProperties.Schema)
	}
}

// described is a type whose comments are known.
type described interface{ SwaggerDoc() map[string]string }

func docsOf(t reflect.Type) map[string]string {
	if d, ok := reflect.Zero(t).Interface().(described); ok {
		return d.SwaggerDoc()
	}
	return nil
}

var stringTypes = []reflect.Type{reflect.TypeFor[metav1.Time](), reflect.TypeFor[metav1.MicroTime]()}

// durationRule holds for what metav1.Duration reads, which is nothing longer than
// 292 years; below zero there is no time to wait.
var durationRule = apiextensionsv1.ValidationRule{
	Rule:    `self.matches('^(0|([0-9]+([.][0-9]+)?(ns|us|µs|ms|s|m|h))+)$') && duration(self) >= duration('0s')`,
	Message: "must be a duration such as 90s, 10m, 6h or 1h30m; days are written in hours",
}

// maxDuration is the longest text that a duration needs.
const maxDuration = 64

func schemaOf(t reflect.Type) apiextensionsv1.JSONSchemaProps {
	for _, s := range stringTypes {
		if t == s {
			return apiextensionsv1.JSONSchemaProps{Type: "string"}
		}
	}
	if t == reflect.TypeFor[metav1.Duration]() {
		return apiextensionsv1.JSONSchemaProps{Type: "string", MaxLength: new(int64(maxDuration)), XValidations: apiextensionsv1.ValidationRules{durationRule}}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return schemaOf(t.Elem())
	case reflect.String:
		return apiextensionsv1.JSONSchemaProps{Type: "string"}
	case reflect.Bool:
		return apiextensionsv1.JSONSchemaProps{Type: "boolean"}
	case reflect.Int, reflect.Int32, reflect.Int64:
		return apiextensionsv1.JSONSchemaProps{Type: "integer"}
	case reflect.Float64:
		return apiextensionsv1.JSONSchemaProps{Type: "number"}
	case reflect.Slice:
		items := schemaOf(t.Elem())
		return apiextensionsv1.JSONSchemaProps{Type: "array", Items: &apiextensionsv1.JSONSchemaPropsOrArray{Schema: &items}}
	case reflect.Map:
		values := schemaOf(t.Elem())
		return apiextensionsv1.JSONSchemaProps{Type: "object", AdditionalProperties: &apiextensionsv1.JSONSchemaPropsOrBool{Schema: &values, Allows: true}}
	case reflect.Struct:
		return schemaOfStruct(t)
	default:
		panic(fmt.Sprintf("kube: no schema for %s", t)) //nolint:forbidigo // A type of ours, found by the first test that starts.
	}
}

func schemaOfStruct(t reflect.Type) apiextensionsv1.JSONSchemaProps {
	docs := docsOf(t)
	s := apiextensionsv1.JSONSchemaProps{Type: "object", Description: docs[""], Properties: map[string]apiextensionsv1.JSONSchemaProps{}}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		p := schemaOf(f.Type)
		if docs[name] != "" {
			p.Description = docs[name]
		}
		s.Properties[name] = p
		if !strings.Contains(options, "omitempty") {
			s.Required = append(s.Required, name)
		}
	}
	return s
}

// At changes the schema of the field at a dotted path; "[]" stands for the items of a list.
func At(s *apiextensionsv1.JSONSchemaProps, path string, change func(*apiextensionsv1.JSONSchemaProps)) {
	name, rest, nested := strings.Cut(path, ".")
	if name == "[]" {
		if !nested {
			change(s.Items.Schema)
			return
		}
		At(s.Items.Schema, rest, change)
		return
	}
	p, known := s.Properties[name]
	if !known {
		panic(fmt.Sprintf("kube: the schema has no field %q", path)) //nolint:forbidigo // A slip of ours, found by the first test that starts.
	}
	if nested {
		At(&p, rest, change)
	} else {
		change(&p)
	}
	s.Properties[name] = p
}

// Between bounds a number, both ends included. The refusal says the bounds and
// what to do; the schema's own minimum and maximum could only name one of them.
func Between(low, high float64, advice string) func(*apiextensionsv1.JSONSchemaProps) {
	return func(s *apiextensionsv1.JSONSchemaProps) {
		bounds := func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
		literal := bounds
		if s.Type == "number" { // CEL tells 7 from 7.0
			literal = func(v float64) string { return strconv.FormatFloat(v, 'f', max(1, decimals(v)), 64) }
		}
		s.XValidations = append(s.XValidations, apiextensionsv1.ValidationRule{
			Rule:    fmt.Sprintf("self >= %s && self <= %s", literal(low), literal(high)),
			Message: fmt.Sprintf("must be from %s to %s; %s", bounds(low), bounds(high), advice),
		})
	}
}

// decimals of a bound, as it is written.
func decimals(v float64) int {
	_, behind, _ := strings.Cut(strconv.FormatFloat(v, 'f', -1, 64), ".")
	return len(behind)
}

// AtMost bounds the length of a list, which bounds the cost of checking its items.
func AtMost(items int64) func(*apiextensionsv1.JSONSchemaProps) {
	return func(s *apiextensionsv1.JSONSchemaProps) { s.MaxItems = &items }
}

// OneOf bounds a string to some values.
func OneOf(values ...string) func(*apiextensionsv1.JSONSchemaProps) {
	return func(s *apiextensionsv1.JSONSchemaProps) {
		for _, v := range values {
			s.Enum = append(s.Enum, apiextensionsv1.JSON{Raw: []byte(`"` + v + `"`)})
		}
	}
}

// NotEmpty asks for at least one character.
func NotEmpty(s *apiextensionsv1.JSONSchemaProps) {
	one := int64(1)
	s.MinLength = &one
}
