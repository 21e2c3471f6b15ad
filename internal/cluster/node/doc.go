// Package node is what runs beside the kubelet on the only node of the local
// cluster: it tells the host's address and keeps the annotation with the
// loopback port of each pod.
//
// [HostIP] chooses the address under which node and pods are known.
// [Annotator] patches the annotation kiwerk.dev/port onto pods as a
// [PortSource] (the process runtime) hands ports out.
package node
