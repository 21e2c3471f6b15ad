// Package metrics serves metrics.k8s.io, which `kubectl top` and the
// horizontal pod autoscaler read, without a metrics-server.
//
// A [Source] counts what the node and its containers have used so far; the one
// for a cluster asks the container runtime. [Meter] turns two counts into
// rates. It counts only when somebody asks: an idle cluster pays nothing, and
// the first question after a while takes as long as the shortest window.
// [Handler] answers in the form of the API; the API server calls it after it
// has checked who asks. [Register] makes the group known.
package metrics
