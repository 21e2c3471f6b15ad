package node

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
)

// WaitReady returns when the kubelet has reported the node Ready and pods can
// be scheduled on it. What was reported before begun does not count: an earlier
// run may have been killed.
func WaitReady(ctx context.Context, cfg *rest.Config, name string, begun time.Time) error {
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return err
	}
	// API times have whole seconds.
	since := metav1.NewTime(begun.Truncate(time.Second))
	selector := fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()
	nodes := client.CoreV1().Nodes()
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = selector
			return nodes.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector = selector
			return nodes.Watch(ctx, o)
		},
	}
	last := "no kubelet has reported"
	_, err = watchtools.UntilWithSync(ctx, lw, &corev1.Node{}, nil, func(e watch.Event) (bool, error) {
		node, ok := e.Object.(*corev1.Node)
		if !ok || e.Type == watch.Deleted {
			return false, nil
		}
		var ready bool
		ready, last = usableNode(node, since)
		return ready, nil
	})
	if err != nil {
		return fmt.Errorf("node %s is not ready (%s): %w", name, last, err)
	}
	return nil
}

// usableNode tells whether pods can run on the node, or else why not.
func usableNode(node *corev1.Node, since metav1.Time) (ready bool, why string) {
	for _, c := range node.Status.Conditions {
		if c.Type != corev1.NodeReady {
			continue
		}
		if c.LastHeartbeatTime.Before(&since) {
			return false, "the kubelet has not reported since this start"
		}
		if c.Status != corev1.ConditionTrue {
			return false, c.Message
		}
		for _, t := range node.Spec.Taints {
			// Others, those of a cordoned node for one, are for their owners to remove.
			if t.Key == corev1.TaintNodeNotReady || t.Key == corev1.TaintNodeUnreachable {
				return false, "the taint " + t.Key + " is not yet removed"
			}
		}
		return true, ""
	}
	return false, "no kubelet has reported"
}
