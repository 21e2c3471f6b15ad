package controller

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/kwtest"
)

func metav1Now() time.Time { return time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC) }

func spec(text string) string {
	return "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {generateName: wf-}\nspec:\n  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ")
}

// Bad input ends with a message that names the place; nothing runs and what
// the user wrote stays.
func TestReconciler_badInput(t *testing.T) {
	c := newCluster(t)
	c.start()
	const nop = "- {name: nop, container: {image: a, command: [x]}}"
	for name, tc := range map[string]struct{ manifest, message, warning string }{
		"Malformed": {
			manifest: spec("entrypoint: m\ntemplates: nonsense"),
			message:  "malformed Workflow: spec.templates: expected a list, got a string",
		},
		"MalformedParameter": {
			manifest: spec("entrypoint: nop\narguments: {parameters: [{name: a, value: {x: 1}}]}\ntemplates:\n" + nop),
			message:  "malformed Workflow: ",
		},
		"UnknownTemplate": {
			manifest: spec("entrypoint: m\ntemplates:\n- name: m\n  steps: [[{name: a, template: missing}]]"),
			message:  "invalid spec: spec.templates[0].steps[0][0].template: template name 'missing' undefined",
		},
		"UnknownWorkflowTemplate": {
			manifest: spec("workflowTemplateRef: {name: missing}"),
			message:  `invalid spec: WorkflowTemplate "missing" not found`,
		},
		"Cycle": {
			manifest: spec("entrypoint: m\ntemplates:\n- name: m\n  dag: {tasks: [{name: a, template: nop, depends: b}, {name: b, template: nop, depends: a}]}\n" + nop),
			message:  "invalid spec: spec.templates[0].dag.tasks: dependency cycle detected: a->b->a",
		},
		"Unsupported": {
			manifest: spec("entrypoint: nop\nsynchronization: {mutexes: [{name: x}]}\ntemplates:\n" + nop),
			message:  "invalid spec: spec.synchronization: locks between workflows are not supported yet",
		},
		"Unresolved": {
			manifest: spec("entrypoint: nop\ntemplates:\n- {name: nop, container: {image: a, command: [x, '{{inputs.parameters.x}}']}}"),
			message:  "failed to resolve {{inputs.parameters.x}}",
		},
		"NoCommandForScript": {
			manifest: spec("entrypoint: nop\ntemplates:\n- {name: nop, outputs: {parameters: [{name: p, valueFrom: {path: /p}}]}, container: {image: a}}"),
			message:  "container.command is required",
		},
		"InvalidPod": {
			manifest: spec("entrypoint: nop\ntemplates:\n- {name: nop, container: {image: a, command: [x], volumeMounts: [{name: nowhere, mountPath: /x}]}}"),
			message:  `spec.containers[0].volumeMounts[0].name: Not found: "nowhere"`,
		},
		"NameTooLong": {
			manifest: strings.Replace(spec("entrypoint: nop\ntemplates:\n"+nop), "generateName: wf-", "name: "+strings.Repeat("x", 64), 1),
			message:  "metadata.name: at most 63 characters",
		},
	} {
		t.Run(name, func(t *testing.T) {
			u := &unstructured.Unstructured{}
			c.create(t, tc.manifest, u)
			before := u.DeepCopy()
			// Typed watches cannot read malformed objects.
			kwtest.Eventually(t, func() error {
				if err := c.client.Get(t.Context(), client.ObjectKeyFromObject(u), u); err != nil {
					return err
				}
				if phase, _, _ := unstructured.NestedString(u.Object, "status", "phase"); phase != "Error" {
					return fmt.Errorf("phase %q", phase)
				}
				return nil
			})
			message, _, _ := unstructured.NestedString(u.Object, "status", "message")
			if !strings.Contains(message, tc.message) {
				t.Errorf("message %q, want %q", message, tc.message)
			}
			if u.GetLabels()[argo.LabelPhase] != "Error" || u.GetLabels()[argo.LabelCompleted] != "true" {
				t.Errorf("labels %v", u.GetLabels())
			}
			if fmt.Sprint(before.Object["spec"]) != fmt.Sprint(u.Object["spec"]) {
				t.Errorf("the spec was changed: %v", u.Object["spec"])
			}
			if pods := listPods(t, c); len(pods) > 0 {
				t.Errorf("%d pods were created", len(pods))
			}
		})
	}
}

