package services

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// trim drops what none of the parts reads: these informers hold every pod.
func trim(o any) (any, error) {
	if p, ok := o.(*corev1.Pod); ok {
		return trimPod(p), nil
	}
	if m, err := meta.Accessor(o); err == nil { // not a tombstone
		m.SetManagedFields(nil)
	}
	return o, nil
}

// trimPod keeps what policies select by.
func trimPod(p *corev1.Pod) *corev1.Pod {
	out := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: p.Namespace, Name: p.Name, UID: p.UID, ResourceVersion: p.ResourceVersion, Labels: p.Labels,
			DeletionTimestamp: p.DeletionTimestamp,
		},
		Spec:   corev1.PodSpec{HostNetwork: p.Spec.HostNetwork, InitContainers: ports(p.Spec.InitContainers), Containers: ports(p.Spec.Containers)},
		Status: corev1.PodStatus{Phase: p.Status.Phase, PodIP: p.Status.PodIP},
	}
	return out
}

func ports(list []corev1.Container) []corev1.Container {
	var out []corev1.Container
	for i := range list {
		if len(list[i].Ports) > 0 {
			out = append(out, corev1.Container{Ports: list[i].Ports})
		}
	}
	return out
}
