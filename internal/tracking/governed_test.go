package tracking_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking/access"
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
)

// forAdmins are the routes that name no object, and why only administrators may call them.
var forAdmins = map[string]string{
	"POST /api/3.0/mlflow/workspaces":                    "makes a workspace",
	"PATCH /api/3.0/mlflow/workspaces/{workspace_name}":  "changes a workspace",
	"DELETE /api/3.0/mlflow/workspaces/{workspace_name}": "deletes a workspace",
	"POST /api/2.0/mlflow/webhooks":                      "webhooks hear of everything in a workspace",
	"GET /api/2.0/mlflow/webhooks":                       "as above",
	"GET /api/2.0/mlflow/webhooks/{webhook_id}":          "as above",
	"PATCH /api/2.0/mlflow/webhooks/{webhook_id}":        "as above",
	"DELETE /api/2.0/mlflow/webhooks/{webhook_id}":       "as above",
	"POST /api/2.0/mlflow/webhooks/{webhook_id}/test":    "as above",
	"POST /kiwerk/v1/tracking/gc":                        "erases for good, by age",
	"GET /kiwerk/v1/lineage":                             "shows models, runs and data together",
}

// callOf is a route without what differs between the forms of its path.
func callOf(e server.Endpoint) string {
	return e.Method + " " + strings.Replace(e.Pattern, "/ajax-api/", "/api/", 1)
}

// looksLikeID are names of fields that might name an object.
var looksLikeID = regexp.MustCompile(`(^|_)(ids?|uuids?|names?|source|path|uri|location)$`)

// TestGoverned_everyRouteDeclares: each route says which objects it touches, or is
// for administrators only with a reason; each field that might name an object
// says which, or why it does not.
func TestGoverned_everyRouteDeclares(t *testing.T) {
	w := govern(t)
	seen := map[string]bool{}
	for _, e := range w.endpoints {
		if e.Permission.IsPublic() {
			continue
		}
		call := callOf(e)
		if forAdmins[call] != "" {
			seen[call] = true
			if route.Declared(e.Request) {
				t.Errorf("%s declares objects and is listed as having none", call)
			}
			continue
		}
		if _, judged := e.Handler.(server.Judged); !judged || !route.Declared(e.Request) {
			t.Errorf("%s does not say what it is about: give the fields of its request tags (see route.Mentions), or list it in forAdmins with a reason", call)
			continue
		}
		undeclared(t, call, bare(reflect.TypeOf(e.Request)), map[looked]bool{})
	}
	for call := range forAdmins {
		if !seen[call] {
			t.Errorf("%s is listed and does not exist", call)
		}
	}
}

// looked is what was looked into; blind is what lies in maps, arrays and
// interfaces, where route.Mentions does not look.
type looked struct {
	typ   reflect.Type
	blind bool
}

// bare is a type without what route.Mentions looks through, or else what lies inside.
func bare(typ reflect.Type) looked {
	l := looked{typ, false}
	for {
		switch l.typ.Kind() {
		case reflect.Map, reflect.Array:
			l.blind = true
		case reflect.Interface:
			l.blind = true
			return l
		case reflect.Pointer, reflect.Slice:
		default:
			return l
		}
		l.typ = l.typ.Elem()
	}
}

func undeclared(t *testing.T, call string, in looked, seen map[looked]bool) {
	t.Helper()
	if in.typ.Kind() != reflect.Struct || seen[in] {
		return
	}
	seen[in] = true
	for i := range in.typ.NumField() {
		f := in.typ.Field(i)
		name, _, _ := strings.Cut(cmp.Or(f.Tag.Get("ml"), f.Tag.Get("json")), ",")
		about, base := f.Tag.Get("about"), bare(f.Type)
		base.blind = base.blind || in.blind
		at := fmt.Sprintf("%s: field %s (%s.%s)", call, name, in.typ, f.Name)
		switch {
		case about == "" && looksLikeID.MatchString(name) && holdsText(base.typ):
			t.Errorf("%s does not say whether it names an object: give it a tag about", at)
		case about == "":
			undeclared(t, call, base, seen)
		case about[0] == '-' && len(about) < 5:
			t.Errorf("%s does not say why it names no object", at)
		case about[0] != '-':
			if _, hasID := idOf(base.typ); base.blind || base.typ.Kind() != reflect.String && !hasID {
				t.Errorf("%s has a tag about where route.Mentions finds no id: in a map, an array or an interface, or in a struct without a field id", at)
			}
			knownOptions(t, at, about)
		}
	}
}

