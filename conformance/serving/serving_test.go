package serving

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/kiwerk/kiwerk/internal/kwtest"
)

var (
	services = schema.GroupVersionResource{Group: "serving.kserve.io", Version: "v1beta1", Resource: "inferenceservices"}
	pods     = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
)

const (
	startLimit = 4 * time.Minute
	readyLimit = 3 * time.Minute
)

// platform is a Kiwerk of this test's own.
type platform struct {
	t      *testing.T
	dir    string // data directory
	url    string
	python string
	client dynamic.Interface
}

func start(t *testing.T) *platform {
	t.Helper()
	program, err := kwtest.Program("kiwerk")
	if err != nil {
		t.Fatal(err)
	}
	root, err := kwtest.Root()
	if err != nil {
		t.Fatal(err)
	}
	p := &platform{t: t, python: filepath.Join(root, ".venv", "bin", "python")}
	if _, err := os.Stat(p.python); err != nil {
		t.Fatalf("the stock client is needed; run make setup: %v", err)
	}
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	p.dir = data
	config := filepath.Join(dir, "config.yaml")
	text := fmt.Sprintf("serving:\n  fileRoots: [%s]\n", filepath.Join(root, "internal", "modelserver", "testdata"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), startLimit)
		defer cancel()
		cmd := exec.CommandContext(ctx, program, append([]string{"--data-dir", data}, args...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("kiwerk %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	t.Cleanup(func() { run("down") })
	found := regexp.MustCompile(`MLFLOW_TRACKING_URI=(http://\S+)`).FindStringSubmatch(run("up", "--detach", "--listen", "127.0.0.1:0", "--config", config))
	if found == nil {
		t.Fatal("up printed no address")
	}
	p.url = found[1]
	cfg, err := clientcmd.BuildConfigFromFlags("", filepath.Join(data, "kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	if p.client, err = dynamic.NewForConfig(cfg); err != nil {
		t.Fatal(err)
	}
	return p
}

// register logs a model with the stock client and returns its version.
func (p *platform) register(args ...string) string {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), p.python, append([]string{"-W", "ignore", "register.py"}, args...)...)
	cmd.Env = append(os.Environ(), "MLFLOW_TRACKING_URI="+p.url, "MLFLOW_DISABLE_TELEMETRY=true", "HOME="+p.t.TempDir(), "PYTHONDONTWRITEBYTECODE=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		p.t.Fatalf("register: %v\n%s", err, stderr.Bytes())
	}
	lines := strings.Fields(string(out))
	return lines[len(lines)-1]
}

// predictor is the part of a spec that the tests change.
func predictor(storageURI string, more map[string]any) map[string]any {
	spec := map[string]any{"model": map[string]any{"modelFormat": map[string]any{"name": "onnx"}, "storageUri": storageURI}}
	maps.Copy(spec, more)
	return map[string]any{"spec": map[string]any{"predictor": spec}}
}

// apply sends a service by server-side apply: what a later call leaves out is removed.
func (p *platform) apply(name string, body map[string]any) {
	p.t.Helper()
	body = maps.Clone(body)
	body["apiVersion"], body["kind"] = "serving.kserve.io/v1beta1", "InferenceService"
	body["metadata"] = map[string]any{"name": name}
	b, err := json.Marshal(body)
	if err != nil {
		p.t.Fatal(err)
	}
	force := true
	if _, err := p.client.Resource(services).Namespace("default").Patch(p.t.Context(), name, types.ApplyPatchType, b,
		metav1.PatchOptions{FieldManager: "test", Force: &force}); err != nil {
		p.t.Fatal(err)
	}
}

// until waits for a state of the service and returns it.
func (p *platform) until(name string, met func(*unstructured.Unstructured) bool) *unstructured.Unstructured {
	p.t.Helper()
	deadline := time.NewTimer(readyLimit)
	defer deadline.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		o, err := p.client.Resource(services).Namespace("default").Get(p.t.Context(), name, metav1.GetOptions{})
		if err != nil {
			p.t.Fatal(err)
		}
		seen, _, _ := unstructured.NestedInt64(o.Object, "status", "observedGeneration")
		if seen == o.GetGeneration() && met(o) {
			return o
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			status, err := yaml.Marshal(o.Object["status"])
			p.t.Fatalf("%s is not as it should be: %v\n%s", name, err, status)
		}
	}
}

func condition(o *unstructured.Unstructured, typ string) (status, reason, message string) {
	list, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, c := range list {
		if m, ok := c.(map[string]any); ok && m["type"] == typ {
			status, _ = m["status"].(string)
			reason, _ = m["reason"].(string)
			message, _ = m["message"].(string)
		}
	}
	return status, reason, message
}

func ready(o *unstructured.Unstructured) bool {
	status, _, _ := condition(o, "Ready")
	return status == "True"
}

// shares are the percentages by tag; the newest revision is "latest".
func shares(o *unstructured.Unstructured) map[string]int64 {
	list, _, _ := unstructured.NestedSlice(o.Object, "status", "components", "predictor", "traffic")
	got := map[string]int64{}
	for _, t := range list {
		m, ok := t.(map[string]any)
		if !ok {
			continue
		}
		tag := "prev"
		if m["latestRevision"] == true {
			tag = "latest"
		}
		got[tag], _ = m["percent"].(int64)
	}
	return got
}

func split(latest int64) func(*unstructured.Unstructured) bool {
	return func(o *unstructured.Unstructured) bool {
		got := shares(o)
		return got["latest"] == latest && got["latest"]+got["prev"] == 100
	}
}

type reply struct {
	status  int
	body    string
	version string
	id      string
}

func (p *platform) ask(ctx context.Context, method, path, body string) (reply, error) {
	r, err := http.NewRequestWithContext(ctx, method, p.url+path, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, string(b), resp.Header.Get("X-Kiwerk-Model-Version"), resp.Header.Get("X-Kiwerk-Prediction-Id")}, err
}

const four = `{"instances":[[1,2,3,4]]}`

func (p *platform) predict() reply {
	p.t.Helper()
	got, err := p.ask(p.t.Context(), "POST", "/v1/models/quality:predict", four)
	if err != nil || got.status != http.StatusOK {
		p.t.Fatalf("%d %s %v", got.status, got.body, err)
	}
	return got
}

// load sends requests until the function that it returns is called; none may fail.
func (p *platform) load() (stop func() (sent int)) {
	ctx, cancel := context.WithCancel(p.t.Context())
	var group sync.WaitGroup
	var mu sync.Mutex
	sent := 0
	for range 3 {
		group.Go(func() {
			for ctx.Err() == nil {
				got, err := p.ask(context.WithoutCancel(ctx), "POST", "/v1/models/quality:predict", four)
				if err != nil || got.status != http.StatusOK {
					p.t.Errorf("%d %s %v", got.status, got.body, err)
				}
				mu.Lock()
				sent++
				mu.Unlock()
			}
		})
	}
	return func() int {
		cancel()
		group.Wait()
		return sent
	}
}

// modelServers are the processes that serve a model on this platform and on no other.
func (p *platform) modelServers(name string) []int {
	p.t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		p.t.Fatal(err)
	}
	var list []int
	for _, e := range entries {
		var pid int
		if _, err := fmt.Sscan(e.Name(), &pid); err != nil {
			continue
		}
		line, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err != nil || !bytes.HasPrefix(line, []byte("kiwerk-modelserver\x00--model-name="+name+"\x00")) {
			continue
		}
		if p.owns(e.Name()) {
			list = append(list, pid)
		}
	}
	return list
}

