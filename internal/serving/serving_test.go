package serving

import (
	"context"
	"errors"
	"testing"
)

type registry map[string]Model

func (r registry) ResolveModel(_ context.Context, _, uri string) (Model, error) {
	m, ok := r[uri]
	if !ok {
		return Model{}, ErrModelNotFound
	}
	return m, nil
}

var policy = Policy{FileRoots: []string{"/srv/models", "/opt/m/"}}

func TestLocate(t *testing.T) {
	known := registry{"models:/m@champion": {Name: "m", Version: "3", Source: "mlflow-artifacts:/0/r/artifacts/model"}}
	cases := map[string]struct {
		uri, source string
		err         error
	}{
		"Alias":              {"models:/m@champion", "mlflow-artifacts:/0/r/artifacts/model", nil},
		"UnknownAlias":       {"models:/m@nobody", "", ErrModelNotFound},
		"UnknownRun":         {"runs:/abc/model", "", ErrModelNotFound},
		"HTTPS":              {"https://models.example/m.onnx", "https://models.example/m.onnx", nil},
		"Credentials":        {"https://user:secret@models.example/m.onnx", "", ErrNotPermitted},
		"BelowRoot":          {"file:///srv/models/a/m.onnx", "file:///srv/models/a/m.onnx", nil},
		"RootItself":         {"file:///opt/m", "file:///opt/m", nil},
		"Beside":             {"file:///srv/models-secret/m.onnx", "", ErrNotPermitted},
		"Above":              {"file:///etc/passwd", "", ErrNotPermitted},
		"ClimbsOut":          {"file:///srv/models/../../etc/passwd", "", ErrNotPermitted},
		"ClimbsOutEncoded":   {"file:///srv/models/%2e%2e/%2e%2e/etc/passwd", "", ErrNotPermitted},
		"Host":               {"file://server/srv/models/m.onnx", "", ErrNotPermitted},
		"Relative":           {"file:srv/models/m.onnx", "", ErrNotPermitted},
		"UnknownScheme":      {"gs://bucket/m", "", ErrInvalidAddress},
		"NoAddress":          {"://", "", ErrInvalidAddress},
		"NoSchemeJustFolder": {"/srv/models/m.onnx", "", ErrInvalidAddress},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m, err := Locate(t.Context(), known, policy, "default", c.uri)
			if !errors.Is(err, c.err) || m.Source != c.source {
				t.Errorf("got %q, %v; want %q, %v", m.Source, err, c.source, c.err)
			}
		})
	}
}

func FuzzLocate(f *testing.F) {
	for _, seed := range []string{"models:/m@a", "file:///srv/models/m", "file:///srv/models/%2e%2e/x", "https://a@b/", "runs:/r/p", "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		m, err := Locate(t.Context(), registry{}, policy, "default", uri)
		if err == nil && m.Source == "" {
			t.Errorf("%q leads nowhere without an error", uri)
		}
	})
}
