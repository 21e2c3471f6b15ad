package step

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The test program is the agent when it is called with this variable.
const beAgent = "KIWERK_TEST_BE_AGENT"

func TestMain(m *testing.M) {
	if os.Getenv(beAgent) != "" {
		os.Unsetenv(beAgent)
		os.Exit(Main(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// objects is an artifact store over HTTP.
type objects struct {
	mu    sync.Mutex
	data  map[string][]byte
	fail  int // requests that are answered with 503 first
	code  int // answer to every PUT, if set
	puts  int
	token string
}

func (o *objects) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer "+o.token {
		http.Error(w, "no token", http.StatusUnauthorized)
		return
	}
	if o.fail > 0 {
		o.fail--
		http.Error(w, "restarting", http.StatusServiceUnavailable)
		return
	}
	key := strings.TrimPrefix(r.URL.Path, "/kiwerk/v1/projects/ns/artifacts/")
	switch r.Method {
	case http.MethodPut:
		o.puts++
		if o.code != 0 {
			http.Error(w, "refused", o.code)
			return
		}
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		o.data[key] = b
	case http.MethodGet:
		b, ok := o.data[key]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Write(b)
	}
}

// bench is where a step runs in a test.
type bench struct {
	t       *testing.T
	dir     string
	objects *objects
	url     string
	env     []string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir(), objects: &objects{data: map[string][]byte{}, token: "secret"}}
	s := httptest.NewServer(b.objects)
	t.Cleanup(s.Close)
	b.url = s.URL
	if err := os.WriteFile(b.path("token"), []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + b.dir, "KIWERK_URL=" + b.url, "KIWERK_TOKEN_FILE=" + b.path("token"), "MLFLOW_TRACKING_URI=" + b.url}
	return b
}

func (b *bench) path(elem ...string) string {
	return filepath.Join(append([]string{b.dir}, elem...)...)
}

func (b *bench) command(s Spec, command ...string) *exec.Cmd {
	b.t.Helper()
	s.Namespace, s.Message, s.ReportKey = "ns", b.path("message"), "workflows/u/p/outputs.json"
	vars, err := s.Encode()
	if err != nil {
		b.t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], append([]string{"--"}, command...)...)
	cmd.Env = append(append([]string{}, b.env...), beAgent+"=1")
	for _, v := range vars {
		cmd.Env = append(cmd.Env, v.Name+"="+v.Value)
	}
	cmd.Dir = b.dir
	return cmd
}

