package tracking_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kiwerk/kiwerk/internal/blob/blobtest"
	"github.com/kiwerk/kiwerk/internal/server"
)

const (
	secret     = "what lies outside"
	proxyPath  = "/api/2.0/mlflow-artifacts/artifacts"
	minRefused = 300
)

// attacked is a platform with things worth stealing beside its artifacts.
type attacked struct {
	*platform
	dir, run, artifacts, foreign string
	model                        string
}

func attack(t *testing.T, may rights) *attacked {
	t.Helper()
	dir := t.TempDir()
	a := &attacked{platform: start(t, dir, may), dir: dir}
	for _, f := range []string{"secret.txt", "blobs/secret.txt", "blobs/tracking/secret.txt"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, f)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, f), []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	team := []string{"X-Mlflow-Workspace", "team-b"}
	_, a.foreign = a.newRun(team...)
	a.put(a.foreign+"/secret.txt", secret, team...)
	a.must("POST", "registered-models/create", `{"name":"m"}`)
	a.run = a.register("m")
	a.artifacts = "0/" + a.run + "/artifacts"
	made := a.must("POST", "logged-models", `{"experiment_id":"0","name":"lm"}`)
	a.model = dig(made, "model", "info", "model_id").(string)
	return a
}

// refuse sends a request that must neither change anything nor show a secret.
func (a *attacked) refuse(t *testing.T, statuses []int, method, path, body string, header ...string) {
	t.Helper()
	before := a.state(a.dir)
	r, err := http.NewRequestWithContext(t.Context(), method, "http://127.0.0.1"+path, strings.NewReader(body))
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	r.RequestURI = path
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
			continue
		}
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	a.handler.ServeHTTP(w, r)
	allowed := false
	for _, s := range statuses {
		allowed = allowed || w.Code == s
	}
	if !allowed {
		t.Errorf("%s %s %.200s: status %d: %.300s", method, path, body, w.Code, w.Body)
	}
	said := strings.ReplaceAll(w.Body.String(), "lie in file://"+a.dir, "") // what the caller himself wrote
	for _, s := range []string{secret, "root:x:0", "openat", a.dir} {
		if strings.Contains(strings.ReplaceAll(said, "lie in "+a.dir, ""), s) {
			t.Errorf("%s %s: the answer shows %q: %.300s", method, path, s, w.Body)
		}
	}
	if diff := cmp.Diff(before, a.state(a.dir)); diff != "" {
		t.Errorf("%s %s %.200s has changed something: %s", method, path, body, diff)
	}
}

var (
	bad     = []int{http.StatusBadRequest}
	missing = []int{http.StatusBadRequest, http.StatusNotFound}
)

// climbing are spellings of paths that lead out, beyond those of the bucket.
func climbing() (list []string) {
	for _, p := range blobtest.Climbing {
		if p != "" {
			list = append(list, p)
		}
	}
	return append(
		list,
		"../../secret.txt", "../secret.txt", "a/../../../secret.txt", "..%5c..%5csecret.txt", `..\..\secret.txt`, "..;/secret.txt/..", "%2e%2e%5csecret.txt", "....//....//secret.txt",
		"/etc/passwd", "//etc/passwd", `\\host\share\x`, "c:/windows/win.ini", `c:\windows\win.ini`, "file:///etc/passwd", "%66ile:///etc/passwd", "http:///#/../../etc/passwd", "#/../../etc/passwd", "a#b", "a%23b", "%2523",
		"..%00/secret.txt", "secret.txt%00.jpg", "%25%32%65%25%32%65%2fsecret.txt", strings.Repeat("../", 40)+"etc/passwd", strings.Repeat("%252e%252e%252f", 20)+"etc/passwd",
	)
}

// onlyFirst tells whether a path is a fault only where it begins an address.
func onlyFirst(p string) bool {
	return strings.HasPrefix(strings.ToLower(p), "c:/") || strings.HasSuffix(p, "incomplete/a")
}

