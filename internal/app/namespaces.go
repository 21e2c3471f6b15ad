package app

import (
	"context"
	"errors"
	"net/http"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kiwerk/kiwerk/internal/server"
)

// namespaces are the workspaces of tracking. Who may list the experiments of
// one sees it.
type namespaces struct {
	kube       client.Reader
	authorizer server.Authorizer
}

// Visible implements workspaces.Namespaces.
func (n namespaces) Visible(ctx context.Context, u server.User) ([]string, error) {
	var list corev1.NamespaceList
	if err := n.kube.List(ctx, &list); err != nil {
		return nil, ownRights(err)
	}
	everywhere, err := n.may(ctx, u, "")
	if err != nil {
		return nil, err
	}
	var names []string
	for i := range list.Items {
		ns := &list.Items[i]
		if ns.Status.Phase == corev1.NamespaceTerminating {
			continue
		}
		sees := everywhere
		if !sees {
			if sees, err = n.may(ctx, u, ns.Name); err != nil {
				return nil, err
			}
		}
		if sees {
			names = append(names, ns.Name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Sees implements workspaces.Namespaces.
func (n namespaces) Sees(ctx context.Context, u server.User, name string) (bool, error) {
	if len(validation.IsDNS1123Label(name)) > 0 {
		return false, nil
	}
	if sees, err := n.may(ctx, u, name); err != nil || !sees {
		return false, err
	}
	var ns corev1.Namespace
	err := n.kube.Get(ctx, client.ObjectKey{Name: name}, &ns)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil, ownRights(err)
}

// may asks about one namespace, or about all if it is empty.
func (n namespaces) may(ctx context.Context, u server.User, namespace string) (bool, error) {
	err := n.authorizer.Authorize(ctx, u, server.Can("list", "experiments"), namespace)
	if errors.Is(err, errDenied) {
		return false, nil
	}
	return err == nil, err
}

// ownRights tells the caller that it is not they who lack a right.
func ownRights(err error) error {
	if !apierrors.IsForbidden(err) {
		return err
	}
	e := server.Errorf(http.StatusInternalServerError, "INTERNAL_ERROR", "this server may not read the namespaces of its cluster")
	e.Remedy = "give its service account a ClusterRole with get and list on namespaces"
	return e
}
