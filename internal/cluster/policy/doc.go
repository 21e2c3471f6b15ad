// Package policy enforces NetworkPolicy objects with nftables in the network
// namespace of the node.
//
//	policies, pods, namespaces ── [Compile] ──► [Ruleset] ── Script ──► nft -f - (one transaction)
//
// [Compile] is pure: it resolves selectors to addresses. [Controller] watches,
// applies a script when it differs from the last one, and isolates a pod
// before its containers start ([Controller.Admit]). The rules stay when the
// daemon ends: pods live on, and so does what they may do.
//
// What counts is each packet of the direction in which a connection was
// opened, so a connection lives as long as the policies allow it; its answers
// always pass. Traffic between the node and its pods is allowed, as Kubernetes
// demands; that includes what the host sends through published ports, and the
// API server. The cluster's name server counts as a pod, so policies that
// forbid or allow DNS do.
//
// IPv4 only, as the pod network is. Without a pod network of our own
// ([Config].Apply is nil) each policy gets an event that says that it is not
// enforced.
package policy
