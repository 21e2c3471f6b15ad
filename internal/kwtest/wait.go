package kwtest

import (
	"context"
	"fmt"
	"reflect"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// Patience is how long tests wait for what should happen at once; a busy machine may need much of it.
	Patience = 3 * time.Minute

	eventuallyTick = 10 * time.Millisecond
)

// Eventually calls check until it returns nil and fails with its last error
// after [Patience]. Prefer [WaitFor] for the state of an object.
func Eventually(tb testing.TB, check func() error) {
	tb.Helper()
	deadline := time.NewTimer(Patience)
	defer deadline.Stop()
	tick := time.NewTicker(eventuallyTick)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			tb.Fatalf("still not so after %v: %v", Patience, err)
		case <-tb.Context().Done():
			tb.Fatalf("the test ended first: %v", err)
		}
	}
}

// WaitFor watches the object that obj names until met returns true. Obj holds
// its last state then. A deleted object counts as a failure.
func WaitFor[T client.Object](tb testing.TB, c client.WithWatch, obj T, met func(T) bool) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), Patience)
	defer cancel()
	for {
		done, err := waitOnce(ctx, c, obj, met)
		if done {
			return
		}
		if err != nil {
			tb.Fatalf("%T %s: not as expected after %v: %v; last seen: %+v", obj, client.ObjectKeyFromObject(obj), Patience, err, obj)
		}
	}
}

// waitOnce watches until the condition is met, the time is up or the watch ends, which is no error.
func waitOnce[T client.Object](ctx context.Context, c client.WithWatch, obj T, met func(T) bool) (bool, error) {
	list, err := listFor(c, obj)
	if err != nil {
		return false, err
	}
	w, err := c.Watch(ctx, list, client.InNamespace(obj.GetNamespace()), client.MatchingFields{"metadata.name": obj.GetName()})
	if err != nil {
		return false, err
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case e, open := <-w.ResultChan():
			if !open {
				return false, ctx.Err()
			}
			if e.Type == watch.Deleted || e.Type == watch.Error {
				return false, fmt.Errorf("watch: %s %+v", e.Type, e.Object)
			}
			got, ok := e.Object.(T)
			if !ok {
				continue
			}
			reflect.ValueOf(obj).Elem().Set(reflect.ValueOf(got).Elem())
			if met(obj) {
				return true, nil
			}
		}
	}
}

// listFor makes the list type that belongs to obj.
func listFor(c client.Client, obj client.Object) (client.ObjectList, error) {
	gvk, err := c.GroupVersionKindFor(obj)
	if err != nil {
		return nil, err
	}
	gvk.Kind += "List"
	made, err := c.Scheme().New(gvk)
	if err != nil {
		return nil, err
	}
	list, ok := made.(client.ObjectList)
	if !ok || !meta.IsListType(made) {
		return nil, fmt.Errorf("%s is no list", gvk)
	}
	return list, nil
}
