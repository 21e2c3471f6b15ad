package dryrun

import (
	"context"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"

	"github.com/kiwerk/kiwerk/internal/lint"
)

// manager is the field manager of the attempts, which are never stored.
const manager = "kiwerk-lint"

// Try asks the server about each object. Namespace is for objects without one.
// The error is about talking to the server, not about objects.
func Try(ctx context.Context, cfg *rest.Config, namespace string, objects []lint.Object) ([]lint.Refusal, error) {
	disco, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		return nil, err
	}
	if _, err = disco.ServerVersion(); err != nil {
		return nil, err
	}
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return nil, err
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(disco))
	var refused []lint.Refusal
	for _, o := range objects {
		err := try(ctx, client, mapper, namespace, o)
		var status apierrors.APIStatus
		switch {
		case err == nil || inNewNamespace(err, o, objects):
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case meta.IsNoMatchError(err):
			refused = append(refused, lint.Refusal{Object: o, Unserved: true, Path: "kind"})
		case errors.As(err, &status):
			refused = append(refused, refusals(o, status.Status())...)
		default:
			return nil, err
		}
	}
	return refused, nil
}

func try(ctx context.Context, client dynamic.Interface, mapper meta.RESTMapper, namespace string, o lint.Object) error {
	mapping, err := mapper.RESTMapping(o.GroupKind(), o.GVK().Version)
	if err != nil {
		return err
	}
	b, err := o.Root.JSON()
	if err != nil {
		return err
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(b); err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	var target dynamic.ResourceInterface = client.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		if u.GetNamespace() == "" {
			u.SetNamespace(namespace)
		}
		target = client.Resource(mapping.Resource).Namespace(u.GetNamespace())
	}
	if u.GetName() == "" {
		_, err := target.Create(ctx, u, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldManager: manager, FieldValidation: metav1.FieldValidationStrict})
		return err
	}
	if b, err = u.MarshalJSON(); err != nil {
		return err
	}
	force := true
	_, err = target.Patch(ctx, u.GetName(), types.ApplyPatchType, b, metav1.PatchOptions{
		DryRun: []string{metav1.DryRunAll}, FieldManager: manager, Force: &force, FieldValidation: metav1.FieldValidationStrict,
	})
	return err
}

// inNewNamespace is true when only the namespace is missing, which the same input makes.
func inNewNamespace(err error, o lint.Object, objects []lint.Object) bool {
	if !apierrors.IsNotFound(err) || o.Namespace == "" {
		return false
	}
	for _, n := range objects {
		if n.Kind == "Namespace" && n.Name == o.Namespace {
			return true
		}
	}
	return false
}

// refusals are the causes that the server names, or its message as a whole.
func refusals(o lint.Object, s metav1.Status) []lint.Refusal {
	var out []lint.Refusal
	if s.Details != nil {
		for _, c := range s.Details.Causes {
			if c.Field != "" {
				out = append(out, lint.Refusal{Object: o, Path: c.Field, Message: c.Message})
			}
		}
	}
	if len(out) == 0 {
		out = []lint.Refusal{{Object: o, Message: s.Message}}
	}
	return out
}
