// Package controller reconciles InferenceServices.
//
// Children: one Deployment for each revision, named <service>-predictor-<hash>.
//
//	            ┌── target not ready ──► old revision keeps all requests
//	spec ──► target revision
//	            └── target ready ──┬── no canaryTrafficPercent ──► target rolled out, 100 %
//	                               └── p % ──► target p, previous 100−p
//	a revision without requests ──► retired ──► (drain) ──► deleted
//
// Conditions are KServe's: PredictorReady, LatestDeploymentReady, RoutesReady,
// IngressReady and their summary Ready. Fields that are not supported are named
// by their path in PredictorReady, and nothing that runs is touched then.
package controller
