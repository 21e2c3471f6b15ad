//go:build linux

// Command kubernetes runs Kubernetes' own conformance suite, unmodified, against
// the local cluster, as root or as an ordinary user.
//
//	go run ./conformance/kubernetes [--user kiwerk-test] [--part 1/8] [--only REGEXP] [--again]
//
// It compiles the suite and its test programs from the very version of
// Kubernetes that Kiwerk embeds, packs the images that the suite names, starts a
// platform of its own, loads them and runs the specs marked [Conformance] or
// [NodeConformance]:
//
//	compile ─▶ images ─▶ kiwerk up ─▶ image load ─▶ batches of specs ─▶ docs/conformance/kubernetes-ACCOUNT.txt
//
// The result file is the state: it is written after each batch, and specs that it
// says passed are not run again, so that an interrupted run goes on where it was.
// What is left out stands in left-out.txt with its reason; nothing else is.
package main
