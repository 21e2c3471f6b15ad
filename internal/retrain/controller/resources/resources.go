package resources

import (
	"github.com/kiwerk/kiwerk/api/kiwerk/v1alpha1"
)

// MakeWorkflow is the workflow that trains, as spec of a Workflow. artifactKey
// is where the training part lies, if the template wants it as artifact.
func MakeWorkflow(spec *v1alpha1.RetrainPolicySpec, dataset, artifactKey string) map[string]any {
	parameters := []any{parameter(spec.Template.DatasetParameter, dataset)}
	for _, p := range spec.Template.Parameters {
		parameters = append(parameters, parameter(p.Name, p.Value))
	}
	arguments := map[string]any{"parameters": parameters}
	if artifactKey != "" {
		arguments["artifacts"] = []any{map[string]any{
			"name": spec.Template.DatasetArtifact, "s3": map[string]any{"key": artifactKey},
		}}
	}
	w := map[string]any{
		"workflowTemplateRef": map[string]any{"name": spec.Template.Name},
		"arguments":           arguments,
	}
	if spec.ServiceAccountName != "" {
		w["serviceAccountName"] = spec.ServiceAccountName
	}
	return w
}

func parameter(name, value string) map[string]any {
	return map[string]any{"name": name, "value": value}
}

// MakeChallenger is the endpoint on which the challenger answers while it is
// compared, as spec of an InferenceService. The predictor is the endpoint's own
// but for the model.
func MakeChallenger(predictor map[string]any, uri string) map[string]any {
	p := map[string]any{}
	for k, v := range predictor {
		switch k {
		case "canaryTrafficPercent", "maxReplicas", "minReplicas", "onnx":
		default:
			p[k] = v
		}
	}
	model, _ := p["model"].(map[string]any)
	m := map[string]any{"modelFormat": map[string]any{"name": "onnx"}}
	for k, v := range model {
		m[k] = v
	}
	m["storageUri"] = uri
	p["model"] = m
	return map[string]any{"predictor": p}
}
