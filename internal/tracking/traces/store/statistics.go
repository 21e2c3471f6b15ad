package store

import (
	"context"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/filter"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/query"
)

// Correlation is how often traces fit two filters, and both.
type Correlation struct {
	First, Second, Both, Total int64
}

// Correlate counts traces that fit a filter, another, and both; base narrows
// down what is looked at.
func (s *Store) Correlate(ctx context.Context, namespace string, experiments []int64, base, first, second string) (out Correlation, err error) {
	var parsed [3][]filter.Comparison
	for i, text := range []string{base, first, second} {
		if parsed[i], err = parse(text); err != nil {
			return out, err
		}
	}
	if len(experiments) == 0 {
		return out, nil
	}
	err = s.view(ctx, func(t *tx) error {
		count := func(filters ...[]filter.Comparison) (n int64, err error) {
			conds, err := t.conditionsOf(slices.Concat(filters...))
			if err != nil {
				return 0, err
			}
			w := walk{tx: t, conds: conds, orders: []term{{clause: query.Of("t.id"), numeric: true}}}
			w.scope(namespace, experiments)
			return w.count()
		}
		var errs [4]error
		out.Total, errs[0] = count(parsed[0])
		out.First, errs[1] = count(parsed[0], parsed[1])
		out.Second, errs[2] = count(parsed[0], parsed[2])
		out.Both, errs[3] = count(parsed[0], parsed[1], parsed[2])
		for _, err := range errs {
			if err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

// count walks through all traces that fit.
func (w *walk) count() (n int64, err error) {
	if len(w.conds.checks) == 0 {
		where := query.All(w.conds.sql...)
		err = w.Row("SELECT COUNT(*) FROM traces t WHERE "+where.SQL, where.Args...).Scan(&n)
		return n, err
	}
	for {
		part, err := w.page(chunk)
		if err != nil || len(part) == 0 {
			return n, err
		}
		w.after = part[len(part)-1].values
		if part, err = w.filter(part); err != nil {
			return n, err
		}
		n += int64(len(part))
	}
}

// smoothing is what Jeffreys' prior adds to each count.
const smoothing = 0.5

// NPMI is the normalised pointwise mutual information of the two filters, from
// -1 (never together) to 1 (always), also smoothed for small counts. NaN is
// not defined.
func (c Correlation) NPMI() (npmi, smoothed float64) {
	nan := math.NaN()
	only1, only2 := c.First-c.Both, c.Second-c.Both
	neither := c.Total - c.First - c.Second + c.Both
	if c.Total <= 0 || c.First == 0 || c.Second == 0 || min(c.Both, only1, only2, neither) < 0 {
		return nan, nan
	}
	of := func(add float64) float64 {
		both, just1, just2 := float64(c.Both)+add, float64(only1)+add, float64(only2)+add
		first, second, total := both+just1, both+just2, both+just1+just2+float64(neither)+add
		if only1 == 0 && only2 == 0 && neither == 0 {
			return 1
		}
		pmi := (math.Log(both) + math.Log(total)) - (math.Log(first) + math.Log(second))
		return max(-1, min(1, pmi/-(math.Log(both)-math.Log(total))))
	}
	if c.Both == 0 {
		return -1, of(smoothing)
	}
	return of(0), of(smoothing)
}

// View is what statistics are about.
type View string

// Views.
const (
	OfTraces      View = "TRACES"
	OfSpans       View = "SPANS"
	OfAssessments View = "ASSESSMENTS"
)

// Aggregation is a way to make one number of many.
type Aggregation struct {
	Kind string // COUNT, SUM, AVG, MIN, MAX, PERCENTILE
	// Percentile is from 0 to 100.
	Percentile *float64
}

// label names a value in the answer: AVG, P99.0.
func (a Aggregation) label() string {
	if a.Kind != percentile {
		return a.Kind
	}
	s := strconv.FormatFloat(*a.Percentile, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return "P" + s
}

const (
	percentile   = "PERCENTILE"
	sessionCount = "session_count"
)

// MetricsQuery asks for statistics.
type MetricsQuery struct {
	Experiments  []int64
	View         View
	Metric       string
	Aggregations []Aggregation
	Dimensions   []string
	Filters      []string
	// Interval is the width of time buckets in seconds; 0 is none.
	Interval int64
	From, To *int64
	Max      int
}

// Point is one row of statistics.
type Point struct {
	Dimensions map[string]string
	Values     map[string]float64
}

// metric is what a statistic is made of.
type metric struct {
	value        string // SQL
	aggregations []string
	dimensions   []string
	// bySpan: the time of the span counts, not that of its trace.
	bySpan bool
}

var (
	onlyCount  = []string{"COUNT"}
	noSum      = []string{"AVG", "MIN", "MAX", percentile}
	withSum    = append([]string{"SUM"}, noSum...)
	ofModel    = []string{"span_model_name", "span_model_provider"}
	byName     = []string{"trace_name"}
	spanMetric = func(column string) metric { return metric{column, withSum, ofModel, true} }
)

var metricsOf = map[View]map[string]metric{
	OfTraces: {
		"trace_count":                 {"1", onlyCount, []string{"trace_name", "trace_status"}, false},
		sessionCount:                  {"t.session", onlyCount, nil, false},
		"latency":                     {"t.duration", noSum, byName, false},
		"input_tokens":                {"t.input_tokens", withSum, byName, false},
		"output_tokens":               {"t.output_tokens", withSum, byName, false},
		"total_tokens":                {"t.total_tokens", withSum, byName, false},
		"cache_read_input_tokens":     {"t.cache_read_input_tokens", withSum, byName, false},
		"cache_creation_input_tokens": {"t.cache_creation_input_tokens", withSum, byName, false},
	},
	OfSpans: {
		"span_count":  {"1", onlyCount, []string{"span_name", "span_type", "span_status", "span_model_name", "span_model_provider"}, false},
		"latency":     {"(s.finish - s.start) / 1000000", noSum, []string{"span_name", "span_status"}, false},
		"input_cost":  spanMetric("s.input_cost"),
		"output_cost": spanMetric("s.output_cost"),
		"total_cost":  spanMetric("s.total_cost"),
	},
	OfAssessments: {
		"assessment_count": {"1", onlyCount, []string{"assessment_name", "assessment_value"}, false},
		"assessment_value": {"a.number", noSum, []string{"assessment_name"}, false},
	},
}

var dimensionColumns = map[string]string{
	"trace_name": "t.name", "trace_status": "t.state",
	"span_name": "s.name", "span_type": "s.type", "span_status": "s.status", "span_model_name": "s.model", "span_model_provider": "s.provider",
	"assessment_name": "a.name", "assessment_value": "a.value",
}

// timeBucket is the dimension that an interval adds.
const timeBucket = "time_bucket"

func (q MetricsQuery) check() (metric, error) {
	views, ok := metricsOf[q.View]
	if !ok {
		return metric{}, model.Invalid("view_type must be one of ['TRACES', 'SPANS', 'ASSESSMENTS'], got '%s'", q.View)
	}
	m, ok := views[q.Metric]
	if !ok {
		return m, model.Invalid("metric_name must be one of %s, got '%s'", listed(slices.Sorted(maps.Keys(views))), q.Metric)
	}
	for _, a := range q.Aggregations {
		switch {
		case !slices.Contains(m.aggregations, a.Kind):
			return m, model.Invalid("Found invalid aggregation_type(s): ['%s']. Supported aggregation types: %s", a.Kind, listed(m.aggregations))
		case a.Kind == percentile && (a.Percentile == nil || *a.Percentile < 0 || *a.Percentile > 100):
			return m, model.Invalid("Percentile value must be between 0 and 100 and is required for PERCENTILE aggregation")
		case a.Kind != percentile && a.Percentile != nil:
			return m, model.Invalid("Percentile value is only allowed for PERCENTILE aggregation type, got %s", a.Kind)
		}
	}
	for _, d := range q.Dimensions {
		if !slices.Contains(m.dimensions, d) {
			return m, model.Invalid("Found invalid dimension(s): ['%s']. Supported dimensions: %s", d, listed(m.dimensions))
		}
	}
	if q.Interval < 0 || q.Interval > 1<<40 {
		return m, model.Invalid("Invalid value %d for parameter 'time_interval_seconds' supplied.", q.Interval)
	}
	if q.Interval > 0 && (q.From == nil || q.To == nil) {
		return m, model.Invalid("start_time_ms and end_time_ms are required if time_interval_seconds is set")
	}
	return m, nil
}

// listed writes names as Python does.
func listed(names []string) string { return "['" + strings.Join(names, "', '") + "']" }

// Metrics makes statistics.
func (s *Store) Metrics(ctx context.Context, namespace string, q MetricsQuery) ([]Point, error) {
	m, err := q.check()
	if err != nil || len(q.Experiments) == 0 {
		return nil, err
	}
	where, err := q.where(namespace, m)
	if err != nil {
		return nil, err
	}
	value := "CAST(" + m.value + " AS DOUBLE PRECISION)"
	if q.Metric == sessionCount {
		value = m.value
	}
	columns := []string{m.time(), value}
	for _, d := range q.Dimensions {
		columns = append(columns, dimensionColumns[d])
	}
	sum := summary{query: q, groups: map[string]*group{}}
	err = s.view(ctx, func(t *tx) error {
		return t.Each(sum.add, "SELECT "+strings.Join(columns, ", ")+" FROM "+q.from()+" WHERE "+where.SQL, where.Args...)
	})
	if err != nil {
		return nil, err
	}
	return sum.points(), nil
}

func (q MetricsQuery) from() string {
	switch q.View {
	case OfSpans:
		return "traces t JOIN trace_spans s ON s.trace = t.id"
	case OfAssessments:
		return "traces t JOIN trace_assessments a ON a.trace = t.id AND a.valid = 1"
	default:
		return "traces t"
	}
}

// time is the SQL of the millisecond by which something is sorted into buckets.
func (m metric) time() string {
	if m.bySpan {
		return "s.start / 1000000"
	}
	return "t.ts"
}

func (q MetricsQuery) where(namespace string, m metric) (clause, error) {
	list := []clause{
		inExperiments(namespace, q.Experiments),
		query.Of(m.value + " IS NOT NULL"),
	}
	for _, d := range q.Dimensions {
		list = append(list, query.Of(dimensionColumns[d]+" IS NOT NULL"))
	}
	if q.From != nil {
		list = append(list, query.Of(m.time()+" >= ?", *q.From))
	}
	if q.To != nil {
		list = append(list, query.Of(m.time()+" <= ?", *q.To))
	}
	for _, text := range q.Filters {
		c, err := q.filter(text)
		if err != nil {
			return c, err
		}
		list = append(list, c)
	}
	return query.All(list...), nil
}

func (q MetricsQuery) filter(text string) (clause, error) {
	list, err := metricsLanguage.Parse(text)
	if err != nil {
		return clause{}, asInvalid(err)
	}
	if len(list) != 1 {
		return clause{}, model.Invalid("Invalid filter: '%s'. Expected one filter clause.", text)
	}
	c := list[0]
	for e, view := range map[filter.Entity]View{filter.Span: OfSpans, entityAssessment: OfAssessments} {
		if c.Entity == e && q.View != view {
			return clause{}, model.Invalid("Filtering by %s is only supported for %s view type, got %s", e, view, q.View)
		}
	}
	head, key, _ := strings.Cut(c.Key, ".")
	key = filter.Unquote(key)
	switch {
	case c.Entity == filter.Span:
		return query.Of("s."+head+" = ?", c.Text), nil
	case c.Entity == entityAssessment:
		return query.Of(map[string]string{"name": "a.name", "type": "a.kind"}[head]+" = ?", c.Text), nil
	case head == "status":
		return query.Of("t.state = ?", c.Text), nil
	case head == "tag" && key == TagName:
		return query.Of("t.name = ?", c.Text), nil
	case key == metaSession:
		return query.Of("t.session = ?", c.Text), nil
	}
	table := "trace_tags"
	if head == "metadata" {
		table = "trace_metadata"
	}
	has := query.Of("EXISTS(SELECT 1 FROM "+table+" c WHERE c.trace = t.id AND c.key = ? AND c.value = ?)", key, c.Text)
	if key == MetaRun {
		has.SQL += " OR EXISTS(SELECT 1 FROM trace_links l WHERE l.trace = t.id AND l.kind = 'run' AND l.target = ?)"
		has.Args = append(has.Args, c.Text)
	}
	return has, nil
}

// group is what falls together.
type group struct {
	bucket     int64
	dimensions []string
	n          int64
	sum        float64
	low, high  float64
	values     []float64 // only for percentiles
	distinct   map[string]bool
}

type summary struct {
	query  MetricsQuery
	groups map[string]*group
}

// add takes a row: time, value, dimensions.
func (s *summary) add(r db.Rows) error {
	var at int64
	var number float64
	var session string
	dest := []any{&at, &number}
	sessions := s.query.Metric == sessionCount
	if sessions {
		dest[1] = &session
	}
	names := make([]string, len(s.query.Dimensions))
	for i := range names {
		dest = append(dest, &names[i])
	}
	if err := r.Scan(dest...); err != nil {
		return err
	}
	g := s.group(at, names)
	if sessions {
		if g.distinct == nil {
			g.distinct = map[string]bool{}
		}
		g.distinct[session] = true
		g.n = int64(len(g.distinct))
		return nil
	}
	if g.n == 0 {
		g.low, g.high = number, number
	}
	g.n, g.sum, g.low, g.high = g.n+1, g.sum+number, min(g.low, number), max(g.high, number)
	if slices.ContainsFunc(s.query.Aggregations, func(a Aggregation) bool { return a.Kind == percentile }) {
		g.values = append(g.values, number)
	}
	return nil
}

func (s *summary) group(at int64, names []string) *group {
	var bucket int64
	key := strings.Join(names, "\x00")
	if s.query.Interval > 0 {
		width := s.query.Interval * 1000
		bucket = at - at%width
		if at < 0 && at%width != 0 {
			bucket -= width
		}
		key = strconv.FormatInt(bucket, 10) + "\x00" + key
	}
	g := s.groups[key]
	if g == nil {
		g = &group{bucket: bucket, dimensions: names}
		s.groups[key] = g
	}
	return g
}

func (s *summary) points() (list []Point) {
	var groups []*group
	for _, g := range s.groups {
		groups = append(groups, g)
	}
	if len(groups) == 0 && s.query.Interval == 0 && len(s.query.Dimensions) == 0 && s.query.Aggregations[0].Kind == "COUNT" {
		groups = append(groups, new(group)) // nothing is 0 things
	}
	slices.SortFunc(groups, func(a, b *group) int {
		if a.bucket != b.bucket {
			if a.bucket < b.bucket {
				return -1
			}
			return 1
		}
		return slices.Compare(a.dimensions, b.dimensions)
	})
	for _, g := range groups[:min(len(groups), s.query.Max)] {
		p := Point{Dimensions: map[string]string{}, Values: map[string]float64{}}
		if s.query.Interval > 0 {
			p.Dimensions[timeBucket] = isoTime(g.bucket)
		}
		for i, d := range s.query.Dimensions {
			p.Dimensions[d] = g.dimensions[i]
		}
		slices.Sort(g.values)
		for _, a := range s.query.Aggregations {
			p.Values[a.label()] = g.value(a)
		}
		list = append(list, p)
	}
	return list
}

func (g *group) value(a Aggregation) float64 {
	switch a.Kind {
	case "COUNT":
		return float64(g.n)
	case "SUM":
		return g.sum
	case "AVG":
		return g.sum / float64(g.n)
	case "MIN":
		return g.low
	case "MAX":
		return g.high
	default: // linear between the two nearest values
		place := *a.Percentile / 100 * float64(len(g.values)-1)
		below := int(math.Floor(place))
		above := min(below+1, len(g.values)-1)
		return g.values[below] + (g.values[above]-g.values[below])*(place-float64(below))
	}
}

// isoTime is a time as Python writes it.
func isoTime(ms int64) string {
	return strings.Replace(time.UnixMilli(ms).UTC().Format(time.RFC3339), "Z", "+00:00", 1)
}
