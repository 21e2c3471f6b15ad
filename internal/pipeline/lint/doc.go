// Package lint finds what is wrong with a workflow before anything of it runs,
// and names it by the path of the field.
//
//   - [Fields] compares a manifest with the Go types: fields that nobody
//     knows, and fields of Argo that this engine does not execute.
//   - [Spec] checks the meaning: names, references, cycles, conditions, tags.
//
// A [Problem] is an error when the workflow would do something other than its
// author asked for, else a warning.
package lint
