package alone

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/blob/blobtest"
	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/store"
)

// start runs a server in a folder of its own.
func start(t *testing.T, change func(*Options)) (url, dir string) {
	t.Helper()
	o := Options{
		Host: DefaultHost, Database: DefaultDatabase, Artifacts: DefaultArtifacts, ServeArtifacts: true,
		Dir: t.TempDir(), Getenv: func(string) string { return "" }, Clock: time.Now, Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&o)
	}
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return s.URL(), o.Dir
}

// call sends a request; a body that is no string travels as JSON.
func call(t *testing.T, method, url string, body any, header ...string) (int, string) {
	t.Helper()
	var sent []byte
	switch b := body.(type) {
	case nil:
	case string:
		sent = []byte(b)
	default:
		var err error
		if sent, err = json.Marshal(b); err != nil {
			t.Fatal(err)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(sent))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// tryCall sends a request that may fail.
func tryCall(ctx context.Context, method, url string) (int, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, http.NoBody)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

type object = map[string]any

// field of a JSON answer, by the names on the way.
func field(t *testing.T, body string, path ...string) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	for _, p := range path {
		m, _ := v.(object)
		v = m[p]
	}
	return fmt.Sprint(v)
}

// TestServer_registersFromItsOwnRoot: the host of the default artifact root is trusted, others are not.
func TestServer_registersFromItsOwnRoot(t *testing.T) {
	url, _ := start(t, func(o *Options) { o.ArtifactRoot = "abfss://c@ours.dfs.core.windows.net/root" })
	_, body := call(t, "POST", url+"/api/2.0/mlflow/runs/create", object{"experiment_id": "0", "start_time": 1})
	run, uri := field(t, body, "run", "info", "run_id"), field(t, body, "run", "info", "artifact_uri")
	call(t, "POST", url+"/api/2.0/mlflow/registered-models/create", object{"name": "m"})
	for source, want := range map[string]int{uri + "/model": 200, "abfss://c@theirs.dfs.core.windows.net/root/model": 400} {
		if status, body := call(t, "POST", url+"/api/2.0/mlflow/model-versions/create", object{"name": "m", "source": source, "run_id": run}); status != want {
			t.Errorf("%s: %d %s", source, status, body)
		}
	}
}

func TestServer_keepsArtifactsAsUpstreamDoes(t *testing.T) {
	url, dir := start(t, nil)
	_, body := call(t, "POST", url+"/api/2.0/mlflow/runs/create", object{"experiment_id": "0", "start_time": 1})
	run, uri := field(t, body, "run", "info", "run_id"), field(t, body, "run", "info", "artifact_uri")
	if want := "mlflow-artifacts:/0/" + run + "/artifacts"; uri != want {
		t.Errorf("artifact_uri %q, want %q", uri, want)
	}
	if status, body := call(t, "PUT", url+"/api/2.0/mlflow-artifacts/artifacts/0/"+run+"/artifacts/a/b.txt", "hello"); status != 200 {
		t.Fatalf("upload: %d %s", status, body)
	}
	b, err := os.ReadFile(filepath.Join(dir, "mlartifacts", "0", run, "artifacts", "a", "b.txt"))
	if err != nil || string(b) != "hello" {
		t.Errorf("on disk: %q, %v", b, err)
	}
}

func TestServer_readsWhereClientsWrite(t *testing.T) {
	for name, root := range map[string]string{"Relative": "./store", "File": "file:store", "Absolute": "ABS/store", "Address": "file://ABS/store"} {
		t.Run(name, func(t *testing.T) {
			url, dir := start(t, func(o *Options) { o.ArtifactRoot = strings.ReplaceAll(root, "ABS", o.Dir) })
			_, body := call(t, "POST", url+"/api/2.0/mlflow/experiments/create", object{"name": "e"})
			_, body = call(t, "POST", url+"/api/2.0/mlflow/runs/create", object{"experiment_id": field(t, body, "experiment_id"), "start_time": 1})
			run, uri := field(t, body, "run", "info", "run_id"), field(t, body, "run", "info", "artifact_uri")
			folder := strings.TrimPrefix(uri, "file://")
			if !strings.HasPrefix(folder, dir+"/store/1/") {
				t.Fatalf("artifact_uri %q", uri)
			}
			if status, body := call(t, "GET", url+"/api/2.0/mlflow/artifacts/list?run_id="+run, nil); status != 200 || strings.Contains(body, "files") {
				t.Errorf("list before anything is there: %d %s", status, body)
			}
			if status, body := call(t, "POST", url+"/ajax-api/2.0/mlflow/upload-artifact?path=up/loaded.txt&run_uuid="+run, "u"); status != 200 {
				t.Errorf("upload: %d %s", status, body)
			}
			if b, err := os.ReadFile(folder + "/up/loaded.txt"); err != nil || string(b) != "u" {
				t.Errorf("%q, %v", b, err)
			}
			if err := os.MkdirAll(folder+"/sub", 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(folder+"/sub/f.txt", []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
			if status, body := call(t, "GET", url+"/api/2.0/mlflow/artifacts/list?path=sub&run_id="+run, nil); status != 200 || !strings.Contains(body, "sub/f.txt") {
				t.Errorf("list: %d %s", status, body)
			}
			if status, body := call(t, "GET", url+"/get-artifact?path=sub/f.txt&run_id="+run, nil); status != 200 || body != "x" {
				t.Errorf("download: %d %s", status, body)
			}
			trace := object{"trace": object{"trace_info": object{
				"trace_id": "tr-1", "trace_location": object{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": object{"experiment_id": "1"}}, "request_time": "2026-01-01T00:00:00Z", "state": "OK",
			}}}
			if status, body := call(t, "POST", url+"/api/3.0/mlflow/traces", trace); status != 200 {
				t.Errorf("trace: %d %s", status, body)
			}
			const attachment = "8cd7166e-ff0c-4b6c-a657-99ec0f5114f1"
			if err := os.MkdirAll(dir+"/store/1/traces/tr-1/artifacts/attachments", 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(dir+"/store/1/traces/tr-1/artifacts/attachments/"+attachment, []byte("y"), 0o600); err != nil {
				t.Fatal(err)
			}
			if status, body := call(t, "GET", url+"/ajax-api/2.0/mlflow/get-trace-artifact?request_id=tr-1&path="+attachment, nil); status != 200 || body != "y" {
				t.Errorf("attachment: %d %s", status, body)
			}
			if status, _ := call(t, "GET", url+"/get-artifact?path=../../../mlflow.db&run_id="+run, nil); status != 400 {
				t.Errorf("a path that climbs: %d", status)
			}
		})
	}
}

func TestServer_bucket(t *testing.T) {
	bucket := blobtest.StartS3(t)
	url, _ := start(t, func(o *Options) {
		o.Insecure, o.Artifacts, o.ArtifactRoot = true, bucket+"/proxied", bucket+"/direct/"
	})
	if status, body := call(t, "PUT", url+"/api/2.0/mlflow-artifacts/artifacts/0/r/artifacts/f.txt", "hello"); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	if status, body := call(t, "GET", url+"/api/2.0/mlflow-artifacts/artifacts/0/r/artifacts/f.txt", nil); status != 200 || body != "hello" {
		t.Errorf("%d %s", status, body)
	}
	newRun := func(location string) string {
		t.Helper()
		_, body := call(t, "POST", url+"/api/2.0/mlflow/experiments/create", object{"name": "at " + location, "artifact_location": location})
		_, body = call(t, "POST", url+"/api/2.0/mlflow/runs/create", object{"experiment_id": field(t, body, "experiment_id"), "start_time": 1})
		return field(t, body, "run", "info", "run_id")
	}
	direct, err := blob.Open(t.Context(), bucket+"/direct")
	if err != nil {
		t.Fatal(err)
	}
	run := newRun("")
	if _, err := direct.Create(t.Context(), "1/"+run+"/artifacts/a/b.txt", strings.NewReader("direct")); err != nil {
		t.Fatal(err)
	}
	if status, body := call(t, "GET", url+"/get-artifact?path=a/b.txt&run_id="+run, nil); status != 200 || body != "direct" {
		t.Errorf("%d %s", status, body)
	}
	if status, body := call(t, "GET", url+"/api/2.0/mlflow/artifacts/list?path=a&run_id="+run, nil); status != 200 || !strings.Contains(body, "a/b.txt") {
		t.Errorf("%d %s", status, body)
	}
	for _, location := range []string{bucket + "/proxied", bucket + "/directory", bucket + "/direct/../proxied", "s3://other/x", "gs://other/x"} {
		if status, body := call(t, "GET", url+"/api/2.0/mlflow/artifacts/list?run_id="+newRun(location), nil); status != 400 {
			t.Errorf("%s: %d %s", location, status, body)
		}
	}
}

// TestServer_erasesWhereItReads: where the server reads because the caller is its own user, erasing takes the files, too.
func TestServer_erasesWhereItReads(t *testing.T) {
	url, _ := start(t, nil)
	place := t.TempDir()
	_, body := call(t, "POST", url+"/api/2.0/mlflow/experiments/create", object{"name": "e", "artifact_location": place})
	_, body = call(t, "POST", url+"/api/2.0/mlflow/runs/create", object{"experiment_id": field(t, body, "experiment_id"), "start_time": 1})
	run := field(t, body, "run", "info", "run_id")
	folder := filepath.Join(place, run, "artifacts")
	for _, f := range []string{filepath.Join(folder, "f.txt"), filepath.Join(place, "neighbour")} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(f), 0o700), os.WriteFile(f, []byte("x"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if status, body := call(t, "GET", url+"/get-artifact?path=f.txt&run_id="+run, nil); status != 200 || body != "x" {
		t.Errorf("download: %d %s", status, body)
	}
	status, body := call(t, "POST", url+"/kiwerk/v1/tracking/gc", object{"run_ids": []string{run}, "erase": true})
	if status != 200 || strings.Contains(body, "artifacts_kept") {
		t.Errorf("erase: %d %s", status, body)
	}
	if _, err := os.Stat(folder); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the files are there still: %v", err)
	}
	if _, err := os.Stat(filepath.Join(place, "neighbour")); err != nil {
		t.Error(err)
	}
}

func TestServer_readsNoOtherFolderForOthers(t *testing.T) {
	url, dir := start(t, func(o *Options) { o.Insecure = true })
	secret := filepath.Join(dir, "secret")
	if err := os.Mkdir(secret, 0o700); err != nil {
		t.Fatal(err)
	}
	_, body := call(t, "POST", url+"/api/2.0/mlflow/experiments/create", object{"name": "e", "artifact_location": secret})
	_, body = call(t, "POST", url+"/api/2.0/mlflow/runs/create", object{"experiment_id": field(t, body, "experiment_id"), "start_time": 1})
	if status, body := call(t, "GET", url+"/api/2.0/mlflow/artifacts/list?run_id="+field(t, body, "run", "info", "run_id"), nil); status != 400 || !strings.Contains(body, "outside") {
		t.Errorf("%d %s", status, body)
	}
}

func TestServer_checksWhoAsks(t *testing.T) {
	url, _ := start(t, func(o *Options) {
		o.Hosts, o.Origins, o.StaticPrefix = []string{"ml.example", "10.1.*"}, []string{"https://app.example"}, "/ml"
	})
	bare := strings.TrimSuffix(url, "/ml")
	cases := map[string]struct {
		url    string
		header []string
		status int
	}{
		"Prefix":        {url + "/version", nil, 200},
		"Health":        {url + "/health", nil, 200},
		"WithoutPrefix": {bare + "/version", nil, 200},
		"NamedHost":     {bare + "/version", []string{"Host", "ml.example"}, 200},
		"HostPattern":   {bare + "/version", []string{"Host", "10.1.2.3:5000"}, 200},
		"OtherHost":     {bare + "/api/2.0/mlflow/experiments/get?experiment_id=0", []string{"Host", "evil.example"}, 403},
		"HealthForAll":  {bare + "/health", []string{"Host", "evil.example"}, 200},
		"NamedOrigin":   {bare + "/version", []string{"Origin", "https://app.example"}, 200},
		"OtherOrigin":   {bare + "/version", []string{"Origin", "https://evil.example"}, 403},
		"NoMetrics":     {bare + "/metrics", nil, 404},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if status, body := call(t, "GET", c.url, nil, c.header...); status != c.status {
				t.Errorf("%d %s, want %d", status, body, c.status)
			}
		})
	}
}

// TestServer_pagesOfOtherOrigins: those of this machine and those that are
// named may call, with what a browser keeps for this server unless all may.
func TestServer_pagesOfOtherOrigins(t *testing.T) {
	const path = "/api/2.0/mlflow/experiments/search"
	for name, c := range map[string]struct {
		origins           []string
		origin            string
		status            int
		allowed, withKept string
	}{
		"Local":      {nil, "http://localhost:3000", 200, "http://localhost:3000", "true"},
		"Loopback":   {nil, "http://127.0.0.1:5000", 200, "http://127.0.0.1:5000", "true"},
		"LoopbackV6": {nil, "http://[::1]:8080", 200, "http://[::1]:8080", "true"},
		"Lookalike":  {nil, "http://localhost.evil.example", 403, "", ""},
		"Foreign":    {nil, "http://evil.example", 403, "", ""},
		"Named":      {[]string{"http://*.ex.com"}, "http://sub.app.ex.com", 200, "http://sub.app.ex.com", "true"},
		"NotNamed":   {[]string{"https://app.example"}, "http://evil.example", 403, "", ""},
		"All":        {[]string{"*"}, "http://evil.example", 200, "*", ""},
	} {
		t.Run(name, func(t *testing.T) {
			url, _ := start(t, func(o *Options) { o.Origins = c.origins })
			for _, ask := range []struct{ method, body, requested string }{{"POST", `{"max_results":1}`, ""}, {"OPTIONS", "", "POST"}} {
				r, err := http.NewRequestWithContext(t.Context(), ask.method, url+path, strings.NewReader(ask.body))
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Origin", c.origin)
				r.Header.Set("Content-Type", "application/json")
				if ask.requested != "" {
					r.Header.Set("Access-Control-Request-Method", ask.requested)
				}
				resp, err := http.DefaultClient.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(resp.Body)
				if err = errors.Join(err, resp.Body.Close()); err != nil {
					t.Fatal(err)
				}
				h := resp.Header
				if resp.StatusCode != c.status || h.Get("Access-Control-Allow-Origin") != c.allowed || h.Get("Access-Control-Allow-Credentials") != c.withKept {
					t.Errorf("%s: %d %v %s", ask.method, resp.StatusCode, h, b)
				}
				if c.status == 403 && !strings.Contains(string(b), "Cross-origin request blocked") {
					t.Errorf("%s: %s", ask.method, b)
				}
			}
		})
	}
}

// Who is not let in hears what this server needs, not what a platform would.
func TestSameUser_saysWhatToDo(t *testing.T) {
	_, err := sameUser{}.Authenticate(httptest.NewRequest(http.MethodGet, "/", http.NoBody))
	e := server.AsError(err)
	if e.Status != http.StatusUnauthorized || !strings.Contains(e.Remedy, "--app-name basic-auth") || strings.Contains(e.Message+e.Remedy, "token") {
		t.Errorf("%d %s: %s", e.Status, e.Message, e.Remedy)
	}
}

func TestServer_leavesArtifactsToClients(t *testing.T) {
	url, _ := start(t, func(o *Options) { o.ServeArtifacts = false })
	if status, _ := call(t, "GET", url+"/api/2.0/mlflow-artifacts/artifacts?path=0", nil); status != 503 {
		t.Errorf("status %d", status)
	}
}

func TestServer_artifactsOnly(t *testing.T) {
	url, dir := start(t, func(o *Options) { o.ArtifactsOnly, o.Database = true, "sqlite:///none/x.db" })
	file := url + "/api/2.0/mlflow-artifacts/artifacts/7/run/artifacts/a/b.txt"
	want(t, 200, "PUT", file, "hello", nil)
	if body := want(t, 200, "GET", file, nil, nil); body != "hello" {
		t.Errorf("got %q", body)
	}
	if body := want(t, 200, "GET", url+"/ajax-api/2.0/mlflow-artifacts/artifacts?path=7/run/artifacts", nil, nil); !strings.Contains(body, `"a"`) {
		t.Error(body)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "mlartifacts", "7", "run", "artifacts", "a", "b.txt")); err != nil || string(b) != "hello" {
		t.Errorf("on disk: %q, %v", b, err)
	}
	parts := url + "/api/2.0/mlflow-artifacts/mpu/"
	body := want(t, 200, "POST", parts+"create/7/run/artifacts", object{"path": "c.txt", "num_parts": 1}, nil)
	var begun struct {
		ID    string `json:"upload_id"`
		Parts []struct {
			URL string `json:"url"`
		} `json:"credentials"`
	}
	if err := json.Unmarshal([]byte(body), &begun); err != nil || len(begun.Parts) != 1 {
		t.Fatalf("%v %s", err, body)
	}
	want(t, 200, "PUT", begun.Parts[0].URL, "part", nil)
	if body := want(t, 200, "GET", url+"/api/2.0/mlflow-artifacts/artifacts", nil, nil); !strings.Contains(body, `"7"`) || strings.Contains(body, ".parts") {
		t.Errorf("the root has %s", body)
	}
	want(t, 200, "POST", parts+"complete/7/run/artifacts", object{"path": "c.txt", "upload_id": begun.ID, "parts": []object{{"part_number": 1}}}, nil)
	want(t, 200, "DELETE", file, nil, nil)
	want(t, 404, "GET", file, nil, nil)
	for _, path := range []string{"/health", "/version", "/", "/api/3.0/mlflow/server-info"} {
		want(t, 200, "GET", url+path, nil, nil)
	}
	for _, call := range []string{
		"POST /api/2.0/mlflow/runs/create", "GET /ajax-api/2.0/mlflow/experiments/get?experiment_id=0", "POST /api/3.0/mlflow/traces", "POST /graphql", "POST /v1/traces",
		"GET /get-artifact?run_id=r&path=p", "GET /api/2.0/mlflow/artifacts/list?run_id=r", "POST /api/3.0/mlflow/datasets/create", "GET /api/2.0/mlflow/webhooks", "POST /kiwerk/v1/tracking/gc",
	} {
		method, path, _ := strings.Cut(call, " ")
		pattern, _, _ := strings.Cut(path, "?")
		if body := want(t, 503, method, url+path, object{}, nil); !strings.HasPrefix(body, "Endpoint: "+pattern+" disabled due to the mlflow server running in `--artifacts-only` mode") {
			t.Errorf("%s: %s", call, body)
		}
	}
	want(t, 404, "GET", url+"/api/2.0/mlflow/no/such/call", nil, nil)
	want(t, 400, "GET", file, nil, []string{"X-MLFLOW-WORKSPACE", "team"})
	if list, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(list) != 1 {
		t.Errorf("there are %v, %v", list, err)
	}
}

// Users of a server that has artifacts only are those of the tracking server that has the same database.
func TestServer_artifactsOnlyForUsers(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		const ini = "[mlflow]\ndefault_permission = NO_PERMISSIONS\n"
		var dir string
		url, alice, bob := guardedWith(t, ini, func(o *Options) { o.Database, dir = database, o.Dir })
		exp := field(t, want(t, 200, "POST", url+"/api/2.0/mlflow/experiments/create", object{"name": "e"}, alice), "experiment_id")
		only, _ := start(t, func(o *Options) {
			o.Dir, o.Database, o.ArtifactsOnly, o.BasicAuth, o.PasswordRounds = dir, database, true, true, 1000
			o.Getenv = func(k string) string {
				return map[string]string{"MLFLOW_AUTH_CONFIG_PATH": filepath.Join(dir, "auth.ini")}[k]
			}
		})
		file := only + "/api/2.0/mlflow-artifacts/artifacts/" + exp + "/run/artifacts/f"
		want(t, 401, "PUT", file, "x", nil)
		want(t, 403, "PUT", file, "x", bob)
		want(t, 200, "PUT", file, "x", alice)
		want(t, 200, "GET", file, nil, alice)
		want(t, 403, "GET", file, nil, bob)
		want(t, 200, "GET", file, nil, admin)
		want(t, 503, "GET", only+"/api/2.0/mlflow/experiments/get?experiment_id="+exp, nil, alice)
		want(t, 200, "GET", only+"/api/2.0/mlflow/users/get?username=bob", nil, bob)
	})
}

