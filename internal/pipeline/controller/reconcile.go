package controller

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/pipeline/engine"
	"github.com/kiwerk/kiwerk/internal/pipeline/pack"
	"github.com/kiwerk/kiwerk/internal/text/plain"
)

// Reconcile brings one workflow as far as it gets now.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	u, err := r.workflow(ctx, req.NamespacedName)
	if err != nil || u == nil || u.GetDeletionTimestamp() != nil {
		return ctrl.Result{}, err
	}
	p := r.resume(req.NamespacedName, u)
	if p == nil {
		wf, err := decode(u)
		if err != nil {
			return ctrl.Result{}, r.rejectMalformed(ctx, u, err)
		}
		p = &pending{version: u.GetResourceVersion(), before: wf, since: r.Clock.Now()}
		p.after = wf
	}
	p = &pending{version: p.version, before: p.before, after: p.after.DeepCopy(), since: p.since, events: p.events}
	if p.after.Status.Phase == "" {
		rejected, err := r.admit(ctx, p.after, u)
		if err != nil {
			return ctrl.Result{}, err
		}
		if rejected != nil {
			return r.act(ctx, u, p, engine.Seen{}, engine.Reject(p.after, r.Clock.Now(), rejected))
		}
	}
	seen, err := r.observe(ctx, p.after)
	if err != nil {
		return ctrl.Result{}, err
	}
	return r.act(ctx, u, p, seen, engine.Decide(seen))
}

// decode turns the stored object into Go types.
func decode(u *unstructured.Unstructured) (*argo.Workflow, error) {
	raw, err := u.MarshalJSON()
	if err != nil {
		return nil, err
	}
	wf := &argo.Workflow{}
	if err := unmarshal(raw, wf); err != nil {
		return nil, err
	}
	return wf, pack.Unpack(&wf.Status)
}

// rejectMalformed ends a workflow that cannot even be read. Only the few
// fields that say so are written; all else stays as the user wrote it.
func (r *Reconciler) rejectMalformed(ctx context.Context, u *unstructured.Unstructured, cause error) error {
	message := fmt.Sprintf("malformed Workflow: %v", plain.Error(cause))
	phase, _, err := unstructured.NestedString(u.Object, "status", "phase")
	if err == nil && argo.WorkflowPhase(phase).Completed() {
		return nil
	}
	now := metav1.NewTime(r.Clock.Now().Truncate(time.Second))
	shell := &argo.Workflow{}
	engine.Reject(shell, now.Time, fmt.Errorf("%s", message))
	status, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&shell.Status)
	if err != nil {
		return err
	}
	patch := map[string]any{
		"metadata": map[string]any{"labels": map[string]any{argo.LabelPhase: string(argo.WorkflowError), argo.LabelCompleted: "true"}},
		"status":   status,
	}
	if err := r.patch(ctx, client.ObjectKeyFromObject(u), u, patch); err != nil {
		return err
	}
	r.Recorder.Eventf(u, nil, "Warning", "WorkflowFailed", "Admit", "%s", message)
	return nil
}
