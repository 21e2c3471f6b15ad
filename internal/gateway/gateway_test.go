package gateway_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kiwerk/kiwerk/api/serving/v1beta1"
	"github.com/kiwerk/kiwerk/internal/data"
	"github.com/kiwerk/kiwerk/internal/gateway"
	"github.com/kiwerk/kiwerk/internal/kube"
	"github.com/kiwerk/kiwerk/internal/kwtest"
	"github.com/kiwerk/kiwerk/internal/server"
)

func TestMain(m *testing.M) { kwtest.Main(m) }

// platform is a gateway behind the platform's server, on the real API server.
type platform struct {
	t      testing.TB
	url    string
	ns     string
	client client.WithWatch
	record *recorder
	gw     *gateway.Gateway
}

// recorder keeps predictions in memory; it knows their ids, as the real one does.
type recorder struct {
	mu   sync.Mutex
	list []data.Prediction
	got  []data.Feedback
	// wait, if set, holds Record up.
	wait chan struct{}
}

func (r *recorder) Record(p data.Prediction) {
	if r.wait != nil {
		<-r.wait
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, p)
}

func (r *recorder) Feedback(_ context.Context, ns, endpoint string, labels []data.Feedback) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var unknown []string
next:
	for _, l := range labels {
		for _, p := range r.list {
			if p.ID == l.ID && p.Namespace == ns && p.Endpoint == endpoint {
				continue next
			}
		}
		unknown = append(unknown, l.ID)
	}
	if unknown != nil {
		return server.NotFound("unknown predictions: %s", strings.Join(unknown, ", "))
	}
	r.got = append(r.got, labels...)
	return nil
}

func (r *recorder) predictions() []data.Prediction {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]data.Prediction{}, r.list...)
}

type tokens struct{}

func (tokens) Authenticate(r *http.Request) (server.User, error) {
	name, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return server.User{}, server.ErrUnauthenticated
	}
	return server.User{Name: name}, nil
}

func (tokens) Authorize(_ context.Context, u server.User, p server.Permission, _ string) error {
	if u.Name == "admin" || u.Name == "reader" && p.Verb == "get" {
		return nil
	}
	return errors.New("not granted")
}

func scheme(tb testing.TB) *runtime.Scheme {
	tb.Helper()
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1beta1.AddToScheme} {
		if err := add(s); err != nil {
			tb.Fatal(err)
		}
	}
	return s
}

