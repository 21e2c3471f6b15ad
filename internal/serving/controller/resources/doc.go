// Package resources makes the children of an InferenceService: pure functions
// with deterministic names.
package resources
