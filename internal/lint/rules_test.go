package lint

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kiwerk/kiwerk/internal/manifest"
	"github.com/kiwerk/kiwerk/internal/text"
)

const (
	pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n"
	// safe is a container that nothing is to say about.
	safe = "  containers:\n  - name: c\n    image: busybox:1.37\n    command: [sleep, '1']\n" +
		"    securityContext: {runAsNonRoot: true, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}, seccompProfile: {type: RuntimeDefault}}\n" +
		"    resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {memory: 16Mi}}\n"
	gpuNode = "---\napiVersion: v1\nkind: Node\nmetadata: {name: n, labels: {accelerator: nvidia}}\nspec: {taints: [{key: nvidia.com/gpu, effect: NoSchedule}]}\n"
	claim   = "---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n"
	gpuLine = "    resources: {requests: {cpu: 1, memory: 1Gi, nvidia.com/gpu: 2}, limits: {memory: 1Gi, nvidia.com/gpu: 2}}\n"
)

// gpuPod is a pod like safe with other resources.
func gpuPod(resources string) string {
	return pod + strings.Replace(safe, "    resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {memory: 16Mi}}\n", resources, 1)
}

func deployment(replicas, labels, more string) string {
	spec := strings.ReplaceAll("\n"+strings.TrimSuffix(safe+more, "\n"), "\n", "\n    ")
	return "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n  replicas: " + replicas + "\n  selector: {matchLabels: {app: d}}\n  template:\n    metadata: {labels: {" + labels + "}}\n    spec:" + spec + "\n"
}

func service(port string) string {
	return "---\napiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {selector: {app: d}, ports: [{port: 80, targetPort: " + port + "}]}\n"
}

func job(command, restart string) string {
	spec := strings.ReplaceAll("\n"+strings.TrimSuffix(strings.Replace(safe, "[sleep, '1']", command, 1), "\n"), "\n", "\n    ")
	return "apiVersion: batch/v1\nkind: Job\nmetadata: {name: j}\nspec:\n  template:\n    spec:" + spec + "\n        env: [{name: WORLD_SIZE, value: '4'}, {name: RANK, value: '0'}]\n      restartPolicy: " + restart + "\n"
}

