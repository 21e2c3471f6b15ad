package tracking_test

import (
	"strings"
	"testing"
	"time"

	"github.com/kiwerk/kiwerk/internal/tracking"
)

// TestRegistry_times: only what upstream counts as a change moves a version or
// its model to the front of searches.
func TestRegistry_times(t *testing.T) {
	now := time.UnixMilli(1_000_000)
	p := startAt(t, t.TempDir()+"/kiwerk.db", t.TempDir(), nil, func(d *tracking.Deps) { d.Clock = func() time.Time { return now } })
	p.must("POST", "registered-models/create", `{"name":"m"}`)
	for range 2 {
		p.must("POST", "model-versions/create", `{"name":"m","source":"s3://b/m"}`)
	}
	updated := func(call, field string) float64 {
		m, _ := p.must("GET", call, "")[field].(map[string]any)
		n, _ := m["last_updated_timestamp"].(float64)
		return n
	}
	for _, c := range []struct {
		method, call, body string
		ofModel, ofVersion bool
	}{
		{"PATCH", "model-versions/update", `{"name":"m","version":"1","description":"d"}`, false, true},
		{"POST", "model-versions/set-tag", `{"name":"m","version":"1","key":"k","value":"v"}`, false, false},
		{"DELETE", "model-versions/delete-tag", `{"name":"m","version":"1","key":"k"}`, false, false},
		{"POST", "registered-models/alias", `{"name":"m","version":"1","alias":"a"}`, false, false},
		{"POST", "registered-models/set-tag", `{"name":"m","key":"k","value":"v"}`, false, false},
		{"POST", "model-versions/transition-stage", `{"name":"m","version":"1","stage":"Staging"}`, true, true},
		{"PATCH", "registered-models/update", `{"name":"m","description":"d"}`, true, false},
		{"DELETE", "model-versions/delete", `{"name":"m","version":"2"}`, true, false},
	} {
		now = now.Add(time.Second)
		p.must(c.method, c.call, c.body)
		at := float64(now.UnixMilli())
		if got := updated("registered-models/get?name=m", "registered_model") == at; got != c.ofModel {
			t.Errorf("%s: the model is changed: %v", c.call, got)
		}
		if got := updated("model-versions/get?name=m&version=1", "model_version") == at; got != c.ofVersion {
			t.Errorf("%s: the version is changed: %v", c.call, got)
		}
	}
}

// TestRegistry_words are those that clients look for.
func TestRegistry_words(t *testing.T) {
	p := start(t, t.TempDir(), nil)
	prompt := `,"tags":[{"key":"mlflow.prompt.is_prompt","value":"true"}]}`
	p.must("POST", "registered-models/create", `{"name":"model"}`)
	p.must("POST", "registered-models/create", `{"name":"prompt"`+prompt)
	for body, want := range map[string]string{
		`{"name":"model"}`:          "Registered Model (name=model) already exists",
		`{"name":"prompt"` + prompt: "Prompt (name=prompt) already exists",
		`{"name":"model"` + prompt:  "Tried to create a prompt with name 'model', but the name is already taken by a registered model.",
		`{"name":"prompt"}`:         "Tried to create a registered model with name 'prompt', but the name is already taken by a prompt.",
	} {
		status, answer := p.do("POST", "/api/2.0/mlflow/registered-models/create", body)
		if message, _ := answer["message"].(string); status != 400 || answer["error_code"] != "RESOURCE_ALREADY_EXISTS" || !strings.Contains(message, want) {
			t.Errorf("%s: %d %v", body, status, answer)
		}
	}
	status, answer := p.do("GET", "/api/2.0/mlflow/registered-models/search?order_by=creation_timestamp+DESC", "")
	if message, _ := answer["message"].(string); status != 400 || !strings.Contains(message, "Invalid order by key 'creation_timestamp' specified") {
		t.Errorf("%d %v", status, answer)
	}
}
