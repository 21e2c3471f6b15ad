package tracking_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking"
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
)

// platform is tracking behind the HTTP server.
type platform struct {
	*tracking.Service
	t       testing.TB
	handler http.Handler
	db      *store.Store
	bucket  blob.Bucket
}

// rights decides by permission and namespace.
type rights func(p server.Permission, namespace string) bool

func (rights) Authenticate(r *http.Request) (server.User, error) {
	if r.Header.Get("Authorization") == "none" {
		return server.User{}, server.ErrUnauthenticated
	}
	return server.User{Name: "anna"}, nil
}

func (f rights) Authorize(_ context.Context, _ server.User, p server.Permission, namespace string) error {
	if f != nil && !f(p, namespace) {
		return errors.New("no role")
	}
	return nil
}

func start(tb testing.TB, dir string, may rights) *platform {
	tb.Helper()
	return startAt(tb, filepath.Join(dir, "kiwerk.db"), dir, may)
}

// startAt is start with a database of its own choice.
func startAt(tb testing.TB, database, dir string, may rights, changes ...func(*tracking.Deps)) *platform {
	tb.Helper()
	blobs, err := blob.OpenFolder(filepath.Join(dir, "blobs"))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := blobs.Close(); err != nil {
			tb.Error(err)
		}
	})
	return startOn(tb, database, blobs, may, changes...)
}

// startOn is start with a bucket of any kind.
func startOn(tb testing.TB, database string, blobs blob.Bucket, may rights, changes ...func(*tracking.Deps)) *platform {
	tb.Helper()
	db, err := store.Open(tb.Context(), store.Options{Path: database})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	log := slog.New(slog.DiscardHandler)
	deps := tracking.Deps{Store: db, Blobs: blobs, Clock: time.Now, NewID: tracking.RandomID, Logger: log, KeyPrefix: tracking.KeyPrefix}
	if _, ok := blobs.(*blob.Folder); !ok {
		deps.Elsewhere = func(ctx context.Context, uri string) (blob.Bucket, string, error) {
			b, err := blob.Open(ctx, uri)
			return b, "", err
		}
	}
	for _, change := range changes {
		change(&deps)
	}
	svc, err := tracking.New(tb.Context(), deps)
	if err != nil {
		tb.Fatal(err)
	}
	h, err := server.New(server.Options{Authenticator: may, Authorizer: may, Logger: log, Endpoints: svc.Endpoints(), Hosts: []string{"example.com"}})
	if err != nil {
		tb.Fatal(err)
	}
	return &platform{svc, tb, h, db, blobs}
}

// do sends a request and reads the JSON answer.
func (p *platform) do(method, path, body string, header ...string) (int, map[string]any) {
	p.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	p.handler.ServeHTTP(w, r)
	var out map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		out = map[string]any{"text": w.Body.String()}
	}
	return w.Code, out
}

// must is do for a call of MLflow's API that works.
func (p *platform) must(method, call, body string, header ...string) map[string]any {
	p.t.Helper()
	status, out := p.do(method, "/api/2.0/mlflow/"+call, body, header...)
	if status != http.StatusOK {
		p.t.Fatalf("%s %s: %d %v", method, call, status, out)
	}
	return out
}

func (p *platform) newRun(header ...string) (id, artifacts string) {
	p.t.Helper()
	info := dig(p.must("POST", "runs/create", `{"experiment_id":"0","start_time":1}`, header...), "run", "info")
	return info.(map[string]any)["run_id"].(string), strings.TrimPrefix(info.(map[string]any)["artifact_uri"].(string), "mlflow-artifacts:/")
}

func dig(v any, path ...string) any {
	for _, p := range path {
		v = v.(map[string]any)[p]
	}
	return v
}

func (p *platform) put(path, content string, header ...string) int {
	p.t.Helper()
	status, _ := p.do("PUT", "/api/2.0/mlflow-artifacts/artifacts/"+path, content, header...)
	return status
}

// register makes a version of a model from a new run and returns the run.
func (p *platform) register(name string) string {
	p.t.Helper()
	run, artifacts := p.newRun()
	p.put(artifacts+"/model/model.onnx", "bytes of "+run)
	p.must("POST", "model-versions/create", fmt.Sprintf(`{"name":%q,"source":"mlflow-artifacts:/%s/model","run_id":%q}`, name, artifacts, run))
	return run
}

