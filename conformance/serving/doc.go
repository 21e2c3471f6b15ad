// Package serving deploys models on a running Kiwerk, registered with the stock
// MLflow client, and looks at them as users do: over HTTP and by the status of
// the InferenceService.
package serving
