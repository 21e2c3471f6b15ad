package simulate

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kiwerk/kiwerk/internal/kwtest"
)

func TestMain(m *testing.M) { kwtest.Main(m) }

var now = time.Unix(1000, 0)

func pod(change func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", UID: "u", Annotations: map[string]string{}},
		Spec:       corev1.PodSpec{NodeName: "n", RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "c"}}, InitContainers: []corev1.Container{{Name: "i"}}},
		Status:     corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}}},
	}
	change(p)
	return p
}

func started(p *corev1.Pod, ago time.Duration) {
	p.Status = running(p, now.Add(-ago))
}

func ofJob(p *corev1.Pod) {
	yes := true
	p.OwnerReferences = []metav1.OwnerReference{{Kind: "Job", Name: "j", Controller: &yes}}
}

func TestDecide(t *testing.T) {
	for name, tc := range map[string]struct {
		pod    *corev1.Pod
		remove bool
		phase  corev1.PodPhase // "" if the status stays
		again  time.Duration
	}{
		"Bound":        {pod: pod(func(*corev1.Pod) {}), phase: corev1.PodRunning},
		"BoundOfJob":   {pod: pod(ofJob), phase: corev1.PodRunning, again: jobDuration},
		"BoundForTime": {pod: pod(func(p *corev1.Pod) { p.Annotations[AnnotationDuration] = "90s" }), phase: corev1.PodRunning, again: 90 * time.Second},
		"WrongTime":    {pod: pod(func(p *corev1.Pod) { p.Annotations[AnnotationDuration] = "soon" }), phase: corev1.PodRunning},
		"Runs":         {pod: pod(func(p *corev1.Pod) { started(p, time.Hour) })},
		"RunsYet":      {pod: pod(func(p *corev1.Pod) { ofJob(p); started(p, time.Second) }), again: 4 * time.Second},
		"Ends":         {pod: pod(func(p *corev1.Pod) { ofJob(p); started(p, jobDuration) }), phase: corev1.PodSucceeded},
		"Fails": {pod: pod(func(p *corev1.Pod) {
			p.Annotations[AnnotationExitCode] = "3"
			ofJob(p)
			started(p, time.Minute)
		}), phase: corev1.PodFailed},
		"Always": {pod: pod(func(p *corev1.Pod) {
			ofJob(p)
			p.Spec.RestartPolicy = corev1.RestartPolicyAlways
			started(p, time.Hour)
		})},
		"Over":    {pod: pod(func(p *corev1.Pod) { ofJob(p); p.Status.Phase = corev1.PodSucceeded })},
		"Deleted": {pod: pod(func(p *corev1.Pod) { at := metav1.NewTime(now); p.DeletionTimestamp = &at; started(p, 0) }), remove: true},
	} {
		s := decide(tc.pod, now)
		phase := corev1.PodPhase("")
		if s.status != nil {
			phase = s.status.Phase
		}
		if s.remove != tc.remove || phase != tc.phase || s.again != tc.again {
			t.Errorf("%s: remove %v, phase %q, again %v; want %v, %q, %v", name, s.remove, phase, s.again, tc.remove, tc.phase, tc.again)
		}
	}
}

func TestEnded_status(t *testing.T) {
	s := ended(pod(func(p *corev1.Pod) { p.Annotations[AnnotationExitCode] = "3"; started(p, time.Minute) }), now)
	c := s.ContainerStatuses[0]
	if c.State.Terminated == nil || c.State.Terminated.ExitCode != 3 || c.Ready || *c.Started || s.InitContainerStatuses[0].State.Terminated.ExitCode != 0 {
		t.Errorf("%+v", s)
	}
	kinds := map[corev1.PodConditionType]corev1.ConditionStatus{}
	for _, x := range s.Conditions {
		kinds[x.Type] = x.Status
	}
	want := map[corev1.PodConditionType]corev1.ConditionStatus{"PodScheduled": "True", "Initialized": "True", "Ready": "False", "ContainersReady": "False"}
	if diff := cmp.Diff(want, kinds); diff != "" || len(s.Conditions) != 4 {
		t.Error(diff)
	}
}

