package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion of the kinds of this package.
var GroupVersion = schema.GroupVersion{Group: "kiwerk.dev", Version: "v1alpha1"}

// AddToScheme registers the kinds.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion, &ModelMonitor{}, &ModelMonitorList{}, &RetrainPolicy{}, &RetrainPolicyList{})
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}

// EndpointRef names an InferenceService of the same namespace.
type EndpointRef struct {
	// Name of the InferenceService, in the namespace of this object.
	Name string `json:"name"`
}

// ModelRef is a version of a registered model.
type ModelRef struct {
	// Name of the registered model.
	Name string `json:"name"`
	// Version of it, a number.
	Version string `json:"version"`
}
