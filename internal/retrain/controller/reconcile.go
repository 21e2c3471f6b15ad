package controller

import (
	"context"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kiwerk/kiwerk/api/kiwerk/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/kube"
)

type reconciler struct {
	Deps

	client client.Client
	// live reads policies past the cache: their status is what the next step
	// is decided by, and news of an endpoint come faster than caches follow.
	live  client.Reader
	specs *kube.SpecCheck
}

// Reconcile makes at most one step of the retraining of a policy.
func (r *reconciler) Reconcile(ctx context.Context, req ctrl.Request) (res ctrl.Result, err error) {
	var policy v1alpha1.RetrainPolicy
	if err := r.live.Get(ctx, req.NamespacedName, &policy); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !policy.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil // children go with their owner; a canary stays as it is
	}
	patcher := kube.NewPatcher(&policy, kube.PatcherOptions{
		Client: r.client, Recorder: r.Recorder, Needs: []string{v1alpha1.ConditionReferencesFound},
	})
	defer patcher.Finish(ctx, &res, &err)

	if err := r.specs.Check(ctx, &policy, patcher); err != nil {
		return ctrl.Result{}, err
	}
	spec := policy.Spec.WithDefaults()
	if problems := validate(&spec); len(problems) > 0 {
		return ctrl.Result{}, kube.Stalledf(v1alpha1.ReasonInvalidSpec, "%s", join(problems))
	}
	seen, err := r.observe(ctx, &policy, &spec)
	if err != nil {
		return ctrl.Result{}, err
	}
	plan := decide(&policy, &spec, seen, r.Clock.Now())
	res.RequeueAfter = plan.again
	return res, r.act(ctx, &policy, &spec, plan, patcher)
}
