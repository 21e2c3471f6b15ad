package modelserver

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// platform serves a folder as the platform's artifact proxy does.
func platform(t *testing.T, files map[string]string, token string) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+token || r.Header.Get("X-Mlflow-Workspace") != "team" {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		if r.URL.Path == artifactsPath {
			type file struct {
				Path  string `json:"path"`
				IsDir bool   `json:"is_dir"`
			}
			list := map[string]file{}
			for name := range files {
				if rest, ok := strings.CutPrefix(name, r.URL.Query().Get("path")+"/"); ok {
					first, _, deeper := strings.Cut(rest, "/")
					list[first] = file{first, deeper}
				}
			}
			all := []file{}
			for _, f := range list {
				all = append(all, f)
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"files": all})
			return
		}
		body, ok := files[strings.TrimPrefix(r.URL.Path, artifactsPath+"/")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Write([]byte(body))
	}))
	t.Cleanup(s.Close)
	return s
}

func model(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "classifier.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

const flavour = "flavors:\n  onnx:\n    data: model.onnx\n  python_function:\n    loader_module: mlflow.onnx\n"

func TestFetcher_fromPlatform(t *testing.T) {
	files := map[string]string{
		"1/models/m-1/artifacts/MLmodel":           flavour,
		"1/models/m-1/artifacts/model.onnx":        model(t),
		"1/models/m-1/artifacts/model.onnx.data":   "weights",
		"1/models/m-1/artifacts/conda.yaml":        "x",
		"1/models/single.onnx":                     model(t),
		"1/models/sk/artifacts/MLmodel":            "flavors:\n  sklearn:\n    pickled_model: model.pkl\n",
		"1/models/sk/artifacts/model.pkl":          "\x80\x04",
		"1/models/climb/artifacts/MLmodel":         "flavors:\n  onnx:\n    data: ../../../x\n",
		"1/models/nested/artifacts/MLmodel":        "flavors:\n  onnx:\n    data: inner/net.onnx\n",
		"1/models/nested/artifacts/inner/net.onnx": model(t),
		"1/models/pickled.onnx":                    "\x80\x04\x95",
	}
	s := platform(t, files, "secret")
	token := writeFile(t, filepath.Join(t.TempDir(), "token"), "secret\n")
	cases := map[string]struct {
		uri, file, err string
		also           []string
	}{
		"Folder":    {uri: "mlflow-artifacts:/1/models/m-1/artifacts", file: "model.onnx", also: []string{"model.onnx.data"}},
		"FullURL":   {uri: s.URL + artifactsPath + "/1/models/m-1/artifacts", file: "model.onnx"},
		"File":      {uri: "mlflow-artifacts:/1/models/single.onnx", file: "model.onnx"},
		"Nested":    {uri: "mlflow-artifacts:/1/models/nested/artifacts", file: "net.onnx"},
		"NoFlavour": {uri: "mlflow-artifacts:/1/models/sk/artifacts", err: "has no onnx flavour (it has: sklearn)"},
		"Climbing":  {uri: "mlflow-artifacts:/1/models/climb/artifacts", err: "no path inside the model"},
		"Missing":   {uri: "mlflow-artifacts:/1/nothing", err: "404"},
		"Pickle":    {uri: "mlflow-artifacts:/1/models/pickled.onnx", err: "a Python pickle"},
		"Scheme":    {uri: "s3://bucket/m", err: `scheme "s3"`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f := &Fetcher{Platform: s.URL, TokenFile: token, Namespace: "team", MaxBytes: 1 << 20}
			dir := t.TempDir()
			got, err := f.Fetch(t.Context(), c.uri, dir)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %v, want %q", err, c.err)
				}
				return
			}
			if err != nil || got != filepath.Join(dir, c.file) {
				t.Fatalf("got %q, %v", got, err)
			}
			for _, name := range c.also {
				if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
					t.Error(err)
				}
			}
			if _, err := os.Stat(filepath.Join(dir, "conda.yaml")); err == nil {
				t.Error("files that only Python needs were copied")
			}
		})
	}
}

