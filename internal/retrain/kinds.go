package retrain

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/kiwerk/kiwerk/api/kiwerk/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/kube"
)

const (
	maxCount = 10_000_000
	maxPart  = 0.9
)

// bounds of single fields; what depends on more than one is checked by the controller.
var bounds = map[string]func(*apiextensionsv1.JSONSchemaProps){
	"endpointRef.name":            kube.NotEmpty,
	"triggers.schedule.cron":      kube.NotEmpty,
	"triggers.performance.below":  kube.Between(0, 1),
	"minLabelled":                 kube.Between(0, maxCount),
	"dataset.name":                kube.NotEmpty,
	"include":                     kube.OneOf("", v1alpha1.IncludePrevious),
	"gate.fraction":               kube.Between(0, maxPart),
	"gate.minRows":                kube.Between(0, maxCount),
	"template.name":               kube.NotEmpty,
	"template.parameters.[].name": kube.NotEmpty,
	"challenger.metric":           kube.OneOf("", v1alpha1.MetricAccuracy),
	"challenger.minImprovement":   kube.Between(0, 1),
	"canary.steps.[].percent":     kube.Between(1, 100),
	"canary.steps.[].minRequests": kube.Between(0, maxCount),
	"canary.maxErrorRate":         kube.Between(0, 1),
	"canary.maxAccuracyDrop":      kube.Between(0, 1),
	"canary.minLabelled":          kube.Between(0, maxCount),
	"approval":                    kube.OneOf("", v1alpha1.ApprovalAuto, v1alpha1.ApprovalManual),
}

// Kinds that this capability serves.
func Kinds() []kube.Kind {
	column := func(name, typ, path string) apiextensionsv1.CustomResourceColumnDefinition {
		return apiextensionsv1.CustomResourceColumnDefinition{Name: name, Type: typ, JSONPath: path}
	}
	spec := kube.SchemaOf(v1alpha1.RetrainPolicySpec{})
	for path, change := range bounds {
		kube.At(spec, path, change)
	}
	return []kube.Kind{{
		Spec:  spec,
		Group: v1alpha1.GroupVersion.Group, Version: v1alpha1.GroupVersion.Version, Kind: "RetrainPolicy", Plural: "retrainpolicies", ShortNames: []string{"rp"},
		Columns: []apiextensionsv1.CustomResourceColumnDefinition{
			column("Endpoint", "string", ".spec.endpointRef.name"),
			column("Phase", "string", ".status.current.phase"),
			column("Champion", "string", ".status.current.champion.version"),
			column("Challenger", "string", ".status.current.challenger.version"),
			column("Reason", "string", ".status.current.reason"),
			column("Age", "date", ".metadata.creationTimestamp"),
		},
	}}
}
