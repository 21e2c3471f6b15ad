//go:build linux

package image_test

import (
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"k8s.io/utils/clock"

	"github.com/kiwerk/kiwerk/internal/cluster/image"
	"github.com/kiwerk/kiwerk/internal/kwtest/imagetest"
)

func open(t testing.TB, dir string) *image.Store {
	t.Helper()
	s, err := image.Open(image.Options{Dir: dir, Transport: http.DefaultTransport, Clock: clock.RealClock{}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// sample is an image of three layers: a base, a change of it and a removal.
func sample(t testing.TB) v1.Image {
	t.Helper()
	return imagetest.Image(t, v1.Config{
		Entrypoint: []string{"/bin/app"}, Cmd: []string{"-v"}, Env: []string{"A=1"}, User: "app:video", WorkingDir: "/work",
		Volumes: map[string]struct{}{"/data": {}}, StopSignal: "SIGINT",
	}, imagetest.Layer(t,
		imagetest.File("etc/passwd", "app:x:1000:1001::/home/app:/bin/sh\n", 0o644), imagetest.File("etc/group", "video:x:44:app\n", 0o644),
		imagetest.Dir("home/app", 0o700).Owned(1000, 1001), imagetest.File("usr/bin/app", "old", 0o755), imagetest.Link("bin", "usr/bin"), imagetest.File("gone/f", "x", 0o644),
		imagetest.Dir("tmp", 0o1777),
	), imagetest.Layer(t,
		// Through a link of the layer below, and into directories that only that one describes.
		imagetest.File("bin/app", "new", 0o755), imagetest.File("tmp/t", "", 0o644),
	), imagetest.Layer(t, imagetest.File(".wh.gone", "", 0)))
}

func load(t testing.TB, s *image.Store, path, as string) ([]*image.Image, error) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return s.Load(t.Context(), f, as, nil)
}

func check(t testing.TB, i *image.Image) {
	t.Helper()
	want := image.Config{
		Entrypoint: []string{"/bin/app"}, Cmd: []string{"-v"}, Env: []string{"A=1"}, User: "app:video", WorkingDir: "/work",
		Volumes: []string{"/data"}, StopSignal: "SIGINT", Architecture: runtime.GOARCH,
	}
	if diff := cmp.Diff(want, i.Config); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
	if who, err := i.LookUp(i.Config.User); err != nil || who.UID != 1000 || who.GID != 44 || who.Home != "/home/app" {
		t.Errorf("user %+v, %v", who, err)
	}
	if len(i.Layers) != 3 || i.Size < 4096 || i.Inodes < 10 {
		t.Errorf("image %+v", i)
	}
}

func TestStore_Load(t *testing.T) {
	dir := t.TempDir()
	archive, layoutDir, layoutTar := filepath.Join(dir, "docker.tar"), filepath.Join(dir, "layout"), filepath.Join(dir, "layout.tar")
	imagetest.SaveDocker(t, archive, "app:1", sample(t))
	imagetest.SaveLayout(t, layoutDir, "example.com/app:2", sample(t))
	imagetest.Archive(t, layoutDir, layoutTar)
	for name, c := range map[string]struct{ path, as, want string }{
		"Docker":        {archive, "", "docker.io/library/app:1"},
		"Layout":        {layoutDir, "", "example.com/app:2"},
		"LayoutArchive": {layoutTar, "", "example.com/app:2"},
		"Renamed":       {archive, "other", "docker.io/library/other:latest"},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, t.TempDir())
			list, err := load(t, s, c.path, c.as)
			if err != nil || len(list) != 1 {
				t.Fatalf("%v, %v", list, err)
			}
			check(t, list[0])
			if !cmp.Equal(list[0].Names, []string{c.want}) || !list[0].Loaded {
				t.Errorf("names %q, loaded %v", list[0].Names, list[0].Loaded)
			}
			tops := s.Trees(list[0])
			for at, want := range map[string]string{"1/usr/bin/app": "new", "2/usr/bin/app": "old"} {
				layer, rest, _ := strings.Cut(at, "/")
				if data, err := os.ReadFile(filepath.Join(tops[layer[0]-'0'], rest)); err != nil || string(data) != want {
					t.Errorf("%s: %q, %v", at, data, err)
				}
			}
			if info, err := os.Lstat(filepath.Join(tops[1], "tmp")); err != nil || info.Mode().Perm() != 0o777 || info.Mode()&os.ModeSticky == 0 {
				t.Errorf("/tmp lost its mode in a layer that does not name it: %v, %v", info, err)
			}
			if info, err := os.Lstat(filepath.Join(tops[0], "gone")); err != nil || info.Mode()&os.ModeCharDevice == 0 {
				t.Errorf("what the last layer removes: %v, %v", info, err)
			}
		})
	}
}

