// Package retrain replaces a model that no longer fits by a better one.
//
// A RetrainPolicy (package controller reconciles it) goes through these phases;
// each step is stored before the next begins, so any of them may be the last
// before a crash:
//
//	trigger ─► Collecting ─► Freezing ─► Training ─► Scoring ─► (AwaitingApproval) ─► Canary ─► Promoting ─► Promoted
//	  drift      labelled     training     Workflow    gate rows                        │ errors,
//	  schedule   samples      and gate        │         both models                     │ worse answers
//	  performance             versions     Failed      not better: Rejected             └► RollingBack ─► RolledBack
//
// Champion and challenger are compared on the gate part, which neither was
// trained on, by asking both through the gateway. A version that lost is marked
// in the registry and never offered again. Every decision is stored with its
// numbers ([Store]).
//
// The package knows pipelines and endpoints only as Kubernetes objects, and the
// registry, the gateway and the recorded predictions by the small interfaces
// below, which the composition root fills.
package retrain
