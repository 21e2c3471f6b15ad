package engine

import (
	"fmt"
	"testing"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
)

// BenchmarkDecide is one decision over a workflow of which half has ended.
func BenchmarkDecide(b *testing.B) {
	for name, spec := range map[string]string{
		"Loop1000":  "entrypoint: m\ntemplates:\n- name: m\n  steps: [[{name: a, template: nop, withSequence: {count: 1000}}]]",
		"Chain1000": chain(1000),
	} {
		b.Run(name, func(b *testing.B) {
			s := newSim(b, wf(spec), nil)
			for range 500 {
				s.tick()
				s.endPods()
				if len(s.order) >= 1000 {
					break
				}
			}
			saved := s.wf.Status.DeepCopy()
			b.ReportAllocs()
			for b.Loop() {
				s.wf.Status = *saved.DeepCopy()
				Decide(Seen{Workflow: s.wf, Pods: s.pods, Now: s.now})
			}
		})
	}
}

func chain(n int) string {
	text := "entrypoint: m\ntemplates:\n- name: m\n  steps:"
	for i := range n {
		text += fmt.Sprintf("\n  - - {name: s%d, template: nop}", i)
	}
	return text
}

func TestDecide_thousandSteps(t *testing.T) {
	s := newSim(t, wf("entrypoint: m\ntemplates:\n- name: m\n  dag: {tasks: [{name: a, template: nop, withSequence: {count: 1000}}, {name: b, template: nop, depends: a}]}"), nil).run()
	s.wantPhase(argo.WorkflowSucceeded)
	if len(s.order) != 1001 || s.most != 1000 || s.wf.Status.Progress != "1001/1001" {
		t.Errorf("%d pods, %d at once, progress %s", len(s.order), s.most, s.wf.Status.Progress)
	}
}