// One database may be named twice, in any spelling.
func TestOpen_registryInTheSameDatabase(t *testing.T) {
	for _, uri := range []string{"sqlite:///mlflow.db", "sqlite:///./mlflow.db", "sqlite+pysqlite:///mlflow.db?timeout=5", "DIR"} {
		url, _ := start(t, func(o *Options) {
			o.Registry = strings.ReplaceAll(uri, "DIR", "sqlite:///"+o.Dir+"/mlflow.db")
			o.WorkspaceStore = o.Registry
		})
		want(t, 200, "POST", url+"/api/2.0/mlflow/registered-models/create", object{"name": "m"}, nil)
	}
}

func TestOpen_refuses(t *testing.T) {
	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, "mlflow.db"), []byte("SQLite format 3\x00 and nothing that fits"), 0o600); err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		change func(*Options)
		err    error
	}{
		"ForeignDatabase":           {func(o *Options) { o.Dir = foreign }, store.ErrForeign},
		"MissingFolder":             {func(o *Options) { o.Database = "sqlite:///none/here.db" }, ErrURI},
		"OpenAddress":               {func(o *Options) { o.Host = "0.0.0.0" }, ErrOpen},
		"AllAddresses":              {func(o *Options) { o.Host = "" }, ErrOpen},
		"LoginWithoutTLS":           {func(o *Options) { o.Host, o.BasicAuth = "0.0.0.0", true }, ErrOpen},
		"FileStore":                 {func(o *Options) { o.Database = "./mlruns" }, ErrURI},
		"FileAddress":               {func(o *Options) { o.Database = "file:///mlruns" }, ErrURI},
		"OtherDatabase":             {func(o *Options) { o.Database = "mysql+pymysql://u:p@h/d" }, ErrURI},
		"InMemory":                  {func(o *Options) { o.Database = "sqlite:///:memory:" }, ErrURI},
		"ArtifactsOnlyOff":          {func(o *Options) { o.ArtifactsOnly, o.ServeArtifacts = true, false }, ErrNotBuilt},
		"ArtifactsOnlyInWorkspaces": {func(o *Options) { o.ArtifactsOnly, o.Workspaces = true, true }, ErrNotBuilt},
		"OtherRegistryPG":           {func(o *Options) { o.Registry = "postgresql://u:p@h/d" }, ErrNotBuilt},
		"OtherWorkspaces":           {func(o *Options) { o.Workspaces, o.WorkspaceStore = true, "sqlite:///other.db" }, ErrNotBuilt},
		"StaticPrefix":              {func(o *Options) { o.StaticPrefix = "ml/" }, ErrOptions},
		"NoCertificate":             {func(o *Options) { o.TLS.CertFile, o.TLS.KeyFile = "none.crt", "none.key" }, ErrOptions},
		"WrongVariable": {func(o *Options) {
			o.Getenv = func(n string) string { return map[string]string{"MLFLOW_WEBHOOK_REQUEST_TIMEOUT": "x"}[n] }
		}, ErrOptions},
		"KeyAlone":      {func(o *Options) { o.TLS.KeyFile = "k" }, ErrOptions},
		"OtherRegistry": {func(o *Options) { o.Registry = "sqlite:///other.db" }, ErrNotBuilt},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o := Options{
				Host: DefaultHost, Database: DefaultDatabase, Artifacts: DefaultArtifacts, ServeArtifacts: true,
				Dir: t.TempDir(), Getenv: func(string) string { return "" }, Clock: time.Now, Logger: slog.New(slog.DiscardHandler),
			}
			c.change(&o)
			if _, err := Open(t.Context(), o); !errors.Is(err, c.err) || strings.Contains(fmt.Sprint(err), "u:p@") {
				t.Errorf("got %v, want %v", err, c.err)
			}
		})
	}
}

func TestRedact(t *testing.T) {
	for uri, want := range map[string]string{
		"sqlite:///with space/a%.db": "sqlite:///with space/a%.db", "./ml artifacts": "./ml artifacts", "postgresql://u:secret@h/d": "postgresql://u:xxxxx@h/d",
		"postgresql:///d?password=secret": "postgresql:///d?password=xxxxx", "postgresql://u:sec%ret@h/d": "…", "s3://bucket/a": "s3://bucket/a",
	} {
		if got := Redact(uri); got != want {
			t.Errorf("%s: %s, want %s", uri, got, want)
		}
	}
}

func TestDatabasePath(t *testing.T) {
	for uri, want := range map[string]string{
		"sqlite:///a.db": "/d/a.db", "sqlite:////tmp/a.db": "/tmp/a.db", "sqlite://///tmp//a.db": "/tmp/a.db", "sqlite:///sub/a.db?timeout=5": "/d/sub/a.db", "sqlite+pysqlite:///a.db": "/d/a.db",
	} {
		if got, err := DatabasePath(uri, "/d"); err != nil || got != want {
			t.Errorf("%s: %q, %v", uri, got, err)
		}
	}
}
