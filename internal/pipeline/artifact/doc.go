// Package artifact says where the artifacts of pipelines lie in the blob store
// and which keys are permitted. It is shared by the controller, which reads
// reports of steps, and the HTTP routes that steps and users call.
package artifact
