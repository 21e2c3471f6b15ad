package kube

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// Runnable runs with a manager until ctx ends.
type Runnable func(ctx context.Context) error

// Start implements manager.Runnable.
func (r Runnable) Start(ctx context.Context) error { return r(ctx) }

// Ticks wakes those objects that wake lists whenever something outside of
// Kubernetes has changed, for as long as the manager runs. Closing ticks ends it.
func Ticks(mgr manager.Manager, ticks <-chan struct{}, wake func(context.Context) []reconcile.Request) (source.Source, error) {
	out := make(chan event.GenericEvent)
	err := mgr.Add(Runnable(func(ctx context.Context) error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case _, ok := <-ticks:
				if !ok {
					return nil
				}
			}
			select {
			case out <- event.GenericEvent{}:
			case <-ctx.Done():
				return nil
			}
		}
	}))
	return source.Channel(out, handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, _ client.Object) []reconcile.Request {
		return wake(ctx)
	})), err
}