func jsonOf(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return `""`
	}
	return string(b)
}

// escape makes a path part from which the server reads exactly p.
func escape(p string) string { return strings.ReplaceAll(url.PathEscape(p), ".", "%2E") }

// TestRefused has request variants for each class of advisories that trackers
// of this kind had: none changes anything, reads anything outside, or shows it.
func TestRefused(t *testing.T) {
	a := attack(t, nil)
	n := 0
	refuse := func(t *testing.T, statuses []int, method, path, body string, header ...string) {
		t.Helper()
		n++
		a.refuse(t, statuses, method, path, body, header...)
	}
	t.Run("Traversal", func(t *testing.T) {
		for _, p := range climbing() {
			q := url.QueryEscape(p)
			below := proxyPath + "/" + escape(a.artifacts) + "%2F" + escape(p)
			body := `{"path":"x","num_parts":1,"upload_id":"x","parts":[{"part_number":1,"etag":"x"}]}`
			for _, op := range []string{"create", "complete", "abort"} {
				refuse(t, missing, "POST", "/api/2.0/mlflow-artifacts/mpu/"+op+"/"+escape(p), body)
			}
			refuse(t, missing, "GET", "/api/2.0/mlflow-artifacts/presigned/"+escape(p), "")
			refuse(t, bad, "POST", "/api/2.0/mlflow/artifacts/presigned-upload-url", fmt.Sprintf(`{"run_id":%q,"path":%s}`, a.run, jsonOf(p)))
			if !onlyFirst(p) {
				refuse(t, bad, "GET", below, "")
				refuse(t, bad, "PUT", below, "x")
				refuse(t, bad, "DELETE", below, "")
			}
			refuse(t, missing, "GET", proxyPath+"/"+escape(p), "")
			refuse(t, missing, "PUT", proxyPath+"/"+escape(p), "x")
			refuse(t, missing, "DELETE", "/ajax-api"+strings.TrimPrefix(proxyPath, "/api")+"/"+escape(p), "")
			refuse(t, bad, "GET", "/get-artifact?run_uuid="+a.run+"&path="+q, "")
			refuse(t, bad, "GET", "/model-versions/get-artifact?name=m&version=1&path="+q, "")
			refuse(t, bad, "GET", "/ajax-api/2.0/mlflow/logged-models/"+a.model+"/artifacts/files?artifact_file_path="+q, "")
			refuse(t, bad, "POST", "/ajax-api/2.0/mlflow/upload-artifact?run_uuid="+a.run+"&path="+q, "x")
			if strings.Trim(p, "/") == p { // a slash at an end is of no meaning where folders are named
				refuse(t, missing, "GET", proxyPath+"?path="+q, "")
				refuse(t, bad, "GET", "/api/2.0/mlflow/artifacts/list?run_id="+a.run+"&path="+q, "")
				refuse(t, bad, "GET", "/api/2.0/mlflow/logged-models/"+a.model+"/artifacts/directories?artifact_directory_path="+q, "")
			}
		}
	})
	t.Run("TracesAndPresigned", func(t *testing.T) {
		a.v3("POST", "traces", traceBody("tr-1", "0"), "anna")
		for _, p := range climbing() {
			q := url.QueryEscape(p)
			refuse(t, missing, "POST", "/api/3.0/mlflow/traces", traceBody(p, "0"))
			refuse(t, missing, "POST", "/api/2.0/mlflow/artifacts/presigned-download-url", fmt.Sprintf(`{"run_id":%q,"path":%s}`, a.run, jsonOf(p)))
			refuse(t, missing, "GET", "/ajax-api/3.0/mlflow/get-trace-artifact?request_id="+q, "")
			refuse(t, missing, "GET", "/ajax-api/3.0/mlflow/get-trace-artifact?request_id=tr-1&path="+q, "")
			refuse(t, missing, "GET", "/ajax-api/2.0/mlflow/get-trace-artifact?request_id=tr-1&path="+q, "")
			refuse(t, missing, "GET", "/model-versions/get-artifact?name="+q+"&version=1&path=x", "")
		}
	})
	t.Run("Parts", func(t *testing.T) {
		for _, name := range []string{"..", `..\..`, "a/..", "", "/", ".", "a\x00b", "%2e%2e", "x#y"} {
			refuse(t, missing, "POST", "/api/2.0/mlflow-artifacts/mpu/create/"+a.artifacts, `{"num_parts":1,"path":`+jsonOf(name)+`}`)
		}
		for _, upload := range []string{"x", "a.b.c", "0.9999999999.00", "..%2F..%2Fsecret"} {
			refuse(t, []int{403}, "PUT", "/api/2.0/mlflow-artifacts/parts/"+upload+"/1?signature=00", "x")
			refuse(t, []int{403}, "PUT", "/api/2.0/mlflow-artifacts/parts/"+upload+"/..%2F1", "x")
			refuse(t, bad, "POST", "/api/2.0/mlflow-artifacts/mpu/complete/"+a.artifacts, `{"path":"x","upload_id":"`+upload+`","parts":[{"part_number":1}]}`)
			refuse(t, bad, "POST", "/api/2.0/mlflow-artifacts/mpu/abort/"+a.artifacts, `{"path":"x","upload_id":"`+upload+`"}`)
		}
		for _, path := range []string{".parts", ".parts/x", ".parts/x/1", "%2eparts/x"} {
			refuse(t, missing, "GET", proxyPath+"/"+path, "")
			refuse(t, missing, "DELETE", proxyPath+"/"+path, "")
		}
	})
	t.Run("Ids", func(t *testing.T) {
		for _, id := range []string{"..", "../..", "..%2f..", "/etc", `..\x`, "a/b", "%2e%2e", "' OR 1=1 --", "a\x00b", strings.Repeat("a", 300), "*", "%", "_"} {
			q := url.QueryEscape(id)
			for _, path := range []string{
				"/get-artifact?path=a&run_uuid=" + q, "/api/2.0/mlflow/artifacts/list?run_id=" + q, "/api/2.0/mlflow/runs/get?run_id=" + q,
				"/model-versions/get-artifact?path=a&name=m&version=" + q, "/model-versions/get-artifact?path=a&version=1&name=" + q,
				"/api/2.0/mlflow/experiments/get?experiment_id=" + q, "/api/2.0/mlflow/logged-models/" + escape(id) + "/artifacts/files?artifact_file_path=a",
			} {
				refuse(t, missing, "GET", path, "")
			}
		}
	})
	t.Run("Sources", func(t *testing.T) { a.sources(t, refuse) })
	t.Run("Foreign", func(t *testing.T) {
		refuse(t, missing, "GET", proxyPath+"/"+a.foreign+"/secret.txt", "")
		refuse(t, missing, "PUT", proxyPath+"/"+a.foreign+"/secret.txt", "x")
		refuse(t, missing, "DELETE", proxyPath+"/"+a.foreign, "")
		refuse(t, missing, "GET", proxyPath+"?path="+url.QueryEscape(a.foreign), "")
		refuse(t, missing, "DELETE", proxyPath+"/"+strings.Split(a.foreign, "/")[0], "")
	})
	t.Run("HostAndOrigin", func(t *testing.T) {
		no := []int{http.StatusForbidden, http.StatusMisdirectedRequest}
		for _, host := range []string{"evil.com", "169.254.169.254", "127.0.0.1.evil.com", "localhost.evil.com", "10.0.0.1:5000", "[::ffff:8.8.8.8]", "evil.com:127", "svc.cluster.local.evil.com", "0x7f.1.evil", "example.com.evil.com", "user@evil.com", ""} {
			refuse(t, no, "POST", "/api/2.0/mlflow/experiments/create", `{"name":"x"}`, "Host", host)
		}
		for _, origin := range []string{"http://evil.com", "https://evil.com:443", "null", "file://", "http://127.0.0.1.evil.com", "http://localhost@evil.com", "chrome-extension://x", "http://evil.com/127.0.0.1", "javascript:alert(1)", "//evil.com"} {
			refuse(t, no, "POST", "/api/2.0/mlflow/experiments/create", `{"name":"x"}`, "Origin", origin)
			refuse(t, no, "PUT", proxyPath+"/"+a.artifacts+"/x", `x`, "Origin", origin)
		}
		for _, form := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/html", "", "<script>alert(1)</script>"} {
			refuse(t, bad, "POST", "/api/2.0/mlflow/experiments/create", `{"name":"x"}`, "Content-Type", form)
		}
	})
	if n < minRefused {
		t.Errorf("only %d variants", n)
	}
	t.Logf("%d variants", n)
}

