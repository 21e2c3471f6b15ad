package app

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kiwerk/kiwerk/internal/kube"
	"github.com/kiwerk/kiwerk/internal/lifecycle"
	"github.com/kiwerk/kiwerk/internal/server"
)

// capability is what one part of the platform brings along.
type capability struct {
	name      string
	kinds     []kube.Kind
	scheme    func(*runtime.Scheme) error
	setup     func(context.Context, ctrl.Manager) error
	component lifecycle.Component
	endpoints []server.Endpoint
}

// build makes the services of all capabilities. Where one needs another it
// declares a small interface, which is filled here.
func (a *App) build(*rest.Config) ([]capability, error) {
	return []capability{}, nil
}

func addSchemes(s *runtime.Scheme, list []capability) error {
	if err := clientgoscheme.AddToScheme(s); err != nil {
		return err
	}
	for _, c := range list {
		if c.scheme == nil {
			continue
		}
		if err := c.scheme(s); err != nil {
			return err
		}
	}
	return nil
}

// uncached are kinds that are read rarely: a cache of them would hold every
// Secret of the cluster in memory and need the right to list them.
func uncached() []client.Object {
	return []client.Object{&corev1.Secret{}, &corev1.ConfigMap{}, &corev1.ServiceAccount{}, &rbacv1.ClusterRole{}, &rbacv1.RoleBinding{}}
}
