package mlwire

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Appender is a message that can be sent.
type Appender interface {
	// AppendJSON writes one JSON value.
	AppendJSON(w *Writer)
}

// Writer builds indented JSON. Objects and lists are opened and closed; names
// and elements take care of commas and indentation.
type Writer struct {
	buf     []byte
	depth   int
	compact bool
}

// Bytes is what was written.
func (w *Writer) Bytes() []byte { return w.buf }

// Reset empties the writer and keeps its memory.
func (w *Writer) Reset() { w.buf, w.depth, w.compact = w.buf[:0], 0, false }

// Compact leaves out line breaks and indentation, of which large answers
// would mostly consist.
func (w *Writer) Compact() { w.compact = true }

// Begin opens an object.
func (w *Writer) Begin() { w.open('{') }

// End closes an object.
func (w *Writer) End() { w.close('{', '}') }

// BeginList opens a list.
func (w *Writer) BeginList() { w.open('[') }

// EndList closes a list.
func (w *Writer) EndList() { w.close('[', ']') }

func (w *Writer) open(c byte) {
	w.buf = append(w.buf, c)
	w.depth++
}

func (w *Writer) close(opened, c byte) {
	w.depth--
	if w.buf[len(w.buf)-1] != opened {
		w.line()
	}
	w.buf = append(w.buf, c)
}

const spaces = "\n                                "

func (w *Writer) line() {
	if w.compact {
		return
	}
	w.buf = append(w.buf, spaces[:min(1+2*w.depth, len(spaces))]...)
}

// Elem begins the next element of a list.
func (w *Writer) Elem() {
	if c := w.buf[len(w.buf)-1]; c != '[' && c != '{' {
		w.buf = append(w.buf, ',')
	}
	w.line()
}

// Name begins the next field of an object.
func (w *Writer) Name(name string) {
	w.Elem()
	w.buf = append(w.buf, '"')
	w.buf = append(w.buf, name...)
	w.buf = append(w.buf, `": `...)
}

// Str writes a field.
func (w *Writer) Str(name, v string) {
	w.Name(name)
	w.String(v)
}

// OptStr writes a field that is left out when empty.
func (w *Writer) OptStr(name, v string) {
	if v != "" {
		w.Str(name, v)
	}
}

// Int writes a field.
func (w *Writer) Int(name string, v int64) {
	w.Name(name)
	w.buf = strconv.AppendInt(w.buf, v, 10)
}

// Bool writes a field.
func (w *Writer) Bool(name string, v bool) {
	w.Name(name)
	w.buf = strconv.AppendBool(w.buf, v)
}

// Float writes a field.
func (w *Writer) Float(name string, v float64) {
	w.Name(name)
	w.buf = AppendFloat(w.buf, v)
}

// BareFloat writes a field whose NaN is written as JavaScript does, which no
// JSON parser but a lenient one accepts.
func (w *Writer) BareFloat(name string, v float64) {
	if math.IsNaN(v) {
		w.Name(name)
		w.buf = append(w.buf, "NaN"...)
		return
	}
	w.Float(name, v)
}

// Object writes a field that is a message.
func (w *Writer) Object(name string, v Appender) {
	w.Name(name)
	v.AppendJSON(w)
}

// List writes a field that is a list of messages; an empty one is left out.
func List[T Appender](w *Writer, name string, list []T) {
	if len(list) == 0 {
		return
	}
	w.Name(name)
	w.BeginList()
	for _, v := range list {
		w.Elem()
		v.AppendJSON(w)
	}
	w.EndList()
}

// Strings writes a field that is a list of strings; an empty one is left out.
func (w *Writer) Strings(name string, list []string) {
	if len(list) == 0 {
		return
	}
	w.Name(name)
	w.BeginList()
	for _, v := range list {
		w.Elem()
		w.String(v)
	}
	w.EndList()
}

// Map writes a field with strings by name; an empty one is left out.
func (w *Writer) Map(name string, m map[string]string) {
	if len(m) == 0 {
		return
	}
	w.Name(name)
	w.Begin()
	for _, key := range slices.Sorted(maps.Keys(m)) {
		w.Elem()
		w.String(key)
		w.buf = append(w.buf, ": "...)
		w.String(m[key])
	}
	w.End()
}

// Value writes a field with any JSON value, as [Custom] gets it.
func (w *Writer) Value(name string, v any) {
	w.Name(name)
	w.any(v)
}

func (w *Writer) any(v any) {
	switch t := v.(type) {
	case nil:
		w.buf = append(w.buf, "null"...)
	case string:
		w.String(t)
	case bool:
		w.buf = strconv.AppendBool(w.buf, t)
	case json.Number:
		w.buf = append(w.buf, t...)
	case float64:
		w.buf = AppendFloat(w.buf, t)
	case []any:
		w.BeginList()
		for _, e := range t {
			w.Elem()
			w.any(e)
		}
		w.EndList()
	case map[string]any:
		w.Begin()
		for _, key := range slices.Sorted(maps.Keys(t)) {
			w.Elem()
			w.String(key)
			w.buf = append(w.buf, ": "...)
			w.any(t[key])
		}
		w.End()
	}
}

// AppendFloat writes the shortest digits that give v again, in the form that
// Python has for them: always with a point or an exponent.
func AppendFloat(b []byte, v float64) []byte {
	switch abs := math.Abs(v); {
	case math.IsNaN(v):
		return append(b, `"NaN"`...)
	case math.IsInf(v, 1):
		return append(b, `"Infinity"`...)
	case math.IsInf(v, -1):
		return append(b, `"-Infinity"`...)
	case abs != 0 && (abs < 1e-4 || abs >= 1e16):
		return strconv.AppendFloat(b, v, 'e', -1, 64)
	}
	start := len(b)
	b = strconv.AppendFloat(b, v, 'f', -1, 64)
	for _, c := range b[start:] {
		if c == '.' {
			return b
		}
	}
	return append(b, ".0"...)
}

const hexDigits = "0123456789abcdef"

// String writes a string in ASCII: clients guess the encoding of an answer
// from its bytes, and guess wrong.
func (w *Writer) String(s string) {
	b := w.buf
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c <= '~' && c != '"' && c != '\\' {
			i++
			continue
		}
		b = append(b, s[from:i]...)
		r, size := utf8.DecodeRuneInString(s[i:])
		b = appendEscaped(b, r)
		i += size
		from = i
	}
	b = append(b, s[from:]...)
	b = append(b, '"')
	w.buf = b
}

func appendEscaped(b []byte, r rune) []byte {
	switch r {
	case '"', '\\':
		return append(b, '\\', byte(r))
	case '\n':
		return append(b, `\n`...)
	case '\r':
		return append(b, `\r`...)
	case '\t':
		return append(b, `\t`...)
	}
	if r > 0xffff {
		r -= 0x10000
		return appendUnit(appendUnit(b, 0xd800+(r>>10)), 0xdc00+(r&0x3ff))
	}
	return appendUnit(b, r)
}

func appendUnit(b []byte, r rune) []byte {
	return append(b, '\\', 'u', hexDigits[r>>12&0xf], hexDigits[r>>8&0xf], hexDigits[r>>4&0xf], hexDigits[r&0xf])
}

// Empty is the answer of routes that only do something.
type Empty struct{}

// AppendJSON implements Appender.
func (Empty) AppendJSON(w *Writer) {
	w.Begin()
	w.End()
}
