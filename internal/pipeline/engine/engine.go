package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/kube"
	"github.com/kiwerk/kiwerk/internal/pipeline/expand"
	"github.com/kiwerk/kiwerk/internal/pipeline/step"
	"github.com/kiwerk/kiwerk/internal/text/plain"
)

// Seen is all that a decision depends on.
type Seen struct {
	// Workflow is changed in place: status, labels and annotations.
	Workflow *argo.Workflow
	// Pods of this workflow by name.
	Pods map[string]*corev1.Pod
	// Gone are pods that were looked for at the source and do not exist.
	Gone map[string]bool
	// Reports by pod name that were too large for the termination message.
	Reports map[string]step.Report
	// ConfigMaps that parameters refer to, by name.
	ConfigMaps map[string]map[string]string
	// Platform is how pods reach us.
	Platform kube.Platform
	Now      time.Time
}

// Plan is what has to be done beside storing the workflow.
type Plan struct {
	// Create pods, in this order, before the workflow is stored.
	Create []*corev1.Pod
	// Claims to create before the pods.
	Claims []*corev1.PersistentVolumeClaim
	// Stop ends the processes of running pods and keeps their logs.
	Stop []string
	// Delete pods.
	Delete []string
	// DeleteClaims when the workflow has ended.
	DeleteClaims []string
	// DeleteWorkflow because its time to live is over.
	DeleteWorkflow bool
	// Again is when to look without being told; zero is never.
	Again  time.Duration
	Events []kube.Event
}

type engine struct {
	seen    Seen
	wf      *argo.Workflow
	spec    *argo.WorkflowSpec // what is executed: the workflow's own or the one of its template
	now     metav1.Time
	nodes   map[string]*argo.NodeStatus
	byName  map[string]*argo.NodeStatus
	globals *expand.Scope
	plan    Plan

	result   *bool // some text refers to outputs.result
	active   int64
	depth    int
	stopping bool   // no new nodes, except in exit handlers if Stop
	stopWhy  string // message of the nodes that end for it
	exiting  bool   // the workflow's exit handler is walked
}

// maxDepth bounds the nesting of templates, as Argo does.
const maxDepth = 100

// Decide computes the next state.
func Decide(seen Seen) Plan {
	e := &engine{seen: seen, wf: seen.Workflow, now: metav1.NewTime(seen.Now.Truncate(time.Second))}
	e.load()
	if e.wf.Status.Phase.Completed() {
		e.collectGarbage()
		return e.plan
	}
	if err := e.begin(); err != nil {
		e.finish(argo.WorkflowError, plain.Error(err).Error())
		e.store()
		return e.plan
	}
	e.checkEnd()
	e.updatePods()
	e.stopPods()
	if !suspended(e.wf) || e.stopping {
		e.advance()
	}
	e.collectGarbage()
	e.summarise()
	e.store()
	return e.plan
}

func suspended(wf *argo.Workflow) bool { return wf.Spec.Suspend != nil && *wf.Spec.Suspend }

// load indexes the stored nodes.
func (e *engine) load() {
	e.spec = EffectiveSpec(e.wf)
	e.nodes = make(map[string]*argo.NodeStatus, len(e.wf.Status.Nodes))
	e.byName = make(map[string]*argo.NodeStatus, len(e.wf.Status.Nodes))
	for id, n := range e.wf.Status.Nodes {
		e.nodes[id] = &n
		e.byName[n.Name] = &n
		if n.Type == argo.NodeTypePod && !n.Phase.Fulfilled() {
			e.active++
		}
	}
}

// wantsResult tells whether some text refers to the standard output of a step.
func (e *engine) wantsResult() bool {
	if e.result == nil {
		found := false
		for _, v := range []any{e.spec, e.wf.Status.StoredTemplates} {
			text, err := json.Marshal(v)
			found = found || err == nil && strings.Contains(string(text), "outputs.result")
		}
		e.result = &found
	}
	return *e.result
}

// store writes the nodes back.
func (e *engine) store() {
	if len(e.nodes) == 0 {
		return
	}
	e.wf.Status.Nodes = make(argo.Nodes, len(e.nodes))
	for id, n := range e.nodes {
		e.wf.Status.Nodes[id] = *n
	}
}

// EffectiveSpec is what is executed: the spec as stored from a template at
// the start, or the workflow's own.
func EffectiveSpec(wf *argo.Workflow) *argo.WorkflowSpec {
	if wf.Status.StoredWorkflowSpec != nil {
		return wf.Status.StoredWorkflowSpec
	}
	return &wf.Spec
}

// begin admits a new workflow and computes the global variables.
func (e *engine) begin() error {
	if e.wf.Status.Phase == "" || e.wf.Status.Phase == argo.WorkflowPending {
		e.wf.Status.Phase = argo.WorkflowRunning
		if e.wf.Status.StartedAt.IsZero() {
			e.wf.Status.StartedAt = e.now
		}
		e.plan.Events = append(e.plan.Events, kube.Event{Type: "Normal", Reason: "WorkflowRunning", Action: "Run", Message: "Workflow Running"})
	}
	e.label(argo.LabelPhase, string(argo.WorkflowRunning))
	e.label(argo.LabelCompleted, "false")
	if e.wf.Annotations == nil {
		e.wf.Annotations = map[string]string{}
	}
	e.wf.Annotations[argo.AnnotationPodNameFormat] = "v2"
	if err := e.makeGlobals(); err != nil {
		return err
	}
	e.makeClaims()
	return nil
}

func (e *engine) label(name, value string) {
	if e.wf.Labels == nil {
		e.wf.Labels = map[string]string{}
	}
	e.wf.Labels[name] = value
}

