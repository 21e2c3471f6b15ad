package kubelet

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	kubeletevents "k8s.io/kubernetes/pkg/kubelet/events"
)

func TestImages_word(t *testing.T) {
	served := func(image string) (string, bool) {
		switch image {
		case "app:1":
			return "OCI image 0123", true
		case "python:3":
			return "the host's own tools", false
		}
		return "", true
	}
	pod := func(name string) *corev1.ObjectReference {
		return &corev1.ObjectReference{Namespace: "default", Name: name}
	}
	const pulling, pulled = kubeletevents.PullingImage, kubeletevents.PulledImage
	i := &images{served: served, told: map[string]bool{}}
	for _, c := range []struct {
		pod, reason, message, want string
	}{
		{"a-1", pulled, `Container image "app:1" already present`, `Container image "app:1" already present (OCI image 0123)`},
		{"a-2", pulled, `Container image "app:1" already present`, `Container image "app:1" already present (OCI image 0123)`},
		{"a-1", pulling, `Pulling image "app:1"`, `Pulling image "app:1"`},
		{"a-1", pulling, `Pulling image "unknown:1"`, `Pulling image "unknown:1"`},
		{"a-1", pulling, `Pulling image "python:3"`, ``},
		{"a-1", pulled, `Container image "python:3" already present`, `Container image "python:3": the host's own tools`},
		{"a-2", pulled, `Container image "python:3" already present`, ``},
		{"b-2", pulled, `Container image "python:3" already present`, `Container image "python:3": the host's own tools`},
		{"single", pulled, `Container image "python:3" already present`, `Container image "python:3": the host's own tools`},
		{"single", pulled, `Container image "python:3" already present`, ``},
	} {
		if got := i.word(pod(c.pod), c.reason, c.message); got != c.want {
			t.Errorf("%s %s %s: %q, want %q", c.pod, c.reason, c.message, got, c.want)
		}
	}
	if got := (&images{}).word(pod("a"), pulled, `"app:1"`); got != "" {
		t.Errorf("without a runtime of ours: %q", got)
	}
}