func TestReconciler_warnsOfUnknownFieldsAndKeepsThem(t *testing.T) {
	c := newCluster(t)
	c.start()
	c.kubelet()
	u := &unstructured.Unstructured{}
	c.create(t, spec("entrypoint: nop\nparalelism: 3\nmetrics: {prometheus: [{name: x, help: y}]}\ntemplates:\n- {name: nop, container: {image: a, command: ['true']}}"), u)
	wf := &argo.Workflow{ObjectMeta: metav1.ObjectMeta{Name: u.GetName(), Namespace: c.ns}}
	c.finish(t, wf, argo.WorkflowSucceeded)
	want := argo.Condition{Type: argo.ConditionSpecWarning, Status: metav1.ConditionTrue, Message: "spec.metrics: has no effect here; spec.paralelism: unknown field, ignored"}
	found := false
	for _, cond := range wf.Status.Conditions {
		found = found || cond == want
	}
	if !found {
		t.Errorf("conditions %+v", wf.Status.Conditions)
	}
	if err := c.client.Get(t.Context(), client.ObjectKeyFromObject(u), u); err != nil {
		t.Fatal(err)
	}
	if v, _, _ := unstructured.NestedInt64(u.Object, "spec", "paralelism"); v != 3 {
		t.Errorf("spec %v", u.Object["spec"])
	}
}

// One malformed object must not stop the others, also when the controller starts.
func TestReconciler_malformedDoesNotStopOthers(t *testing.T) {
	c := newCluster(t)
	bad := &unstructured.Unstructured{}
	c.create(t, spec("entrypoint: 7\ntemplates: {a: b}"), bad)
	c.start()
	c.kubelet()
	c.finish(t, c.submit(t, "hello.yaml"), argo.WorkflowSucceeded)
}

// A controller that dies in the middle goes on where it was; finished steps
// are not run again.
func TestReconciler_restart(t *testing.T) {
	c := newCluster(t)
	stop := c.start()
	c.kubelet()
	marks := filepath.Join(c.dir, "marks")
	gate := filepath.Join(c.dir, "gate")
	wf := c.submit(t, spec(fmt.Sprintf(`
entrypoint: m
templates:
- name: m
  steps: [[{name: first, template: first}], [{name: second, template: second}], [{name: third, template: first}]]
- name: first
  container: {image: a, command: [sh, -c, 'echo {{node.name}} >> %[1]s']}
- name: second
  script: {image: a, command: [sh], source: 'echo {{node.name}} >> %[1]s; while ! test -e %[2]s; do sleep 0.05; done; echo done'}
`, marks, gate)))
	kwtest.WaitFor(t, c.client, wf, func(wf *argo.Workflow) bool {
		for _, n := range wf.Status.Nodes {
			if n.DisplayName == "second" && n.Phase == argo.NodeRunning {
				return true
			}
		}
		return false
	})
	stop()
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c.start()
	c.finish(t, wf, argo.WorkflowSucceeded)
	got, err := os.ReadFile(marks)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%[1]s[0].first\n%[1]s[1].second\n%[1]s[2].third\n", wf.Name)
	if string(got) != want {
		t.Errorf("steps ran as\n%swant\n%s", got, want)
	}
}

