// Package v1alpha1 holds the Go types of argoproj.io/v1alpha1: Workflow,
// WorkflowTemplate and ClusterWorkflowTemplate.
//
// Names on the wire are exactly upstream's. Only the fields that the engine
// executes, hands to pods or writes are here; a field of a manifest that has
// no counterpart is found by comparing the manifest with these types
// ([UnknownFields]), so nothing is ignored without being named. Objects are
// only ever patched, hence fields unknown here survive.
//
// Workflow has no status sub-resource and its clients write into status
// (resume, retry, node set): status is shared state.
//
// +kubebuilder:object:generate=true
// +groupName=argoproj.io
package v1alpha1

//go:generate controller-gen object paths=.
