package app

import (
	"context"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kiwerk/kiwerk/internal/kube"
	"github.com/kiwerk/kiwerk/internal/server"
)

// StepRole is what a pipeline step may do with the token that the platform
// injects: record runs, read data sets, register a model and deploy it.
const StepRole = "kiwerk-step"

var (
	readVerbs  = []string{"get", "list", "watch"}
	writeVerbs = []string{"create", "update", "patch", "delete"}
)

// roles are the ClusterRoles of the platform. Those with an aggregation label
// extend Kubernetes' own view and edit, so that who may edit a namespace may
// also work with its experiments.
func roles() []*rbacv1.ClusterRole {
	role := func(name, aggregate string, rules ...rbacv1.PolicyRule) *rbacv1.ClusterRole {
		r := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules}
		r.Labels = map[string]string{"app.kubernetes.io/part-of": "kiwerk"}
		if aggregate != "" {
			r.Labels["rbac.authorization.k8s.io/aggregate-to-"+aggregate] = "true"
		}
		return r
	}
	rule := func(group string, verbs []string, resources ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: resources, Verbs: verbs}
	}
	kinds := []string{"argoproj.io", "serving.kserve.io", server.GroupKiwerk}
	var viewKinds, editKinds []rbacv1.PolicyRule
	for _, g := range kinds {
		viewKinds = append(viewKinds, rule(g, readVerbs, "*"))
		editKinds = append(editKinds, rule(g, append(append([]string{}, readVerbs...), writeVerbs...), "*"))
	}
	return []*rbacv1.ClusterRole{
		role("kiwerk-view", "view", viewKinds...),
		role("kiwerk-edit", "edit", editKinds...),
		role("kiwerk-admin", "admin", editKinds...),
		role(StepRole, "",
			rule(server.GroupKiwerk, []string{"create", "get", "list", "update"}, "experiments", "registeredmodels", "artifacts", "datasets"),
			// Deploying is applying an InferenceService; a step cannot delete one.
			rule("serving.kserve.io", []string{"get", "list", "watch", "create", "patch"}, "inferenceservices"),
		),
	}
}

// stepBinding gives the step role to the service account that steps of the
// default project run as. Other namespaces bind it themselves: a platform that
// grants rights in every namespace takes the decision from its admins.
func stepBinding() *rbacv1.RoleBinding {
	return &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: StepRole, Namespace: server.DefaultNamespace, Labels: map[string]string{"app.kubernetes.io/part-of": "kiwerk"}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: StepRole},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: "default", Namespace: server.DefaultNamespace}},
	}
}

func ensureRoles(ctx context.Context, cfg *rest.Config) error {
	scheme := runtime.NewScheme()
	if err := rbacv1.AddToScheme(scheme); err != nil {
		return err
	}
	known, err := mapper(scheme)(cfg, nil)
	if err != nil {
		return err
	}
	c, err := client.New(cfg, client.Options{Scheme: scheme, Mapper: known})
	if err != nil {
		return err
	}
	for _, r := range roles() {
		if err := kube.Apply(ctx, c, nil, r); err != nil {
			return err
		}
	}
	return kube.Apply(ctx, c, nil, stepBinding())
}