// holdsText tells whether a field can hold an id itself: structs hold it in
// their fields, but for those that read JSON on their own, like mcp.opt.
func holdsText(typ reflect.Type) bool {
	switch typ.Kind() {
	case reflect.String, reflect.Interface:
		return true
	case reflect.Struct:
		return reflect.PointerTo(typ).Implements(reflect.TypeFor[json.Unmarshaler]())
	default:
		return false
	}
}

func idOf(typ reflect.Type) (reflect.StructField, bool) {
	if typ.Kind() != reflect.Struct {
		return reflect.StructField{}, false
	}
	return typ.FieldByName("id")
}

func knownOptions(t *testing.T, at, about string) {
	t.Helper()
	tiers := []string{route.AboutRun, route.AboutLoggedModel, route.AboutTrace, route.AboutQueue, route.AboutScorer, route.AboutAssessment}
	for _, w := range strings.Split(about, ",")[1:] {
		of, ok := strings.CutPrefix(w, "of ")
		if (!ok || !slices.Contains(tiers, of)) && !slices.Contains([]string{"read", "update", "maybe", "zero"}, w) {
			t.Errorf("%s: the tag about has the unknown option %q", at, w)
		}
	}
}

// TestBare: what lies in maps, arrays and interfaces is not looked into.
func TestBare(t *testing.T) {
	for typ, blind := range map[reflect.Type]bool{
		reflect.TypeFor[*[]string](): false, reflect.TypeFor[map[string]string](): true, reflect.TypeFor[[]any](): true, reflect.TypeFor[[2]*string](): true,
	} {
		if got := bare(typ); got.blind != blind {
			t.Errorf("%s: %v", typ, got)
		}
	}
}

// TestGoverned_everyRoute asks each route for what is alice's: mallory, who has
// objects of her own, gets 403 however she says it, reader reads and changes
// nothing, and alice is let in.
func TestGoverned_everyRoute(t *testing.T) {
	w := govern(t)
	alice, mallory := w.own["alice"], w.own["mallory"]
	read := map[string]bool{"get": true, "list": true}
	n := 0
	for _, e := range w.endpoints {
		if e.Permission.IsPublic() {
			continue
		}
		m := message{call: callOf(e), method: e.Method, path: wildcard.ReplaceAllString(e.Pattern, "x"), body: "{}"}
		if forAdmins[m.call] != "" {
			w.refused(t, m, "mallory", "without objects", http.StatusForbidden)
			continue
		}
		if isOpen(m.call) {
			continue
		}
		m = requestOf(e, alice)
		w.refused(t, m, "mallory", "of somebody else", http.StatusForbidden)
		if strings.HasPrefix(e.Pattern, "/ajax-api/") {
			continue // the same handler
		}
		own := requestOf(e, mallory)
		for what, v := range variants(m, own) {
			if _, sifted := e.Request.(route.Sifted); sifted && what == ownBeside {
				continue // answered with what is mallory's, as TestGoverned_sifted shows
			}
			w.refused(t, v, "mallory", what, http.StatusForbidden, http.StatusBadRequest)
			n++
		}
		// The reader shows that the requests are right: what may be read is read.
		if !read[e.Permission.Verb] {
			w.refused(t, m, "reader", "by a reader", http.StatusForbidden)
		} else if status, answer := w.ask(m, "reader"); status == http.StatusForbidden || status == http.StatusBadRequest && !canFail(m.call) {
			t.Errorf("%s: a reader gets %d %v", m.call, status, answer)
		}
	}
	for _, e := range w.endpoints { // at last, because it changes things
		if call := callOf(e); e.Permission.IsPublic() || forAdmins[call] != "" || isOpen(call) || endsIt.MatchString(call) {
			continue
		}
		m := requestOf(e, alice)
		if status, answer := w.ask(m, "alice"); status == http.StatusForbidden {
			t.Errorf("%s: alice gets %d %v for %s?%s %s", m.call, status, answer, m.path, m.query, m.body)
		}
	}
	t.Logf("%d variants", n)
}

