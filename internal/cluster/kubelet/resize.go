//go:build linux

package kubelet

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"
	kubeletapp "k8s.io/kubernetes/cmd/kubelet/app/options"
	k8skubelet "k8s.io/kubernetes/pkg/kubelet"
	kubeletconfig "k8s.io/kubernetes/pkg/kubelet/apis/config"
	"k8s.io/kubernetes/pkg/kubelet/cm"
)

// newContainerManager is what the kubelet makes itself, with an answer to what
// limits a pod as a whole has. Without cgroups of the kubelet's own its answer
// is nil, which it then follows when a pod is resized in place (Kubernetes
// 1.37.2, doPodResizeAction): the whole program would end.
func newContainerManager(ctx context.Context, s *kubeletapp.KubeletServer, deps *k8skubelet.Dependencies, nodeName string) (cm.ContainerManager, error) {
	made, err := cm.NewContainerManager(ctx, deps.Mounter, deps.CAdvisorInterface, cm.NodeConfig{
		NodeName:                    types.NodeName(nodeName),
		CgroupsPerQOS:               s.CgroupsPerQOS,
		CgroupDriver:                s.CgroupDriver,
		KubeletRootDir:              s.RootDirectory,
		CPUManagerPolicy:            s.CPUManagerPolicy,
		CPUManagerReconcilePeriod:   s.CPUManagerReconcilePeriod.Duration,
		MemoryManagerPolicy:         s.MemoryManagerPolicy,
		MemoryReservationPolicy:     s.MemoryReservationPolicy,
		PodPidsLimit:                s.PodPidsLimit,
		EnforceCPULimits:            s.CPUCFSQuota,
		CPUCFSQuotaPeriod:           s.CPUCFSQuotaPeriod.Duration,
		TopologyManagerPolicy:       s.TopologyManagerPolicy,
		TopologyManagerScope:        s.TopologyManagerScope,
		CPUManagerPolicyOptions:     s.CPUManagerPolicyOptions,
		MemoryManagerReservedMemory: s.ReservedMemory,
	}, s.FailSwapOn, deps.Recorder, deps.KubeClient)
	if err != nil {
		return nil, err
	}
	return resizable{made, deps.Recorder}, nil
}

type resizable struct {
	cm.ContainerManager

	events record.EventRecorder
}

// NewPodContainerManager adds what the original does not know.
func (r resizable) NewPodContainerManager() cm.PodContainerManager {
	return podLevel{r.ContainerManager.NewPodContainerManager()}
}

type podLevel struct {
	cm.PodContainerManager
}

// GetPodCgroupConfig says what the pod's containers have together: nothing
// more is set for the pod as a whole, so nothing has to change when they do.
func (podLevel) GetPodCgroupConfig(pod *corev1.Pod, _ corev1.ResourceName) (*cm.ResourceConfig, error) {
	const minShares = 2
	none, shares, period := int64(-1), uint64(minShares), uint64(cm.QuotaPeriod)
	r := cm.ResourceConfigForPod(pod, true, period, false, kubeletconfig.NoneMemoryReservationPolicy)
	return &cm.ResourceConfig{
		Memory: or(r.Memory, &none), CPUQuota: or(r.CPUQuota, &none), CPUShares: or(r.CPUShares, &shares), CPUPeriod: or(r.CPUPeriod, &period),
	}, nil
}

func or[T any](value, otherwise *T) *T {
	if value != nil {
		return value
	}
	return otherwise
}
