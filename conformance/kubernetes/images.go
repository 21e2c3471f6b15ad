//go:build linux

package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Registries under whose names the suite asks for its images.
const (
	e2eRegistry  = "registry.k8s.io/e2e-test-images/"
	kubeRegistry = "registry.k8s.io/"
)

// entry is a file of an image: a copy, a text, a link or a folder.
type entry struct {
	path         string
	copyOf, link string
	text         string
	folder       bool
	mode         int64
	uid, gid     int
}

// archiveImage is an image to be.
type archiveImage struct {
	names  []string
	layers [][]entry
	config v1.Config
}

// packImages makes one docker-save archive of all images that the suite names.
func packImages(ctx context.Context, cache string, s *suite) (string, error) {
	images, err := suiteImages(ctx, s)
	if err != nil {
		return "", err
	}
	file := filepath.Join(cache, "images.tar")
	all := map[name.Tag]v1.Image{}
	layers := map[*entry]v1.Layer{} // images share them
	for _, i := range images {
		img, err := i.build(layers)
		if err != nil {
			return "", fmt.Errorf("image %s: %w", i.names[0], err)
		}
		for _, n := range i.names {
			tag, err := name.NewTag(n)
			if err != nil {
				return "", err
			}
			all[tag] = img
		}
	}
	absolute, err := filepath.Abs(file)
	if err != nil {
		return "", err
	}
	if err := tarball.MultiWriteToFile(absolute, all); err != nil {
		return "", fmt.Errorf("write %s: %w", file, err)
	}
	return absolute, os.Chmod(absolute, 0o644) // the ordinary user loads it
}

func (i archiveImage) build(made map[*entry]v1.Layer) (v1.Image, error) {
	img := empty.Image
	for _, entries := range i.layers {
		layer := made[&entries[0]]
		if layer == nil {
			content, err := tarOf(entries)
			if err != nil {
				return nil, err
			}
			layer, err = tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil })
			if err != nil {
				return nil, err
			}
			made[&entries[0]] = layer
		}
		var err error
		if img, err = mutate.AppendLayers(img, layer); err != nil {
			return nil, err
		}
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Config = "linux", "amd64", i.config
	return mutate.ConfigFile(img, file)
}

func tarOf(entries []entry) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		if err := writeEntry(w, e); err != nil {
			return nil, fmt.Errorf("%s: %w", e.path, err)
		}
	}
	err := w.Close()
	return b.Bytes(), err
}

func writeEntry(w *tar.Writer, e entry) error {
	h := &tar.Header{Name: strings.TrimPrefix(e.path, "/"), Mode: e.mode, Uid: e.uid, Gid: e.gid, ModTime: time.Unix(0, 0), Typeflag: tar.TypeReg}
	content := []byte(e.text)
	switch {
	case e.folder:
		h.Typeflag, h.Name = tar.TypeDir, h.Name+"/"
	case e.link != "":
		h.Typeflag, h.Linkname = tar.TypeSymlink, e.link
	case e.copyOf != "":
		var err error
		if content, err = os.ReadFile(e.copyOf); err != nil {
			return err
		}
	}
	if h.Mode == 0 {
		h.Mode = 0o755
	}
	if h.Typeflag != tar.TypeReg {
		return w.WriteHeader(h)
	}
	h.Size = int64(len(content))
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	_, err := w.Write(content)
	return err
}