// endsIt are calls after which the objects are not what they were.
var endsIt = regexp.MustCompile(`^DELETE|delete|/rename$|/remove-experiments$`)

// canFail are calls that answer 400 also when all is allowed: there is no S3, and no upload was begun.
func canFail(call string) bool {
	return strings.Contains(call, "presigned") || strings.Contains(call, "/mpu/") || strings.Contains(call, "datasets/create")
}

const ownBeside = "with own objects beside"

// variants say the same in ways that a second reader of requests might read otherwise.
func variants(m, own message) map[string]message {
	out := map[string]message{}
	put := func(what string, change func(*message)) {
		v := m
		v.header = slices.Clone(m.header)
		change(&v)
		out[what] = v
	}
	asJSON := strings.HasPrefix(m.body, "{") && m.call != "POST /v1/traces"
	if m.method == http.MethodGet && m.query != "" {
		put("own objects in the body", func(v *message) { v.body = jsonText(own.fields) })
		put("own objects in other spelling", func(v *message) { v.query += "&" + queryOf(camel(own.fields)) })
		put("own objects behind", func(v *message) { v.query += "&" + own.query })
		put("encoded", func(v *message) { v.query = encoded(v.query) })
		put("with unknown fields", func(v *message) { v.query += "&" + queryOf(unknown(m, own)) })
		put("in a body", func(v *message) { v.query, v.body = "", jsonText(m.fields) })
	}
	if !asJSON {
		return out
	}
	put("own objects in the query", func(v *message) { v.query = queryOf(own.fields) })
	put("camel case", func(v *message) { v.body = jsonText(camel(m.fields)) })
	put("own objects in snake case, others in camel case", func(v *message) { v.body = joined(own.fields, camel(m.fields)) })
	put("own objects in camel case", func(v *message) { v.body = joined(camel(own.fields), m.fields) })
	put("own objects first", func(v *message) { v.body = joined(own.fields, m.fields) })
	put("escaped names", func(v *message) {
		v.body = regexp.MustCompile(`"([a-z])([a-z_]*)":`).ReplaceAllStringFunc(v.body, func(s string) string { return fmt.Sprintf(`"\u%04x%s`, s[1], s[2:]) })
	})
	put("encoded twice", func(v *message) { v.body = jsonText(v.body) })
	put("with unknown fields", func(v *message) { v.body = joined(unknown(m, own), m.fields) })
	put(ownBeside, func(v *message) {
		v.body = jsonText(maps.Collect(func(yield func(string, any) bool) {
			for k, f := range m.fields {
				if list, ok := f.([]any); ok && len(list) > 0 {
					if mine, ok := own.fields[k].([]any); ok {
						f = append(append(slices.Clone(mine), list...), "")
					}
				}
				if !yield(k, f) {
					return
				}
			}
		}))
	})
	put("in wrong types", func(v *message) {
		v.body = jsonText(maps.Collect(func(yield func(string, any) bool) {
			for k, f := range m.fields {
				if s, ok := f.(string); ok {
					f = []any{s}
				}
				if !yield(k, f) {
					return
				}
			}
		}))
	})
	return out
}

func camel(fields map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range fields {
		if inner, ok := v.(map[string]any); ok {
			v = camel(inner)
		}
		out[mlwire.Camel(k)] = v
	}
	return out
}

// joined writes two objects as one, in which names may stand twice.
func joined(first, second map[string]any) string {
	a, b := jsonText(first), jsonText(second)
	switch {
	case len(first) == 0:
		return b
	case len(second) == 0:
		return a
	}
	return strings.TrimSuffix(a, "}") + "," + strings.TrimPrefix(b, "{")
}

