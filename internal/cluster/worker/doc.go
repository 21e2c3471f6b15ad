// Package worker runs the kubelets of the further nodes of a local cluster.
//
// The kubelet keeps feature gates, registries and the path
// /var/lib/kubelet/device-plugins for itself, so that a process has one. The
// first node's is in the daemon; each further one is a child process:
//
//	daemon   API server, scheduler, the container runtimes of all nodes, first kubelet
//	└─ kiwerk internal node   one kubelet, in a mount namespace of its own
//
// [Share] makes the state directory of such a kubelet a shared mount of the
// holder's mount namespace. What the kubelet mounts for pods appears there, where
// containers are made, and outlives it. [Start] keeps a child running: one that
// is killed is started again and goes on with the pods that it finds, which do
// not notice. [Run] is the child; it lives as long as its standard input is open.
//
// The package knows neither where containers run nor how nodes are chosen.
package worker
