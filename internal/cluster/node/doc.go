// Package node is what runs beside the kubelets of the local cluster: it makes
// their nodes, tells the host's address and keeps the annotation with the
// loopback port of each pod.
//
// [HostIP] chooses the address under which node and pods are known.
// [Annotator] patches the annotation kiwerk.dev/port onto pods as a
// [PortSource] (the process runtime) hands ports out.
package node