// unknown are own objects in all fields that the request does not have.
func unknown(m, own message) map[string]any {
	out := map[string]any{}
	for name, kind := range map[string]string{"experiment_id": "experiment", "run_id": "run", "model_id": "logged_model", "trace_id": "trace", "request_id": "trace", "name": "registered_model"} {
		if _, known := m.fields[name]; !known {
			out[name] = own.ids[kind]
		}
	}
	return out
}

func encoded(query string) string {
	var out strings.Builder
	for i := range len(query) {
		c := query[i]
		if c == '=' || c == '&' || c == '+' || c == '%' || i > 0 && query[i-1] == '%' || i > 1 && query[i-2] == '%' {
			out.WriteByte(c)
			continue
		}
		fmt.Fprintf(&out, "%%%02X", c)
	}
	return out.String()
}

// TestGoverned_sifted searches experiments of one's own, of others and the
// empty id, which is experiment 0: only the own ones are looked into.
func TestGoverned_sifted(t *testing.T) {
	w := govern(t)
	alice, mallory := w.own["alice"], w.own["mallory"]
	for _, c := range []struct{ call, list, kind string }{{"runs/search", "runs", "run"}, {"logged-models/search", "models", "logged_model"}} {
		m := message{method: "POST", path: "/api/2.0/mlflow/" + c.call, body: fmt.Sprintf(`{"experiment_ids":[%q,%q,"","0","999"]}`, alice["experiment"], mallory["experiment"])}
		status, answer := w.ask(m, "mallory")
		list, _ := answer[c.list].([]any)
		if said := fmt.Sprint(answer); status != http.StatusOK || len(list) != 1 || !strings.Contains(said, mallory[c.kind]) {
			t.Errorf("%s: %d %v", c.call, status, answer)
		}
		m.body = fmt.Sprintf(`{"experiment_ids":[%q,""]}`, alice["experiment"])
		m.call = c.call
		w.refused(t, m, "mallory", "without own experiments", http.StatusForbidden)
	}
	query := fmt.Sprintf(`{mlflowSearchRuns(input:{experimentIds:[%q,%q]}){runs{info{runId}}}}`, alice["experiment"], mallory["experiment"])
	_, answer := w.ask(message{method: "POST", path: "/graphql", body: jsonText(map[string]any{"query": query})}, "mallory")
	if runs, _ := dig(answer, "data", "mlflowSearchRuns", "runs").([]any); len(runs) != 1 || dig(runs[0], "info", "runId") != mallory["run"] {
		t.Errorf("GraphQL: %v", answer)
	}
}

