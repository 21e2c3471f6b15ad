//go:build linux

package kubelet

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"
	internalapi "k8s.io/cri-api/pkg/apis"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/klog/v2"
	kubeletapp "k8s.io/kubernetes/cmd/kubelet/app/options"
	k8skubelet "k8s.io/kubernetes/pkg/kubelet"
	kubeletconfig "k8s.io/kubernetes/pkg/kubelet/apis/config"
	"k8s.io/kubernetes/pkg/kubelet/cm"

	"github.com/kiwerk/kiwerk/internal/cluster/cgroup"
	"github.com/kiwerk/kiwerk/internal/cluster/cri"
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
	return resizable{made, deps.Recorder, podBounds{
		runtime: func() internalapi.RuntimeService { return deps.RemoteRuntimeService },
		context: func() context.Context { return ctx },
	}}, nil
}

type resizable struct {
	cm.ContainerManager

	events record.EventRecorder
	bounds podBounds
}

// NewPodContainerManager adds what the original does not know.
func (r resizable) NewPodContainerManager() cm.PodContainerManager {
	return podLevel{r.ContainerManager.NewPodContainerManager(), r.bounds}
}

// InternalContainerLifecycle adds the limits of the pod to those of its containers.
func (r resizable) InternalContainerLifecycle(logger klog.Logger) cm.InternalContainerLifecycle {
	return bounded{r.ContainerManager.InternalContainerLifecycle(logger), r.bounds}
}

type bounded struct {
	cm.InternalContainerLifecycle

	bounds podBounds
}

// PreCreateContainer gives the pod its limits before its first container is
// made. Afterwards only a resize changes them, in an order that suits its containers.
func (l bounded) PreCreateContainer(logger klog.Logger, pod *corev1.Pod, c *corev1.Container, cfg *runtimeapi.ContainerConfig) error {
	return errors.Join(l.bounds.setFirst(pod), l.InternalContainerLifecycle.PreCreateContainer(logger, pod, c, cfg))
}

type podLevel struct {
	cm.PodContainerManager

	bounds podBounds
}

// GetPodCgroupConfig says what limits the pod as a whole has. The kubelet
// changes them through the runtime, with UpdatePodSandboxResources.
func (p podLevel) GetPodCgroupConfig(pod *corev1.Pod, _ corev1.ResourceName) (*cm.ResourceConfig, error) {
	_, l, err := p.bounds.get(pod)
	if err != nil || l == (cgroup.Limits{}) {
		return podConfig(pod), err
	}
	shares, period := uint64(l.CPUShares), uint64(l.CPUPeriod)
	return &cm.ResourceConfig{Memory: &l.Memory, CPUQuota: &l.CPUQuota, CPUShares: &shares, CPUPeriod: &period}, nil
}

// podUIDLabel is how the kubelet marks what belongs to a pod.
const podUIDLabel = "io.kubernetes.pod.uid"

// podBounds are the limits of pods, which the runtime keeps.
type podBounds struct {
	runtime func() internalapi.RuntimeService // connected after the container manager is made
	context func() context.Context
}

// get returns the pod's sandbox and its limits; no sandbox and none before it has one.
func (b podBounds) get(pod *corev1.Pod) (sandbox string, l cgroup.Limits, err error) {
	ctx := b.context()
	list, err := b.runtime().ListPodSandbox(ctx, &runtimeapi.PodSandboxFilter{
		State:         &runtimeapi.PodSandboxStateValue{State: runtimeapi.PodSandboxState_SANDBOX_READY},
		LabelSelector: map[string]string{podUIDLabel: string(pod.UID)},
	})
	if err != nil || len(list) == 0 {
		return "", l, err
	}
	status, err := b.runtime().PodSandboxStatus(ctx, list[0].GetId(), true)
	if err != nil {
		return "", l, err
	}
	l, err = cri.PodLimits(status)
	return list[0].GetId(), l, err
}

func (b podBounds) setFirst(pod *corev1.Pod) error {
	sandbox, l, err := b.get(pod)
	if err != nil || sandbox == "" || l != (cgroup.Limits{}) {
		return err
	}
	want := podConfig(pod)
	_, err = b.runtime().UpdatePodSandboxResources(b.context(), &runtimeapi.UpdatePodSandboxResourcesRequest{
		PodSandboxId: sandbox,
		Resources: &runtimeapi.LinuxContainerResources{
			MemoryLimitInBytes: *want.Memory, CpuQuota: *want.CPUQuota, CpuPeriod: int64(*want.CPUPeriod), CpuShares: int64(*want.CPUShares),
		},
	})
	return err
}

// podConfig says what the pod's containers may use together, with values for all that has no limit.
func podConfig(pod *corev1.Pod) *cm.ResourceConfig {
	const minShares = 2
	none, shares, period := int64(-1), uint64(minShares), uint64(cm.QuotaPeriod)
	r := cm.ResourceConfigForPod(pod, true, period, false, kubeletconfig.NoneMemoryReservationPolicy)
	return &cm.ResourceConfig{
		Memory: or(r.Memory, &none), CPUQuota: or(r.CPUQuota, &none), CPUShares: or(r.CPUShares, &shares), CPUPeriod: or(r.CPUPeriod, &period),
	}
}

func or[T any](value, otherwise *T) *T {
	if value != nil {
		return value
	}
	return otherwise
}
