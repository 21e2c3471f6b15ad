//go:build linux

// Command node measures what a container costs, against a bare process of the
// host in the same run: its start, its memory and its network, as root and as an
// ordinary user, with the bounds beside them.
//
//	go run ./bench/node [--bin bin] [--user kiwerk-test] [-o json]
//
// Every figure is a median of samples that were taken in turn with those of its
// baseline, so that a machine that changes its speed changes both. The same
// static program (probe) runs on both sides.
//
//   - start: RunPodSandbox, CreateContainer and StartContainer at the runtime's
//     socket, which return when the program runs, against fork and exec; out of
//     an image and of the host's own files; and a pod from its creation at the
//     API server to Running, which is mostly the kubelet's.
//   - memory: the sum of Pss of the platform's processes with N idle containers
//     more than without, divided by N; the program itself is not counted.
//   - network: one TCP connection from pod to pod, by address and through a
//     Service, against one over the host's loopback.
package main
