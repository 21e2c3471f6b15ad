// Package serving turns InferenceServices into running model servers.
//
// The controller (internal/serving/controller) makes one Deployment for each
// revision of an endpoint, which is a model version together with the pod it
// runs in, and decides which share of the requests each revision gets:
//
//	spec ─ resolve storageUri ─ revision ─ Deployment ─ ready? ─ status.components.predictor.traffic
//	                                                                   │
//	                                                     internal/gateway splits by it
//
// Canary as KServe has it: with canaryTrafficPercent the newest revision gets
// that share and the one rolled out before the rest; unset promotes; 0 sends
// everything back, also after a promotion: the revision that was replaced last
// keeps its Deployment, without pods, to be started again. A revision gets
// requests only when its pods are ready, and the pods of the one it replaces
// end when no request can be on its way to them any more.
//
// This package holds what the controller and the composition root agree on:
// the kinds, and the [Resolver] that turns models:/ and runs:/ addresses into
// a fixed version. It does not know the registry, nor how requests are sent.
package serving
