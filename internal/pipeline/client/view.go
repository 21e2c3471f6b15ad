package client

import (
	"cmp"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/pipeline/engine"
)

// Run is one workflow in a line.
type Run struct {
	Namespace string     `json:"namespace"`
	Name      string     `json:"name"`
	Template  string     `json:"template,omitempty"`
	Phase     string     `json:"phase"`
	Progress  string     `json:"progress,omitempty"`
	Message   string     `json:"message,omitempty"`
	Created   time.Time  `json:"created"`
	Started   *time.Time `json:"started,omitempty"`
	Finished  *time.Time `json:"finished,omitempty"`
}

// Details are a workflow with its steps.
type Details struct {
	Run

	Parameters map[string]string `json:"parameters,omitempty"`
	Warnings   []string          `json:"warnings,omitempty"`
	Steps      []Step            `json:"steps"`
}

// Step is what ran, waits or was left out.
type Step struct {
	Name     string            `json:"name"`
	Phase    string            `json:"phase"`
	Message  string            `json:"message,omitempty"`
	Started  *time.Time        `json:"started,omitempty"`
	Finished *time.Time        `json:"finished,omitempty"`
	Outputs  map[string]string `json:"outputs,omitempty"`
	// Pod in which it ran, if it is a step with one.
	Pod string `json:"pod,omitempty"`
}

func runOf(wf *argo.Workflow) Run {
	r := Run{
		Namespace: wf.Namespace, Name: wf.Name, Phase: cmp.Or(string(wf.Status.Phase), string(argo.WorkflowPending)), Progress: wf.Status.Progress,
		Message: wf.Status.Message, Created: wf.CreationTimestamp.Time, Started: moment(wf.Status.StartedAt), Finished: moment(wf.Status.FinishedAt),
	}
	if ref := wf.Spec.WorkflowTemplateRef; ref != nil {
		r.Template = ref.Name
	}
	return r
}

func moment(t metav1.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t.Time
}

// detailsOf shows the steps, those that failed first, then in their order.
func detailsOf(wf *argo.Workflow) *Details {
	d := &Details{Run: runOf(wf), Steps: []Step{}}
	for _, p := range wf.Spec.Arguments.Parameters {
		if p.Value != nil {
			if d.Parameters == nil {
				d.Parameters = map[string]string{}
			}
			d.Parameters[p.Name] = p.Value.String()
		}
	}
	for _, c := range wf.Status.Conditions {
		if c.Type == argo.ConditionSpecWarning || c.Type == argo.ConditionSpecError {
			d.Warnings = append(d.Warnings, c.Message)
		}
	}
	for _, n := range wf.Status.Nodes {
		switch n.Type {
		case argo.NodeTypePod, argo.NodeTypeSuspend, argo.NodeTypeSkipped:
			d.Steps = append(d.Steps, stepOf(wf.Name, &n))
		default:
		}
	}
	slices.SortFunc(d.Steps, func(a, b Step) int {
		return cmp.Or(rank(a)-rank(b), compareTimes(a.Started, b.Started), cmp.Compare(a.Name, b.Name))
	})
	return d
}

func stepOf(workflow string, n *argo.NodeStatus) Step {
	s := Step{Name: n.DisplayName, Phase: string(n.Phase), Message: n.Message, Started: moment(n.StartedAt), Finished: moment(n.FinishedAt)}
	if n.Type == argo.NodeTypePod {
		s.Pod = engine.PodName(workflow, n)
	}
	if n.Outputs == nil {
		return s
	}
	for _, p := range n.Outputs.Parameters {
		if p.Value == nil {
			continue
		}
		if s.Outputs == nil {
			s.Outputs = map[string]string{}
		}
		s.Outputs[p.Name] = p.Value.String()
	}
	return s
}

func rank(s Step) int {
	if argo.NodePhase(s.Phase).FailedOrError() {
		return 0
	}
	return 1
}

func compareTimes(a, b *time.Time) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return 1
	case b == nil:
		return -1
	default:
		return a.Compare(*b)
	}
}

// PodOf is the pod of a step by its name, of the last attempt if there were several; empty if it has not run.
func (d *Details) PodOf(step string) string {
	var found *Step
	for i := range d.Steps {
		s := &d.Steps[i]
		named := s.Name == step || strings.HasPrefix(s.Name, step+"(")
		if named && s.Pod != "" && (found == nil || compareTimes(found.Started, s.Started) < 0) {
			found = s
		}
	}
	if found == nil {
		return ""
	}
	return found.Pod
}
