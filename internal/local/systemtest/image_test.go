//go:build linux

package systemtest

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/kiwerk/kiwerk/internal/kwtest"
	"github.com/kiwerk/kiwerk/internal/kwtest/imagetest"
	"github.com/kiwerk/kiwerk/internal/kwtest/running"
)

// greeter is made of files of this machine and says what its configuration gave it.
func greeter(t *testing.T, greeting string) v1.Image {
	t.Helper()
	return imagetest.Image(t, v1.Config{
		Entrypoint: []string{"/app"}, Env: []string{"PATH=/bin", "GREETING=" + greeting}, User: "app", WorkingDir: "/work",
	}, imagetest.Layer(t, append(imagetest.HostPrograms(t, "sh", "id", "sleep"),
		imagetest.File("etc/passwd", "app:x:1000:1000::/home/app:/bin/sh\n", 0o644),
		imagetest.File("app", "#!/bin/sh\necho $GREETING from $(id -u) in $(pwd)\nexec sleep 1000\n", 0o755))...))
}

func imagePod(name, image, more string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: main, image: "%s"}]
  %s
`, name, image, more)
}

// privateRegistry gives its image to a reader with a password.
func privateRegistry(t *testing.T, img v1.Image) (ref, dockerConfig string) {
	t.Helper()
	const user, password = "reader", "secret"
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, _ := r.BasicAuth(); u != user || p != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED"}]}`, http.StatusUnauthorized)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	host := strings.TrimPrefix(srv.URL, "http://")
	tag, err := name.NewTag(host + "/team/app:1")
	if err == nil {
		err = remote.Write(tag, img, remote.WithAuth(&authn.Basic{Username: user, Password: password}))
	}
	config, err2 := json.Marshal(map[string]any{"auths": map[string]any{host: map[string]string{"username": user, "password": password}}})
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	return tag.Name(), base64.StdEncoding.EncodeToString(config)
}

// uidIn is the user that an image's user 1000 is in a pod of an account.
func (a account) uidIn() string {
	if a.uid == 0 {
		return "1000"
	}
	return "0"
}

func TestImage_loaded(t *testing.T) {
	eachAccount(t, func(t *testing.T, who account) {
		dir := home(t, who)
		archive := filepath.Join(dir, "train.tar")
		imagetest.SaveDocker(t, archive, "train:latest", greeter(t, "hello"))
		if err := os.Chmod(archive, 0o644); err != nil {
			t.Fatal(err)
		}
		data := filepath.Join(dir, "data")
		if _, errs, code := call(t, who, data, "image", "list"); code != 3 || !strings.Contains(errs, "no platform runs") {
			t.Errorf("without a platform: code %d, %s", code, errs)
		}
		p := up(t, who, data)
		if out, errs, code := call(t, who, data, "image", "load", archive); code != 0 || !strings.Contains(out, "Loaded docker.io/library/train:latest") {
			t.Fatalf("load: code %d\n%s%s", code, out, errs)
		}
		p.apply(imagePod("train", "train:latest", ""))
		want := "hello from " + who.uidIn() + " in /work"
		p.logLine("train", func(l string) bool { return l == want })
		p.stream(func(l string) bool { return strings.Contains(l, "(OCI image sha256:") }, "get", "events", "--watch", "-o", "jsonpath={.message}{\"\\n\"}")
		until(t, "status names the image", func() bool {
			out, _, _ := call(t, who, data, "status")
			return strings.Contains(out, "train:latest → OCI image sha256:")
		})
		if out, errs, code := call(t, who, data, "image", "rm", "train"); code != 1 || !strings.Contains(errs, "is used by container default/train") {
			t.Errorf("rm of an image in use: code %d\n%s%s", code, out, errs)
		}
		p.kubectl("delete", "pod", "train")
		kwtest.Eventually(t, func() error { // until the kubelet has removed the container
			_, errs, code := call(t, who, data, "image", "rm", "train")
			if code != 0 {
				return errors.New(errs)
			}
			return nil
		})
		if out, _, code := call(t, who, data, "image", "list", "-o", "json"); code != 0 || !strings.Contains(out, `"images": []`) || !strings.Contains(out, `"bytes": 0`) {
			t.Errorf("after its removal: code %d\n%s", code, out)
		}
	})
}

