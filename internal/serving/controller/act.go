package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kiwerk/kiwerk/api/serving/v1beta1"
	"github.com/kiwerk/kiwerk/internal/kube"
	"github.com/kiwerk/kiwerk/internal/serving/controller/resources"
)

// act carries a plan out. The status is set first and stored by the patcher at
// the end: a split that is stored names only revisions that exist.
func (r *reconciler) act(ctx context.Context, isvc *v1beta1.InferenceService, p plan) error {
	isvc.Status = p.status
	if p.apply {
		d := resources.MakeDeployment(isvc, p.target, p.replicas, r.Platform)
		if err := kube.Apply(ctx, r.client, isvc, d); err != nil {
			return err
		}
	}
	for _, name := range p.restore {
		if err := r.change(ctx, isvc.Namespace, name, resources.Retire(time.Time{})); err != nil {
			return err
		}
	}
	for _, name := range p.retire {
		if err := r.change(ctx, isvc.Namespace, name, resources.Retire(r.Clock.Now())); err != nil {
			return err
		}
	}
	for name, n := range p.scale {
		if err := r.change(ctx, isvc.Namespace, name, resources.Scale(n)); err != nil {
			return err
		}
	}
	for _, name := range p.remove {
		d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: isvc.Namespace, Name: name}}
		err := r.client.Delete(ctx, d, client.PropagationPolicy(metav1.DeletePropagationBackground))
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete revision %s: %w", name, err)
		}
	}
	return nil
}

// change patches the Deployment of a revision; one that is gone needs nothing.
func (r *reconciler) change(ctx context.Context, namespace, name string, fields map[string]any) error {
	patch, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	err = r.client.Patch(ctx, d, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(kube.FieldOwner))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("change revision %s: %w", name, err)
	}
	return nil
}
