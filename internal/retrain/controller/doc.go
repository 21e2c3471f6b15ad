// Package controller reconciles RetrainPolicies.
//
// Children: one Workflow for each retraining, named as the retraining
// (<policy>-<start of its uid>-<count>), and while models are compared an InferenceService
// <endpoint>-challenger. The endpoint itself belongs to its user: only
// storageUri and canaryTrafficPercent of its predictor are patched.
//
// The phases are in the documentation of package retrain. One reconcile makes
// at most one step, and stores it; the change of the status wakes the next.
// What a step needs to be repeated without harm (names, times, addresses) is
// in the status before the step is taken.
package controller