// static is an image with nothing in it but a static program.
func static(t *testing.T) v1.Image {
	t.Helper()
	program := filepath.Join(t.TempDir(), "greet")
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", program, "./testdata/greet")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return imagetest.Image(t, v1.Config{
		Entrypoint: []string{"/greet"}, Cmd: []string{"alone"}, Env: []string{"GREETING=static"}, User: "1234:5678", WorkingDir: "/work",
	}, imagetest.Layer(t, imagetest.Copy(program, "greet", 0o755)))
}

// TestImage_staticProgramAndHostFiles runs an image built of a static program
// and one built of this machine's own files, each with its entrypoint and user:
// as root, and as an ordinary user whom the host grants further ids.
func TestImage_staticProgramAndHostFiles(t *testing.T) {
	t.Parallel()
	both := []account{{"Root", 0, 0}}
	if os.Geteuid() != 0 {
		me, err := user.Current()
		if err != nil || !running.HasIDs(me.Username) {
			t.Skipf("the images say their users, for which /etc/subuid must grant further ids (%v)", err)
		}
		both = accounts(t)
	} else {
		both = append(both, ordinary(t, running.OrdinaryWithIDs, "User"))
	}
	archive := filepath.Join(t.TempDir(), "both.tar")
	if err := imagetest.Save(archive, map[string]v1.Image{"static:1": static(t), "host:1": greeter(t, "hello")}); err != nil {
		t.Fatal(err)
	}
	for _, who := range both {
		t.Run(who.name, func(t *testing.T) {
			t.Parallel()
			p := up(t, who, filepath.Join(home(t, who), "data"), "--images=oci")
			f, err := os.Open(archive)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			load := kiwerk(t, who, p.dir, "image", "load", "-")
			load.Stdin = f
			if out, err := load.CombinedOutput(); err != nil {
				t.Fatalf("load: %v\n%s", err, out)
			}
			p.apply(imagePod("static", "static:1", "") + "---" + imagePod("host", "host:1", ""))
			for pod, want := range map[string]string{"static": "static alone from 1234 5678 in /work", "host": "hello from 1000 in /work"} {
				p.kubectl("wait", "--for=condition=Ready", "pod/"+pod, "--timeout=60s")
				p.logLine(pod, func(l string) bool { return l == want })
			}
		})
	}
}

// TestImage_pulled is about a server's ways: what is not there is an error, and secrets open registries.
func TestImage_pulled(t *testing.T) {
	eachAccount(t, func(t *testing.T, who account) {
		ref, config := privateRegistry(t, greeter(t, "pulled"))
		p := up(t, who, filepath.Join(home(t, who), "data"), "--images=oci")
		p.apply(imagePod("denied", ref, ""))
		reason := "jsonpath={.status.containerStatuses[0].state.waiting.reason}{\"\\n\"}"
		p.stream(func(l string) bool { return l == "ErrImagePull" || l == "ImagePullBackOff" }, "get", "pod", "denied", "--watch", "-o", reason)
		p.apply("apiVersion: v1\nkind: Secret\nmetadata: {name: registry}\ntype: kubernetes.io/dockerconfigjson\ndata: {.dockerconfigjson: " + config + "}\n")
		p.apply(imagePod("allowed", ref, "imagePullSecrets: [{name: registry}]"))
		want := "pulled from " + who.uidIn() + " in /work"
		p.logLine("allowed", func(l string) bool { return l == want })
		p.apply(imagePod("never", "example.com/absent:1", ""))
		p.stream(func(l string) bool { return l == "ErrImagePull" || l == "ImagePullBackOff" }, "get", "pod", "never", "--watch", "-o", reason)
	})
}
