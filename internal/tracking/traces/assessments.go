package traces

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
	"github.com/kiwerk/kiwerk/internal/tracking/traces/span"
	"github.com/kiwerk/kiwerk/internal/tracking/traces/store"
)

// sourceType is who or what made an assessment.
type sourceType string

var sourceTypes = []sourceType{"SOURCE_TYPE_UNSPECIFIED", "HUMAN", "LLM_JUDGE", "CODE"}

// SetName implements mlwire.Enum.
func (s *sourceType) SetName(name string) bool {
	*s = sourceType(name)
	return slices.Contains(sourceTypes, *s)
}

// SetNumber implements mlwire.Enum.
func (s *sourceType) SetNumber(n int64) bool {
	if n < 0 || n >= int64(len(sourceTypes)) {
		return false
	}
	*s = sourceTypes[n]
	return true
}

type errorIn struct {
	Code    string `ml:"error_code" json:"error_code"`
	Message string `ml:"error_message" json:"error_message,omitempty"`
	Stack   string `ml:"stack_trace" json:"stack_trace,omitempty"`
}

type feedbackIn struct {
	Value anyJSON  `ml:"value"`
	Error *errorIn `ml:"error"`
}

type expectationIn struct {
	Value      *anyJSON `ml:"value"`
	Serialized *struct {
		Format string `ml:"serialization_format"`
		Value  string `ml:"value"`
	} `ml:"serialized_value"`
}

type assessmentIn struct {
	ID      string `ml:"assessment_id" about:"- within the trace"`
	Name    string `ml:"assessment_name" about:"- a text"`
	TraceID string `ml:"trace_id" about:"- that of the address is taken"`
	SpanID  string `ml:"span_id" about:"- within the trace"`
	Source  struct {
		Type sourceType `ml:"source_type"`
		ID   string     `ml:"source_id" about:"- a text"`
	} `ml:"source"`
	Created     *timestamp     `ml:"create_time"`
	Updated     *timestamp     `ml:"last_update_time"`
	Feedback    *feedbackIn    `ml:"feedback"`
	Expectation *expectationIn `ml:"expectation"`
	Issue       *struct {
		Name string `ml:"issue_name" about:"- a text"`
	} `ml:"issue"`
	Rationale string            `ml:"rationale"`
	Error     *errorIn          `ml:"error"`
	Metadata  map[string]string `ml:"metadata"`
	Overrides string            `ml:"overrides"`
	Valid     *bool             `ml:"valid"`
}

const jsonFormat = "JSON_FORMAT"

func (e expectationIn) value() (string, error) {
	if e.Serialized == nil {
		if e.Value == nil || e.Value.text == "null" {
			return "", model.Invalid("The `value` field must be specified.")
		}
		return e.Value.text, nil
	}
	if e.Serialized.Format != jsonFormat {
		return "", model.Invalid("Unknown serialization format: %s. Only JSON_FORMAT is supported.", e.Serialized.Format)
	}
	if !json.Valid([]byte(e.Serialized.Value)) {
		return "", model.Invalid("The serialized value of the expectation is not valid JSON.")
	}
	return e.Serialized.Value, nil
}

func (f feedbackIn) value() string {
	if f.Value.text == "" {
		return "null"
	}
	return f.Value.text
}

// maxStack bounds the stack trace of an error, of which the end says most.
const (
	maxStack  = 10_000
	stackNote = "[Stack trace is truncated]\n...\n"
)

func (e *errorIn) text() (string, error) {
	if e == nil {
		return "", nil
	}
	out := *e
	if len(out.Stack) > maxStack {
		out.Stack = stackNote + strings.ToValidUTF8(out.Stack[len(out.Stack)-maxStack+len(stackNote):], "")
	}
	return encode(out)
}

// encode writes JSON with its letters left as they are.
func encode(v any) (string, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return strings.TrimSuffix(b.String(), "\n"), err
}

func (in assessmentIn) assessment() (a store.Assessment, err error) {
	a = store.Assessment{
		ID: in.ID, TraceID: in.TraceID, Name: in.Name, SourceType: string(in.Source.Type), SourceID: in.Source.ID, SpanID: in.SpanID,
		Rationale: in.Rationale, Overrides: in.Overrides, Metadata: in.Metadata, Valid: in.Valid != nil && *in.Valid,
	}
	if a.SourceType == "" {
		a.SourceType = string(sourceTypes[0])
	}
	if in.Created != nil {
		a.Created = int64(*in.Created)
	}
	if in.Updated != nil {
		a.Updated = int64(*in.Updated)
	}
	given := 0
	for _, is := range []bool{in.Feedback != nil, in.Expectation != nil, in.Issue != nil} {
		if is {
			given++
		}
	}
	switch {
	case given != 1:
		return a, model.Invalid("Exactly one of `expectation`, `feedback`, or `issue` should be specified.")
	case in.Name == "":
		return a, mlwire.Missing("assessment.assessment_name")
	case in.Error != nil && in.Feedback == nil:
		return a, model.Invalid("Cannot set `error` when `feedback` is not specified.")
	case in.Feedback != nil:
		fault := in.Feedback.Error
		if fault == nil {
			fault = in.Error
		}
		a.Kind, a.Value = store.Feedback, in.Feedback.value()
		a.Error, err = fault.text()
	case in.Expectation != nil:
		a.Kind = store.Expectation
		a.Value, err = in.Expectation.value()
	default:
		a.Kind = store.Issue
		a.Value = `{"issue_name": ` + span.Quoted(in.Issue.Name) + "}"
	}
	return a, err
}

type createAssessment struct {
	Trace      string        `ml:"trace_id" about:"trace,of assessment"`
	Assessment *assessmentIn `ml:"assessment,required"`
}

