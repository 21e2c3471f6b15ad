package controller

import (
	"testing"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
)

func TestReconciler_examples(t *testing.T) {
	c := newCluster(t)
	c.start()
	c.kubelet()
	c.create(t, "template.yaml", &argo.WorkflowTemplate{})
	cases := map[string]struct {
		phase argo.WorkflowPhase
		check func(t *testing.T, wf *argo.Workflow)
	}{
		"hello.yaml": {argo.WorkflowSucceeded, func(t *testing.T, wf *argo.Workflow) {
			t.Helper()
			if got := c.out(wf, ""); got != "hello from "+wf.Name {
				t.Errorf("output %q", got)
			}
		}},
		"steps.yaml":       {argo.WorkflowSucceeded, nil},
		"dag-diamond.yaml": {argo.WorkflowSucceeded, nil},
		"parameters.yaml": {argo.WorkflowSucceeded, func(t *testing.T, wf *argo.Workflow) {
			t.Helper()
			if got := c.node(t, wf, "").Outputs.Parameters[0].Value.String(); got != "GOOD MORNING 13!" {
				t.Errorf("sentence %q", got)
			}
		}},
		"artifacts.yaml": {argo.WorkflowSucceeded, nil},
		"loops.yaml": {argo.WorkflowSucceeded, func(t *testing.T, wf *argo.Workflow) {
			t.Helper()
			if got := c.out(wf, "[2].all"); got != `["a","b"]` {
				t.Errorf("output %q", got)
			}
		}},
		"when.yaml":  {argo.WorkflowSucceeded, nil},
		"retry.yaml": {argo.WorkflowSucceeded, nil},
		"exit-handler.yaml": {argo.WorkflowFailed, func(t *testing.T, wf *argo.Workflow) {
			t.Helper()
			if c.node(t, wf, ".onExit").Phase != argo.NodeSucceeded {
				t.Error("the exit handler did not succeed")
			}
		}},
		"map-reduce.yaml": {argo.WorkflowSucceeded, func(t *testing.T, wf *argo.Workflow) {
			t.Helper()
			if got := c.out(wf, ".reduce"); got != "60" {
				t.Errorf("sum %q", got)
			}
		}},
		"coinflip.yaml": {argo.WorkflowSucceeded, nil},
		"from-template.yaml": {argo.WorkflowSucceeded, func(t *testing.T, wf *argo.Workflow) {
			t.Helper()
			if got := c.out(wf, "[0].say"); got != "hello Kiwerk" {
				t.Errorf("output %q", got)
			}
		}},
		"template-ref.yaml": {argo.WorkflowSucceeded, func(t *testing.T, wf *argo.Workflow) {
			t.Helper()
			if got := c.out(wf, ".two[0].say"); got != "hello two" {
				t.Errorf("output %q", got)
			}
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			wf := c.submit(t, name)
			c.finish(t, wf, tc.phase)
			if tc.check != nil {
				tc.check(t, wf)
			}
		})
	}
}