// owns tells whether a process descends from a shim of this platform.
func (p *platform) owns(pid string) bool {
	for pid != "0" && pid != "1" {
		line, err := os.ReadFile(filepath.Join("/proc", pid, "cmdline"))
		if err != nil {
			return false
		}
		if bytes.Contains(line, []byte("\x00shim\x00"+p.dir+"/")) {
			return true
		}
		stat, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if err != nil || len(fields) < 2 {
			return false
		}
		pid = string(fields[1])
	}
	return false
}

// One platform for all: each step goes on from what the one before left.
func TestServing(t *testing.T) {
	p := start(t)
	model, err := filepath.Abs("../../internal/modelserver/testdata/classifier.onnx")
	if err != nil {
		t.Fatal(err)
	}
	step := func(name string, f func(*testing.T)) {
		t.Helper()
		if !t.Run(name, func(t *testing.T) {
			p.t = t
			f(t)
		}) {
			t.FailNow()
		}
	}

	step("RegisteredModelByAlias", func(t *testing.T) {
		if v := p.register("--name=quality", "--onnx="+model, "--alias=champion"); v != "1" {
			t.Fatalf("version %s", v)
		}
		p.apply("quality", predictor("models:/quality@champion", nil))
		p.until("quality", ready)
		if got := p.predict(); got.version != "1" || !strings.Contains(got.body, `"label": `) {
			t.Errorf("got %+v", got)
		}
	})
	step("Protocols", func(t *testing.T) {
		for path, c := range map[string]struct{ method, body, want string }{
			"/v2/models/quality/infer":    {"POST", `{"inputs":[{"name":"pixels","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]}]}`, `"model_version":"1"`},
			"/v1/models/quality":          {"GET", "", `"state": "AVAILABLE"`},
			"/v1/models/quality/metadata": {"GET", "", `"DT_FLOAT"`},
			"/v2/models/quality/ready":    {"GET", "", `"ready":true`},

			"/serving/default/quality/v1/models/quality/versions/1:predict": {"POST", four, `"predictions"`},
		} {
			if got, err := p.ask(t.Context(), c.method, path, c.body); err != nil || got.status != 200 || !strings.Contains(got.body, c.want) {
				t.Errorf("%s: %d %s %v", path, got.status, got.body, err)
			}
		}
		if got, err := p.ask(t.Context(), "POST", "/v1/models/quality:predict", `{"instances":[[1,2,3]]}`); err != nil || got.status != 400 || !strings.Contains(got.body, "has shape [1,3], the model takes [-1,4]") {
			t.Errorf("wrong shape: %d %s %v", got.status, got.body, err)
		}
	})
	step("Feedback", func(t *testing.T) {
		id := p.predict().id
		if got, err := p.ask(t.Context(), "POST", "/v1/models/quality:feedback", `{"id":"`+id+`","label":1}`); err != nil || got.status != 200 {
			t.Errorf("%d %s %v", got.status, got.body, err)
		}
		if got, err := p.ask(t.Context(), "POST", "/v1/models/quality:feedback", `{"feedback":[{"id":"nobody","label":1}]}`); err != nil || got.status != 404 || !strings.Contains(got.body, "nobody") {
			t.Errorf("unknown id: %d %s %v", got.status, got.body, err)
		}
	})
	step("AliasMovesUnderLoad", func(t *testing.T) {
		stop := p.load()
		p.register("--name=quality", "--onnx="+model, "--alias=champion")
		p.until("quality", func(o *unstructured.Unstructured) bool { return ready(o) && p.predict().version == "2" })
		t.Logf("%d requests", stop())
	})
	step("CanarySplits", func(t *testing.T) {
		stop := p.load()
		p.apply("quality", predictor("models:/quality/1", map[string]any{"canaryTrafficPercent": 20}))
		p.until("quality", split(20))
		stop()
		const n, share = 1500, .2
		count := 0
		for range n {
			if p.predict().version == "1" {
				count++
			}
		}
		if sigma := math.Sqrt(n * share * (1 - share)); math.Abs(float64(count)-n*share) > 5*sigma { // by chance once in two million runs
			t.Errorf("%d of %d went to the canary, want %v ± %.0f", count, n, n*share, 5*sigma)
		}
	})
	step("CanaryGoesBackAndForth", func(t *testing.T) {
		stop := p.load()
		p.apply("quality", predictor("models:/quality/1", map[string]any{"canaryTrafficPercent": 0}))
		p.until("quality", func(o *unstructured.Unstructured) bool { return split(0)(o) && p.predict().version == "2" })
		p.apply("quality", predictor("models:/quality/1", nil))
		p.until("quality", func(o *unstructured.Unstructured) bool { return split(100)(o) && p.predict().version == "1" })
		t.Logf("%d requests", stop())
	})
	step("PodsEndUnderLoad", func(t *testing.T) {
		stop := p.load()
		before, err := p.client.Resource(pods).Namespace("default").List(t.Context(), metav1.ListOptions{LabelSelector: "serving.kserve.io/inferenceservice=quality"})
		if err != nil || len(before.Items) == 0 {
			t.Fatal(err)
		}
		for _, pod := range before.Items {
			if err := p.client.Resource(pods).Namespace("default").Delete(t.Context(), pod.GetName(), metav1.DeleteOptions{}); err != nil {
				t.Error(err)
			}
		}
		p.predict()
		p.until("quality", ready)
		servers := p.modelServers("quality")
		if len(servers) == 0 {
			t.Error("no model server was found to kill")
		}
		for _, pid := range servers {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Error(err)
			}
		}
		p.predict()
		t.Logf("%d requests", stop())
	})
	step("BrokenRevisionGetsNothing", func(t *testing.T) {
		p.register("--name=pickled")
		p.apply("quality", predictor("models:/pickled/1", nil))
		o := p.until("quality", func(o *unstructured.Unstructured) bool {
			_, reason, _ := condition(o, "Ready")
			return reason == "ModelLoadFailed"
		})
		if _, _, message := condition(o, "Ready"); !strings.Contains(message, "has no onnx flavour (it has: sklearn); Kiwerk never unpickles models") {
			t.Errorf("the condition says %q", message)
		}
		if state, _, _ := unstructured.NestedString(o.Object, "status", "modelStatus", "transitionStatus"); state != "BlockedByFailedLoad" {
			t.Errorf("transitionStatus %q", state)
		}
		if got := p.predict(); got.version != "1" {
			t.Errorf("version %s answers", got.version)
		}
	})
	step("UnsupportedFieldIsNamed", func(t *testing.T) {
		p.apply("unsupported", predictor("models:/quality/1", map[string]any{"logger": map[string]any{"url": "http://x"}}))
		p.until("unsupported", func(o *unstructured.Unstructured) bool {
			status, _, message := condition(o, "PredictorReady")
			return status == "False" && strings.Contains(message, "spec.predictor.logger")
		})
	})
	step("FilesOnlyBelowTheirFolders", func(t *testing.T) {
		p.apply("file", predictor("file://"+filepath.Join(filepath.Dir(model), "half_plus_two.onnx"), nil))
		p.until("file", ready)
		p.apply("outside", predictor("file:///etc/passwd", nil))
		p.until("outside", func(o *unstructured.Unstructured) bool {
			status, _, message := condition(o, "Ready")
			return status == "False" && strings.Contains(message, "serving.fileRoots")
		})
		p.apply("private", predictor("http://127.0.0.1:1/model.onnx", nil))
		p.until("private", func(o *unstructured.Unstructured) bool {
			status, _, message := condition(o, "Ready")
			return status == "False" && strings.Contains(message, "private network")
		})
	})
	step("ExamplesOfTheSpec", func(t *testing.T) { p.applyExamples(filepath.Join("..", "..", "docs", "spec", "inferenceservice.md")) })
}

// applyExamples lets the API server check every manifest of a page.
func (p *platform) applyExamples(page string) {
	p.t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		p.t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(text, -1)
	if len(blocks) == 0 {
		p.t.Fatal("no examples")
	}
	for _, b := range blocks {
		body, err := yaml.YAMLToJSON(b[1])
		if err != nil {
			p.t.Fatal(err)
		}
		var o unstructured.Unstructured
		if err := json.Unmarshal(body, &o.Object); err != nil {
			p.t.Fatal(err)
		}
		if _, err := p.client.Resource(services).Namespace("default").Patch(p.t.Context(), o.GetName(), types.ApplyPatchType, body,
			metav1.PatchOptions{FieldManager: "docs", DryRun: []string{metav1.DryRunAll}}); err != nil {
			p.t.Errorf("%v\n%s", err, b[1])
		}
	}
}
