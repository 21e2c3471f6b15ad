package cli

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kiwerk/kiwerk/internal/text"
	"github.com/kiwerk/kiwerk/internal/tracking/client"
)

// serveWith runs kiwerk tracking serve with an environment.
func serveWith(t *testing.T, environment map[string]string, args ...string) (result, ServeOptions) {
	t.Helper()
	r, seen := run(t, environment, append([]string{"tracking", "serve"}, args...)...)
	var o ServeOptions
	if len(seen) > 0 {
		o, _ = seen[0].(ServeOptions)
	}
	return r, o
}

func TestTrackingServe_refusesPorts(t *testing.T) {
	for _, port := range []string{"99999", "-1", "65536"} {
		for lang, want := range map[string]string{"en": "a number from 0 to 65535", "de": "eine Zahl von 0 bis 65535"} {
			if r, _ := serveWith(t, nil, "--port="+port, "--lang="+lang); r.code != ExitUsage || !strings.Contains(r.err, "--port "+port) || !strings.Contains(r.err, want) {
				t.Errorf("%s: code %d, %s", port, r.code, r.err)
			}
		}
	}
	if r, o := serveWith(t, map[string]string{"MLFLOW_PORT": "65535"}); r.code != ExitOK || o.Port != 65535 {
		t.Errorf("code %d, port %d, %s", r.code, o.Port, r.err)
	}
}

// TestTrackingServe_environment: each flag that upstream reads from the environment is taken from there, and a flag wins.
func TestTrackingServe_environment(t *testing.T) {
	r, o := serveWith(t, map[string]string{
		"MLFLOW_HOST": "127.0.0.2", "MLFLOW_PORT": "6000", "MLFLOW_WORKERS": "8", "MLFLOW_BACKEND_STORE_URI": "sqlite:///a.db",
		"MLFLOW_REGISTRY_STORE_URI": "sqlite:///a.db", "MLFLOW_WORKSPACE_STORE_URI": "sqlite:///a.db", "MLFLOW_READ_REPLICA_BACKEND_STORE_URI": "sqlite:///b.db",
		"MLFLOW_DEFAULT_ARTIFACT_ROOT": "s3://b/r", "MLFLOW_ARTIFACTS_DESTINATION": "s3://b/d", "MLFLOW_SERVE_ARTIFACTS": "False", "MLFLOW_STATIC_PREFIX": "/ml",
		"MLFLOW_UVICORN_OPTS": "--ssl-certfile c.pem --ssl-keyfile=k.pem", "MLFLOW_EXPOSE_PROMETHEUS": "/tmp/p", "MLFLOW_ENABLE_WORKSPACES": "1",
		"MLFLOW_SERVER_ALLOWED_HOSTS": "a,b", "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": "https://c", "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE": "true", "MLFLOW_SERVER_X_FRAME_OPTIONS": "DENY",
	}, "--port=7000")
	want := ServeOptions{
		Host: "127.0.0.2", Port: 7000, BackendStore: "sqlite:///a.db", RegistryStore: "sqlite:///a.db", WorkspaceStore: "sqlite:///a.db",
		ArtifactRoot: "s3://b/r", Artifacts: "s3://b/d", StaticPrefix: "/ml", CertFile: "c.pem", KeyFile: "k.pem", Metrics: true, Workspaces: true,
		AllowedHosts: []string{"a", "b"}, Origins: []string{"https://c"}, NoSecurity: true, FrameOptions: "DENY",
		Ignored: []string{"--read-replica-backend-store-uri", "--workers"},
	}
	if diff := cmp.Diff(want, o); r.code != ExitOK || diff != "" {
		t.Errorf("code %d, %s%s", r.code, r.err, diff)
	}
	for name, value := range map[string]string{
		"MLFLOW_PORT": "many", "MLFLOW_SERVE_ARTIFACTS": "yess", "MLFLOW_ENABLE_WORKSPACES": "maybe", "MLFLOW_ARTIFACTS_ONLY": "treu",
		"MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE": "maybe",
	} {
		if r, _ := serveWith(t, map[string]string{name: value}); r.code != ExitUsage || !strings.Contains(r.err, name) || !strings.Contains(r.err, value) {
			t.Errorf("%s: code %d, %s", name, r.code, r.err)
		}
	}
	for _, word := range []string{"0", "no", "Off", "F", "n"} {
		if r, o := serveWith(t, map[string]string{"MLFLOW_SERVE_ARTIFACTS": word}); r.code != ExitOK || o.ServeArtifacts {
			t.Errorf("%s: code %d, %s", word, r.code, r.err)
		}
	}
	if r, _ := serveWith(t, nil, "--x-frame-options=foo"); r.code != ExitUsage || !strings.Contains(r.err, "SAMEORIGIN") {
		t.Errorf("code %d, %s", r.code, r.err)
	}
}

func TestTrackingServe_artifactsOnly(t *testing.T) {
	if r, o := serveWith(t, nil, "--artifacts-only"); r.code != ExitOK || !o.ArtifactsOnly {
		t.Errorf("code %d, %s", r.code, r.err)
	}
	if r, _ := serveWith(t, map[string]string{"MLFLOW_BACKEND_STORE_URI": "sqlite:///x.db"}, "--artifacts-only"); r.code != ExitUsage || !strings.Contains(r.err, "--backend-store-uri") {
		t.Errorf("code %d, %s", r.code, r.err)
	}
	if r, o := serveWith(t, map[string]string{"MLFLOW_ARTIFACTS_ONLY": "true", "MLFLOW_BACKEND_STORE_URI": "sqlite:///x.db"}, "--app-name=basic-auth"); r.code != ExitOK || !o.ArtifactsOnly {
		t.Errorf("code %d, %s", r.code, r.err)
	}
}

// TestTracking_withoutAddress says how to name one.
func TestTracking_withoutAddress(t *testing.T) {
	for lang, want := range map[string]string{"en": "another server", "de": "anderer Server"} {
		for _, command := range []string{"runs", "models"} {
			var seen []any
			p, _, errs := program(&seen, nil, command, "list", "--lang="+lang)
			p.TrackingServer = func(context.Context, Session) (client.Options, error) {
				return client.Options{}, &Failure{Code: ExitNotReady, What: text.S(text.NotRunning, "/d"), Try: text.S(text.Verbatim, "kiwerk up")}
			}
			if code := Run(t.Context(), p); code != ExitNotReady {
				t.Errorf("code %d", code)
			}
			for _, word := range []string{want, "--tracking-uri", "MLFLOW_TRACKING_URI", "kiwerk tracking serve", "kiwerk up"} {
				if !strings.Contains(errs.String(), word) {
					t.Errorf("%s %s: no %q in %s", command, lang, word, errs.String())
				}
			}
		}
	}
}
