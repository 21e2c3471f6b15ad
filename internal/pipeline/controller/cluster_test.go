package controller

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/yaml"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/kube"
	"github.com/kiwerk/kiwerk/internal/kwtest"
	"github.com/kiwerk/kiwerk/internal/pipeline/ops"
	"github.com/kiwerk/kiwerk/internal/pipeline/rest"
	"github.com/kiwerk/kiwerk/internal/pipeline/step"
	kiwerk "github.com/kiwerk/kiwerk/internal/server"
)

const testToken = "token-of-the-step"

// cluster is a namespace of the real API server with our controller, the
// artifact routes over HTTP, and a kubelet that runs the commands of pods with
// the real step agent as host processes.
type cluster struct {
	t      testing.TB
	ns     string
	client client.WithWatch
	scheme *runtime.Scheme
	blobs  blob.Bucket
	dir    string
	agent  string
	url    string

	mu     sync.Mutex
	output map[string]string // by node name
	runs   map[string]int
}

func kinds() []kube.Kind {
	g, v := argo.GroupVersion.Group, argo.GroupVersion.Version
	return []kube.Kind{
		{Group: g, Version: v, Kind: "Workflow", Plural: "workflows", NoStatus: true},
		{Group: g, Version: v, Kind: "WorkflowTemplate", Plural: "workflowtemplates", NoStatus: true},
		{Group: g, Version: v, Kind: "ClusterWorkflowTemplate", Plural: "clusterworkflowtemplates", ClusterScoped: true, NoStatus: true},
	}
}

func newCluster(tb testing.TB) *cluster {
	tb.Helper()
	agent, err := kwtest.Program("kiwerk-agent")
	if err != nil {
		tb.Fatal(err)
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, argo.AddToScheme} {
		if err := add(scheme); err != nil {
			tb.Fatal(err)
		}
	}
	if err := kube.EnsureCRDs(tb.Context(), kwtest.Config(tb), kinds()); err != nil {
		tb.Fatal(err)
	}
	c := &cluster{
		t: tb, ns: kwtest.Namespace(tb), client: kwtest.Client(tb, scheme), scheme: scheme, dir: tb.TempDir(), agent: agent,
		output: map[string]string{}, runs: map[string]int{},
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default", Namespace: c.ns}}
	if err := c.client.Create(tb.Context(), account); err != nil && !apierrors.IsAlreadyExists(err) {
		tb.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.dir, "token"), []byte(testToken+"\n"), 0o600); err != nil {
		tb.Fatal(err)
	}
	if c.blobs, err = blob.OpenFolder(filepath.Join(c.dir, "blobs")); err != nil {
		tb.Fatal(err)
	}
	c.serve()
	return c
}

type tokenAuth struct{}

func (tokenAuth) Authenticate(r *http.Request) (kiwerk.User, error) {
	if r.Header.Get("Authorization") != "Bearer "+testToken {
		return kiwerk.User{}, kiwerk.ErrUnauthenticated
	}
	return kiwerk.User{Name: "step"}, nil
}

func (tokenAuth) Authorize(_ context.Context, _ kiwerk.User, p kiwerk.Permission, _ string) error {
	if p.Group == "" || p.Verb == "" {
		return errors.New("no permission")
	}
	return nil
}

func (c *cluster) serve() {
	handler, err := kiwerk.New(kiwerk.Options{
		Authenticator: tokenAuth{}, Authorizer: tokenAuth{}, Logger: slog.New(slog.DiscardHandler),
		Endpoints: append(rest.Artifacts{Blobs: c.blobs}.Endpoints(),
			rest.Argo{Ops: ops.Ops{Client: c.client, Now: clock.RealClock{}.Now}, Version: "test"}.Endpoints()...),
	})
	if err != nil {
		c.t.Fatal(err)
	}
	s := httptest.NewServer(handler)
	c.t.Cleanup(s.Close)
	c.url = s.URL
}

// start runs the controller until the test or the returned function ends it.
func (c *cluster) start() (stop func()) {
	c.t.Helper()
	skip := true
	mgr, err := ctrl.NewManager(kwtest.Config(c.t), ctrl.Options{
		Scheme: c.scheme, Logger: logr.Discard(), Metrics: server.Options{BindAddress: "0"}, Controller: config.Controller{SkipNameValidation: &skip},
		Cache: cache.Options{DefaultNamespaces: map[string]cache.Config{c.ns: {}}},
	})
	if err != nil {
		c.t.Fatal(err)
	}
	err = Setup(mgr, Deps{
		Clock: clock.RealClock{}, Recorder: events.NewFakeRecorder(1000), Blobs: c.blobs, Logger: slog.New(slog.DiscardHandler),
		Platform: kube.Platform{BaseURL: c.url, AgentPath: c.agent},
	})
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.t.Context()))
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			c.t.Errorf("manager: %v", err)
		}
	})
	c.t.Cleanup(stop)
	return stop
}