func start(tb testing.TB, change func(*gateway.Deps)) *platform {
	tb.Helper()
	cfg := kwtest.Config(tb)
	gv := v1beta1.GroupVersion
	if err := kube.EnsureCRDs(tb.Context(), cfg, []kube.Kind{{Group: gv.Group, Version: gv.Version, Kind: "InferenceService", Plural: "inferenceservices"}}); err != nil {
		tb.Fatal(err)
	}
	p := &platform{t: tb, ns: kwtest.Namespace(tb), client: kwtest.Client(tb, scheme(tb)), record: &recorder{}}
	objects, err := cache.New(cfg, cache.Options{Scheme: scheme(tb), DefaultNamespaces: map[string]cache.Config{p.ns: {}}})
	if err != nil {
		tb.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	var mu sync.Mutex
	deps := gateway.Deps{
		Cache: objects, Recorder: p.record, Feedback: p.record, Clock: clock.RealClock{}, Logger: slog.New(slog.DiscardHandler),
		Random: func(n uint64) uint64 {
			mu.Lock()
			defer mu.Unlock()
			return random.Uint64N(n)
		},
	}
	if change != nil {
		change(&deps)
	}
	if p.gw, err = gateway.New(deps); err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(tb.Context())
	ended := make(chan error, 1)
	go func() { ended <- objects.Start(ctx) }()
	if err := p.gw.Start(ctx); err != nil {
		tb.Fatal(err)
	}
	s, err := server.New(server.Options{Authenticator: tokens{}, Authorizer: tokens{}, Logger: slog.New(slog.DiscardHandler), Endpoints: p.gw.Endpoints()})
	if err != nil {
		tb.Fatal(err)
	}
	h := httptest.NewServer(s)
	p.url = h.URL
	tb.Cleanup(func() {
		h.Close()
		if err := p.gw.Stop(context.WithoutCancel(ctx)); err != nil {
			tb.Error(err)
		}
		cancel()
		if err := <-ended; err != nil {
			tb.Error(err)
		}
	})
	return p
}

// modelServer is a real kiwerk-modelserver process.
type modelServer struct {
	cmd  *exec.Cmd
	port string
	done chan error
}

func (p *platform) modelServer(model, name, version string) *modelServer {
	p.t.Helper()
	program, err := kwtest.Program("kiwerk-modelserver")
	if err != nil {
		p.t.Fatal(err)
	}
	file, err := filepath.Abs(filepath.Join("..", "modelserver", "testdata", model+".onnx"))
	if err != nil {
		p.t.Fatal(err)
	}
	m := &modelServer{done: make(chan error, 1)}
	m.cmd = exec.Command(program, "--model-name="+name, "--model-version="+version, "--model-uri=file://"+file, "--listen=127.0.0.1:0")
	stderr, err := m.cmd.StderrPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := m.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	var lines []string
	scan := bufio.NewScanner(stderr)
	for m.port == "" && scan.Scan() {
		var entry struct{ Msg, Listen string }
		lines = append(lines, scan.Text())
		if json.Unmarshal(scan.Bytes(), &entry) == nil && entry.Msg == "ready" {
			if _, m.port, err = net.SplitHostPort(entry.Listen); err != nil {
				p.t.Fatal(err)
			}
		}
	}
	if m.port == "" {
		p.t.Fatalf("the model server did not start: %s", strings.Join(lines, "\n"))
	}
	go func() {
		_, _ = io.Copy(io.Discard, stderr)
		m.done <- m.cmd.Wait()
	}()
	p.t.Cleanup(func() { _ = m.cmd.Process.Kill() })
	return m
}

// pod announces a model server as a pod of a revision, ready or not.
func (p *platform) pod(name, service, revision, version, port string, ready bool) *corev1.Pod {
	p.t.Helper()
	no := false
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: p.ns, Name: name,
			Labels:      map[string]string{v1beta1.LabelService: service, v1beta1.LabelRevision: revision},
			Annotations: map[string]string{kube.PortAnnotation: port, v1beta1.AnnotationModel: "registered", v1beta1.AnnotationModelVersion: version},
		},
		Spec: corev1.PodSpec{AutomountServiceAccountToken: &no, Containers: []corev1.Container{{Name: "c", Image: "kiwerk/modelserver"}}},
	}
	kwtest.Eventually(p.t, func() error { return client.IgnoreAlreadyExists(p.client.Create(p.t.Context(), pod.DeepCopy())) }) // the service account comes a moment later
	if ready {
		p.setReady(pod, true)
	}
	return pod
}

func (p *platform) setReady(pod *corev1.Pod, ready bool) {
	p.t.Helper()
	if err := p.client.Get(p.t.Context(), client.ObjectKeyFromObject(pod), pod); err != nil {
		p.t.Fatal(err)
	}
	before := pod.DeepCopy()
	status := corev1.ConditionFalse
	if ready {
		status = corev1.ConditionTrue
	}
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: status, LastTransitionTime: metav1.Now()}}
	if err := p.client.Status().Patch(p.t.Context(), pod, client.MergeFrom(before)); err != nil {
		p.t.Fatal(err)
	}
}