// cases have for each rule an input that it finds and one that it must not find.
var cases = map[string]struct{ bad, good string }{
	"yaml-syntax":             {"a: [", "# nothing\n"},
	"indentation-lost":        {"apiVersion: v1\nkind: Pod\nmetadata:\nname: p\nspec:\ncontainers:\n- name: c\nimage: x\n", pod + safe},
	"duplicate-key":           {pod + safe + "  containers: []\n", pod + safe},
	"not-an-object":           {"securityContext: {runAsNonRoot: true}\n", pod + safe},
	"unknown-field":           {pod + safe + "  restartPolcy: Never\n", pod + safe + "  restartPolicy: Never\n"},
	"wrong-type":              {pod + safe + "    env: [{name: A, value: 4}]\n", pod + safe + "    env: [{name: A, value: '4'}]\n"},
	"missing-field":           {pod + safe + "    volumeMounts: [{name: v}]\n  volumes: [{name: v, emptyDir: {}}]\n", pod + safe + "    volumeMounts: [{name: v, mountPath: /v}]\n  volumes: [{name: v, emptyDir: {}}]\n"},
	"invalid-value":           {pod + safe + "  restartPolicy: never\n", pod + safe + "  restartPolicy: Never\n"},
	"removed-api":             {"apiVersion: batch/v1beta1\nkind: CronJob\nmetadata: {name: c}\n", "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: c}\n"},
	"deprecated-api":          {"apiVersion: v1\nkind: Endpoints\nmetadata: {name: c}\n", "apiVersion: v1\nkind: Service\nmetadata: {name: c}\n"},
	"unknown-kind":            {"apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: t}\n", "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: t}\n---\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: things.example.com}\nspec: {group: example.com, scope: Cluster, names: {kind: Thing, plural: things}, versions: []}\n"},
	"kind-to-come":            {"apiVersion: kubeflow.org/v1\nkind: PyTorchJob\nmetadata: {name: t}\n", "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata: {name: t}\nspec: {predictor: {model: {modelFormat: {name: onnx}}}}\n"},
	"duplicate-object":        {pod + safe + "---\n" + pod + safe, pod + safe + "---\n" + strings.Replace(pod, "name: p", "name: p, namespace: other", 1) + safe + "---\n" + strings.Replace(pod, "name: p", "name: q", 1) + safe},
	"duplicate-name":          {pod + safe + "    env: [{name: A, value: x}, {name: A, value: y}]\n", pod + safe + "    env: [{name: A, value: x}, {name: B, value: y}]\n"},
	"extended-resource":       {gpuPod("    resources: {requests: {nvidia.com/gpu: 1}, limits: {nvidia.com/gpu: 2}}\n"), gpuPod(gpuLine)},
	"gpu-toleration":          {gpuPod(gpuLine) + gpuNode, gpuPod(gpuLine) + "  tolerations: [{key: nvidia.com/gpu, operator: Exists}]\n" + gpuNode},
	"world-size":              {job("[python, train.py]", "Never"), job("[torchrun, --nproc-per-node=4, train.py]", "Never")},
	"selector-mismatch":       {deployment("1", "app: e", ""), deployment("1", "app: d, tier: x", "")},
	"service-selects-nothing": {deployment("1", "app: e", "") + service("80"), deployment("1", "app: d", "") + service("80")},
	"service-port":            {deployment("1", "app: d", "    ports: [{containerPort: 8080, name: http}]\n") + service("80"), deployment("1", "app: d", "    ports: [{containerPort: 8080, name: http}]\n") + service("http")},
	"claim-missing":           {pod + safe + "  volumes: [{name: v, persistentVolumeClaim: {claimName: data}}]\n", pod + safe + "  volumes: [{name: v, persistentVolumeClaim: {claimName: data}}]\n" + claim},
	"reference-missing":       {pod + safe + "    envFrom: [{secretRef: {name: s}}]\n", pod + safe + "    envFrom: [{secretRef: {name: s, optional: true}}]\n"},
	"volume-missing":          {pod + safe + "    volumeMounts: [{name: v, mountPath: /v}]\n", pod + safe + "    volumeMounts: [{name: v, mountPath: /v}]\n  volumes: [{name: v, emptyDir: {}}]\n"},
	"restart-policy":          {job("[x]", "Always"), job("[x]", "OnFailure")},
	"shared-claim":            {deployment("3", "app: d", "  volumes: [{name: v, persistentVolumeClaim: {claimName: data}}]\n") + claim, deployment("3", "app: d", "  volumes: [{name: v, persistentVolumeClaim: {claimName: data}}]\n") + strings.Replace(claim, "ReadWriteOnce", "ReadOnlyMany", 1)},
	"state-in-container":      {deployment("1", "app: d", "    args: ['--store=sqlite:///mlflow.db']\n"), deployment("1", "app: d", "    args: ['--store=sqlite:////data/mlflow.db']\n    volumeMounts: [{name: v, mountPath: /data}]\n  volumes: [{name: v, emptyDir: {}}]\n")},
	"hand-made-node":          {gpuNode, pod + safe},
	"latest-tag":              {strings.Replace(pod+safe, "busybox:1.37", "registry:5000/busybox", 1), strings.Replace(pod+safe, "busybox:1.37", "registry:5000/busybox@sha256:00", 1)},
	"no-security-context":     {strings.Replace(pod+safe, "runAsNonRoot: true, ", "", 1), strings.Replace(pod, "spec:", "spec:\n  securityContext: {runAsNonRoot: true}", 1) + strings.Replace(safe, "runAsNonRoot: true, ", "", 1)},
	"privileged":              {strings.Replace(pod+safe, "runAsNonRoot: true", "privileged: true", 1), strings.Replace(pod+safe, "drop: [ALL]", "drop: [ALL], add: [NET_BIND_SERVICE]", 1)},
	"runs-as-root":            {strings.Replace(pod+safe, "runAsNonRoot: true", "runAsUser: 0", 1), strings.Replace(pod+safe, "runAsNonRoot: true", "runAsUser: 1000", 1)},
	"host-path":               {pod + safe + "  volumes: [{name: v, hostPath: {path: /}}]\n", pod + safe + "  volumes: [{name: v, emptyDir: {}}]\n"},
	"host-namespace":          {pod + safe + "  hostNetwork: true\n", pod + safe + "  hostNetwork: false\n"},
	"secret-in-env":           {pod + safe + "    env: [{name: DB_PASSWORD, value: geheim}]\n", pod + safe + "    env: [{name: DB_PASSWORD_FILE, value: /run/p}, {name: TOKENIZER, value: bert}, {name: API_KEY, valueFrom: {secretKeyRef: {name: s, key: k}}}]\n"},
	"no-limits":               {gpuPod("    resources: {limits: {cpu: 1}}\n"), gpuPod("    resources: {limits: {cpu: 1, memory: 1Gi}}\n")},
	"no-probes":               {deployment("1", "app: d", "    ports: [{containerPort: 80}]\n"), deployment("1", "app: d", "    ports: [{containerPort: 80}]\n    readinessProbe: {tcpSocket: {port: 80}}\n")},
}

