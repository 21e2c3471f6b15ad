// Package manifest reads Kubernetes manifests without losing where things
// stand, and changes them without losing how they were written.
//
//	text ── Parse ──> File ── Documents ──> Value (node, path, line)
//	                                          │ Edit
//	text <── File.Apply ── only touched lines change ──┘
//
// A [File] is several YAML or JSON documents; each is parsed by itself, so a
// syntax error in one hides nothing in the others. A [Value] is a place in a
// document: it knows its path as kubectl writes it, its line, and can be absent.
// [Edit] changes the tree of nodes; [File.Apply] carries that over to the text.
//
// The package knows YAML and nothing of Kubernetes' kinds.
package manifest
