package span

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// Names of attributes that have a meaning.
const (
	attrRequestID    = "mlflow.traceRequestId"
	attrInputs       = "mlflow.spanInputs"
	attrOutputs      = "mlflow.spanOutputs"
	attrType         = "mlflow.spanType"
	attrUsage        = "mlflow.chat.tokenUsage"
	attrCost         = "mlflow.llm.cost"
	attrModel        = "mlflow.llm.model"
	attrProvider     = "mlflow.llm.provider"
	attrSession      = "session.id"
	attrConversation = "gen_ai.conversation.id"
	attrUser         = "user.id"
	attrTagPrefix    = "mlflow.traceTag."
)

// States of a span.
const (
	OK    = "OK"
	Error = "ERROR"
	Unset = "UNSET"
)

// unknownType is the type of a span that says none.
const unknownType = "UNKNOWN"

// Span is one step of a trace.
type Span struct {
	TraceID    string // tr- and 32 hexadecimal digits
	ID, Parent string // 16 hexadecimal digits; a root has no parent
	Name       string
	Status     string
	Message    string
	Start, End int64 // nanoseconds since 1970; End is 0 while the span is open
	// Attributes are JSON texts.
	Attributes map[string]string
	Events     []Event
	Links      []Link
	// Resource describes the program that the span is from.
	Resource map[string]string
}

// Event happened during a span.
type Event struct {
	Name       string                     `json:"name"`
	Time       int64                      `json:"time_unix_nano"`
	Attributes map[string]json.RawMessage `json:"attributes"`
}

// Link points to a span of another trace.
type Link struct {
	TraceID    string                     `json:"trace_id"`
	SpanID     string                     `json:"span_id"`
	Attributes map[string]json.RawMessage `json:"attributes"`
}

// Type is the kind of work that the span stands for, e.g. LLM.
func (s *Span) Type() string {
	if t := s.text(attrType); t != "" {
		return t
	}
	return unknownType
}

// maxDimension bounds what traces are grouped by.
const maxDimension = 500

// Model and provider that a span asked.
func (s *Span) Model() string { return model.Cut(s.text(attrModel), maxDimension) }

// Provider is who runs the model.
func (s *Span) Provider() string { return model.Cut(s.text(attrProvider), maxDimension) }

// text is an attribute without the quotation marks of JSON.
func (s *Span) text(key string) string { return Plain(s.Attributes[key]) }

// Plain is a JSON text as people read it: a string without its quotation
// marks, anything else as it is.
func Plain(text string) string {
	var plain string
	if strings.HasPrefix(text, `"`) && json.Unmarshal([]byte(text), &plain) == nil {
		return plain
	}
	return text
}

// stored is the form in which spans lie in the database and in traces.json.
type stored struct {
	TraceID    string            `json:"trace_id"`
	ID         string            `json:"span_id"`
	Parent     *string           `json:"parent_span_id"`
	Name       string            `json:"name"`
	Start      int64             `json:"start_time_unix_nano"`
	End        *int64            `json:"end_time_unix_nano"`
	Events     []Event           `json:"events"`
	Status     storedStatus      `json:"status"`
	Attributes map[string]string `json:"attributes"`
	Links      []Link            `json:"links"`
}

type storedStatus struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

const statusPrefix = "STATUS_CODE_"

// Content is the stored form.
func (s *Span) Content() (string, error) {
	out := stored{
		TraceID: base64Of(strings.TrimPrefix(s.TraceID, TracePrefix)), ID: base64Of(s.ID), Name: s.Name, Start: s.Start,
		Events: s.Events, Status: storedStatus{statusPrefix + s.Status, s.Message}, Attributes: s.Attributes, Links: s.Links,
	}
	if out.Events == nil {
		out.Events = []Event{}
	}
	if out.Links == nil {
		out.Links = []Link{}
	}
	if s.Parent != "" {
		p := base64Of(s.Parent)
		out.Parent = &p
	}
	if s.End != 0 {
		out.End = &s.End
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(out); err != nil {
		return "", fmt.Errorf("span %s of trace %s: %w", s.ID, s.TraceID, err)
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

func base64Of(digits string) string {
	b, err := hex.DecodeString(digits)
	if err != nil {
		return digits
	}
	return base64.StdEncoding.EncodeToString(b)
}

// Attribute reads one attribute out of a stored span.
func Attribute(content, key string) (text string, ok bool) {
	var s struct {
		Attributes map[string]json.RawMessage `json:"attributes"`
	}
	if json.Unmarshal([]byte(content), &s) != nil {
		return "", false
	}
	raw, ok := s.Attributes[key]
	if !ok {
		return "", false
	}
	return Plain(Plain(string(raw))), true // a JSON text inside of JSON
}

// Dimensions are what a span is grouped and summed up by.
type Dimensions struct {
	Model, Provider string
	Usage, Cost     Amounts
}

// DimensionsOf reads a stored span; one that cannot be read has none.
func DimensionsOf(content string) Dimensions {
	var c struct {
		Attributes map[string]string `json:"attributes"`
	}
	if json.Unmarshal([]byte(content), &c) != nil {
		return Dimensions{}
	}
	s := Span{Attributes: c.Attributes}
	return Dimensions{s.Model(), s.Provider(), s.Usage(), s.Cost()}
}

// Head is what a stored span is found by.
type Head struct {
	ID, Parent, Name, Type, Status string
	Start                          int64
	End                            *int64
}

// ParseHead reads a stored span. One in the form of MLflow 2 is refused.
func ParseHead(content string) (h Head, err error) {
	var c stored
	if err := json.Unmarshal([]byte(content), &c); err != nil {
		return h, fmt.Errorf("%w: %w", ErrSpan, err)
	}
	h = Head{ID: digitsOf(c.ID), Name: c.Name, Status: strings.TrimPrefix(c.Status.Code, statusPrefix), Start: c.Start, End: c.End}
	if h.ID == "" || c.Start == 0 {
		return h, fmt.Errorf("%w: it has no span_id or no start_time_unix_nano", ErrSpan)
	}
	if c.Parent != nil {
		h.Parent = digitsOf(*c.Parent)
	}
	s := Span{Attributes: c.Attributes}
	h.Type = s.Type()
	return h, nil
}

// digitsOf an id that may be written as base64.
func digitsOf(id string) string {
	if b, err := base64.StdEncoding.DecodeString(id); err == nil && len(b) == spanIDBytes {
		return hex.EncodeToString(b)
	}
	return strings.TrimPrefix(id, "0x")
}

const spanIDBytes = 8