// kubelet runs pods until the test ends.
func (c *cluster) kubelet() {
	c.t.Helper()
	w, err := c.client.Watch(c.t.Context(), &corev1.PodList{}, client.InNamespace(c.ns))
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.t.Context()))
	var running sync.WaitGroup
	c.t.Cleanup(func() { cancel(); w.Stop(); running.Wait() })
	running.Go(func() {
		seen := map[string]bool{}
		for e := range w.ResultChan() {
			p, ok := e.Object.(*corev1.Pod)
			if !ok || seen[string(p.UID)] || p.Status.Phase != corev1.PodPending || p.DeletionTimestamp != nil {
				continue
			}
			seen[string(p.UID)] = true
			running.Go(func() { c.runPod(ctx, p) })
		}
	})
}

func (c *cluster) runPod(ctx context.Context, p *corev1.Pod) {
	c.status(ctx, p, corev1.PodRunning, corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}})
	main := p.Spec.Containers[0]
	message := filepath.Join(c.dir, string(p.UID)+".message")
	args := append(append([]string{}, main.Command...), main.Args...)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = c.environ(main, message)
	cmd.Dir = c.dir
	out, err := cmd.CombinedOutput()
	exit := cmd.ProcessState.ExitCode()
	if err != nil && exit <= 0 {
		exit = 128
		out = append(out, err.Error()...)
	}
	node := p.Annotations[argo.AnnotationNodeName]
	c.mu.Lock()
	c.output[node] = string(out)
	c.runs[node]++
	c.mu.Unlock()
	text, err := os.ReadFile(message)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		c.t.Error(err)
	}
	phase, reason := corev1.PodSucceeded, "Completed"
	if exit != 0 {
		phase, reason = corev1.PodFailed, "Error"
	}
	c.status(ctx, p, phase, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: int32(exit), Reason: reason, Message: string(text), StartedAt: metav1.Now(), FinishedAt: metav1.Now(),
	}})
}

// environ is what the kubelet would set; the paths of token and message are those of the test.
func (c *cluster) environ(main corev1.Container, message string) []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + c.dir}
	for _, e := range main.Env {
		v := strings.ReplaceAll(e.Value, "$$", "$")
		switch e.Name {
		case kube.EnvTokenFile:
			v = filepath.Join(c.dir, "token")
		case step.Env:
			v = strings.Replace(v, `"message":"/dev/termination-log"`, `"message":`+quote(message), 1)
		}
		env = append(env, e.Name+"="+v)
	}
	return env
}

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return `""`
	}
	return string(b)
}

func (c *cluster) status(ctx context.Context, p *corev1.Pod, phase corev1.PodPhase, state corev1.ContainerState) {
	patch, err := json.Marshal(map[string]any{"status": map[string]any{
		"phase": phase, "containerStatuses": []corev1.ContainerStatus{{Name: argo.MainContainer, State: state, Image: "none", ImageID: "none"}},
	}})
	if err != nil {
		c.t.Error(err)
		return
	}
	err = c.client.Status().Patch(ctx, p.DeepCopy(), client.RawPatch("application/strategic-merge-patch+json", patch))
	if client.IgnoreNotFound(err) != nil && ctx.Err() == nil {
		c.t.Errorf("kubelet: %v", err)
	}
}

// submit creates a workflow from a file of examples/workflows or from YAML text.
func (c *cluster) submit(tb testing.TB, text string) *argo.Workflow {
	tb.Helper()
	wf := &argo.Workflow{}
	c.create(tb, text, wf)
	return wf
}

func (c *cluster) create(tb testing.TB, text string, obj client.Object) {
	tb.Helper()
	if strings.HasSuffix(text, ".yaml") {
		b, err := os.ReadFile(filepath.Join("../../../examples/workflows", text))
		if err != nil {
			tb.Fatal(err)
		}
		text = string(b)
	}
	if err := yaml.Unmarshal([]byte(text), obj); err != nil {
		tb.Fatal(err)
	}
	obj.SetNamespace(c.ns)
	if err := c.client.Create(tb.Context(), obj); err != nil {
		tb.Fatal(err)
	}
}

// finish waits for the end of a workflow.
func (c *cluster) finish(tb testing.TB, wf *argo.Workflow, want argo.WorkflowPhase) {
	tb.Helper()
	kwtest.WaitFor(tb, c.client, wf, func(wf *argo.Workflow) bool { return wf.Status.Phase.Completed() })
	if wf.Status.Phase != want {
		b, err := yaml.Marshal(wf.Status)
		if err != nil {
			tb.Fatal(err)
		}
		tb.Fatalf("phase %s, want %s\n%s\noutput: %v", wf.Status.Phase, want, b, c.output)
	}
}

func (c *cluster) node(tb testing.TB, wf *argo.Workflow, name string) argo.NodeStatus {
	tb.Helper()
	for _, n := range wf.Status.Nodes {
		if n.Name == wf.Name+name {
			return n
		}
	}
	tb.Fatalf("no node %s%s in %v", wf.Name, name, wf.Status.Nodes)
	return argo.NodeStatus{}
}

func (c *cluster) out(wf *argo.Workflow, node string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.TrimSpace(c.output[wf.Name+node])
}
