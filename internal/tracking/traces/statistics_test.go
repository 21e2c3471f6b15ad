package traces_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestService_correlation(t *testing.T) { both(t, testCorrelation) }

func testCorrelation(t *testing.T, p *platform) {
	for i := range 4 {
		tags := object{"even": fmt.Sprint(i%2 == 0)}
		if i < 2 {
			tags["low"] = "yes"
		}
		p.store(fmt.Sprint("tr-", i), object{"tags": tags})
	}
	ask := func(first, second string) object {
		return p.ok("POST", v3+"/calculate-filter-correlation", object{"experiment_ids": []string{p.experiment}, "filter_string1": first, "filter_string2": second})
	}
	got := ask("tags.even = 'true'", "tags.low = 'yes'")
	if diff := cmp.Diff(object{"npmi": 0.0, "npmi_smoothed": 0.0, "filter1_count": 2.0, "filter2_count": 2.0, "joint_count": 1.0, "total_count": 4.0}, got); diff != "" {
		t.Error(diff)
	}
	got = ask("tags.even = 'true'", "tags.even RLIKE 'tru'")
	if got["npmi"].(float64) < 0.999 || got["joint_count"] != 2.0 {
		t.Errorf("the same twice: %v", got)
	}
	if got = ask("tags.even = 'true'", "tags.even = 'false'"); got["npmi"] != -1.0 {
		t.Errorf("never together: %v", got)
	}
	if got = ask("tags.even = 'true'", "tags.none = 'x'"); got["npmi"] != nil {
		t.Errorf("not defined: %v", got)
	}
}

func TestService_metrics(t *testing.T) { both(t, testMetrics) }

