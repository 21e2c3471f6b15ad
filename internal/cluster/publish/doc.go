// Package publish makes Services reachable on the user's machine: node ports
// and the ports of load balancers, on 127.0.0.1; and so the host ports of pods.
//
//	client ── 127.0.0.1:80 (socket of the host's network) ── [ports] ── node port, cluster IP or pod
//
// [Controller] asks for a socket in the host's network for each port, accepts
// on it and connects from the node's network; the kernel moves the bytes. What
// was published stands in the Service's status (load balancers) and in the
// condition kiwerk.dev/Published. A port that another program has is told by
// event and condition and tried again; a port of a Service that is gone is
// closed, and what waited for it comes next. A pod's host port that cannot be
// had is told by an event of the pod.
//
// externalTrafficPolicy needs nothing here: there is one node, and the node
// port that is used has it built in. Source ranges that leave out 127.0.0.1
// leave out everybody who could connect, so nothing is opened for them. SCTP
// is not published. The package knows neither where its sockets come from nor
// how Services reach pods.
package publish
