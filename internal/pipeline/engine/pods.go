package engine

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/pipeline/pod"
	"github.com/kiwerk/kiwerk/internal/pipeline/step"
	"github.com/kiwerk/kiwerk/internal/text/plain"
)

// runPod starts the pod of a container or script. A node that is Pending
// without a pod gets it again: its creation may have been lost, and a pod's
// name follows from its node, so there is never a second one.
func (e *engine) runPod(c call, node *argo.NodeStatus, t *argo.Template, in argo.Inputs) *argo.NodeStatus {
	if node != nil {
		if node.Phase != argo.NodePending {
			return node
		}
		if _, ok := e.seen.Pods[PodName(e.wf.Name, node)]; ok {
			return node
		}
	}
	fresh := node == nil
	if fresh {
		node = e.newNode(c, argo.NodeTypePod, argo.NodePending, "")
		e.unlessTaken(node)
		node.Inputs = keepInputs(in)
		node.Progress = "0/1"
		e.active++
	}
	made, err := e.makePod(c, node, t, in)
	if err != nil {
		return e.mark(node, argo.NodeError, plain.Error(err).Error())
	}
	if existing, ok := e.seen.Pods[made.Name]; ok { // created before a crash, not recorded
		e.updatePod(node, existing)
		return node
	}
	e.plan.Create = append(e.plan.Create, made)
	return node
}

// unlessTaken gives a new node another id while a pod of a colliding node has the name.
func (e *engine) unlessTaken(n *argo.NodeStatus) {
	for salt := 1; ; salt++ {
		p := e.seen.Pods[PodName(e.wf.Name, n)]
		if p == nil || p.Annotations[argo.AnnotationNodeName] == n.Name {
			return
		}
		delete(e.nodes, n.ID)
		n.ID = NodeID(e.wf.Name, fmt.Sprintf("%s#%d", n.Name, salt))
		if _, taken := e.nodes[n.ID]; !taken {
			e.nodes[n.ID] = n
		}
	}
}

func (e *engine) makePod(c call, node *argo.NodeStatus, t *argo.Template, in argo.Inputs) (*corev1.Pod, error) {
	vars := e.templateScope(c, t, in)
	name := PodName(e.wf.Name, node)
	vars.Set("pod.name", name)
	body := *t
	body.Inputs = argo.Inputs{} // resolved already
	body, err := resolved(body, vars)
	if err != nil {
		return nil, err
	}
	body.Inputs = in
	spec := e.spec
	if len(spec.Volumes) > 0 || spec.PodMetadata != nil || spec.PodSpecPatch != "" || spec.NodeSelector != nil {
		part := argo.WorkflowSpec{Volumes: spec.Volumes, PodMetadata: spec.PodMetadata, NodeSelector: spec.NodeSelector, PodSpecPatch: spec.PodSpecPatch, ServiceAccountName: spec.ServiceAccountName}
		if part, err = resolved(part, vars); err != nil {
			return nil, err
		}
		whole := *spec
		whole.Volumes, whole.PodMetadata, whole.NodeSelector, whole.PodSpecPatch = part.Volumes, part.PodMetadata, part.NodeSelector, part.PodSpecPatch
		spec = &whole
	}
	deadline, err := e.podDeadline(&body)
	if err != nil {
		return nil, err
	}
	return pod.Make(pod.Options{
		Workflow: e.wf, Spec: spec, Template: &body, Name: name, NodeID: node.ID, NodeName: node.Name,
		OnExit: c.onExit || e.exiting, Result: e.wantsResult(), Deadline: deadline, Platform: e.seen.Platform,
	})
}

// podDeadline is the shorter one of activeDeadlineSeconds and timeout.
func (e *engine) podDeadline(t *argo.Template) (*int64, error) {
	var deadline *int64
	if d := t.ActiveDeadlineSeconds; d != nil {
		n, err := strconv.ParseInt(d.String(), 10, 64)
		if err != nil || n <= 0 {
			return nil, fmt.Errorf("activeDeadlineSeconds %q must be a positive whole number", d.String())
		}
		deadline = &n
	}
	if t.Timeout != "" {
		d, err := Duration(t.Timeout, e.globals)
		if err != nil {
			return nil, fmt.Errorf("timeout: %w", err)
		}
		if n := int64((d + time.Second - 1) / time.Second); n > 0 && (deadline == nil || n < *deadline) {
			deadline = &n
		}
	}
	return deadline, nil
}

