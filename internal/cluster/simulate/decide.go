package simulate

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// jobDuration is how long pods of a Job run unless they say.
const jobDuration = 5 * time.Second

// step is what happens to a pod next.
type step struct {
	remove bool
	status *corev1.PodStatus // nil: nothing changes
	again  time.Duration     // when to look again; 0: when it changes
}

// decide is the life of a pod on a simulated node.
func decide(pod *corev1.Pod, now time.Time) step {
	switch {
	case pod.DeletionTimestamp != nil:
		return step{remove: true}
	case pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed:
		return step{}
	case pod.Status.Phase != corev1.PodRunning || pod.Status.StartTime == nil:
		s := running(pod, now)
		return step{status: &s, again: lifetime(pod)}
	}
	life := lifetime(pod)
	if life == 0 {
		return step{}
	}
	if left := pod.Status.StartTime.Add(life).Sub(now); left > 0 {
		return step{again: left}
	}
	s := ended(pod, now)
	return step{status: &s}
}

// lifetime is how long a pod runs, 0 without an end.
func lifetime(pod *corev1.Pod) time.Duration {
	if pod.Spec.RestartPolicy == corev1.RestartPolicyAlways {
		return 0
	}
	if d, err := time.ParseDuration(pod.Annotations[AnnotationDuration]); err == nil && d > 0 {
		return d
	}
	if owner := metav1.GetControllerOf(pod); owner != nil && owner.Kind == "Job" {
		return jobDuration
	}
	return 0
}

func running(pod *corev1.Pod, now time.Time) corev1.PodStatus {
	at := metav1.NewTime(now)
	s := *pod.Status.DeepCopy()
	s.Phase, s.StartTime, s.HostIP = corev1.PodRunning, &at, address(pod.Spec.NodeName)
	s.PodIP = address(string(pod.UID))
	s.PodIPs = []corev1.PodIP{{IP: s.PodIP}}
	s.Conditions = conditions(s.Conditions, corev1.ConditionTrue, "", at)
	s.InitContainerStatuses, s.ContainerStatuses = nil, nil
	for _, c := range pod.Spec.InitContainers {
		s.InitContainerStatuses = append(s.InitContainerStatuses, container(pod, c, terminated(0, at, at)))
	}
	for _, c := range pod.Spec.Containers {
		s.ContainerStatuses = append(s.ContainerStatuses, container(pod, c, corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at}}))
	}
	return s
}

func ended(pod *corev1.Pod, now time.Time) corev1.PodStatus {
	at := metav1.NewTime(now)
	s := *pod.Status.DeepCopy()
	code, err := strconv.ParseInt(pod.Annotations[AnnotationExitCode], 10, 32)
	if err != nil {
		code = 0
	}
	s.Phase = corev1.PodSucceeded
	reason := "PodCompleted"
	if code != 0 {
		s.Phase, reason = corev1.PodFailed, "PodFailed"
	}
	s.Conditions = conditions(s.Conditions, corev1.ConditionFalse, reason, at)
	for i := range s.ContainerStatuses {
		s.ContainerStatuses[i].Ready, s.ContainerStatuses[i].Started = false, new(bool)
		s.ContainerStatuses[i].State = terminated(int32(code), *s.StartTime, at)
	}
	return s
}

// conditions sets readiness and keeps what the scheduler wrote.
func conditions(have []corev1.PodCondition, ready corev1.ConditionStatus, reason string, at metav1.Time) []corev1.PodCondition {
	var list []corev1.PodCondition
	want := map[corev1.PodConditionType]corev1.ConditionStatus{
		corev1.PodInitialized: corev1.ConditionTrue, corev1.PodReady: ready, corev1.ContainersReady: ready,
	}
	for _, c := range have {
		if _, ours := want[c.Type]; !ours {
			list = append(list, c)
		}
	}
	for _, kind := range []corev1.PodConditionType{corev1.PodInitialized, corev1.PodReady, corev1.ContainersReady} {
		list = append(list, corev1.PodCondition{Type: kind, Status: want[kind], Reason: reason, LastTransitionTime: at})
	}
	return list
}

func container(pod *corev1.Pod, c corev1.Container, state corev1.ContainerState) corev1.ContainerStatus {
	up := state.Running != nil
	return corev1.ContainerStatus{
		Name: c.Name, Image: c.Image, ImageID: "simulated", State: state, Ready: up || state.Terminated != nil, Started: &up,
		ContainerID: fmt.Sprintf("simulated://%s/%s", pod.UID, c.Name),
	}
}

func terminated(code int32, from, to metav1.Time) corev1.ContainerState {
	reason := "Completed"
	if code != 0 {
		reason = "Error"
	}
	return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, StartedAt: from, FinishedAt: to}}
}

// address is one of the range for benchmarks, which leads nowhere.
func address(of string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(of)) // never fails
	n := h.Sum32()
	return fmt.Sprintf("198.%d.%d.%d", 18+n>>16&1, n>>8&0xff, n&0xff)
}
