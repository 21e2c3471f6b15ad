package retrain

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/kiwerk/kiwerk/api/kiwerk/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/kube"
)

// Kinds that this capability serves.
func Kinds() []kube.Kind {
	column := func(name, typ, path string) apiextensionsv1.CustomResourceColumnDefinition {
		return apiextensionsv1.CustomResourceColumnDefinition{Name: name, Type: typ, JSONPath: path}
	}
	return []kube.Kind{{
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