// TestGoverned_mixed names something of one's own first and reaches for something else.
func TestGoverned_mixed(t *testing.T) {
	w := govern(t)
	alice, mallory := w.own["alice"], w.own["mallory"]
	spans := requestOf(server.Endpoint{Method: "POST", Pattern: "/v1/traces", Request: &struct{}{}}, alice)
	spans.header[1] = mallory["experiment"]
	at := func(location string) message {
		return message{method: "POST", path: "/api/2.0/mlflow/experiments/create", body: fmt.Sprintf(`{"name":%q,"artifact_location":%q}`, "at "+location, location)}
	}
	aRun := strings.TrimSuffix(alice["path"], "/a")
	cases := map[string]message{
		"ArtifactsAtARunOfAnother":   at("mlflow-artifacts:/" + aRun),
		"ArtifactsInCapitals":        at("MLFLOW-ARTIFACTS:/" + aRun),
		"ArtifactsOfAVariant":        at("mlflow-artifacts+x:/" + aRun),
		"ArtifactsWithoutASlash":     at("mlflow-artifacts:" + aRun),
		"ArtifactsInWhatClimbs":      at("mlflow-artifacts:/x/../" + aRun),
		"ArtifactsInADot":            at("mlflow-artifacts:/./" + aRun),
		"ArtifactsInAnEncodedDot":    at("mlflow-artifacts:/%252e/" + aRun),
		"ArtifactsInNoName":          at("mlflow-artifacts:/x//../" + aRun),
		"ArtifactsAtAnothersFolder":  at("mlflow-artifacts:/" + alice["experiment"]),
		"ArtifactsInTheWorkspace":    at("mlflow-artifacts:/workspaces/default/" + alice["experiment"] + "/x"),
		"ArtifactsInAnother":         at("mlflow-artifacts:/workspaces/team-b/x"),
		"ArtifactsWithSlashes":       at("mlflow-artifacts:///" + alice["experiment"] + "/"),
		"SpansIntoATraceOfAnother":   spans,
		"TraceIntoATraceOfAnother":   {method: "POST", path: "/api/3.0/mlflow/traces", body: traceBody(alice["trace"], mallory["experiment"])},
		"ATraceInNoExperiment":       {method: "POST", path: "/api/3.0/mlflow/traces", body: traceBody("tr-1", "")},
		"ARunInNoExperiment":         {method: "POST", path: "/api/2.0/mlflow/runs/create", body: `{"start_time":1}`},
		"AMetricOfAModelOfAnother":   {method: "POST", path: "/api/2.0/mlflow/runs/log-batch", body: fmt.Sprintf(`{"run_id":%q,"metrics":[{"key":"a","value":1,"timestamp":1},{"key":"b","value":1,"timestamp":1,"model_id":%q}]}`, mallory["run"], alice["logged_model"])},
		"ADatasetWithAnExperiment":   {method: "GET", path: "/api/3.0/mlflow/datasets/" + alice["dataset"], query: "experiment_id=" + mallory["experiment"]},
		"ADatasetIntoAnother":        {method: "POST", path: "/api/3.0/mlflow/datasets/" + mallory["dataset"] + "/add-experiments", body: fmt.Sprintf(`{"experiment_ids":[%q]}`, alice["experiment"])},
		"AVersionOfAnothersFiles":    {method: "POST", path: "/api/2.0/mlflow/model-versions/create", body: fmt.Sprintf(`{"name":%q,"source":%q}`, mallory["registered_model"], alice["source"])},
		"UploadIntoAnothersFolder":   {method: "POST", path: "/api/2.0/mlflow-artifacts/mpu/create/" + alice["experiment"], body: `{"path":"a","num_parts":1}`},
		"UploadWithTheFolderInside":  {method: "POST", path: "/api/2.0/mlflow-artifacts/mpu/create/", body: fmt.Sprintf(`{"path":%q,"num_parts":1}`, alice["path"])},
		"GraphQLBehindAnOwnRun":      {method: "POST", path: "/graphql", body: jsonText(map[string]any{"query": fmt.Sprintf(`{a:mlflowListArtifacts(input:{runId:%q}){files{path}} b:mlflowGetRun(input:{runId:%q}){run{info{runUuid}}}}`, mallory["run"], mallory["run"])})},
		"AssessmentNamesAnotherPath": {method: "POST", path: "/api/3.0/mlflow/traces/" + alice["trace"] + "/assessments", body: fmt.Sprintf(`{"trace_id":%q,"assessment":{"trace_id":%q,"assessment_name":"a","source":{"source_type":"HUMAN","source_id":"x"},"feedback":{"value":1}}}`, mallory["trace"], mallory["trace"])},
	}
	for name, m := range cases {
		t.Run(name, func(t *testing.T) {
			m.call = name
			if name == "GraphQLBehindAnOwnRun" {
				w.refused(t, m, "mallory", "mixed", http.StatusOK) // both are hers
				m.body = strings.Replace(m.body, mallory["run"], alice["run"], 1)
				if _, answer := w.ask(m, "mallory"); dig(answer, "data", "a") != nil || dig(answer, "data", "b") == nil {
					t.Errorf("got %v", answer)
				}
				return
			}
			statuses := []int{http.StatusForbidden}
			if strings.HasPrefix(name, "ArtifactsIn") {
				statuses = append(statuses, http.StatusBadRequest) // of an address that nobody may give
			}
			w.refused(t, m, "mallory", "mixed", statuses...)
		})
	}
}