// run gives what the step printed, its exit code and its report.
func (b *bench) run(s Spec, command ...string) (string, int, Report) {
	b.t.Helper()
	cmd := b.command(s, command...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		b.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode(), b.report()
}

func (b *bench) report() Report {
	b.t.Helper()
	text, err := os.ReadFile(b.path("message"))
	if err != nil {
		b.t.Fatal(err)
	}
	if len(text) > MaxMessage {
		b.t.Errorf("the message has %d bytes", len(text))
	}
	r, ok := ParseReport(string(text))
	if !ok {
		b.t.Fatalf("message %q is no report", text)
	}
	return r
}

func ptr[T any](v T) *T { return &v }

func TestMain_commandAndResult(t *testing.T) {
	b := newBench(t)
	out, exit, r := b.run(Spec{Result: true}, "sh", "-c", `echo "$0 $KIWERK_STEP$MLFLOW_TRACKING_TOKEN"; echo two >&2; echo end`, "first")
	// Both streams end in one pipe here; their order is not ours.
	if exit != 0 || strings.Replace(out, "two\n", "", 1) != "first secret\nend\n" || !strings.Contains(out, "two\n") {
		t.Errorf("exit %d, output %q", exit, out)
	}
	if r.Result == nil || *r.Result != "first secret\nend" || r.ExitCode != 0 || r.Error != "" {
		t.Errorf("report %+v", r)
	}
}

func TestMain_tokenGoesToThePlatformOnly(t *testing.T) {
	b := newBench(t)
	b.env = append(b.env, "MLFLOW_TRACKING_URI=https://elsewhere.example")
	if out, _, _ := b.run(Spec{}, "sh", "-c", "echo token=$MLFLOW_TRACKING_TOKEN"); out != "token=\n" {
		t.Errorf("output %q", out)
	}
	b.env = append(b.env, "MLFLOW_TRACKING_URI="+b.url, "MLFLOW_TRACKING_TOKEN=own")
	if out, _, _ := b.run(Spec{}, "sh", "-c", "echo token=$MLFLOW_TRACKING_TOKEN"); out != "token=own\n" {
		t.Errorf("output %q", out)
	}
}

func TestMain_script(t *testing.T) {
	b := newBench(t)
	long := "# " + strings.Repeat("ä", 100_000) + "\n" // more than one variable can hold
	out, exit, _ := b.run(Spec{Script: ptr(long + `echo "arguments: $#"; exit 7`)}, "sh", "-e")
	if exit != 7 || out != "arguments: 0\n" {
		t.Errorf("exit %d, output %q", exit, out)
	}
}

func TestMain_failedCommand(t *testing.T) {
	b := newBench(t)
	if err := os.WriteFile(b.path("value"), []byte("partial\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	spec := Spec{
		Parameters: []OutputParameter{{Name: "there", Path: b.path("value")}, {Name: "missing", Path: b.path("nothing")}},
		Artifacts:  []OutputArtifact{{Name: "a", Path: b.path("nothing"), Key: "k"}},
	}
	_, exit, r := b.run(spec, "sh", "-c", "echo reason > "+b.path("message")+"; exit 3")
	want := Report{Version: 1, ExitCode: 3, Message: "reason", Parameters: []Parameter{{Name: "there", Value: "partial"}}}
	if diff := cmp.Diff(want, r); diff != "" || exit != 3 {
		t.Errorf("exit %d, report: %s", exit, diff)
	}
}

func TestMain_agentErrors(t *testing.T) {
	for name, c := range map[string]struct {
		spec    func(b *bench) Spec
		command string
		want    string
	}{
		"NoSuchCommand":    {func(*bench) Spec { return Spec{} }, "no-such-program", `command: executable "no-such-program" not found in PATH`},
		"MissingParameter": {func(b *bench) Spec { return Spec{Parameters: []OutputParameter{{Name: "p", Path: b.path("x")}}} }, "true", "output parameter p: the command has not written its file"},
		"MissingArtifact": {func(b *bench) Spec {
			return Spec{Artifacts: []OutputArtifact{{Name: "a", Path: b.path("x"), Key: "k"}}}
		}, "true", "output artifact a: the command has not written it"},
		"MissingInput": {func(b *bench) Spec { return Spec{Inputs: []Input{{Name: "i", Path: b.path("x"), Key: "k"}}} }, "true", "input artifact i: file does not exist: GET k: 404 Not Found"},
		"LargeParameter": {
			func(b *bench) Spec {
				if err := os.WriteFile(b.path("big"), make([]byte, MaxParameter+1), 0o600); err != nil {
					b.t.Fatal(err)
				}
				return Spec{Parameters: []OutputParameter{{Name: "p", Path: b.path("big")}}}
			},
			"true", "is larger than 262144 bytes; use an artifact for data",
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			out, exit, r := b.run(c.spec(b), c.command)
			if exit != ExitAgent || r.ExitCode != ExitAgent || !strings.Contains(r.Error, c.want) || !strings.Contains(out, c.want) {
				t.Errorf("exit %d, report %+v, output %q; want %q", exit, r, out, c.want)
			}
		})
	}
}

func TestMain_artifactsThereAndBack(t *testing.T) {
	b := newBench(t)
	spec := Spec{Artifacts: []OutputArtifact{
		{Name: "file", Path: b.path("out", "file.txt"), Key: "w/file.tgz"},
		{Name: "folder", Path: b.path("out", "folder"), Key: "w/folder.tgz", Level: ptr(int32(1))},
		{Name: "plain", Path: b.path("out", "plain"), Key: "w/pl ain", Plain: true},
		{Name: "absent", Path: b.path("out", "absent"), Key: "w/absent.tgz", Optional: true},
	}, Parameters: []OutputParameter{{Name: "p", Path: b.path("out", "file.txt")}, {Name: "d", Path: b.path("nothing"), Default: ptr("given")}}}
	_, exit, r := b.run(spec, "sh", "-ec", `cd out; echo content > file.txt; mkdir -p folder/sub folder/empty; echo x > folder/sub/f; chmod 750 folder/sub/f; ln -s sub/f folder/link; echo raw > plain`)
	if exit != 0 || len(r.Artifacts) != 3 {
		t.Fatalf("exit %d, report %+v", exit, r)
	}
	if diff := cmp.Diff([]Parameter{{Name: "p", Value: "content"}, {Name: "d", Value: "given"}}, r.Parameters); diff != "" {
		t.Error(diff)
	}
	if got := string(b.objects.data["w/pl ain"]); got != "raw\n" {
		t.Errorf("plain object %q", got)
	}
	if err := os.MkdirAll(b.path("in", "volume", "lost+found"), 0o755); err != nil {
		t.Fatal(err)
	}
	spec = Spec{Inputs: []Input{
		{Name: "file", Path: b.path("in", "renamed.txt"), Key: "w/file.tgz", Mode: ptr(int32(0o600))},
		{Name: "folder", Path: b.path("in", "volume"), Key: "w/folder.tgz"},
		{Name: "plain", Path: b.path("in", "plain"), Key: "w/pl ain"},
		{Name: "archive", Path: b.path("in", "archive.tgz"), Key: "w/file.tgz", Plain: true},
		{Name: "raw", Path: b.path("in", "deep", "raw"), Raw: ptr("as it is")},
		{Name: "optional", Path: b.path("in", "optional"), Key: "w/none", Optional: true},
	}}
	out, exit, _ := b.run(spec, "sh", "-ec", `cd in; cat renamed.txt volume/link plain deep/raw; stat -c %a renamed.txt volume/sub/f; ls -A volume; gzip -t archive.tgz; test ! -e optional; ls -A | grep kiwerk || true`)
	want := "content\nx\nraw\nas it is600\n750\nempty\nlink\nlost+found\nsub\n"
	if exit != 0 || out != want {
		t.Errorf("exit %d, output %q, want %q", exit, out, want)
	}
}

func TestMain_largeReport(t *testing.T) {
	b := newBench(t)
	_, exit, r := b.run(Spec{Result: true}, "sh", "-c", "head -c 300000 /dev/zero | tr '\\0' '<'; echo end")
	if exit != 0 || r.Key != "workflows/u/p/outputs.json" || r.Result != nil {
		t.Fatalf("exit %d, report %+v", exit, r)
	}
	var full Report
	if err := json.Unmarshal(b.objects.data[r.Key], &full); err != nil {
		t.Fatal(err)
	}
	if n := len(*full.Result); n != MaxResult-1 || !strings.HasSuffix(*full.Result, "<end") {
		t.Errorf("the result has %d bytes", n)
	}
}

func TestMain_storeRestarts(t *testing.T) {
	b := newBench(t)
	b.objects.fail = 3
	_, exit, r := b.run(Spec{Artifacts: []OutputArtifact{{Name: "a", Path: b.path("f"), Key: "k"}}}, "sh", "-c", "echo x > f")
	if exit != 0 || len(r.Artifacts) != 1 {
		t.Errorf("exit %d, report %+v", exit, r)
	}
}

func TestMain_storeRefuses(t *testing.T) {
	for name, code := range map[string]int{"DiskFull": http.StatusInsufficientStorage, "Forbidden": http.StatusForbidden, "TooLarge": http.StatusRequestEntityTooLarge} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.objects.code = code
			_, exit, r := b.run(Spec{Artifacts: []OutputArtifact{{Name: "a", Path: b.path("f"), Key: "k"}}}, "sh", "-c", "echo x > f")
			if exit != ExitAgent || b.objects.puts != 1 || !strings.Contains(r.Error, "refused") {
				t.Errorf("exit %d after %d requests, report %+v", exit, b.objects.puts, r)
			}
		})
	}
}