func testMetrics(t *testing.T, p *platform) {
	for i := range 4 {
		p.store(fmt.Sprint("tr-", i), object{
			"request_time": fmt.Sprintf("2026-01-01T00:0%d:00Z", i), "execution_duration": fmt.Sprintf("%ds", i+1), "state": []string{"OK", "ERROR"}[i%2],
			"tags":           object{"mlflow.traceName": []string{"a", "b"}[i/2], "stage": "x"},
			"trace_metadata": object{"mlflow.trace.session": fmt.Sprint("s", i/2), "mlflow.trace.tokenUsage": fmt.Sprintf(`{"input_tokens": %d}`, 10*i)},
		})
	}
	p.log(step(1, 1, 0, "root", attribute("mlflow.llm.cost", `{"total_cost": 0.5}`), attribute("mlflow.llm.model", "m")), step(1, 2, 1, "call"))
	for _, v := range []any{0.25, 0.75, true} {
		p.ok("POST", v3+"/tr-0/assessments", object{"assessment": object{"assessment_name": "score", "feedback": object{"value": v}}})
	}
	ask := func(q object) []any {
		t.Helper()
		q["experiment_ids"] = []string{p.experiment}
		list := p.ok("POST", v3+"/metrics", q)["data_points"].([]any)
		for _, point := range list {
			delete(point.(object), "metric_name")
		}
		return list
	}
	agg := func(kinds ...string) (list []any) {
		for _, k := range kinds {
			list = append(list, object{"aggregation_type": k})
		}
		return list
	}
	pct := func(v float64) object { return object{"aggregation_type": "PERCENTILE", "percentile_value": v} }
	for name, c := range map[string]struct {
		q    object
		want []any
	}{
		"Count":      {object{"view_type": "TRACES", "metric_name": "trace_count", "aggregations": agg("COUNT"), "filters": []string{"trace.tag.stage = 'x'"}}, []any{object{"values": object{"COUNT": 4.0}}}},
		"ByStatus":   {object{"view_type": "TRACES", "metric_name": "trace_count", "aggregations": agg("COUNT"), "dimensions": []string{"trace_status"}, "filters": []string{"trace.tag.stage = 'x'"}}, []any{object{"dimensions": object{"trace_status": "ERROR"}, "values": object{"COUNT": 2.0}}, object{"dimensions": object{"trace_status": "OK"}, "values": object{"COUNT": 2.0}}}},
		"Percentile": {object{"view_type": "TRACES", "metric_name": "latency", "aggregations": []any{pct(50), pct(75), object{"aggregation_type": "AVG"}}, "filters": []string{"trace.tag.stage = 'x'"}}, []any{object{"values": object{"P50.0": 2500.0, "P75.0": 3250.0, "AVG": 2500.0}}}},
		"Sum":        {object{"view_type": "TRACES", "metric_name": "input_tokens", "aggregations": agg("SUM", "MIN", "MAX"), "filters": []string{"trace.status = 'OK'"}}, []any{object{"values": object{"SUM": 20.0, "MIN": 0.0, "MAX": 20.0}}}},
		"Sessions":   {object{"view_type": "TRACES", "metric_name": "session_count", "aggregations": agg("COUNT")}, []any{object{"values": object{"COUNT": 2.0}}}},
		"Buckets": {object{
			"view_type": "TRACES", "metric_name": "trace_count", "aggregations": agg("COUNT"), "time_interval_seconds": 120, "start_time_ms": 1767225600000, "end_time_ms": 1767225800000,
		}, []any{
			object{"dimensions": object{"time_bucket": "2026-01-01T00:00:00+00:00"}, "values": object{"COUNT": 2.0}},
			object{"dimensions": object{"time_bucket": "2026-01-01T00:02:00+00:00"}, "values": object{"COUNT": 2.0}},
		}},
		"Session":     {object{"view_type": "TRACES", "metric_name": "trace_count", "aggregations": agg("COUNT"), "filters": []string{"trace.metadata.`mlflow.trace.session` = 's1'"}}, []any{object{"values": object{"COUNT": 2.0}}}},
		"Spans":       {object{"view_type": "SPANS", "metric_name": "span_count", "aggregations": agg("COUNT"), "dimensions": []string{"span_name"}}, []any{object{"dimensions": object{"span_name": "call"}, "values": object{"COUNT": 1.0}}, object{"dimensions": object{"span_name": "root"}, "values": object{"COUNT": 1.0}}}},
		"SpanLatency": {object{"view_type": "SPANS", "metric_name": "latency", "aggregations": agg("MAX"), "filters": []string{"span.name = 'root'"}}, []any{object{"values": object{"MAX": 999.0}}}},
		"Cost":        {object{"view_type": "SPANS", "metric_name": "total_cost", "aggregations": agg("SUM"), "dimensions": []string{"span_model_name"}}, []any{object{"dimensions": object{"span_model_name": "m"}, "values": object{"SUM": 0.5}}}},
		"Assessments": {object{"view_type": "ASSESSMENTS", "metric_name": "assessment_value", "aggregations": agg("AVG"), "dimensions": []string{"assessment_name"}, "filters": []string{"assessment.type = 'feedback'"}}, []any{object{"dimensions": object{"assessment_name": "score"}, "values": object{"AVG": 2.0 / 3}}}},
	} {
		if diff := cmp.Diff(c.want, ask(c.q)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	base := func(more object) object {
		q := object{"experiment_ids": []string{p.experiment}, "view_type": "TRACES", "metric_name": "trace_count", "aggregations": agg("COUNT")}
		for k, v := range more {
			q[k] = v
		}
		return q
	}
	for want, q := range map[string]object{
		"view_type":               base(object{"view_type": "RUNS"}),
		"metric_name must be":     base(object{"metric_name": "x"}),
		"aggregation_type(s)":     base(object{"aggregations": agg("SUM")}),
		"between 0 and 100":       base(object{"metric_name": "latency", "aggregations": []any{pct(101)}}),
		"only allowed for":        base(object{"aggregations": []any{object{"aggregation_type": "COUNT", "percentile_value": 3}}}),
		"dimension(s)":            base(object{"dimensions": []string{"span_name"}}),
		"start_time_ms and":       base(object{"time_interval_seconds": 1}),
		"Invalid entity 'x'":      base(object{"filters": []string{"trace.x = 'a'"}}),
		"requires a key":          base(object{"filters": []string{"trace.tag = 'a'"}}),
		"does not require a key":  base(object{"filters": []string{"trace.status.x = 'a'"}}),
		"only supported for":      base(object{"filters": []string{"span.name = 'a'"}}),
		"one filter clause":       base(object{"filters": []string{"trace.status = 'a' AND trace.status = 'b'"}}),
		"Invalid comparator '!='": base(object{"filters": []string{"trace.status != 'a'"}}),
	} {
		p.refused(400, want, "POST", v3+"/metrics", q)
	}
	first := p.ok("POST", v3+"/metrics", base(object{"dimensions": []string{"trace_status"}, "max_results": 1}))
	second := p.ok("POST", v3+"/metrics", base(object{"dimensions": []string{"trace_status"}, "max_results": 1, "page_token": first["next_page_token"]}))
	if len(second["data_points"].([]any)) != 1 || cmp.Equal(first["data_points"], second["data_points"]) || second["next_page_token"] != nil {
		t.Errorf("pages: %v, %v", first, second)
	}
}
