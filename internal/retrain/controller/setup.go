package controller

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/kiwerk/kiwerk/api/kiwerk/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/kube"
	"github.com/kiwerk/kiwerk/internal/retrain"
)

// Name of the controller, in logs and metrics.
const Name = "retrain.retrainpolicy"

// Deps are what the controller needs; all are required.
type Deps struct {
	Clock     clock.PassiveClock
	Recorder  events.EventRecorder
	Logger    *slog.Logger
	Data      retrain.Data
	Datasets  retrain.Datasets
	Artifacts retrain.Artifacts
	Registry  retrain.Registry
	Predictor retrain.Predictor
	Traffic   retrain.Traffic
	Decisions *retrain.Store
	// Watch calls a function when something was recorded of an endpoint.
	Watch func(func(namespace, endpoint string)) (stop func())
}

// Setup adds the controller to a manager.
func Setup(mgr ctrl.Manager, d Deps) error {
	if d.Clock == nil || d.Recorder == nil || d.Logger == nil || d.Decisions == nil || d.Watch == nil ||
		d.Data == nil || d.Datasets == nil || d.Artifacts == nil || d.Registry == nil || d.Predictor == nil || d.Traffic == nil {
		return errors.New("retrain: all dependencies are required")
	}
	r := newReconciler(mgr.GetClient(), mgr.GetAPIReader(), d)
	recorded := make(chan event.GenericEvent, 1)
	if err := mgr.Add(r.follow(recorded)); err != nil {
		return err
	}
	byEndpoint := handler.EnqueueRequestsFromMapFunc(r.policiesOf(func(o client.Object) string { return o.GetName() }))
	byLabel := handler.EnqueueRequestsFromMapFunc(r.policiesOf(func(o client.Object) string { return o.GetLabels()[labelService] }))
	byMonitor := handler.EnqueueRequestsFromMapFunc(r.policiesOf(func(o client.Object) string {
		if m, ok := o.(*v1alpha1.ModelMonitor); ok {
			return m.Spec.EndpointRef.Name
		}
		return ""
	}))
	named := handler.EnqueueRequestsFromMapFunc(r.allPolicies)
	// Accounts are written to for reasons of their own; only whether they are there matters.
	existence := predicate.Funcs{UpdateFunc: func(event.UpdateEvent) bool { return false }}
	return ctrl.NewControllerManagedBy(mgr).Named(Name).
		For(&v1alpha1.RetrainPolicy{}).
		Owns(newObject(workflowKind, "", "")).
		Owns(newObject(inferenceService, "", "")).
		Watches(newObject(inferenceService, "", ""), byEndpoint).
		Watches(&appsv1.Deployment{}, byLabel).
		Watches(&v1alpha1.ModelMonitor{}, byMonitor).
		WatchesMetadata(newObject(templateKind, "", ""), named).
		WatchesMetadata(&corev1.ServiceAccount{}, named, builder.WithPredicates(existence)).
		WatchesRawSource(source.Channel(recorded, byEndpoint)).
		Complete(r)
}

func newReconciler(c client.Client, live client.Reader, d Deps) *reconciler {
	kind := v1alpha1.GroupVersion.WithKind("RetrainPolicy")
	return &reconciler{Deps: d, client: c, live: live, specs: kube.NewSpecCheck(live, kind, reflect.TypeFor[v1alpha1.RetrainPolicySpec]())}
}

// coalesce is how long news of an endpoint wait for more of their kind: rows and
// labels come by the hundred per second, and a canary writes its numbers each time.
const coalesce = 200 * time.Millisecond

// follow hands on of which endpoints something was recorded, each once per coalesce.
func (r *reconciler) follow(out chan<- event.GenericEvent) kube.Runnable {
	type key struct{ namespace, name string }
	news := make(chan key, 256)
	return func(ctx context.Context) error {
		stop := r.Watch(func(namespace, endpoint string) {
			select {
			case news <- key{namespace, endpoint}:
			default: // the policy is woken by those before
			}
		})
		defer stop()
		pending := map[key]bool{}
		var due <-chan time.Time
		for {
			select {
			case <-ctx.Done():
				return nil
			case k := <-news:
				pending[k] = true
				if due == nil {
					due = time.After(coalesce)
				}
			case <-due:
				due = nil
				for k := range pending {
					tell(ctx, out, newObject(inferenceService, k.namespace, k.name))
				}
				clear(pending)
			}
		}
	}
}

// policiesOf wakes the policies of the endpoint that an object belongs to.
func (r *reconciler) policiesOf(endpointOf func(client.Object) string) handler.MapFunc {
	return func(ctx context.Context, o client.Object) []reconcile.Request {
		name := endpointOf(o)
		if name == "" {
			return nil
		}
		return r.policies(ctx, o.GetNamespace(), func(s *v1alpha1.RetrainPolicySpec) bool {
			return s.EndpointRef.Name == name || name == s.EndpointRef.Name+challengerSuffix
		})
	}
}

// allPolicies wakes those of an object's namespace.
func (r *reconciler) allPolicies(ctx context.Context, o client.Object) []reconcile.Request {
	return r.policies(ctx, o.GetNamespace(), func(*v1alpha1.RetrainPolicySpec) bool { return true })
}

func (r *reconciler) policies(ctx context.Context, namespace string, match func(*v1alpha1.RetrainPolicySpec) bool) []reconcile.Request {
	var list v1alpha1.RetrainPolicyList
	if err := r.client.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		r.Logger.ErrorContext(ctx, "cannot list RetrainPolicies", "error", err)
		return nil
	}
	var requests []reconcile.Request
	for i := range list.Items {
		if p := &list.Items[i]; match(&p.Spec) {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(p)})
		}
	}
	return requests
}

// tell hands on one object unless ctx ends first.
func tell(ctx context.Context, out chan<- event.GenericEvent, o client.Object) {
	select {
	case out <- event.GenericEvent{Object: o}:
	case <-ctx.Done():
	}
}
