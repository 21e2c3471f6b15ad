package jsonfields

import (
	"reflect"
	"strings"
)

// Field is a field of a struct.
type Field struct {
	Type reflect.Type
	// Always is set if the field is written also when it is empty.
	Always bool
}

// Of are the fields of a struct by their names on the wire, those of embedded structs included.
func Of(t reflect.Type) map[string]Field {
	out := map[string]Field{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && (name == "" || strings.Contains(opts, "inline")):
			ft := f.Type
			for ft.Kind() == reflect.Pointer {
				ft = ft.Elem()
			}
			for k, v := range Of(ft) {
				if _, ok := out[k]; !ok {
					out[k] = v
				}
			}
		case name != "" && name != "-":
			out[name] = Field{f.Type, !strings.Contains(opts, "omitempty") && !strings.Contains(opts, "omitzero")}
		}
	}
	return out
}
