package engine

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/pipeline/expand"
)

// complete computes the outputs of steps or a DAG from those of its children
// and ends the node.
func (e *engine) complete(n *argo.NodeStatus, t *argo.Template, vars *expand.Scope) *argo.NodeStatus {
	out := &argo.Outputs{}
	for _, p := range t.Outputs.Parameters {
		v, ok, err := e.parameter(p, vars)
		if err != nil {
			return e.mark(n, argo.NodeError, fmt.Sprintf("outputs.parameters.%s: %v", p.Name, err))
		}
		if !ok {
			continue
		}
		out.Parameters = append(out.Parameters, argo.Parameter{Name: p.Name, Value: argo.Any(v), GlobalName: p.GlobalName})
		if p.GlobalName != "" {
			e.export(argo.Parameter{Name: p.GlobalName, Value: argo.Any(v)})
		}
	}
	for _, a := range t.Outputs.Artifacts {
		found, ok, err := artifact(a, vars)
		if err != nil {
			return e.mark(n, argo.NodeError, fmt.Sprintf("outputs.artifacts.%s: %v", a.Name, err))
		}
		if !ok {
			continue
		}
		found.Name, found.GlobalName = a.Name, a.GlobalName
		out.Artifacts = append(out.Artifacts, found)
		if a.GlobalName != "" {
			e.exportArtifact(argo.Artifact{Name: a.GlobalName, S3: found.S3, Raw: found.Raw})
		}
	}
	if len(out.Parameters) > 0 || len(out.Artifacts) > 0 {
		n.Outputs = out
	}
	return e.mark(n, argo.NodeSucceeded, "")
}

// runSuspend waits for a time or for somebody to set the node's phase.
func (e *engine) runSuspend(c call, node *argo.NodeStatus, t *argo.Template, in argo.Inputs) *argo.NodeStatus {
	if node == nil {
		node = e.newNode(c, argo.NodeTypeSuspend, argo.NodeRunning, "")
		node.Inputs = keepInputs(in)
		for _, p := range t.Outputs.Parameters { // to be supplied by whoever resumes
			if node.Outputs == nil {
				node.Outputs = &argo.Outputs{}
			}
			node.Outputs.Parameters = append(node.Outputs.Parameters, p)
		}
	}
	if e.stopping && !e.exiting {
		return e.mark(node, argo.NodeFailed, e.stopWhy)
	}
	if t.Suspend.Duration == "" {
		return node
	}
	pause, err := Duration(string(t.Suspend.Duration), e.templateScope(c, t, in))
	if err != nil {
		return e.mark(node, argo.NodeError, fmt.Sprintf("suspend.duration: %v", err))
	}
	left := node.StartedAt.Add(pause).Sub(e.seen.Now)
	if left > 0 {
		e.again(left)
		return node
	}
	return e.mark(node, argo.NodeSucceeded, "")
}

// checkEnd looks whether the user or a deadline ends the workflow early.
func (e *engine) checkEnd() {
	if s := e.wf.Spec.Shutdown; s != "" {
		e.stopping, e.stopWhy = true, fmt.Sprintf("workflow shutdown with strategy: %s", s)
	} else if d := e.spec.ActiveDeadlineSeconds; d != nil {
		left := e.wf.Status.StartedAt.Add(time.Duration(*d) * time.Second).Sub(e.seen.Now)
		if left > 0 {
			e.again(left)
			return
		}
		e.stopping, e.stopWhy = true, "Step exceeded its deadline"
	}
}

// stopPods ends the pods that must not go on when the workflow ends early.
func (e *engine) stopPods() {
	if !e.stopping {
		return
	}
	for _, n := range e.sorted() {
		if n.Type != argo.NodeTypePod || n.Phase.Fulfilled() {
			continue
		}
		name := PodName(e.wf.Name, n)
		p := e.seen.Pods[name]
		if p != nil && p.Labels[argo.LabelOnExit] == "true" && e.wf.Spec.Shutdown != argo.ShutdownTerminate {
			continue
		}
		switch {
		case p == nil:
			e.mark(n, argo.NodeFailed, e.stopWhy)
		case p.Status.Phase == corev1.PodPending || p.Status.Phase == "":
			e.plan.Delete = append(e.plan.Delete, name)
			e.mark(n, argo.NodeFailed, e.stopWhy)
		default:
			e.plan.Stop = append(e.plan.Stop, name)
		}
	}
}

// makeClaims plans the claims of volumeClaimTemplates.
func (e *engine) makeClaims() {
	for _, t := range e.spec.VolumeClaimTemplates {
		c := t.DeepCopy()
		c.Name = ClaimName(e.wf.Name, t.Name)
		c.Namespace = e.wf.Namespace
		if c.Labels == nil {
			c.Labels = map[string]string{}
		}
		c.Labels[argo.LabelWorkflow] = e.wf.Name
		e.plan.Claims = append(e.plan.Claims, c)
	}
}

// ClaimName is the name of a claim made for a workflow.
func ClaimName(workflow, template string) string { return workflow + "-" + template }

