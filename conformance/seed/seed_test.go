//go:build linux

package seed

import (
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kiwerk/kiwerk/examples/seed"
	"github.com/kiwerk/kiwerk/internal/kwtest"
	"github.com/kiwerk/kiwerk/internal/kwtest/running"
	"github.com/kiwerk/kiwerk/internal/lint"
	"github.com/kiwerk/kiwerk/internal/manifest"
)

// TestSeed_correctedBlocksDoWhatTheTablePromises is the user's half with an
// account that has subordinate ids: the blocks say runAsUser.
func TestSeed_correctedBlocksDoWhatTheTablePromises(t *testing.T) {
	logins := map[string]string{"Root": "", "User": running.OrdinaryWithIDs}
	if os.Geteuid() != 0 {
		me, err := user.Current()
		if err != nil || !running.HasIDs(me.Username) {
			t.Skipf("the blocks say runAsUser, for which /etc/subuid must grant further ids (%v)", err)
		}
		logins = map[string]string{"User": ""}
	}
	root, err := kwtest.Root()
	if err != nil {
		t.Fatal(err)
	}
	python := filepath.Join(root, ".venv", "bin", "python")
	if _, err := os.Stat(python); err != nil {
		t.Fatalf("the stock client is needed; run make setup: %v", err)
	}
	images := filepath.Join(t.TempDir(), "images.tar")
	if err := pack(t.Context(), root, python, images); err != nil {
		t.Fatal(err)
	}
	for name, login := range logins {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start(t, login, root, python, images).blocks()
		})
	}
}

// blocks applies all manifests, so that what takes long goes on beside the rest, and then looks at block for block.
func (p *platform) blocks() {
	shared := !p.ownNetwork()
	wait := map[string]func(t *testing.T){}
	for _, k := range seed.Blocks {
		if filepath.Ext(k.File) == ".yaml" {
			wait[k.File] = p.manifest(k, shared)
		}
	}
	for _, k := range seed.Blocks {
		p.t.Run(k.File, func(t *testing.T) {
			switch {
			case wait[k.File] != nil:
				wait[k.File](t)
			case filepath.Ext(k.File) == ".py" && k.Promise == seed.Runs:
				p.script(t, k)
			}
		})
	}
	p.checkImages()
}

// manifest applies a block and returns what waits for the state that the table promises.
func (p *platform) manifest(k seed.Block, shared bool) func(t *testing.T) {
	p.t.Helper()
	text, err := os.ReadFile(p.block(k.File))
	if err != nil {
		p.t.Fatal(err)
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
				p.t.Logf("pods share this machine's network, so only one of %d replicas can open its ports", number(u, "spec", "replicas"))
				p.kubectl(p.t, "scale", strings.ToLower(u.GetKind())+"/"+u.GetName(), "--replicas=1")
			}
		}
	}
	kind, name, _ := strings.Cut(k.Object, "/")
	gvk, ok := kinds[k.Object]
	if !ok {
		p.t.Fatalf("%s is not in %s", k.Object, k.File)
	}
	switch {
	case k.Promise == seed.Complete && kind == "CronJob":
		job := name + "-now"
		p.kubectl(p.t, "create", "job", job, "--from=cronjob/"+name)
		return func(t *testing.T) {
			p.until(t, schema.GroupVersionKind{Group: "batch", Version: "v1", Kind: "Job"}, job, complete)
		}
	case k.Promise == seed.Complete:
		return func(t *testing.T) { p.until(t, gvk, name, complete) }
	case k.Promise == seed.Ready:
		return func(t *testing.T) { p.until(t, gvk, name, p.ready) }
	case k.Promise == seed.Applies && kind == "Node": // controllers would go on looking for it
		if err := p.resource(gvk).Delete(p.t.Context(), name, metav1.DeleteOptions{}); err != nil {
			p.t.Error(err)
		}
	case k.Promise != seed.Applies:
		p.t.Errorf("%s promises %q, which is not for manifests", k.File, k.Promise)
	}
	return func(*testing.T) {}
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

// script runs a Python block as its reader would.
func (p *platform) script(t *testing.T, k seed.Block) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), p.python, "-W", "ignore", p.block(k.File))
	cmd.Env = append(os.Environ(), "MLFLOW_TRACKING_URI="+p.url, "MLFLOW_TRACKING_TOKEN="+p.token,
		"MLFLOW_DISABLE_TELEMETRY=true", "DO_NOT_TRACK=true", "PYTHONDONTWRITEBYTECODE=1", "HOME="+t.TempDir())
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