// route sets the shares of a service, as the controller does.
func (p *platform) route(name string, change func(*v1beta1.InferenceService), shares map[string]int64) {
	p.t.Helper()
	isvc := &v1beta1.InferenceService{ObjectMeta: metav1.ObjectMeta{Namespace: p.ns, Name: name}}
	if change != nil {
		change(isvc)
	}
	if err := client.IgnoreAlreadyExists(p.client.Create(p.t.Context(), isvc)); err != nil {
		p.t.Fatal(err)
	}
	if err := p.client.Get(p.t.Context(), client.ObjectKeyFromObject(isvc), isvc); err != nil {
		p.t.Fatal(err)
	}
	before := isvc.DeepCopy()
	var traffic []v1beta1.TrafficTarget
	for revision, percent := range shares {
		traffic = append(traffic, v1beta1.TrafficTarget{RevisionName: revision, Percent: &percent})
	}
	isvc.Status.Components = map[string]v1beta1.ComponentStatusSpec{v1beta1.PredictorComponent: {Traffic: traffic}}
	if err := p.client.Status().Patch(p.t.Context(), isvc, client.MergeFrom(before)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *platform) path(name string) string { return "/serving/" + p.ns + "/" + name }

type reply struct {
	status int
	body   string
	header http.Header
}

var httpClient = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

func (p *platform) ask(method, path, body string, header ...string) reply {
	r, err := p.try(method, path, body, header...)
	if err != nil {
		p.t.Helper()
		p.t.Error(err)
	}
	return r
}

func (p *platform) try(method, path, body string, header ...string) (reply, error) {
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.url+path, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	req.Header.Set("Authorization", "Bearer admin")
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := httpClient.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, string(b), resp.Header}, err
}

// until asks again until the answer has this status: watches need a moment.
func (p *platform) until(status int, method, path, body string) reply {
	p.t.Helper()
	var r reply
	kwtest.Eventually(p.t, func() error {
		if r = p.ask(method, path, body); r.status != status {
			return fmt.Errorf("%s %s: %d %s, want %d", method, path, r.status, r.body, status)
		}
		return nil
	})
	return r
}

func TestGateway_answers(t *testing.T) {
	p := start(t, nil)
	m := p.modelServer("classifier", "m", "3")
	p.route("m", nil, map[string]int64{"m-1": 100})
	p.pod("a", "m", "m-1", "3", m.port, true)
	base := p.path("m")
	p.until(200, "GET", base+"/v2/health/ready", "")
	const predict = `{"instances":[[1,2,3,4],[5,6,7,8]]}`
	const infer = `{"inputs":[{"name":"pixels","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]}]}`
	cases := map[string]struct {
		method, path, body string
		header             []string
		status             int
		want               string
	}{
		"Predict":        {"POST", base + "/v1/models/m:predict", predict, nil, 200, `"predictions"`},
		"PredictVersion": {"POST", base + "/v1/models/m/versions/3:predict", predict, nil, 200, `"predictions"`},
		"OtherVersion":   {"POST", base + "/v1/models/m/versions/4:predict", predict, nil, 404, "Servable not found for request: Specific(m, 4)"},
		"OtherModel":     {"POST", base + "/v1/models/x:predict", predict, nil, 404, "Servable not found for request: Latest(x)"},
		"WrongShape":     {"POST", base + "/v1/models/m:predict", `{"instances":[[1]]}`, nil, 400, "the model takes [-1,4]"},
		"Infer":          {"POST", base + "/v2/models/m/infer", infer, nil, 200, `"model_version":"3"`},
		"Status":         {"GET", base + "/v1/models/m", "", nil, 200, `"model_version_status"`},
		"Metadata":       {"GET", base + "/v1/models/m/metadata", "", nil, 200, `"signature_def"`},
		"ModelMetadata":  {"GET", base + "/v2/models/m", "", nil, 200, `"onnx_onnxv1"`},
		"ModelReady":     {"GET", base + "/v2/models/m/ready", "", nil, 200, `"ready":true`},
		"Alive":          {"GET", base + "/", "", nil, 200, `{"status":"alive"}`},
		"ByHost":         {"POST", "/v1/models/m:predict", predict, []string{"Host", "m." + p.ns + ".localhost"}, 200, `"predictions"`},
		"ByHeader":       {"POST", "/v1/models/m:predict", predict, []string{server.WorkspaceHeader, p.ns}, 200, `"predictions"`},
		"ListByHeader":   {"GET", "/v1/models", "", []string{server.WorkspaceHeader, p.ns}, 200, `{"models":["m"]}`},
		"NoEndpoint":     {"POST", p.path("none") + "/v1/models/none:predict", predict, nil, 404, "there is no InferenceService none"},
		"DefaultProject": {"POST", "/v1/models/m:predict", predict, nil, 404, "there is no InferenceService m in project default"},
		"NoRoute":        {"POST", base + "/v1/models/m:explode", "{}", nil, 404, "no such route"},
		"ForeignHost":    {"POST", base + "/v1/models/m:predict", predict, []string{"Host", "evil.example"}, 421, "FOREIGN_HOST"},
		"ForeignOrigin":  {"POST", base + "/v1/models/m:predict", predict, []string{"Origin", "https://evil.example"}, 403, "FOREIGN_ORIGIN"},
		"NoPermission":   {"POST", base + "/v1/models/m:predict", predict, []string{"Authorization", "Bearer reader"}, 403, "may not create predictions.kiwerk.dev"},
		"NoFeedback":     {"POST", base + "/v1/models/m:feedback", `{"id":"x","label":1}`, []string{"Authorization", "Bearer reader"}, 403, "may not create feedback.kiwerk.dev"},
		"NoToken":        {"GET", base + "/v1/models/m", "", []string{"Authorization", "none"}, 401, "needs a token"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := p.ask(c.method, c.path, c.body, c.header...)
			if got.status != c.status || !strings.Contains(got.body, c.want) {
				t.Errorf("got %d %s, want %d with %q", got.status, got.body, c.status, c.want)
			}
			if c.status == 200 && strings.Contains(name, "Predict") {
				if got.header.Get(gateway.HeaderRevision) != "m-1" || got.header.Get(gateway.HeaderModelVersion) != "3" || got.header.Get(gateway.HeaderPredictionID) == "" {
					t.Errorf("header %v", got.header)
				}
			}
		})
	}
}

