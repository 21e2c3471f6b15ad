package tracking_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/blob/blobtest"
	"github.com/kiwerk/kiwerk/internal/tracking"
)

// onEach runs a test with each kind of bucket.
func onEach(t *testing.T, test func(t *testing.T, p *platform)) {
	t.Helper()
	t.Run("Folder", func(t *testing.T) { test(t, start(t, t.TempDir(), nil)) })
	t.Run("S3", func(t *testing.T) {
		bucket, err := blob.Open(t.Context(), blobtest.StartS3(t)+"/team/artifacts")
		if err != nil {
			t.Fatal(err)
		}
		test(t, startOn(t, filepath.Join(t.TempDir(), "kiwerk.db"), bucket, nil))
	})
}

// fetch is a request with its whole answer.
func (p *platform) fetch(method, path string, body io.Reader, header ...string) *httptest.ResponseRecorder {
	p.t.Helper()
	r := httptest.NewRequest(method, path, body)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	p.handler.ServeHTTP(w, r)
	return w
}

func TestArtifacts_ranges(t *testing.T) {
	onEach(t, func(t *testing.T, p *platform) {
		_, artifacts := p.newRun()
		path := proxyPath + "/" + artifacts + "/model/weights.bin"
		const content = "0123456789"
		put := p.fetch("PUT", path, strings.NewReader(content))
		sum := sha256.Sum256([]byte(content))
		digest := "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
		if put.Code != http.StatusOK || put.Header().Get("Repr-Digest") != digest {
			t.Fatalf("%d %v", put.Code, put.Header())
		}
		whole := p.fetch("GET", path, http.NoBody)
		etag := whole.Header().Get("ETag")
		if whole.Body.String() != content || etag == "" || etag != put.Header().Get("ETag") || whole.Header().Get("Repr-Digest") != digest || whole.Header().Get("Content-Length") != "10" {
			t.Errorf("%q %v", whole.Body, whole.Header())
		}
		for name, c := range map[string]struct {
			header []string
			status int
			want   string
		}{
			"Middle":     {[]string{"Range", "bytes=3-5"}, 206, "345"},
			"Open":       {[]string{"Range", "bytes=8-"}, 206, "89"},
			"Suffix":     {[]string{"Range", "bytes=-2"}, 206, "89"},
			"BeyondEnd":  {[]string{"Range", "bytes=8-99"}, 206, "89"},
			"BehindEnd":  {[]string{"Range", "bytes=10-"}, 416, ""},
			"IfRange":    {[]string{"Range", "bytes=0-0", "If-Range", etag}, 206, "0"},
			"IfRangeOld": {[]string{"Range", "bytes=0-0", "If-Range", `"old"`}, 200, content},
			"NoneMatch":  {[]string{"If-None-Match", etag}, 304, ""},
			"Match":      {[]string{"If-Match", `"old"`}, 412, ""},
		} {
			got := p.fetch("GET", path, http.NoBody, c.header...)
			if got.Code != c.status || c.want != "" && got.Body.String() != c.want {
				t.Errorf("%s: %d %q", name, got.Code, got.Body)
			}
		}
		head := p.fetch("HEAD", path, http.NoBody)
		if head.Code != 200 || head.Body.Len() != 0 || head.Header().Get("Content-Length") != "10" || head.Header().Get("Repr-Digest") != digest {
			t.Errorf("%d %v", head.Code, head.Header())
		}
		// Replaced past the server: the digest no longer counts.
		if _, err := p.bucket.Create(t.Context(), "tracking/"+artifacts+"/model/weights.bin", strings.NewReader("others")); err != nil {
			t.Fatal(err)
		}
		if got := p.fetch("GET", path, http.NoBody); got.Body.String() != "others" || got.Header().Get("Repr-Digest") != "" {
			t.Errorf("%q %v", got.Body, got.Header())
		}
	})
}

