package unserved

import (
	"net/http"
	"strings"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
)

// part is something that is not served.
type part struct {
	// paths as net/http has them, perhaps with a method; those below /api exist below /ajax-api, too.
	paths      []string
	name, hint string
}

var parts = []part{
	{
		[]string{"/api/3.0/mlflow/gateway/", "/api/2.0/mlflow/gateway-proxy", "/gateway/"},
		"The AI gateway (secrets, endpoints, model definitions, budgets, guardrails, invocations)",
		"call the provider of the model directly, or serve a model of your own with an InferenceService",
	},
	{
		[]string{"/ajax-api/3.0/mlflow/assistant/"},
		"The assistant",
		"use an assistant of your own with the client",
	},
	{
		[]string{"/ajax-api/3.0/jobs/", "/ajax-api/3.0/mlflow/jobs/"},
		"The jobs of MLflow's server",
		"run the work as a workflow (kiwerk pipeline submit) or in your own process",
	},
	{
		[]string{"POST /ajax-api/3.0/mlflow/scorer/invoke", "POST /ajax-api/3.0/mlflow/issues/invoke", "POST /ajax-api/3.0/mlflow/genai/evaluate/invoke"},
		"Evaluation inside the server", "run mlflow.genai.evaluate() in your own process; its results are stored here",
	},
	{
		[]string{"/ajax-api/3.0/mlflow/demo/"}, "MLflow's demo data", "run `kiwerk demo` instead",
	},
	{
		[]string{"/api/2.0/mlflow/unified-traces", "/api/2.0/mlflow/get-online-trace-details"}, "This call, which only Databricks has,", "use mlflow.search_traces() instead",
	},
}

// Endpoints are the routes that say what is not served.
func Endpoints(codec mlwire.Codec) []server.Endpoint {
	open := server.Public("it only says what this server does not have")
	var list []server.Endpoint
	for _, p := range parts {
		for _, path := range p.paths {
			method := ""
			if m, rest, ok := strings.Cut(path, " "); ok {
				method, path = m, rest
			}
			e := server.Endpoint{
				Method: method, Pattern: path, Permission: open, Codec: codec, Summary: p.name + ": not served",
				Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					err := server.Errorf(http.StatusNotImplemented, "NOT_IMPLEMENTED", "%s is not served by this tracking server.", p.name)
					err.Remedy = p.hint
					codec.Error(w, r, err)
				}),
			}
			if strings.HasPrefix(path, "/api/") {
				list = append(list, route.Both(e)...)
			} else {
				list = append(list, e)
			}
		}
	}
	return list
}
