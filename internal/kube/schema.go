package kube

import (
	"fmt"
	"reflect"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SchemaOf describes a struct of ours as its JSON fields say, so that the API
// server refuses what our types cannot hold; one such object would stop the
// caches of all. Fields without omitempty are required. Bounds are added by
// the caller with [At].
func SchemaOf(v any) *apiextensionsv1.JSONSchemaProps {
	s := schemaOf(reflect.TypeOf(v))
	return &s
}

var stringTypes = []reflect.Type{
	reflect.TypeFor[metav1.Duration](), reflect.TypeFor[metav1.Time](), reflect.TypeFor[metav1.MicroTime](),
}

func schemaOf(t reflect.Type) apiextensionsv1.JSONSchemaProps {
	for _, s := range stringTypes {
		if t == s {
			return apiextensionsv1.JSONSchemaProps{Type: "string"}
		}
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
	s := apiextensionsv1.JSONSchemaProps{Type: "object", Properties: map[string]apiextensionsv1.JSONSchemaProps{}}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		s.Properties[name] = schemaOf(f.Type)
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

// Between bounds a number, both ends included.
func Between(low, high float64) func(*apiextensionsv1.JSONSchemaProps) {
	return func(s *apiextensionsv1.JSONSchemaProps) { s.Minimum, s.Maximum = &low, &high }
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
