package span

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
)

// TracePrefix begins the ids of traces.
const TracePrefix = "tr-"

// Limits of one export. A value may be nested as deep as a person can read.
const (
	MaxSpans     = 100_000
	maxDepth     = 64
	maxRecursion = 4*maxDepth + 16 // messages per level of a value, and those around it
	maxTraceID   = 16
	maxSpanID    = 8
)

// Faults of an export.
var (
	ErrFormat = errors.New("not an export of traces")
	ErrSpan   = errors.New("not a span")
)

// DecodeOTLP reads an export: protobuf, or JSON with ids as hexadecimal digits.
func DecodeOTLP(body []byte, asJSON bool) (*tracepb.TracesData, error) {
	data := new(tracepb.TracesData) // the request of the collector's service has the same form
	var err error
	if asJSON {
		if body, err = idsToBase64(body); err == nil {
			err = protojson.UnmarshalOptions{DiscardUnknown: true, RecursionLimit: maxRecursion}.Unmarshal(body, data)
		}
	} else {
		err = proto.UnmarshalOptions{RecursionLimit: maxRecursion}.Unmarshal(body, data)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if len(data.GetResourceSpans()) == 0 {
		return nil, fmt.Errorf("%w: no spans found", ErrFormat)
	}
	return data, nil
}

// object is JSON whose unnamed fields stay as they are.
type object = map[string]json.RawMessage

// idsToBase64 turns the ids of OTLP's JSON, hexadecimal digits, into what
// protobuf's JSON has for bytes.
func idsToBase64(body []byte) ([]byte, error) {
	var top object
	if err := json.Unmarshal(body, &top); err != nil {
		return nil, err
	}
	err := each(top, "resourceSpans", "resource_spans", func(resource object) error {
		return each(resource, "scopeSpans", "scope_spans", func(scope object) error {
			return each(scope, "spans", "spans", func(s object) error {
				if err := ids(s); err != nil {
					return err
				}
				return each(s, "links", "links", ids)
			})
		})
	})
	if err != nil {
		return nil, err
	}
	return json.Marshal(top)
}

// each rewrites the objects of a list, which goes by one of two names.
func each(o object, name, other string, f func(object) error) error {
	if o[name] == nil {
		name = other
	}
	if o[name] == nil {
		return nil
	}
	var list []object
	if err := json.Unmarshal(o[name], &list); err != nil {
		return err
	}
	for _, e := range list {
		if err := f(e); err != nil {
			return err
		}
	}
	b, err := json.Marshal(list)
	o[name] = b
	return err
}

func ids(o object) error {
	for _, name := range []string{"traceId", "trace_id", "spanId", "span_id", "parentSpanId", "parent_span_id"} {
		var digits string
		if o[name] == nil || json.Unmarshal(o[name], &digits) != nil {
			continue
		}
		b, err := hex.DecodeString(digits)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		o[name] = strconv.AppendQuote(nil, base64.StdEncoding.EncodeToString(b))
	}
	return nil
}

// FromOTLP makes spans of an export.
func FromOTLP(data *tracepb.TracesData) ([]Span, error) {
	var list []Span
	for _, group := range data.GetResourceSpans() {
		resource, err := texts(group.GetResource().GetAttributes())
		if err != nil {
			return nil, err
		}
		for _, scope := range group.GetScopeSpans() {
			if len(list)+len(scope.GetSpans()) > MaxSpans {
				return nil, fmt.Errorf("%w: a request may carry at most %d spans; send them in several", ErrFormat, MaxSpans)
			}
			for _, p := range scope.GetSpans() {
				s, err := fromOTLP(p)
				if err != nil {
					return nil, err
				}
				s.Resource = resource
				translate(&s)
				list = append(list, s)
			}
		}
	}
	return list, nil
}

func fromOTLP(p *tracepb.Span) (s Span, err error) {
	if s.TraceID, err = id(p.GetTraceId(), maxTraceID); err != nil {
		return s, fmt.Errorf("%w: trace_id %w", ErrSpan, err)
	}
	s.TraceID = TracePrefix + s.TraceID
	if s.ID, err = id(p.GetSpanId(), maxSpanID); err != nil {
		return s, fmt.Errorf("%w: span_id %w", ErrSpan, err)
	}
	if len(p.GetParentSpanId()) > 0 {
		if s.Parent, err = id(p.GetParentSpanId(), maxSpanID); err != nil {
			return s, fmt.Errorf("%w: parent_span_id %w", ErrSpan, err)
		}
	}
	if p.GetStartTimeUnixNano() > math.MaxInt64 || p.GetEndTimeUnixNano() > math.MaxInt64 {
		return s, fmt.Errorf("%w: the times of %s are too late", ErrSpan, s.ID)
	}
	s.Name, s.Message = p.GetName(), p.GetStatus().GetMessage()
	s.Start, s.End = int64(p.GetStartTimeUnixNano()), int64(p.GetEndTimeUnixNano()) //nolint:gosec // Checked above.
	s.Status = Unset
	switch p.GetStatus().GetCode() {
	case tracepb.Status_STATUS_CODE_OK:
		s.Status = OK
	case tracepb.Status_STATUS_CODE_ERROR:
		s.Status = Error
	case tracepb.Status_STATUS_CODE_UNSET:
	}
	if s.Attributes, err = attributeTexts(p.GetAttributes()); err != nil {
		return s, err
	}
	s.Attributes[attrRequestID] = quoted(s.TraceID) // never what the sender says
	for _, e := range p.GetEvents() {
		attributes, err := raws(e.GetAttributes())
		if err != nil {
			return s, err
		}
		s.Events = append(s.Events, Event{e.GetName(), int64(e.GetTimeUnixNano() & math.MaxInt64), attributes}) //nolint:gosec // Masked.
	}
	for _, l := range p.GetLinks() {
		link, err := linkOf(l)
		if err != nil {
			return s, err
		}
		s.Links = append(s.Links, link)
	}
	return s, nil
}

func linkOf(l *tracepb.Span_Link) (out Link, err error) {
	if out.TraceID, err = id(l.GetTraceId(), maxTraceID); err != nil {
		return out, fmt.Errorf("%w: trace_id of a link %w", ErrSpan, err)
	}
	out.TraceID = TracePrefix + out.TraceID
	if out.SpanID, err = id(l.GetSpanId(), maxSpanID); err != nil {
		return out, fmt.Errorf("%w: span_id of a link %w", ErrSpan, err)
	}
	if len(l.GetAttributes()) > 0 {
		out.Attributes, err = raws(l.GetAttributes())
	}
	return out, err
}

func id(b []byte, size int) (string, error) {
	if len(b) == 0 {
		return "", errors.New("is required but was empty")
	}
	if len(b) > size {
		return "", fmt.Errorf("has %d bytes; at most %d are allowed", len(b), size)
	}
	full := make([]byte, size)
	copy(full[size-len(b):], b)
	return hex.EncodeToString(full), nil
}

// attributeTexts are attributes as JSON texts. What was JSON already, as
// MLflow's own clients may send it, is not encoded again.
func attributeTexts(list []*commonpb.KeyValue) (map[string]string, error) {
	out := make(map[string]string, len(list)+1)
	for _, a := range list {
		if s, ok := a.GetValue().GetValue().(*commonpb.AnyValue_StringValue); ok && isJSON(s.StringValue) {
			out[a.GetKey()] = s.StringValue
			continue
		}
		b, err := appendAny(nil, a.GetValue(), 0)
		if err != nil {
			return nil, err
		}
		out[a.GetKey()] = string(b)
	}
	return out, nil
}

// isJSON tells whether a text is a JSON string, object or list. Numbers and
// the like stay texts: "1" is not 1.
func isJSON(s string) bool {
	t := strings.TrimSpace(s)
	return t != "" && strings.IndexByte(`"{[`, t[0]) >= 0 && json.Valid([]byte(t))
}

func raws(list []*commonpb.KeyValue) (map[string]json.RawMessage, error) {
	out := make(map[string]json.RawMessage, len(list))
	for _, a := range list {
		b, err := appendAny(nil, a.GetValue(), 0)
		if err != nil {
			return nil, err
		}
		out[a.GetKey()] = b
	}
	return out, nil
}

// texts are attributes as people read them.
func texts(list []*commonpb.KeyValue) (map[string]string, error) {
	out := make(map[string]string, len(list))
	for _, a := range list {
		b, err := appendAny(nil, a.GetValue(), 0)
		if err != nil {
			return nil, err
		}
		out[a.GetKey()] = Plain(string(b))
	}
	return out, nil
}

// appendAny writes a value as Python's json module does, because that is what
// searches for a text and previews are compared with.
func appendAny(b []byte, v *commonpb.AnyValue, depth int) (_ []byte, err error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("%w: an attribute is nested deeper than %d levels", ErrFormat, maxDepth)
	}
	switch t := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		return append(b, quoted(t.StringValue)...), nil
	case *commonpb.AnyValue_BoolValue:
		return strconv.AppendBool(b, t.BoolValue), nil
	case *commonpb.AnyValue_IntValue:
		return strconv.AppendInt(b, t.IntValue, 10), nil
	case *commonpb.AnyValue_DoubleValue:
		return mlwire.AppendFloat(b, t.DoubleValue), nil
	case *commonpb.AnyValue_BytesValue:
		return append(b, quoted(base64.StdEncoding.EncodeToString(t.BytesValue))...), nil
	case *commonpb.AnyValue_ArrayValue:
		b = append(b, '[')
		for i, e := range t.ArrayValue.GetValues() {
			if i > 0 {
				b = append(b, ", "...)
			}
			if b, err = appendAny(b, e, depth+1); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	case *commonpb.AnyValue_KvlistValue:
		b = append(b, '{')
		for i, e := range t.KvlistValue.GetValues() {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = append(append(b, quoted(e.GetKey())...), ": "...)
			if b, err = appendAny(b, e.GetValue(), depth+1); err != nil {
				return nil, err
			}
		}
		return append(b, '}'), nil
	}
	return append(b, "null"...), nil
}

