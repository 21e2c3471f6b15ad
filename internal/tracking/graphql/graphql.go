package graphql

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
)

//go:embed schema.graphql
var schemaText string

// Call answers a request of the REST API, if the judge lets it: both are JSON
// objects, and the request's fields may be in camel case.
type Call = func(ctx context.Context, judge server.Judge, request []byte) ([]byte, error)

// Options of a handler.
type Options struct {
	// Calls by the name of the root field, without mlflow: GetRun, SearchRuns, …
	Calls  map[string]Call
	Limits Limits
	Codec  mlwire.Codec
}

// Limits of one query; 0 is 10.
type Limits struct{ RootFields, Aliases int }

// LimitsOf reads them from upstream's variables of the environment.
func LimitsOf(getenv func(string) string) (l Limits, err error) {
	for name, n := range map[string]*int{"MLFLOW_SERVER_GRAPHQL_MAX_ROOT_FIELDS": &l.RootFields, "MLFLOW_SERVER_GRAPHQL_MAX_ALIASES": &l.Aliases} {
		v := getenv(name)
		if v == "" {
			continue
		}
		if *n, err = strconv.Atoi(v); err != nil || *n < 1 {
			return l, fmt.Errorf("%s is %q; it must be a number from 1", name, v)
		}
	}
	return l, nil
}

// Handler answers queries.
type Handler struct {
	calls          map[string]Call
	codec          mlwire.Codec
	schema         *ast.Schema
	roots, aliases int
}

// permissions of the root fields.
var permissions = map[string]server.Permission{
	"GetExperiment":                server.Can("get", route.Experiments),
	"GetRun":                       server.Can("get", route.Experiments),
	"GetMetricHistoryBulkInterval": server.Can("get", route.Experiments),
	"ListArtifacts":                server.Can("list", route.Artifacts),
	"SearchRuns":                   server.Can("list", route.Experiments),
	"SearchDatasets":               server.Can("list", route.Experiments),
	"SearchModelVersions":          server.Can("list", route.Registered),
}

// New checks that every field has its call.
func New(o Options) (*Handler, error) {
	schema, err := gqlparser.LoadSchema(&ast.Source{Name: "schema.graphql", Input: schemaText})
	if err != nil {
		return nil, fmt.Errorf("graphql schema: %w", err)
	}
	for name := range permissions {
		if o.Calls[name] == nil {
			return nil, fmt.Errorf("graphql: no call for %s", name)
		}
	}
	h := &Handler{calls: o.Calls, codec: o.Codec, schema: schema, roots: o.Limits.RootFields, aliases: o.Limits.Aliases}
	if h.roots == 0 {
		h.roots = maxRoots
	}
	if h.aliases == 0 {
		h.aliases = maxRoots
	}
	return h, nil
}

// Endpoints are the route, for both methods. Every field asks for more
// permission than the route, which gives nothing by itself, and the judge is
// asked about each call.
func (h *Handler) Endpoints() (list []server.Endpoint) {
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		list = append(list, server.Endpoint{
			Method: method, Pattern: "/graphql", Permission: server.Can("get", route.Experiments), MaxBody: route.Small,
			Summary: "what MLflow's web page asks", Codec: h.codec, Handler: server.Judged(h.serve), Request: &judgedByCall{},
		})
	}
	return list
}

// judgedByCall is a query: what it names stands in its calls, each of which is judged.
type judgedByCall struct{ route.Scope }

type request struct {
	Query         string         `json:"query"`
	Variables     map[string]any `json:"variables"`
	OperationName string         `json:"operationName"`
}

func (h *Handler) serve(w http.ResponseWriter, r *http.Request, judge server.Judge) {
	q, err := decode(r)
	if err != nil {
		h.codec.Error(w, r, err)
		return
	}
	data, problems := h.execute(r.Context(), q, judge)
	if data == nil {
		data = []byte("null")
	}
	server.WriteJSON(w, http.StatusOK, struct {
		Data   json.RawMessage `json:"data"`
		Errors []string        `json:"errors"`
	}{data, problems})
}

func decode(r *http.Request) (q request, err error) {
	if values := r.URL.Query(); r.Method == http.MethodGet && values.Has("query") {
		q.Query, q.OperationName = values.Get("query"), values.Get("operationName")
		if v := values.Get("variables"); v != "" {
			err = json.Unmarshal([]byte(v), &q.Variables)
		}
	} else {
		d := json.NewDecoder(r.Body)
		d.UseNumber() // ids and steps have 64 bits
		err = d.Decode(&q)
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return q, err
	case err != nil:
		return q, model.Invalid("The request is no GraphQL request: %w", err)
	case q.Query == "":
		return q, mlwire.Missing("query")
	}
	return q, nil
}

// execute answers a query; data is nil if it was not begun.
func (h *Handler) execute(ctx context.Context, q request, judge server.Judge) (data []byte, problems []string) {
	doc, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: q.Query}, maxTokens)
	if err != nil {
		return nil, messages(err)
	}
	if err := h.check(doc); err != nil {
		return nil, messages(err)
	}
	if list := validator.ValidateWithRules(h.schema, doc, nil); len(list) > 0 {
		for _, e := range list {
			problems = append(problems, e.Message)
		}
		return nil, problems
	}
	op := doc.Operations.ForName(q.OperationName)
	if op == nil {
		return nil, messages(errNoOperation)
	}
	plain, err := plainNumbers(q.Variables)
	if err != nil {
		return nil, messages(err)
	}
	variables, err := validator.VariableValues(h.schema, op, plain)
	if err != nil {
		return nil, messages(err)
	}
	x := &execution{Handler: h, judge: judge, doc: doc, variables: variables, experiments: map[any]any{}, versions: map[string][]any{}}
	return x.operation(ctx, op), x.problems
}

// plainNumbers gives variables the types that the validator knows.
func plainNumbers(variables map[string]any) (map[string]any, error) {
	out := make(map[string]any, len(variables))
	for k, v := range variables {
		n, err := plainNumber(v)
		if err != nil {
			return nil, err
		}
		out[k] = n
	}
	return out, nil
}

func plainNumber(v any) (any, error) {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n, nil
		}
		return v.Float64()
	case map[string]any:
		return plainNumbers(v)
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			n, err := plainNumber(e)
			if err != nil {
				return nil, err
			}
			out[i] = n
		}
		return out, nil
	}
	return v, nil
}

func messages(err error) []string {
	var e *gqlerror.Error
	if errors.As(err, &e) {
		if e.Path != nil {
			return []string{e.Path.String() + ": " + e.Message}
		}
		return []string{e.Message}
	}
	return []string{err.Error()}
}