func TestGateway_recordsAndTakesFeedback(t *testing.T) {
	p := start(t, nil)
	m := p.modelServer("classifier", "m", "3")
	p.route("m", nil, map[string]int64{"m-1": 100})
	p.pod("a", "m", "m-1", "3", m.port, true)
	base := p.path("m")
	p.until(200, "GET", base+"/v2/health/ready", "")

	two := p.ask("POST", base+"/v1/models/m:predict", `{"instances":[[1,2,3,4],[5,6,7,8]]}`)
	id := two.header.Get(gateway.HeaderPredictionID)
	// At once: a label may follow its answer without a pause.
	if got := p.ask("POST", base+"/v1/models/m:feedback", `{"id":"`+id+`.1","label":2}`); got.status != 200 || !strings.Contains(got.body, `{"stored":1}`) {
		t.Errorf("got %d %s", got.status, got.body)
	}
	one := p.ask("POST", base+"/v2/models/m/infer", `{"inputs":[{"name":"pixels","shape":[1,4],"datatype":"FP32","data":[9,8,7,6]}]}`)
	single := one.header.Get(gateway.HeaderPredictionID)
	if got := p.ask("POST", base+"/v1/models/m:feedback", `{"feedback":[{"id":"`+id+`.0","label":1},{"id":"`+single+`","label":0}]}`); got.status != 200 {
		t.Errorf("got %d %s", got.status, got.body)
	}
	if got := p.ask("POST", base+"/v1/models/m:feedback", `{"feedback":[{"id":"`+id+`.0","label":1},{"id":"nobody","label":0}]}`); got.status != 404 || !strings.Contains(got.body, "nobody") {
		t.Errorf("unknown id: got %d %s", got.status, got.body)
	}
	if len(p.record.got) != 3 {
		t.Errorf("%d labels were stored, want 3: none of a request with an unknown id", len(p.record.got))
	}
	list := p.record.predictions()
	if len(list) != 3 {
		t.Fatalf("%d predictions were recorded, want 3", len(list))
	}
	second := list[1]
	if second.ID != id+".1" || second.Endpoint != "m" || second.Model != "registered" || second.ModelVersion != "3" || second.Revision != "m-1" ||
		fmt.Sprint(second.Features) != "[5 6 7 8]" || !strings.HasPrefix(string(second.Output), `{"label":`) || second.Time.IsZero() {
		t.Errorf("got %+v", second)
	}
	// What was refused is not recorded.
	p.ask("POST", base+"/v1/models/m:predict", `{"instances":[[1]]}`)
	p.ask("POST", base+"/v1/models/m:feedback", `{"id":"nobody","label":2}`)
	if n := len(p.record.predictions()); n != 3 {
		t.Errorf("%d predictions were recorded", n)
	}
}

