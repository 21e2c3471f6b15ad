// Package seccomp makes filters of system calls for containers.
//
//	profile (JSON of OCI form, or [Default]) ──[Profile.Compile]──▶ BPF program ──▶ init of the container
//
// The daemon compiles, so that the container's init, which is started often
// and must stay small, only hands bytes to the kernel. [Default] is what pods
// get with `seccompProfile: {type: RuntimeDefault}`: calls that change the
// machine, the mounts or the namespaces, load code into the kernel or look
// into what is not the container's are refused, as far as no capability that
// the container keeps stands for them; everything else works. [Parse] reads a
// profile from a file.
//
// The package knows nothing of Kubernetes.
package seccomp
