//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kiwerk/kiwerk/internal/kwtest/imagetest"
)

// Registries under whose names the suite asks for its images.
const (
	e2eRegistry  = "registry.k8s.io/e2e-test-images/"
	kubeRegistry = "registry.k8s.io/"
)

// archiveImage is an image to be.
type archiveImage struct {
	names  []string
	layers [][]imagetest.Entry
	config v1.Config
}

// packImages makes one docker-save archive of all images that the suite names.
func packImages(ctx context.Context, cache string, s *suite) (string, error) {
	images, err := suiteImages(ctx, s)
	if err != nil {
		return "", err
	}
	all := map[string]v1.Image{}
	made := map[*imagetest.Entry]v1.Layer{} // images share them
	for _, i := range images {
		img, err := i.build(made)
		if err != nil {
			return "", fmt.Errorf("image %s: %w", i.names[0], err)
		}
		for _, n := range i.names {
			all[n] = img
		}
	}
	file, err := filepath.Abs(filepath.Join(cache, "images.tar"))
	if err != nil {
		return "", err
	}
	if err := imagetest.Save(file, all); err != nil {
		return "", fmt.Errorf("write %s: %w", file, err)
	}
	return file, os.Chmod(file, 0o644) // the ordinary user loads it
}

func (i archiveImage) build(made map[*imagetest.Entry]v1.Layer) (v1.Image, error) {
	var layers []v1.Layer
	for _, entries := range i.layers {
		first := &entries[0]
		if made[first] == nil {
			var err error
			if made[first], err = imagetest.NewLayer(entries...); err != nil {
				return nil, err
			}
		}
		layers = append(layers, made[first])
	}
	return imagetest.New(runtime.GOARCH, i.config, layers...)
}

