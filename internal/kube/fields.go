package kube

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/kiwerk/kiwerk/internal/jsonfields"
)

// FieldWalk compares a value, as it stands in a manifest, with the Go type that
// it is read into, and visits the fields that the type does not have. What a
// type with a decoder of its own holds is not looked into.
type FieldWalk struct {
	// As may give another type for a value whose type has more than one form; nil keeps t.
	As func(v any, t reflect.Type) reflect.Type
	// Entry, if set, is called for each entry of a map.
	Entry func(t reflect.Type, key, path string)
	// Unknown is called for each field that struct t does not have, unless a
	// tool wrote it empty.
	Unknown func(t reflect.Type, field, path string)
}

// Walk visits v, whose place in the manifest is path, in the order of the names.
func (w FieldWalk) Walk(v any, t reflect.Type, path string) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if w.As != nil {
		t = w.As(v, t)
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return
	}
	switch v := v.(type) {
	case map[string]any:
		w.object(v, t, path)
	case []any:
		if t.Kind() == reflect.Slice {
			for i, e := range v {
				w.Walk(e, t.Elem(), fmt.Sprintf("%s[%d]", path, i))
			}
		}
	}
}

func (w FieldWalk) object(v map[string]any, t reflect.Type, path string) {
	switch t.Kind() {
	case reflect.Map:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			if w.Entry != nil {
				w.Entry(t, k, path+"."+k)
			}
			w.Walk(v[k], t.Elem(), path+"."+k)
		}
	case reflect.Struct:
		known := jsonfields.Of(t)
		for _, k := range slices.Sorted(maps.Keys(v)) {
			if field, ok := known[k]; ok {
				w.Walk(v[k], field.Type, path+"."+k)
			} else if !isEmpty(v[k]) {
				w.Unknown(t, k, path+"."+k)
			}
		}
	default:
	}
}

// isEmpty is true for what a tool writes when it has nothing to say.
func isEmpty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case bool:
		return !v
	case string:
		return v == ""
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	default:
		return false
	}
}
