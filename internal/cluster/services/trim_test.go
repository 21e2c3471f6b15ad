package services

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

func TestTrim(t *testing.T) {
	meta := metav1.ObjectMeta{Namespace: "ml", Name: "x", Labels: map[string]string{"app": "web"}, ResourceVersion: "7"}
	port := []corev1.ContainerPort{{Name: "http", ContainerPort: 8080, Protocol: corev1.ProtocolTCP}}
	full := meta
	full.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubectl"}}
	for title, c := range map[string]struct{ in, want any }{
		"Pod": {
			&corev1.Pod{
				ObjectMeta: full,
				Spec:       corev1.PodSpec{NodeName: "n", HostNetwork: true, Containers: []corev1.Container{{Name: "a", Image: "b", Ports: port}, {Name: "c"}}},
				Status:     corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.244.0.20", Message: "m"},
			},
			&corev1.Pod{
				ObjectMeta: meta,
				Spec:       corev1.PodSpec{HostNetwork: true, Containers: []corev1.Container{{Ports: port}}},
				Status:     corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.244.0.20"},
			},
		},
		"Service":   {&corev1.Service{ObjectMeta: full}, &corev1.Service{ObjectMeta: meta}},
		"Tombstone": {cache.DeletedFinalStateUnknown{Key: "ml/x"}, cache.DeletedFinalStateUnknown{Key: "ml/x"}},
	} {
		got, err := trim(c.in)
		if err != nil {
			t.Errorf("%s: %v", title, err)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", title, d)
		}
	}
}
