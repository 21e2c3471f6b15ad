// Package holder keeps the namespaces of the local cluster alive and owns its
// processes: `kiwerk-agent hold`.
//
//	launcher ──connection── holder    session of its own, child subreaper, one per data directory
//	                          ├─ daemon   started on request, killed when its launcher is lost
//	                          └─ shims    children of the daemon; ours once it has ended
//
// An ordinary user's holder is root of a user namespace; root's has a mount
// namespace of its own. With [Options.PodNetwork] either has a network namespace,
// too, which becomes the node's. Inside, it prepares what the kubelet insists on. Since
// it outlives launcher and daemon, the mounts that the kubelet made for pods
// are still there for the next daemon, and orphaned shims have a parent.
//
// It ends when it was told to shut down and nothing runs any more, or by
// itself when there is neither a daemon, nor a shim, nor a launcher.
//
// [Ensure] and [Client] are the launcher's side, [Run] the agent's. The
// package links only the standard library and x/sys and knows neither what
// the daemon is nor what shims do.
package holder
