package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/kube"
	"github.com/kiwerk/kiwerk/internal/pipeline/lint"
	"github.com/kiwerk/kiwerk/internal/pipeline/step"
)

// outcome is how a simulated pod ends.
type outcome struct {
	exit       int32
	result     string
	parameters map[string]string
	artifacts  []string
	agentError string
	stays      bool // does not end by itself
}

// sim runs a workflow against a simulated cluster: pods end with the outcome
// that the test gives for their node.
type sim struct {
	t     testing.TB
	wf    *argo.Workflow
	pods  map[string]*corev1.Pod
	now   time.Time
	ends  func(node string, p *corev1.Pod) outcome
	order []string // nodes in the order in which their pods were created
	most  int      // pods at the same time
	gone  map[string]bool
	plans []Plan
}

func newSim(t testing.TB, text string, ends func(node string, p *corev1.Pod) outcome) *sim {
	t.Helper()
	wf := &argo.Workflow{}
	if err := yaml.UnmarshalStrict([]byte(text), wf); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if wf.Name == "" {
		wf.Name = "wf"
	}
	wf.Namespace, wf.UID = "default", "uid-1"
	wf.CreationTimestamp = metav1.NewTime(time.Date(2026, 11, 24, 8, 30, 0, 0, time.UTC))
	return &sim{t: t, wf: wf, pods: map[string]*corev1.Pod{}, now: wf.CreationTimestamp.Time, ends: ends, gone: map[string]bool{}}
}

// tick decides once and carries the plan out, without letting pods end.
func (s *sim) tick() Plan {
	s.t.Helper()
	plan := Decide(Seen{
		Workflow: s.wf, Pods: s.pods, Gone: s.gone, Now: s.now,
		Platform: kube.Platform{BaseURL: "http://127.0.0.1:7878", AgentPath: "/.kiwerk/bin/kiwerk-agent"},
	})
	for _, p := range plan.Create {
		if s.pods[p.Name] != nil {
			s.t.Fatalf("pod %s is created twice", p.Name)
		}
		p.Status.Phase = corev1.PodPending
		s.pods[p.Name] = p
		s.order = append(s.order, p.Annotations[argo.AnnotationNodeName])
	}
	for _, name := range plan.Stop {
		s.end(s.pods[name], outcome{exit: 137})
	}
	for _, name := range plan.Delete {
		delete(s.pods, name)
	}
	s.plans = append(s.plans, plan)
	return plan
}

// run goes on until the workflow has ended or nothing moves any more.
func (s *sim) run() *sim {
	s.t.Helper()
	for range 1000 {
		plan := s.tick()
		if s.wf.Status.Phase.Completed() {
			return s
		}
		if !s.endPods() && len(plan.Stop)+len(plan.Delete) == 0 {
			if plan.Again == 0 {
				return s
			}
			s.now = s.now.Add(plan.Again)
		}
		s.now = s.now.Add(time.Second)
	}
	s.t.Fatal("the workflow does not come to an end")
	return s
}

// endPods lets every running pod end.
func (s *sim) endPods() bool {
	running := 0
	var names []string
	for name, p := range s.pods {
		if p.Status.Phase == corev1.PodPending {
			names = append(names, name)
			running++
		}
	}
	s.most = max(s.most, running)
	slices.Sort(names)
	moved := false
	for _, name := range names {
		p := s.pods[name]
		o := outcome{}
		if s.ends != nil {
			o = s.ends(p.Annotations[argo.AnnotationNodeName], p)
		}
		if !o.stays {
			s.end(p, o)
			moved = true
		}
	}
	return moved
}

func (s *sim) end(p *corev1.Pod, o outcome) {
	r := step.Report{Version: 1, ExitCode: int(o.exit), Error: o.agentError}
	if o.result != "" {
		r.Result = &o.result
	}
	for k, v := range o.parameters {
		r.Parameters = append(r.Parameters, step.Parameter{Name: k, Value: v})
	}
	for _, a := range o.artifacts {
		r.Artifacts = append(r.Artifacts, step.Artifact{Name: a, Key: "workflows/uid-1/" + p.Name + "/" + a + ".tgz"})
	}
	phase, reason := corev1.PodSucceeded, "Completed"
	if o.exit != 0 {
		phase, reason = corev1.PodFailed, "Error"
	}
	p.Status.Phase = phase
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: argo.MainContainer, State: corev1.ContainerState{
		Terminated: &corev1.ContainerStateTerminated{ExitCode: o.exit, Reason: reason, FinishedAt: metav1.NewTime(s.now), Message: encode(s.t, r)},
	}}}
}

// node by its name; "" is the root.
func (s *sim) node(name string) argo.NodeStatus {
	s.t.Helper()
	for _, n := range s.wf.Status.Nodes {
		if n.Name == s.wf.Name+name {
			return n
		}
	}
	s.t.Fatalf("no node %q; there are\n%s", s.wf.Name+name, s.tree())
	return argo.NodeStatus{}
}

// tree is every node with type and phase, for messages and comparisons.
func (s *sim) tree() string {
	lines := make([]string, 0, len(s.wf.Status.Nodes))
	for _, n := range s.wf.Status.Nodes {
		line := fmt.Sprintf("%s %s %s", n.Name, n.Type, n.Phase)
		if n.Message != "" {
			line += ": " + n.Message
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func (s *sim) wantPhase(phase argo.WorkflowPhase) {
	s.t.Helper()
	if s.wf.Status.Phase != phase {
		s.t.Fatalf("phase %s (%s), want %s\n%s", s.wf.Status.Phase, s.wf.Status.Message, phase, s.tree())
	}
}

func (s *sim) children(name string) []string {
	s.t.Helper()
	var names []string
	for _, id := range s.node(name).Children {
		names = append(names, strings.TrimPrefix(s.wf.Status.Nodes[id].Name, s.wf.Name))
	}
	return names
}

func (s *sim) args(node string) string {
	s.t.Helper()
	n := s.node(node)
	p := s.pods[PodName(s.wf.Name, &n)]
	if p == nil {
		s.t.Fatalf("node %s has no pod", node)
	}
	c := p.Spec.Containers[0]
	return strings.Join(append(slices.Clone(c.Command), c.Args...), " ")
}

func example(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../../examples/workflows", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func lintClean(t *testing.T, wf *argo.Workflow) {
	t.Helper()
	if errs, _ := lint.Split(lint.Spec(&wf.Spec, lint.Options{})); errs != "" {
		t.Errorf("lint: %s", errs)
	}
}