// collectGarbage plans what is deleted after pods or the workflow have ended.
func (e *engine) collectGarbage() {
	done := e.wf.Status.Phase.Completed()
	if done && len(e.spec.VolumeClaimTemplates) > 0 && (e.wf.Status.Phase == argo.WorkflowSucceeded || e.spec.VolumeClaimGC != nil && e.spec.VolumeClaimGC.Strategy == "OnWorkflowCompletion") {
		for _, t := range e.spec.VolumeClaimTemplates {
			e.plan.DeleteClaims = append(e.plan.DeleteClaims, ClaimName(e.wf.Name, t.Name))
		}
	}
	if gc := e.spec.PodGC; gc != nil {
		e.collectPods(gc, done)
	}
	if done {
		e.expire()
	}
}

func (e *engine) collectPods(gc *argo.PodGC, done bool) {
	selector := func(*corev1.Pod) bool { return true }
	if gc.LabelSelector != nil {
		s, err := metav1.LabelSelectorAsSelector(gc.LabelSelector)
		if err != nil {
			return // validation has said so
		}
		selector = func(p *corev1.Pod) bool { return s.Matches(labels.Set(p.Labels)) }
	}
	delay, err := Duration(gc.DeleteDelayDuration, e.globals)
	if err != nil {
		delay = 0
	}
	for _, n := range e.sorted() {
		if n.Type != argo.NodeTypePod || !n.Phase.Fulfilled() {
			continue
		}
		name := PodName(e.wf.Name, n)
		p, ok := e.seen.Pods[name]
		if !ok || p.DeletionTimestamp != nil || !selector(p) {
			continue
		}
		due := false
		switch gc.Strategy {
		case argo.PodGCOnPodCompletion:
			due = true
		case argo.PodGCOnPodSuccess:
			due = n.Phase == argo.NodeSucceeded
		case argo.PodGCOnWorkflowCompletion:
			due = done
		case argo.PodGCOnWorkflowSuccess:
			due = done && e.wf.Status.Phase == argo.WorkflowSucceeded
		default: // refused by validation
		}
		if !due {
			continue
		}
		if left := n.FinishedAt.Add(delay).Sub(e.seen.Now); left > 0 {
			e.again(left)
			continue
		}
		e.plan.Delete = append(e.plan.Delete, name)
	}
}

// expire plans the end of a completed workflow's time to live.
func (e *engine) expire() {
	ttl := e.spec.TTLStrategy
	if ttl == nil {
		return
	}
	seconds := ttl.SecondsAfterCompletion
	if e.wf.Status.Phase == argo.WorkflowSucceeded && ttl.SecondsAfterSuccess != nil {
		seconds = ttl.SecondsAfterSuccess
	}
	if e.wf.Status.Phase != argo.WorkflowSucceeded && ttl.SecondsAfterFailure != nil {
		seconds = ttl.SecondsAfterFailure
	}
	if seconds == nil {
		return
	}
	left := e.wf.Status.FinishedAt.Add(time.Duration(*seconds) * time.Second).Sub(e.seen.Now)
	if left > 0 {
		e.again(left)
		return
	}
	e.plan.DeleteWorkflow = true
}

// summarise computes progress and whether pods run.
func (e *engine) summarise() {
	running := false
	var total progress
	for _, n := range e.sorted() {
		if n.Type == argo.NodeTypePod {
			total.add(podProgress(n))
			running = running || n.Phase == argo.NodeRunning
			continue
		}
		// A group that has ended counts what hangs below it, too; that is brought up to date at the end.
		if n.Phase.Fulfilled() && n.Progress != "" && !e.wf.Status.Phase.Completed() {
			continue
		}
		p := e.progressOf(n)
		n.Progress = ""
		if p.total > 0 {
			n.Progress = p.String()
		}
	}
	e.wf.Status.Progress = total.String()
	switch {
	case running:
		SetCondition(e.wf, argo.ConditionPodRunning, metav1.ConditionTrue, "")
	case slices.ContainsFunc(e.wf.Status.Conditions, func(c argo.Condition) bool { return c.Type == argo.ConditionPodRunning }):
		SetCondition(e.wf, argo.ConditionPodRunning, metav1.ConditionFalse, "")
	}
}

type progress struct{ done, total int }

func (p *progress) add(q progress) { p.done, p.total = p.done+q.done, p.total+q.total }

func (p progress) String() string { return fmt.Sprintf("%d/%d", p.done, p.total) }

func podProgress(n *argo.NodeStatus) progress {
	if n.Phase == argo.NodeSucceeded {
		return progress{1, 1}
	}
	return progress{0, 1}
}

// progressOf sums the pods that can be reached over children, each once.
func (e *engine) progressOf(n *argo.NodeStatus) progress {
	seen := map[string]bool{n.ID: true}
	var sum progress
	queue := slices.Clone(n.Children)
	for len(queue) > 0 {
		id := queue[0]
		queue = queue[1:]
		c := e.nodes[id]
		if c == nil || seen[id] {
			continue
		}
		seen[id] = true
		if c.Type == argo.NodeTypePod {
			sum.add(podProgress(c))
		}
		queue = append(queue, c.Children...)
	}
	return sum
}
