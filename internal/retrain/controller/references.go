package controller

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kiwerk/kiwerk/api/kiwerk/v1alpha1"
)

// missing is an object that the spec names and that is not there.
type missing struct{ reason, message string }

// readTraining finds what a training needs and lacks. An account that nobody
// names is the namespace's own, which Kubernetes makes.
func (r *reconciler) readTraining(ctx context.Context, namespace string, spec *v1alpha1.RetrainPolicySpec) ([]missing, error) {
	template := newObject(templateKind, namespace, spec.Template.Name)
	if err := r.client.Get(ctx, client.ObjectKeyFromObject(template), template); apierrors.IsNotFound(err) {
		template = nil
	} else if err != nil {
		return nil, fmt.Errorf("read WorkflowTemplate %s: %w", spec.Template.Name, err)
	}
	var list []missing
	account, named := spec.ServiceAccountName, "spec.serviceAccountName"
	if template == nil {
		list = append(list, missing{v1alpha1.ReasonTemplateNotFound, notFound(templateKind.Kind, spec.Template.Name, namespace, "spec.template.name")})
	} else if account == "" {
		account, _, _ = unstructured.NestedString(template.Object, "spec", "serviceAccountName")
		named = "spec.serviceAccountName of WorkflowTemplate " + spec.Template.Name
	}
	if account == "" {
		return list, nil
	}
	found := &metav1.PartialObjectMetadata{}
	found.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ServiceAccount"))
	if err := r.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: account}, found); apierrors.IsNotFound(err) {
		list = append(list, missing{v1alpha1.ReasonServiceAccountNotFound, notFound("ServiceAccount", account, namespace, named)})
	} else if err != nil {
		return nil, fmt.Errorf("read ServiceAccount %s: %w", account, err)
	}
	return list, nil
}

func notFound(kind, name, namespace, named string) string {
	return fmt.Sprintf("%s %s does not exist in namespace %s; create it or change %s", kind, name, namespace, named)
}