func TestMain_signals(t *testing.T) {
	b := newBench(t)
	cmd := b.command(Spec{}, "sh", "-c", `trap 'echo got it; exit 5' TERM; echo ready; while :; do sleep 0.05; done`)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make([]byte, 6)
	if _, err := io.ReadFull(stdout, ready); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(stdout)
	if err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 5 || string(rest) != "got it\n" {
		t.Errorf("%v, output %q", err, rest)
	}
	if r := b.report(); r.ExitCode != 5 {
		t.Errorf("report %+v", r)
	}
}

func TestMain_killedCommand(t *testing.T) {
	b := newBench(t)
	if _, exit, r := b.run(Spec{}, "sh", "-c", "kill -9 $$"); exit != 137 || r.ExitCode != 137 {
		t.Errorf("exit %d, report %+v", exit, r)
	}
}

func TestMain_doesNotWaitForWhatIsLeftBehind(t *testing.T) {
	b := newBench(t)
	began := time.Now()
	_, exit, r := b.run(Spec{Result: true}, "sh", "-c", "sleep 120 2>/dev/null & echo done")
	if exit != 0 || *r.Result != "done" || time.Since(began) > 100*time.Second {
		t.Errorf("exit %d after %v, report %+v", exit, time.Since(began), r)
	}
}

type tarEntry struct {
	name, link, body string
	typ              byte
}

