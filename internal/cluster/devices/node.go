package devices

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kiwerk/kiwerk/internal/cluster/devices/gpu"
)

const manager = "kiwerk-gpu"

// RemoveLabels takes off the labels of an earlier start from a node without GPUs.
func RemoveLabels(ctx context.Context, cfg *rest.Config, node string) error {
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return err
	}
	return setLabels(ctx, client, node, nil)
}

// AnnotationLabels on a node lists the labels that we wrote, so that those that no longer hold are removed and no others.
const AnnotationLabels = "kiwerk.dev/gpu-labels"

// setLabels makes the node's GPU labels exactly these.
func setLabels(ctx context.Context, client kubernetes.Interface, name string, labels map[string]string) error {
	node, err := client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("labels of node %s: %w", name, err)
	}
	change, ours := labelChange(node.Labels, node.Annotations[AnnotationLabels], labels)
	if len(change) == 0 {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": change, "annotations": map[string]any{AnnotationLabels: ours}}})
	if err != nil {
		return err
	}
	if _, err := client.CoreV1().Nodes().Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: manager}); err != nil {
		return fmt.Errorf("labels of node %s: %w", name, err)
	}
	return nil
}

// labelChange is the patch from have to want; before lists what we wrote the last time.
func labelChange(have map[string]string, before string, want map[string]string) (change map[string]any, ours any) {
	change = map[string]any{}
	for _, k := range strings.Split(before, ",") {
		if _, keep := want[k]; !keep && k != "" {
			if _, there := have[k]; there {
				change[k] = nil
			}
		}
	}
	var names []string
	for k, v := range want {
		if have[k] != v {
			change[k] = v
		}
		names = append(names, k)
	}
	if len(names) == 0 {
		return change, nil
	}
	return change, strings.Join(sorted(names), ",")
}

// tell writes an event on the node about a GPU.
func tell(ctx context.Context, client kubernetes.Interface, node string, g gpu.GPU, reason string, now time.Time) error {
	e := &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: fmt.Sprintf("%s.gpu-%d.%x", node, g.Index, now.UnixNano())},
		InvolvedObject: corev1.ObjectReference{Kind: "Node", Name: node, UID: types.UID(node), APIVersion: "v1"},
		Type:           corev1.EventTypeWarning, Reason: "GPUUnhealthy",
		Message: fmt.Sprintf("GPU %d (%s, %s): %s; it is not given to pods until it has recovered", g.Index, g.Name, g.UUID, reason),
		Source:  corev1.EventSource{Component: manager, Host: node}, Count: 1,
		FirstTimestamp: metav1.NewTime(now), LastTimestamp: metav1.NewTime(now),
	}
	if reason == "" {
		e.Type, e.Reason, e.Message = corev1.EventTypeNormal, "GPURecovered", fmt.Sprintf("GPU %d (%s, %s) can be used again", g.Index, g.Name, g.UUID)
	}
	_, err := client.CoreV1().Events(metav1.NamespaceDefault).Create(ctx, e, metav1.CreateOptions{})
	return err
}