func TestGateway_answersWhenTheRecorderHangs(t *testing.T) {
	wait := make(chan struct{})
	p := start(t, func(d *gateway.Deps) { d.Limits.QueueLength = 4 })
	p.record.wait = wait
	defer close(wait)
	m := p.modelServer("half_plus_two", "m", "1")
	p.route("m", nil, map[string]int64{"m-1": 100})
	p.pod("a", "m", "m-1", "1", m.port, true)
	p.until(200, "GET", p.path("m")+"/v2/health/ready", "")
	for range 50 {
		if got := p.ask("POST", p.path("m")+"/v1/models/m:predict", `{"instances":[1]}`); got.status != 200 {
			t.Fatalf("got %d %s", got.status, got.body)
		}
	}
}

func TestGateway_splitsAsTold(t *testing.T) {
	p := start(t, nil)
	v1, v2 := p.modelServer("half_plus_two", "m", "1"), p.modelServer("half_plus_two", "m", "2")
	p.route("m", nil, map[string]int64{"m-1": 80, "m-2": 20})
	p.pod("a", "m", "m-1", "1", v1.port, true)
	p.pod("b", "m", "m-2", "2", v2.port, true)
	p.until(200, "POST", p.path("m")+"/v1/models/m/versions/1:predict", `{"instances":[1]}`)
	p.until(200, "POST", p.path("m")+"/v1/models/m/versions/2:predict", `{"instances":[1]}`)
	const n, share = 3000, .2
	count := 0
	for range n {
		got := p.ask("POST", p.path("m")+"/v2/models/m/infer", `{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}]}`)
		if got.status != 200 {
			t.Fatalf("got %d %s", got.status, got.body)
		}
		if got.header.Get(gateway.HeaderModelVersion) == "2" {
			count++
			if !strings.Contains(got.body, `"model_version":"2"`) {
				t.Fatalf("the header says 2, the model %s", got.body)
			}
		}
	}
	if sigma := math.Sqrt(n * share * (1 - share)); math.Abs(float64(count)-n*share) > 5*sigma { // by chance once in two million runs
		t.Errorf("%d of %d went to the canary, want %v ± %.0f", count, n, n*share, 5*sigma)
	}
}

// Requests go on while revisions are replaced, again and again: none may fail.
func TestGateway_rollOutDropsNothing(t *testing.T) {
	p := start(t, nil)
	current := p.modelServer("half_plus_two", "m", "0")
	p.route("m", nil, map[string]int64{"m-0": 100})
	old := p.pod("p0", "m", "m-0", "0", current.port, true)
	p.until(200, "GET", p.path("m")+"/v2/health/ready", "")

	var sent atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for ctx.Err() == nil {
				got, err := p.try("POST", p.path("m")+"/v1/models/m:predict", `{"instances":[1,2,3]}`)
				if err != nil || got.status != 200 {
					t.Errorf("got %v %d %s", err, got.status, got.body)
				}
				sent.Add(1)
			}
		})
	}
	for i := 1; i <= 4; i++ {
		version := fmt.Sprint(i)
		next := p.modelServer("half_plus_two", "m", version)
		pod := p.pod("p"+version, "m", "m-"+version, version, next.port, true)
		p.route("m", nil, map[string]int64{"m-" + version: 50, "m-" + fmt.Sprint(i-1): 50})
		p.until(200, "POST", p.path("m")+"/v1/models/m/versions/"+version+":predict", `{"instances":[1]}`)
		p.route("m", nil, map[string]int64{"m-" + version: 100})
		before := sent.Load()
		kwtest.Eventually(t, func() error { // there is load, however slow the machine is
			if n := sent.Load() - before; n < 100 {
				return fmt.Errorf("%d requests were answered", n)
			}
			return nil
		})
		// The kubelet sends SIGTERM at the same time as the deletion is told.
		if err := p.client.Delete(t.Context(), old); err != nil {
			t.Error(err)
		}
		if err := current.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := <-current.done; err != nil {
			t.Errorf("the old server ended with %v", err)
		}
		current, old = next, pod
	}
	stop()
	group.Wait()
	t.Logf("%d requests", sent.Load())
}

