//go:build linux

package seed

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/kiwerk/kiwerk/internal/kwtest"
	"github.com/kiwerk/kiwerk/internal/kwtest/running"
	"github.com/kiwerk/kiwerk/internal/lint"
)

const (
	startLimit = 4 * time.Minute
	readyLimit = 4 * time.Minute
	tick       = 200 * time.Millisecond
	namespace  = "default"
)

// platform is a Kiwerk of this test's own.
type platform struct {
	t            *testing.T
	root, python string
	place        *running.Platform
	// url and token are for clients of the platform.
	url, token string
	client     dynamic.Interface
	mapper     *restmapper.DeferredDiscoveryRESTMapper
}

// start runs the block that installs the platform and loads the images.
func start(t *testing.T, login, root, python, images string) *platform {
	t.Helper()
	program, err := kwtest.Program("kiwerk")
	if err != nil {
		t.Fatal(err)
	}
	p := &platform{t: t, root: root, python: python}
	if p.place, err = running.Prepare(running.Options{Bin: filepath.Dir(program), Login: login, Output: t.Output()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.place.Stop(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), startLimit)
	defer cancel()
	install, err := os.ReadFile(p.block("04-kubeflow-installation.sh"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := p.place.Command(ctx, "sh", "-c", string(install))
	cmd.Env = append(cmd.Env, "KIWERK_UP_FLAGS=--listen 127.0.0.1:0 --images oci --simulate-gpus=h100:8")
	out, err := cmd.CombinedOutput()
	found := regexp.MustCompile(`MLFLOW_TRACKING_URI=(http://\S+)`).FindSubmatch(out)
	if err != nil || found == nil {
		t.Fatalf("the installation: %v\n%s", err, out)
	}
	p.url = string(found[1])
	token, err := os.ReadFile(filepath.Join(p.place.DataDir(), "token"))
	if err != nil {
		t.Fatal(err)
	}
	p.token = strings.TrimSpace(string(token))
	p.load(ctx, images)
	p.connect()
	return p
}

// load brings in the images; through a pipe, because the account may not be able to read the archive.
func (p *platform) load(ctx context.Context, images string) {
	p.t.Helper()
	f, err := os.Open(images)
	if err != nil {
		p.t.Fatal(err)
	}
	defer f.Close()
	cmd := p.place.Command(ctx, p.place.Program(), "image", "load", "-")
	cmd.Stdin = f
	if out, err := cmd.CombinedOutput(); err != nil {
		p.t.Fatalf("load the images: %v\n%s", err, out)
	}
}

func (p *platform) connect() {
	p.t.Helper()
	cfg, err := clientcmd.BuildConfigFromFlags("", p.place.Kubeconfig())
	if err != nil {
		p.t.Fatal(err)
	}
	if p.client, err = dynamic.NewForConfig(cfg); err != nil {
		p.t.Fatal(err)
	}
	disco, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(disco))
}

// block is the path of a corrected block.
func (p *platform) block(file string) string {
	return filepath.Join(p.root, "examples", "seed", "corrected", file)
}

// kubectl runs the built-in one.
func (p *platform) kubectl(t *testing.T, args ...string) []byte {
	t.Helper()
	out, err := p.place.Command(t.Context(), p.place.Program(), append([]string{"kubectl"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl %v: %v\n%s", args, err, out)
	}
	return out
}

func (p *platform) resource(gvk schema.GroupVersionKind) dynamic.ResourceInterface {
	p.t.Helper()
	m, err := p.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		p.t.Fatal(err)
	}
	if m.Scope.Name() == "root" {
		return p.client.Resource(m.Resource)
	}
	return p.client.Resource(m.Resource).Namespace(namespace)
}

// apply sends an object.
func (p *platform) apply(o lint.Object) *unstructured.Unstructured {
	p.t.Helper()
	b, err := o.Root.JSON()
	if err != nil {
		p.t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(b); err != nil {
		p.t.Fatal(err)
	}
	force := true
	if _, err = p.resource(u.GroupVersionKind()).Patch(p.t.Context(), u.GetName(), types.ApplyPatchType, b,
		metav1.PatchOptions{FieldManager: "test", Force: &force, FieldValidation: metav1.FieldValidationStrict}); err != nil {
		p.t.Fatalf("%s: %v", o, err)
	}
	return u
}

// until waits for a state of an object and returns it.
func (p *platform) until(t *testing.T, gvk schema.GroupVersionKind, name string, met func(*unstructured.Unstructured) (bool, error)) *unstructured.Unstructured {
	t.Helper()
	deadline, again := time.NewTimer(readyLimit), time.NewTicker(tick)
	defer deadline.Stop()
	defer again.Stop()
	for {
		o, err := p.resource(gvk).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		ok, err := met(o)
		if ok {
			return o
		}
		select {
		case <-again.C:
			if err == nil {
				continue
			}
		case <-deadline.C:
			err = fmt.Errorf("not so after %v", readyLimit)
		}
		status, _ := yaml.Marshal(o.Object["status"])
		t.Fatalf("%s %s: %v\n%s%s", gvk.Kind, name, err, status, p.whatHappened(t))
	}
}

// whatHappened are pods, events and logs, for the reader of a failure.
func (p *platform) whatHappened(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, args := range [][]string{{"get", "pods", "-o", "wide"}, {"get", "events", "--sort-by=.lastTimestamp", "--field-selector=type=Warning"}} {
		out, _ := p.place.Command(t.Context(), p.place.Program(), append([]string{"kubectl"}, args...)...).CombinedOutput()
		b.Write(out)
	}
	list, err := p.resource(schema.GroupVersionKind{Version: "v1", Kind: "Pod"}).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		return b.String()
	}
	for _, pod := range list.Items {
		if phase, _, _ := unstructured.NestedString(pod.Object, "status", "phase"); phase == "Succeeded" {
			continue
		}
		out, _ := p.place.Command(t.Context(), p.place.Program(), "kubectl", "logs", "--tail=20", "--all-containers", pod.GetName()).CombinedOutput()
		fmt.Fprintf(&b, "--- %s\n%s", pod.GetName(), out)
	}
	return b.String()
}

// forward opens a port on this machine for a Service and returns its address.
func (p *platform) forward(t *testing.T, service, port string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cmd := p.place.Command(ctx, p.place.Program(), "kubectl", "port-forward", "service/"+service, ":"+port)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was interrupted
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if m := regexp.MustCompile(`from (127\.0\.0\.1:\d+)`).FindStringSubmatch(lines.Text()); m != nil {
			return "http://" + m[1]
		}
	}
	t.Fatalf("port-forward ended: %s", &stderr)
	return ""
}

// ownNetwork tells whether pods have a network of their own, in which several can open one port.
func (p *platform) ownNetwork() bool {
	p.t.Helper()
	out, err := p.place.Command(p.t.Context(), p.place.Program(), "status", "-o", "json").Output()
	var status struct{ Network struct{ Mode string } }
	if err := errors.Join(err, json.Unmarshal(out, &status)); err != nil {
		p.t.Fatalf("status: %v\n%s", err, out)
	}
	return status.Network.Mode == "pod"
}

func condition(o *unstructured.Unstructured, typ string) bool {
	list, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, c := range list {
		if m, ok := c.(map[string]any); ok && m["type"] == typ && m["status"] == "True" {
			return true
		}
	}
	return false
}

// number is an integer field, 0 when absent. Objects made from JSON hold int64.
func number(o *unstructured.Unstructured, path ...string) int64 {
	n, _, _ := unstructured.NestedInt64(o.Object, path...)
	return n
}
