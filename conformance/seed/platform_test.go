package seed

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
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

	"github.com/kiwerk/kiwerk/examples/seed"
	"github.com/kiwerk/kiwerk/internal/kwtest"
	"github.com/kiwerk/kiwerk/internal/lint"
)

const (
	startLimit = 2 * time.Minute
	readyLimit = 2 * time.Minute
	tick       = 200 * time.Millisecond
	namespace  = "default"
)

// platform is a Kiwerk of this test's own.
type platform struct {
	t                     *testing.T
	root, data, url       string
	program, python, path string
	client                dynamic.Interface
	mapper                *restmapper.DeferredDiscoveryRESTMapper
}

// start runs the block that installs the platform.
func start(t *testing.T) *platform {
	t.Helper()
	p := &platform{t: t, data: filepath.Join(t.TempDir(), "data")}
	var err error
	if p.program, err = kwtest.Program("kiwerk"); err != nil {
		t.Fatal(err)
	}
	if p.root, err = kwtest.Root(); err != nil {
		t.Fatal(err)
	}
	p.python = filepath.Join(p.root, ".venv", "bin", "python")
	if _, err := os.Stat(p.python); err != nil {
		t.Fatalf("the stock client is needed; run make setup: %v", err)
	}
	p.path = filepath.Dir(p.program) + ":" + os.Getenv("PATH")
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), startLimit)
		defer cancel()
		if out, err := p.command(ctx, p.program, "down").CombinedOutput(); err != nil {
			t.Errorf("down: %v\n%s", err, out)
		}
	})
	cmd := p.command(t.Context(), "sh", p.block("04-kubeflow-installation.sh"))
	cmd.Env = append(cmd.Env, "KIWERK_UP_FLAGS=--listen 127.0.0.1:0 --images host --simulate-gpus=h100:8")
	out, err := cmd.CombinedOutput()
	found := regexp.MustCompile(`MLFLOW_TRACKING_URI=(http://\S+)`).FindSubmatch(out)
	if err != nil || found == nil {
		t.Fatalf("the installation: %v\n%s", err, out)
	}
	p.url = string(found[1])
	cfg, err := clientcmd.BuildConfigFromFlags("", filepath.Join(p.data, "kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	if p.client, err = dynamic.NewForConfig(cfg); err != nil {
		t.Fatal(err)
	}
	disco, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(disco))
	return p
}

// block is the path of a corrected block.
func (p *platform) block(file string) string {
	return filepath.Join(p.root, "examples", "seed", "corrected", file)
}

// command runs with the platform's programs and data directory.
func (p *platform) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = time.Second
	cmd.Env = append(os.Environ(), "PATH="+p.path, "KIWERK_DATA_DIR="+p.data, "MLFLOW_TRACKING_URI="+p.url,
		"MLFLOW_DISABLE_TELEMETRY=true", "DO_NOT_TRACK=true", "PYTHONDONTWRITEBYTECODE=1", "HOME="+filepath.Dir(p.data))
	return cmd
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

// apply sends an object, with the programs of its images.
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
	for _, i := range seed.Images {
		if withProgram(u.Object, i, p.executables(i)) {
			p.send(p.files(i))
		}
	}
	p.send(u)
	return u
}

func (p *platform) send(u *unstructured.Unstructured) {
	p.t.Helper()
	b, err := u.MarshalJSON()
	if err != nil {
		p.t.Fatal(err)
	}
	force := true
	if _, err = p.resource(u.GroupVersionKind()).Patch(p.t.Context(), u.GetName(), types.ApplyPatchType, b,
		metav1.PatchOptions{FieldManager: "test", Force: &force, FieldValidation: metav1.FieldValidationStrict}); err != nil {
		p.t.Fatalf("%s %s: %v", u.GetKind(), u.GetName(), err)
	}
}

// files is the ConfigMap with an image's program.
func (p *platform) files(i seed.Image) *unstructured.Unstructured {
	p.t.Helper()
	data := map[string]any{}
	dir := filepath.Join(p.root, "examples", "seed", "images", i.Dir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			p.t.Fatal(err)
		}
		data[e.Name()] = string(b)
	}
	return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "image-" + i.Dir}, "data": data}}
}

// executables of an image are its files without ending.
func (p *platform) executables(i seed.Image) []string {
	found, err := filepath.Glob(filepath.Join(p.root, "examples", "seed", "images", i.Dir, "*"))
	if err != nil {
		p.t.Fatal(err)
	}
	var out []string
	for _, f := range found {
		if filepath.Ext(f) == "" {
			out = append(out, filepath.Base(f))
		}
	}
	return out
}

// withProgram mounts the program of an image at /app in every container that names it.
func withProgram(v any, i seed.Image, executables []string) (used bool) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			used = withProgram(e, i, executables) || used
		}
	case map[string]any:
		containers, _ := v["containers"].([]any)
		if one, ok := v["container"].(map[string]any); ok { // of a workflow's template
			containers = append(containers, one)
		}
		here := false
		for _, c := range containers {
			if c, ok := c.(map[string]any); ok && c["image"] == i.Name {
				mount(c, i, executables)
				here = true
			}
		}
		if here {
			volumes, _ := v["volumes"].([]any)
			v["volumes"] = append(volumes, map[string]any{"name": "image", "configMap": map[string]any{"name": "image-" + i.Dir, "defaultMode": int64(0o555)}})
		}
		used = here
		for _, e := range v {
			used = withProgram(e, i, executables) || used
		}
	}
	return used
}

func mount(c map[string]any, i seed.Image, executables []string) {
	mounts, _ := c["volumeMounts"].([]any)
	c["volumeMounts"] = append(mounts, map[string]any{"name": "image", "mountPath": "/app", "readOnly": true})
	command, _ := c["command"].([]any)
	if len(command) == 0 {
		for _, w := range i.Entrypoint {
			command = append(command, w)
		}
	}
	for _, e := range executables {
		if len(command) > 0 && command[0] == e {
			command[0] = "/app/" + e
		}
	}
	c["command"] = command
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
		out, _ := p.command(t.Context(), p.program, append([]string{"kubectl"}, args...)...).CombinedOutput()
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
		out, _ := p.command(t.Context(), p.program, "kubectl", "logs", "--tail=20", "--all-containers", pod.GetName()).CombinedOutput()
		fmt.Fprintf(&b, "--- %s\n%s", pod.GetName(), out)
	}
	return b.String()
}

// forward opens a port on this machine for a Service and returns its address.
func (p *platform) forward(t *testing.T, service, port string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cmd := p.command(ctx, p.program, "kubectl", "port-forward", "service/"+service, ":"+port)
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
func (p *platform) ownNetwork(t *testing.T, pod string) bool {
	t.Helper()
	o, err := p.resource(schema.GroupVersionKind{Version: "v1", Kind: "Pod"}).Get(t.Context(), pod, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	podIP, _, _ := unstructured.NestedString(o.Object, "status", "podIP")
	hostIP, _, _ := unstructured.NestedString(o.Object, "status", "hostIP")
	return podIP != hostIP
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
