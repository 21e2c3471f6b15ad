// Package cri is the process runtime: the container runtime that the kubelet
// talks to, over its stock gRPC interface on a unix socket.
//
// A pod sandbox is a record with a network of its own, or where there is none
// with a free loopback port of the host. A container is a process of the host
// under a shim of its own (package shim) in a root made of an image's layers or
// of the host's own files (package rootfs). An image name means a program of
// ours, a stored image (package image), what its registry gives, or the host's
// own tools, in this order and as far as [ImageMode] allows.
//
//	created ──StartContainer──▶ running ──process ends──▶ exited
//	   container.json              spec.json, shim.json      exit.json
//
// The files decide: a new daemon reads them, adopts the shims that still live
// and reads the exits of the others, so that neither a crash of the daemon nor
// its restart is seen by a container. [Server.Stop] leaves containers running;
// [Server.StopContainers] is for a clean end of the platform.
//
// What the runtime cannot do (other users than root where the host grants none,
// a user namespace) is refused when the container is created, with the reason. The package knows the CRI, not the Kubernetes API.
package cri
