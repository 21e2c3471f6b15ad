package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/kube"
	"github.com/kiwerk/kiwerk/internal/pipeline/engine"
	"github.com/kiwerk/kiwerk/internal/pipeline/pack"
	"github.com/kiwerk/kiwerk/internal/text/plain"
)

// storeAfter is how long a change of the status may wait for the next one.
const storeAfter = 100 * time.Millisecond

// act carries out a plan: children first, then the status that tells of them,
// then what may only happen when that is stored.
func (r *Reconciler) act(ctx context.Context, u *unstructured.Unstructured, p *pending, seen engine.Seen, plan engine.Plan) (ctrl.Result, error) {
	key, wf := client.ObjectKeyFromObject(u), p.after
	again, err := r.children(ctx, p, seen, plan)
	p.events = append(p.events[:len(p.events):len(p.events)], plan.Events...)
	if err == nil && len(plan.Delete) == 0 && !plan.DeleteWorkflow && len(plan.DeleteClaims) == 0 && same(p.before, wf) {
		r.setPending(key, nil)
		return ctrl.Result{RequeueAfter: again}, nil
	}
	if left := storeAfter - r.Clock.Since(p.since); err == nil && left > 0 && mayWait(p, plan) {
		r.setPending(key, p)
		return ctrl.Result{RequeueAfter: sooner(again, left)}, nil
	}
	r.setPending(key, nil)
	if patchErr := r.patchDifference(ctx, u, p.before, wf); patchErr != nil {
		return ctrl.Result{}, errors.Join(err, patchErr)
	}
	for _, e := range p.events {
		r.Recorder.Eventf(u, nil, e.Type, e.Reason, e.Action, "%s", e.Message)
	}
	if err := errors.Join(err, r.tidy(ctx, wf, plan)); err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: again}, nil
}

// same tells whether there is nothing to store.
func same(a, b *argo.Workflow) bool {
	return equality.Semantic.DeepEqual(a.Status, b.Status) && maps.Equal(a.Labels, b.Labels) && maps.Equal(a.Annotations, b.Annotations)
}

// mayWait tells whether nothing depends on the state being stored now: the
// beginning and the end of a workflow are stored at once, and a pod is only
// deleted when what it tells is stored.
func mayWait(p *pending, plan engine.Plan) bool {
	return p.before.Status.Phase != "" && !p.after.Status.Phase.Completed() && len(plan.Delete) == 0 && !plan.DeleteWorkflow
}

// sooner is the shorter one of two durations; zero is never.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// children creates and stops what the plan says. again is when to look without being told.
func (r *Reconciler) children(ctx context.Context, p *pending, seen engine.Seen, plan engine.Plan) (again time.Duration, err error) {
	again = plan.Again
	wf := p.after
	if p.before.Status.Phase == "" {
		for _, c := range plan.Claims {
			c.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(wf, argo.GroupVersion.WithKind("Workflow"))}
			if err := r.client.Create(ctx, c, client.FieldOwner(kube.FieldOwner)); err != nil && !apierrors.IsAlreadyExists(err) {
				return again, fmt.Errorf("create claim %s/%s: %w", c.Namespace, c.Name, err)
			}
		}
	}
	var errs []error
	for _, p := range plan.Create {
		pause, err := r.createPod(ctx, wf, p)
		errs = append(errs, err)
		again = sooner(again, pause)
	}
	for _, name := range plan.Stop {
		errs = append(errs, r.stopPod(ctx, seen.Pods[name]))
	}
	return again, errors.Join(errs...)
}

const (
	// pauseForbidden is the pause after the API server refused a pod for a
	// reason that may go: a quota, a service account that does not exist yet.
	pauseForbidden = time.Second
	pauseOldPod    = 500 * time.Millisecond
)

// createPod creates the pod of a node. What cannot succeed becomes the node's error.
func (r *Reconciler) createPod(ctx context.Context, wf *argo.Workflow, p *corev1.Pod) (again time.Duration, err error) {
	nodeID := p.Annotations[argo.AnnotationNodeID]
	key := client.ObjectKeyFromObject(wf)
	err = r.client.Create(ctx, p, client.FieldOwner(kube.FieldOwner))
	switch {
	case err == nil:
		r.created(key, p)
		return 0, nil
	case apierrors.IsAlreadyExists(err):
		existing := &corev1.Pod{}
		if err := r.live.Get(ctx, client.ObjectKeyFromObject(p), existing); err != nil {
			return pauseOldPod, client.IgnoreNotFound(err)
		}
		if ownedBy(existing, wf) && existing.DeletionTimestamp == nil {
			r.created(key, existing) // by us, before a crash
			return time.Millisecond, nil
		}
		setNode(wf, nodeID, func(n *argo.NodeStatus) {
			n.Message = fmt.Sprintf("waiting for an older pod %s to go", p.Name)
		})
		return pauseOldPod, nil
	case apierrors.IsInvalid(err) || apierrors.IsBadRequest(err):
		setNode(wf, nodeID, func(n *argo.NodeStatus) {
			n.Phase, n.Message, n.FinishedAt = argo.NodeError, plain.Error(err).Error(), metav1.NewTime(r.Clock.Now().Truncate(time.Second))
		})
		return time.Millisecond, nil
	case apierrors.IsForbidden(err):
		setNode(wf, nodeID, func(n *argo.NodeStatus) { n.Message = plain.Error(err).Error() })
		return pauseForbidden, nil
	default:
		return 0, fmt.Errorf("create pod %s/%s: %w", p.Namespace, p.Name, err)
	}
}

