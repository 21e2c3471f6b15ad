package ops

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	kjson "sigs.k8s.io/json"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/kube"
	"github.com/kiwerk/kiwerk/internal/pipeline/engine"
	"github.com/kiwerk/kiwerk/internal/pipeline/lint"
	"github.com/kiwerk/kiwerk/internal/pipeline/pack"
	"github.com/kiwerk/kiwerk/internal/text/plain"
)

// Ops acts on the workflows of a cluster.
type Ops struct {
	// Client need not cache; workflows are read without types.
	Client client.Client
	// Now is the clock.
	Now func() time.Time
}

// StateError means that a workflow is not in a state for what was asked.
type StateError struct{ Message string }

func (e *StateError) Error() string { return e.Message }

// InvalidError carries the problems of a manifest.
type InvalidError struct{ Problems string }

func (e *InvalidError) Error() string { return "invalid spec: " + e.Problems }

// New is an empty object of a kind of Argo.
func New(kind string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(argo.GroupVersion.WithKind(kind))
	return u
}

// Get reads a workflow.
func (o Ops) Get(ctx context.Context, key client.ObjectKey) (*unstructured.Unstructured, error) {
	u := New("Workflow")
	return u, o.Client.Get(ctx, key, u)
}

// Lint checks an object with a workflow's spec; warnings are no error.
func Lint(u *unstructured.Unstructured) error {
	if errs, _ := lint.Split(Problems(u)); errs != "" {
		return &InvalidError{errs}
	}
	return nil
}

// Problems is everything wrong with a Workflow, a WorkflowTemplate or a
// ClusterWorkflowTemplate that can be told without asking a cluster.
func Problems(u *unstructured.Unstructured) []lint.Problem {
	raw, _, err := unstructured.NestedMap(u.Object, "spec")
	if err != nil {
		return []lint.Problem{{Path: "spec", Message: "is not an object"}}
	}
	text, err := json.Marshal(raw)
	if err != nil {
		return []lint.Problem{{Path: "spec", Message: err.Error()}}
	}
	spec := &argo.WorkflowSpec{}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(text, spec); err != nil {
		return []lint.Problem{{Path: "spec", Message: plain.Error(err).Error()}}
	}
	problems := lint.Fields(raw)
	if spec.WorkflowTemplateRef == nil {
		problems = append(problems, lint.Spec(spec, lint.Options{Template: u.GetKind() != "Workflow"})...)
	}
	return problems
}

// Submit creates a workflow; what a manifest says of status is dropped.
func (o Ops) Submit(ctx context.Context, u *unstructured.Unstructured) error {
	u.SetGroupVersionKind(argo.GroupVersion.WithKind("Workflow"))
	unstructured.RemoveNestedField(u.Object, "status")
	u.SetResourceVersion("")
	u.SetUID("")
	u.SetManagedFields(nil)
	return o.Client.Create(ctx, u, client.FieldOwner(kube.FieldOwner))
}

// Suspend holds new steps back.
func (o Ops) Suspend(ctx context.Context, key client.ObjectKey) (*unstructured.Unstructured, error) {
	return o.change(ctx, key, true, func(*argo.Workflow) (map[string]any, error) { return specPatch("suspend", true), nil })
}

// Shutdown ends a workflow early.
func (o Ops) Shutdown(ctx context.Context, key client.ObjectKey, how argo.ShutdownStrategy) (*unstructured.Unstructured, error) {
	return o.change(ctx, key, true, func(*argo.Workflow) (map[string]any, error) { return specPatch("shutdown", how), nil })
}

// Resume lets a suspended workflow go on, and ends the suspend steps that
// wait; with a display name only the one that is called so.
func (o Ops) Resume(ctx context.Context, key client.ObjectKey, displayName string) (*unstructured.Unstructured, error) {
	return o.change(ctx, key, true, func(wf *argo.Workflow) (map[string]any, error) {
		nodes := map[string]any{}
		for id, n := range wf.Status.Nodes {
			if n.Type == argo.NodeTypeSuspend && n.Phase == argo.NodeRunning && (displayName == "" || n.DisplayName == displayName) {
				nodes[id] = map[string]any{"phase": argo.NodeSucceeded, "finishedAt": metav1.NewTime(o.Now()), "message": ""}
			}
		}
		if displayName != "" && len(nodes) == 0 {
			return nil, &StateError{fmt.Sprintf("workflow %s has no suspended step %q", key, displayName)}
		}
		patch := map[string]any{"spec": map[string]any{"suspend": nil}}
		if len(nodes) > 0 {
			patch["status"] = map[string]any{"nodes": nodes}
		}
		return patch, nil
	})
}

func specPatch(field string, value any) map[string]any {
	return map[string]any{"spec": map[string]any{field: value}}
}