func TestStore_Load_stream(t *testing.T) {
	archive := filepath.Join(t.TempDir(), "a.tar")
	imagetest.SaveDocker(t, archive, "app:1", sample(t))
	cat := exec.Command("gzip", "-c", archive)
	out, err := cat.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cat.Start(); err != nil {
		t.Fatal(err)
	}
	s := open(t, t.TempDir())
	list, err := s.Load(t.Context(), out.(*os.File), "", nil)
	if err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	check(t, list[0])
	if err := cat.Wait(); err != nil {
		t.Error(err)
	}
}

func TestStore_Load_refuses(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string, data []byte) string {
		if err := os.WriteFile(at(name), data, 0o600); err != nil {
			t.Fatal(err)
		}
		return at(name)
	}
	imagetest.SaveDocker(t, at("arch.tar"), "app:1", imagetest.ImageFor(t, "s390x", v1.Config{}, imagetest.Layer(t, imagetest.File("f", "", 0o644))))
	imagetest.SaveLayout(t, at("changed"), "app:1", sample(t))
	blobs, err := filepath.Glob(at("changed/blobs/sha256/*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range blobs {
		data, err := os.ReadFile(b)
		if err == nil && strings.Contains(string(data), `"Entrypoint"`) {
			err = os.WriteFile(b, []byte(strings.Replace(string(data), "/bin/app", "/bin/bad", 1)), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	large := imagetest.Image(t, v1.Config{Env: []string{strings.Repeat("a", 9<<20)}}, imagetest.Layer(t, imagetest.File("f", "", 0o644)))
	imagetest.SaveDocker(t, at("large.tar"), "app:1", large)
	imagetest.SaveLayout(t, at("large"), "app:1", large)
	imagetest.SaveLayout(t, at("largeIndex"), "app:1", sample(t))
	if err := os.Truncate(at("largeIndex/index.json"), 9<<20); err != nil {
		t.Fatal(err)
	}
	linked := write("linked.tar", imagetest.Tar(t, imagetest.Link("manifest.json", "other"), imagetest.File("other", "[]", 0o644)))
	for name, c := range map[string]struct{ path, as, want string }{
		"LargeConfig":    {at("large.tar"), "", "\" has 94"},
		"LargeBlob":      {at("large"), "", "\" has 94"},
		"LargeIndex":     {at("largeIndex"), "", "at most 8388608 are accepted"},
		"LargeManifest":  {write("manifest.tar", imagetest.Tar(t, imagetest.File("manifest.json", strings.Repeat(" ", 9<<20), 0o644))), "", "\" has 94"},
		"LinkedManifest": {linked, "", "not a regular file"},
		"NoArchive":      {write("text", []byte(strings.Repeat("no image\n", 1000))), "", "not a tar archive"},
		"Empty":          {write("empty", nil), "", "the file is empty"},
		"OtherTar":       {write("other.tar", imagetest.Tar(t, imagetest.File("f", "x", 0o644))), "", "neither manifest.json"},
		"Architecture":   {at("arch.tar"), "", "it is for linux/s390x"},
		"Changed":        {at("changed"), "", "does not have the content that its name says"},
		"NoLayout":       {t.TempDir(), "", "OCI layout"},
		"BadName":        {at("arch.tar"), "UPPER case", "image name"},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, t.TempDir())
			if _, err := load(t, s, c.path, c.as); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, expected %q", err, c.want)
			}
			if list := s.List(); len(list) != 0 {
				t.Errorf("kept %v", list)
			}
		})
	}
}

