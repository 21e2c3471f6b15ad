// Package wire has the codecs of the inference protocols: TensorFlow Serving's
// REST predict, status and metadata, and the Open Inference Protocol v2 over
// REST with its binary tensor extension.
//
//	request ─ ParsePredict / ParseInfer ─ []Tensor ─ model ─ []Tensor ─ AppendPredict / AppendInfer ─ answer
//	request + answer ─ PredictRows / InferRows ─ []Row            (what the record of predictions keeps)
//
// Numbers are parsed by hand, straight into the bytes that the model reads,
// because a general JSON decoder costs several times the inference itself for
// tensors of image size. Depth is bounded here, size by whoever reads the body;
// memory grows with the bytes read, never with a number that the body states.
//
// Non-goals: it knows no HTTP handler, no model and no Kubernetes, and imports
// the standard library only.
package wire