// change patches a workflow as decide says. active refuses completed ones.
func (o Ops) change(ctx context.Context, key client.ObjectKey, active bool, decide func(*argo.Workflow) (map[string]any, error)) (*unstructured.Unstructured, error) {
	u, err := o.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	wf, err := decode(u)
	if err != nil {
		return nil, err
	}
	if active && wf.Status.Phase.Completed() {
		return nil, &StateError{fmt.Sprintf("workflow %s has ended as %s", key, wf.Status.Phase)}
	}
	patch, err := decide(wf)
	if err != nil {
		return nil, err
	}
	if text, _, err := unstructured.NestedString(u.Object, "status", "compressedNodes"); err == nil && text != "" {
		if err := pack.Patch(wf.Status, patch); err != nil {
			return nil, err
		}
	}
	raw, err := json.Marshal(patch)
	if err != nil {
		return nil, err
	}
	if err := o.Client.Patch(ctx, u, client.RawPatch(types.MergePatchType, raw), client.FieldOwner(kube.FieldOwner)); err != nil {
		return nil, err
	}
	return u, nil
}

func decode(u *unstructured.Unstructured) (*argo.Workflow, error) {
	raw, err := u.MarshalJSON()
	if err != nil {
		return nil, err
	}
	wf := &argo.Workflow{}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(raw, wf); err != nil {
		return nil, &InvalidError{plain.Error(err).Error()}
	}
	return wf, pack.Unpack(&wf.Status)
}

// Retry runs again what did not succeed. Its pods are deleted first, because
// the new ones have the same names.
func (o Ops) Retry(ctx context.Context, key client.ObjectKey) (*unstructured.Unstructured, error) {
	return o.change(ctx, key, false, func(wf *argo.Workflow) (map[string]any, error) {
		if wf.Status.Phase != argo.WorkflowFailed && wf.Status.Phase != argo.WorkflowError {
			return nil, &StateError{fmt.Sprintf("workflow %s must be Failed or Error to be retried, it is %q", key, wf.Status.Phase)}
		}
		if len(wf.Status.Nodes) == 0 {
			return nil, &StateError{fmt.Sprintf("workflow %s has run nothing; resubmit it", key)}
		}
		patch, pods := RetryPatch(wf, o.Now())
		now := int64(0)
		for _, name := range pods {
			p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: key.Namespace}}
			// They have ended; nothing is left to be stopped gracefully.
			if err := o.Client.Delete(ctx, p, &client.DeleteOptions{GracePeriodSeconds: &now}); client.IgnoreNotFound(err) != nil {
				return nil, fmt.Errorf("delete pod %s/%s: %w", key.Namespace, name, err)
			}
		}
		return patch, nil
	})
}

// RetryPatch computes what a retry changes, and the pods that have to go.
func RetryPatch(wf *argo.Workflow, now time.Time) (patch map[string]any, pods []string) {
	gone, stays := map[string]bool{}, settled(wf)
	for id, n := range wf.Status.Nodes {
		if removed(wf, &n) && !stays(&n) {
			gone[id] = true
			if n.Type == argo.NodeTypePod {
				pods = append(pods, engine.PodName(wf.Name, &n))
			}
		}
	}
	slices.Sort(pods)
	nodes := map[string]any{}
	for id, n := range wf.Status.Nodes {
		if gone[id] {
			nodes[id] = nil
			continue
		}
		change := map[string]any{}
		if holds(n.Type) && n.Phase.FailedOrError() && !stays(&n) {
			change = map[string]any{"phase": argo.NodeRunning, "message": nil, "finishedAt": nil, "outboundNodes": nil}
		}
		if kept := slices.DeleteFunc(slices.Clone(n.Children), func(c string) bool { return gone[c] }); len(kept) != len(n.Children) {
			change["children"] = kept
		}
		if len(change) > 0 {
			nodes[id] = change
		}
	}
	return map[string]any{
		"metadata": map[string]any{"labels": map[string]any{argo.LabelCompleted: "false", argo.LabelPhase: string(argo.WorkflowRunning)}},
		"spec":     map[string]any{"shutdown": nil, "suspend": nil},
		// The deadline of the workflow counts from here.
		"status": map[string]any{
			"phase": argo.WorkflowRunning, "message": nil, "finishedAt": nil, "startedAt": metav1.NewTime(now), "conditions": nil, "nodes": nodes,
		},
	}, pods
}

// holds tells whether a node only holds others.
func holds(t argo.NodeType) bool {
	switch t {
	case argo.NodeTypeSteps, argo.NodeTypeStepGroup, argo.NodeTypeDAG, argo.NodeTypeTaskGroup, argo.NodeTypeRetry:
		return true
	default:
		return false
	}
}

// removed tells whether a retry forgets a node: leaves that did not succeed
// and everything of the workflow's exit handler.
func removed(wf *argo.Workflow, n *argo.NodeStatus) bool {
	if strings.HasPrefix(n.Name, wf.Name+".onExit") {
		return true
	}
	return !holds(n.Type) && (n.Phase.FailedOrError() || n.Phase == argo.NodeOmitted || !n.Phase.Fulfilled())
}

