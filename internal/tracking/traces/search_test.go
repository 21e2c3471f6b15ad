package traces_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/kiwerk/kiwerk/internal/server"
	tracking "github.com/kiwerk/kiwerk/internal/tracking/store"
)

// search finds the ids of traces.
func (p *platform) search(filter string, orderBy ...string) (ids []string) {
	p.t.Helper()
	out := p.ok("POST", v3+"/search", p.query(filter, orderBy...))
	return idsOf(out)
}

func (p *platform) query(filter string, orderBy ...string) object {
	return object{
		"locations": []any{object{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": object{"experiment_id": p.experiment}}},
		"filter":    filter, "order_by": orderBy,
	}
}

func idsOf(out object) (ids []string) {
	list, _ := out["traces"].([]any)
	for _, t := range list {
		ids = append(ids, t.(object)["trace_id"].(string))
	}
	return ids
}

func TestService_search(t *testing.T) { both(t, testSearch) }

func testSearch(t *testing.T, p *platform) {
	for i, e := range []struct {
		state, name, session, stage string
		took                        string
	}{
		{"OK", "greet", "s1", "dev", "1s"}, {"ERROR", "Greet", "s1", "prod", "2s"}, {"OK", "part", "s2", "", "3s"}, {"IN_PROGRESS", "", "", "dev%x", ""},
	} {
		tags, meta := object{}, object{}
		if e.name != "" {
			tags["mlflow.traceName"] = e.name
		}
		if e.stage != "" {
			tags["stage"] = e.stage
		}
		if e.session != "" {
			meta["mlflow.trace.session"] = e.session
		}
		if i == 0 {
			meta["mlflow.sourceRun"] = "run1"
		}
		more := object{"state": e.state, "tags": tags, "trace_metadata": meta, "request_time": fmt.Sprintf("2026-01-01T00:00:0%dZ", i), "client_request_id": fmt.Sprint("c", i)}
		if e.took != "" {
			more["execution_duration"] = e.took
		} else {
			more["execution_duration"] = nil
		}
		p.store(fmt.Sprintf("tr-%032x", i+1), more)
	}
	p.log(step(1, 1, 0, "root", attribute("mlflow.spanType", "AGENT"), attribute("model", "gpt-4"), attribute("mlflow.spanInputs", "Grüße an Alle")),
		step(1, 2, 1, "call", attribute("mlflow.spanType", "TOOL"), attribute("temperature", 0.5)),
		step(2, 1, 0, "root", attribute("mlflow.spanType", "TOOL"), attribute("llm.model", "Claude")))
	assess := func(trace byte, kind, name string, value any, metadata object) {
		p.ok("POST", v3+"/"+traceID(trace)+"/assessments", object{"assessment": object{
			"assessment_name": name, "source": object{"source_type": "CODE"}, kind: object{"value": value}, "metadata": metadata,
		}})
	}
	assess(1, "feedback", "score", 0.9, nil)
	assess(2, "feedback", "score", "yes", nil)
	assess(1, "feedback", "tone", "warm", object{"mlflow.trace.session": "s1"})
	assess(3, "expectation", "answer", true, nil)
	p.ok("POST", v3+"/"+traceID(3)+"/assessments", object{"assessment": object{"assessment_name": "iss-1", "source": object{"source_type": "CODE"}, "issue": object{"issue_name": "slow"}}})
	run, err := p.tracking.CreateRun(t.Context(), server.DefaultNamespace, tracking.NewRun{Experiment: p.experiment, Name: "r"})
	if err != nil {
		t.Fatal(err)
	}
	p.ok("POST", v2+"/link-to-run", object{"trace_ids": []string{traceID(3), "tr-none"}, "run_id": run.ID})
	p.ok("POST", v2+"/link-prompts", object{"trace_id": traceID(2), "prompt_versions": []any{object{"name": "ask", "version": "3"}}})
	const t1, t2, t3, t4 = "1", "2", "3", "4"
	for filter, want := range map[string]string{
		"":                     t4 + t3 + t2 + t1,
		"status = 'OK'":        t3 + t1,
		"trace.status != 'OK'": t4 + t2,
		"attributes.status IN ('ERROR', 'IN_PROGRESS')":      t4 + t2,
		"status NOT IN ('OK')":                               t4 + t2,
		"status RLIKE '^(OK|ERR)'":                           t3 + t2 + t1,
		"request_id = '" + traceID(2) + "'":                  t2,
		"client_request_id LIKE 'c%' AND status = 'OK'":      t3 + t1,
		"timestamp_ms >= 1767225602000":                      t4 + t3,
		"timestamp > 1767225601999.5":                        t4 + t3,
		"timestamp = 1767225602000.5":                        "",
		"execution_time < 3000":                              t2 + t1,
		"execution_time_ms >= 2000":                          t3 + t2,
		"end_time <= 1767225603000":                          t4 + t2 + t1,
		"name = 'greet'":                                     t1,
		"name LIKE '%reet'":                                  t2 + t1,
		"name LIKE 'G%'":                                     t2,
		"name ILIKE 'G%'":                                    t2 + t1,
		"name RLIKE '^[gG]r'":                                t2 + t1,
		"name IS NULL":                                       t4,
		"tags.stage = 'dev'":                                 t1,
		"tag.stage LIKE 'dev%'":                              t4 + t1,
		"tags.stage ILIKE 'DEV'":                             t1,
		"tags.stage != 'dev'":                                t4 + t2,
		"tags.stage IS NULL":                                 t3,
		"tags.stage IS NOT NULL":                             t4 + t2 + t1,
		"tags.`mlflow.traceName` = 'part'":                   t3,
		"metadata.`mlflow.trace.session` = 's1'":             t2 + t1,
		"request_metadata.`mlflow.trace.session` RLIKE '2$'": t3,
		"metadata.mlflow.trace.session IS NULL":              t4,
		"run_id = 'run1'":                                    t1,
		"run_id = '" + run.ID + "'":                          t3,
		"span.name = 'root'":                                 t2 + t1,
		"span.name != 'root'":                                t1,
		"span.type = 'TOOL'":                                 t2 + t1,
		"span.type = 'TOOL' AND span.name = 'root'":          t2,
		"span.type IN ('AGENT')":                             t1,
		"span.status = 'OK' AND span.name LIKE 'c%'":         t1,
		"span.name LIKE 'R%'":                                "",
		"span.name ILIKE 'R%'":                               t2 + t1,
		"span.attributes.model = 'gpt-4'":                    t1,
		"span.attributes.model LIKE 'gpt%'":                  t1,
		"span.attributes.model LIKE 'GPT%'":                  "",
		"span.attributes.`llm.model` ILIKE 'CLAUDE'":         t2,
		"span.attributes.llm.model RLIKE '^Cl.*e$'":          t2,
		"span.attributes.temperature = '0.5'":                t1,
		"span.attributes.temperature != '0.5'":               "",
		"span.content LIKE '%temperature%'":                  t1,
		"trace.text LIKE '%Grüße%'":                          t1,
		"text ILIKE '%GRÜSSE%'":                              "",
		"text ILIKE '%grÜße%'":                               t1,
		"text LIKE '%grüße%'":                                "",
		"feedback.score > 0.5":                               t1,
		"feedback.score <= 0.5":                              "",
		"feedback.score = 'yes'":                             t2,
		"feedback.score != 'yes'":                            t1,
		"feedback.score IS NOT NULL":                         t2 + t1,
		"feedback.score IS NULL":                             t4 + t3,
		"feedback.tone = 'warm'":                             t2 + t1,
		"feedback.tone LIKE '%war%'":                         t2 + t1,
		"feedback.tone RLIKE 'cold'":                         "",
		"expectation.answer = 'true'":                        t3,
		"expectation.answer IS NULL AND status = 'OK'":       t1,
		"issue.id = 'iss-1'":                                 t3,
		"prompt = 'ask/3'":                                   t2,
		"prompt = 'ask/4'":                                   "",
	} {
		t.Run(filter, func(t *testing.T) {
			q := *p
			q.t = t
			got := ""
			for _, id := range q.search(filter) {
				got += strings.TrimLeft(id, "tr-0")
			}
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	for order, want := range map[string]string{
		"timestamp ASC": "1234", "execution_time DESC": "3214", "execution_time": "1234", "name ASC": "2134", "tags.stage DESC": "2413",
		"status": "2431", "request_id DESC": "4321", "metadata.`mlflow.trace.session` DESC": "3214", "run_id": "1432", "end_time DESC": "3421",
	} {
		t.Run("order "+order, func(t *testing.T) {
			q := *p
			q.t = t
			whole, token := "", ""
			for range 5 { // one by one
				query := q.query("", order)
				query["max_results"], query["page_token"] = 1, token
				out := q.ok("POST", v3+"/search", query)
				for _, id := range idsOf(out) {
					whole += strings.TrimLeft(id, "tr-0")
				}
				if token, _ = out["next_page_token"].(string); token == "" {
					break
				}
			}
			if whole != want {
				t.Errorf("got %q, want %q", whole, want)
			}
		})
	}
	query := url.Values{"experiment_ids": {p.experiment}, "filter": {"status = 'OK'"}, "max_results": {"1"}}
	old := p.ok("GET", v2+"?"+query.Encode(), nil)
	if first := old["traces"].([]any)[0].(object); first["request_id"] != traceID(3) || first["status"] != "OK" || old["next_page_token"] == "" {
		t.Errorf("version 2: %v", old)
	}
}

func TestService_search_faults(t *testing.T) { both(t, testSearchFaults) }

func testSearchFaults(t *testing.T, p *platform) {
	for filter, want := range map[string]string{
		"status = OK":                           "Expected a quoted string",
		"colour = 'red'":                        "Invalid attribute key 'colour'",
		"metrics.x > 1":                         "Invalid entity type 'metrics'",
		"timestamp LIKE 'x'":                    "Invalid comparator 'LIKE'",
		"timestamp = 'x'":                       "Expected numeric value",
		"span.colour = 'red'":                   "Invalid span attribute 'colour'",
		"span.attributes. = 'red'":              "cannot be empty",
		"span.content = 'x'":                    "Invalid comparator '='",
		"text = 'x'":                            "Invalid comparator '='",
		"issue.name = 'x'":                      "Invalid issue attribute 'name'",
		"feedback.x > '1'":                      "Expected numeric value",
		"feedback.x = 1":                        "Expected a quoted string",
		"prompt LIKE 'x'":                       "Invalid comparator 'LIKE'",
		"name IN ('a', 'b')":                    "Invalid comparator 'IN'",
		"prompt = 'x'":                          "Invalid prompts filter value",
		"name RLIKE '('":                        "Invalid regular expression",
		"name RLIKE '(?<x>a)(?=b)'":             "Invalid regular expression",
		"status = 'OK' OR name = 'x'":           "Invalid clause(s)",
		"metadata.`mlflow.trace.cost` LIKE 'x'": "not supported for reserved metadata",
	} {
		p.refused(400, want, "POST", v3+"/search", p.query(filter))
	}
	p.refused(400, "Invalid attribute key 'colour'", "POST", v3+"/search", p.query("", "colour"))
	p.refused(400, "duplicate fields", "POST", v3+"/search", p.query("", "timestamp", "timestamp_ms DESC"))
	p.refused(400, "reserved metadata", "POST", v3+"/search", p.query("", "metadata.`mlflow.trace.cost`"))
	for _, n := range []int{0, -1, 501} {
		q := p.query("")
		q["max_results"] = n
		p.refused(400, "max_results", "POST", v3+"/search", q)
	}
	p.store("tr-1", nil)
	p.store("tr-2", nil)
	q := p.query("")
	q["max_results"] = 1
	token := p.ok("POST", v3+"/search", q)["next_page_token"]
	for _, bad := range []any{"x", "e30=", token.(string) + "A", "bnVsbA=="} {
		q["page_token"] = bad
		p.refused(400, "Invalid page token", "POST", v3+"/search", q)
	}
	q = p.query("status = 'OK'")
	q["page_token"] = token
	p.refused(400, "does not belong to this search", "POST", v3+"/search", q)
}

// TestLinkToRun_beforeTheTraceComes: clients send traces in the background, so the link may be first.
func TestLinkToRun_beforeTheTraceComes(t *testing.T) { both(t, testLinkAhead) }

func testLinkAhead(t *testing.T, p *platform) {
	run, err := p.tracking.CreateRun(t.Context(), server.DefaultNamespace, tracking.NewRun{Experiment: p.experiment, Name: "r"})
	if err != nil {
		t.Fatal(err)
	}
	p.ok("POST", v2+"/link-to-run", object{"trace_ids": []string{traceID(1), traceID(2), traceID(3), "not one!"}, "run_id": run.ID})
	find := func(want ...string) {
		t.Helper()
		found := p.search("run_id = '" + run.ID + "'")
		slices.Sort(found)
		if !slices.Equal(found, want) {
			t.Errorf("%v, want %v", found, want)
		}
	}
	find()
	p.log(step(1, 1, 0, "root"))
	find(traceID(1))
	p.store(traceID(2), nil)
	find(traceID(1), traceID(2))
	if n, err := p.service.EraseTraces(t.Context(), server.DefaultNamespace, "run", run.ID); err != nil || n != 2 {
		t.Errorf("%d, %v", n, err)
	}
	p.log(step(3, 1, 0, "root"))
	find() // nothing of an erased run is left
}