// programs are tools of the host with the libraries that they load.
func programs(ctx context.Context, dir string, names ...string) ([]imagetest.Entry, error) {
	list, err := imagetest.Programs(ctx, dir, names...)
	if err != nil {
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
	tools, err := programs(ctx, "/usr/bin", "bash", "curl", "dig", "nc", "socat", "ip", "ss", "ipcs", "iperf", "getent")
	if err != nil {
		return nil, err
	}
	// Debian's busybox has a shell that prefers its own applets where specs want
	// the real nc, and that, as dash, drops variables with names like data-1.
	shell := []imagetest.Entry{imagetest.Link("/bin/sh", "/usr/bin/bash"), imagetest.Link("/bin/bash", "/usr/bin/bash")}
	porter := filepath.Join(s.source, "test", "images", "agnhost", "porter")
	agnhost := []imagetest.Entry{
		imagetest.Copy(s.program("agnhost"), "/agnhost", 0o755),
		imagetest.Link("/agnhost-2", "agnhost"),
		imagetest.Dir("/uploads", 0o755),
		imagetest.Copy(filepath.Join(porter, "localhost.crt"), "/localhost.crt", 0o644),
		imagetest.Copy(filepath.Join(porter, "localhost.key"), "/localhost.key", 0o644),
		imagetest.File("/etc/passwd", accounts+"user-defined-in-image:x:1000:1000::/home/user-defined-in-image:/bin/sh\n", 0o644),
		imagetest.File("/etc/group", groups+"user-defined-in-image:x:1000:\ngroup-defined-in-image:x:50000:user-defined-in-image\n", 0o644),
	}
	nginx, err := nginxFiles(ctx)
	if err != nil {
		return nil, err
	}
	onAgnhost := func(more ...[]imagetest.Entry) [][]imagetest.Entry {
		return append([][]imagetest.Entry{base, tools, shell, agnhost}, more...)
	}
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	page := func(name string) []imagetest.Entry {
		html := filepath.Join(s.source, "test", "images", name, "html")
		return []imagetest.Entry{
			imagetest.Copy(filepath.Join(html, "data.json"), "/data.json", 0o644), imagetest.Copy(filepath.Join(html, name+".jpg"), "/"+name+".jpg", 0o644),
			imagetest.File("/etc/os-release", "PRETTY_NAME=\"in place of Alpine Linux\"\n", 0o644), // by which a spec knows the image as a volume
		}
	}
	web := v1.Config{Env: env, Entrypoint: []string{"/agnhost"}, Cmd: []string{"test-webserver"}}
	return []archiveImage{
		{[]string{e2eRegistry + "agnhost:2.66.1", e2eRegistry + "agnhost:2.55"}, onAgnhost(), v1.Config{Env: env, Entrypoint: []string{"/agnhost"}, Cmd: []string{"pause"}}},
		{[]string{e2eRegistry + "busybox:1.37.0-2"}, [][]imagetest.Entry{base, tools, shell}, v1.Config{Env: env, Cmd: []string{"sh"}}},
		{[]string{kubeRegistry + "pause:3.10.2"}, onAgnhost(), v1.Config{Env: env, Entrypoint: []string{"/agnhost", "pause"}, User: "65535:65535"}},
		{[]string{e2eRegistry + "nginx:1.27.0-2", e2eRegistry + "nginx:1.28.0-2"}, [][]imagetest.Entry{base, nginx}, v1.Config{Env: env, Entrypoint: []string{"nginx", "-g", "daemon off;"}}},
		{[]string{e2eRegistry + "kitten:1.8"}, onAgnhost(page("kitten")), web},
		{[]string{e2eRegistry + "nautilus:1.8"}, onAgnhost(page("nautilus")), web},
		{[]string{e2eRegistry + "nonroot:1.5"}, onAgnhost(), v1.Config{Env: env, Entrypoint: []string{"/agnhost"}, Cmd: []string{"pause"}, User: "1234"}},
		{[]string{e2eRegistry + "nonewprivs:1.4"}, [][]imagetest.Entry{base, {imagetest.Copy(s.program("nnp"), "/usr/local/bin/nnp", 0o6755)}}, v1.Config{Env: env, Cmd: []string{"nnp"}}},
		{[]string{e2eRegistry + "ipc-utils:1.4"}, [][]imagetest.Entry{base, tools}, v1.Config{Env: env, Cmd: []string{"sh"}}},
		{[]string{e2eRegistry + "sample-apiserver:1.29.2"}, [][]imagetest.Entry{base, {imagetest.Copy(s.program("sample-apiserver"), "/sample-apiserver", 0o755)}}, v1.Config{Env: env, Entrypoint: []string{"/sample-apiserver"}}},
		{[]string{"registry.k8s.io/etcd:3.7.0-0"}, [][]imagetest.Entry{base, {imagetest.Copy(s.program("etcd"), "/usr/local/bin/etcd", 0o755)}}, v1.Config{Env: env, Entrypoint: []string{"/usr/local/bin/etcd"}}},
	}, nil
}

const (
	accounts = "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n"
	groups   = "root:x:0:\ndaemon:x:1:\ntty:x:5:\nnogroup:x:65534:\n"
)

// busybox is a small system: a static busybox under all its names.
func busybox(ctx context.Context) ([]imagetest.Entry, error) {
	file, err := exec.LookPath("busybox")
	if err != nil {
		return nil, fmt.Errorf("%w: apt-get install -y busybox-static", err)
	}
	out, err := exec.CommandContext(ctx, file, "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("busybox --list: %w", err)
	}
	list := []imagetest.Entry{
		imagetest.Dir("/bin", 0o755),
		imagetest.Copy(file, "/bin/busybox", 0o755),
		imagetest.Dir("/tmp", 0o1777),
		imagetest.Dir("/root", 0o700),
		imagetest.Dir("/var/tmp", 0o1777),
		imagetest.File("/etc/passwd", accounts, 0o644),
		imagetest.File("/etc/group", groups, 0o644),
		imagetest.File("/etc/nsswitch.conf", "hosts: files dns\n", 0o644),
		imagetest.Dir("/usr/sbin", 0o755),
		imagetest.Dir("/home", 0o755),
	}
	for _, applet := range strings.Fields(string(out)) {
		if applet != "busybox" {
			list = append(list, imagetest.Link("/bin/"+applet, "busybox"))
		}
	}
	return list, nil
}

func nginxFiles(ctx context.Context) ([]imagetest.Entry, error) {
	list, err := programs(ctx, "/usr/sbin", "nginx")
	if err != nil {
		return nil, err
	}
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
		imagetest.File("/etc/nginx/nginx.conf", config, 0o644),
		imagetest.File("/usr/share/nginx/html/index.html", "<html><head><title>Welcome to nginx!</title></head><body><h1>Welcome to nginx!</h1></body></html>\n", 0o644),
		imagetest.Dir("/var/log/nginx", 0o755), imagetest.Dir("/var/lib/nginx", 0o755),
	), nil
}
