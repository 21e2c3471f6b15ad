package lint

import (
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kiwerk/kiwerk/internal/manifest"
)

// Object is a Kubernetes object in a document: the whole of it, or an item of a List.
type Object struct {
	Root                manifest.Value
	APIVersion, Kind    string
	Name, Namespace     string
	group, groupVersion string
}

// GroupKind names the kind without its version.
func (o Object) GroupKind() schema.GroupKind { return schema.GroupKind{Group: o.group, Kind: o.Kind} }

// GVK names the kind.
func (o Object) GVK() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: o.group, Version: o.groupVersion, Kind: o.Kind}
}

// String is KIND/NAME.
func (o Object) String() string {
	if o.Kind == "" {
		return ""
	}
	if o.Name == "" {
		return o.Kind
	}
	return o.Kind + "/" + o.Name
}

func objectsOf(d *manifest.Document) []Object {
	root := d.Root()
	if root.Get("kind").Text() == "List" && root.Get("apiVersion").Text() == "v1" {
		var out []Object
		for _, i := range root.Get("items").Items() {
			out = append(out, objectAt(i))
		}
		return out
	}
	return []Object{objectAt(root)}
}

func objectAt(v manifest.Value) Object {
	o := Object{
		Root: v, APIVersion: v.Get("apiVersion").Text(), Kind: v.Get("kind").Text(),
		Name: v.Get("metadata", "name").Text(), Namespace: v.Get("metadata", "namespace").Text(),
	}
	if gv, err := schema.ParseGroupVersion(o.APIVersion); err == nil {
		o.group, o.groupVersion = gv.Group, gv.Version
	}
	return o
}

// sameNamespace treats an object without namespace as one of whichever the others have.
func (o Object) sameNamespace(other Object) bool {
	return o.Namespace == other.Namespace || o.Namespace == "" || other.Namespace == ""
}

// Pod is a pod or a template of pods somewhere in an object.
type Pod struct {
	Object
	// Spec holds containers, volumes, tolerations and so on.
	Spec manifest.Value
	// Meta has the labels of the pods.
	Meta       manifest.Value
	Containers []Container
	// Server says that its kind keeps the pod running.
	Server bool
}

// Container of a pod.
type Container struct {
	manifest.Value
	Name string
	Init bool
}

// podPaths lead to the template of pods in the kinds that have one; Pod is its own.
var podPaths = map[schema.GroupKind][]string{
	{Kind: "Pod"}:                                   {},
	{Kind: "PodTemplate"}:                           {"template"},
	{Kind: "ReplicationController"}:                 {"spec", "template"},
	{Group: "apps", Kind: "Deployment"}:             {"spec", "template"},
	{Group: "apps", Kind: "ReplicaSet"}:             {"spec", "template"},
	{Group: "apps", Kind: "StatefulSet"}:            {"spec", "template"},
	{Group: "apps", Kind: "DaemonSet"}:              {"spec", "template"},
	{Group: "extensions", Kind: "Deployment"}:       {"spec", "template"},
	{Group: "extensions", Kind: "ReplicaSet"}:       {"spec", "template"},
	{Group: "extensions", Kind: "DaemonSet"}:        {"spec", "template"},
	{Group: "batch", Kind: "Job"}:                   {"spec", "template"},
	{Group: "batch", Kind: "CronJob"}:               {"spec", "jobTemplate", "spec", "template"},
	{Group: "serving.knative.dev", Kind: "Service"}: {"spec", "template"},
}

var serverKinds = []string{"Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "ReplicationController"}

func podsOf(o Object) []Pod {
	if path, ok := podPaths[o.GroupKind()]; ok {
		t := o.Root.Get(path...)
		p := Pod{Object: o, Spec: t.Get("spec"), Meta: t.Get("metadata"), Server: slices.Contains(serverKinds, o.Kind)}
		if !p.Spec.Exists() {
			return nil
		}
		for _, list := range []string{"initContainers", "containers"} {
			for _, c := range p.Spec.Get(list).Items() {
				p.Containers = append(p.Containers, Container{Value: c, Name: c.Get("name").Text(), Init: list == "initContainers"})
			}
		}
		return []Pod{p}
	}
	if o.group == "argoproj.io" && slices.Contains([]string{"Workflow", "WorkflowTemplate", "ClusterWorkflowTemplate", "CronWorkflow"}, o.Kind) {
		return workflowPods(o)
	}
	return nil
}

// workflowPods are the pods of a workflow: one for each template with a container or script.
func workflowPods(o Object) []Pod {
	spec := o.Root.Get("spec")
	if o.Kind == "CronWorkflow" {
		spec = spec.Get("workflowSpec")
	}
	var out []Pod
	for _, t := range spec.Get("templates").Items() {
		p := Pod{Object: o, Spec: t, Meta: t.Get("metadata")}
		for _, kind := range []string{"container", "script"} {
			if c := t.Get(kind); c.Exists() {
				p.Containers = append(p.Containers, Container{Value: c, Name: t.Get("name").Text()})
			}
		}
		if len(p.Containers) > 0 {
			out = append(out, p)
		}
	}
	return out
}

// workflowSpec is where a workflow says what holds for all its pods; absent for other kinds.
func (p Pod) workflowSpec() manifest.Value {
	if p.group != "argoproj.io" {
		return manifest.Value{}
	}
	if p.Kind == "CronWorkflow" {
		return p.Root.Get("spec", "workflowSpec")
	}
	return p.Root.Get("spec")
}
