// Package cli is the command tree of kiwerk, one file per command.
//
// It holds no business logic: a command reads its flags, calls a function of
// [Runners] and prints what came back. cmd/kiwerk fills the runners, so this
// package links neither the local cluster nor Kubernetes and its tests are
// quick.
//
// Rules that hold for each command (a test walks the tree): data goes to
// standard output, talk to standard error; what prints data knows
// -o table|json|yaml; each has an example; errors are a [Failure] that says
// what, why and what to try; the exit code is one of the Exit constants.
package cli
