//go:build linux

package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/kiwerk/kiwerk/internal/cli"
	"github.com/kiwerk/kiwerk/internal/config"
	"github.com/kiwerk/kiwerk/internal/text"
)

// disk is a file system of a kind and with room, whatever lies there really.
func disk(kind int64, free uint64, flags int64) func(string) (unix.Statfs_t, error) {
	return func(string) (unix.Statfs_t, error) {
		return unix.Statfs_t{Type: kind, Bsize: 4096, Bavail: free / 4096, Flags: flags}, nil
	}
}

var (
	mine = versions{Format: dataFormat, Version: "1.0.0", Kubernetes: "v1.37.2"}
	noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
)

func TestOpenDataDir_fileSystems(t *testing.T) {
	const room = 100 << 30
	cases := map[string]struct {
		disk func(string) (unix.Statfs_t, error)
		says text.Key
	}{
		"Ext4":     {disk(unix.EXT4_SUPER_MAGIC, room, 0), ""},
		"NFS":      {disk(unix.NFS_SUPER_MAGIC, room, 0), text.DataDirNetwork},
		"SMB":      {disk(unix.SMB2_SUPER_MAGIC, room, 0), text.DataDirNetwork},
		"CIFS":     {disk(unix.CIFS_SUPER_MAGIC, room, 0), text.DataDirNetwork},
		"Full":     {disk(unix.EXT4_SUPER_MAGIC, 100<<20, 0), text.DiskFull},
		"ReadOnly": {disk(unix.EXT4_SUPER_MAGIC, room, unix.ST_RDONLY), text.DataDirReadOnly},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "a", "data")
			d, err := openDataDir(dir, mine, noon, c.disk)
			if c.says == "" {
				if err != nil {
					t.Fatal(err)
				}
				d.Close()
				return
			}
			var f *cli.Failure
			if !errors.As(err, &f) || f.What.Key != c.says || f.Try.Key == "" {
				t.Errorf("got %v, want %s with advice", err, c.says)
			}
			if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the refused start has left its folder: %v", err)
			}
		})
	}
}

func TestOpenDataDir_locksAndProtects(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	d, err := openDataDir(dir, mine, noon, statfs)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	st, err := os.Stat(dir)
	if err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	var f *cli.Failure
	if _, err := openDataDir(dir, mine, noon, statfs); !errors.As(err, &f) || f.What.Key != text.AlreadyRuns {
		t.Errorf("second open: %v", err)
	}
	first, err := d.token()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := d.token(); err != nil || again != first || len(first) != 64 {
		t.Errorf("token %q, then %q, %v", first, again, err)
	}
	if st, err := os.Stat(d.file(tokenFile)); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("token file: %v, %v", st, err)
	}
}

// TestDataDir_abandon leaves a directory as it was before a refused start.
func TestDataDir_abandon(t *testing.T) {
	names := func(dir string) (list []string) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			list = append(list, e.Name())
		}
		return list
	}
	cases := map[string]struct {
		before []string // files of the directory, which is there if there are some
		want   []string // what is in its parent, or in it
	}{
		"NotThere":   {nil, nil},
		"Prepared":   {[]string{configFile}, []string{configFile}},
		"CutOff":     {[]string{lockFile}, nil},
		"RunsAlways": {[]string{"etcd", versionsFile}, []string{"etcd", versionsFile, lockFile, logsDir}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			base := t.TempDir()
			dir := filepath.Join(base, "deep", "data")
			for _, f := range c.before {
				if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, f), []byte("{}"), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			d, err := openDataDir(dir, mine, noon, statfs)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(os.Mkdir(d.file(logsDir), 0o700), d.abandon(), d.Close()); err != nil {
				t.Fatal(err)
			}
			at := base
			if c.before != nil {
				at = dir
			}
			got := slices.DeleteFunc(names(at), func(n string) bool { return n == backupsDir })
			slices.Sort(c.want)
			if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestSettleVersions_damagedFile carries out the advice.
func TestSettleVersions_damagedFile(t *testing.T) {
	d := &dataDir{path: filepath.Join(t.TempDir(), "it's data")}
	if err := errors.Join(os.MkdirAll(d.file("etcd"), 0o700), os.WriteFile(d.file("etcd", "db"), []byte("state"), 0o600), os.WriteFile(d.file(versionsFile), []byte("{"), 0o600)); err != nil {
		t.Fatal(err)
	}
	var f *cli.Failure
	if err := d.settleVersions(mine, noon); !errors.As(err, &f) || f.What.Key != text.VersionsUnreadable {
		t.Fatalf("got %v", err)
	}
	command, _, _ := strings.Cut(f.Try.In(text.For("en")), "   (")
	if out, err := exec.Command("sh", "-c", command).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v %s", command, err, out)
	}
	if err := d.settleVersions(mine, noon); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(d.backup, "etcd", "db")); err != nil || string(b) != "state" {
		t.Errorf("backup %q: %q, %v", d.backup, b, err)
	}
}

