package app

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/server"
)

func TestPodOf(t *testing.T) {
	extra := map[string]authenticationv1.ExtraValue{
		"authentication.kubernetes.io/pod-name": {"train-1"}, "authentication.kubernetes.io/pod-uid": {"u"}, "authentication.kubernetes.io/node-name": {"n"},
	}
	want := server.Pod{Namespace: "team-a", Name: "train-1", UID: "u", Node: "n"}
	if got := podOf(authenticationv1.UserInfo{Username: "system:serviceaccount:team-a:default", Extra: extra}); got != want {
		t.Errorf("got %+v", got)
	}
	for _, u := range []authenticationv1.UserInfo{
		{Username: "anna", Extra: extra}, {Username: "system:serviceaccount:team-a:default"},
	} {
		if got := podOf(u); got != (server.Pod{}) {
			t.Errorf("%s: %+v", u.Username, got)
		}
	}
}

func TestOriginTags(t *testing.T) {
	yes := true
	u := server.User{Name: "system:serviceaccount:team-a:default", Pod: server.Pod{Namespace: "team-a", Name: "train-1", UID: "u"}}
	got := map[string]string{}
	for _, tag := range originTags(u, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Labels: map[string]string{argo.LabelWorkflow: "train"}, Annotations: map[string]string{argo.AnnotationNodeName: "train.fit"},
			OwnerReferences: []metav1.OwnerReference{{Kind: "Workflow", UID: "w", Controller: &yes}},
		},
		Spec:   corev1.PodSpec{Containers: []corev1.Container{{Name: "proxy", Image: "p"}, {Name: "main", Image: "python:3"}}},
		Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "proxy", ImageID: "x"}, {Name: "main", ImageID: "sha256:1"}}},
	}) {
		got[tag.Key] = tag.Value
	}
	if diff := cmp.Diff(map[string]string{
		"kiwerk.pod": "team-a/train-1", "kiwerk.pod.uid": "u", "kiwerk.node": "", "kiwerk.serviceAccount": "team-a:default", "kiwerk.workflow": "train",
		"kiwerk.workflow.uid": "w", "kiwerk.step": "train.fit", "kiwerk.image": "python:3", "kiwerk.image.digest": "sha256:1",
	}, got); diff != "" {
		t.Error(diff)
	}
	if tags := originTags(u, nil); len(tags) != 4 {
		t.Errorf("without a pod: %v", tags)
	}
}
