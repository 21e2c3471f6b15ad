// Package egress carries the connections of the local cluster's pods into the
// host's network without any privilege: a TCP/IP stack in the program (gVisor's)
// takes the node's packets from a packet socket and makes a connection of the
// host for each of theirs.
//
//	pod ── node ── uplink (veth) ── packet socket ── [Stack] ── Dial ── host's network
//
// TCP and UDP over IPv4 pass; nothing else does. The package knows frames and a
// dialer, not where they come from.
package egress
