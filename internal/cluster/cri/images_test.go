//go:build linux

package cri_test

import (
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/utils/clock"

	"github.com/kiwerk/kiwerk/internal/cluster/cri"
	"github.com/kiwerk/kiwerk/internal/cluster/image"
	"github.com/kiwerk/kiwerk/internal/cluster/rootfs"
	"github.com/kiwerk/kiwerk/internal/kwtest/imagetest"
)

const (
	pullUser, pullPassword = "reader", "secret"
)

// loopbackOnly is a network in which nothing but this machine answers.
type loopbackOnly struct{}

// RoundTrip refuses everything that is not on loopback.
func (loopbackOnly) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasPrefix(r.URL.Host, "127.0.0.1:") {
		return nil, errors.New("no network")
	}
	return http.DefaultTransport.RoundTrip(r)
}

// newImageNode is a node with a store.
func newImageNode(t *testing.T, mode cri.ImageMode) *node {
	t.Helper()
	n := newNode(t)
	n.stop()
	store, err := image.Open(image.Options{Dir: filepath.Join(n.data, "images"), Transport: loopbackOnly{}, Clock: clock.RealClock{}})
	if err != nil {
		t.Fatal(err)
	}
	n.cfg.Images, n.cfg.ImageMode = store, mode
	n.start()
	return n
}

func (n *node) load(ref string, img v1.Image) *image.Image {
	n.t.Helper()
	archive := filepath.Join(n.t.TempDir(), "image.tar")
	imagetest.SaveDocker(n.t, archive, ref, img)
	f, err := os.Open(archive)
	if err != nil {
		n.t.Fatal(err)
	}
	defer f.Close()
	list, err := n.cfg.Images.Load(n.t.Context(), f, "", nil)
	if err != nil {
		n.t.Fatal(err)
	}
	return list[0]
}

// app is an image whose entrypoint tells what it was given.
func app(t *testing.T) v1.Image {
	t.Helper()
	script := "#!/bin/sh\necho args $0 $*; echo env $A $B $HOME $PATH; pwd; id -u; id -g; id -G; ls /\n"
	return imagetest.Image(t, v1.Config{
		Entrypoint: []string{"/app", "one"}, Cmd: []string{"two"}, Env: []string{"A=image", "B=image", "PATH=/bin:/own"},
		User: "app:video", WorkingDir: "/work", StopSignal: "SIGUSR1",
	}, imagetest.Layer(t, append(imagetest.HostPrograms(t, "sh", "id", "ls", "cat"),
		imagetest.File("app", script, 0o755), imagetest.Dir("work", 0o755),
		imagetest.File("etc/passwd", "app:x:1000:1001::/home/app:/bin/sh\n", 0o644), imagetest.File("etc/group", "video:x:44:\nextra:x:7:app\n", 0o644))...))
}

func fromImage(ref string) *runtimeapi.ContainerConfig {
	return &runtimeapi.ContainerConfig{
		Metadata: &runtimeapi.ContainerMetadata{Name: "main"}, Image: &runtimeapi.ImageSpec{Image: ref, UserSpecifiedImage: "app:1"},
		Envs: []*runtimeapi.KeyValue{{Key: "B", Value: []byte("pod")}}, LogPath: "main/0.log",
	}
}

