// Package services joins what makes Services work in a network of the node's
// own: kube-proxy, the cluster's name server, network policies and ports on the
// user's machine. All of them read one set of informers.
//
//	API server answers ── New ── Start ─┬─ rules of Services        (package proxy)
//	                                    ├─ name server, kube-dns     (package dns)
//	                                    ├─ rules of policies         (package policy)
//	                                    └─ ports on 127.0.0.1        (package publish)
//
// Start returns before the informers have synced, so it costs the start of the
// cluster nothing; [Services.Admit] waits for them. On the host's network
// ([Config].Host is nil) only policies are looked at, to say that they are not
// enforced.
package services
