// Package lint checks Kubernetes manifests without a cluster.
//
//	manifest.File ──> objects ──> schema: fields and types of the Go types that Kubernetes and Kiwerk serve
//	                     │
//	                     └──────> Rules: small values, each for an object, a pod, a container or the whole input
//	                                 │
//	                              Finding: rule, severity, line, field path, reason, remedy, edits
//	                                 │
//	                     Fix: edits ─┘ applied to the text until no more can be corrected
//
// What the schema cannot know (conditions, references, dangers) is a [Rule]; all
// of them stand in [Rules] and in docs/lint.md. Kinds of a capability bring their
// own checker: [Options.Kinds] maps them to functions that the composition fills,
// because capabilities do not import each other.
//
// The package links Kubernetes' types, not Kubernetes: what admission and the
// validation inside k8s.io/kubernetes add is only seen with a server (see
// package lint/dryrun).
package lint
