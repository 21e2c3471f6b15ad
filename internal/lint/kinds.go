package lint

import (
	"fmt"
	"reflect"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kiwerk/kiwerk/internal/manifest"
	"github.com/kiwerk/kiwerk/internal/text"
)

// Kubernetes version whose APIs are meant.
const (
	KubernetesMajor = 1
	KubernetesMinor = 37
)

// kubernetes is the version for people.
var kubernetes = fmt.Sprintf("%d.%d", KubernetesMajor, KubernetesMinor)

// gone are kinds whose types are no longer in k8s.io/api, and what to do instead.
// Kinds that still have types tell by themselves when they were removed.
var gone = map[schema.GroupVersionKind]struct{ since, instead string }{
	{Group: "policy", Version: "v1beta1", Kind: "PodSecurityPolicy"}:                                    {"1.25", "Pod Security admission: the label pod-security.kubernetes.io/enforce on the namespace"},
	{Group: "extensions", Version: "v1beta1", Kind: "PodSecurityPolicy"}:                                {"1.16", "Pod Security admission: the label pod-security.kubernetes.io/enforce on the namespace"},
	{Group: "settings.k8s.io", Version: "v1alpha1", Kind: "PodPreset"}:                                  {"1.20", "a mutating admission policy"},
	{Group: "batch", Version: "v2alpha1", Kind: "CronJob"}:                                              {"1.21", "batch/v1 CronJob"},
	{Group: "apiextensions.k8s.io", Version: "v1beta1", Kind: "CustomResourceDefinition"}:               {"1.22", "apiextensions.k8s.io/v1 (spec.versions with a schema each)"},
	{Group: "apiregistration.k8s.io", Version: "v1beta1", Kind: "APIService"}:                           {"1.22", "apiregistration.k8s.io/v1"},
	{Group: "autoscaling", Version: "v2beta1", Kind: "HorizontalPodAutoscaler"}:                         {"1.25", "autoscaling/v2 (metrics with target)"},
	{Group: "autoscaling", Version: "v2beta2", Kind: "HorizontalPodAutoscaler"}:                         {"1.26", "autoscaling/v2"},
	{Group: "admissionregistration.k8s.io", Version: "v1beta1", Kind: "ValidatingWebhookConfiguration"}: {"1.22", "admissionregistration.k8s.io/v1"},
	{Group: "admissionregistration.k8s.io", Version: "v1beta1", Kind: "MutatingWebhookConfiguration"}:   {"1.22", "admissionregistration.k8s.io/v1"},
	{Group: "auditregistration.k8s.io", Version: "v1alpha1", Kind: "AuditSink"}:                         {"1.19", "an audit policy file of the API server"},
}

// sameShape are removed versions whose objects are valid in the new one as they are.
var sameShape = map[schema.GroupVersionKind]string{
	{Group: "batch", Version: "v2alpha1", Kind: "CronJob"}:                      "batch/v1",
	{Group: "autoscaling", Version: "v2beta2", Kind: "HorizontalPodAutoscaler"}: "autoscaling/v2",
	{Group: "apiregistration.k8s.io", Version: "v1beta1", Kind: "APIService"}:   "apiregistration.k8s.io/v1",
}

// otherShape are kinds whose fields changed with the version, so that a new apiVersion alone is not enough.
var otherShape = map[string]bool{"Ingress": true, "ValidatingWebhookConfiguration": true, "MutatingWebhookConfiguration": true, "EndpointSlice": true, "Event": true, "CertificateSigningRequest": true}

// toCome are groups of capabilities that the platform will serve; their kinds are not there yet.
var toCome = map[string]string{
	"kubeflow.org":             "training, tuning and notebooks",
	"trainer.kubeflow.org":     "training",
	"jobset.x-k8s.io":          "training",
	"leaderworkerset.x-k8s.io": "training",
	"kueue.x-k8s.io":           "queues and quotas",
	"scheduling.volcano.sh":    "queues and quotas",
	"batch.volcano.sh":         "queues and quotas",
	"serving.kserve.io":        "further kinds of serving",
	"argoproj.io":              "further kinds of Argo",
	"pipelines.kubeflow.org":   "Kubeflow Pipelines",
	"kfdef.apps.kubeflow.org":  "the installation of Kubeflow, which kiwerk up replaces",
	"ray.io":                   "training",
}

// capabilities name more exactly what a kind belongs to.
var capabilities = map[string]string{
	"PyTorchJob": "training", "TFJob": "training", "MPIJob": "training", "XGBoostJob": "training", "JAXJob": "training", "PaddleJob": "training",
	"Experiment": "tuning", "Suggestion": "tuning", "Trial": "tuning", "Notebook": "notebooks", "Profile": "teams and projects",
	"ServingRuntime": "serving with runtimes of your own", "ClusterServingRuntime": "serving with runtimes of your own", "InferenceGraph": "serving graphs",
	"Application": "Argo CD", "Rollout": "Argo Rollouts", "WorkflowEventBinding": "workflow events", "Sensor": "Argo Events", "EventSource": "Argo Events",
}

type removed interface{ APILifecycleRemoved() (int, int) }

