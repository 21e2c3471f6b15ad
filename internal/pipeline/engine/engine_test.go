package engine

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/pipeline/step"
)

func encode(t testing.TB, r step.Report) string {
	t.Helper()
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestDecide_steps(t *testing.T) {
	s := newSim(t, example(t, "steps.yaml"), nil).run()
	s.wantPhase(argo.WorkflowSucceeded)
	lintClean(t, s.wf)
	want := `wf Steps Succeeded
wf[0] StepGroup Succeeded
wf[0].first Pod Succeeded
wf[1] StepGroup Succeeded
wf[1].second-a Pod Succeeded
wf[1].second-b Pod Succeeded`
	if diff := cmp.Diff(want, s.tree()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"[0]"}, s.children("")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"[0].first"}, s.children("[0]")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"[1]"}, s.children("[0].first")); diff != "" {
		t.Errorf("the next group hangs below the end of the one before: %s", diff)
	}
	root, first := s.node(""), s.node("[0].first")
	if root.ID != "wf" || first.ID != NodeID("wf", "wf[0].first") || first.BoundaryID != "wf" || first.DisplayName != "first" || first.TemplateName != "say" {
		t.Errorf("nodes: %+v %+v", root, first)
	}
	if len(root.OutboundNodes) != 2 || root.Progress != "3/3" || s.wf.Status.Progress != "3/3" {
		t.Errorf("outbound %v, progress %s, %s", root.OutboundNodes, root.Progress, s.wf.Status.Progress)
	}
	if got := s.args("[1].second-b"); got != "/.kiwerk/bin/kiwerk-agent step -- echo default" {
		t.Errorf("command %q", got)
	}
	if s.wf.Labels[argo.LabelPhase] != "Succeeded" || s.wf.Labels[argo.LabelCompleted] != "true" {
		t.Errorf("labels %v", s.wf.Labels)
	}
}

func TestDecide_dagDiamond(t *testing.T) {
	s := newSim(t, example(t, "dag-diamond.yaml"), nil).run()
	s.wantPhase(argo.WorkflowSucceeded)
	lintClean(t, s.wf)
	if diff := cmp.Diff([]string{"wf.A", "wf.B", "wf.C", "wf.D"}, s.order); diff != "" {
		t.Error(diff)
	}
	if s.most != 2 {
		t.Errorf("%d pods at once, want B and C", s.most)
	}
	for node, want := range map[string][]string{"": {".A"}, ".A": {".B", ".C"}, ".B": {".D"}, ".C": {".D"}} {
		if diff := cmp.Diff(want, s.children(node)); diff != "" {
			t.Errorf("children of %q: %s", node, diff)
		}
	}
	if diff := cmp.Diff([]string{s.node(".D").ID}, s.node("").OutboundNodes); diff != "" {
		t.Error(diff)
	}
}

func TestDecide_dagFailure(t *testing.T) {
	s := newSim(t, example(t, "dag-diamond.yaml"), func(node string, _ *corev1.Pod) outcome {
		if node == "wf.B" {
			return outcome{exit: 2}
		}
		return outcome{}
	}).run()
	s.wantPhase(argo.WorkflowFailed)
	want := `wf DAG Failed
wf.A Pod Succeeded
wf.B Pod Failed: main: Error (exit code 2)
wf.C Pod Succeeded
wf.D Skipped Omitted: omitted: depends condition not met`
	if diff := cmp.Diff(want, s.tree()); diff != "" {
		t.Error(diff)
	}
}

func TestDecide_parameters(t *testing.T) {
	s := newSim(t, example(t, "parameters.yaml"), func(node string, _ *corev1.Pod) outcome {
		if node == "wf[0].produce" {
			return outcome{parameters: map[string]string{"shout": "GOOD \"MORNING\"", "length": "12", "missing": "nothing"}}
		}
		return outcome{result: "said"}
	}).run()
	s.wantPhase(argo.WorkflowSucceeded)
	lintClean(t, s.wf)
	in := s.node("[1].consume").Inputs
	got := map[string]string{}
	for _, p := range in.Parameters {
		got[p.Name] = p.Value.String()
	}
	if diff := cmp.Diff(map[string]string{"text": "GOOD \"MORNING\"", "length": "13", "end": "!"}, got); diff != "" {
		t.Error(diff)
	}
	out := s.node("").Outputs
	if out == nil || len(out.Parameters) != 1 || out.Parameters[0].Value.String() != "said" {
		t.Errorf("outputs of the whole: %+v", out)
	}
}

