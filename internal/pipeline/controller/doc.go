// Package controller runs workflows: it watches argoproj.io/v1alpha1 Workflow
// and the pods of their steps.
//
//	Workflow or pod changed ─▶ observe ─▶ engine.Decide ─▶ act
//	                             │                          ├ create pods
//	   cache, and what we have   │                          ├ patch status
//	   written since ────────────┘                          └ label, delete
//
// There is no pause between steps: the event of a pod's end leads to the next
// pod in one reconcile. Pods are created before the status that tells of them
// is stored; their names follow from the nodes, so doing it again after a
// crash changes nothing.
//
// A Workflow's status is shared with its clients and the object has no status
// sub-resource: only the difference to what was read is sent, as a merge
// patch. Workflows are read without Go types first, because any object can be
// stored under the kind and a malformed one must not stop the others.
//
// Life of a workflow:
//
//	"" ──admit──▶ Running ──▶ Succeeded | Failed | Error
//	     └─ invalid: Error with the condition SpecError
package controller