// sources are addresses that model versions must not have, and locations
// that experiments may have but the server does not follow.
func (a *attacked) sources(t *testing.T, refuse func(*testing.T, []int, string, string, string, ...string)) {
	t.Helper()
	trap := newTrap(t)
	own := "mlflow-artifacts:/" + a.artifacts
	for _, source := range []string{
		"/etc/passwd", "/", "..", "../..", "./x", "etc", "file:///etc", "file:/etc", "FILE:///etc", "file://localhost/etc", `C:\windows`, `\\host\share`,
		own + "/../../../secret.txt", own + "/..", own + "/%2e%2e/%2e%2e", own + "/%252e%252e/x", own + `/..\..\x`, own + "/a\\u0000b", "mlflow-artifacts:/0/other/artifacts", "mlflow-artifacts:/" + a.foreign,
		"mlflow-artifacts:/" + a.artifacts + "x", "mlflow-artifacts:/0", "mlflow-artifacts:/",
		"runs:/" + a.run + "/../../x", "runs:/other/model", "runs:/../x", "models:/", "models:/none/1", "models:/m/99", "models:/m@none", "models:/m-none", "models:/../x", "",
	} {
		body := fmt.Sprintf(`{"name":"m","source":%q,"run_id":%q}`, source, a.run)
		body = strings.ReplaceAll(body, `\\u0000`, `\u0000`)
		refuse(t, missing, "POST", "/api/2.0/mlflow/model-versions/create", body)
	}
	// The status is upstream's.
	refuse(t, []int{http.StatusInternalServerError}, "POST", "/api/2.0/mlflow/model-versions/create", fmt.Sprintf(`{"name":"m","source":"file://169.254.169.254/x","run_id":%q}`, a.run))
	// What may be named is never fetched by the server.
	for i, source := range []string{trap.url + "/x", "https://169.254.169.254/latest/meta-data", "s3://bucket/x", "gs://bucket/x", "wasbs://c@a.blob.core.windows.net/x", "hdfs://namenode/x", "dbfs:/x", "ftp://127.0.0.1/x"} {
		name := fmt.Sprintf("elsewhere-%d", i)
		a.must("POST", "registered-models/create", fmt.Sprintf(`{"name":%q}`, name))
		status, _ := a.do("POST", "/api/2.0/mlflow/model-versions/create", fmt.Sprintf(`{"name":%q,"source":%q}`, name, source))
		if status == http.StatusOK {
			refuse(t, bad, "GET", "/model-versions/get-artifact?version=1&path=x&name="+name, "")
		}
	}
	for _, location := range []string{"runs:/x", "s3://b/x#y", "s3://b/x;y", "http://h/?a=../..", "http://h/?a=%2e%2e", "http://h/?a=%252e%252e", "http://h/?a=%25252e%25252e", "mlflow-artifacts:/../..", "mlflow-artifacts:/%2e%2e/x", strings.Repeat("a", 3000)} {
		refuse(t, bad, "POST", "/api/2.0/mlflow/experiments/create", fmt.Sprintf(`{"name":"l","artifact_location":%q}`, location))
	}
	for i, location := range []string{trap.url, "file:///etc", "/etc", a.dir, "file://" + a.dir, "s3://bucket/x", "mlflow-artifacts:/" + a.foreign, "mlflow-artifacts:///" + a.foreign, "mlflow-artifacts://evil.com/x"} {
		status, made := a.do("POST", "/api/2.0/mlflow/experiments/create", fmt.Sprintf(`{"name":"at-%d","artifact_location":%q}`, i, location))
		if status != http.StatusOK {
			continue // refused at once
		}
		run := dig(a.must("POST", "runs/create", fmt.Sprintf(`{"experiment_id":%q}`, made["experiment_id"])), "run", "info", "run_id").(string)
		refuse(t, missing, "GET", "/api/2.0/mlflow/artifacts/list?run_id="+run, "")
		refuse(t, missing, "GET", "/get-artifact?path=secret.txt&run_uuid="+run, "")
		refuse(t, missing, "GET", "/get-artifact?path=passwd&run_uuid="+run, "")
		refuse(t, missing, "POST", "/ajax-api/2.0/mlflow/upload-artifact?path=x&run_uuid="+run, "x")
	}
	if trap.hits() != 0 {
		t.Errorf("the server has called %s", trap.url)
	}
}

