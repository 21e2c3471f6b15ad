// Package gpu holds what is known about the graphics processors of a node, and
// what Kubernetes is told of them, as plain values and pure functions.
//
//	Driver ── System (what is there) ── Partition ── Resource (what pods ask for)
//	   │                            └── Labels (what schedulers select by)
//	   ├───── Sample (how it does)
//	   └───── Event (what went wrong) ── Health
//
// A [Driver] is NVIDIA's library or the simulation; nothing behind it knows
// which. Names of resources and labels are those of NVIDIA's device plugin and
// feature discovery. The package uses the standard library only, because the
// nvidia-smi of simulated GPUs, which is static and small, reads its types.
package gpu
