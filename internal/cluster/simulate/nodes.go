package simulate

import (
	"fmt"
	"maps"
	"runtime"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kiwerk/kiwerk/internal/cluster/devices/gpu"
	gpusim "github.com/kiwerk/kiwerk/internal/cluster/devices/simulate"
)

const (
	// Label marks simulated nodes. It is also the key of the taint that keeps
	// real pods away from them.
	Label = "kiwerk.dev/simulated"
	// AnnotationDuration on a pod says after which time it ends ("90s"), if its
	// restartPolicy lets it; pods of a Job end after [jobDuration] without.
	AnnotationDuration = "kiwerk.dev/simulated-duration"
	// AnnotationExitCode on a pod is what its containers end with.
	AnnotationExitCode = "kiwerk.dev/simulated-exit-code"

	// MaxNodes are more than Kubernetes is made for.
	MaxNodes = 10000
)

// Spec says which nodes to make.
type Spec struct {
	// Base is a manifest, or an empty node.
	Base  corev1.Node
	Count int
	// Prefix of the names, if Base has none or there are several.
	Prefix string
	// GPUs as package devices/simulate reads them ("h100:8"), or "".
	GPUs string
	// CPU, Memory and Pods stand where Base names none.
	CPU, Memory string
	Pods        int
	// Open leaves out the taint.
	Open bool
}

// Nodes makes the objects; first is the number of the first one.
func Nodes(s Spec, first int, now time.Time) ([]*corev1.Node, error) {
	if s.Count < 1 || s.Count > MaxNodes {
		return nil, fmt.Errorf("%d nodes: between 1 and %d are possible", s.Count, MaxNodes)
	}
	capacity, err := s.capacity()
	if err != nil {
		return nil, err
	}
	var list []*corev1.Node
	for i := range s.Count {
		n := s.Base.DeepCopy()
		if n.Name == "" || s.Count > 1 {
			prefix := s.Prefix
			if n.Name != "" {
				prefix = n.Name
			}
			n.Name = fmt.Sprintf("%s-%d", prefix, first+i)
		}
		if err := s.describe(n); err != nil {
			return nil, err
		}
		if !s.Open {
			n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: Label, Value: "true", Effect: corev1.TaintEffectNoSchedule})
		}
		n.ResourceVersion, n.UID = "", ""
		n.Status = status(n.Name, capacity, now)
		list = append(list, n)
	}
	return list, nil
}

// capacity is what Base says, completed.
func (s Spec) capacity() (corev1.ResourceList, error) {
	list := corev1.ResourceList{}
	for name, text := range map[corev1.ResourceName]string{
		corev1.ResourceCPU: s.CPU, corev1.ResourceMemory: s.Memory, corev1.ResourcePods: fmt.Sprint(s.Pods),
	} {
		q, err := resource.ParseQuantity(text)
		if err != nil {
			return nil, fmt.Errorf("%s %q: %w", name, text, err)
		}
		list[name] = q
	}
	if s.GPUs != "" {
		system, err := gpusim.Parse(s.GPUs, "")
		if err != nil {
			return nil, err
		}
		resources, err := gpu.Partition(system, gpu.Policy{MIG: gpu.MIGMixed})
		if err != nil {
			return nil, err
		}
		for _, r := range resources {
			list[corev1.ResourceName(r.Name)] = *resource.NewQuantity(int64(len(r.Units)), resource.DecimalSI)
		}
	}
	maps.Copy(list, s.Base.Status.Capacity)
	return list, nil
}

// describe labels a node as a kubelet and feature discovery would.
func (s Spec) describe(n *corev1.Node) error {
	labels := map[string]string{
		Label: "true", corev1.LabelHostname: n.Name, corev1.LabelOSStable: "linux", corev1.LabelArchStable: runtime.GOARCH,
	}
	if s.GPUs != "" {
		system, err := gpusim.Parse(s.GPUs, n.Name)
		if err != nil {
			return err
		}
		policy := gpu.Policy{MIG: gpu.MIGMixed}
		resources, err := gpu.Partition(system, policy)
		if err != nil {
			return err
		}
		maps.Copy(labels, gpu.Labels(system, policy, resources))
	}
	maps.Copy(labels, n.Labels) // what the manifest says stands
	labels[Label] = "true"
	n.Labels = labels
	return nil
}

// status is that of a node whose kubelet is well.
func status(name string, capacity corev1.ResourceList, now time.Time) corev1.NodeStatus {
	at := metav1.NewTime(now)
	condition := func(kind corev1.NodeConditionType, value corev1.ConditionStatus, reason string) corev1.NodeCondition {
		return corev1.NodeCondition{Type: kind, Status: value, Reason: reason, Message: "simulated", LastHeartbeatTime: at, LastTransitionTime: at}
	}
	return corev1.NodeStatus{
		Capacity: capacity, Allocatable: capacity,
		Addresses: []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: name}, {Type: corev1.NodeInternalIP, Address: address(name)}},
		NodeInfo:  corev1.NodeSystemInfo{OperatingSystem: "linux", Architecture: runtime.GOARCH, KubeletVersion: "simulated", ContainerRuntimeVersion: "simulated://0"},
		Conditions: []corev1.NodeCondition{
			condition(corev1.NodeMemoryPressure, corev1.ConditionFalse, "KubeletHasSufficientMemory"),
			condition(corev1.NodeDiskPressure, corev1.ConditionFalse, "KubeletHasNoDiskPressure"),
			condition(corev1.NodePIDPressure, corev1.ConditionFalse, "KubeletHasSufficientPID"),
			condition(corev1.NodeReady, corev1.ConditionTrue, "KubeletReady"),
		},
	}
}
