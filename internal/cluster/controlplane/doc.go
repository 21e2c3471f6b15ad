// Package controlplane runs kube-apiserver, the controllers and the scheduler
// of the local cluster as goroutines of this process.
//
//	APIServer ── Client() ──┬─ Scheduler
//	                        └─ Controllers
//
// The code is Kubernetes' own; only what its commands do around it (flags,
// files, leader election, exit on failure) is replaced. Components talk to the
// API server with its loopback client, so there are neither tokens nor
// kubeconfig files for them.
//
// Kubernetes keeps feature gates, metrics, logging and the registries of
// configurations in globals. A process therefore starts at most one control
// plane in its life; [Prepare] enforces it.
package controlplane
