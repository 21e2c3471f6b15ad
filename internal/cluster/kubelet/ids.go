//go:build linux

package kubelet

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/kubelet/lifecycle"

	"github.com/kiwerk/kiwerk/internal/cluster/ids"
)

// GetAllocateResourcesPodAdmitHandler adds a word about users that do not exist here.
func (r resizable) GetAllocateResourcesPodAdmitHandler(logger klog.Logger) lifecycle.PodAdmitHandler {
	return explainer{r.ContainerManager.GetAllocateResourcesPodAdmitHandler(logger), r.events}
}

// explainer says why a pod will not start whose users or groups do not exist:
// its volumes cannot be given to them, and of that the kubelet only says
// "invalid argument". The pod is not refused, as controllers would make new
// ones without end. It also says what privileged means here.
type explainer struct {
	lifecycle.PodAdmitHandler

	events record.EventRecorder
}

// Admit explains and leaves the decision to the kubelet's own handler.
func (e explainer) Admit(ctx context.Context, attrs *lifecycle.PodAdmitAttributes) lifecycle.PodAdmitResult {
	if err := ids.Check(wanted(attrs.Pod)); err != nil {
		e.events.Event(attrs.Pod, corev1.EventTypeWarning, "NoSubordinateIDs", err.Error())
	}
	if name := privileged(attrs.Pod); name != "" {
		e.events.Eventf(attrs.Pod, corev1.EventTypeNormal, "PrivilegedWithin", "privileged container %s runs without seccomp and with every capability but those that reach the platform's data or the host (SYS_ADMIN, MKNOD, SYS_MODULE, SYS_RAWIO, SYS_BOOT, DAC_READ_SEARCH, PERFMON), and without the host's devices", name)
	}
	return e.PodAdmitHandler.Admit(ctx, attrs)
}

// privileged names a container that asks for it.
func privileged(pod *corev1.Pod) string {
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			if sc := list[i].SecurityContext; sc != nil && sc.Privileged != nil && *sc.Privileged {
				return list[i].Name
			}
		}
	}
	return ""
}

// wanted are all users and groups that a pod names.
func wanted(pod *corev1.Pod) ids.Wanted {
	var w ids.Wanted
	add := func(to *[]uint32, id *int64) {
		if id != nil {
			*to = append(*to, uint32(*id))
		}
	}
	if sc := pod.Spec.SecurityContext; sc != nil {
		add(&w.Users, sc.RunAsUser)
		add(&w.Groups, sc.RunAsGroup)
		add(&w.Others, sc.FSGroup)
		for _, g := range sc.SupplementalGroups {
			add(&w.Others, &g)
		}
	}
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			if sc := list[i].SecurityContext; sc != nil {
				add(&w.Users, sc.RunAsUser)
				add(&w.Groups, sc.RunAsGroup)
			}
		}
	}
	return w
}
