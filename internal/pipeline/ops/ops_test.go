package ops

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
)

const failed = `
metadata: {name: wf}
status:
  phase: Failed
  nodes:
    wf: {id: wf, name: wf, type: DAG, phase: Failed, children: [wf-1], outboundNodes: [wf-4], message: x}
    wf-1: {id: wf-1, name: wf.a, type: Pod, phase: Succeeded, templateName: t, children: [wf-2]}
    wf-2: {id: wf-2, name: wf.b, type: Retry, phase: Failed, templateName: t, children: [wf-21, wf-22]}
    wf-21: {id: wf-21, name: wf.b(0), type: Steps, phase: Failed, nodeFlag: {retried: true}, children: [wf-211]}
    wf-211: {id: wf-211, name: "wf.b(0)[0]", type: StepGroup, phase: Failed}
    wf-22: {id: wf-22, name: wf.b(1), type: Steps, phase: Failed, nodeFlag: {retried: true}, children: [wf-221]}
    wf-221: {id: wf-221, name: "wf.b(1)[0]", type: StepGroup, phase: Failed, children: [wf-222, wf-223]}
    wf-222: {id: wf-222, name: "wf.b(1)[0].good", type: Pod, phase: Succeeded, templateName: t}
    wf-223: {id: wf-223, name: "wf.b(1)[0].bad", type: Pod, phase: Error, templateName: t, children: [wf-4]}
    wf-3: {id: wf-3, name: wf.c, type: Skipped, phase: Skipped}
    wf-4: {id: wf-4, name: wf.d, type: Skipped, phase: Omitted}
    wf-5: {id: wf-5, name: wf.onExit, type: Pod, phase: Succeeded, templateName: t}
`

func TestRetryPatch(t *testing.T) {
	wf := &argo.Workflow{}
	if err := yaml.Unmarshal([]byte(failed), wf); err != nil {
		t.Fatal(err)
	}
	patch, pods := RetryPatch(wf, time.Unix(0, 0))
	if diff := cmp.Diff([]string{"wf-t-223", "wf-t-5"}, pods); diff != "" {
		t.Errorf("pods: %s", diff)
	}
	status, _ := patch["status"].(map[string]any)
	nodes, _ := status["nodes"].(map[string]any)
	again := map[string]any{"phase": argo.NodeRunning, "message": nil, "finishedAt": nil, "outboundNodes": nil}
	with := func(children ...string) map[string]any {
		m := map[string]any{"children": children}
		for k, v := range again {
			m[k] = v
		}
		return m
	}
	want := map[string]any{
		"wf": again, "wf-2": again, "wf-22": again, "wf-221": with("wf-222"),
		// The last attempt goes on; the one before stays as it ended.
		"wf-223": nil, "wf-4": nil, "wf-5": nil,
	}
	if diff := cmp.Diff(want, nodes); diff != "" {
		t.Error(diff)
	}
}

func TestFromTemplate(t *testing.T) {
	u, err := FromTemplate("ns", "ClusterWorkflowTemplate", "train", SubmitOptions{Parameters: []string{"a=b=c"}, Labels: "x=y"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := yaml.Marshal(u.Object["spec"])
	if err != nil {
		t.Fatal(err)
	}
	want := "arguments:\n  parameters:\n  - name: a\n    value: b=c\nworkflowTemplateRef:\n  clusterScope: true\n  name: train\n"
	if diff := cmp.Diff(want, string(b)); diff != "" {
		t.Error(diff)
	}
	if u.GetGenerateName() != "train-" || u.GetLabels()["x"] != "y" {
		t.Errorf("%v", u.Object["metadata"])
	}
	for _, o := range []SubmitOptions{{Parameters: []string{"novalue"}}, {Labels: "novalue"}} {
		if _, err := FromTemplate("ns", "", "t", o); err == nil || !strings.Contains(err.Error(), "expected NAME=VALUE") {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if _, err := FromTemplate("ns", "CronWorkflow", "t", SubmitOptions{}); err == nil {
		t.Error("a kind that cannot be submitted was taken")
	}
}

func TestLint(t *testing.T) {
	u := New("Workflow")
	u.Object["spec"] = map[string]any{"entrypoint": "x", "templates": []any{}}
	if err := Lint(u); err == nil || !strings.Contains(err.Error(), "template name 'x' undefined") {
		t.Errorf("%v", err)
	}
	u.Object["spec"] = map[string]any{"templates": "nonsense"}
	if err := Lint(u); err == nil || !strings.Contains(err.Error(), "invalid spec: spec: templates: expected a list, got a string") {
		t.Errorf("%v", err)
	}
}