// ofCapabilities are rules of checkers that the command brings, and of a server.
var ofCapabilities = []string{"workflow-step", "workflow-error", "workflow-warning", "server-refuses"}

func check(t *testing.T, text string) []Finding {
	t.Helper()
	return Check([]*manifest.File{manifest.Parse("f.yaml", []byte(text))}, Options{})
}

func ids(findings []Finding) []string {
	var out []string
	for _, f := range findings {
		out = append(out, f.Rule)
	}
	return out
}

func TestRules(t *testing.T) {
	for _, r := range Rules {
		c, ok := cases[r.ID]
		if !ok {
			if !slices.Contains(ofCapabilities, r.ID) {
				t.Errorf("%s has no test", r.ID)
			}
			continue
		}
		t.Run(r.ID, func(t *testing.T) {
			bad, good := check(t, c.bad), check(t, c.good)
			if !slices.Contains(ids(bad), r.ID) {
				t.Errorf("not found in\n%s\nbut %v", c.bad, ids(bad))
			}
			if slices.Contains(ids(good), r.ID) {
				t.Errorf("found in\n%s", c.good)
			}
			for _, f := range bad {
				if f.Rule != r.ID {
					continue
				}
				if f.Line < 1 || f.Column < 1 || f.Severity != r.Severity {
					t.Errorf("%+v", f)
				}
				if f.Fixable && !r.Fixes {
					t.Errorf("%s corrects, but its rule does not say so", r.ID)
				}
				if r.Fixes && f.Fixable {
					fixed(t, r.ID, c.bad)
				}
			}
		})
	}
}

// fixed checks that a corrected input has no such finding any more, and no new errors.
func fixed(t *testing.T, id, input string) {
	t.Helper()
	changed, err := Fix(map[string][]byte{"f.yaml": []byte(input)}, Options{})
	if err != nil || len(changed) != 1 {
		t.Fatalf("%d files changed, %v", len(changed), err)
	}
	before := ids(check(t, input))
	for _, f := range check(t, string(changed[0].After)) {
		if f.Rule == id || f.Fixable || f.Severity == Error && !slices.Contains(before, f.Rule) {
			t.Errorf("after the correction: %s %s\n%s", f.Rule, f.Path, changed[0].After)
		}
	}
}