// hub is a registry that wants a password and counts what is fetched.
type hub struct {
	*httptest.Server
	host    string
	fetched sync.Map // path → *atomic.Int32
	// hold, if set, gets every request for a blob before it is answered.
	hold func(r *http.Request)
}

const hubUser, hubPassword = "reader", "secret"

func newHub(t testing.TB) *hub {
	t.Helper()
	h := &hub{}
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, _ := r.BasicAuth(); u != hubUser || p != hubPassword {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED"}]}`, http.StatusUnauthorized)
			return
		}
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
			n, _ := h.fetched.LoadOrStore(r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:], new(atomic.Int32))
			n.(*atomic.Int32).Add(1)
			if h.hold != nil {
				h.hold(r)
			}
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(h.Close)
	h.host = strings.TrimPrefix(h.URL, "http://")
	return h
}

func (h *hub) count(digest v1.Hash) int32 {
	n, ok := h.fetched.Load(digest.String())
	if !ok {
		return 0
	}
	return n.(*atomic.Int32).Load()
}

func (h *hub) push(t testing.TB, ref string, img v1.Image) {
	t.Helper()
	r, err := name.ParseReference(h.host + "/" + ref)
	if err == nil {
		err = remote.Write(r, img, remote.WithAuth(&authn.Basic{Username: hubUser, Password: hubPassword}))
	}
	if err != nil {
		t.Fatal(err)
	}
}

var secret = &image.Auth{Username: hubUser, Password: hubPassword}

func TestStore_Pull(t *testing.T) {
	h := newHub(t)
	img := sample(t)
	h.push(t, "team/app:1", img)
	dir := t.TempDir()
	s := open(t, dir)
	ref := h.host + "/team/app:1"
	if _, err := s.Pull(t.Context(), ref, nil, nil); !errors.Is(err, image.ErrRefused) {
		t.Errorf("without password: %v", err)
	}
	if _, err := s.Pull(t.Context(), h.host+"/team/none:1", secret, nil); !errors.Is(err, image.ErrRefused) {
		t.Errorf("unknown image: %v", err)
	}
	var seen []image.Progress
	got, err := s.Pull(t.Context(), ref, secret, func(p image.Progress) { seen = append(seen, p) })
	if err != nil {
		t.Fatal(err)
	}
	check(t, got)
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if !cmp.Equal(got.Digests, []string{h.host + "/team/app@" + digest.String()}) || got.Loaded {
		t.Errorf("image %+v", got)
	}
	if len(seen) == 0 || seen[len(seen)-1].Layer != 3 || seen[len(seen)-1].Total == 0 || seen[len(seen)-1].Bytes != seen[len(seen)-1].Total {
		t.Errorf("progress %+v", seen)
	}
	for _, r := range []string{ref, got.Digests[0], got.ID, got.ID[7:20]} {
		if i, ok := s.Find(r); !ok || i.ID != got.ID {
			t.Errorf("Find(%s): %v, %v", r, i, ok)
		}
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Pull(t.Context(), ref, secret, nil); err != nil {
		t.Error(err)
	}
	// The next daemon finds it as it was.
	again, ok := open(t, dir).Find(ref)
	if !ok || !cmp.Equal(again, got, cmp.AllowUnexported(image.Image{})) {
		t.Errorf("after a restart: %+v, %v", again, ok)
	}
	for _, l := range layers {
		if d, err := l.Digest(); err != nil || h.count(d) != 1 {
			t.Errorf("layer %v was fetched %d times, %v", d, h.count(d), err)
		}
	}
}

func TestStore_Pull_index(t *testing.T) {
	h := newHub(t)
	mine := sample(t)
	other := imagetest.ImageFor(t, "s390x", v1.Config{}, imagetest.Layer(t, imagetest.File("f", "", 0o644)))
	index := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: other, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "s390x"}}},
		mutate.IndexAddendum{Add: mine, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: runtime.GOARCH}}})
	r, err := name.ParseReference(h.host + "/multi:1")
	if err == nil {
		err = remote.WriteIndex(r, index, remote.WithAuth(&authn.Basic{Username: hubUser, Password: hubPassword}))
	}
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, t.TempDir())
	got, err := s.Pull(t.Context(), r.Name(), secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	check(t, got)
	digest, err := index.Digest()
	if err != nil || !cmp.Equal(got.Digests, []string{h.host + "/multi@" + digest.String()}) {
		t.Errorf("digests %v, %v", got.Digests, err)
	}
}

