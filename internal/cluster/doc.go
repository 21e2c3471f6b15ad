// Package cluster is the Kubernetes inside the program: unchanged upstream
// code for etcd, the API server, the controllers, the scheduler and the
// kubelet, run as goroutines of one process. Further nodes have a kubelet in a
// process each (package worker).
//
//	Start:  certificates → etcd → API server (answers) ─┬─ kubelet ──────────── node Ready ─┐
//	                                                    ├─ scheduler                        ├─ ready
//	                                                    └─ (/readyz ok) → controllers ──────┘
//	Stop:   kubelet, controllers, scheduler → API server → etcd
//
// [New] makes a [Cluster] from a [Config]; [RunControlPlane] is the part
// without a kubelet, as a program of its own for tests. Only this package and
// those below it import k8s.io/kubernetes. It knows nothing of the platform
// that runs on the cluster, nor of how containers are made: it calls a CRI
// socket.
package cluster
