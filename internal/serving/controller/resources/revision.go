package resources

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	corev1 "k8s.io/api/core/v1"

	"github.com/kiwerk/kiwerk/api/serving/v1beta1"
	"github.com/kiwerk/kiwerk/internal/serving"
)

// Revision is a model version together with the pod that serves it. Its name
// is a function of both, so the same wish always leads to the same revision.
type Revision struct {
	Name  string
	Model serving.Model
	Pod   corev1.PodTemplateSpec
}

// ModelOf is the model of a spec in either spelling; nil if there is none.
func ModelOf(s *v1beta1.InferenceServiceSpec) *v1beta1.PredictorExtensionSpec {
	switch {
	case s.Predictor.Model != nil:
		return &s.Predictor.Model.PredictorExtensionSpec
	case s.Predictor.ONNX != nil:
		return s.Predictor.ONNX
	default:
		return nil
	}
}

// MakeRevision is the revision that a spec asks for with this model.
func MakeRevision(isvc *v1beta1.InferenceService, model serving.Model, p serving.Policy) Revision {
	rev := Revision{Model: model, Pod: makePod(isvc, model, p)}
	rev.Name = isvc.Name + "-predictor-" + digest(rev.Pod)
	return rev
}

// digest names what runs. Eight hex digits suffice to tell the few revisions
// of one service apart.
func digest(pod corev1.PodTemplateSpec) string {
	b, err := json.Marshal(pod)
	if err != nil { // a PodTemplateSpec consists of plain values only
		return "invalid"
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:4])
}