func TestDecide_loops(t *testing.T) {
	s := newSim(t, example(t, "loops.yaml"), func(node string, _ *corev1.Pod) outcome {
		switch node {
		case "wf[0].generate":
			return outcome{result: `["a", "b"]`}
		case "wf[1].outputs(0:a)":
			return outcome{result: "first"}
		default:
			return outcome{result: "7"}
		}
	}).run()
	s.wantPhase(argo.WorkflowSucceeded)
	lintClean(t, s.wf)
	want := []string{
		"[0].items(0:hello)", "[0].items(1:7)", "[0].items(2:true)",
		"[0].objects(0:city:Bonn,country:Germany)", "[0].objects(1:city:Graz,country:Austria)", "[0].generate",
	}
	if diff := cmp.Diff(want, s.children("[0]")); diff != "" {
		t.Error(diff)
	}
	if got := s.args("[1].sequence(1:run-02)"); got != "/.kiwerk/bin/kiwerk-agent step -- echo run-02" {
		t.Errorf("command %q", got)
	}
	if got := s.args("[2].all"); got != `/.kiwerk/bin/kiwerk-agent step -- echo ["first",7]` {
		t.Errorf("command %q", got)
	}
	if got := s.args("[0].objects(1:city:Graz,country:Austria)"); got != "/.kiwerk/bin/kiwerk-agent step -- echo Graz in Austria" {
		t.Errorf("command %q", got)
	}
}

func TestDecide_when(t *testing.T) {
	s := newSim(t, example(t, "when.yaml"), func(string, *corev1.Pod) outcome { return outcome{result: "0.95"} }).run()
	s.wantPhase(argo.WorkflowSucceeded)
	lintClean(t, s.wf)
	bad := s.node("[1].bad")
	if bad.Phase != argo.NodeSkipped || bad.Type != argo.NodeTypeSkipped || bad.Message != "when '0.95 < 0.9 || false == true' evaluated false" {
		t.Errorf("bad: %+v", bad)
	}
	if s.node("[1].good").Phase != argo.NodeSucceeded || s.node("[1].either").Phase != argo.NodeSucceeded {
		t.Error(s.tree())
	}
}

func TestDecide_retry(t *testing.T) {
	s := newSim(t, example(t, "retry.yaml"), func(node string, _ *corev1.Pod) outcome {
		if node == "wf(2)" {
			return outcome{}
		}
		return outcome{exit: 1}
	}).run()
	s.wantPhase(argo.WorkflowSucceeded)
	lintClean(t, s.wf)
	want := `wf Retry Succeeded
wf(0) Pod Failed: main: Error (exit code 1)
wf(1) Pod Failed: main: Error (exit code 1)
wf(2) Pod Succeeded`
	if diff := cmp.Diff(want, s.tree()); diff != "" {
		t.Error(diff)
	}
	if got := s.args("(2)"); got != "/.kiwerk/bin/kiwerk-agent step -- sh -c echo attempt 2; test 2 -ge 2" {
		t.Errorf("command %q", got)
	}
}

func TestDecide_retryGivesUp(t *testing.T) {
	s := newSim(t, example(t, "retry.yaml"), func(string, *corev1.Pod) outcome { return outcome{exit: 1} }).run()
	s.wantPhase(argo.WorkflowFailed)
	if len(s.order) != 4 || s.node("").Message != "No more retries left" {
		t.Errorf("attempts %v\n%s", s.order, s.tree())
	}
}

func TestDecide_exitHandler(t *testing.T) {
	s := newSim(t, example(t, "exit-handler.yaml"), func(node string, _ *corev1.Pod) outcome {
		if node == "wf" {
			return outcome{exit: 3}
		}
		return outcome{}
	}).run()
	s.wantPhase(argo.WorkflowFailed)
	lintClean(t, s.wf)
	want := `wf Pod Failed: main: Error (exit code 3)
wf.onExit Steps Succeeded
wf.onExit[0] StepGroup Succeeded
wf.onExit[0].celebrate Skipped Skipped: when 'Failed == Succeeded' evaluated false
wf.onExit[0].note Pod Succeeded`
	if diff := cmp.Diff(want, s.tree()); diff != "" {
		t.Error(diff)
	}
	if s.wf.Status.Message != "main: Error (exit code 3)" {
		t.Errorf("message %q", s.wf.Status.Message)
	}
}

func TestDecide_recursion(t *testing.T) {
	flips := 0
	s := newSim(t, example(t, "coinflip.yaml"), func(string, *corev1.Pod) outcome {
		if flips++; flips < 3 {
			return outcome{result: "tails"}
		}
		return outcome{result: "heads"}
	}).run()
	s.wantPhase(argo.WorkflowSucceeded)
	lintClean(t, s.wf)
	if n := s.node("[1].again[1].again[1].heads"); n.Phase != argo.NodeSucceeded || n.DisplayName != "heads" {
		t.Errorf("%+v", n)
	}
}

func TestDecide_artifacts(t *testing.T) {
	s := newSim(t, example(t, "artifacts.yaml"), func(node string, _ *corev1.Pod) outcome {
		if node == "wf.write" {
			return outcome{artifacts: []string{"table", "folder"}}
		}
		return outcome{}
	}).run()
	s.wantPhase(argo.WorkflowSucceeded)
	lintClean(t, s.wf)
	keys := map[string]string{}
	for _, a := range s.node(".read").Inputs.Artifacts {
		if a.S3 != nil {
			keys[a.Name] = a.S3.Key
		}
	}
	write := s.node(".write")
	pod := PodName("wf", &write)
	want := map[string]string{"table": "workflows/uid-1/" + pod + "/table.tgz", "folder": "workflows/uid-1/" + pod + "/folder.tgz"}
	if diff := cmp.Diff(want, keys); diff != "" {
		t.Error(diff)
	}
}
