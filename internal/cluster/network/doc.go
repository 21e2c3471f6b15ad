// Package network gives the node and each pod of the local cluster a network
// of their own, the same way for root and for an ordinary user.
//
//	host ── uplink ── node namespace (the holder's)          daemon, host-network pods
//	                    lo: NodeIP, PlatformIP, ResolverIP, HostIP, DNSIP
//	                    ├─ kwp0af40010 ═══ eth0 10.244.0.16   pod
//	                    └─ kwp0af40011 ═══ eth0 10.244.0.17   pod
//
// A pod has its address as /32 and everything else behind 169.254.1.1, whose
// hardware address it knows beforehand; the node has one route per pod. There
// is no bridge and no ARP.
//
// [Open] prepares the node's namespace, [Network.Attach] and [Network.Detach]
// make and remove the network of a pod. Addresses lie in a file before they
// are used. A pod's namespace is kept alive by a bind mount in the holder's
// mount namespace, so it survives the daemon; [Network.Keep] adopts what is
// there and removes what nobody knows any more.
//
// Several nodes ([Network.Node]) are addresses of the one namespace, with pods of their own.
//
// The way out of the node is an [Uplink]: for root [JoinHost] makes a veth to
// the host with masquerading, for a user package egress carries connections.
// The package knows neither the CRI nor Kubernetes.
package network