func TestChooseListen(t *testing.T) {
	const usual, free, other = config.DefaultListen, "127.0.0.1:0", "127.0.0.1:9000"
	cases := map[string]struct {
		configured string
		told       bool
		last       ports
		want       string
	}{
		"FirstStart":     {usual, false, ports{}, usual},
		"Usual":          {usual, false, ports{Platform: 7878}, usual},
		"NamedBefore":    {usual, false, ports{Platform: 9000}, other},
		"FreeBefore":     {usual, false, ports{Platform: 40001, PlatformFree: true}, free},
		"NamedNow":       {usual, true, ports{Platform: 9000}, usual},
		"FreeNow":        {free, true, ports{Platform: 9000}, free},
		"Configuration":  {"127.0.0.1:8000", false, ports{Platform: 9000}, "127.0.0.1:8000"},
		"OpenIsNotKept":  {usual, false, ports{Platform: 9000}, other}, // after 0.0.0.0:9000, too: only the port is kept
		"ConfiguredFree": {free, false, ports{Platform: 40001, PlatformFree: true}, free},
	}
	for name, c := range cases {
		if got := chooseListen(c.configured, c.told, c.last); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestProgress_suggestsCommandsThatWork(t *testing.T) {
	var b bytes.Buffer
	p := &progress{session: cli.Session{Err: &b, Text: text.For("en").WithDataDir("/d")}}
	p.ready(runState{}, time.Second, true)
	for _, want := range []string{"Next:  kiwerk --data-dir /d status ", "       kiwerk --data-dir /d down   "} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
}

func TestSettleVersions(t *testing.T) {
	cases := map[string]struct {
		have   versions
		fails  text.Key
		backup bool
	}{
		"Same":              {have: mine},
		"OtherPatchOfOurs":  {have: versions{Format: dataFormat, Version: "1.0.1", Kubernetes: "v1.37.2"}},
		"OlderKubernetes":   {have: versions{Format: dataFormat, Version: "0.9.0", Kubernetes: "v1.36.5"}, backup: true},
		"OlderPatch":        {have: versions{Format: dataFormat, Version: "0.9.0", Kubernetes: "v1.37.1"}, backup: true},
		"OlderFormat":       {have: versions{Format: dataFormat - 1, Version: "0.1/..", Kubernetes: "v1.37.2"}, backup: true},
		"NewerKubernetes":   {have: versions{Format: dataFormat, Version: "1.1.0", Kubernetes: "v1.38.0"}, fails: text.DataDirNewer},
		"NewerByTwoDigits":  {have: versions{Format: dataFormat, Version: "1.1.0", Kubernetes: "v1.37.10"}, fails: text.DataDirNewer},
		"NewerFormat":       {have: versions{Format: dataFormat + 1, Version: "2.0.0", Kubernetes: "v1.30.0"}, fails: text.DataDirNewer},
		"UnknownKubernetes": {have: versions{Format: dataFormat, Version: "dev"}, backup: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d := &dataDir{path: t.TempDir()}
			c.have.Ports = ports{Platform: 1, API: 2}
			if err := errors.Join(writeJSON(d.file(versionsFile), c.have), os.MkdirAll(d.file("etcd", "member"), 0o700),
				os.WriteFile(d.file("etcd", "member", "db"), []byte("state"), 0o600)); err != nil {
				t.Fatal(err)
			}
			err := d.settleVersions(mine, noon)
			var f *cli.Failure
			if c.fails != "" {
				var kept versions
				if !errors.As(err, &f) || f.What.Key != c.fails || readJSON(d.file(versionsFile), &kept) != nil || kept != c.have {
					t.Errorf("got %v, file %+v", err, kept)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if (d.backup != "") != c.backup {
				t.Errorf("backup %q", d.backup)
			}
			if c.backup {
				if b, err := os.ReadFile(filepath.Join(d.backup, "etcd", "member", "db")); err != nil || string(b) != "state" {
					t.Errorf("backup: %q, %v", b, err)
				}
				if filepath.Dir(d.backup) != d.file(backupsDir) {
					t.Errorf("the backup lies in %s", d.backup)
				}
			}
			if d.versions.Ports != c.have.Ports || d.versions.Version != mine.Version {
				t.Errorf("versions %+v", d.versions)
			}
		})
	}
}

func TestFindPython(t *testing.T) {
	exists := func(paths ...string) func(string) (fs.FileInfo, error) {
		return func(p string) (fs.FileInfo, error) {
			for _, q := range paths {
				if p == q {
					return os.Stat("/proc/self/exe")
				}
			}
			return nil, fs.ErrNotExist
		}
	}
	onPath := func(p string) func(string) (string, error) {
		return func(string) (string, error) {
			if p == "" {
				return "", exec.ErrNotFound
			}
			return p, nil
		}
	}
	cases := map[string]struct {
		configured string
		stat       func(string) (fs.FileInfo, error)
		path, want string
		fails      bool
	}{
		"Environment":       {"/env", exists("/env/bin/python3"), "", "/env/bin/python3", false},
		"Interpreter":       {"/opt/python3.12", exists("/opt/python3.12"), "", "/opt/python3.12", false},
		"ConfiguredMissing": {"/gone", exists(), "/usr/bin/python3", "", true},
		"BesideTheProject":  {"", exists("/p/bin/../.venv/bin/python3"), "/usr/bin/python3", "/p/.venv/bin/python3", false},
		"OnPath":            {"", exists(), "/usr/bin/python3", "/usr/bin/python3", false},
		"None":              {"", exists(), "", "", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			stat := func(p string) (fs.FileInfo, error) { return c.stat(p) }
			if name == "BesideTheProject" {
				stat = exists("/p/.venv/bin/python3")
			}
			got, err := findPython(c.configured, "/p/bin", stat, onPath(c.path))
			if got != c.want || (err != nil) != c.fails {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestListenPlatform_namesWhoHasThePort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = listenPlatform(l.Addr().String(), 0)
	want := "PID " + strconv.Itoa(os.Getpid())
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	free, err := listenPlatform("127.0.0.1:0", portOf(l))
	if err != nil {
		t.Fatal(err)
	}
	remembered := portOf(free)
	if remembered < firstAny || remembered > lastAny {
		t.Errorf("port %d could be taken by an outgoing connection before the next start", remembered)
	}
	free.Close()
	again, err := listenPlatform("127.0.0.1:0", remembered)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if portOf(again) != remembered {
		t.Errorf("port %d, was %d", portOf(again), remembered)
	}
}

func FuzzParseStart(f *testing.F) {
	f.Add("1 (a) b) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 42 1")
	f.Add("")
	f.Fuzz(func(_ *testing.T, stat string) { parseStart(stat) })
}

func TestParseStart_skipsAnyName(t *testing.T) {
	if got := parseStart("1 (a) 9 9) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 42 1"); got != 42 {
		t.Errorf("got %d", got)
	}
}

func TestContainerOf_walksUp(t *testing.T) {
	parents := map[int]int{40: 30, 30: 20, 20: 10, 10: 1, 7: 1}
	parent := func(pid int) int { return parents[pid] }
	byShim := map[int]containerRecord{20: {Name: "main"}}
	if c, ok := containerOf(40, byShim, parent); !ok || c.Name != "main" {
		t.Errorf("got %+v, %v", c, ok)
	}
	if _, ok := containerOf(7, byShim, parent); ok {
		t.Error("a process of the host counts as a container's")
	}
}

func TestUserNamespaceRemedy_namesTheSetting(t *testing.T) {
	for _, s := range userNamespaceSettings {
		got := userNamespaceRemedy(func(name string) (string, error) {
			if name == s.name {
				return s.forbids, nil
			}
			return "", fs.ErrNotExist
		})
		if got != s.command {
			t.Errorf("%s: %q", s.name, got)
		}
	}
}

// TestMakeRuntimeDir_besideOthers has another cluster that removes the folder around its own again and again.
func TestMakeRuntimeDir_besideOthers(t *testing.T) {
	base := filepath.Join(t.TempDir(), "kiwerk")
	ctx, cancel := context.WithCancel(t.Context())
	var other sync.WaitGroup
	other.Go(func() {
		for ctx.Err() == nil {
			_ = os.Remove(base) // fails while there is something in it
		}
	})
	defer other.Wait()
	defer cancel()
	for range 300 {
		dir := filepath.Join(base, "own")
		if err := makeRuntimeDir(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRuntimeDir_isShortAndPrivate(t *testing.T) {
	deep := filepath.Join(t.TempDir(), strings.Repeat("deep/", 30))
	if err := os.MkdirAll(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	xdg := t.TempDir()
	if err := os.Chmod(xdg, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, base := range map[string]string{"None": "", "Usual": xdg, "TooLong": deep} {
		dir, err := runtimeDir(deep, func(string) string { return base })
		if err != nil || len(dir) > 60+len(xdg) || len(dir) > 80 {
			t.Errorf("%s: %s, %v", name, dir, err)
		}
	}
	open := filepath.Join(t.TempDir(), "open")
	if err := os.Mkdir(open, 0o755); err != nil {
		t.Fatal(err)
	}
	var f *cli.Failure
	if err := makeRuntimeDir(filepath.Join(open, "x")); !errors.As(err, &f) || f.What.Key != text.RuntimeDirForeign {
		t.Errorf("a folder that others can look into: %v", err)
	}
}

func TestLogger_writesECS(t *testing.T) {
	var b bytes.Buffer
	l := newLogger(&b, "info")
	l.With("component", "store").Error("the write failed", "error", errors.New("disk"), "duration", time.Second)
	kubernetesLogger(l, "info").Info("dropped")
	kubernetesLogger(l, "info").WithGroup("g").With("a", 1).Warn("kept", slog.String("error", "inside a group"))
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("got %q", lines)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(lines[0]), &got); err != nil {
		t.Fatal(err)
	}
	delete(got, "@timestamp")
	delete(got, "service.version")
	want := map[string]any{
		"log.level": "error", "message": "the write failed", "service.name": "kiwerk", "ecs.version": ecsVersion,
		"log.logger": "store", "error.message": "disk", "event.duration": float64(time.Second),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestLocalURL(t *testing.T) {
	cases := map[string]struct {
		server config.Server
		want   string
	}{
		"Loopback":     {config.Server{Listen: "127.0.0.1:7878"}, "http://127.0.0.1:7878"},
		"AllAddresses": {config.Server{Listen: "0.0.0.0:443", TLS: config.TLS{CertFile: "c", KeyFile: "k"}}, "https://127.0.0.1:443"},
		"NoHost":       {config.Server{Listen: ":443", TLS: config.TLS{CertFile: "c", KeyFile: "k"}}, "https://127.0.0.1:443"},
		"IPv6":         {config.Server{Listen: "[::1]:80"}, "http://[::1]:80"},
	}
	for name, c := range cases {
		if got := localURL(c.server); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestWireFailure_keepsItsSentences(t *testing.T) {
	err := &cli.Failure{Code: 2, What: text.S(text.DiskFull, "/d", int64(3), int64(512)), Try: try("df -h"), Cause: errors.New("cause")}
	b, jsonErr := json.Marshal(toWire(err))
	if jsonErr != nil {
		t.Fatal(jsonErr)
	}
	var w wireFailure
	if jsonErr := json.Unmarshal(b, &w); jsonErr != nil {
		t.Fatal(jsonErr)
	}
	var f *cli.Failure
	if got := w.error(); !errors.As(got, &f) || got.Error() != err.Error() || f.Code != 2 {
		t.Errorf("got %v, want %v", got, err)
	}
}

func TestKnowsOldAddress(t *testing.T) {
	const platform, api = "http://127.0.0.1:7878", "127.0.0.1:40000"
	for name, c := range map[string]struct {
		env    []string
		want   bool
		reason string
	}{
		"Same":        {[]string{"KIWERK_URL=" + platform, "KUBERNETES_SERVICE_HOST=127.0.0.1", "KUBERNETES_SERVICE_PORT=40000"}, false, ""},
		"OldPlatform": {[]string{"KIWERK_URL=http://127.0.0.1:7000"}, true, "the platform's port changed"},
		"OldAPI":      {[]string{"KUBERNETES_SERVICE_HOST=127.0.0.1", "KUBERNETES_SERVICE_PORT=40001"}, true, "the API server's port changed"},
		"OwnNetwork":  {[]string{"KIWERK_URL=http://10.96.0.9", "KUBERNETES_SERVICE_HOST=10.96.0.1", "KUBERNETES_SERVICE_PORT=443"}, false, "addresses in the pod network stay"},
		"Nothing":     {nil, false, "a pod that knows no address"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := knowsOldAddress(c.env, platform, api); got != c.want {
				t.Errorf("%v: %s", got, c.reason)
			}
		})
	}
}

func TestPlainOnLoopback(t *testing.T) {
	reached := errors.New("reached")
	transport := plainOnLoopback{roundTripper(func(*http.Request) (*http.Response, error) { return nil, reached })}
	for url, allowed := range map[string]bool{
		"http://127.0.0.1:5000/v2/": true, "http://[::1]:5000/v2/": true, "http://localhost:5000/v2/": true, "https://registry.example/v2/": true,
		"http://10.0.0.7:5000/v2/": false, "http://registry.local/v2/": false, "http://127.0.0.1.example/v2/": false,
	} {
		r := httptest.NewRequest(http.MethodGet, url, http.NoBody)
		if _, err := transport.RoundTrip(r); errors.Is(err, reached) != allowed { //nolint:bodyclose // There is no response.
			t.Errorf("%s: %v", url, err)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestUntilStalled(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "begin")
		w.(http.Flusher).Flush()
		if r.URL.Path == "/stalls" {
			<-release
		}
		fmt.Fprint(w, " end")
	}))
	defer server.Close()
	defer close(release)
	for path, want := range map[string]string{"/goes-on": "", "/stalls": "sent nothing for 100ms"} {
		limit := time.Minute
		if want != "" {
			limit = 100 * time.Millisecond
		}
		client := http.Client{Transport: untilStalled{http.DefaultTransport, limit}}
		resp, err := client.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q, %v, want %q", path, body, err, want)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestStartFlags_keep(t *testing.T) {
	first := cli.UpOptions{Config: "c.yaml", Network: "host", Nodes: 3, SimulateGPUs: "h100:8", Listen: "127.0.0.1:1"}
	flags, err := flagsOf(first)
	if err != nil {
		t.Fatal(err)
	}
	if !filepath.IsAbs(flags.Config) || filepath.Base(flags.Config) != "c.yaml" || flags.GPUConfig != "" {
		t.Errorf("paths %q and %q", flags.Config, flags.GPUConfig)
	}
	if got := flags.keep(cli.UpOptions{}); got.Nodes != 3 || got.Network != "host" || got.SimulateGPUs != "h100:8" || got.Config != flags.Config || got.Listen != "" {
		t.Errorf("without flags: %+v", got)
	}
	if got := flags.keep(cli.UpOptions{Nodes: 2, Network: "pod"}); got.Nodes != 2 || got.Network != "pod" || got.SimulateGPUs != "h100:8" {
		t.Errorf("what is named counts: %+v", got)
	}
}