// TestService_versionsOfRunAddresses: clients read the address that a version
// was made from, also that of a run which this server does not know.
func TestService_versionsOfRunAddresses(t *testing.T) {
	p := start(t, t.TempDir(), nil)
	p.must("POST", "registered-models/create", `{"name":"digits"}`)
	run := p.register("digits")
	for _, id := range []string{run, "elsewhere"} {
		p.must("POST", "model-versions/create", fmt.Sprintf(`{"name":"digits","source":"runs:/%s/model","run_id":%[1]q}`, id))
	}
	p.must("POST", "model-versions/create", `{"name":"digits","source":"models:/digits/2"}`)
	for version, want := range map[string]string{"2": run, "3": "elsewhere", "4": run} {
		got := p.must("GET", "model-versions/get-download-uri?name=digits&version="+version, "")
		if got["artifact_uri"] != "runs:/"+want+"/model" {
			t.Errorf("version %s: %v", version, got)
		}
	}
	for version, want := range map[int64]int{2: 200, 3: 404, 4: 200} {
		v, err := p.ResolveModel(t.Context(), "default", fmt.Sprintf("models:/digits/%d", version))
		if want == 200 && (err != nil || v.ProxyPath != "0/"+run+"/artifacts/model") || want != 200 && server.AsError(err).Status != want {
			t.Errorf("version %d: %+v, %v", version, v, err)
		}
		if status, body := p.do("GET", fmt.Sprintf("/model-versions/get-artifact?name=digits&version=%d&path=model.onnx", version), ""); status != want {
			t.Errorf("file of version %d: %d %v", version, status, body)
		}
	}
}

func TestService_ResolveModel(t *testing.T) {
	p := start(t, t.TempDir(), nil)
	p.must("POST", "registered-models/create", `{"name":"digits"}`)
	first, second := p.register("digits"), p.register("digits")
	p.must("POST", "registered-models/alias", `{"name":"digits","alias":"champion","version":"1"}`)
	cases := map[string]struct {
		uri     string
		version int64
		run     string
	}{
		"Alias":  {"models:/digits@champion", 1, first},
		"Number": {"models:/digits/2", 2, second},
		"Latest": {"models:/digits/latest", 2, second},
		"Run":    {"runs:/" + second + "/model", 0, second},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := p.ResolveModel(t.Context(), "default", c.uri)
			if err != nil {
				t.Fatal(err)
			}
			want := "0/" + c.run + "/artifacts/model"
			if got.Version != c.version || got.RunID != c.run || got.ProxyPath != want || got.Key != "tracking/"+want || got.ArtifactURI != "mlflow-artifacts:/"+want {
				t.Errorf("%+v", got)
			}
		})
	}
	for uri, status := range map[string]int{
		"models:/digits@nobody": 404, "models:/none@nobody": 404, "models:/digits@a b": 400, "models:/digits/9": 404, "models:/none/1": 404, "models:/digits": 400, "models:/digits/x": 400,
		"runs:/none/model": 404, "s3://bucket/model": 400, "": 400, "runs:/" + first + "/../../x": 400,
	} {
		if _, err := p.ResolveModel(t.Context(), "default", uri); err == nil || server.AsError(err).Status != status {
			t.Errorf("%q: %v", uri, err)
		}
	}
	if _, err := p.ResolveModel(t.Context(), "other", "models:/digits/1"); server.AsError(err).Status != 404 {
		t.Errorf("another project sees the model: %v", err)
	}
}

func TestService_GoAPI(t *testing.T) {
	p := start(t, t.TempDir(), nil)
	p.must("POST", "registered-models/create", `{"name":"digits"}`)
	run := p.register("digits")
	p.must("POST", "runs/log-batch", fmt.Sprintf(`{"run_id":%q,"metrics":[{"key":"acc","value":0.9,"timestamp":1}],"params":[{"key":"C","value":"1"}],"tags":[{"key":"t","value":"x"}]}`, run))

	got, err := p.GetRun(t.Context(), "default", run)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]float64{"acc": 0.9}, got.Metrics); diff != "" || got.Params["C"] != "1" || got.Tags["t"] != "x" || got.Status != "RUNNING" {
		t.Errorf("%+v %s", got, diff)
	}
	content, err := p.Artifact(t.Context(), "default", run, "model/model.onnx")
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(content)
	if err := errors.Join(err, content.Close()); err != nil || string(b) != "bytes of "+run {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := p.Artifact(t.Context(), "default", run, "reference.csv"); !blob.IsNotExist(err) {
		t.Errorf("got %v", err)
	}
	for _, path := range []string{"../../x", "/etc/passwd", "%2e%2e/x", ""} {
		if _, err := p.Artifact(t.Context(), "default", run, path); err == nil {
			t.Errorf("%q could be opened", path)
		}
	}
	if err := p.SetAlias(t.Context(), "default", "digits", "canary", 1); err != nil {
		t.Error(err)
	}
	if err := p.SetModelVersionTag(t.Context(), "default", "digits", 1, "gate", "passed"); err != nil {
		t.Error(err)
	}
	v, err := p.ResolveModel(t.Context(), "default", "models:/digits@canary")
	if err != nil || v.Tags["gate"] != "passed" || len(v.Aliases) != 1 {
		t.Errorf("%+v, %v", v, err)
	}
	if err := p.DeleteAlias(t.Context(), "default", "digits", "canary"); err != nil {
		t.Error(err)
	}
}