// settled tells which nodes stay as they are: attempts that another one
// followed, and what is below them.
func settled(wf *argo.Workflow) func(n *argo.NodeStatus) bool {
	var old []string
	for _, parent := range wf.Status.Nodes {
		if parent.Type != argo.NodeTypeRetry || len(parent.Children) == 0 {
			continue
		}
		for _, id := range parent.Children[:len(parent.Children)-1] {
			if n := wf.Status.Nodes[id]; holds(n.Type) {
				old = append(old, n.Name)
			}
		}
	}
	return func(n *argo.NodeStatus) bool {
		return slices.ContainsFunc(old, func(name string) bool {
			rest, ok := strings.CutPrefix(n.Name, name)
			return ok && (rest == "" || rest[0] == '.' || rest[0] == '[' || rest[0] == '(')
		})
	}
}

// Resubmit starts a new workflow with the spec of another one.
func (o Ops) Resubmit(ctx context.Context, key client.ObjectKey) (*unstructured.Unstructured, error) {
	u, err := o.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	again := New("Workflow")
	again.Object["spec"] = u.Object["spec"]
	unstructured.RemoveNestedField(again.Object, "spec", "shutdown")
	unstructured.RemoveNestedField(again.Object, "spec", "suspend")
	again.SetNamespace(key.Namespace)
	again.SetGenerateName(u.GetGenerateName())
	if again.GetGenerateName() == "" {
		again.SetGenerateName(u.GetName() + "-")
	}
	labels := maps.Clone(u.GetLabels())
	if labels == nil {
		labels = map[string]string{}
	}
	for _, l := range []string{argo.LabelCompleted, argo.LabelPhase} {
		delete(labels, l)
	}
	labels[argo.LabelResubmittedFrom] = u.GetName()
	again.SetLabels(labels)
	return again, o.Submit(ctx, again)
}

// SubmitOptions change a workflow that is made from a template.
type SubmitOptions struct {
	Name           string   `json:"name,omitempty"`
	GenerateName   string   `json:"generateName,omitempty"`
	Entrypoint     string   `json:"entryPoint,omitempty"`
	Parameters     []string `json:"parameters,omitempty"` // NAME=VALUE
	ServiceAccount string   `json:"serviceAccount,omitempty"`
	Labels         string   `json:"labels,omitempty"` // NAME=VALUE,…
}

// FromTemplate makes the workflow that runs a template; it is not created yet.
func FromTemplate(namespace, kind, name string, o SubmitOptions) (*unstructured.Unstructured, error) {
	cluster := false
	switch strings.ToLower(kind) {
	case "workflowtemplate", "workflowtemplates", "":
	case "clusterworkflowtemplate", "clusterworkflowtemplates":
		cluster = true
	default:
		return nil, &InvalidError{fmt.Sprintf("resourceKind %q cannot be submitted; use WorkflowTemplate or ClusterWorkflowTemplate", kind)}
	}
	spec := argo.WorkflowSpec{
		WorkflowTemplateRef: &argo.WorkflowTemplateRef{Name: name, ClusterScope: cluster}, Entrypoint: o.Entrypoint, ServiceAccountName: o.ServiceAccount,
	}
	for _, p := range o.Parameters {
		k, v, ok := strings.Cut(p, "=")
		if !ok {
			return nil, &InvalidError{fmt.Sprintf("parameter %q: expected NAME=VALUE", p)}
		}
		spec.Arguments.Parameters = append(spec.Arguments.Parameters, argo.Parameter{Name: k, Value: argo.Any(v)})
	}
	u := New("Workflow")
	raw, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, err
	}
	u.Object["spec"] = fields
	u.SetNamespace(namespace)
	u.SetName(o.Name)
	if o.Name == "" {
		u.SetGenerateName(o.GenerateName)
		if o.GenerateName == "" {
			u.SetGenerateName(name + "-")
		}
	}
	labels := map[string]string{}
	for part := range strings.SplitSeq(o.Labels, ",") {
		if k, v, ok := strings.Cut(part, "="); ok {
			labels[k] = v
		} else if part != "" {
			return nil, &InvalidError{fmt.Sprintf("label %q: expected NAME=VALUE", part)}
		}
	}
	if len(labels) > 0 {
		u.SetLabels(labels)
	}
	return u, nil
}

// AsState finds a StateError or an InvalidError, which are the caller's to mend.
func AsState(err error) (message string, invalid, state bool) {
	var s *StateError
	var i *InvalidError
	switch {
	case errors.As(err, &s):
		return s.Message, false, true
	case errors.As(err, &i):
		return i.Error(), true, false
	default:
		return "", false, false
	}
}
