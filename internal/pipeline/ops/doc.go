// Package ops are the things that people do with workflows: submit, stop,
// suspend, resume, retry, resubmit. They change the Workflow object, as the
// clients of Argo do; the controller does the rest.
//
// What a retry changes is decided by a pure function, [RetryPatch]: nodes that
// succeeded are never run again.
package ops