// One of two pods is killed without a word: requests go to the other one.
func TestGateway_survivesADeadPod(t *testing.T) {
	p := start(t, nil)
	a, b := p.modelServer("half_plus_two", "m", "1"), p.modelServer("half_plus_two", "m", "1")
	p.route("m", nil, map[string]int64{"m-1": 100})
	p.pod("a", "m", "m-1", "1", a.port, true)
	p.pod("b", "m", "m-1", "1", b.port, true)
	p.until(200, "GET", p.path("m")+"/v2/health/ready", "")
	for i := range 400 {
		if i == 100 {
			if err := a.cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			<-a.done
		}
		if got := p.ask("POST", p.path("m")+"/v1/models/m:predict", `{"instances":[1]}`); got.status != 200 {
			t.Fatalf("request %d: %d %s", i, got.status, got.body)
		}
	}
}

func TestGateway_waitsForAPod(t *testing.T) {
	p := start(t, func(d *gateway.Deps) { d.Limits.Pending, d.Limits.Timeout = kwtest.Patience, kwtest.Patience })
	m := p.modelServer("half_plus_two", "m", "1")
	p.route("m", nil, map[string]int64{"m-1": 100})
	pod := p.pod("a", "m", "m-1", "1", m.port, false)
	p.until(503, "GET", p.path("m")+"/v2/models/m/ready", "")
	kwtest.Eventually(t, func() error { // until the gateway has read shares and pod
		if got := p.ask("GET", p.path("m")+"/v1/models/m", ""); got.status != 503 || !strings.Contains(got.body, `"state": "LOADING"`) {
			return fmt.Errorf("got %d %s", got.status, got.body)
		}
		return nil
	})
	answered := make(chan reply, 1)
	go func() {
		got, err := p.try("POST", p.path("m")+"/v1/models/m:predict", `{"instances":[1]}`)
		if err != nil {
			t.Error(err)
		}
		answered <- got
	}()
	p.setReady(pod, true)
	if got := <-answered; got.status != 200 {
		t.Errorf("got %d %s", got.status, got.body)
	}
}

func TestGateway_givesUpAfterItsLimits(t *testing.T) {
	p := start(t, func(d *gateway.Deps) { d.Limits.Pending = 50 * time.Millisecond })
	p.route("none", nil, map[string]int64{"m-1": 100})
	kwtest.Eventually(t, func() error { // until the gateway has read the shares
		got := p.ask("POST", p.path("none")+"/v1/models/none:predict", `{"instances":[1]}`)
		if got.status != 503 || !strings.Contains(got.body, "none of its pods is ready") || got.header.Get("Retry-After") == "" {
			return fmt.Errorf("got %d %s %v", got.status, got.body, got.header)
		}
		return nil
	})
	m := p.modelServer("slow", "slow", "1")
	second := int64(1)
	p.route("slow", func(i *v1beta1.InferenceService) { i.Spec.Predictor.TimeoutSeconds = &second }, map[string]int64{"s-1": 100})
	p.pod("s", "slow", "s-1", "1", m.port, true)
	p.until(200, "GET", p.path("slow")+"/v2/models/slow/ready", "")
	if got := p.ask("POST", p.path("slow")+"/v1/models/slow:predict", `{"inputs":1000000000}`); got.status != 504 || !strings.Contains(got.body, "no answer within 1s") {
		t.Errorf("got %d %s", got.status, got.body)
	}
}