func archive(tb testing.TB, entries ...tarEntry) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		if e.typ == 0 {
			e.typ = tar.TypeReg
		}
		if err := w.WriteHeader(&tar.Header{Name: e.name, Linkname: e.link, Typeflag: e.typ, Size: int64(len(e.body)), Mode: 0o644}); err != nil {
			tb.Fatal(err)
		}
		if _, err := w.Write([]byte(e.body)); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func TestUnpack_refusesToLeave(t *testing.T) {
	for name, entries := range map[string][]tarEntry{
		"Parent":          {{name: "../outside", body: "x"}},
		"Absolute":        {{name: "/outside", body: "x"}},
		"ThroughLink":     {{name: "l", link: "..", typ: tar.TypeSymlink}, {name: "l/outside", body: "x"}},
		"ThroughAbsolute": {{name: "l", link: "/tmp", typ: tar.TypeSymlink}, {name: "l/outside", body: "x"}},
		"HardLink":        {{name: "l", link: "../outside", typ: tar.TypeLink}},
		"OverLink":        {{name: "l", link: "../outside", typ: tar.TypeSymlink}, {name: "l", body: "x"}},
		"Device":          {{name: "d", typ: tar.TypeChar}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if _, err := unpack(bytes.NewReader(archive(t, entries...)), filepath.Join(dir, "in")); err == nil {
				t.Error("it was unpacked")
			}
			if _, err := os.Lstat(filepath.Join(dir, "outside")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("something lies outside: %v", err)
			}
		})
	}
}

func FuzzUnpack(f *testing.F) {
	plain := archive(f, tarEntry{name: "a/b", body: "x"}, tarEntry{name: "a/l", link: "b", typ: tar.TypeSymlink})
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	w.Write(plain)
	w.Close()
	for _, seed := range [][]byte{plain, z.Bytes(), archive(f, tarEntry{name: "../x", body: "y"}), {0x1f, 0x8b}, nil, make([]byte, 1024)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		if _, err := unpack(bytes.NewReader(data), filepath.Join(dir, "in")); err != nil {
			return
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) > 1 {
			t.Errorf("%v beside the folder, %v", entries, err)
		}
	})
}

func FuzzDecodeSpec(f *testing.F) {
	f.Add(`{"message":"/m","inputs":[{"name":"a","path":"/x","key":"k"}]}`, "rest")
	f.Add(`{"message":"relative"}`, "")
	f.Fuzz(func(_ *testing.T, text, more string) {
		_, _, _ = DecodeSpec([]string{Env + "=" + text, Env + "_1=" + more, "PATH=/bin"})
		_, _ = ParseReport(text)
	})
}

func FuzzReadResponse(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
	f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
	f.Add("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\n\r\n")
	f.Fuzz(func(_ *testing.T, text string) {
		resp, err := readInterim(bufio.NewReader(strings.NewReader(text)), nil)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.body)
		}
	})
}

// The client is measured against the standard library's server.
func TestRequest(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /chunked", func(w http.ResponseWriter, _ *http.Request) {
		for range 3 {
			io.WriteString(w, strings.Repeat("x", 70_000))
			w.(http.Flusher).Flush()
		}
	})
	mux.HandleFunc("GET /cut", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		io.WriteString(w, "short")
	})
	mux.HandleFunc("PUT /echo", func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	mux.HandleFunc("PUT /never", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusForbidden) })
	plain, secure := httptest.NewServer(mux), httptest.NewTLSServer(mux)
	defer plain.Close()
	defer secure.Close()
	read := func(method, path string, body io.Reader) (int, string, error) {
		resp, err := request(t.Context(), method, plain.URL+path, nil, body)
		if err != nil {
			return 0, "", err
		}
		defer resp.Close()
		b, err := io.ReadAll(resp.body)
		return resp.status, string(b), err
	}
	if status, body, err := read("GET", "/chunked", nil); err != nil || status != 200 || len(body) != 210_000 {
		t.Errorf("%d, %d bytes, %v", status, len(body), err)
	}
	if _, _, err := read("GET", "/cut", nil); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a cut body: %v", err)
	}
	large := strings.Repeat("0123456789", 100_000)
	if status, body, err := read("PUT", "/echo", strings.NewReader(large)); err != nil || status != 200 || body != large {
		t.Errorf("%d, %d bytes, %v", status, len(body), err)
	}
	never := &countReader{}
	if status, _, err := read("PUT", "/never", never); err != nil || status != 403 || never.n != 0 {
		t.Errorf("%d, %v; %d bytes were sent although they were refused", status, err, never.n)
	}
	if _, err := request(t.Context(), "GET", secure.URL, nil, nil); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown certificate: %v", err)
	}
	if _, err := request(t.Context(), "GET", plain.URL, map[string]string{"A": "b\r\nC: d"}, nil); err == nil {
		t.Error("a header with a line break was sent")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := request(ctx, "GET", plain.URL+"/chunked", nil, nil); err == nil {
		t.Error("a cancelled request was sent")
	}
}

type countReader struct{ n int }

func (c *countReader) Read(p []byte) (int, error) { c.n += len(p); return len(p), nil }
