// Package cgroup bounds and measures what containers use, where the host lets us.
//
//	<where the holder runs>/kiwerk-<name>    one tree per data directory
//	└─ <pod>                                 shares of CPU, number of processes
//	   └─ <container>                        limits of CPU and memory, OOM kills
//
// [Open] finds a place for the tree: in version 1 (controllers mounted one by
// one) as root, in version 2 as root or where the directory was delegated to
// the user. A [Group] is the container's directories by controller; it is plain
// data, so that it can be passed to another process, which enters it with
// [Group.Enter]. [Group.Stats] is what it uses.
//
// Where no place is found the error is an [Unavailable], which says why and
// what would help. The package links only the standard library and x/sys and
// knows nothing of Kubernetes.
package cgroup
