package metrics

import (
	"context"
	"fmt"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	aggregator "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

// Priorities as metrics-server has them.
const (
	groupPriority   = 100
	versionPriority = 100
)

// Resources is the discovery document.
func Resources() *metav1.APIResourceList {
	list := &metav1.APIResourceList{
		TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: metricsv1beta1.SchemeGroupVersion.String(),
	}
	for _, r := range kinds {
		list.APIResources = append(list.APIResources, metav1.APIResource{Name: r.name, Namespaced: r.namespaced, Kind: r.kind, Verbs: metav1.Verbs{"get", "list"}})
	}
	return list
}

var kinds = []struct {
	name, kind string
	namespaced bool
}{{"nodes", "NodeMetrics", false}, {"pods", "PodMetrics", true}}

// Discovery is the same for clients that ask for all groups at once.
func Discovery() apidiscoveryv2.APIVersionDiscovery {
	d := apidiscoveryv2.APIVersionDiscovery{Version: metricsv1beta1.SchemeGroupVersion.Version, Freshness: apidiscoveryv2.DiscoveryFreshnessCurrent}
	for _, r := range kinds {
		scope := apidiscoveryv2.ScopeCluster
		if r.namespaced {
			scope = apidiscoveryv2.ScopeNamespace
		}
		d.Resources = append(d.Resources, apidiscoveryv2.APIResourceDiscovery{
			Resource: r.name, Scope: scope, Verbs: []string{"get", "list"},
			ResponseKind: &metav1.GroupVersionKind{Group: metricsv1beta1.GroupName, Version: metricsv1beta1.SchemeGroupVersion.Version, Kind: r.kind},
		})
	}
	return d
}

// Register lists the group in the API server and lets everybody with the role
// view read it.
func Register(ctx context.Context, cfg *rest.Config) error {
	services, err := aggregator.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("register %s: %w", metricsv1beta1.GroupName, err)
	}
	gv := metricsv1beta1.SchemeGroupVersion
	_, err = services.ApiregistrationV1().APIServices().Create(ctx, &apiregistrationv1.APIService{
		ObjectMeta: metav1.ObjectMeta{Name: gv.Version + "." + gv.Group},
		Spec: apiregistrationv1.APIServiceSpec{
			Group: gv.Group, Version: gv.Version, GroupPriorityMinimum: groupPriority, VersionPriority: versionPriority,
		},
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("register %s: %w", gv, err)
	}
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("register %s: %w", gv, err)
	}
	_, err = client.RbacV1().ClusterRoles().Create(ctx, &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "system:aggregated-metrics-reader", Labels: map[string]string{
			"rbac.authorization.k8s.io/aggregate-to-view": "true", "rbac.authorization.k8s.io/aggregate-to-edit": "true", "rbac.authorization.k8s.io/aggregate-to-admin": "true",
		}},
		Rules: []rbacv1.PolicyRule{{APIGroups: []string{gv.Group}, Resources: []string{"pods", "nodes"}, Verbs: []string{"get", "list", "watch"}}},
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("register %s: %w", gv, err)
	}
	return nil
}
