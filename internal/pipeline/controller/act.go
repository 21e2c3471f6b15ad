package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/kube"
	"github.com/kiwerk/kiwerk/internal/pipeline/engine"
)

// act carries out a plan: children first, then the status that tells of them,
// then what may wait.
func (r *Reconciler) act(ctx context.Context, u *unstructured.Unstructured, before, wf *argo.Workflow, seen engine.Seen, plan engine.Plan) (ctrl.Result, error) {
	var errs []error
	if before.Status.Phase == "" {
		for _, c := range plan.Claims {
			c.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(wf, argo.GroupVersion.WithKind("Workflow"))}
			if err := r.client.Create(ctx, c, client.FieldOwner(kube.FieldOwner)); err != nil && !apierrors.IsAlreadyExists(err) {
				errs = append(errs, fmt.Errorf("create claim %s/%s: %w", c.Namespace, c.Name, err))
			}
		}
		if len(errs) > 0 {
			return ctrl.Result{}, errors.Join(errs...)
		}
	}
	for _, p := range plan.Create {
		again, err := r.createPod(ctx, wf, p)
		if err != nil {
			errs = append(errs, err)
		}
		if again > 0 && (plan.Again == 0 || again < plan.Again) {
			plan.Again = again
		}
	}
	for _, name := range plan.Stop {
		errs = append(errs, r.stopPod(ctx, seen.Pods[name]))
	}
	if err := r.patchDifference(ctx, u, before, wf); err != nil {
		return ctrl.Result{}, errors.Join(append(errs, err)...)
	}
	for _, e := range plan.Events {
		r.Recorder.Eventf(u, nil, e.Type, e.Reason, e.Action, "%s", e.Message)
	}
	errs = append(errs, r.tidy(ctx, wf, plan))
	if err := errors.Join(errs...); err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: plan.Again}, nil
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
		if ownedBy(existing, wf) {
			r.created(key, existing) // by us, before a crash
			return time.Millisecond, nil
		}
		setNode(wf, nodeID, func(n *argo.NodeStatus) {
			n.Message = fmt.Sprintf("waiting for pod %s of another owner to go", p.Name)
		})
		return pauseOldPod, nil
	case apierrors.IsInvalid(err) || apierrors.IsBadRequest(err):
		setNode(wf, nodeID, func(n *argo.NodeStatus) {
			n.Phase, n.Message, n.FinishedAt = argo.NodeError, err.Error(), metav1.NewTime(r.Clock.Now().Truncate(time.Second))
		})
		return time.Millisecond, nil
	case apierrors.IsForbidden(err):
		setNode(wf, nodeID, func(n *argo.NodeStatus) { n.Message = err.Error() })
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
	deleted := map[string]bool{}
	for _, name := range plan.Delete {
		deleted[name] = true
		remove(&corev1.Pod{}, name)
	}
	for _, name := range plan.Finished {
		if deleted[name] {
			continue
		}
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: wf.Namespace}}
		patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"`+argo.LabelCompleted+`":"true"}}}`))
		if err := r.client.Patch(ctx, p, patch, client.FieldOwner(kube.FieldOwner)); client.IgnoreNotFound(err) != nil {
			errs = append(errs, fmt.Errorf("label pod %s/%s: %w", wf.Namespace, name, err))
		}
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
	if old, err = json.Marshal(map[string]any{"metadata": map[string]any{"uid": after.UID}}); err != nil {
		return err
	}
	if diff, err = jsonpatch.MergeMergePatches(diff, old); err != nil {
		return fmt.Errorf("compute the patch of workflow %s/%s: %w", after.Namespace, after.Name, err)
	}
	return r.send(ctx, client.ObjectKeyFromObject(after), u, diff)
}

// ours are the parts of a workflow that we write.
func ours(wf *argo.Workflow) ([]byte, error) {
	return json.Marshal(map[string]any{
		"metadata": map[string]any{"labels": wf.Labels, "annotations": wf.Annotations},
		"status":   wf.Status,
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
