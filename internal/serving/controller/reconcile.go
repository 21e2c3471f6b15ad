package controller

import (
	"context"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kiwerk/kiwerk/api/serving/v1beta1"
	"github.com/kiwerk/kiwerk/internal/kube"
)

type reconciler struct {
	Deps

	client client.Client
	specs  *kube.SpecCheck
}

// Reconcile brings one InferenceService nearer to what its spec says.
func (r *reconciler) Reconcile(ctx context.Context, req ctrl.Request) (res ctrl.Result, err error) {
	var isvc v1beta1.InferenceService
	if err := r.client.Get(ctx, req.NamespacedName, &isvc); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !isvc.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil // the Deployments go with their owner
	}
	patcher := kube.NewPatcher(&isvc, kube.PatcherOptions{Client: r.client, Recorder: r.Recorder})
	defer patcher.Finish(ctx, &res, &err)

	if err := r.specs.Check(ctx, &isvc, patcher); err != nil {
		return ctrl.Result{}, err
	}
	seen, err := r.observe(ctx, &isvc)
	if err != nil {
		return ctrl.Result{}, err
	}
	plan := decide(&isvc, seen, r.Clock.Now())
	for _, e := range plan.events {
		patcher.Event(e)
	}
	return ctrl.Result{RequeueAfter: plan.again}, r.act(ctx, &isvc, plan)
}
