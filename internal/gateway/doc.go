// Package gateway is the data path of inference: it takes a request for an
// endpoint and sends it to a pod of one of the endpoint's revisions.
//
//	InferenceService status (traffic) ┐
//	pods (ready, not ending, port)    ┴─ watch ─ table ─┐
//	request ─ endpoint ─ body ─ pick revision by weight ─ pick pod ─ forward ─ answer
//	                             └── nothing was answered: another pod ──┘
//	                                                                └─ queue ─ rows ─ Recorder
//
// The table is replaced as a whole per endpoint, so a request sees either the
// old or the new state. A pod that ends leaves the table before it stops
// listening; who reached it too late is sent to another one. If no pod is ready
// the request waits for one, within limits.
//
// Every answer carries X-Kiwerk-Prediction-Id. What is recorded is parsed off
// the path of the request, from a bounded queue; when that is full predictions
// are not recorded and counted.
//
// The gateway decides nothing about revisions: internal/serving does, and only
// through the InferenceService's status.
package gateway