// trap is an address that nobody may call.
type trap struct {
	url   string
	calls chan struct{}
}

func (p trap) hits() int { return len(p.calls) }

func newTrap(t *testing.T) trap {
	t.Helper()
	p := trap{calls: make(chan struct{}, 100)}
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { p.calls <- struct{}{} }))
	t.Cleanup(srv.Close)
	p.url = srv.URL
	return p
}

// TestRefused_withoutRights walks every route: without identity, and with one
// of another project.
func TestRefused_withoutRights(t *testing.T) {
	a := attack(t, nil)
	var narrow rights = func(_ server.Permission, namespace string) bool { return namespace == "team-b" }
	h, err := server.New(server.Options{Authenticator: narrow, Authorizer: narrow, Logger: slog.New(slog.DiscardHandler), Endpoints: a.Endpoints()})
	if err != nil {
		t.Fatal(err)
	}
	a.handler = h
	for _, e := range a.Endpoints() {
		if e.Permission.IsPublic() {
			continue
		}
		path, method := e.Pattern, e.Method
		if method == http.MethodPost { // x alone names no call of those behind it
			path = strings.Replace(path, "/mcp-servers/{path...}", "/mcp-servers/x/y/tags", 1)
		}
		for strings.Contains(path, "{") {
			from, rest, _ := strings.Cut(path, "{")
			_, rest, _ = strings.Cut(rest, "}")
			path = from + "x" + rest
		}
		if method == "" {
			method = http.MethodPost
		}
		a.refuse(t, []int{http.StatusUnauthorized}, method, path, "", "Authorization", "none")
		a.refuse(t, []int{http.StatusForbidden}, method, path, "")
		a.refuse(t, []int{http.StatusForbidden}, method, path, "", "X-Mlflow-Workspace", "team-a")
	}
}

