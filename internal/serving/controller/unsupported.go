package controller

import (
	"fmt"
	"slices"

	"github.com/kiwerk/kiwerk/api/serving/v1beta1"
	"github.com/kiwerk/kiwerk/internal/serving/controller/resources"
)

// unsupported lists everything in a spec that would be done differently from
// what it says, each with its path.
func unsupported(s *v1beta1.InferenceServiceSpec) []string {
	p := &s.Predictor
	var problems []string
	refuse := func(present bool, path, why string) {
		if present {
			problems = append(problems, path+": "+why)
		}
	}
	const later = "not supported yet"
	refuse(s.Transformer != nil, "spec.transformer", later)
	refuse(s.Explainer != nil, "spec.explainer", later)
	refuse(len(s.Canary) > 0, "spec.canary", later+"; use spec.predictor.canaryTrafficPercent")
	refuse(p.MinReplicas != nil && *p.MinReplicas < 1, "spec.predictor.minReplicas", "scaling to zero is "+later+"; use 1 or more")
	refuse(p.MaxReplicas != 0 && p.MaxReplicas < replicasOf(s), "spec.predictor.maxReplicas", "is less than minReplicas")
	refuse(p.CanaryTrafficPercent != nil && (*p.CanaryTrafficPercent < 0 || *p.CanaryTrafficPercent > 100),
		"spec.predictor.canaryTrafficPercent", "must be between 0 and 100")
	refuse(p.TimeoutSeconds != nil && *p.TimeoutSeconds < 1, "spec.predictor.timeout", "must be at least 1 second")
	for _, path := range p.Unsupported() {
		refuse(true, "spec.predictor."+path, later)
	}

	m := resources.ModelOf(s)
	if m == nil {
		return append(problems, "spec.predictor.model: a model is required (modelFormat onnx)")
	}
	path := "spec.predictor.model"
	if p.Model == nil {
		path = "spec.predictor.onnx"
	} else {
		refuse(p.ONNX != nil, "spec.predictor.onnx", "give either model or onnx")
		refuse(p.Model.ModelFormat.Name != "onnx", path+".modelFormat.name",
			fmt.Sprintf("format %q is not served; export the model to onnx", p.Model.ModelFormat.Name))
		refuse(p.Model.Runtime != nil && *p.Model.Runtime != runtimeName, path+".runtime",
			fmt.Sprintf("only the built-in runtime %q is there", runtimeName))
	}
	refuse(m.StorageURI == nil || *m.StorageURI == "", path+".storageUri", "is required")
	refuse(m.ProtocolVersion != nil && !slices.Contains([]string{"v1", "v2"}, *m.ProtocolVersion), path+".protocolVersion", "must be v1 or v2")
	for _, field := range m.Unsupported() {
		refuse(true, path+"."+field, later)
	}
	return problems
}

// runtimeName of the built-in model server, as a ServingRuntime would be called.
const runtimeName = "kiwerk-onnxruntime"
