// Package modelserver is the built-in model server: one process, one ONNX model.
//
//	listen ─ fetch model ─ check that it is ONNX ─ load ─ ready ─ SIGTERM ─ not ready, still serving ─ drained
//
// It speaks TensorFlow Serving's REST and the Open Inference Protocol v2 (JSON
// and the binary tensor extension) with the codecs of internal/wire. Models
// come from a file below an allowed folder, from an http(s) address, or from the
// platform's artifacts with the pod's own token; the token is sent to the
// platform only. Files that could run code (pickles and the like) are refused.
//
// Non-goals: it links no Kubernetes, knows no revision and no traffic.
package modelserver