// TestArtifacts_doNotRun: what was uploaded is neither run by a browser nor
// read by the server.
func TestArtifacts_doNotRun(t *testing.T) {
	a := attack(t, nil)
	marker := filepath.Join(a.dir, "ran")
	files := map[string]string{
		"page.html": "<script>alert(1)</script>", "page.htm": "<script>", "page.xhtml": "<script>", "image.svg": `<svg onload="alert(1)"/>`, "data.xml": "<x/>", "code.js": "alert(1)", "code.mjs": "alert(1)",
		"style.css": "x", "doc.pdf": "%PDF", "page.html.txt": "<script>", "page.shtml": "<script>", "noextension": "<html><script>", "image.png": "<html><script>", `quote".html`: "<script>", "umlaut-ä.html": "<script>", "app.webmanifest": "{}", "x.mht": "x",
		"model.pkl": "cos\nsystem\n(S'touch " + marker + "'\ntR.", "MLmodel": "flavors: !!python/object/apply:os.system ['touch " + marker + "']\n", "requirements.txt": "; touch " + marker, "python_model.pkl": "\x80\x04cos\nsystem\n",
	}
	for name, content := range files {
		if status := a.put(a.artifacts+"/model/"+escape(name), content); status != http.StatusOK {
			t.Fatalf("%s: %d", name, status)
		}
		q := url.QueryEscape("model/" + name)
		version := url.QueryEscape(name)
		for _, path := range []string{
			proxyPath + "/" + a.artifacts + "/model/" + escape(name), "/ajax-api/2.0/mlflow-artifacts/artifacts/" + a.artifacts + "/model/" + escape(name),
			"/get-artifact?run_uuid=" + a.run + "&path=" + q, "/model-versions/get-artifact?name=m&version=1&path=" + version,
		} {
			w := httptest.NewRecorder()
			a.handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, http.NoBody))
			h := w.Header()
			if w.Code != http.StatusOK || w.Body.String() != content {
				t.Errorf("%s: %d %q", path, w.Code, w.Body)
			}
			if h.Get("X-Content-Type-Options") != "nosniff" || !strings.HasPrefix(h.Get("Content-Disposition"), "attachment") || !strings.Contains(h.Get("Content-Security-Policy"), "sandbox") || strings.Contains(h.Get("Content-Security-Policy"), "allow-") {
				t.Errorf("%s: %v", path, h)
			}
		}
	}
	a.must("POST", "model-versions/create", fmt.Sprintf(`{"name":"m","source":"mlflow-artifacts:/%s/model","run_id":%q}`, a.artifacts, a.run))
	a.must("GET", "artifacts/list?run_id="+a.run+"&path=model", "")
	if _, err := a.ResolveModel(t.Context(), "default", "models:/m/2"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(marker); !os.IsNotExist(err) {
		t.Errorf("something was run: %v", err)
	}
}

