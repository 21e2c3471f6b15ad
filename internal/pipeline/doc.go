// Package pipeline runs Argo workflows: argoproj.io/v1alpha1 Workflow,
// WorkflowTemplate and ClusterWorkflowTemplate.
//
//	engine      decides what happens next (pure); ids and names of nodes
//	expand      tags, expressions, conditions, loops
//	lint        what is wrong with a workflow, by field path
//	pod         the pod of a step
//	pack        nodes of large workflows, compressed
//	ops         what people do: submit, stop, resume, retry
//	controller  reconciles workflows with the API server
//	step        what runs in the container around the user's command
//	artifact    keys of artifacts in the blob store
//	rest        HTTP routes: artifacts and the Argo server's
//
//	 Workflow ──▶ controller ──▶ pod: kiwerk-agent step -- command
//	     ▲            ▲                    │        │
//	     └── status ──┴── termination ─────┘        └──▶ artifacts (HTTP, blob)
//	                      message: outputs
//
// This package is what the platform is composed of: [Kinds], [Setup] and
// [Service]. It knows nothing of tracking, serving or monitoring; they meet
// as Kubernetes objects.
package pipeline
