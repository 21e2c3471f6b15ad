// Package dns is the cluster's name server, after version 1.1.0 of Kubernetes'
// DNS specification, in this process.
//
//	query ─┬─ below cluster.local, or the address of a Service ── [Zone] ── [Source] (informers)
//	       └─ everything else ── [Forwarder] ── upstreams, with a small cache
//
// [Zone] answers from what the informers hold; it keeps nothing of its own.
// [Server] listens with UDP and TCP on one address of the node's network
// namespace, and [Server.Publish] makes the Service kube-dns for it. Pods learn
// that Service's address from the kubelet.
//
// Pod names (1-2-3-4.ns.pod.cluster.local) are answered from the name alone if
// the namespace exists. Zone transfers, ANY and dynamic updates are refused.
// The package knows nothing of how packets get to it.
package dns