func setNode(wf *argo.Workflow, id string, change func(*argo.NodeStatus)) {
	if n, ok := wf.Status.Nodes[id]; ok {
		change(&n)
		wf.Status.Nodes[id] = n
	}
}

// stopPod ends a running pod and keeps it with its logs: a deadline that has
// passed is the one way to do so through the API.
func (r *Reconciler) stopPod(ctx context.Context, p *corev1.Pod) error {
	if p == nil || p.Spec.ActiveDeadlineSeconds != nil && *p.Spec.ActiveDeadlineSeconds <= 1 {
		return nil
	}
	patch := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"activeDeadlineSeconds":1}}`))
	if err := r.client.Patch(ctx, p.DeepCopy(), patch, client.FieldOwner(kube.FieldOwner)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("stop pod %s/%s: %w", p.Namespace, p.Name, err)
	}
	return nil
}

// tidy does what may be lost in a crash or is found again.
func (r *Reconciler) tidy(ctx context.Context, wf *argo.Workflow, plan engine.Plan) error {
	var errs []error
	remove := func(obj client.Object, name string) {
		obj.SetName(name)
		obj.SetNamespace(wf.Namespace)
		if err := r.client.Delete(ctx, obj, client.PropagationPolicy(metav1.DeletePropagationBackground)); client.IgnoreNotFound(err) != nil {
			errs = append(errs, fmt.Errorf("delete %T %s/%s: %w", obj, wf.Namespace, name, err))
		}
	}
	for _, name := range plan.Delete {
		remove(&corev1.Pod{}, name)
	}
	for _, name := range plan.DeleteClaims {
		remove(&corev1.PersistentVolumeClaim{}, name)
	}
	if plan.DeleteWorkflow {
		remove(newWorkflow(), wf.Name)
	}
	return errors.Join(errs...)
}

// patchDifference sends what the decision has changed, and nothing else.
func (r *Reconciler) patchDifference(ctx context.Context, u *unstructured.Unstructured, before, after *argo.Workflow) error {
	old, err := ours(before)
	if err != nil {
		return err
	}
	now, err := ours(after)
	if err != nil {
		return err
	}
	diff, err := jsonpatch.CreateMergePatch(old, now)
	if err != nil {
		return fmt.Errorf("compute the patch of workflow %s/%s: %w", after.Namespace, after.Name, err)
	}
	if string(diff) == "{}" {
		return nil
	}
	// With the uid the patch is refused if the object was replaced meanwhile.
	extra := map[string]any{"metadata": map[string]any{"uid": after.UID}}
	// A client has patched single nodes beside the compressed ones; they are in those now.
	if packed, err := pack.Pack(after.Status); bothForms(u) && err == nil && packed.CompressedNodes != "" {
		extra["status"] = map[string]any{"nodes": nil}
	}
	if old, err = json.Marshal(extra); err != nil {
		return err
	}
	if diff, err = jsonpatch.MergeMergePatches(diff, old); err != nil {
		return fmt.Errorf("compute the patch of workflow %s/%s: %w", after.Namespace, after.Name, err)
	}
	return r.send(ctx, client.ObjectKeyFromObject(after), u, diff)
}

func bothForms(u *unstructured.Unstructured) bool {
	text, _, err1 := unstructured.NestedString(u.Object, "status", "compressedNodes")
	nodes, _, err2 := unstructured.NestedMap(u.Object, "status", "nodes")
	return err1 == nil && err2 == nil && text != "" && len(nodes) > 0
}

// ours are the parts of a workflow that we write.
func ours(wf *argo.Workflow) ([]byte, error) {
	status, err := pack.Pack(wf.Status)
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{
		"metadata": map[string]any{"labels": wf.Labels, "annotations": wf.Annotations},
		"status":   status,
	})
}

func (r *Reconciler) patch(ctx context.Context, key client.ObjectKey, u *unstructured.Unstructured, patch map[string]any) error {
	raw, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	return r.send(ctx, key, u, raw)
}

func (r *Reconciler) send(ctx context.Context, key client.ObjectKey, u *unstructured.Unstructured, raw []byte) error {
	sent := newWorkflow()
	sent.SetName(u.GetName())
	sent.SetNamespace(u.GetNamespace())
	err := r.client.Patch(ctx, sent, client.RawPatch(types.MergePatchType, raw), client.FieldOwner(kube.FieldOwner))
	if apierrors.IsNotFound(err) {
		return nil // deleted meanwhile; its pods go with it
	}
	if err != nil {
		return fmt.Errorf("patch workflow %s: %w", key, err)
	}
	r.wrote(key, sent)
	return nil
}
