package traces

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/traces/span"
	"github.com/kiwerk/kiwerk/internal/tracking/traces/store"
)

type locationIn struct {
	Experiment struct {
		ID string `ml:"experiment_id" about:"experiment,of trace,zero"`
	} `ml:"mlflow_experiment"`
}

// infoIn is a trace in a request.
type infoIn struct {
	ID          string            `ml:"trace_id" about:"trace,maybe"`
	ClientID    *string           `ml:"client_request_id" about:"- a text"`
	Location    locationIn        `ml:"trace_location"`
	Request     *string           `ml:"request_preview"`
	Response    *string           `ml:"response_preview"`
	Time        timestamp         `ml:"request_time"`
	Duration    *duration         `ml:"execution_duration"`
	State       state             `ml:"state"`
	Metadata    map[string]string `ml:"trace_metadata"`
	Tags        map[string]string `ml:"tags"`
	Assessments []assessmentIn    `ml:"assessments"`
}

func (i infoIn) info() (store.Info, error) {
	if i.ID == "" {
		return store.Info{}, mlwire.Missing("trace.trace_info.trace_id")
	}
	out := store.Info{
		ID: i.ID, Time: int64(i.Time), State: i.State.stored(), ClientRequestID: i.ClientID, Request: i.Request, Response: i.Response,
		Tags: i.Tags, Metadata: i.Metadata,
	}
	if i.Duration != nil {
		out.Duration = (*int64)(i.Duration)
	}
	for _, in := range i.Assessments {
		a, err := in.assessment()
		if err != nil {
			return out, err
		}
		if in.Valid == nil {
			a.Valid = true
		}
		out.Assessments = append(out.Assessments, a)
	}
	return out, nil
}

// timestamp is milliseconds since 1970, written as 2026-11-26T21:00:00.5Z.
type timestamp int64

// SetJSON implements mlwire.Custom.
func (t *timestamp) SetJSON(v any) bool {
	s, ok := v.(string)
	at, err := time.Parse(time.RFC3339Nano, s)
	*t = timestamp(at.UnixMilli())
	return ok && err == nil
}

func timeText(ms int64) string {
	t := time.UnixMilli(ms).UTC()
	if t.Year() < 1 || t.Year() > 9999 { // more the format cannot say
		t = time.Unix(0, 0).UTC()
	}
	if ms%1000 == 0 {
		return t.Format("2006-01-02T15:04:05Z")
	}
	return t.Format("2006-01-02T15:04:05.000Z")
}

// duration is milliseconds, written as 1.500s.
type duration int64

// maxSeconds is the longest duration of protocol buffers.
const maxSeconds = 315_576_000_000

// SetJSON implements mlwire.Custom.
func (d *duration) SetJSON(v any) bool {
	s, _ := v.(string)
	number, ok := strings.CutSuffix(s, "s")
	whole, fraction, _ := strings.Cut(number, ".")
	seconds, err := strconv.ParseInt(whole, 10, 64)
	if !ok || err != nil || seconds > maxSeconds || seconds < -maxSeconds || len(fraction) > 9 {
		return false
	}
	millis, err := strconv.ParseUint((fraction + "000")[:3], 10, 16)
	if err != nil {
		return false
	}
	*d = duration(seconds*1000 + int64(millis)) //nolint:gosec // Three digits.
	if strings.HasPrefix(whole, "-") {
		*d = duration(seconds*1000 - int64(millis)) //nolint:gosec // Three digits.
	}
	return true
}

func durationText(ms int64) string {
	if ms%1000 == 0 {
		return strconv.FormatInt(ms/1000, 10) + "s"
	}
	return strconv.FormatFloat(float64(ms)/1000, 'f', 3, 64) + "s"
}

// state of a trace, also by the names of version 2.
type state string

var states = []state{store.Unspecified, store.OK, store.Error, store.InProgress}

// SetName implements mlwire.Enum.
func (s *state) SetName(name string) bool {
	if name == "TRACE_STATUS_UNSPECIFIED" {
		name = store.Unspecified
	}
	*s = state(name)
	return slices.Contains(states, *s)
}