// Disabled rules are silent.
func TestCheck_disable(t *testing.T) {
	f := manifest.Parse("f.yaml", []byte(cases["latest-tag"].bad))
	if got := ids(Check([]*manifest.File{f}, Options{Disable: []string{"latest-tag"}})); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

// A document with a key twice is not changed, and the others of the file are.
func TestFix_leavesDuplicateKeysToPeople(t *testing.T) {
	removed := cases["removed-api"].bad
	changed, err := Fix(map[string][]byte{"f": []byte(removed + "kind: CronJob\n---\n" + removed)}, Options{})
	if err != nil || len(changed) != 1 || !strings.HasPrefix(string(changed[0].After), removed) || !strings.Contains(string(changed[0].After), "batch/v1\n") {
		t.Errorf("%v, %v", changed, err)
	}
}

func TestTexts_areInBothLanguages(t *testing.T) {
	for _, r := range Rules {
		for _, part := range []string{"title", "why", "fix"} {
			if key := text.LintRule(r.ID, part); !text.Has(key) {
				t.Errorf("%s has no text", key)
			}
		}
	}
}

func TestCheck_positions(t *testing.T) {
	input := "# a comment\n" + gpuPod("    resources:\n      limits: {nvidia.com/gpu: 2}\n      requests:\n        nvidia.com/gpu: 1\n")
	for _, f := range check(t, input) {
		if f.Rule != "extended-resource" {
			continue
		}
		Translate([]Finding{f}, text.For("de"))
		got := []any{f.File, f.Line, f.Column, f.Object, f.Path, f.Reason.In(text.For("de"))}
		want := []any{"f.yaml", 14, 25, "Pod/p", "spec.containers[0].resources.requests[nvidia.com/gpu]", "nvidia.com/gpu fordert 1 an und ist auf 2 begrenzt; GPUs lassen sich nicht überbuchen, deshalb lehnt der API-Server jeden Unterschied ab"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		return
	}
	t.Error("not found")
}

func TestCheck_lists(t *testing.T) {
	input := "apiVersion: v1\nkind: List\nitems:\n- apiVersion: batch/v1beta1\n  kind: CronJob\n  metadata: {name: c}\n"
	found := check(t, input)
	if len(found) != 1 || found[0].Path != "items[0].apiVersion" || found[0].Line != 4 {
		t.Errorf("got %+v", found)
	}
	fixed(t, "removed-api", input)
}

func TestRemovedAPIs(t *testing.T) {
	cases := map[string]struct {
		api, kind string
		want      string // the new apiVersion, empty if people must do it
		rule      string
	}{
		"CronJob":     {"batch/v1beta1", "CronJob", "batch/v1", "removed-api"},
		"Deployment":  {"extensions/v1beta1", "Deployment", "apps/v1", "removed-api"},
		"AppsBeta":    {"apps/v1beta2", "StatefulSet", "apps/v1", "removed-api"},
		"Ingress":     {"extensions/v1beta1", "Ingress", "", "removed-api"},
		"PSP":         {"policy/v1beta1", "PodSecurityPolicy", "", "removed-api"},
		"PDB":         {"policy/v1beta1", "PodDisruptionBudget", "policy/v1", "removed-api"},
		"RBAC":        {"rbac.authorization.k8s.io/v1beta1", "Role", "rbac.authorization.k8s.io/v1", "removed-api"},
		"HPA":         {"autoscaling/v2beta2", "HorizontalPodAutoscaler", "autoscaling/v2", "removed-api"},
		"CRD":         {"apiextensions.k8s.io/v1beta1", "CustomResourceDefinition", "", "removed-api"},
		"FlowControl": {"flowcontrol.apiserver.k8s.io/v1beta3", "FlowSchema", "flowcontrol.apiserver.k8s.io/v1", "removed-api"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			input := "apiVersion: " + c.api + "\nkind: " + c.kind + "\nmetadata: {name: x}\nspec: {template: {metadata: {labels: {app: x}}}}\n"
			found := check(t, input)
			i := slices.IndexFunc(found, func(f Finding) bool { return f.Rule == c.rule })
			if i < 0 {
				t.Fatalf("got %v", ids(found))
			}
			if found[i].Fixable != (c.want != "") {
				t.Fatalf("fixable: %v", found[i].Fixable)
			}
			if c.want == "" {
				return
			}
			changed, err := Fix(map[string][]byte{"f": []byte(input)}, Options{})
			if err != nil || !strings.HasPrefix(string(changed[0].After), "apiVersion: "+c.want+"\n") {
				t.Errorf("%v: %s", err, changed[0].After)
			}
			if selector := strings.Contains(string(changed[0].After), "selector"); selector != (c.want == "apps/v1") {
				t.Errorf("selector: %v in %s", selector, changed[0].After)
			}
		})
	}
}

func TestProcesses(t *testing.T) {
	cases := map[string]struct {
		command string
		n       int64
		known   bool
	}{
		"Python":      {"[python, train.py]", 1, true},
		"Torchrun":    {"[torchrun, --nproc-per-node=4, train.py]", 4, true},
		"Underscores": {"[torchrun, --nproc_per_node, '8', train.py]", 8, true},
		"GPU":         {"[torchrun, --nproc-per-node=gpu, train.py]", 2, true},
		"Module":      {"[python, -m, torch.distributed.run, --nproc-per-node=2, train.py]", 2, true},
		"Bare":        {"[torchrun, train.py]", 1, true},
		"MPI":         {"[mpirun, -np, '4', python, train.py]", 4, true},
		"Accelerate":  {"[accelerate, launch, train.py]", 1, false},
		"Image":       {"[]", 1, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d := manifest.Parse("f", []byte("command: "+c.command+"\nresources: {limits: {nvidia.com/gpu: 2}}\n")).Documents[0]
			if n, known := processes(Container{Value: d.Root()}); n != c.n || known != c.known {
				t.Errorf("%d %v, want %d %v", n, known, c.n, c.known)
			}
		})
	}
}

