// Package v1beta1 holds the Go types of serving.kserve.io/v1beta1 InferenceService.
//
// Names on the wire are exactly upstream's. Fields that the controller does not
// support are here as raw values, so that their presence can be told by its
// path; objects are only ever patched, hence fields unknown here survive.
//
// +kubebuilder:object:generate=true
// +groupName=serving.kserve.io
package v1beta1

//go:generate controller-gen object paths=.
