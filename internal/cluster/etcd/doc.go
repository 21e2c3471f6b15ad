// Package etcd runs the store of the local cluster: one etcd member inside the
// program, reached over a unix socket.
//
// The member has no peers, so it opens no peer listener and no TCP port. Writes
// are durable before they are acknowledged; nothing is traded for speed.
package etcd
