package unserved

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
)

type nobody struct{}

func (nobody) Authenticate(*http.Request) (server.User, error) {
	return server.User{}, server.ErrUnauthenticated
}

func (nobody) Authorize(context.Context, server.User, server.Permission, string) error { return nil }

func TestEndpoints(t *testing.T) {
	h, err := server.New(server.Options{Authenticator: nobody{}, Authorizer: nobody{}, Logger: slog.New(slog.DiscardHandler), Endpoints: Endpoints(mlwire.Codec{}), Hosts: []string{"example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	for call, name := range map[string]string{
		"POST /api/3.0/mlflow/gateway/endpoints/create":          "AI gateway",
		"GET /ajax-api/3.0/mlflow/gateway/secrets/list":          "AI gateway",
		"PATCH /api/3.0/mlflow/gateway/guardrails/update-config": "AI gateway",
		"POST /gateway/mine/mlflow/invocations":                  "AI gateway",
		"POST /ajax-api/2.0/mlflow/gateway-proxy":                "AI gateway",
		"GET /ajax-api/3.0/mlflow/assistant/config":              "assistant",
		"POST /ajax-api/3.0/jobs/search":                         "jobs",
		"PATCH /ajax-api/3.0/mlflow/jobs/cancel/1":               "jobs",
		"POST /ajax-api/3.0/mlflow/demo/generate":                "kiwerk demo",
		"POST /ajax-api/3.0/mlflow/scorer/invoke":                "mlflow.genai.evaluate()",
	} {
		method, path, _ := strings.Cut(call, " ")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
		var got struct {
			Code    string `json:"error_code"`
			Message string `json:"message"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusNotImplemented || got.Code != "NOT_IMPLEMENTED" || !strings.Contains(got.Message, name) {
			t.Errorf("%s: %d %s", call, w.Code, w.Body)
		}
	}
}