// advance walks the tree, then the exit handler, then ends the workflow.
func (e *engine) advance() {
	root := e.execute(call{name: e.wf.Name, scope: localScope(e.wf), Call: argo.Call{Template: e.spec.Entrypoint}, args: e.workflowArguments()})
	if root == nil || !root.Phase.Fulfilled() {
		return
	}
	e.globals.Set("workflow.status", string(root.Phase))
	e.globals.Set("workflow.failures", e.failures())
	exit, done := e.exitHandler(root)
	if !done {
		return
	}
	phase, message := workflowPhase(root.Phase), root.Message
	if exit != nil && exit.Phase.FailedOrError() && phase == argo.WorkflowSucceeded {
		phase, message = workflowPhase(exit.Phase), exit.Message
	}
	if e.stopping && phase != argo.WorkflowSucceeded {
		message = e.stopWhy
		if s := e.wf.Spec.Shutdown; s != "" {
			message = fmt.Sprintf("Stopped with strategy '%s'", s)
		}
	}
	e.finish(phase, message)
}

func workflowPhase(p argo.NodePhase) argo.WorkflowPhase {
	switch p {
	case argo.NodeFailed:
		return argo.WorkflowFailed
	case argo.NodeError:
		return argo.WorkflowError
	default: // a skipped or omitted root has nothing against it
		return argo.WorkflowSucceeded
	}
}

// exitHandler runs what spec.onExit or the workflow's exit hook names. done is
// false while it runs.
func (e *engine) exitHandler(root *argo.NodeStatus) (exit *argo.NodeStatus, done bool) {
	hook, hasHook := e.spec.Hooks[argo.ExitHook]
	if e.spec.OnExit == "" && !hasHook {
		return nil, true
	}
	if e.wf.Spec.Shutdown == argo.ShutdownTerminate {
		return nil, true
	}
	c := call{
		name: e.wf.Name + ".onExit", scope: localScope(e.wf), Call: argo.Call{Template: e.spec.OnExit},
		args: e.workflowArguments(), flag: &argo.NodeFlag{Hooked: true}, onExit: true,
	}
	if hasHook {
		if run, err := e.hookRuns(hook, e.globals); err == nil && !run {
			return nil, true
		}
		args, err := e.arguments(hook.Arguments, e.globals)
		if err != nil {
			return e.initError(c, fmt.Errorf("exit hook: %w", err)), true
		}
		c.Call, c.args = argo.Call{Template: hook.Template, TemplateRef: hook.TemplateRef}, args
	}
	e.exiting = true
	defer func() { e.exiting = false }()
	exit = e.execute(c)
	if exit == nil || !exit.Phase.Fulfilled() {
		return exit, false
	}
	_ = root
	return exit, true
}

func (e *engine) hookRuns(h argo.LifecycleHook, s *expand.Scope) (bool, error) {
	if h.Expression == "" {
		return true, nil
	}
	return s.EvaluateBool(h.Expression)
}

// finish ends the workflow.
func (e *engine) finish(phase argo.WorkflowPhase, message string) {
	s := &e.wf.Status
	s.Phase, s.Message, s.FinishedAt = phase, message, e.now
	if s.StartedAt.IsZero() {
		s.StartedAt = e.now
	}
	e.label(argo.LabelPhase, string(phase))
	e.label(argo.LabelCompleted, "true")
	SetCondition(e.wf, argo.ConditionPodRunning, metav1.ConditionFalse, "")
	SetCondition(e.wf, argo.ConditionCompleted, metav1.ConditionTrue, "")
	ev := kube.Event{Type: "Normal", Reason: "Workflow" + string(phase), Action: "Run", Message: "Workflow completed"}
	if phase != argo.WorkflowSucceeded {
		ev.Type, ev.Message = "Warning", message
	}
	if phase == argo.WorkflowError {
		ev.Reason = "WorkflowFailed"
	}
	e.plan.Events = append(e.plan.Events, ev)
}

// SetCondition sets or replaces a condition.
func SetCondition(wf *argo.Workflow, typ string, status metav1.ConditionStatus, message string) {
	for i := range wf.Status.Conditions {
		if c := &wf.Status.Conditions[i]; c.Type == typ {
			c.Status, c.Message = status, message
			return
		}
	}
	wf.Status.Conditions = append(wf.Status.Conditions, argo.Condition{Type: typ, Status: status, Message: message})
}

// Reject ends a workflow that cannot be executed.
func Reject(wf *argo.Workflow, now time.Time, err error) Plan {
	e := &engine{wf: wf, now: metav1.NewTime(now.Truncate(time.Second))}
	e.finish(argo.WorkflowError, plain.Error(err).Error())
	SetCondition(wf, argo.ConditionSpecError, metav1.ConditionTrue, plain.Error(err).Error())
	return e.plan
}

func (e *engine) again(d time.Duration) {
	if d <= 0 {
		d = time.Millisecond
	}
	if e.plan.Again == 0 || d < e.plan.Again {
		e.plan.Again = d
	}
}

// failures is the value of workflow.failures.
func (e *engine) failures() string {
	type failure struct {
		DisplayName  string      `json:"displayName"`
		Message      string      `json:"message"`
		TemplateName string      `json:"templateName"`
		Phase        string      `json:"phase"`
		PodName      string      `json:"podName"`
		FinishedAt   metav1.Time `json:"finishedAt"`
	}
	list := []failure{}
	for _, n := range e.sorted() {
		if n.Phase.FailedOrError() && n.Type == argo.NodeTypePod {
			list = append(list, failure{n.DisplayName, n.Message, n.TemplateName, string(n.Phase), PodName(e.wf.Name, n), n.FinishedAt})
		}
	}
	b, err := json.Marshal(list)
	if err != nil {
		return "[]"
	}
	return string(b)
}

var errDepth = errors.New("maximum recursion depth exceeded: templates call each other more than 100 deep")
