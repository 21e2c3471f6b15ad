// Package pod makes the pod of a step from its template. [Make] is a pure
// function; the name comes from the caller and follows from the node.
//
// A pod has one container, main, beside those that the template asks for
// itself: the user's command is wrapped by the step agent, which the node puts
// into every container. Sidecars become restartable init containers, so
// Kubernetes itself ends them when main has ended.
package pod