// An endpoint that only its user can mend answers at once, one that is on its
// way after the limit, and both say why.
func TestGateway_saysWhyThereIsNoAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		transition, reason, message string
		shares                      map[string]int64
		waits                       bool
	}{
		"refused":  {v1beta1.InvalidSpec, v1beta1.ReasonModelNotFound, "model digits has no alias champion", nil, false},
		"broken":   {v1beta1.BlockedByFailedLoad, v1beta1.ReasonLoadFailed, "model.onnx is no ONNX model", nil, false},
		"starting": {v1beta1.InProgress, v1beta1.ReasonLoading, "the model server is starting", nil, true},
		"restarts": {v1beta1.BlockedByFailedLoad, v1beta1.ReasonLoadFailed, "out of memory", map[string]int64{"m-1": 100}, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, func(d *gateway.Deps) {
				if d.Limits.Pending = 50 * time.Millisecond; !c.waits {
					d.Limits.Timeout, d.Limits.Pending = time.Hour, time.Hour
				}
			})
			p.route(name, nil, c.shares)
			isvc := &v1beta1.InferenceService{}
			if err := p.client.Get(t.Context(), client.ObjectKey{Namespace: p.ns, Name: name}, isvc); err != nil {
				t.Fatal(err)
			}
			before := isvc.DeepCopy()
			isvc.Status.ObservedGeneration = isvc.Generation
			isvc.Status.ModelStatus = &v1beta1.ModelStatus{TransitionStatus: c.transition}
			isvc.Status.SetCondition(v1beta1.Condition{Type: v1beta1.Ready, Status: corev1.ConditionFalse, Reason: c.reason, Message: c.message}, metav1.Now())
			if err := p.client.Status().Patch(t.Context(), isvc, client.MergeFrom(before)); err != nil {
				t.Fatal(err)
			}
			kwtest.Eventually(t, func() error { // until the gateway has read it
				if got := p.ask("GET", p.path(name)+"/v1/models/"+name, ""); !strings.Contains(got.body, c.reason+": "+c.message) {
					return fmt.Errorf("the status says %s", got.body)
				}
				return nil
			})
			got := p.ask("POST", p.path(name)+"/v1/models/"+name+":predict", `{"instances":[1]}`)
			if got.status != 503 || !strings.Contains(got.body, c.reason+": "+c.message) {
				t.Errorf("got %d %s", got.status, got.body)
			}
			if again := got.header.Get("Retry-After") != ""; again != c.waits {
				t.Errorf("Retry-After %q", got.header.Get("Retry-After"))
			}
		})
	}
}

// Names that clients make up must not become series, and those of a deleted endpoint go.
func TestGateway_metricsKnowOnlyEndpoints(t *testing.T) {
	registry := prometheus.NewRegistry()
	p := start(t, func(d *gateway.Deps) { d.Metrics = registry })
	series := func() (names []string) {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				for _, l := range m.GetLabel() {
					if l.GetName() == "endpoint" && f.GetName() == "kiwerk_inference_requests_total" {
						names = append(names, l.GetValue())
					}
				}
			}
		}
		return names
	}
	m := p.modelServer("half_plus_two", "m", "1")
	p.route("m", nil, map[string]int64{"m-1": 100})
	p.pod("a", "m", "m-1", "1", m.port, true)
	p.until(200, "POST", p.path("m")+"/v1/models/m:predict", `{"instances":[1]}`)
	p.until(404, "POST", p.path("made-up")+"/v1/models/made-up:predict", `{"instances":[1]}`)
	if got := series(); slices.Contains(got, "made-up") || !slices.Contains(got, "m") {
		t.Errorf("series of %v", got)
	}
	if err := p.client.Delete(t.Context(), &v1beta1.InferenceService{ObjectMeta: metav1.ObjectMeta{Namespace: p.ns, Name: "m"}}); err != nil {
		t.Fatal(err)
	}
	p.until(404, "POST", p.path("m")+"/v1/models/m:predict", `{"instances":[1]}`)
	kwtest.Eventually(t, func() error {
		if got := series(); len(got) > 0 {
			return fmt.Errorf("series of %v", got)
		}
		return nil
	})
}

func TestGateway_refusesLargeBodies(t *testing.T) {
	p := start(t, func(d *gateway.Deps) { d.Limits.MaxBody = 1000 })
	p.route("m", nil, map[string]int64{"m-1": 100})
	p.until(503, "GET", p.path("m")+"/v2/models/m/ready", "")
	if got := p.ask("POST", p.path("m")+"/v1/models/m:predict", strings.Repeat(" ", 2000)); got.status != 413 {
		t.Errorf("got %d %s", got.status, got.body)
	}
}

func TestNew_wantsItsDependencies(t *testing.T) {
	if _, err := gateway.New(gateway.Deps{}); err == nil {
		t.Error("accepted")
	}
}
