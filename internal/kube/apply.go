package kube

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

// Apply creates or changes a child by server-side apply with our field owner
// and makes owner its controller, so that it goes when the owner goes.
func Apply(ctx context.Context, c client.Client, owner, child client.Object) error {
	gvk, err := apiutil.GVKForObject(child, c.Scheme())
	if err != nil {
		return err
	}
	if owner != nil {
		if err := controllerutil.SetControllerReference(owner, child, c.Scheme()); err != nil {
			return fmt.Errorf("own %s %s: %w", gvk.Kind, child.GetName(), err)
		}
	}
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(child)
	if err != nil {
		return err
	}
	u := &unstructured.Unstructured{Object: fields}
	u.SetGroupVersionKind(gvk)
	u.SetManagedFields(nil)
	u.SetResourceVersion("")
	unstructured.RemoveNestedField(u.Object, "metadata", "creationTimestamp")
	unstructured.RemoveNestedField(u.Object, "status")
	if err := c.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(FieldOwner), client.ForceOwnership); err != nil {
		return fmt.Errorf("apply %s %s/%s: %w", gvk.Kind, child.GetNamespace(), child.GetName(), err)
	}
	return nil
}