// quoted is a JSON string with its letters left as they are, so that searches
// for a text find it.
func quoted(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(strings.ToValidUTF8(s, "?")) //nolint:errchkjson // A string always has a form in JSON.
	return strings.TrimSuffix(b.String(), "\n")
}

// AppendValue writes a decoded JSON value as Python does, its numbers with a point.
func AppendValue(b []byte, v any) (_ []byte, ok bool) {
	switch t := v.(type) {
	case nil:
		return append(b, "null"...), true
	case bool:
		return strconv.AppendBool(b, t), true
	case string:
		return append(b, quoted(t)...), true
	case json.Number:
		f, err := t.Float64()
		return mlwire.AppendFloat(b, f), err == nil
	case []any:
		b = append(b, '[')
		for i, e := range t {
			if i > 0 {
				b = append(b, ", "...)
			}
			if b, ok = AppendValue(b, e); !ok {
				return b, false
			}
		}
		return append(b, ']'), true
	case map[string]any:
		b = append(b, '{')
		for i, k := range slices.Sorted(maps.Keys(t)) {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = append(append(b, quoted(k)...), ": "...)
			if b, ok = AppendValue(b, t[k]); !ok {
				return b, false
			}
		}
		return append(b, '}'), true
	default:
		return b, false
	}
}

// Quoted is a text as JSON.
func Quoted(s string) string { return quoted(s) }
