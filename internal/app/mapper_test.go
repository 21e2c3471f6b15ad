package app

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestMapper_knowsOurKinds(t *testing.T) {
	scheme := runtime.NewScheme()
	for _, add := range schemes {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	m, err := mapper(scheme)(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	cases := map[schema.GroupKind]struct {
		resource string
		scope    meta.RESTScopeName
	}{
		corev1.SchemeGroupVersion.WithKind("Pod").GroupKind():        {"pods", meta.RESTScopeNameNamespace},
		corev1.SchemeGroupVersion.WithKind("Endpoints").GroupKind():  {"endpoints", meta.RESTScopeNameNamespace},
		corev1.SchemeGroupVersion.WithKind("Node").GroupKind():       {"nodes", meta.RESTScopeNameRoot},
		{Group: "rbac.authorization.k8s.io", Kind: "ClusterRole"}:    {"clusterroles", meta.RESTScopeNameRoot},
		{Group: "authentication.k8s.io", Kind: "TokenReview"}:        {"tokenreviews", meta.RESTScopeNameRoot},
		{Group: "authorization.k8s.io", Kind: "SubjectAccessReview"}: {"subjectaccessreviews", meta.RESTScopeNameRoot},
		{Group: "argoproj.io", Kind: "Workflow"}:                     {"workflows", meta.RESTScopeNameNamespace},
		{Group: "argoproj.io", Kind: "ClusterWorkflowTemplate"}:      {"clusterworkflowtemplates", meta.RESTScopeNameRoot},
		{Group: "serving.kserve.io", Kind: "InferenceService"}:       {"inferenceservices", meta.RESTScopeNameNamespace},
		{Group: "kiwerk.dev", Kind: "ModelMonitor"}:                  {"modelmonitors", meta.RESTScopeNameNamespace},
		{Group: "kiwerk.dev", Kind: "RetrainPolicy"}:                 {"retrainpolicies", meta.RESTScopeNameNamespace},
	}
	for gk, want := range cases {
		got, err := m.RESTMapping(gk)
		if err != nil || got.Resource.Resource != want.resource || got.Scope.Name() != want.scope {
			t.Errorf("%v: got %v, %v", gk, got, err)
		}
	}
}