func TestServer_runsImage(t *testing.T) {
	n := newImageNode(t, cri.ImagesAuto)
	img := n.load("app:1", app(t))
	ids, say := "1000\n44\n44\n", ""
	if rootfs.InUserNamespace() { // the image's user does not exist there
		ids, say = "0\n0\n0\n", "; its user app:video does not exist in this user namespace, root stands for it"
	}
	const listing = "app\nbin\ndev\netc\nlib\nlib64\nproc\nsys\nwork\n"
	for name, c := range map[string]struct {
		change func(*runtimeapi.ContainerConfig)
		want   string
	}{
		"AsTheImageSays": {func(*runtimeapi.ContainerConfig) {}, "args /app one two\nenv image pod /home/app /bin:/own\n/work\n" + ids + listing},
		"Args":           {func(c *runtimeapi.ContainerConfig) { c.Args = []string{"x"} }, "args /app one x\nenv image pod /home/app /bin:/own\n/work\n" + ids + listing},
		"Command": {func(c *runtimeapi.ContainerConfig) {
			c.Command, c.WorkingDir = []string{"sh", "-c", "pwd; cat /etc/hostname /etc/hosts"}, "/bin"
		}, "/bin\nimage\n127.0.0.1 localhost\n::1 localhost\n127.0.1.1 image\n"},
		"Root": {func(c *runtimeapi.ContainerConfig) {
			c.Command = []string{"id", "-G"}
			c.Linux = &runtimeapi.LinuxContainerConfig{SecurityContext: &runtimeapi.LinuxContainerSecurityContext{RunAsUser: &runtimeapi.Int64Value{}}}
		}, "0\n"},
	} {
		t.Run(name, func(t *testing.T) {
			sb, sc := n.sandbox("image")
			cfg := fromImage(img.ID)
			cfg.LogPath = name + ".log"
			c.change(cfg)
			id := n.run(sb, sc, cfg)
			st := n.awaitExit(id)
			if out := n.log(st); out != c.want || st.GetExitCode() != 0 {
				t.Errorf("exit code %d, output %q, expected %q", st.GetExitCode(), out, c.want)
			}
			if st.GetImageRef() != img.ID {
				t.Errorf("image %q", st.GetImageRef())
			}
			resp, err := n.rt.ContainerStatus(t.Context(), &runtimeapi.ContainerStatusRequest{ContainerId: id, Verbose: true})
			if want := "OCI image " + img.ID[:19] + ", loaded from a file" + say; err != nil || resp.GetInfo()["taken"] != want {
				t.Errorf("taken %q, expected %q, %v", resp.GetInfo()["taken"], want, err)
			}
			if _, err := n.rt.RemovePodSandbox(t.Context(), &runtimeapi.RemovePodSandboxRequest{PodSandboxId: sb}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestServer_imageStopSignal(t *testing.T) {
	n := newImageNode(t, cri.ImagesAuto)
	img := n.load("app:1", app(t))
	sb, sc := n.sandbox("stop")
	cfg := fromImage(img.ID)
	cfg.Command = []string{"sh", "-c", `trap 'exit 6' USR1; echo ready; while :; do id >/dev/null; done`}
	id := n.run(sb, sc, cfg)
	n.ready(id)
	// An image in use stays, one that is not goes, and its space with it.
	remove := &runtimeapi.RemoveImageRequest{Image: &runtimeapi.ImageSpec{Image: img.ID}}
	if _, err := n.im.RemoveImage(t.Context(), remove); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "is used by container") {
		t.Errorf("remove an image in use: %v", err)
	}
	if used := n.imageBytes(); used < uint64(img.Size) {
		t.Errorf("%d bytes used by an image of %d", used, img.Size)
	}
	if _, err := n.rt.StopContainer(t.Context(), &runtimeapi.StopContainerRequest{ContainerId: id, Timeout: 20}); err != nil {
		t.Fatal(err)
	}
	if st := n.status(id); st.GetExitCode() != 6 {
		t.Errorf("status %v", st)
	}
	for range 2 { // removal may be repeated
		if _, err := n.im.RemoveImage(t.Context(), remove); err != nil {
			t.Error(err)
		}
	}
	if used := n.imageBytes(); used != 0 {
		t.Errorf("%d bytes used without images", used)
	}
	if st := n.imageStatus(img.ID); st != nil {
		t.Errorf("a removed image: %v", st)
	}
	if _, err := n.rt.CreateContainer(t.Context(), &runtimeapi.CreateContainerRequest{PodSandboxId: sb, Config: cfg, SandboxConfig: sc}); err == nil {
		t.Error("a container of a removed image was made")
	}
}

func (n *node) imageBytes() uint64 {
	n.t.Helper()
	resp, err := n.im.ImageFsInfo(n.t.Context(), &runtimeapi.ImageFsInfoRequest{})
	if err != nil {
		n.t.Fatal(err)
	}
	return resp.GetImageFilesystems()[0].GetUsedBytes().GetValue()
}

func (n *node) imageStatus(ref string) *runtimeapi.Image {
	n.t.Helper()
	resp, err := n.im.ImageStatus(n.t.Context(), &runtimeapi.ImageStatusRequest{Image: &runtimeapi.ImageSpec{Image: ref}})
	if err != nil {
		n.t.Fatal(err)
	}
	return resp.GetImage()
}

func (n *node) pull(ref string, auth *runtimeapi.AuthConfig) (string, error) {
	n.t.Helper()
	resp, err := n.im.PullImage(n.t.Context(), &runtimeapi.PullImageRequest{Image: &runtimeapi.ImageSpec{Image: ref}, Auth: auth})
	return resp.GetImageRef(), err
}

// newRegistry serves one image under team/app:1 to whoever has the password.
func newRegistry(t *testing.T, img v1.Image) (host string) {
	t.Helper()
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, _ := r.BasicAuth(); u != pullUser || p != pullPassword {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED"}]}`, http.StatusUnauthorized)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	host = strings.TrimPrefix(srv.URL, "http://")
	ref, err := name.ParseReference(host + "/team/app:1")
	if err == nil {
		err = remote.Write(ref, img, remote.WithAuth(&authn.Basic{Username: pullUser, Password: pullPassword}))
	}
	if err != nil {
		t.Fatal(err)
	}
	return host
}

var pullSecret = &runtimeapi.AuthConfig{Username: pullUser, Password: pullPassword}

// TestServer_imageModes asks in each mode what the kubelet asks: is it there, and if not, pull it.
func TestServer_imageModes(t *testing.T) {
	img := app(t)
	host := newRegistry(t, img)
	id, err := img.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	const refused, absent = "error", ""
	for name, c := range map[string]struct {
		mode cri.ImageMode
		ref  string
		auth *runtimeapi.AuthConfig
		// load is a name under which the image was loaded before.
		load                    string
		present, pulled, around string // before, by the pull, after it
	}{
		"AutoFromRegistry":    {mode: cri.ImagesAuto, ref: host + "/team/app:1", auth: pullSecret, present: absent, pulled: id.String(), around: id.String()},
		"AutoWithoutSecret":   {mode: cri.ImagesAuto, ref: host + "/team/app:1", present: absent, pulled: cri.HostTools, around: cri.HostTools},
		"AutoUnknownThere":    {mode: cri.ImagesAuto, ref: host + "/team/other:1", auth: pullSecret, present: absent, pulled: cri.HostTools, around: cri.HostTools},
		"AutoNoNetwork":       {mode: cri.ImagesAuto, ref: "example.com/app:1", present: cri.HostTools, pulled: cri.HostTools, around: cri.HostTools},
		"AutoApplet":          {mode: cri.ImagesAuto, ref: "docker.io/library/busybox:1.36", present: cri.HostTools, pulled: cri.HostTools, around: cri.HostTools},
		"AutoPause":           {mode: cri.ImagesAuto, ref: "registry.k8s.io/pause:3.10", present: cri.HostTools, pulled: cri.HostTools, around: cri.HostTools},
		"AutoLoaded":          {mode: cri.ImagesAuto, ref: "train:latest", load: "train:latest", present: id.String(), pulled: id.String(), around: id.String()},
		"AutoLoadedApplet":    {mode: cri.ImagesAuto, ref: "busybox:latest", load: "busybox", present: id.String(), pulled: id.String(), around: id.String()},
		"AutoLoadedRefused":   {mode: cri.ImagesAuto, ref: host + "/team/app:1", load: host + "/team/app:1", present: id.String(), pulled: id.String(), around: id.String()},
		"OCIFromRegistry":     {mode: cri.ImagesOCI, ref: host + "/team/app:1", auth: pullSecret, present: absent, pulled: id.String(), around: id.String()},
		"OCIWithoutSecret":    {mode: cri.ImagesOCI, ref: host + "/team/app:1", present: absent, pulled: refused, around: absent},
		"OCINoNetwork":        {mode: cri.ImagesOCI, ref: "busybox:latest", present: absent, pulled: refused, around: absent},
		"OCILoadedButAlways":  {mode: cri.ImagesOCI, ref: "train:latest", load: "train:latest", present: id.String(), pulled: refused, around: id.String()},
		"HostIgnoresStored":   {mode: cri.ImagesHost, ref: "train:latest", load: "train:latest", present: cri.HostTools, pulled: cri.HostTools, around: cri.HostTools},
		"HostAsksNoRegistry":  {mode: cri.ImagesHost, ref: host + "/team/app:1", auth: pullSecret, present: cri.HostTools, pulled: cri.HostTools, around: cri.HostTools},
		"HostTakesAnyName":    {mode: cri.ImagesHost, ref: "UPPER/case", present: cri.HostTools, pulled: cri.HostTools, around: cri.HostTools},
		"OCIIDThatIsNotThere": {mode: cri.ImagesOCI, ref: "sha256:" + strings.Repeat("0", 64), present: absent, pulled: refused, around: absent},
	} {
		t.Run(name, func(t *testing.T) {
			n := newImageNode(t, c.mode)
			if c.load != "" {
				n.load(c.load, img)
			}
			if got := n.imageStatus(c.ref).GetId(); got != c.present {
				t.Errorf("before the pull: %q, want %q", got, c.present)
			}
			ref, err := n.pull(c.ref, c.auth)
			if err != nil {
				ref = refused
			}
			if ref != c.pulled {
				t.Errorf("pulled %q, %v, want %q", ref, err, c.pulled)
			}
			if got := n.imageStatus(c.ref).GetId(); got != c.around {
				t.Errorf("after the pull: %q, want %q", got, c.around)
			}
		})
	}
}

func TestServer_ListImages(t *testing.T) {
	n := newImageNode(t, cri.ImagesAuto)
	img := n.load("app:1", app(t))
	n.imageStatus("busybox:latest")
	resp, err := n.im.ListImages(t.Context(), &runtimeapi.ListImagesRequest{})
	if err != nil || len(resp.GetImages()) != 2 {
		t.Fatalf("%v, %v", resp, err)
	}
	i := slices.IndexFunc(resp.GetImages(), func(i *runtimeapi.Image) bool { return i.GetId() == img.ID })
	if i < 0 {
		t.Fatalf("images %v", resp.GetImages())
	}
	got := resp.GetImages()[i]
	if !slices.Equal(got.GetRepoTags(), []string{"docker.io/library/app:1"}) || !got.GetPinned() || got.GetSize() != uint64(img.Size) {
		t.Errorf("image %v", got)
	}
	if wantName := map[bool]string{false: "app"}[rootfs.InUserNamespace()]; got.GetUsername() != wantName {
		t.Errorf("user %v %q", got.GetUid(), got.GetUsername())
	}
	one, err := n.im.ListImages(t.Context(), &runtimeapi.ListImagesRequest{Filter: &runtimeapi.ImageFilter{Image: &runtimeapi.ImageSpec{Image: "app:1"}}})
	if err != nil || len(one.GetImages()) != 1 || one.GetImages()[0].GetId() != img.ID {
		t.Errorf("filtered: %v, %v", one, err)
	}
}

func TestServer_pause(t *testing.T) {
	n := newImageNode(t, cri.ImagesAuto)
	sb, sc := n.sandbox("pause")
	id := n.run(sb, sc, &runtimeapi.ContainerConfig{
		Metadata: &runtimeapi.ContainerMetadata{Name: "main"}, Image: &runtimeapi.ImageSpec{Image: cri.HostTools, UserSpecifiedImage: "registry.k8s.io/pause:3.10"}, LogPath: "main/0.log",
	})
	if _, err := n.rt.StopContainer(t.Context(), &runtimeapi.StopContainerRequest{ContainerId: id, Timeout: 20}); err != nil {
		t.Fatal(err)
	}
	const early = 128 + 15 // it was asked before it listened
	if st := n.status(id); st.GetExitCode() != 0 && st.GetExitCode() != early {
		t.Errorf("status %v", st)
	}
}

// TestServer_imageVolume shows an image's files to containers of the host's tools and of another image.
func TestServer_imageVolume(t *testing.T) {
	n := newImageNode(t, cri.ImagesAuto)
	data := n.load("data:1", imagetest.Image(t, v1.Config{},
		imagetest.Layer(t, imagetest.Dir("model", 0o755), imagetest.File("model/weights", "old", 0o644), imagetest.File("top", "#!/bin/sh\necho ran\n", 0o755)),
		imagetest.Layer(t, imagetest.File("model/weights", "new", 0o644), imagetest.Link("model/out", "/etc/passwd"), imagetest.Link("up", "../../../etc"))))
	single := n.load("single:1", imagetest.Image(t, v1.Config{}, imagetest.Layer(t, imagetest.File("only", "one", 0o644))))
	own := n.load("own:1", imagetest.Image(t, v1.Config{}, imagetest.Layer(t, imagetest.HostPrograms(t, "sh", "cat", "ls", "sleep")...)))
	mount := func(at, id, sub string) *runtimeapi.Mount {
		return &runtimeapi.Mount{ContainerPath: at, Image: &runtimeapi.ImageSpec{Image: id}, ImageSubPath: sub}
	}
	const look = `cat /v/model/weights /s/weights /one/only /f; (echo x > /v/new) 2>/dev/null || echo " read-only"; /v/top 2>/dev/null || echo not run; ls /v; echo ready; sleep 1000`
	for name, ref := range map[string]string{"HostTools": "busybox", "Image": own.ID} {
		t.Run(name, func(t *testing.T) {
			sb, sc := n.sandbox("volume-" + strings.ToLower(name))
			cfg := shell(look)
			cfg.Image.Image = ref
			cfg.Mounts = []*runtimeapi.Mount{
				mount("/v", data.ID, ""), mount("/s", data.ID, "model"), mount("/one", single.ID, ""), mount("/f", data.ID, "../model/weights"),
			}
			id := n.run(sb, sc, cfg)
			n.ready(id)
			if _, err := n.im.RemoveImage(t.Context(), &runtimeapi.RemoveImageRequest{Image: &runtimeapi.ImageSpec{Image: data.ID}}); status.Code(err) != codes.FailedPrecondition {
				t.Errorf("an image was removed that a container has as a volume: %v", err)
			}
			if n.status(id).GetMounts()[0].GetImage().GetImage() != data.ID {
				t.Errorf("mounts %v", n.status(id).GetMounts())
			}
			if out := n.log(n.status(id)); out != "newnewonenew read-only\nnot run\nmodel\ntop\nup\nready\n" {
				t.Errorf("output %q", out)
			}
		})
	}
	for sub, want := range map[string]string{"none": "none in the image", "up/none": "up/none in the image", "up": "up in the image"} {
		sb, sc := n.sandbox("sub")
		cfg := shell("true")
		cfg.Mounts = []*runtimeapi.Mount{mount("/v", data.ID, sub)}
		c, err := n.rt.CreateContainer(t.Context(), &runtimeapi.CreateContainerRequest{PodSandboxId: sb, Config: cfg, SandboxConfig: sc})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := n.rt.StartContainer(t.Context(), &runtimeapi.StartContainerRequest{ContainerId: c.GetContainerId()}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, expected %q", sub, err, want)
		}
	}
}