// TestStore_Pull_damaged changes a layer on the way.
func TestStore_Pull_damaged(t *testing.T) {
	h := newHub(t)
	h.push(t, "app:1", sample(t))
	dir := t.TempDir()
	s, err := image.Open(image.Options{Dir: dir, Transport: damaging{}, Clock: clock.RealClock{}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Pull(t.Context(), h.host+"/app:1", secret, nil); err == nil || errors.Is(err, image.ErrUnreachable) {
		t.Errorf("error %v", err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	hidden, err2 := filepath.Glob(filepath.Join(dir, "*", ".*"))
	if len(left)+len(hidden) != 0 || len(s.List()) != 0 {
		t.Errorf("kept %v %v, %v %v", left, hidden, err, err2)
	}
}

type damaging struct{}

// RoundTrip cuts layers short.
func (damaging) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && strings.Contains(r.URL.Path, "/blobs/") && resp.ContentLength > 100 {
		body, readErr := io.ReadAll(resp.Body)
		if readErr == nil && body[0] == 0x1f {
			body[len(body)/2] ^= 0x55
		}
		resp.Body = io.NopCloser(strings.NewReader(string(body)))
	}
	return resp, err
}

const (
	envDir = "KIWERK_TEST_PULL_DIR"
	envRef = "KIWERK_TEST_PULL_REF"
)

// TestChild is the process that is killed by TestStore_Pull_killed.
func TestChild(t *testing.T) {
	if os.Getenv(envDir) == "" {
		t.Skip("started by another test")
	}
	_, err := open(t, os.Getenv(envDir)).Pull(t.Context(), os.Getenv(envRef), secret, nil)
	t.Error("not killed:", err)
}

func TestStore_Pull_killed(t *testing.T) {
	h := newHub(t)
	img := sample(t)
	h.push(t, "app:1", img)
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	var digests []v1.Hash
	for _, l := range layers {
		d, err := l.Digest()
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, d)
	}
	dir := t.TempDir()
	child := exec.Command("/proc/self/exe", "-test.run=^TestChild$")
	child.Env = append(os.Environ(), envDir+"="+dir, envRef+"="+h.host+"/app:1")
	second := make(chan struct{})
	var once sync.Once
	h.hold = func(r *http.Request) {
		if strings.HasSuffix(r.URL.Path, digests[1].String()) {
			once.Do(func() {
				close(second)
				<-r.Context().Done() // until the client is gone
			})
		}
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-second:
	case <-time.After(2 * time.Minute):
		t.Fatal("the second layer is never asked for")
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // killed
	if left, err := filepath.Glob(filepath.Join(dir, "layers", ".new-*")); err != nil || len(left) == 0 {
		t.Errorf("the child was not in the middle of a layer: %v, %v", left, err)
	}
	s := open(t, dir)
	if left, err := filepath.Glob(filepath.Join(dir, "*", ".*")); err != nil || len(left) != 0 {
		t.Errorf("left after a start: %v, %v", left, err)
	}
	got, err := s.Pull(t.Context(), h.host+"/app:1", secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	check(t, got)
	if h.count(digests[0]) != 1 || h.count(digests[1]) != 2 {
		t.Errorf("the first layer was fetched %d times, the second %d times", h.count(digests[0]), h.count(digests[1]))
	}
	if mounts, err := os.ReadFile("/proc/self/mountinfo"); err != nil || strings.Contains(string(mounts), dir) {
		t.Errorf("a mount is left: %v", err)
	}
}

func TestStore_Reachable(t *testing.T) {
	h := newHub(t)
	s := open(t, t.TempDir())
	if err := s.Reachable(t.Context(), h.host+"/app:1"); err != nil {
		t.Errorf("a registry that wants a password: %v", err)
	}
	silent := newSilence(t)
	clk := &steps{t: time.Unix(1, 0)}
	s, err := image.Open(image.Options{Dir: t.TempDir(), Transport: silent, Clock: clk})
	if err != nil {
		t.Fatal(err)
	}
	var answer error
	for range 3 {
		if answer = s.Reachable(t.Context(), "example.com/app:1"); !errors.Is(answer, image.ErrUnreachable) {
			t.Errorf("a silent registry: %v", answer)
		}
	}
	if n := silent.asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	clk.add(time.Hour)
	if err := s.Reachable(t.Context(), "example.com/app:1"); err != answer { //nolint:errorlint // That very error: nobody was waited for.
		t.Errorf("an old answer: %v, want the one of before: %v", err, answer)
	}
}

// silence never answers.
type silence struct{ asked atomic.Int32 }

func newSilence(testing.TB) *silence { return &silence{} }

// RoundTrip waits for the end.
func (s *silence) RoundTrip(r *http.Request) (*http.Response, error) {
	s.asked.Add(1)
	<-r.Context().Done()
	return nil, r.Context().Err()
}

type steps struct {
	mu sync.Mutex
	t  time.Time
}

func (s *steps) add(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.t = s.t.Add(d)
}

// Now is the test's time.
func (s *steps) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.t
}

// Since counts from the test's time.
func (s *steps) Since(t time.Time) time.Duration { return s.Now().Sub(t) }

func TestStore_Prune(t *testing.T) {
	h := newHub(t)
	base := imagetest.Layer(t, imagetest.File("base", strings.Repeat("b", 100_000), 0o644))
	layer := func(c string) v1.Layer {
		return imagetest.Layer(t, imagetest.File("own", strings.Repeat(c, 50_000), 0o644))
	}
	for ref, img := range map[string]v1.Image{
		"app:1": imagetest.Image(t, v1.Config{}, base, layer("1")), "app:2": imagetest.Image(t, v1.Config{}, base, layer("2")),
	} {
		h.push(t, ref, img)
	}
	dir := t.TempDir()
	s := open(t, dir)
	pull := func(ref string) *image.Image {
		i, err := s.Pull(t.Context(), h.host+"/"+ref, secret, nil)
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	first, second := pull("app:1"), pull("app:2")
	archive := filepath.Join(t.TempDir(), "a.tar")
	imagetest.SaveDocker(t, archive, "loaded:1", imagetest.Image(t, v1.Config{}, base, layer("3")))
	loaded, err := load(t, s, archive, "")
	if err != nil {
		t.Fatal(err)
	}
	size, _ := s.Usage()
	if sum := first.Size + second.Size + loaded[0].Size; size >= sum || size < sum/3 {
		t.Errorf("three images of %d bytes take %d: the base is shared", sum, size)
	}
	none := func(string) bool { return false }
	if r, err := s.Prune(none, false); err != nil || len(r.Images) != 0 || r.Layers != 0 {
		t.Errorf("nothing is superfluous: %+v, %v", r, err)
	}
	// A tag that moves leaves an image that only its digest names no more.
	h.push(t, "app:1", imagetest.Image(t, v1.Config{}, base, layer("4")))
	moved := pull("app:1")
	if r, err := s.Prune(func(id string) bool { return id == first.ID }, false); err != nil || len(r.Images) != 0 {
		t.Errorf("a container uses it: %+v, %v", r, err)
	}
	if r, err := s.Prune(none, false); err != nil || !cmp.Equal(r.Images, []string{first.ID}) || r.Layers != 1 || r.Bytes < 50_000 {
		t.Errorf("removed %+v, %v", r, err)
	}
	if r, err := s.Prune(func(id string) bool { return id == moved.ID }, true); err != nil || !cmp.Equal(r.Images, []string{second.ID}) {
		t.Errorf("removed %+v, %v", r, err)
	}
	if _, err := s.Remove(moved.ID); err != nil {
		t.Error(err)
	}
	left := open(t, dir).List()
	if len(left) != 1 || left[0].ID != loaded[0].ID {
		t.Errorf("left %+v", left)
	}
	if r, err := s.Untag("loaded:1", func(string) error { return nil }); err != nil || r.Layers != 2 {
		t.Errorf("removed %+v, %v", r, err)
	}
	if found, err := filepath.Glob(filepath.Join(dir, "*", "*")); err != nil || len(found) != 0 {
		t.Errorf("left on the disk: %v, %v", found, err)
	}
}

// TestStore_limits are those of an image, not of each layer.
func TestStore_limits(t *testing.T) {
	layer := func(name string, size int) v1.Layer {
		return imagetest.Layer(t, imagetest.File(name, strings.Repeat("x", size), 0o644))
	}
	three := imagetest.Image(t, v1.Config{}, layer("a", 4000), layer("b", 4000), layer("c", 4000))
	base := imagetest.Image(t, v1.Config{}, layer("a", 4000))
	archive := func(name string, img v1.Image) string {
		path := filepath.Join(t.TempDir(), "a.tar")
		imagetest.SaveDocker(t, path, name, img)
		return path
	}
	const much = 1 << 40
	free := func(n int64) func(string) (int64, error) { return func(string) (int64, error) { return n, nil } }
	for name, c := range map[string]struct {
		limits image.Limits
		free   int64
		want   string
	}{
		"Fits":     {image.Limits{Bytes: 12_000, Entries: 3}, much, ""},
		"Bytes":    {image.Limits{Bytes: 11_999, Entries: 3}, much, "more than the 3999 bytes"},
		"Entries":  {image.Limits{Bytes: 12_000, Entries: 2}, much, "more than the 0 entries"},
		"FullDisk": {image.Limits{Bytes: 12_000, Entries: 3}, 1 << 20, "has 1 MB left"},
	} {
		for _, known := range []bool{false, true} { // its lowest layer was there before
			s, err := image.Open(image.Options{Dir: t.TempDir(), Transport: http.DefaultTransport, Clock: clock.RealClock{}, Limits: c.limits, Free: free(c.free)})
			if err != nil {
				t.Fatal(err)
			}
			if known && c.free == much {
				if _, err := load(t, s, archive("base:1", base), ""); err != nil {
					t.Fatal(err)
				}
			}
			_, err = load(t, s, archive("app:1", three), "")
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%s, known %v: %v, want %q", name, known, err, c.want)
			}
		}
	}
}

func TestStore_Open_damaged(t *testing.T) {
	archive := filepath.Join(t.TempDir(), "a.tar")
	imagetest.SaveDocker(t, archive, "app:1", sample(t))
	for name, pattern := range map[string]string{"Layer": "layers/*/layer.json", "Image": "images/*", "Name": "names/*"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if _, err := load(t, open(t, dir), archive, ""); err != nil {
				t.Fatal(err)
			}
			files, err := filepath.Glob(filepath.Join(dir, pattern))
			if err != nil || len(files) == 0 {
				t.Fatal(files, err)
			}
			if err := os.WriteFile(files[0], []byte("{"), 0o600); err != nil {
				t.Fatal(err)
			}
			s := open(t, dir)
			if _, ok := s.Find("app:1"); ok {
				t.Error("a damaged image is found")
			}
			list, err := load(t, s, archive, "")
			if err != nil {
				t.Fatal(err)
			}
			check(t, list[0])
		})
	}
}
