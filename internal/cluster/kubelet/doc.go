// Package kubelet runs the real kubelet inside the program.
//
// It gets clients instead of a kubeconfig, a small view of the machine instead
// of cAdvisor (which would watch every cgroup of the host), and serves its API
// on a unix socket instead of a port: the cluster's API server is the only
// caller and dials it with [Dial]. The container runtime is whatever answers on
// the CRI socket.
//
// The kubelet expects to own its state directory and, at a path that is built
// into it, /var/lib/kubelet/device-plugins. The process must therefore run in
// a mount namespace of its own where its state is bound over /var/lib/kubelet,
// and as uid 0 of that namespace's user namespace.
package kubelet
