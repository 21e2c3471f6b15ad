//go:build linux

package cluster_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kiwerk/kiwerk/internal/kwtest"
)

// seedBlock is the securityContext of the project's seed, as it stands there.
const seedBlock = `securityContext:
  runAsNonRoot: true
  runAsUser: 1000
  capabilities:
    drop:
    - ALL
  readOnlyRootFilesystem: true
  allowPrivilegeEscalation: false
`

// restrictedPods runs the seed's securityContext where only restricted pods may
// run, and an fsGroup. An ordinary user without subordinate ids hears what is lacking.
func restrictedPods(t *testing.T, cell *cell, c client.WithWatch) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pod.yaml")
	manifest := `apiVersion: v1
kind: Namespace
metadata: {name: strict, labels: {pod-security.kubernetes.io/enforce: restricted}}
---
apiVersion: v1
kind: Pod
metadata: {name: seed, namespace: strict}
spec:
  restartPolicy: Never
  securityContext: {fsGroup: 3000, seccompProfile: {type: RuntimeDefault}}
  volumes: [{name: v, emptyDir: {}}]
  containers:
  - name: main
    image: busybox
    command:
    - sh
    - -c
    - |
      id -u; id -G; touch /v/f && stat -c %u:%g /v/f
      grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status | tr '\t\n' '  '
      for d in / /etc /tmp /usr /var; do touch $d/x 2>/dev/null && echo wrote $d; done; echo; cat /dev/null
    volumeMounts: [{name: v, mountPath: /v}]
    ` + strings.ReplaceAll(strings.TrimSuffix(seedBlock, "\n"), "\n", "\n    ") + "\n"
	if err := os.WriteFile(file, []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	kwtest.Eventually(t, func() error { // until the namespace has its service account
		if code, out, errOut := kubectlRun(t, cell.Kubeconfig, "apply", "-f", file); code != 0 {
			return fmt.Errorf("apply: exit code %d: %s%s", code, out, errOut)
		}
		return nil
	})
	pod := shell("strict", "seed", "")
	if os.Geteuid() != 0 {
		kwtest.Eventually(t, func() error {
			out := mustKubectl(t, cell.Kubeconfig, "get", "events", "-n", "strict", "--field-selector", "reason=NoSubordinateIDs", "-o", "jsonpath={.items[*].message}")
			if !strings.Contains(out, "runAsUser 1000 is not available") || !strings.Contains(out, "no subordinate ids") {
				return fmt.Errorf("events say %q", out)
			}
			return nil
		})
		mustKubectl(t, cell.Kubeconfig, "delete", "pod", "seed", "-n", "strict", "--now")
		return
	}
	kwtest.WaitFor(t, c, pod, func(p *corev1.Pod) bool { return succeeded(p) || p.Status.Phase == corev1.PodFailed })
	out := mustKubectl(t, cell.Kubeconfig, "logs", "seed", "-n", "strict")
	for _, want := range []string{"1000\n", " 3000\n", "\n1000:3000\n", "CapEff: 0000000000000000", "CapBnd: 0000000000000000", "NoNewPrivs: 1 Seccomp: 2"} {
		if !strings.Contains(out, want) {
			t.Errorf("the pod says %q, without %q", out, want)
		}
	}
	if strings.Contains(out, "wrote") {
		t.Errorf("the pod wrote into a read-only root: %q", out)
	}
}

// hostileSubPaths leads subPath out of its volume: by the name, which the API
// server refuses, and by a link that an init container makes, which the kubelet does.
func hostileSubPaths(t *testing.T, c client.WithWatch) {
	t.Helper()
	pod := func(name, sub string) *corev1.Pod {
		p := shell("default", name, "ls /v; cat /v/shadow /v/hosts")
		p.Spec.Volumes = []corev1.Volume{{Name: "d", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
		p.Spec.InitContainers = []corev1.Container{{
			Name: "evil", Image: "busybox", Command: []string{"sh", "-c", "ln -s / /d/out; ln -s ../../../../../../../../etc /d/up"},
			VolumeMounts: []corev1.VolumeMount{{Name: "d", MountPath: "/d"}},
		}}
		p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "d", MountPath: "/v", SubPath: sub}}
		return p
	}
	if err := c.Create(t.Context(), pod("dots", "../../etc")); !apierrors.IsInvalid(err) {
		t.Errorf("subPath with dots: %v", err)
	}
	for name, sub := range map[string]string{"link-out": "out/etc", "link-up": "up"} {
		p := pod(name, sub)
		if err := c.Create(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		kwtest.WaitFor(t, c, p, func(p *corev1.Pod) bool {
			return p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded || len(p.Status.ContainerStatuses) == 1 &&
				p.Status.ContainerStatuses[0].State.Waiting != nil && p.Status.ContainerStatuses[0].State.Waiting.Reason == "CreateContainerConfigError"
		})
		if p.Status.Phase != corev1.PodPending || !strings.Contains(p.Status.ContainerStatuses[0].State.Waiting.Message, "subPath") {
			t.Errorf("%s: phase %s, %+v", name, p.Status.Phase, p.Status.ContainerStatuses)
		}
		if err := c.Delete(t.Context(), p, client.GracePeriodSeconds(0)); err != nil {
			t.Error(err)
		}
	}
}