// updatePods takes over how the pods stand.
func (e *engine) updatePods() {
	for _, n := range e.sorted() {
		if n.Type != argo.NodeTypePod || n.Phase.Fulfilled() {
			continue
		}
		name := PodName(e.wf.Name, n)
		p, ok := e.seen.Pods[name]
		switch {
		case ok && p.Annotations[argo.AnnotationNodeName] == n.Name:
			e.updatePod(n, p)
		case !ok && e.seen.Gone[name] && n.Phase == argo.NodeRunning:
			e.mark(n, argo.NodeError, "pod deleted")
		}
	}
}

func (e *engine) updatePod(n *argo.NodeStatus, p *corev1.Pod) {
	if p.Spec.NodeName != "" {
		n.HostNodeName = p.Spec.NodeName
	}
	if p.Status.PodIP != "" && n.PodIP != p.Status.PodIP {
		n.PodIP = p.Status.PodIP
	}
	main := mainStatus(p)
	switch {
	case main != nil && main.State.Terminated != nil:
		e.endPod(n, p, main.State.Terminated)
	case p.Status.Phase == corev1.PodFailed:
		e.endWithoutMain(n, p)
	case p.Status.Phase == corev1.PodSucceeded: // statuses of containers are gone
		e.endPod(n, p, &corev1.ContainerStateTerminated{})
	case p.DeletionTimestamp != nil && p.Spec.NodeName == "":
		e.mark(n, argo.NodeError, "pod deleted")
	case p.Status.Phase == corev1.PodRunning:
		e.mark(n, argo.NodeRunning, "")
	default:
		if m := pendingReason(p); m != n.Message {
			n.Message = m
		}
	}
}

func mainStatus(p *corev1.Pod) *corev1.ContainerStatus {
	for i := range p.Status.ContainerStatuses {
		if p.Status.ContainerStatuses[i].Name == argo.MainContainer {
			return &p.Status.ContainerStatuses[i]
		}
	}
	return nil
}

// pendingReason is why a pod does not run, if that is more than a matter of moments.
func pendingReason(p *corev1.Pod) string {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Reason == corev1.PodReasonUnschedulable {
			return "Unschedulable: " + c.Message
		}
	}
	for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		w := c.State.Waiting
		if w == nil || w.Reason == "" || w.Reason == "ContainerCreating" || w.Reason == "PodInitializing" {
			continue
		}
		if w.Message == "" {
			return w.Reason
		}
		return w.Reason + ": " + w.Message
	}
	return ""
}

// endPod takes the end of the main container.
func (e *engine) endPod(n *argo.NodeStatus, p *corev1.Pod, end *corev1.ContainerStateTerminated) {
	n.FinishedAt = end.FinishedAt
	if n.FinishedAt.IsZero() {
		n.FinishedAt = e.now
	}
	report, ours := step.ParseReport(end.Message)
	if ours && report.Key != "" {
		full, ok := e.seen.Reports[p.Name]
		if !ok {
			e.mark(n, argo.NodeError, fmt.Sprintf("the outputs of the step are not in the artifact store (key %s)", report.Key))
			return
		}
		report = full
	}
	if end.ExitCode == 0 && !ours && pod.Wrapped(p) {
		e.mark(n, argo.NodeError, "main: the step ended without a report of its outputs")
		return
	}
	n.Outputs = outputsOf(report, end.ExitCode)
	e.exportGlobals(report)
	switch {
	case end.ExitCode == 0:
		n.Progress = "1/1"
		e.mark(n, argo.NodeSucceeded, "")
	case e.stopWhy != "" && e.stopping:
		e.mark(n, argo.NodeFailed, e.stopWhy)
	case p.Status.Reason == "DeadlineExceeded":
		e.mark(n, argo.NodeFailed, deadlineMessage(p))
	case report.Error != "":
		e.mark(n, argo.NodeError, "main: Error (exit code "+strconv.Itoa(step.ExitAgent)+"): "+report.Error)
	case p.Status.Phase == corev1.PodFailed && p.Status.Message != "":
		e.mark(n, argo.NodeFailed, p.Status.Message)
	default:
		e.mark(n, argo.NodeFailed, failure(end, report))
	}
}

