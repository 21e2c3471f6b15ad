package kwtest_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kiwerk/kiwerk/internal/kwtest"
)

func yes() *bool { b := true; return &b }

func no() *bool { return new(bool) }

// TestPodSecurity_restricted has a namespace with the strictest standard, which the API server enforces.
func TestPodSecurity_restricted(t *testing.T) {
	c, name := kwtest.Client(t, nil), kwtest.Namespace(t)
	var ns corev1.Namespace
	if err := c.Get(t.Context(), client.ObjectKey{Name: name}, &ns); err != nil {
		t.Fatal(err)
	}
	if ns.Labels == nil {
		ns.Labels = map[string]string{}
	}
	ns.Labels["pod-security.kubernetes.io/enforce"] = "restricted"
	if err := c.Update(t.Context(), &ns); err != nil {
		t.Fatal(err)
	}
	good := func() *corev1.SecurityContext {
		return &corev1.SecurityContext{
			RunAsNonRoot: yes(), AllowPrivilegeEscalation: no(),
			Capabilities:   &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		}
	}
	// Admission hears of the label a moment later than who wrote it.
	kwtest.Eventually(t, func() error {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ns.Name, Name: "probe"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "x"}}}}
		// Without the account that comes a moment after the namespace pods are forbidden, too.
		if err := c.Create(t.Context(), pod, client.DryRunAll); err == nil || !strings.Contains(err.Error(), "violates PodSecurity") {
			return fmt.Errorf("a pod without any restriction: %w", err)
		}
		return nil
	})
	for name, c2 := range map[string]struct {
		change func(*corev1.Pod, *corev1.SecurityContext)
		want   string
	}{
		"good":       {func(*corev1.Pod, *corev1.SecurityContext) {}, ""},
		"root":       {func(_ *corev1.Pod, s *corev1.SecurityContext) { s.RunAsNonRoot = nil }, "runAsNonRoot"},
		"escalation": {func(_ *corev1.Pod, s *corev1.SecurityContext) { s.AllowPrivilegeEscalation = nil }, "allowPrivilegeEscalation"},
		"rights":     {func(_ *corev1.Pod, s *corev1.SecurityContext) { s.Capabilities = nil }, "capabilities"},
		"seccomp":    {func(_ *corev1.Pod, s *corev1.SecurityContext) { s.SeccompProfile = nil }, "seccompProfile"},
		"privileged": {func(_ *corev1.Pod, s *corev1.SecurityContext) {
			s.AllowPrivilegeEscalation, s.Privileged = nil, yes()
		}, "privileged"},
		"hostpid":     {func(p *corev1.Pod, _ *corev1.SecurityContext) { p.Spec.HostPID = true }, "hostPID"},
		"hostipc":     {func(p *corev1.Pod, _ *corev1.SecurityContext) { p.Spec.HostIPC = true }, "hostIPC"},
		"hostnetwork": {func(p *corev1.Pod, _ *corev1.SecurityContext) { p.Spec.HostNetwork = true }, "hostNetwork"},
		"hostpath": {func(p *corev1.Pod, _ *corev1.SecurityContext) {
			p.Spec.Volumes = []corev1.Volume{{Name: "h", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/etc"}}}}
		}, "hostPath"},
	} {
		t.Run(name, func(t *testing.T) {
			s := good()
			pod := &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: ns.Name, Name: name},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "x", SecurityContext: s}}},
			}
			c2.change(pod, s)
			err := c.Create(t.Context(), pod)
			if c2.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `violates PodSecurity "restricted`) || !strings.Contains(err.Error(), c2.want) {
				t.Errorf("error %v, want a refusal that names %s", err, c2.want)
			}
		})
	}
}