// programs are tools of the host with the libraries that they load, at the same paths.
func programs(ctx context.Context, names ...string) ([]entry, error) {
	var list []entry
	seen := map[string]bool{}
	add := func(at, from string) {
		if !seen[at] {
			seen[at] = true
			list = append(list, entry{path: at, copyOf: from})
		}
	}
	var errs []error
	for _, n := range names {
		from, err := exec.LookPath(n)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		add("/usr/bin/"+filepath.Base(n), from)
		out, err := exec.CommandContext(ctx, "ldd", from).CombinedOutput()
		if err != nil {
			continue // static
		}
		for _, field := range strings.Fields(string(out)) {
			if strings.HasPrefix(field, "/") {
				add(path.Clean(field), field)
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("%w; the images are made of the host's programs: apt-get install -y busybox-static curl bind9-dnsutils netcat-openbsd socat iproute2 iperf nginx-light", err)
	}
	return list, nil
}

// suiteImages are the images that the specs with our marks name, in the
// versions of this Kubernetes.
func suiteImages(ctx context.Context, s *suite) ([]archiveImage, error) {
	base, err := busybox(ctx)
	if err != nil {
		return nil, err
	}
	tools, err := programs(ctx, "bash", "curl", "dig", "nc", "socat", "ip", "ss", "ipcs", "iperf")
	if err != nil {
		return nil, err
	}
	porter := filepath.Join(s.source, "test", "images", "agnhost", "porter")
	agnhost := []entry{
		// Not busybox', which prefers its own applets where specs want the real nc;
		// nor dash, which drops variables whose names it could not read.
		{path: "/bin/sh", link: "/usr/bin/bash"},
		{path: "/agnhost", copyOf: s.program("agnhost")},
		{path: "/agnhost-2", link: "agnhost"},
		{path: "/uploads", folder: true},
		{path: "/localhost.crt", copyOf: filepath.Join(porter, "localhost.crt"), mode: 0o644},
		{path: "/localhost.key", copyOf: filepath.Join(porter, "localhost.key"), mode: 0o644},
		{path: "/etc/passwd", text: accounts + "user-defined-in-image:x:1000:1000::/home/user-defined-in-image:/bin/sh\n", mode: 0o644},
		{path: "/etc/group", text: groups + "user-defined-in-image:x:1000:\ngroup-defined-in-image:x:50000:user-defined-in-image\n", mode: 0o644},
	}
	nginx, err := nginxFiles(ctx)
	if err != nil {
		return nil, err
	}
	onAgnhost := func(more ...[]entry) [][]entry { return append([][]entry{base, tools, agnhost}, more...) }
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	page := func(name string) []entry {
		html := filepath.Join(s.source, "test", "images", name, "html")
		return []entry{{path: "/data.json", copyOf: filepath.Join(html, "data.json"), mode: 0o644}, {path: "/" + name + ".jpg", copyOf: filepath.Join(html, name+".jpg"), mode: 0o644}}
	}
	web := v1.Config{Env: env, Entrypoint: []string{"/agnhost"}, Cmd: []string{"test-webserver"}}
	return []archiveImage{
		{[]string{e2eRegistry + "agnhost:2.66.1", e2eRegistry + "agnhost:2.55"}, onAgnhost(), v1.Config{Env: env, Entrypoint: []string{"/agnhost"}, Cmd: []string{"pause"}}},
		{[]string{e2eRegistry + "busybox:1.37.0-2"}, [][]entry{base}, v1.Config{Env: env, Cmd: []string{"sh"}}},
		{[]string{kubeRegistry + "pause:3.10.2"}, onAgnhost(), v1.Config{Env: env, Entrypoint: []string{"/agnhost", "pause"}, User: "65535:65535"}},
		{[]string{e2eRegistry + "nginx:1.27.0-2", e2eRegistry + "nginx:1.28.0-2"}, [][]entry{base, nginx}, v1.Config{Env: env, Entrypoint: []string{"nginx", "-g", "daemon off;"}}},
		{[]string{e2eRegistry + "kitten:1.8"}, onAgnhost(page("kitten")), web},
		{[]string{e2eRegistry + "nautilus:1.8"}, onAgnhost(page("nautilus")), web},
		{[]string{e2eRegistry + "nonroot:1.5"}, onAgnhost(), v1.Config{Env: env, Entrypoint: []string{"/agnhost"}, Cmd: []string{"pause"}, User: "1234"}},
		{[]string{e2eRegistry + "ipc-utils:1.4"}, [][]entry{base, tools}, v1.Config{Env: env, Cmd: []string{"sh"}}},
		{[]string{e2eRegistry + "sample-apiserver:1.29.2"}, [][]entry{base, {{path: "/sample-apiserver", copyOf: s.program("sample-apiserver")}}}, v1.Config{Env: env, Entrypoint: []string{"/sample-apiserver"}}},
		{[]string{"registry.k8s.io/etcd:3.7.0-0"}, [][]entry{base, {{path: "/usr/local/bin/etcd", copyOf: s.program("etcd")}}}, v1.Config{Env: env, Entrypoint: []string{"/usr/local/bin/etcd"}}},
	}, nil
}

const (
	accounts = "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n"
	groups   = "root:x:0:\ndaemon:x:1:\ntty:x:5:\nnogroup:x:65534:\n"
)

// busybox is a small system: a static busybox under all its names.
func busybox(ctx context.Context) ([]entry, error) {
	file, err := exec.LookPath("busybox")
	if err != nil {
		return nil, fmt.Errorf("%w: apt-get install -y busybox-static", err)
	}
	out, err := exec.CommandContext(ctx, file, "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("busybox --list: %w", err)
	}
	list := []entry{
		{path: "/bin", folder: true},
		{path: "/bin/busybox", copyOf: file},
		{path: "/tmp", folder: true, mode: 0o1777},
		{path: "/root", folder: true, mode: 0o700},
		{path: "/var/tmp", folder: true, mode: 0o1777},
		{path: "/etc/passwd", text: accounts, mode: 0o644},
		{path: "/etc/group", text: groups, mode: 0o644},
		{path: "/etc/nsswitch.conf", text: "hosts: files dns\n", mode: 0o644},
		{path: "/usr/sbin", folder: true},
		{path: "/home", folder: true},
	}
	for _, applet := range strings.Fields(string(out)) {
		if applet != "busybox" {
			list = append(list, entry{path: "/bin/" + applet, link: "busybox"})
		}
	}
	return list, nil
}

func nginxFiles(ctx context.Context) ([]entry, error) {
	list, err := programs(ctx, "nginx")
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(list, func(e entry) bool { return e.path == "/usr/bin/nginx" })
	list[i].path = "/usr/sbin/nginx"
	const config = `worker_processes 1;
error_log /dev/stderr;
pid /tmp/nginx.pid;
events { worker_connections 256; }
http {
  access_log /dev/stdout;
  types { text/html html; }
  server { listen 80; listen [::]:80; root /usr/share/nginx/html; }
}
`
	return append(list,
		entry{path: "/etc/nginx/nginx.conf", text: config, mode: 0o644},
		entry{path: "/usr/share/nginx/html/index.html", text: "<html><head><title>Welcome to nginx!</title></head><body><h1>Welcome to nginx!</h1></body></html>\n", mode: 0o644},
		entry{path: "/var/log/nginx", folder: true}, entry{path: "/var/lib/nginx", folder: true},
	), nil
}
