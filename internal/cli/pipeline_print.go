package cli

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/text"
)

// PipelineRuns are what kiwerk pipeline list prints, newest first.
type PipelineRuns struct {
	Items []PipelineRun `json:"runs"`
}

// PipelineRun is one workflow in a line.
type PipelineRun struct {
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

// PipelineDetails are a workflow with its steps.
type PipelineDetails struct {
	PipelineRun

	Parameters map[string]string `json:"parameters,omitempty"`
	Warnings   []string          `json:"warnings,omitempty"`
	Steps      []PipelineStep    `json:"steps"`
}

// PipelineStep is what ran, waits or was left out.
type PipelineStep struct {
	Name     string            `json:"name"`
	Phase    string            `json:"phase"`
	Message  string            `json:"message,omitempty"`
	Started  *time.Time        `json:"started,omitempty"`
	Finished *time.Time        `json:"finished,omitempty"`
	Outputs  map[string]string `json:"outputs,omitempty"`
}

func runOf(wf *argo.Workflow) PipelineRun {
	r := PipelineRun{
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
func detailsOf(wf *argo.Workflow) *PipelineDetails {
	d := &PipelineDetails{PipelineRun: runOf(wf), Steps: []PipelineStep{}}
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
			d.Steps = append(d.Steps, stepOf(&n))
		default:
		}
	}
	slices.SortFunc(d.Steps, func(a, b PipelineStep) int {
		return cmp.Or(rank(a)-rank(b), compareTimes(a.Started, b.Started), cmp.Compare(a.Name, b.Name))
	})
	return d
}

func stepOf(n *argo.NodeStatus) PipelineStep {
	s := PipelineStep{Name: n.DisplayName, Phase: string(n.Phase), Message: n.Message, Started: moment(n.StartedAt), Finished: moment(n.FinishedAt)}
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

func rank(s PipelineStep) int {
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

// took is how long something ran, empty while it has not ended.
func took(p *text.Printer, started, finished *time.Time) string {
	if started == nil || finished == nil {
		return ""
	}
	return p.T(text.Seconds, finished.Sub(*started).Seconds())
}

func (r *PipelineRun) row(p *text.Printer) []string {
	return []string{r.Name, r.Template, r.Phase, r.Progress, r.Created.Local().Format(time.DateTime), took(p, r.Started, r.Finished), r.Message}
}

func runHeads(p *text.Printer) []string {
	return p.Labels("NAME", "TEMPLATE", "PHASE", "PROGRESS", "CREATED", "TOOK", "MESSAGE")
}

// Table prints one line per workflow.
func (r *PipelineRuns) Table(w io.Writer, p *text.Printer) {
	rows := [][]string{runHeads(p)}
	for i := range r.Items {
		rows = append(rows, r.Items[i].row(p))
	}
	columns(w, rows)
}

// Table prints the workflow in a line.
func (r *PipelineRun) Table(w io.Writer, p *text.Printer) {
	columns(w, [][]string{runHeads(p), r.row(p)})
}

// Table prints the workflow and its steps.
func (d *PipelineDetails) Table(w io.Writer, p *text.Printer) {
	d.PipelineRun.Table(w, p)
	for _, name := range slices.Sorted(maps.Keys(d.Parameters)) {
		fmt.Fprintf(w, "  %s=%s\n", name, d.Parameters[name])
	}
	for _, warning := range d.Warnings {
		fmt.Fprintf(w, "  ! %s\n", warning)
	}
	if len(d.Steps) == 0 {
		return
	}
	fmt.Fprintln(w)
	rows := [][]string{p.Labels("STEP", "PHASE", "TOOK", "OUTPUTS", "MESSAGE")}
	for _, s := range d.Steps {
		outputs := ""
		for _, name := range slices.Sorted(maps.Keys(s.Outputs)) {
			outputs += name + "=" + shorten(s.Outputs[name]) + " "
		}
		rows = append(rows, []string{s.Name, s.Phase, took(p, s.Started, s.Finished), outputs, s.Message})
	}
	columns(w, rows)
}

// shorten keeps a table readable; -o json has the whole value.
func shorten(s string) string {
	const most = 40
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}