func TestReconciler_stopKeepsPods(t *testing.T) {
	c := newCluster(t)
	c.start()
	wf := c.submit(t, spec("entrypoint: nop\ntemplates:\n- {name: nop, container: {image: a, command: [sleep, '60']}}"))
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: wf.Name, Namespace: c.ns}}
	kwtest.Eventually(t, func() error { return c.client.Get(t.Context(), client.ObjectKeyFromObject(p), p) })
	c.status(t.Context(), p, corev1.PodRunning, corev1.ContainerState{Running: &corev1.ContainerStateRunning{}})
	kwtest.WaitFor(t, c.client, wf, func(wf *argo.Workflow) bool { return wf.Status.Nodes[wf.Name].Phase == argo.NodeRunning })
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"shutdown":"Terminate"}}`))
	if err := c.client.Patch(t.Context(), wf, patch); err != nil {
		t.Fatal(err)
	}
	kwtest.WaitFor(t, c.client, p, func(p *corev1.Pod) bool {
		return p.Spec.ActiveDeadlineSeconds != nil && *p.Spec.ActiveDeadlineSeconds == 1
	})
	c.status(t.Context(), p, corev1.PodFailed, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 137}})
	c.finish(t, wf, argo.WorkflowFailed)
	if wf.Status.Message != "Stopped with strategy 'Terminate'" {
		t.Errorf("message %q", wf.Status.Message)
	}
}

// Clients resume by writing into status; nothing of it is lost.
func TestReconciler_clientsWriteStatus(t *testing.T) {
	c := newCluster(t)
	c.start()
	c.kubelet()
	wf := c.submit(t, spec("entrypoint: m\ntemplates:\n- name: m\n  steps: [[{name: ask, template: ask}], [{name: say, template: say, arguments: {parameters: [{name: a, value: '{{steps.ask.outputs.parameters.answer}}'}]}}]]\n- name: ask\n  suspend: {}\n  outputs: {parameters: [{name: answer, valueFrom: {supplied: {}}}]}\n- name: say\n  inputs: {parameters: [{name: a}]}\n  container: {image: a, command: [echo, '{{inputs.parameters.a}}']}"))
	kwtest.WaitFor(t, c.client, wf, func(wf *argo.Workflow) bool { return len(wf.Status.Nodes) == 3 })
	ask := c.node(t, wf, "[0].ask")
	patch := fmt.Sprintf(`{"status":{"nodes":{%q:{"phase":"Succeeded","message":"by me","finishedAt":"2026-11-24T09:00:00Z","outputs":{"parameters":[{"name":"answer","value":"yes"}]}}}}}`, ask.ID)
	if err := c.client.Patch(t.Context(), wf, client.RawPatch("application/merge-patch+json", []byte(patch))); err != nil {
		t.Fatal(err)
	}
	c.finish(t, wf, argo.WorkflowSucceeded)
	if got := c.out(wf, "[1].say"); got != "yes" {
		t.Errorf("output %q", got)
	}
	if n := c.node(t, wf, "[0].ask"); n.Message != "by me" {
		t.Errorf("%+v", n)
	}
}

func TestReconciler_largeOutputs(t *testing.T) {
	c := newCluster(t)
	c.start()
	c.kubelet()
	wf := c.submit(t, spec("entrypoint: m\ntemplates:\n- name: m\n  steps: [[{name: a, template: big}], [{name: b, template: size, arguments: {parameters: [{name: v, value: '{{steps.a.outputs.result}}'}]}}]]\n- name: big\n  script: {image: a, command: [sh], source: 'head -c 20000 /dev/zero | tr \"\\\\0\" x'}\n- name: size\n  inputs: {parameters: [{name: v}]}\n  script: {image: a, command: [sh], source: 'echo {{inputs.parameters.v}} | wc -c'}"))
	c.finish(t, wf, argo.WorkflowSucceeded)
	if got := c.out(wf, "[1].b"); got != "20001" {
		b, err := yaml.Marshal(wf.Status.Nodes)
		t.Errorf("output %q %s %v", got, b, err)
	}
}

// What the API server refuses for a reason that may go is tried again.
func TestReconciler_waitsForServiceAccount(t *testing.T) {
	c := newCluster(t)
	c.start()
	c.kubelet()
	wf := c.submit(t, spec("entrypoint: nop\nserviceAccountName: later\ntemplates:\n- {name: nop, container: {image: a, command: ['true']}}"))
	kwtest.WaitFor(t, c.client, wf, func(wf *argo.Workflow) bool {
		n := wf.Status.Nodes[wf.Name]
		return n.Phase == argo.NodePending && strings.Contains(n.Message, `serviceaccount "later" not found`)
	})
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "later", Namespace: c.ns}}
	if err := c.client.Create(t.Context(), account); err != nil {
		t.Fatal(err)
	}
	c.finish(t, wf, argo.WorkflowSucceeded)
	if n := wf.Status.Nodes[wf.Name]; n.Message != "" {
		t.Errorf("message %q", n.Message)
	}
}

func TestReconciler_configMaps(t *testing.T) {
	c := newCluster(t)
	c.start()
	c.kubelet()
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "settings", Namespace: c.ns}, Data: map[string]string{"word": "hallo"}}
	if err := c.client.Create(t.Context(), cm); err != nil {
		t.Fatal(err)
	}
	text := "entrypoint: say\narguments: {parameters: [{name: w, valueFrom: {configMapKeyRef: {name: settings, key: %s}}}]}\ntemplates:\n- {name: say, container: {image: a, command: [echo, '{{workflow.parameters.w}}']}}"
	wf := c.submit(t, spec(fmt.Sprintf(text, "word")))
	c.finish(t, wf, argo.WorkflowSucceeded)
	if got := c.out(wf, ""); got != "hallo" {
		t.Errorf("output %q", got)
	}
	wf = c.submit(t, spec(fmt.Sprintf(text, "nothing")))
	c.finish(t, wf, argo.WorkflowError)
	if !strings.Contains(wf.Status.Message, `ConfigMap "settings" has no key "nothing"`) {
		t.Errorf("message %q", wf.Status.Message)
	}
}