// TestGoverned_defaultOfAWorkspace: other workspaces call their default
// experiment 0, too; what counts is its number.
func TestGoverned_defaultOfAWorkspace(t *testing.T) {
	w := govern(t)
	as := func(user string) []string { return []string{"X-Mlflow-Workspace", "team-b", "User", user} }
	run := dig(w.must("POST", "runs/create", `{"experiment_id":"0"}`, as("admin")...), "run", "info")
	exp := run.(map[string]any)["experiment_id"]
	for _, id := range []any{"0", "", exp} {
		if status, answer := w.do("POST", "/api/2.0/mlflow/runs/search", fmt.Sprintf(`{"experiment_ids":["%v"]}`, id), as("mallory")...); status != http.StatusForbidden {
			t.Errorf("%q: %d %v", id, status, answer)
		}
	}
	w.do("POST", "/api/3.0/mlflow/users/permissions/grant", fmt.Sprintf(`{"username":"mallory","resource_type":"experiment","resource_id":%q,"permission":"READ"}`, exp), as("admin")...)
	for _, id := range []any{"0", "", "00", exp} {
		if status, answer := w.do("POST", "/api/2.0/mlflow/runs/search", fmt.Sprintf(`{"experiment_ids":["%v"]}`, id), as("mallory")...); status != http.StatusOK {
			t.Errorf("%q: %d %v", id, status, answer)
		}
	}
}

// TestGoverned_deniedBelow: who may use an experiment, but not its runs, models
// or traces, finds none of them by way of the experiment.
func TestGoverned_deniedBelow(t *testing.T) {
	w := govern(t)
	alice := w.own["alice"]
	w.v3("POST", "users/permissions/grant", fmt.Sprintf(`{"username":"mallory","resource_type":"experiment","resource_id":%q,"permission":"MANAGE"}`, alice["experiment"]), "admin")
	deny := func(tier string) {
		role := dig(w.v3("POST", "roles/create", `{"name":"no `+tier+`","workspace":"default"}`, "admin"), "role", "id")
		w.v3("POST", "roles/permissions/add", fmt.Sprintf(`{"role_id":%v,"resource_type":%q,"resource_pattern":"*","permission":"DENY"}`, role, tier), "admin")
		w.v3("POST", "roles/assign", fmt.Sprintf(`{"role_id":%v,"username":"mallory"}`, role), "admin")
	}
	calls := map[string]*regexp.Regexp{
		"run":          regexp.MustCompile(`/runs/|/metrics/|artifacts/list|get-artifact$|/upload-artifact|presigned-|/promptlab`),
		"logged_model": regexp.MustCompile(`/logged-models`),
		"trace":        regexp.MustCompile(`/traces|get-trace-artifact`),
		"review_queue": regexp.MustCompile(`/review-queues`),
		"scorer":       regexp.MustCompile(`/scorers`),
		"assessment":   regexp.MustCompile(`/assessments`),
	}
	for tier, affected := range calls {
		deny(tier)
		n := 0
		for _, e := range w.endpoints {
			call := callOf(e)
			if e.Permission.IsPublic() || forAdmins[call] != "" || isOpen(call) || !affected.MatchString(call) || strings.HasPrefix(e.Pattern, "/model-versions") {
				continue
			}
			n++
			w.refused(t, requestOf(e, alice), "mallory", "without "+tier, http.StatusForbidden)
		}
		if n < 8 {
			t.Errorf("only %d routes of %s", n, tier)
		}
	}
	status, answer := w.do("POST", "/graphql", jsonText(map[string]any{"query": fmt.Sprintf(`mutation{mlflowSearchRuns(input:{experimentIds:[%q]}){runs{info{runUuid}}}}`, alice["experiment"])}), "User", "mallory")
	if dig(answer, "data", "mlflowSearchRuns") != nil {
		t.Errorf("GraphQL: %d %v", status, answer)
	}
}

