// Package app puts the platform together: from a configuration and a client
// configuration of some Kubernetes it builds storage, the controllers of every
// capability and the HTTP server. It is the same on a laptop and on a cluster
// and never knows the local cluster.
//
//	New ── Serve (answers /health with the phase, 503) ── Start: data ─ definitions ─ controllers ─ ready
//
// [App] is the composition root, [front.Front] the listening side, [Local] what a
// laptop adds: the token of the data directory and the check of the peer's uid.
// Capabilities meet here only: where one needs another it declares a small
// interface, and this package fills it.
package app
