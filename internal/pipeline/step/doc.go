// Package step is what runs inside a container of a pipeline step: it fetches
// the input artifacts, writes the script, runs the user's command, and reports
// what came out. It is called as
//
//	kiwerk-agent step -- COMMAND ARGUMENT…
//
// with a [Spec] in the environment, and leaves a [Report] in the container's
// termination message (or, when that is too small, in the blob store with the
// key in the message). So a step needs no second container, no rights in
// Kubernetes and no object of its own.
//
//	inputs ──▶ script ──▶ command ──▶ outputs ──▶ report
//	  └── fails: exit 64       └── fails: its own exit code
//
// The package is linked into a small static program: standard library and
// golang.org/x/sys only.
package step