// TestArtifacts_multipart does what the client does with a large file.
func TestArtifacts_multipart(t *testing.T) {
	onEach(t, func(t *testing.T, p *platform) {
		srv := httptest.NewServer(p.handler)
		defer srv.Close()
		run, artifacts := p.newRun()
		content := make([]byte, 12<<20+5)
		_, _ = rand.NewChaCha8([32]byte{7}).Read(content) // it never fails
		const part = 5 << 20
		post := func(op, body string) (int, map[string]any) {
			t.Helper()
			return p.do("POST", "/api/2.0/mlflow-artifacts/mpu/"+op+"/"+artifacts+"/model", body)
		}
		begin := func() (string, []any) {
			t.Helper()
			r, err := http.NewRequest(http.MethodPost, srv.URL+"/api/2.0/mlflow-artifacts/mpu/create/"+artifacts+"/model", strings.NewReader(`{"path":"/home/anna/weights.bin","num_parts":3}`))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/json")
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			var made struct {
				ID          string `json:"upload_id"`
				Credentials []any  `json:"credentials"`
			}
			if err := json.NewDecoder(resp.Body).Decode(&made); err != nil || resp.StatusCode != 200 || len(made.Credentials) != 3 {
				t.Fatalf("%d %+v %v", resp.StatusCode, made, err)
			}
			return made.ID, made.Credentials
		}
		send := func(address string, b []byte) (int, string) {
			t.Helper()
			r, err := http.NewRequest(http.MethodPut, address, bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			return resp.StatusCode, resp.Header.Get("ETag")
		}
		id, urls := begin()
		var list []string
		for i, c := range urls {
			from := i * part
			status, etag := send(dig(c, "url").(string), content[from:min(from+part, len(content))])
			if status != http.StatusOK || etag == "" {
				t.Fatalf("part %d: %d", i+1, status)
			}
			list = append(list, fmt.Sprintf(`{"part_number":%d,"etag":%q,"url":"x"}`, i+1, etag))
		}
		if status, _ := send(strings.Replace(dig(urls[0], "url").(string), "ignature=", "ignature=0", 1), []byte("forged")); status != http.StatusForbidden {
			t.Errorf("a forged address was taken: %d", status)
		}
		if got := p.fetch("GET", proxyPath+"/"+artifacts+"/model/weights.bin", http.NoBody); got.Code != 404 {
			t.Errorf("before its end the file is there: %d", got.Code)
		}
		complete := func(parts ...string) string {
			return fmt.Sprintf(`{"path":"weights.bin","upload_id":%q,"parts":[%s]}`, id, strings.Join(parts, ","))
		}
		if status, _ := p.do("POST", "/api/2.0/mlflow-artifacts/mpu/complete/"+artifacts+"/elsewhere", complete(list...)); status == 200 {
			t.Error("an upload ended as another file")
		}
		if status, body := post("complete", complete(list[1], list[0])); status != 400 {
			t.Errorf("parts out of order: %d %v", status, body)
		}
		if status, body := post("complete", complete(list...)); status != 200 {
			t.Fatalf("%d %v", status, body)
		}
		got := p.fetch("GET", proxyPath+"/"+artifacts+"/model/weights.bin", http.NoBody)
		if !bytes.Equal(got.Body.Bytes(), content) {
			t.Errorf("%d bytes came back", got.Body.Len())
		}
		_, native := blob.SignerOf(p.bucket)
		sum := sha256.Sum256(content)
		want := hex.EncodeToString(sum[:])
		if native {
			want = "" // the bytes did not pass here
		}
		if digest, err := p.ArtifactDigest(t.Context(), "default", run, "model/weights.bin"); err != nil || digest != want {
			t.Errorf("%q, %v", digest, err)
		}
		id, urls = begin()
		if status, _ := send(dig(urls[0], "url").(string), []byte("x")); status != 200 {
			t.Errorf("%d", status)
		}
		if status, body := post("abort", fmt.Sprintf(`{"path":"weights.bin","upload_id":%q}`, id)); status != 200 {
			t.Errorf("%d %v", status, body)
		}
		for info, err := range blob.Walk(t.Context(), p.bucket, "tracking/.parts") {
			t.Errorf("left: %+v %v", info, err)
		}
		for _, n := range []string{"0", "-1", "10001"} {
			if status, _ := post("create", `{"path":"x","num_parts":`+n+`}`); status != 400 {
				t.Errorf("%s parts: %d", n, status)
			}
		}
	})
}

// TestArtifacts_oldParts: what nobody ended goes a day after the beginning.
func TestArtifacts_oldParts(t *testing.T) {
	now := time.Now()
	p := startAt(t, filepath.Join(t.TempDir(), "kiwerk.db"), t.TempDir(), nil, func(d *tracking.Deps) { d.Clock = func() time.Time { return now } })
	_, artifacts := p.newRun()
	begin := func() string {
		t.Helper()
		_, made := p.do("POST", "/api/2.0/mlflow-artifacts/mpu/create/"+artifacts, `{"path":"x","num_parts":1}`)
		return strings.TrimPrefix(dig(made["credentials"].([]any)[0], "url").(string), "http://example.com")
	}
	left := func() (n int) {
		t.Helper()
		for _, err := range blob.Walk(t.Context(), p.bucket, "tracking/.parts") {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		return n
	}
	address := begin()
	if got := p.fetch("PUT", address, strings.NewReader("x")); got.Code != http.StatusOK {
		t.Fatalf("%d %s", got.Code, got.Body)
	}
	for _, c := range []struct {
		after  time.Duration
		status int
		left   int
	}{{11 * time.Hour, 200, 1}, {2 * time.Hour, 403, 1}, {10 * time.Hour, 403, 1}, {3 * time.Hour, 403, 0}} {
		now = now.Add(c.after)
		begin()
		if got := p.fetch("PUT", address, strings.NewReader("y")); got.Code != c.status || left() != c.left {
			t.Errorf("after %v: %d, %d left", c.after, got.Code, left())
		}
	}
}

// TestArtifacts_storeUnusable: what the operator must mend is no 500, which
// clients would repeat for minutes.
func TestArtifacts_storeUnusable(t *testing.T) {
	blobtest.StartS3(t)
	for name, c := range map[string]struct {
		place, secret string
		status        int
		says          string
	}{
		"NoBucket": {"s3://nowhere", blobtest.SecretKey, http.StatusNotFound, "does not exist; its operator"},
		"Denied":   {"s3://" + blobtest.Bucket, "wrong", http.StatusForbidden, "refuses the credentials"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("AWS_SECRET_ACCESS_KEY", c.secret)
			bucket, err := blob.Open(t.Context(), c.place)
			if err != nil {
				t.Fatal(err)
			}
			p := startOn(t, filepath.Join(t.TempDir(), "kiwerk.db"), bucket, nil)
			run, artifacts := p.newRun()
			for _, r := range [][3]string{
				{"PUT", proxyPath + "/" + artifacts + "/a", "x"}, {"GET", proxyPath + "?path=" + artifacts, ""}, {"GET", "/api/2.0/mlflow/artifacts/list?run_id=" + run, ""},
			} {
				if status, answer := p.do(r[0], r[1], r[2]); status != c.status || !strings.Contains(fmt.Sprint(answer["message"]), c.says) {
					t.Errorf("%s %s: %d %v", r[0], r[1], status, answer)
				}
			}
		})
	}
}

// TestArtifacts_signingRefused: what the credentials turn out not to be able to
// sign goes through the server, also where the client has asked for parts.
func TestArtifacts_signingRefused(t *testing.T) {
	blobtest.StartIAM(t, func([]byte) []byte { return nil })
	bucket, err := blob.Open(t.Context(), blobtest.StartGCS(t)+"/team")
	if err != nil {
		t.Fatal(err)
	}
	p := startOn(t, filepath.Join(t.TempDir(), "kiwerk.db"), bucket, nil)
	_, artifacts := p.newRun()
	signs := func() bool {
		t.Helper()
		_, info := p.do("GET", "/api/3.0/mlflow/server-info", "")
		return info["multipart_downloads_enabled"] == true
	}
	if !signs() {
		t.Error("it is not known before the first try")
	}
	_, made := p.do("POST", "/api/2.0/mlflow-artifacts/mpu/create/"+artifacts, `{"path":"x","num_parts":1}`)
	address := strings.TrimPrefix(dig(made["credentials"].([]any)[0], "url").(string), "http://example.com")
	if got := p.fetch("PUT", address, strings.NewReader("content")); got.Code != http.StatusOK {
		t.Fatalf("%d %s", got.Code, got.Body)
	}
	if status, answer := p.do("POST", "/api/2.0/mlflow-artifacts/mpu/complete/"+artifacts, fmt.Sprintf(`{"path":"x","upload_id":%q,"parts":[{"part_number":1}]}`, made["upload_id"])); status != http.StatusOK {
		t.Fatalf("%d %v", status, answer)
	}
	if got := p.fetch("GET", proxyPath+"/"+artifacts+"/x", http.NoBody); got.Body.String() != "content" {
		t.Errorf("%d %q", got.Code, got.Body)
	}
	if status, answer := p.do("GET", "/api/2.0/mlflow-artifacts/presigned/"+artifacts+"/x", ""); status != http.StatusNotImplemented || answer["message"] != "Multipart download is not supported for the current artifact repository" {
		t.Errorf("%d %v", status, answer)
	}
	if signs() {
		t.Error("the refusal is forgotten")
	}
}

func TestArtifacts_presigned(t *testing.T) {
	onEach(t, func(t *testing.T, p *platform) {
		_, native := blob.SignerOf(p.bucket)
		_, artifacts := p.newRun()
		p.put(artifacts+"/model/x.bin", "0123456789")
		_, info := p.do("GET", "/api/3.0/mlflow/server-info", "")
		if info["multipart_downloads_enabled"] != native || info["multipart_uploads_enabled"] != native {
			t.Errorf("%v", info)
		}
		status, answer := p.do("GET", "/api/2.0/mlflow-artifacts/presigned/"+artifacts+"/model/x.bin", "")
		if !native {
			if status != http.StatusNotImplemented {
				t.Errorf("%d %v", status, answer)
			}
			return
		}
		if status != 200 || answer["file_size"] != 10.0 {
			t.Fatalf("%d %v", status, answer)
		}
		r, err := http.NewRequest(http.MethodGet, answer["url"].(string), http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Range", "bytes=2-4")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "234" {
			t.Errorf("%q %v", b, err)
		}
		if status, answer := p.do("GET", "/api/2.0/mlflow-artifacts/presigned/"+artifacts+"/none", ""); status != 404 {
			t.Errorf("%d %v", status, answer)
		}
		experiment := p.must("POST", "experiments/create", `{"name":"direct","artifact_location":"s3://models/direct"}`)["experiment_id"]
		run := dig(p.must("POST", "runs/create", fmt.Sprintf(`{"experiment_id":%q}`, experiment)), "run", "info", "run_id")
		signed := p.must("POST", "artifacts/presigned-upload-url", fmt.Sprintf(`{"run_id":%q,"path":"a/b.txt"}`, run))
		up, err := http.NewRequest(http.MethodPut, signed["presigned_url"].(string), strings.NewReader("direct"))
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := http.DefaultClient.Do(up); err != nil || resp.StatusCode != 200 {
			t.Fatalf("%v %v", resp, err)
		}
		if got := p.fetch("GET", fmt.Sprintf("/get-artifact?run_id=%s&path=a/b.txt", run), http.NoBody); got.Body.String() != "direct" {
			t.Errorf("%d %q", got.Code, got.Body)
		}
		if down := p.must("POST", "artifacts/presigned-download-url", fmt.Sprintf(`{"run_id":%q,"path":"a/b.txt","expiration":60}`, run)); down["file_size"] != 6.0 {
			t.Errorf("%v", down)
		}
	})
}

// TestArtifacts_otherProjectsElsewhere: the source of a version leads to nothing of another project.
func TestArtifacts_otherProjectsElsewhere(t *testing.T) {
	ctx, bucket := t.Context(), openBucket(t)
	p := startAt(t, filepath.Join(t.TempDir(), "kiwerk.db"), t.TempDir(), nil, func(d *tracking.Deps) {
		d.ArtifactRoot = "s3://bucket/root"
		d.Elsewhere = func(_ context.Context, uri string) (blob.Bucket, string, error) {
			return bucket, strings.Trim(strings.TrimPrefix(uri, "s3://bucket/root"), "/"), nil
		}
	})
	ours, theirs := []string{"X-MLFLOW-WORKSPACE", "ours"}, []string{"X-MLFLOW-WORKSPACE", "theirs"}
	file := func(project []string) (key string) {
		e := p.must("POST", "experiments/create", `{"name":"e"}`, project...)["experiment_id"].(string)
		info := dig(p.must("POST", "runs/create", `{"experiment_id":"`+e+`"}`, project...), "run", "info").(map[string]any)
		key = strings.TrimPrefix(info["artifact_uri"].(string), "s3://bucket/root/") + "/f"
		if _, err := bucket.Create(ctx, key, strings.NewReader("of "+project[1])); err != nil {
			t.Fatal(err)
		}
		return key
	}
	own, foreign := file(ours), file(theirs)
	p.must("POST", "registered-models/create", `{"name":"m"}`, ours...)
	p.must("POST", "model-versions/create", `{"name":"m","source":"s3://bucket/root"}`, ours...)
	for key, want := range map[string]int{own: http.StatusOK, foreign: http.StatusNotFound} {
		if status, out := p.do("GET", "/model-versions/get-artifact?name=m&version=1&path="+key, "", ours...); status != want {
			t.Errorf("%s: %d %v, want %d", key, status, out, want)
		}
	}
}

func openBucket(t *testing.T) blob.Bucket {
	t.Helper()
	b, err := blob.OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// TestArtifacts_headers: names and kinds as clients of MLflow compare them.
func TestArtifacts_headers(t *testing.T) {
	p := start(t, t.TempDir(), nil)
	_, artifacts := p.newRun()
	for name, want := range map[string][2]string{
		"a.txt":                 {"text/plain", "attachment; filename=a.txt"},
		"x.json":                {"text/plain", "attachment; filename=x.json"},
		"MLmodel":               {"text/plain", "attachment; filename=MLmodel"},
		"mlproject":             {"text/plain", "attachment; filename=mlproject"},
		"b.pkl":                 {"application/octet-stream", "attachment; filename=b.pkl"},
		"noext":                 {"application/octet-stream", "attachment; filename=noext"},
		"c.png":                 {"image/png", "attachment; filename=c.png"},
		"d.pdf":                 {"application/pdf", "attachment; filename=d.pdf"},
		"p.html":                {"text/html", "attachment; filename=p.html"},
		"dog+step+20.txt":       {"text/plain", "attachment; filename=dog+step+20.txt"},
		"x y.txt":               {"text/plain", `attachment; filename="x y.txt"`},
		"a;b.txt":               {"text/plain", `attachment; filename="a;b.txt"`},
		"\u00fc.txt":            {"text/plain", "attachment; filename=_.txt; filename*=UTF-8''%C3%BC.txt"},
		"quote\u201cd file.txt": {"text/plain", `attachment; filename="quote_d file.txt"; filename*=UTF-8''quote%E2%80%9Cd%20file.txt`},
	} {
		path := proxyPath + "/" + artifacts + "/" + url.PathEscape(name)
		if w := p.fetch("PUT", path, strings.NewReader("x")); w.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", name, w.Code, w.Body)
		}
		h := p.fetch("GET", path, http.NoBody).Header()
		if got := [2]string{h.Get("Content-Type"), h.Get("Content-Disposition")}; got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// TestArtifacts_top: the root of all artifacts shows each project its own.
func TestArtifacts_top(t *testing.T) {
	p := start(t, t.TempDir(), nil)
	_, ours := p.newRun()
	team := []string{"X-MLFLOW-WORKSPACE", "team"}
	e := p.must("POST", "experiments/create", `{"name":"e"}`, team...)["experiment_id"].(string)
	for path, project := range map[string][]string{ours + "/a": nil, "shared.txt": nil, e + "/r/artifacts/b": team} {
		if status := p.put(path, "x", project...); status != http.StatusOK {
			t.Fatalf("%s: %d", path, status)
		}
	}
	if w := p.fetch("POST", "/api/2.0/mlflow-artifacts/mpu/create/"+ours, strings.NewReader(`{"path":"big","num_parts":1}`), "Content-Type", "application/json"); w.Code != http.StatusOK {
		t.Fatal(w.Body)
	}
	for _, c := range []struct {
		project []string
		want    string
	}{
		{nil, `{"files":[{"is_dir":true,"path":"0"},{"file_size":1,"is_dir":false,"path":"shared.txt"}]}`},
		{team, `{"files":[{"is_dir":true,"path":"` + e + `"}]}`},
		{[]string{"X-MLFLOW-WORKSPACE", "other"}, `{}`},
	} {
		status, out := p.do("GET", proxyPath, "", c.project...)
		got, err := json.Marshal(out)
		if status != http.StatusOK || err != nil || string(got) != c.want {
			t.Errorf("%v: %d %s (%v), want %s", c.project, status, got, err, c.want)
		}
	}
}

// TestArtifacts_ownAddress: artifacts that clients reach under the server's
// own address are those of the server.
func TestArtifacts_ownAddress(t *testing.T) {
	p := startAt(t, filepath.Join(t.TempDir(), "kiwerk.db"), t.TempDir(), nil, func(d *tracking.Deps) {
		d.ArtifactRoot = "http://127.0.0.1:5000" + proxyPath
		d.Elsewhere = func(_ context.Context, uri string) (blob.Bucket, string, error) {
			return nil, "", errors.New("asked for " + uri)
		}
	})
	info := dig(p.must("POST", "runs/create", `{"experiment_id":"0"}`), "run", "info").(map[string]any)
	run, uri := info["run_id"].(string), info["artifact_uri"].(string)
	if want := "http://127.0.0.1:5000" + proxyPath + "/0/" + run + "/artifacts"; uri != want {
		t.Fatalf("%s, want %s", uri, want)
	}
	if status := p.put("0/"+run+"/artifacts/dir/a.txt", "abc"); status != http.StatusOK {
		t.Fatal(status)
	}
	list := p.must("GET", "artifacts/list?path=dir&run_id="+run, "")
	if files, ok := list["files"].([]any); !ok || len(files) != 1 || list["root_uri"] != uri {
		t.Errorf("%v", list)
	}
	if w := p.fetch("GET", "/get-artifact?path=dir/a.txt&run_uuid="+run, http.NoBody); w.Code != http.StatusOK || w.Body.String() != "abc" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := p.fetch("POST", "/ajax-api/2.0/mlflow/upload-artifact?path=b&run_uuid="+run, strings.NewReader("x")); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestArtifacts_invalidPath: the text is compared as a whole, and comes before the search for what is named.
func TestArtifacts_invalidPath(t *testing.T) {
	p := start(t, t.TempDir(), nil)
	run, _ := p.newRun()
	for _, path := range []string{
		"/api/2.0/mlflow/artifacts/list?path=../x&run_id=" + run, "/get-artifact?path=../x&run_id=" + run, "/get-artifact?path=../x&run_id=none",
		"/model-versions/get-artifact?name=none&version=1&path=../x", proxyPath + "/..%2Fx", proxyPath + "?path=/etc",
	} {
		status, out := p.do("GET", path, "")
		if status != http.StatusBadRequest || out["message"] != "Invalid path" || out["error_code"] != "INVALID_PARAMETER_VALUE" {
			t.Errorf("%s: %d %v", path, status, out)
		}
	}
	if status, out := p.do("POST", "/ajax-api/2.0/mlflow/upload-artifact?path=../x&run_uuid="+run, ""); status != http.StatusBadRequest || out["message"] != "Invalid path" {
		t.Errorf("%d %v", status, out)
	}
}

// TestPromptLab: what was tried with a prompt is a run with a table and a model.
func TestPromptLab(t *testing.T) {
	p := start(t, t.TempDir(), nil)
	const path = "/ajax-api/2.0/mlflow/runs/create-promptlab-run"
	body := map[string]any{}
	for _, f := range []struct {
		name  string
		value any
	}{
		{"experiment_id", "0"},
		{"prompt_template", "Say {{ what }}"},
		{"prompt_parameters", []any{map[string]any{"key": "what", "value": "\"hello\""}}},
		{"model_route", "chat"},
		{"model_input", "Say hello"},
		{"mlflow_version", "3.17.2"},
	} {
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		if status, out := p.do("POST", path, string(b)); status != http.StatusBadRequest || out["message"] != "CreatePromptlabRun request must specify "+f.name+"." {
			t.Errorf("%s: %d %v", f.name, status, out)
		}
		body[f.name] = f.value
	}
	body["model_output"], body["run_name"], body["start_time"] = "hello!", "first", 456
	body["model_parameters"] = []any{map[string]any{"key": "temperature", "value": 0.1}}
	body["model_output_parameters"] = []any{map[string]any{"key": "latency", "value": 100}}
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	status, out := p.do("POST", path, string(b))
	info, ok := dig(out, "run", "info").(map[string]any)
	if status != http.StatusOK || !ok || info["status"] != "FINISHED" || info["run_name"] != "first" || info["start_time"] != 456.0 {
		t.Fatalf("%d %v", status, out)
	}
	data, err := json.Marshal(dig(out, "run", "data"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`{"key":"temperature","value":"0.1"}`, `{"key":"model_route","value":"chat"}`, `"value":"PROMPT_ENGINEERING"`, `[{\"path\": \"eval_results_table.json\", \"type\": \"table\"}]`} {
		if !strings.Contains(string(data), want) {
			t.Errorf("%s lacks %s", data, want)
		}
	}
	run := info["run_id"].(string)
	for file, want := range map[string]string{
		"eval_results_table.json": `{"columns":["what","prompt","output","latency"],"data":[["\"hello\"","Say hello","hello!","100"]]}`,
		"model/requirements.txt":  "mlflow[gateway]==3.17.2\n",
		"model/parameters.yaml":   `{"model_parameters":{"temperature":"0.1"},"model_route":"chat","prompt_parameters":{"what":"\"hello\""},"prompt_template":"Say {{ what }}"}`,
	} {
		if w := p.fetch("GET", "/get-artifact?run_id="+run+"&path="+file, http.NoBody); w.Code != http.StatusOK || w.Body.String() != want {
			t.Errorf("%s: %d %s", file, w.Code, w.Body)
		}
	}
	if status, out := p.do("POST", path, strings.Replace(string(b), `"0"`, `"99"`, 1)); status != http.StatusNotFound {
		t.Errorf("%d %v", status, out)
	}
}
