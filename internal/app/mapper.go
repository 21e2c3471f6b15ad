package app

import (
	"net/http"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// clusterScoped are the kinds without a namespace that the platform works with.
var clusterScoped = []string{
	"Namespace", "Node", "PersistentVolume", "StorageClass", "ClusterRole", "ClusterRoleBinding",
	"TokenReview", "SubjectAccessReview", "ClusterWorkflowTemplate",
}

// mappedGroups are the API groups whose kinds are known without asking.
var mappedGroups = []string{"", "apps", "batch", "rbac.authorization.k8s.io", "authentication.k8s.io", "authorization.k8s.io", "events.k8s.io", "coordination.k8s.io"}

// mapper knows the kinds of the scheme and asks the API server only for
// others: its discovery costs a second of a start, and finds what we know.
func mapper(scheme *runtime.Scheme) func(*rest.Config, *http.Client) (meta.RESTMapper, error) {
	return func(cfg *rest.Config, c *http.Client) (meta.RESTMapper, error) {
		var versions []schema.GroupVersion
		for gvk := range scheme.AllKnownTypes() {
			if mapped(gvk) && !slices.Contains(versions, gvk.GroupVersion()) {
				versions = append(versions, gvk.GroupVersion())
			}
		}
		known := meta.NewDefaultRESTMapper(versions)
		for gvk := range scheme.AllKnownTypes() {
			if !mapped(gvk) {
				continue
			}
			scope := meta.RESTScopeNamespace
			if slices.Contains(clusterScoped, gvk.Kind) {
				scope = meta.RESTScopeRoot
			}
			known.Add(gvk, scope)
		}
		if c == nil {
			return known, nil
		}
		others, err := apiutil.NewDynamicRESTMapper(cfg, c)
		if err != nil {
			return nil, err
		}
		return meta.FirstHitRESTMapper{MultiRESTMapper: meta.MultiRESTMapper{known, others}}, nil
	}
}

func mapped(gvk schema.GroupVersionKind) bool {
	if strings.HasSuffix(gvk.Kind, "List") || strings.HasSuffix(gvk.Kind, "Options") || gvk.Kind == "WatchEvent" {
		return false
	}
	builtIn := slices.Contains(mappedGroups, gvk.Group)
	// Only one version of each built-in group is used, and it is v1.
	return builtIn && gvk.Version == "v1" || !builtIn && (strings.HasSuffix(gvk.Group, ".dev") || strings.HasSuffix(gvk.Group, "kserve.io") || gvk.Group == "argoproj.io")
}