// failure is Argo's message for a command that failed.
func failure(end *corev1.ContainerStateTerminated, r step.Report) string {
	reason := end.Reason
	if reason == "" {
		reason = "Error"
	}
	message := fmt.Sprintf("main: %s (exit code %d)", reason, end.ExitCode)
	if detail := r.Message; detail != "" {
		message += ": " + detail
	} else if r.Version == 0 && end.Message != "" {
		message += ": " + end.Message
	}
	return message
}

func deadlineMessage(p *corev1.Pod) string {
	if p.Status.Message != "" {
		return p.Status.Message
	}
	return "Pod was active on the node longer than the specified deadline"
}

// endWithoutMain is a pod that failed before its main container ran.
func (e *engine) endWithoutMain(n *argo.NodeStatus, p *corev1.Pod) {
	if e.stopping && e.stopWhy != "" {
		e.mark(n, argo.NodeFailed, e.stopWhy)
		return
	}
	if p.Status.Reason == "DeadlineExceeded" {
		e.mark(n, argo.NodeFailed, deadlineMessage(p))
		return
	}
	for _, c := range p.Status.InitContainerStatuses {
		if t := c.State.Terminated; t != nil && t.ExitCode != 0 {
			e.mark(n, argo.NodeError, fmt.Sprintf("%s: %s (exit code %d): %s", c.Name, t.Reason, t.ExitCode, t.Message))
			return
		}
	}
	message := p.Status.Message
	if message == "" {
		message = "pod failed"
		if p.Status.Reason != "" {
			message += ": " + p.Status.Reason
		}
	}
	phase := argo.NodeFailed
	if slices.Contains([]string{"Evicted", "NodeLost", "Preempting", "NodeShutdown", "Shutdown", "UnexpectedAdmissionError", "NodeAffinity"}, p.Status.Reason) {
		phase = argo.NodeError // not the step's fault
	}
	e.mark(n, phase, message)
}

// outputsOf turns a report into a node's outputs.
func outputsOf(r step.Report, exit int32) *argo.Outputs {
	code := strconv.Itoa(int(exit))
	out := &argo.Outputs{ExitCode: &code, Result: r.Result}
	for _, p := range r.Parameters {
		out.Parameters = append(out.Parameters, argo.Parameter{Name: p.Name, Value: argo.Any(p.Value), GlobalName: p.GlobalName})
	}
	for _, a := range r.Artifacts {
		art := argo.Artifact{Name: a.Name, Path: a.Path, GlobalName: a.GlobalName, S3: &argo.S3Artifact{Key: a.Key}}
		if a.Plain {
			art.Archive = &argo.ArchiveStrategy{None: &argo.NoneStrategy{}}
		}
		out.Artifacts = append(out.Artifacts, art)
	}
	return out
}

// exportGlobals publishes the outputs that have a global name.
func (e *engine) exportGlobals(r step.Report) {
	for _, p := range r.Parameters {
		if p.GlobalName != "" {
			e.export(argo.Parameter{Name: p.GlobalName, Value: argo.Any(p.Value)})
		}
	}
	for _, a := range r.Artifacts {
		if a.GlobalName != "" {
			e.exportArtifact(argo.Artifact{Name: a.GlobalName, S3: &argo.S3Artifact{Key: a.Key}})
		}
	}
}

func (e *engine) export(p argo.Parameter) {
	out := e.globalOutputs()
	if e.globals != nil {
		e.globals.Set("workflow.outputs.parameters."+p.Name, p.Value.String())
	}
	for i := range out.Parameters {
		if out.Parameters[i].Name == p.Name {
			out.Parameters[i] = p
			return
		}
	}
	out.Parameters = append(out.Parameters, p)
}

func (e *engine) exportArtifact(a argo.Artifact) {
	out := e.globalOutputs()
	if e.globals != nil {
		e.globals.SetArtifact("workflow.outputs.artifacts."+a.Name, a)
	}
	for i := range out.Artifacts {
		if out.Artifacts[i].Name == a.Name {
			out.Artifacts[i] = a
			return
		}
	}
	out.Artifacts = append(out.Artifacts, a)
}

func (e *engine) globalOutputs() *argo.Outputs {
	if e.wf.Status.Outputs == nil {
		e.wf.Status.Outputs = &argo.Outputs{}
	}
	return e.wf.Status.Outputs
}