func TestFetcher_limitsSize(t *testing.T) {
	name := writeFile(t, filepath.Join(t.TempDir(), "m.onnx"), model(t))
	f := &Fetcher{Roots: []string{filepath.Dir(name)}, MaxBytes: 100}
	if _, err := f.Fetch(t.Context(), "file://"+name, t.TempDir()); err == nil || !strings.Contains(err.Error(), "larger than 100 bytes") {
		t.Errorf("got %v", err)
	}
}

func TestFetcher_filesStayBelowTheirRoot(t *testing.T) {
	base := t.TempDir()
	root := filepath.Join(base, "models")
	writeFile(t, filepath.Join(root, "good", "model.onnx"), model(t))
	writeFile(t, filepath.Join(root, "two", "a.onnx"), model(t))
	writeFile(t, filepath.Join(root, "two", "b.onnx"), model(t))
	secret := writeFile(t, filepath.Join(base, "secret.onnx"), model(t))
	if err := os.Symlink(secret, filepath.Join(root, "link.onnx")); err != nil {
		t.Fatal(err)
	}
	cases := map[string]string{
		root + "/good":             "",
		root + "/good/model.onnx":  "",
		root + "/two":              "several ONNX files",
		root + "/link.onnx":        "escapes",
		root + "/../secret.onnx":   "does not lie below",
		secret:                     "does not lie below",
		root + "/none":             "no such file",
		path.Join(base, "modelsx"): "does not lie below",
	}
	for p, want := range cases {
		f := &Fetcher{Roots: []string{root}, MaxBytes: 1 << 20}
		_, err := f.Fetch(t.Context(), "file://"+p, t.TempDir())
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", p, err, want)
		}
	}
}

func TestFetcher_refusesPrivateAddresses(t *testing.T) {
	var asked atomic.Bool
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(true)
		if r.Header.Get("Authorization") != "" {
			t.Error("the token was sent to another server")
		}
		w.Write([]byte(model(t)))
	}))
	defer s.Close()
	token := writeFile(t, filepath.Join(t.TempDir(), "token"), "secret")
	f := &Fetcher{Platform: "http://127.0.0.1:1", TokenFile: token, MaxBytes: 1 << 20}
	if _, err := f.Fetch(t.Context(), s.URL+"/m.onnx?key=hunter2", t.TempDir()); !errors.Is(err, errPrivate) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
	if asked.Load() {
		t.Error("a private address was connected to")
	}
	f.AllowPrivate = true
	if _, err := f.Fetch(t.Context(), s.URL+"/m.onnx", t.TempDir()); err != nil {
		t.Error(err)
	}
}

func TestPublicOnly(t *testing.T) {
	cases := map[string]bool{
		"8.8.8.8:443": true, "[2606:4700::1]:443": true,
		"127.0.0.1:80": false, "10.1.2.3:80": false, "172.16.0.1:80": false, "192.168.1.1:80": false, "169.254.169.254:80": false, "0.0.0.0:80": false,
		"100.64.0.1:80": false, "[::1]:80": false, "[::ffff:127.0.0.1]:80": false, "[fd00::1]:80": false, "[fe80::1]:80": false, "[64:ff9b::7f00:1]:80": false, "224.0.0.1:80": false,
	}
	for address, ok := range cases {
		if err := publicOnly("tcp", address, nil); (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// A server that redirects cannot lead to the platform's own address.
func TestFetcher_followsNoRedirectIntoPrivateNetworks(t *testing.T) {
	inner := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("reached") }))
	defer inner.Close()
	u, err := url.Parse(inner.URL)
	if err != nil {
		t.Fatal(err)
	}
	src := newWeb(false, u)
	if _, err := src.open(t.Context(), ""); !errors.Is(err, errPrivate) {
		t.Errorf("got %v", err)
	}
}

func TestFetch_triesAgain(t *testing.T) {
	var calls atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) < 3 {
			http.Error(w, "starting", http.StatusServiceUnavailable)
			return
		}
		w.Write([]byte(model(t)))
	}))
	defer s.Close()
	f := &Fetcher{AllowPrivate: true, MaxBytes: 1 << 20}
	if _, err := f.Fetch(t.Context(), s.URL+"/m.onnx", t.TempDir()); err != nil || calls.Load() != 3 {
		t.Errorf("%d calls, %v", calls.Load(), err)
	}
}
