// Package leftover finds and ends the processes and mounts of a local cluster
// that nobody looks after any more: those of a crash, of a damaged data
// directory, and those that hang.
//
// It believes nothing but /proc. A process belongs to a cluster when its
// command line names the cluster's directories (holder, shims), when it is our
// program and has the data directory's lock open (launcher, daemon), or when it
// lives in a mount namespace into which the cluster has mounted its own folders
// (containers, and what the daemon has started). A mount namespace that somebody
// else made over the whole data directory does not count.
//
// The package links only the standard library and x/sys.
package leftover