type deprecated interface{ APILifecycleDeprecated() (int, int) }

type replaced interface {
	APILifecycleReplacement() schema.GroupVersionKind
}

// identify says what kind of object it is and checks its fields. False means
// that nothing more can be said.
func (r *run) identify(o Object) bool {
	if lostIndentation(o.Root) {
		r.says("indentation-lost", o, o.Root, nil, o.Kind)
		return false
	}
	if o.APIVersion == "" || o.Kind == "" {
		r.nameless(o)
		return false
	}
	gvk := o.GVK()
	if g, ok := gone[gvk]; ok {
		r.removedAPI(o, g.since, g.instead, sameShape[gvk], text.LintRemovedNoWay)
		return true
	}
	typed, err := served.New(gvk)
	if err != nil {
		r.foreign(o)
		return true
	}
	if r.outdated(o, typed) {
		return true
	}
	if r.opts.Kinds[o.GroupKind()] == nil {
		r.fields(o, reflect.TypeOf(typed))
	}
	return true
}

// outdated reports a version that was or will be removed; true means that it is no longer served.
func (r *run) outdated(o Object, typed any) bool {
	name := ""
	var replacement schema.GroupVersionKind
	if t, ok := typed.(replaced); ok {
		replacement = t.APILifecycleReplacement()
		name = replacement.GroupVersion().String() + " " + replacement.Kind
	}
	to := ""
	if !otherShape[o.Kind] && replacement.Kind == o.Kind {
		to = replacement.GroupVersion().String()
	}
	if t, ok := typed.(removed); ok {
		if major, minor := t.APILifecycleRemoved(); major < KubernetesMajor || major == KubernetesMajor && minor <= KubernetesMinor {
			since := fmt.Sprintf("%d.%d", major, minor)
			if name == "" {
				r.removedAPI(o, since, "nothing of the kind", "", text.LintRemovedNoWay)
				return true
			}
			r.removedAPI(o, since, name, to, text.LintRule("removed-api", "why"))
			return true
		}
	}
	if t, ok := typed.(deprecated); ok && name != "" {
		if major, minor := t.APILifecycleDeprecated(); major < KubernetesMajor || major == KubernetesMajor && minor <= KubernetesMinor {
			r.says("deprecated-api", o, o.Root.Get("apiVersion"), versionEdit(o, to), typeName(o), fmt.Sprintf("%d.%d", major, minor), name)
		}
	}
	return false
}

func (r *run) removedAPI(o Object, since, instead, to string, key text.Key) {
	v := o.Root.Get("apiVersion")
	r.add("removed-api", o, v, v.Path.String(), text.S(key, typeName(o), since, instead), versionEdit(o, to))
}

// versionEdit writes another apiVersion, and what the new one requires in addition.
func versionEdit(o Object, to string) []manifest.Edit {
	if to == "" {
		return nil
	}
	edits := []manifest.Edit{{Path: o.Root.Get("apiVersion").Path, Set: manifest.Scalar(to)}}
	labels := o.Root.Get("spec", "template", "metadata", "labels")
	if selector := o.Root.Get("spec", "selector"); to == "apps/v1" && !selector.Exists() && labels.Exists() {
		edits = append(edits, manifest.Edit{Path: selector.Get("matchLabels").Path, Set: labels.Node})
	}
	return edits
}

// foreign is a kind without a type of ours.
func (r *run) foreign(o Object) {
	v := o.Root.Get("kind")
	for _, other := range r.objects {
		if other.Kind == "CustomResourceDefinition" && other.Root.Get("spec", "group").Text() == o.group && other.Root.Get("spec", "names", "kind").Text() == o.Kind {
			return
		}
	}
	what, ok := toCome[o.group]
	if named := capabilities[o.Kind]; ok && named != "" {
		what = named
	}
	if ok {
		r.says("kind-to-come", o, v, nil, typeName(o), what)
		return
	}
	if o.group == "apiregistration.k8s.io" {
		return // served, but its types are not linked
	}
	r.says("unknown-kind", o, v, nil, typeName(o), kubernetes)
}

// nameless is a document without apiVersion or kind.
func (r *run) nameless(o Object) {
	var missing []string
	for _, k := range []string{"apiVersion", "kind"} {
		if o.Root.Get(k).Text() == "" {
			missing = append(missing, k)
		}
	}
	for _, f := range o.Root.Fields() {
		if partOfPod[f.Name] && len(missing) == 2 {
			r.add("not-an-object", o, f.Value, f.Name, text.S(text.LintFragment, f.Name), nil)
			return
		}
	}
	r.says("not-an-object", o, o.Root, nil, strings.Join(missing, ", "))
}

var partOfPod = map[string]bool{"securityContext": true, "containers": true, "resources": true, "tolerations": true, "env": true, "volumes": true, "volumeMounts": true, "livenessProbe": true, "readinessProbe": true}

// lostIndentation is true for an object whose lines were all moved to the left:
// what belongs into metadata stands beside it.
func lostIndentation(v manifest.Value) bool {
	if v.Get("kind").Text() == "" {
		return false
	}
	meta := v.Get("metadata")
	return meta.Node != nil && !meta.Exists() && v.Get("name").Exists()
}
