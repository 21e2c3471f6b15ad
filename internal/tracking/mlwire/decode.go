package mlwire

import (
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"sync"
)

// Enum is a type whose values travel by name or by number.
type Enum interface {
	// SetName and SetNumber return false for a value that does not exist.
	SetName(name string) bool
	SetNumber(n int64) bool
}

// Custom is a type that reads its JSON value by itself: numbers are
// json.Number, objects map[string]any, lists []any.
type Custom interface{ SetJSON(value any) bool }

// field is one `ml:"name,required"` of a request struct.
type field struct {
	name, camel string
	index       []int
	required    bool
	// alias is the field that may stand in for a missing one; nil is none.
	alias []int
}

var layouts sync.Map // reflect.Type → []field

func layoutOf(t reflect.Type) []field {
	if l, ok := layouts.Load(t); ok {
		return l.([]field) //nolint:forcetypeassert // Nothing else is stored.
	}
	var list []field
	for _, f := range reflect.VisibleFields(t) { // those of embedded structs, too
		tag := f.Tag.Get("ml")
		if tag == "" {
			continue
		}
		name, opts, _ := strings.Cut(tag, ",")
		list = append(list, field{name: name, camel: Camel(name), index: f.Index, required: opts == "required"})
	}
	for i, f := range list {
		for _, other := range list {
			if f.name == "run_id" && other.name == "run_uuid" {
				list[i].alias = other.index
			}
		}
	}
	layouts.Store(t, list)
	return list
}

// Camel is the other spelling of a field that a body may use: runId for run_id.
func Camel(s string) string {
	parts := strings.Split(s, "_")
	for i, p := range parts[1:] {
		parts[i+1] = strings.ToUpper(p[:1]) + p[1:]
	}
	return strings.Join(parts, "")
}

// require checks the required fields; run_uuid is the older name of run_id and fills it.
func require(req any) error {
	v := reflect.ValueOf(req).Elem()
	for _, f := range layoutOf(v.Type()) {
		fv := v.FieldByIndex(f.index)
		if f.alias != nil && fv.IsZero() {
			fv.Set(v.FieldByIndex(f.alias))
		}
		if f.required && empty(fv) {
			return Missing(f.name)
		}
	}
	return nil
}

// empty: absent, or an empty string. A list is given even if it is empty.
func empty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer:
		return v.IsNil() || v.Elem().Kind() == reflect.String && v.Elem().Len() == 0
	case reflect.Slice, reflect.Map:
		return v.IsNil()
	default:
		return v.IsZero()
	}
}

func setQuery(req any, q url.Values) error {
	v := reflect.ValueOf(req).Elem()
	for _, f := range layoutOf(v.Type()) {
		values := q[f.name]
		if len(values) == 0 {
			continue
		}
		fv := v.FieldByIndex(f.index)
		var value any = values[0]
		switch base := indirectType(fv.Type()); base.Kind() {
		case reflect.Slice:
			list := make([]any, len(values))
			for i, s := range values {
				list[i] = s
			}
			value = list
		case reflect.Bool:
			b, ok := map[string]bool{"true": true, "false": false}[strings.ToLower(values[0])]
			if !ok {
				return invalid("Invalid boolean value: %s, must be 'true' or 'false'.", values[0])
			}
			value = b
		default:
		}
		if err := set(fv, value, f.name); err != nil {
			return err
		}
	}
	return nil
}