// FromPath implements mlwire.FromPath.
func (q *createAssessment) FromPath(r *http.Request) { q.Trace = r.PathValue("trace_id") }

type assessmentRef struct {
	Trace string `ml:"trace_id" about:"trace,of assessment"`
	ID    string `ml:"assessment_id" about:"- within the trace"`
}

// FromPath implements mlwire.FromPath.
func (q *assessmentRef) FromPath(r *http.Request) {
	q.Trace, q.ID = r.PathValue("trace_id"), r.PathValue("assessment_id")
}

type updateAssessment struct {
	Trace      string        `ml:"trace_id" about:"trace,of assessment"`
	ID         string        `ml:"assessment_id" about:"- within the trace"`
	Assessment *assessmentIn `ml:"assessment,required"`
	Mask       string        `ml:"update_mask,required"`
}

// FromPath implements mlwire.FromPath.
func (q *updateAssessment) FromPath(r *http.Request) {
	q.Trace, q.ID = r.PathValue("trace_id"), r.PathValue("assessment_id")
}

func (s *Service) assessments() []server.Endpoint {
	const all, one = v3traces + "/{trace_id}/assessments", v3traces + "/{trace_id}/assessments/{assessment_id}"
	answer := func(a store.Assessment, err error) (*route.One[assessmentJSON], error) {
		return route.OneOf("assessment", assessmentJSON(a), err)
	}
	return slices.Concat(
		call(s, "POST", all, "update", "assess a trace", func(ctx context.Context, ns string, q *createAssessment) (*route.One[assessmentJSON], error) {
			q.Assessment.TraceID = q.Trace
			a, err := q.Assessment.assessment()
			if err != nil {
				return nil, err
			}
			return answer(s.store.CreateAssessment(ctx, ns, a))
		}),
		call(s, "GET", one, "get", "one assessment", func(ctx context.Context, ns string, q *assessmentRef) (*route.One[assessmentJSON], error) {
			return answer(s.store.Assessment(ctx, ns, q.Trace, q.ID))
		}),
		call(s, "PATCH", one, "update", "change an assessment", func(ctx context.Context, ns string, q *updateAssessment) (*route.One[assessmentJSON], error) {
			return answer(s.store.UpdateAssessment(ctx, ns, q.Trace, q.ID, q.apply))
		}),
		call(s, "DELETE", one, "update", "delete an assessment", func(ctx context.Context, ns string, q *assessmentRef) (*route.Empty, error) {
			return route.Done(s.store.DeleteAssessment(ctx, ns, q.Trace, q.ID))
		}),
	)
}

// apply changes what the mask names.
func (q *updateAssessment) apply(a *store.Assessment) (err error) {
	in := q.Assessment
	mask := strings.FieldsFunc(q.Mask, func(r rune) bool { return r == ',' || r == ' ' })
	if slices.Contains(mask, "expectation") && slices.Contains(mask, "feedback") {
		return model.Invalid("Cannot specify both `expectation` and `feedback` parameters.")
	}
	for _, path := range mask {
		switch path {
		case "assessment_name", "assessmentName":
			a.Name = in.Name
		case "expectation", "feedback":
			err = in.replaceValue(a, path)
		case "rationale":
			a.Rationale = in.Rationale
		case "valid":
			a.Valid = in.Valid != nil && *in.Valid
		case "metadata":
			merged := map[string]string{}
			maps.Copy(merged, a.Metadata)
			maps.Copy(merged, in.Metadata)
			a.Metadata = merged
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// replaceValue gives an assessment another value; its kind stays.
func (in *assessmentIn) replaceValue(a *store.Assessment, path string) (err error) {
	switch {
	case path == "expectation" && (a.Kind != store.Expectation || in.Expectation == nil):
		return model.Invalid("Cannot update expectation value on a Feedback assessment.")
	case path == "expectation":
		a.Value, err = in.Expectation.value()
	case a.Kind != store.Feedback || in.Feedback == nil:
		return model.Invalid("Cannot update feedback value on an Expectation assessment.")
	default:
		a.Value = in.Feedback.value()
		a.Error, err = in.Feedback.Error.text()
	}
	return err
}

// assessmentJSON is an assessment in an answer.
type assessmentJSON store.Assessment

// AppendJSON implements mlwire.Appender.
func (a assessmentJSON) AppendJSON(w *mlwire.Writer) {
	w.Begin()
	w.Str("assessment_id", a.ID)
	w.Str("assessment_name", a.Name)
	w.Str("trace_id", a.TraceID)
	w.OptStr("span_id", a.SpanID)
	w.Name("source")
	w.Begin()
	w.Str("source_type", a.SourceType)
	w.Str("source_id", a.SourceID)
	w.End()
	w.Str("create_time", timeText(a.Created))
	w.Str("last_update_time", timeText(a.Updated))
	value := decode(a.Value)
	switch a.Kind {
	case store.Feedback:
		w.Name("feedback")
		w.Begin()
		w.Value("value", value)
		if a.Error != "" {
			w.Value("error", decode(a.Error))
		}
		w.End()
	case store.Expectation:
		w.Name("expectation")
		w.Begin()
		switch value.(type) {
		case map[string]any, []any:
			w.Name("serialized_value")
			w.Begin()
			w.Str("serialization_format", jsonFormat)
			w.Str("value", a.Value)
			w.End()
		default:
			w.Value("value", value)
		}
		w.End()
	default:
		w.Value("issue", value)
	}
	w.OptStr("rationale", a.Rationale)
	w.Map("metadata", a.Metadata)
	w.OptStr("overrides", a.Overrides)
	w.Bool("valid", a.Valid)
	w.End()
}

// decode reads stored JSON; numbers keep their digits.
func decode(text string) (v any) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return span.Plain(text)
	}
	return v
}