// TestRefused_slowPatterns: nothing that a client sends is a program whose
// time grows faster than its length.
func TestRefused_slowPatterns(t *testing.T) {
	a := attack(t, nil)
	long := strings.Repeat("a", 5000)
	a.must("POST", "runs/log-parameter", fmt.Sprintf(`{"run_id":%q,"key":"p","value":%q}`, a.run, long))
	a.must("POST", "runs/set-tag", fmt.Sprintf(`{"run_id":%q,"key":"t","value":%q}`, a.run, long))
	start := time.Now()
	for _, filter := range []string{
		"params.p LIKE '" + strings.Repeat("%a", 200) + "b'", "tags.t ILIKE '" + strings.Repeat("%a", 200) + "b'", "params.p LIKE '" + strings.Repeat("_", 4000) + "'", "tags.t LIKE '" + strings.Repeat("%_", 300) + "'",
		strings.Repeat("params.p = 'a' AND ", 3000) + "params.p = 'a'", strings.Repeat("metrics.p < 1 AND ", 199) + "tags.p = 'a'", strings.Repeat("(", 100_000), strings.Repeat("'", 99_999), strings.Repeat("`", 99_999), "params." + strings.Repeat("a", 200_000) + " = 'x'",
		"attributes.run_id IN (" + strings.Repeat("'a',", 50_000) + "'a')", strings.Repeat(" ", 500_000), "tags.`" + strings.Repeat("a.", 50_000) + "` = 'x'", "metrics.m > " + strings.Repeat("9", 100_000), strings.Repeat("a=", 100_000),
	} {
		status, _ := a.do("POST", "/api/2.0/mlflow/runs/search", fmt.Sprintf(`{"experiment_ids":["0"],"filter":%q}`, filter))
		if status != http.StatusOK && status != http.StatusBadRequest {
			t.Errorf("%.60s…: %d", filter, status)
		}
	}
	for _, key := range []string{strings.Repeat("a/", 50_000), strings.Repeat("../", 50_000), strings.Repeat(" ", 100_000), strings.Repeat("a!", 50_000)} {
		a.refuse(t, bad, "POST", "/api/2.0/mlflow/runs/set-tag", fmt.Sprintf(`{"run_id":%q,"key":%q,"value":"x"}`, a.run, key))
		a.refuse(t, bad, "POST", "/api/2.0/mlflow/registered-models/alias", fmt.Sprintf(`{"name":"m","version":"1","alias":%q}`, key))
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestRefused_headers sends what no client library would.
func TestRefused_headers(t *testing.T) {
	a := attack(t, nil)
	srv := httptest.NewUnstartedServer(a.handler)
	srv.Config.MaxHeaderBytes = 64 << 10
	srv.Start()
	defer srv.Close()
	const call = "POST /api/2.0/mlflow/experiments/create HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
	hidden := "0\r\n\r\nDELETE " + proxyPath + "/" + a.artifacts + " HTTP/1.1\r\nHost: localhost\r\n\r\n"
	for name, request := range map[string]string{
		"TwoLengths":        call + "Content-Length: 5\r\nContent-Length: 40\r\n\r\n" + hidden,
		"LengthAndChunks":   call + "Content-Length: 4\r\nTransfer-Encoding: chunked, identity\r\n\r\n" + hidden,
		"OddEncoding":       call + "Transfer-Encoding: xchunked\r\n\r\n" + hidden,
		"SpaceBeforeColon":  call + "Transfer-Encoding : chunked\r\n\r\n" + hidden,
		"NegativeLength":    call + "Content-Length: -1\r\n\r\n",
		"HugeLength":        call + "Content-Length: 99999999999999999999\r\n\r\n",
		"PlusLength":        call + "Content-Length: +5\r\n\r\n{\"a\":",
		"NulInHeader":       call + "X-Mlflow-Workspace: a\x00b\r\nContent-Length: 2\r\n\r\n{}",
		"TwoHosts":          "GET /version HTTP/1.1\r\nHost: localhost\r\nHost: evil.com\r\n\r\n",
		"NoHost":            "GET /version HTTP/1.1\r\n\r\n",
		"SpaceInTarget":     "GET /version x HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"OversizedHeader":   "GET /version HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("a", 200<<10) + "\r\n\r\n",
		"ManyHeaders":       "GET /version HTTP/1.1\r\nHost: localhost\r\n" + strings.Repeat("X: aaaaaaaa\r\n", 20_000) + "\r\n",
		"OversizedTarget":   "GET /version?" + strings.Repeat("a", 200<<10) + " HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"ForeignAbsolute":   "GET http://evil.com/version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
		"BrokenChunk":       call + "Transfer-Encoding: chunked\r\n\r\nZZ\r\n{}\r\n0\r\n\r\n",
		"BadVersion":        "GET /version HTTP/9.9\r\nHost: localhost\r\n\r\n",
		"NewlineInMethod":   "GE\nT /version HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"NegativeChunkSize": call + "Transfer-Encoding: chunked\r\n\r\n-1\r\n{}\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			before := a.state(a.dir)
			conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(context.WithoutCancel(t.Context()), "tcp", srv.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			go func() { _, _ = io.WriteString(conn, request) }() // the server may stop reading
			answers := 0
			for in := bufio.NewReader(conn); ; answers++ {
				resp, err := http.ReadResponse(in, nil)
				if err != nil {
					break
				}
				if resp.StatusCode < 400 {
					t.Errorf("answer %d: %s", answers, resp.Status)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.Close {
					break
				}
			}
			if diff := cmp.Diff(before, a.state(a.dir)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