// SetNumber implements mlwire.Enum.
func (s *state) SetNumber(n int64) bool {
	if n < 0 || n >= int64(len(states)) {
		return false
	}
	*s = states[n]
	return true
}

func (s state) stored() string {
	if s == "" {
		return store.Unspecified
	}
	return string(s)
}

func pairsOf(m map[string]string) []model.Pair {
	var list []model.Pair
	for _, k := range slices.Sorted(maps.Keys(m)) {
		list = append(list, model.Pair{Key: k, Value: m[k]})
	}
	return list
}

// infoJSON is a trace without its spans.
type infoJSON store.Info

// AppendJSON implements mlwire.Appender.
func (i infoJSON) AppendJSON(w *mlwire.Writer) {
	w.Begin()
	w.Str("trace_id", i.ID)
	optional(w, "client_request_id", i.ClientRequestID)
	w.Name("trace_location")
	w.Begin()
	w.Str("type", "MLFLOW_EXPERIMENT")
	w.Name("mlflow_experiment")
	w.Begin()
	w.Str("experiment_id", strconv.FormatInt(i.Experiment, 10))
	w.End()
	w.End()
	optional(w, "request_preview", i.Request)
	optional(w, "response_preview", i.Response)
	w.Str("request_time", timeText(i.Time))
	if i.Duration != nil {
		w.Str("execution_duration", durationText(*i.Duration))
	}
	w.Str("state", i.State)
	w.Map("trace_metadata", i.Metadata)
	mlwire.List(w, "assessments", i.assessments())
	w.Map("tags", i.Tags)
	w.End()
}

func (i infoJSON) assessments() (list []assessmentJSON) {
	for _, a := range i.Assessments {
		list = append(list, assessmentJSON(a))
	}
	return list
}

func optional(w *mlwire.Writer, name string, v *string) {
	if v != nil {
		w.Str(name, *v)
	}
}

// spansJSON is a trace with its spans.
type spansJSON struct {
	info  store.Info
	spans []string
}

// AppendJSON implements mlwire.Appender.
func (s spansJSON) AppendJSON(w *mlwire.Writer) {
	w.Begin()
	w.Object("trace_info", infoJSON(s.info))
	list := make([]span.Stored, len(s.spans))
	for i, content := range s.spans {
		list[i] = span.Stored(content)
	}
	mlwire.List(w, "spans", list)
	w.End()
}

// traceJSON is the answer with one trace.
type traceJSON struct{ spansJSON }

// AppendJSON implements mlwire.Appender.
func (t traceJSON) AppendJSON(w *mlwire.Writer) {
	w.Compact()
	w.Begin()
	w.Object("trace", t.spansJSON)
	w.End()
}

// traceListJSON is the answer with several traces.
type traceListJSON struct{ list []store.Trace }

// AppendJSON implements mlwire.Appender.
func (t traceListJSON) AppendJSON(w *mlwire.Writer) {
	w.Compact()
	w.Begin()
	list := make([]spansJSON, len(t.list))
	for i, e := range t.list {
		list[i] = spansJSON{e.Info, e.Spans}
	}
	mlwire.List(w, "traces", list)
	w.End()
}

// infosJSON is the answer with traces without their spans.
type infosJSON struct {
	name string
	list []store.Info
	next string
}

// AppendJSON implements mlwire.Appender.
func (i infosJSON) AppendJSON(w *mlwire.Writer) {
	w.Compact()
	w.Begin()
	list := make([]infoJSON, len(i.list))
	for n, e := range i.list {
		list[n] = infoJSON(e)
	}
	mlwire.List(w, i.name, list)
	w.OptStr("next_page_token", i.next)
	w.End()
}

// anyJSON is a value of any type in a request. Protocol buffers know only one
// type of numbers in it, which has a point.
type anyJSON struct{ text string }

// SetJSON implements mlwire.Custom.
func (a *anyJSON) SetJSON(v any) bool {
	b, ok := span.AppendValue(nil, v)
	a.text = string(b)
	return ok
}