func indirectType(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

func setObject(req any, object map[string]any) error {
	return setStruct(reflect.ValueOf(req).Elem(), object, "")
}

func setStruct(v reflect.Value, object map[string]any, path string) error {
	for _, f := range layoutOf(v.Type()) {
		value, ok := object[f.name]
		if f.camel != f.name {
			other, both := object[f.camel]
			if ok && both {
				return invalid("Request specifies both '%s' and '%s'; provide only one of them.", f.name, f.camel)
			}
			if both {
				value = other
			}
		}
		if value == nil {
			continue // absent or null
		}
		if err := set(v.FieldByIndex(f.index), value, join(path, f.name)); err != nil {
			return err
		}
	}
	if path == "" {
		return nil // the caller checks, after the path values are in
	}
	for _, f := range layoutOf(v.Type()) {
		if f.required && empty(v.FieldByIndex(f.index)) {
			return Missing(join(path, f.name))
		}
	}
	return nil
}

// Missing is the error for a field that is needed and not given.
func Missing(name string) error {
	return invalid("Missing value for required parameter '%s'. See the API docs for more information about request parameters.", name)
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// set converts a JSON value to the type of v.
func set(v reflect.Value, value any, path string) error {
	if v.Kind() == reflect.Pointer {
		p := reflect.New(v.Type().Elem())
		if err := set(p.Elem(), value, path); err != nil {
			return err
		}
		v.Set(p)
		return nil
	}
	if e, ok := v.Addr().Interface().(Enum); ok {
		if !setEnum(e, value) {
			return mismatch(path, value)
		}
		return nil
	}
	ok := false
	if c, custom := v.Addr().Interface().(Custom); custom {
		if !c.SetJSON(value) {
			return mismatch(path, value)
		}
		return nil
	}
	switch v.Kind() {
	case reflect.Map:
		return setMap(v, value, path)
	case reflect.String:
		var s string
		s, ok = value.(string)
		v.SetString(s)
	case reflect.Bool:
		var b bool
		b, ok = value.(bool)
		v.SetBool(b)
	case reflect.Int64, reflect.Int, reflect.Int32:
		var n int64
		n, ok = integer(value)
		ok = ok && !v.OverflowInt(n)
		v.SetInt(n)
	case reflect.Float64:
		var f float64
		f, ok = number(value)
		v.SetFloat(f)
	case reflect.Slice:
		return setList(v, value, path)
	case reflect.Struct:
		var object map[string]any
		if object, ok = value.(map[string]any); ok {
			return setStruct(v, object, path)
		}
	default:
		return fmt.Errorf("mlwire: field %s has a type that cannot travel: %s", path, v.Type())
	}
	if !ok {
		return mismatch(path, value)
	}
	return nil
}

func setList(v reflect.Value, value any, path string) error {
	list, ok := value.([]any)
	if !ok {
		return mismatch(path, value)
	}
	out := reflect.MakeSlice(v.Type(), len(list), len(list))
	for i, e := range list {
		if err := set(out.Index(i), e, path+"["+strconv.Itoa(i)+"]"); err != nil {
			return err
		}
	}
	v.Set(out)
	return nil
}

// setMap fills a map of strings.
func setMap(v reflect.Value, value any, path string) error {
	object, ok := value.(map[string]any)
	if !ok {
		return mismatch(path, value)
	}
	out := reflect.MakeMapWithSize(v.Type(), len(object))
	for key, e := range object {
		s, ok := e.(string)
		if !ok {
			return mismatch(join(path, key), e)
		}
		out.SetMapIndex(reflect.ValueOf(key), reflect.ValueOf(s))
	}
	v.Set(out)
	return nil
}

func setEnum(e Enum, value any) bool {
	switch t := value.(type) {
	case string:
		if e.SetName(t) {
			return true
		}
		n, err := strconv.ParseInt(t, 10, 32)
		return err == nil && e.SetNumber(n)
	case json.Number:
		n, err := t.Int64()
		return err == nil && e.SetNumber(n)
	}
	return false
}

// integer accepts 3, 3.0 and "3".
func integer(value any) (int64, bool) {
	var s string
	switch t := value.(type) {
	case json.Number:
		s = t.String()
	case string:
		s = strings.TrimSpace(t)
	default:
		return 0, false
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, true
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) >= 1<<63 {
		return 0, false
	}
	return int64(f), true
}

// number accepts 0.5, "0.5", "NaN", "Infinity" and "-Infinity".
func number(value any) (float64, bool) {
	switch t := value.(type) {
	case json.Number:
		f, err := strconv.ParseFloat(t.String(), 64)
		return f, err == nil
	case string:
		switch t {
		case "NaN":
			return math.NaN(), true
		case "Infinity":
			return math.Inf(1), true
		case "-Infinity":
			return math.Inf(-1), true
		}
		f, err := strconv.ParseFloat(strings.TrimSpace(t), 64)
		return f, err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
	}
	return 0, false
}

// shown bounds what of a wrong value is sent back.
const shown = 200

func mismatch(path string, value any) error {
	b, err := json.Marshal(value)
	if err != nil {
		return err
	}
	text := string(b)
	if len(text) > shown {
		text = strings.ToValidUTF8(text[:shown], "") + "…"
	}
	return invalid("Invalid value %s for parameter '%s' supplied:  Hint: Value was of type '%s'. See the API docs for more information about request parameters.", text, path, kindOf(value))
}

// kindOf is the name that Python, the language of most callers, has for a JSON type.
func kindOf(value any) string {
	switch t := value.(type) {
	case nil:
		return "NoneType"
	case bool:
		return "bool"
	case string:
		return "str"
	case []any:
		return "list"
	case map[string]any:
		return "dict"
	case json.Number:
		if strings.ContainsAny(t.String(), ".eE") {
			return "float"
		}
		return "int"
	default:
		return fmt.Sprintf("%T", value)
	}
}
