package seed

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kiwerk/kiwerk/examples/seed"
	"github.com/kiwerk/kiwerk/internal/lint"
	"github.com/kiwerk/kiwerk/internal/manifest"
)

// firstPod shows whether pods have a network of their own.
const firstPod = "security-context"

func TestSeed_correctedBlocksDoWhatTheTablePromises(t *testing.T) {
	p := start(t)
	blocks := slices.Clone(seed.Blocks)
	// Its block comes first.
	slices.SortStableFunc(blocks, func(a, b seed.Block) int { return rank(a) - rank(b) })
	shared := false
	for _, k := range blocks {
		t.Run(k.File, func(t *testing.T) {
			switch filepath.Ext(k.File) {
			case ".yaml":
				p.manifest(t, k, shared)
			case ".py":
				if k.Promise == seed.Runs {
					p.script(t, k)
				}
			}
		})
		if k.Object == "Pod/"+firstPod {
			shared = !p.ownNetwork(t, firstPod)
		}
	}
}

func rank(k seed.Block) int {
	if k.Object == "Pod/"+firstPod {
		return 0
	}
	return 1
}

// manifest applies a block and waits for the state that the table promises.
func (p *platform) manifest(t *testing.T, k seed.Block, shared bool) {
	t.Helper()
	text, err := os.ReadFile(p.block(k.File))
	if err != nil {
		t.Fatal(err)
	}
	objects := lint.Objects([]*manifest.File{manifest.Parse(k.File, text)})
	kinds := map[string]schema.GroupVersionKind{}
	// What others need comes first.
	for _, needed := range []bool{true, false} {
		for _, o := range objects {
			if needed != (o.String() != k.Object) {
				continue
			}
			kinds[o.String()] = o.GVK()
			u := p.apply(o)
			if number(u, "spec", "replicas") > 1 && shared {
				t.Logf("pods share this machine's network, so only one of %d replicas can open its ports", number(u, "spec", "replicas"))
				p.scale(t, u)
			}
		}
	}
	kind, name, _ := strings.Cut(k.Object, "/")
	gvk, ok := kinds[k.Object]
	if !ok {
		t.Fatalf("%s is not in %s", k.Object, k.File)
	}
	switch k.Promise {
	case seed.Applies:
		if _, err := p.resource(gvk).Get(t.Context(), name, metav1.GetOptions{}); err != nil {
			t.Error(err)
		}
		if kind == "Node" { // controllers would go on looking for it
			if err := p.resource(gvk).Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
				t.Error(err)
			}
		}
	case seed.Complete:
		if kind == "CronJob" {
			gvk, name = schema.GroupVersionKind{Group: "batch", Version: "v1", Kind: "Job"}, name+"-now"
			p.kubectl(t, "create", "job", name, "--from=cronjob/model-retraining")
		}
		p.until(t, gvk, name, complete)
	case seed.Ready:
		p.until(t, gvk, name, p.ready)
	default:
		t.Errorf("%s promises %q, which is not for manifests", k.File, k.Promise)
	}
}

// complete holds for pods, jobs and workflows that have succeeded.
func complete(o *unstructured.Unstructured) (bool, error) {
	phase, _, _ := unstructured.NestedString(o.Object, "status", "phase")
	switch {
	case phase == "Succeeded" || o.GetKind() == "Job" && condition(o, "Complete"):
		return true, nil
	case phase == "Failed" || phase == "Error" || condition(o, "Failed"):
		return false, errors.New("it failed")
	}
	return false, nil
}

// ready holds for Deployments whose replicas are all available, and for Services with endpoints.
func (p *platform) ready(o *unstructured.Unstructured) (bool, error) {
	if o.GetKind() != "Service" {
		return number(o, "status", "observedGeneration") == o.GetGeneration() &&
			number(o, "status", "availableReplicas") == number(o, "spec", "replicas") && number(o, "status", "unavailableReplicas") == 0, nil
	}
	slices, err := p.resource(schema.GroupVersionKind{Group: "discovery.k8s.io", Version: "v1", Kind: "EndpointSlice"}).
		List(p.t.Context(), metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=" + o.GetName()})
	if err != nil {
		return false, err
	}
	for _, s := range slices.Items {
		endpoints, _, _ := unstructured.NestedSlice(s.Object, "endpoints")
		for _, e := range endpoints {
			m, _ := e.(map[string]any)
			if ready, _, _ := unstructured.NestedBool(m, "conditions", "ready"); ready {
				return true, nil
			}
		}
	}
	return false, nil
}

// scale leaves one replica.
func (p *platform) scale(t *testing.T, u *unstructured.Unstructured) {
	t.Helper()
	p.kubectl(t, "scale", strings.ToLower(u.GetKind())+"/"+u.GetName(), "--replicas=1")
}

func (p *platform) kubectl(t *testing.T, args ...string) {
	t.Helper()
	if out, err := p.command(t.Context(), p.program, append([]string{"kubectl"}, args...)...).CombinedOutput(); err != nil {
		t.Fatalf("kubectl %v: %v\n%s", args, err, out)
	}
}

// script runs a Python block as its reader would.
func (p *platform) script(t *testing.T, k seed.Block) {
	t.Helper()
	cmd := p.command(t.Context(), p.python, "-W", "ignore", p.block(k.File))
	if k.File == "10-tensorflow-client.py" {
		cmd.Env = append(cmd.Env, "MODEL_URL="+p.forward(t, "tensorflow-serving", "8501"))
	}
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := map[string]string{"07-mlflow-integration.py": "accuracy 0.9", "10-tensorflow-client.py": "[3.0, 5.0, 7.0]", "16-data-drift.py": "Data drift detected: p-value="}[k.File]
	if !strings.Contains(string(out), want) {
		t.Errorf("printed %s", out)
	}
}