// TestGoverned_scorers: a scorer has grants of its own, and who registers it may delete it.
func TestGoverned_scorers(t *testing.T) {
	w := govern(t)
	exp := w.own["alice"]["experiment"]
	grant := func(kind, id, permission string) {
		w.v3("POST", "users/permissions/grant", fmt.Sprintf(`{"username":"mallory","resource_type":%q,"resource_id":%q,"permission":%q}`, kind, id, permission), "admin")
	}
	scorer := func(method, call, name string) int {
		status, _ := w.do(method, "/api/3.0/mlflow/scorers/"+call, fmt.Sprintf(`{"experiment_id":%q,"name":%q,"serialized_scorer":"{}"}`, exp, name), "User", "mallory")
		return status
	}
	grant("experiment", exp, "EDIT")
	for _, step := range []struct {
		method, call, name string
		want               int
	}{
		{"POST", "register", "my / scorer", 200},
		{"DELETE", "delete", "s", 403},
		{"DELETE", "delete", "my / scorer", 200},
		{"POST", "register", "mine", 200},
	} {
		if got := scorer(step.method, step.call, step.name); got != step.want {
			t.Errorf("%s %s: %d, want %d", step.call, step.name, got, step.want)
		}
	}
	grant("scorer", exp+"/s", "DENY")
	if got := scorer("POST", "register", "s"); got != http.StatusForbidden {
		t.Errorf("a version of a scorer that is denied: %d", got)
	}
	status, answer := w.do("GET", "/api/3.0/mlflow/users/permissions/get?username=mallory&resource_type=scorer&resource_id="+exp+"/my%20%252F%20scorer", "", "User", "admin")
	if answer["permission"] != access.None {
		t.Errorf("the grant on a deleted scorer: %d %v", status, answer)
	}
}

// mildDeletes are calls that delete something and need no right to delete,
// because what they take away is a part of an object that is changed thereby.
var mildDeletes = regexp.MustCompile(`/tags(/|$)|-tag$|/alias(es)?(/|$)|/records$|/assessments/|/mcp-servers/\{(name|plain)\}/(versions|endpoints)/`)

// readingPosts are calls that change nothing although their method could.
var readingPosts = regexp.MustCompile(`/search(-datasets)?$|/get-latest-versions$|/batchGetInfos$|/calculate-filter-correlation$|/traces/metrics$|/graphql$|presigned-download-url$`)

// TestGoverned_plainNames: however the slash in the name of an MCP server is
// written, who has EDIT may do all but delete.
func TestGoverned_plainNames(t *testing.T) {
	w := govern(t)
	w.must("POST", "users/create", `{"username":"editor","password":"password of editor"}`, "User", "admin")
	w.v3("POST", "users/permissions/grant", fmt.Sprintf(`{"username":"editor","resource_type":"mcp_server","resource_id":%q,"permission":"EDIT"}`, w.own["alice"]["mcp_server"]), "admin")
	n := 0
	for _, e := range w.endpoints {
		if !strings.Contains(e.Pattern, "/api/3.0/mlflow/mcp-servers/{") {
			continue
		}
		n++
		m := requestOf(e, w.own["alice"])
		status, answer := w.ask(m, "editor")
		if refused := status == http.StatusForbidden; refused != (e.Permission.Verb == "delete") {
			t.Errorf("%s: %d %v", m.call, status, answer)
		}
	}
	if n < 40 {
		t.Errorf("only %d calls", n)
	}
}

// TestGoverned_verbs: the permission of each route is as strong as what it
// does; beside Kubernetes it is all that counts.
func TestGoverned_verbs(t *testing.T) {
	w := govern(t)
	for _, e := range w.endpoints {
		verb, call := e.Permission.Verb, callOf(e)
		reads := verb == "get" || verb == "list"
		switch {
		case e.Permission.IsPublic() || verb == "erase":
		case e.Method == http.MethodGet || readingPosts.MatchString(call):
			if !reads {
				t.Errorf("%s only reads and asks for %s", call, verb)
			}
		case reads:
			t.Errorf("%s changes something and asks for %s", call, verb)
		case (e.Method == http.MethodDelete || strings.Contains(call, "delete")) && !mildDeletes.MatchString(call) && verb != "delete":
			t.Errorf("%s deletes and asks for %s", call, verb)
		}
	}
}
