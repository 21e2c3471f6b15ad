package rest

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/pipeline/step"
	"github.com/kiwerk/kiwerk/internal/server"
)

// auth lets "reader" read and "writer" do all, in project "default".
type auth struct{}

func (auth) Authenticate(r *http.Request) (server.User, error) {
	name, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return server.User{}, server.ErrUnauthenticated
	}
	return server.User{Name: name}, nil
}

func (auth) Authorize(_ context.Context, u server.User, p server.Permission, namespace string) error {
	if namespace == "default" && p.Resource == "artifacts" && (u.Name == "writer" || u.Name == "reader" && p.Verb == "get") {
		return nil
	}
	return errors.New("no role says so")
}

type fixture struct {
	t   *testing.T
	url string
	dir string
}

func newFixture(t *testing.T, wrap func(blob.Bucket) blob.Bucket) *fixture {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "blobs")
	folder, err := blob.OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	var b blob.Bucket = folder
	if wrap != nil {
		b = wrap(b)
	}
	h, err := server.New(server.Options{
		Authenticator: auth{}, Authorizer: auth{}, Logger: slog.New(slog.DiscardHandler), Endpoints: Artifacts{Blobs: b, MaxSize: 1000}.Endpoints(),
	})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return &fixture{t, s.URL, dir}
}

func (f *fixture) do(method, path, user, body string, header ...string) (*http.Response, string) {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), method, f.url+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	if user != "" {
		req.Header.Set("Authorization", "Bearer "+user)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return resp, string(b)
}

const base = "/kiwerk/v1/projects/default/artifacts/"

func digestOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

func TestArtifacts_thereAndBack(t *testing.T) {
	f := newFixture(t, nil)
	resp, body := f.do("PUT", base+"w/a%20b.html", "writer", "<script>", "Repr-Digest", digestOf("<script>"))
	if resp.StatusCode != 200 || !strings.Contains(body, `"key":"w/a b.html","size":8,"digest":"sha256:`) || resp.Header.Get("Repr-Digest") != digestOf("<script>") {
		t.Fatalf("%s %s", resp.Status, body)
	}
	resp, body = f.do("GET", base+"w/a%20b.html", "reader", "", "Want-Repr-Digest", "sha-256=1")
	if body != "<script>" || resp.Header.Get("Repr-Digest") != digestOf("<script>") {
		t.Errorf("%s %q %v", resp.Status, body, resp.Header)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/octet-stream", "X-Content-Type-Options": "nosniff", "Content-Disposition": `attachment; filename="a b.html"`,
		"Content-Security-Policy": "sandbox; default-src 'none'", "Content-Length": "8",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if resp, body = f.do("HEAD", base+"w/a%20b.html", "reader", ""); resp.StatusCode != 200 || body != "" || resp.ContentLength != 8 {
		t.Errorf("HEAD: %s %q", resp.Status, body)
	}
	resp, _ = f.do("GET", base+"w", "reader", "")
	if resp.Header.Get(step.FolderHeader) == "" || resp.Header.Get("Content-Type") != "application/x-tar" {
		t.Errorf("a folder: %s %v", resp.Status, resp.Header)
	}
}

func TestArtifacts_refusals(t *testing.T) {
	f := newFixture(t, nil)
	if resp, body := f.do("PUT", base+"there", "writer", "x"); resp.StatusCode != 200 {
		t.Fatal(resp.Status, body)
	}
	for name, c := range map[string]struct {
		method, path, user, body string
		header                   []string
		status                   int
		message                  string
	}{
		"NoToken":        {method: "GET", path: base + "there", status: 401, message: "needs a token"},
		"ReaderWrites":   {method: "PUT", path: base + "k", user: "reader", status: 403, message: "may not create artifacts"},
		"OtherProject":   {method: "GET", path: "/kiwerk/v1/projects/other/artifacts/there", user: "writer", status: 403},
		"Missing":        {method: "GET", path: base + "nothing", user: "reader", status: 404, message: `artifact \"nothing\" does not exist`},
		"TooLarge":       {method: "PUT", path: base + "k", user: "writer", body: strings.Repeat("x", 1001), status: 413, message: "larger than 1000 bytes"},
		"WrongDigest":    {method: "PUT", path: base + "k", user: "writer", body: "x", header: []string{"Repr-Digest", digestOf("y")}, status: 400, message: "nothing was stored"},
		"NoDigest":       {method: "PUT", path: base + "k", user: "writer", body: "x", header: []string{"Repr-Digest", "sha-256=:AA:"}, status: 400},
		"BelowAnother":   {method: "PUT", path: base + "there/k", user: "writer", body: "x", status: 409, message: "is an artifact itself"},
		"BadProject":     {method: "GET", path: "/kiwerk/v1/projects/default%2Fx/artifacts/there", user: "writer", status: 403},
		"ClimbEncoded":   {method: "GET", path: base + "%2e%2e/%2e%2e/secret", user: "writer", status: 400, message: "not a clean relative path"},
		"ClimbTwice":     {method: "PUT", path: base + "%252e%252e%252fsecret", user: "writer", body: "x", status: 400},
		"ClimbBackslash": {method: "PUT", path: base + "..%5c..%5csecret", user: "writer", body: "x", status: 400},
		"Absolute":       {method: "PUT", path: base + "%2fetc%2fpasswd", user: "writer", body: "x", status: 400},
		"Null":           {method: "PUT", path: base + "a%00b", user: "writer", body: "x", status: 400},
	} {
		t.Run(name, func(t *testing.T) {
			resp, body := f.do(c.method, c.path, c.user, c.body, c.header...)
			if resp.StatusCode != c.status || !strings.Contains(body, c.message) {
				t.Errorf("%s %s; want %d %q", resp.Status, body, c.status, c.message)
			}
		})
	}
	// Plain dots are redirected to a clean path before anybody looks at them.
	if resp, _ := f.do("PUT", base+"../../../secret", "writer", "x"); resp.StatusCode < 300 {
		t.Errorf("dots: %s", resp.Status)
	}
	var stored []string
	err := filepath.WalkDir(filepath.Dir(f.dir), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			stored = append(stored, path)
		}
		return err
	})
	if err != nil || !slices.Equal(stored, []string{filepath.Join(f.dir, "pipelines", "default", "there")}) {
		t.Errorf("stored are %v, %v", stored, err)
	}
}

// full is a bucket on a disk that is full.
type full struct{ blob.Bucket }

func (full) Create(context.Context, string, io.Reader) (blob.Info, error) {
	return blob.Info{}, &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
}

func TestArtifacts_diskFull(t *testing.T) {
	f := newFixture(t, func(b blob.Bucket) blob.Bucket { return full{b} })
	if resp, body := f.do("PUT", base+"k", "writer", "x"); resp.StatusCode != 507 || !strings.Contains(body, "the disk of the data directory is full") {
		t.Errorf("%s %s", resp.Status, body)
	}
}
