package span

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
)

// Stored is the content of a span on its way to a client, who gets it as
// OpenTelemetry has it.
type Stored string

// AppendJSON implements mlwire.Appender. Content that cannot be read becomes
// an empty span: the rest of its trace is still worth something.
func (c Stored) AppendJSON(w *mlwire.Writer) {
	var s stored
	w.Begin()
	defer w.End()
	if json.Unmarshal([]byte(c), &s) != nil {
		return
	}
	w.Str("trace_id", s.TraceID)
	w.Str("span_id", s.ID)
	if s.Parent != nil {
		w.OptStr("parent_span_id", *s.Parent)
	}
	w.OptStr("name", s.Name)
	w.Int("start_time_unix_nano", s.Start)
	if s.End != nil {
		w.Int("end_time_unix_nano", *s.End)
	}
	appendAttributes(w, s.Attributes)
	if len(s.Events) > 0 {
		w.Name("events")
		w.BeginList()
		for _, e := range s.Events {
			w.Elem()
			w.Begin()
			w.Int("time_unix_nano", e.Time)
			w.Str("name", e.Name)
			appendAttributes(w, e.Attributes)
			w.End()
		}
		w.EndList()
	}
	if len(s.Links) > 0 {
		w.Name("links")
		w.BeginList()
		for _, l := range s.Links {
			w.Elem()
			w.Begin()
			w.Str("trace_id", base64Of(strings.TrimPrefix(l.TraceID, TracePrefix)))
			w.Str("span_id", base64Of(l.SpanID))
			appendAttributes(w, l.Attributes)
			w.End()
		}
		w.EndList()
	}
	w.Name("status")
	w.Begin()
	w.OptStr("message", s.Status.Message)
	w.Str("code", s.Status.Code)
	w.End()
}

func appendAttributes[T ~string | ~[]byte](w *mlwire.Writer, attributes map[string]T) {
	if len(attributes) == 0 {
		return
	}
	w.Name("attributes")
	w.BeginList()
	for _, k := range slices.Sorted(maps.Keys(attributes)) {
		w.Elem()
		w.Begin()
		w.Str("key", k)
		w.Name("value")
		appendValue(w, string(attributes[k]))
		w.End()
	}
	w.EndList()
}

// appendValue writes a JSON text as an AnyValue.
func appendValue(w *mlwire.Writer, text string) {
	if !json.Valid([]byte(text)) { // checked first: half a value cannot be taken back
		w.Begin()
		w.Str("string_value", text)
		w.End()
		return
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if t, err := d.Token(); err == nil {
		appendToken(w, d, t)
	}
}

// appendToken writes the value that a token begins, in the order of its text.
func appendToken(w *mlwire.Writer, d *json.Decoder, t json.Token) {
	w.Begin()
	defer w.End()
	switch v := t.(type) {
	case string:
		w.Str("string_value", v)
	case bool:
		w.Bool("bool_value", v)
	case json.Number:
		if n, err := v.Int64(); err == nil {
			w.Int("int_value", n)
		} else if f, err := strconv.ParseFloat(v.String(), 64); err == nil {
			w.Float("double_value", f)
		} else {
			w.Str("string_value", v.String())
		}
	case json.Delim:
		name, isObject := "array_value", v == '{'
		if isObject {
			name = "kvlist_value"
		}
		w.Name(name)
		w.Begin()
		w.Name("values")
		w.BeginList()
		appendMembers(w, d, isObject)
		w.EndList()
		w.End()
	}
}

func appendMembers(w *mlwire.Writer, d *json.Decoder, isObject bool) {
	for {
		t, err := d.Token()
		if err != nil || errors.Is(err, io.EOF) {
			return
		}
		if delim, ok := t.(json.Delim); ok && (delim == ']' || delim == '}') {
			return
		}
		w.Elem()
		if !isObject {
			appendToken(w, d, t)
			continue
		}
		w.Begin()
		key, _ := t.(string)
		w.Str("key", key)
		w.Name("value")
		if t, err = d.Token(); err == nil {
			appendToken(w, d, t)
		}
		w.End()
	}
}