func TestNodes(t *testing.T) {
	standard := Spec{Count: 1, Prefix: "sim", CPU: "32", Memory: "256Gi", Pods: 110}
	with := func(change func(*Spec)) Spec { s := standard; change(&s); return s }
	seed := corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "gpu-node-1", Labels: map[string]string{"accelerator": "nvidia-tesla-v100"}},
		Spec:       corev1.NodeSpec{Taints: []corev1.Taint{{Key: "nvidia.com/gpu", Effect: corev1.TaintEffectNoSchedule}}},
	}
	for name, tc := range map[string]struct {
		spec   Spec
		want   []string // name: gpus, product, taints
		err    string
		reason string
	}{
		"Plain": {spec: standard, want: []string{"sim-5:  [kiwerk.dev/simulated]"}},
		"GPUs":  {spec: with(func(s *Spec) { s.GPUs, s.Count, s.Open = "h100:8", 2, true }), want: []string{"sim-5: 8 NVIDIA-H100-80GB-HBM3 []", "sim-6: 8 NVIDIA-H100-80GB-HBM3 []"}},
		"Seed": {
			spec: with(func(s *Spec) { s.Base, s.GPUs = seed, "v100:4" }), want: []string{"gpu-node-1: 4 Tesla-V100-SXM2-16GB [nvidia.com/gpu kiwerk.dev/simulated]"},
			reason: "the seed's node keeps its name, label and taint",
		},
		"SeedTwice": {spec: with(func(s *Spec) { s.Base, s.Count, s.Open = seed, 2, true }), want: []string{"gpu-node-1-5:  [nvidia.com/gpu]", "gpu-node-1-6:  [nvidia.com/gpu]"}},
		"None":      {spec: with(func(s *Spec) { s.Count = 0 }), err: "between 1 and"},
		"Memory":    {spec: with(func(s *Spec) { s.Memory = "much" }), err: `memory "much"`},
		"Model":     {spec: with(func(s *Spec) { s.GPUs = "x1:2" }), err: "no model"},
	} {
		list, err := Nodes(tc.spec, 5, now)
		if tc.err != "" {
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%s: error %v does not say %q", name, err, tc.err)
			}
			continue
		}
		var got []string
		for _, n := range list {
			gpus := ""
			if q, ok := n.Status.Allocatable["nvidia.com/gpu"]; ok {
				gpus = q.String()
			}
			var taints []string
			for _, x := range n.Spec.Taints {
				taints = append(taints, x.Key)
			}
			got = append(got, fmt.Sprintf("%s: %s%s %v", n.Name, gpus, strings.TrimRight(" "+n.Labels["nvidia.com/gpu.product"], " "), taints))
			if n.Labels[Label] != "true" || n.Labels[corev1.LabelHostname] != n.Name || tc.spec.Base.Labels["accelerator"] != n.Labels["accelerator"] {
				t.Errorf("%s: labels %v", name, n.Labels)
			}
		}
		if diff := cmp.Diff(tc.want, got); err != nil || diff != "" {
			t.Errorf("%s: %s: %v\n%s", name, tc.reason, err, diff)
		}
	}
}

// Against the real control plane: a Job of many pods that want GPUs runs on nodes that do not exist.
func TestController(t *testing.T) {
	c := kwtest.Client(t, scheme.Scheme)
	ns := kwtest.Namespace(t)
	nodes, err := Nodes(Spec{Count: 4, Prefix: "sim-" + ns, GPUs: "t4:8", CPU: "32", Memory: "64Gi", Pods: 110}, 0, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		if err := c.Create(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Delete(t.Context(), n) })
	}
	count := int32(8)
	job := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "j"},
		Spec: batchv1.JobSpec{Parallelism: &count, Completions: &count, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{AnnotationDuration: "100ms"}},
			Spec: corev1.PodSpec{
				RestartPolicy: corev1.RestartPolicyNever, Tolerations: []corev1.Toleration{{Key: Label, Operator: corev1.TolerationOpExists}},
				Containers: []corev1.Container{{Name: "c", Image: "train", Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{"nvidia.com/gpu": nodes[0].Status.Capacity["nvidia.com/gpu"]}}}},
			},
		}},
	}
	if err := c.Create(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	kwtest.WaitFor(t, c, job, func(j *batchv1.Job) bool { return j.Status.Succeeded == count })
	var pods corev1.PodList
	if err := c.List(t.Context(), &pods, client.InNamespace(ns)); err != nil {
		t.Fatal(err)
	}
	for _, p := range pods.Items {
		if !strings.HasPrefix(p.Spec.NodeName, "sim-"+ns) || p.Status.PodIP == "" {
			t.Errorf("pod %s on node %q with address %q", p.Name, p.Spec.NodeName, p.Status.PodIP)
		}
	}
}
