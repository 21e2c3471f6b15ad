// Package hostnet makes sockets in the host's network for a process in another
// one.
//
//	launcher: Serve(conn) ── net.Dial, net.Listen ── host's network
//	             │ connected or listening socket (SCM_RIGHTS)
//	daemon:   Client.DialContext, Client.Listen
//
// The daemon lives in the node's own network. What it calls for its user – a
// webhook, a registry on localhost, the name servers of /etc/resolv.conf – and
// what it publishes on the machine goes through sockets that the launcher has
// made, so that 127.0.0.1 means the user's machine. No byte passes through the
// launcher.
//
// [Relay] answers DNS inside the node's network by asking the host's servers; a
// few names are its own, such as that of the host.
package hostnet
