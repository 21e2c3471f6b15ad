package kube

import (
	"context"
	"fmt"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Kind describes one of the kinds that we serve.
type Kind struct {
	Group, Version, Kind, Plural string
	ShortNames                   []string
	ClusterScoped                bool
	// NoStatus leaves out the status sub-resource, as Argo's Workflow does.
	NoStatus bool
	// Spec is the schema of spec; nil keeps whatever is there. With a schema,
	// unknown fields are kept where they stand directly under spec; below that the
	// API server itself refuses them or warns, as the client asks it to.
	Spec *apiextensionsv1.JSONSchemaProps
	// About says in a sentence what the kind is for.
	About string
	// Status describes what we report; nil says nothing of it.
	Status *apiextensionsv1.JSONSchemaProps
	// Columns of kubectl get.
	Columns []apiextensionsv1.CustomResourceColumnDefinition
}

// CRD builds the definition. Unknown fields are kept, because a pruned field is a silently ignored one.
func (k Kind) CRD() *apiextensionsv1.CustomResourceDefinition {
	keep := true
	spec := apiextensionsv1.JSONSchemaProps{Type: "object"}
	if k.Spec != nil {
		spec = *k.Spec
	}
	spec.XPreserveUnknownFields = &keep
	status := apiextensionsv1.JSONSchemaProps{Type: "object"}
	if k.Status != nil {
		status = *k.Status
	}
	status.XPreserveUnknownFields, status.Nullable = &keep, false
	version := apiextensionsv1.CustomResourceDefinitionVersion{
		Name: k.Version, Served: true, Storage: true, AdditionalPrinterColumns: k.Columns,
		Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{
			Type: "object", Description: k.About,
			Properties: map[string]apiextensionsv1.JSONSchemaProps{"spec": spec, "status": status},
		}},
	}
	if !k.NoStatus {
		version.Subresources = &apiextensionsv1.CustomResourceSubresources{Status: &apiextensionsv1.CustomResourceSubresourceStatus{}}
	}
	scope := apiextensionsv1.NamespaceScoped
	if k.ClusterScoped {
		scope = apiextensionsv1.ClusterScoped
	}
	return &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: k.Plural + "." + k.Group},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: k.Group, Scope: scope,
			Names:    apiextensionsv1.CustomResourceDefinitionNames{Kind: k.Kind, ListKind: k.Kind + "List", Plural: k.Plural, Singular: singular(k.Kind), ShortNames: k.ShortNames},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{version},
		},
	}
}

func singular(kind string) string {
	b := []byte(kind)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// EnsureCRDs applies the definitions and returns when the API server serves them all.
func EnsureCRDs(ctx context.Context, cfg *rest.Config, kinds []Kind) error {
	scheme := runtime.NewScheme()
	if err := apiextensionsv1.AddToScheme(scheme); err != nil {
		return err
	}
	// The definitions are few and known, so no discovery is needed.
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{apiextensionsv1.SchemeGroupVersion})
	mapper.Add(apiextensionsv1.SchemeGroupVersion.WithKind("CustomResourceDefinition"), meta.RESTScopeRoot)
	c, err := client.New(cfg, client.Options{Scheme: scheme, Mapper: mapper})
	if err != nil {
		return err
	}
	for _, k := range kinds {
		if err := Apply(ctx, c, nil, k.CRD()); err != nil {
			return err
		}
	}
	for _, k := range kinds {
		if err := waitEstablished(ctx, c, k.Plural+"."+k.Group); err != nil {
			return err
		}
	}
	return nil
}

func waitEstablished(ctx context.Context, c client.Client, name string) error {
	err := wait.PollUntilContextCancel(ctx, crdPoll, true, func(ctx context.Context) (bool, error) {
		var crd apiextensionsv1.CustomResourceDefinition
		if err := c.Get(ctx, client.ObjectKey{Name: name}, &crd); err != nil {
			return false, client.IgnoreNotFound(err)
		}
		for _, cond := range crd.Status.Conditions {
			if cond.Type == apiextensionsv1.Established {
				return cond.Status == apiextensionsv1.ConditionTrue, nil
			}
		}
		return false, nil
	})
	if err != nil {
		return fmt.Errorf("kind %s is not served: %w", name, err)
	}
	return nil
}

const crdPoll = 20 * time.Millisecond
