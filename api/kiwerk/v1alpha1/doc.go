// Package v1alpha1 holds the kinds of kiwerk.dev for which no standard exists:
// ModelMonitor watches an endpoint for drift and bad answers, RetrainPolicy
// says when a new model is trained, how it is judged and how it goes out.
//
// Conditions and their reasons stand beside the types.
//
// +kubebuilder:object:generate=true
// +groupName=kiwerk.dev
package v1alpha1

//go:generate controller-gen object paths=.
//go:generate go run github.com/kiwerk/kiwerk/internal/kube/describe modelmonitor.go retrainpolicy.go groupversion.go
