package controller

import (
	"context"
	"errors"
	"log/slog"
	"reflect"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/kiwerk/kiwerk/api/serving/v1beta1"
	"github.com/kiwerk/kiwerk/internal/kube"
	"github.com/kiwerk/kiwerk/internal/serving"
)

// Deps are what the controller needs; all but Changes are required.
type Deps struct {
	Clock    clock.Clock
	Recorder events.EventRecorder
	Logger   *slog.Logger
	Platform kube.Platform
	Resolver serving.Resolver
	Policy   serving.Policy
	// Changes ticks when a name in the registry may point to another version.
	Changes <-chan struct{}
}

// Name of the controller, in logs and metrics.
const Name = "serving.inferenceservice"

// Setup adds the controller to a manager.
func Setup(mgr ctrl.Manager, d Deps) error {
	if d.Clock == nil || d.Recorder == nil || d.Resolver == nil || d.Logger == nil {
		return errors.New("serving: Clock, Recorder, Logger and Resolver are required")
	}
	r := newReconciler(mgr.GetClient(), mgr.GetAPIReader(), d)
	b := ctrl.NewControllerManagedBy(mgr).Named(Name).
		For(&v1beta1.InferenceService{}).
		Owns(&appsv1.Deployment{}).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(serviceOfPod))
	if d.Changes != nil {
		ticks, err := kube.Ticks(mgr, d.Changes, r.allServices)
		if err != nil {
			return err
		}
		b = b.WatchesRawSource(ticks)
	}
	return b.Complete(r)
}

func newReconciler(c client.Client, live client.Reader, d Deps) *reconciler {
	kind := v1beta1.GroupVersion.WithKind("InferenceService")
	return &reconciler{Deps: d, client: c, specs: kube.NewSpecCheck(live, kind, reflect.TypeFor[v1beta1.InferenceServiceSpec]())}
}

// serviceOfPod wakes the service of a pod: why it does not start is told by its pods.
func serviceOfPod(_ context.Context, o client.Object) []reconcile.Request {
	name := o.GetLabels()[v1beta1.LabelService]
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Namespace: o.GetNamespace(), Name: name}}}
}

// allServices are those that follow a name of the registry.
func (r *reconciler) allServices(ctx context.Context) []reconcile.Request {
	var list v1beta1.InferenceServiceList
	if err := r.client.List(ctx, &list); err != nil {
		r.Logger.ErrorContext(ctx, "cannot list InferenceServices", "error", err)
		return nil
	}
	var requests []reconcile.Request
	for i := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return requests
}
