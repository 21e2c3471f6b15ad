// Package shim runs one container: `kiwerk-agent shim` and, inside the
// container, `kiwerk-agent init`.
//
//	daemon ──fork──▶ shim            session of its own; owns log, control socket, exit file
//	                  └─clone──▶ init  pid 1 in new mount, pid, ipc and uts namespaces; reaps
//	                              ├─ the container's process
//	                              └─ processes of exec
//
// The shim outlives the daemon: the holder, which is a child subreaper,
// inherits it, and a new daemon finds it by the files in the container's
// directory. `lock` is flocked as long as the shim lives, `shim.json` names
// its pid with its start time, `exit.json` appears atomically when all is
// over. When the container's process ends, init ends, and with it the kernel
// kills whatever is left in the pid namespace. When the shim is killed, init
// sees its end of their socket close and does the same.
//
// Where processes are shared with others, by the pod ([StartPod] and
// `kiwerk-agent pod`, its pid 1) or with a container that is debugged, init stays
// outside of their pid namespace and forks into it; the container's mount
// namespace tells then what ends with it. On the node's pid namespace, init
// finds what is its own by descent.
//
// [Start] and [Adopt] are the daemon's side, [Run] and [Init] the agent's. The
// package links only the standard library and x/sys, and knows nothing of
// Kubernetes but the format of the log (CRI).
package shim
