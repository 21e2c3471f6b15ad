package retrain

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/kiwerk/kiwerk/api/kiwerk/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/kube"
)

const (
	maxCount = 10_000_000
	maxPart  = 0.9
	maxItems = 100
)

// bounds of single fields; what depends on more than one is checked by the controller.
var bounds = map[string]func(*apiextensionsv1.JSONSchemaProps){
	"endpointRef.name":            kube.NotEmpty,
	"triggers.schedule.cron":      kube.NotEmpty,
	"triggers.performance.below":  kube.Between(0, 1, "it is an accuracy, so 80 % is 0.8"),
	"minLabelled":                 kube.Between(0, maxCount, "leave it out for 100 labelled samples"),
	"dataset.name":                kube.NotEmpty,
	"include":                     kube.OneOf("", v1alpha1.IncludePrevious),
	"gate.fraction":               kube.Between(0, maxPart, "it is a share, so a quarter is 0.25, which is taken if it is left out"),
	"gate.minRows":                kube.Between(0, maxCount, "leave it out for 20 rows"),
	"template.name":               kube.NotEmpty,
	"template.parameters":         kube.AtMost(maxItems),
	"template.parameters.[].name": kube.NotEmpty,
	"challenger.metric":           kube.OneOf("", v1alpha1.MetricAccuracy),
	"challenger.minImprovement":   kube.Between(0, 1, "it is a difference of accuracies, so 5 % points are 0.05"),
	"canary.steps":                kube.AtMost(maxItems),
	"canary.steps.[].percent":     kube.Between(1, 100, "it is the share of the requests in percent"),
	"canary.steps.[].minRequests": kube.Between(0, maxCount, "it is a number of requests"),
	"canary.maxErrorRate":         kube.Between(0, 1, "it is a share, so 1 % is 0.01, which is taken if it is left out"),
	"canary.maxAccuracyDrop":      kube.Between(0, 1, "it is a difference of accuracies; leave it out for 0.05"),
	"canary.minLabelled":          kube.Between(0, maxCount, "leave it out for 30 labels"),
	"approval":                    kube.OneOf("", v1alpha1.ApprovalAuto, v1alpha1.ApprovalManual),
}

// Kinds that this capability serves.
func Kinds() []kube.Kind {
	column := func(name, typ, path, about string) apiextensionsv1.CustomResourceColumnDefinition {
		return apiextensionsv1.CustomResourceColumnDefinition{Name: name, Type: typ, JSONPath: path, Description: about}
	}
	wide := func(name, typ, path, about string) apiextensionsv1.CustomResourceColumnDefinition {
		c := column(name, typ, path, about)
		c.Priority = 1
		return c
	}
	spec := kube.SchemaOf(v1alpha1.RetrainPolicySpec{})
	for path, change := range bounds {
		kube.At(spec, path, change)
	}
	return []kube.Kind{{
		Spec: spec, Status: kube.StatusSchemaOf(v1alpha1.RetrainPolicyStatus{}), About: v1alpha1.RetrainPolicy{}.SwaggerDoc()[""],
		Group: v1alpha1.GroupVersion.Group, Version: v1alpha1.GroupVersion.Version, Kind: "RetrainPolicy", Plural: "retrainpolicies", ShortNames: []string{"rp"},
		Columns: []apiextensionsv1.CustomResourceColumnDefinition{
			column("Endpoint", "string", ".spec.endpointRef.name", "InferenceService whose model is trained again"),
			column("Ready", "string", `.status.conditions[?(@.type=="Ready")].status`, "Whether the policy can be followed"),
			column("Phase", "string", ".status.current.phase", "Where the current or last retraining stands"),
			column("Champion", "string", ".status.current.champion.version", "Model version that it began with"),
			column("Challenger", "string", ".status.current.challenger.version", "Model version that it made"),
			column("Reason", "string", ".status.current.reason", "Why it is in this phase"),
			column("Age", "date", ".metadata.creationTimestamp", "Time since the policy was made"),
			wide("Count", "integer", ".status.count", "Retrainings so far"),
			wide("Trigger", "string", ".status.current.trigger.kind", "Why the retraining began"),
			wide("Approval", "string", ".spec.approval", "Whether a person decides"),
			wide("Message", "string", `.status.conditions[?(@.type=="Ready")].message`, "What stands in the way"),
		},
	}}
}