func TestNearest(t *testing.T) {
	for name, c := range map[string]struct{ word, want string }{
		"Typo": {"imagePullPolcy", "imagePullPolicy"}, "Case": {"ImagePullPolicy", "imagePullPolicy"}, "Other": {"foo", ""}, "TwoAreNear": {"porr", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := nearest(c.word, []string{"image", "imagePullPolicy", "port", "pors"}); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// A checker of a capability is asked for its kinds, and its edits are applied.
func TestCheck_kindsOfCapabilities(t *testing.T) {
	kinds := map[schema.GroupKind]func(Object) []Problem{{Group: "argoproj.io", Kind: "Workflow"}: func(o Object) []Problem {
		if o.Root.Get("spec", "entrypoint").Text() == "b" {
			return nil
		}
		return []Problem{{Rule: "workflow-error", Path: "spec.entrypoint", Reason: text.S(text.LintRule("workflow-error", "why"), "x"), Edits: []manifest.Edit{{Path: manifest.Path{"spec", "entrypoint"}, Set: manifest.Scalar("b")}}}}
	}}
	changed, err := Fix(map[string][]byte{"f": []byte("apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {name: w}\nspec: {entrypoint: a}\n")}, Options{Kinds: kinds})
	if err != nil || len(changed) != 1 || !strings.Contains(string(changed[0].After), "entrypoint: b") {
		t.Errorf("%v %v", changed, err)
	}
}

func FuzzCheck(f *testing.F) {
	for _, c := range cases {
		f.Add(c.bad)
	}
	f.Fuzz(func(_ *testing.T, text string) {
		if len(text) < 1<<13 {
			Fix(map[string][]byte{"f": []byte(text)}, Options{}) //nolint:errcheck // Only a panic counts.
		}
	})
}
