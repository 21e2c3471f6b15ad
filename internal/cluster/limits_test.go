//go:build linux

package cluster_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kiwerk/kiwerk/internal/cluster/cri"
	"github.com/kiwerk/kiwerk/internal/kwtest"
)

// limitsAreKept runs pods against their limits and changes one while it runs.
// Where there are no cgroups the change is refused, and nothing breaks.
func limitsAreKept(t *testing.T, cell *cell, c client.WithWatch) {
	t.Helper()
	_, err := os.Stat(filepath.Join(cell.data, "cri", cri.CgroupsFile))
	enforced := err == nil
	pod := shell("default", "sized", "sleep 1000")
	pod.Spec.Containers[0].Resources.Limits = corev1.ResourceList{"cpu": resource.MustParse("200m"), "memory": resource.MustParse("64Mi")}
	if err := c.Create(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	kwtest.WaitFor(t, c, pod, isReady)
	mustKubectl(t, cell.Kubeconfig, "patch", "pod", "sized", "--subresource", "resize", "--patch",
		`{"spec":{"containers":[{"name":"main","resources":{"limits":{"cpu":"300m","memory":"96Mi"},"requests":{"cpu":"300m","memory":"96Mi"}}}]}}`)
	kwtest.Eventually(t, func() error {
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(pod), pod); err != nil {
			return err
		}
		for _, cond := range pod.Status.Conditions {
			if !enforced && cond.Type == corev1.PodResizeInProgress && cond.Reason == corev1.PodReasonError {
				return nil
			}
		}
		if r := pod.Status.ContainerStatuses[0].Resources; enforced && r != nil && r.Limits.Memory().String() == "96Mi" && r.Limits.Cpu().String() == "300m" {
			return nil
		}
		return fmt.Errorf("resources %+v, conditions %+v", pod.Status.ContainerStatuses[0].Resources, pod.Status.Conditions)
	})
	if pod.Status.ContainerStatuses[0].RestartCount != 0 {
		t.Error("the container was restarted")
	}
	full := shell("default", "full", "head -c 30000000 /dev/zero > /tmp/f; sleep 1000")
	full.Spec.Containers[0].Resources.Limits = corev1.ResourceList{"ephemeral-storage": resource.MustParse("5Mi")}
	if err := c.Create(t.Context(), full); err != nil {
		t.Fatal(err)
	}
	kwtest.WaitFor(t, c, full, func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed && p.Status.Reason == "Evicted" })
	if !enforced {
		return
	}
	hog := shell("default", "hog", `exec awk 'BEGIN { s = "x"; while (1) s = s s }'`)
	hog.Spec.Containers[0].Resources.Limits = corev1.ResourceList{"memory": resource.MustParse("64Mi")}
	if err := c.Create(t.Context(), hog); err != nil {
		t.Fatal(err)
	}
	kwtest.WaitFor(t, c, hog, func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
	if end := hog.Status.ContainerStatuses[0].State.Terminated; end.Reason != "OOMKilled" || end.ExitCode != 137 {
		t.Errorf("the hog ended with %+v", end)
	}
}