func TestService_Changes(t *testing.T) {
	p := start(t, t.TempDir(), nil)
	ctx, cancel := context.WithCancel(t.Context())
	changes := p.Changes(ctx)
	p.must("POST", "registered-models/create", `{"name":"digits"}`)
	p.register("digits")
	if got := <-changes; !strings.HasSuffix(got.Artifact, "artifacts/model/model.onnx") || got.Namespace != "default" || got.Model != "" {
		t.Errorf("after an upload: %+v", got)
	}
	want := tracking.Change{Namespace: "default", Model: "digits"}
	if got := <-changes; got != want {
		t.Errorf("after a new version: %+v", got)
	}
	p.must("POST", "registered-models/alias", `{"name":"digits","alias":"a","version":"1"}`)
	if got := <-changes; got != want {
		t.Errorf("after a new alias: %+v", got)
	}
	if status, _ := p.do("POST", "/api/2.0/mlflow/registered-models/alias", `{"name":"digits","alias":"a","version":"7"}`); status != 404 {
		t.Errorf("status %d", status)
	}
	for range 200 { // more than a listener's backlog
		if err := p.SetModelVersionTag(t.Context(), "default", "digits", 1, "k", "v"); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	missed := false
	for c := range changes {
		missed = missed || c == tracking.Change{}
	}
	if !missed {
		t.Error("a listener that was too slow was not told")
	}
}

// TestEndpoints_permissions: no route answers someone without the permission
// or without identity, and every response type can travel.
func TestEndpoints_permissions(t *testing.T) {
	var asked []server.Permission
	p := start(t, t.TempDir(), func(perm server.Permission, _ string) bool {
		asked = append(asked, perm)
		return false
	})
	public := 0
	for _, e := range p.Endpoints() {
		path := strings.NewReplacer("{model_id}", "m-1", "{tag_key}", "k", "{path...}", "0/x", "{webhook_id}", "w", "{id}", "i", "{key}", "k").Replace(e.Pattern)
		method := e.Method
		if method == "" {
			method = "POST"
		}
		if e.Permission.IsPublic() {
			public++
			continue
		}
		if strings.HasSuffix(e.Pattern, "/mcp-servers/{path...}") {
			continue // the calls behind it ask, as mcp.TestPlainNames shows
		}
		asked = nil
		if status, body := p.do(method, path, ""); status != http.StatusForbidden || codeOf(body) != "PERMISSION_DENIED" {
			t.Errorf("%s %s without permission: %d %v", method, path, status, body)
		}
		if len(asked) != 1 || asked[0] != e.Permission {
			t.Errorf("%s %s asked for %v", method, path, asked)
		}
		if status, body := p.do(method, path, "", "Authorization", "none"); status != http.StatusUnauthorized || codeOf(body) != "UNAUTHENTICATED" {
			t.Errorf("%s %s without identity: %d %v", method, path, status, body)
		}
		if _, ours := e.Codec.(mlwire.Codec); ours && e.Response != nil {
			if _, ok := e.Response.(interface{ AppendJSON(*mlwire.Writer) }); !ok {
				t.Errorf("%s %s: the response %T cannot be written", method, path, e.Response)
			}
		}
	}
	if public == 0 || public > 40 {
		t.Errorf("%d routes are public", public)
	}
}

// codeOf an error, in MLflow's envelope or in ours.
func codeOf(body map[string]any) any {
	if ours, ok := body["error"].(map[string]any); ok {
		return ours["code"]
	}
	return body["error_code"]
}

func TestNamespaces(t *testing.T) {
	p := start(t, t.TempDir(), nil)
	b := []string{"X-Mlflow-Workspace", "team-b"}
	run, artifacts := p.newRun(b...)
	if strings.HasPrefix(artifacts, "0/") {
		t.Errorf("the run of another project lies in experiment 0: %s", artifacts)
	}
	p.put(artifacts+"/secret.txt", "secret", b...)
	p.must("POST", "registered-models/create", `{"name":"m"}`, b...)
	p.must("POST", "model-versions/create", fmt.Sprintf(`{"name":"m","source":"mlflow-artifacts:/%s","run_id":%q}`, artifacts, run), b...)

	for name, c := range map[string]struct{ method, path, body string }{
		"Run":      {"GET", "/api/2.0/mlflow/runs/get?run_id=" + run, ""},
		"Log":      {"POST", "/api/2.0/mlflow/runs/log-metric", `{"run_id":"` + run + `","key":"k","value":1,"timestamp":1}`},
		"List":     {"GET", "/api/2.0/mlflow/artifacts/list?run_id=" + run, ""},
		"Download": {"GET", "/api/2.0/mlflow-artifacts/artifacts/" + artifacts + "/secret.txt", ""},
		"Upload":   {"PUT", "/api/2.0/mlflow-artifacts/artifacts/" + artifacts + "/secret.txt", "mine"},
		"Delete":   {"DELETE", "/api/2.0/mlflow-artifacts/artifacts/" + artifacts, ""},
		"Folder":   {"GET", "/api/2.0/mlflow-artifacts/artifacts?path=" + artifacts, ""},
		"Get":      {"GET", "/get-artifact?path=secret.txt&run_uuid=" + run, ""},
		"Model":    {"GET", "/api/2.0/mlflow/registered-models/get?name=m", ""},
		"Version":  {"GET", "/api/2.0/mlflow/model-versions/get-download-uri?name=m&version=1", ""},
		"Alias":    {"POST", "/api/2.0/mlflow/registered-models/alias", `{"name":"m","alias":"a","version":"1"}`},
	} {
		t.Run(name, func(t *testing.T) {
			if status, body := p.do(c.method, c.path, c.body); status != http.StatusNotFound {
				t.Errorf("%d %v", status, body)
			}
		})
	}
	if status, _ := p.do("POST", "/api/2.0/mlflow/experiments/create", `{"name":"x","artifact_location":"mlflow-artifacts:/0"}`, b...); status != 400 {
		t.Errorf("a project could point into the artifacts of another: %d", status)
	}
	own, body := p.do("GET", "/api/2.0/mlflow-artifacts/artifacts/"+artifacts+"/secret.txt", "", b...)
	if own != 200 || body["text"] != "secret" {
		t.Errorf("%d %v", own, body)
	}
}

// TestUpload_endsEarly: what was not sent whole is not there.
func TestDownload_ofNothingSaysSo(t *testing.T) {
	p := start(t, t.TempDir(), nil)
	_, artifacts := p.newRun()
	p.put(artifacts+"/file", "x")
	for _, path := range []string{"nothing", "no/such/file", "file/below"} {
		status, body := p.do("GET", "/api/2.0/mlflow-artifacts/artifacts/"+artifacts+"/"+path, "")
		if said, _ := body["message"].(string); status != http.StatusNotFound || !strings.Contains(said, artifacts+"/"+path+" does not exist") || strings.Contains(said, "openat") {
			t.Errorf("%s: %d %v", path, status, body)
		}
	}
}

func TestUpload_endsEarly(t *testing.T) {
	p := start(t, t.TempDir(), nil)
	srv := httptest.NewServer(p.handler)
	defer srv.Close()
	_, artifacts := p.newRun()
	ctx, cancel := context.WithCancel(t.Context())
	body, pipe := io.Pipe()
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, srv.URL+"/api/2.0/mlflow-artifacts/artifacts/"+artifacts+"/big", body)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _ = pipe.Write(bytes.Repeat([]byte("x"), 1<<20))
		cancel()
		_ = pipe.CloseWithError(context.Canceled)
	}()
	if resp, err := http.DefaultClient.Do(r); err == nil {
		resp.Body.Close()
		t.Errorf("status %d", resp.StatusCode)
	}
	srv.Close() // waits for the handler
	if status, _ := p.do("GET", "/api/2.0/mlflow-artifacts/artifacts/"+artifacts+"/big", ""); status != http.StatusNotFound {
		t.Errorf("status %d", status)
	}
}

// TestModelVersionsTag: clients compare the text that the model says of its versions.
func TestModelVersionsTag(t *testing.T) {
	p := start(t, t.TempDir(), nil)
	id := dig(p.must("POST", "logged-models", `{"experiment_id":"0","name":"x"}`), "model", "info", "model_id").(string)
	p.must("POST", "registered-models/create", `{"name":"m\u00fc"}`)
	for range 2 {
		p.must("POST", "model-versions/create", `{"name":"m\u00fc","source":"models:/`+id+`","model_id":"`+id+`"}`)
	}
	tags := dig(p.must("GET", "logged-models/"+id, ""), "model", "info", "tags").([]any)
	const want = `[{"name": "mü", "version": 1}, {"name": "mü", "version": 2}]`
	if len(tags) != 1 || dig(tags[0], "value") != want {
		t.Errorf("%v, want %s", tags, want)
	}
}
