package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
)

const fieldManager = "kiwerk-demo"

// The kinds that the example's manifests have.
var (
	workflows    = schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "workflows"}
	services     = schema.GroupVersionResource{Group: "serving.kserve.io", Version: "v1beta1", Resource: "inferenceservices"}
	monitors     = schema.GroupVersionResource{Group: "kiwerk.dev", Version: "v1alpha1", Resource: "modelmonitors"}
	policies     = schema.GroupVersionResource{Group: "kiwerk.dev", Version: "v1alpha1", Resource: "retrainpolicies"}
	kindResource = map[string]schema.GroupVersionResource{
		"ServiceAccount":   {Version: "v1", Resource: "serviceaccounts"},
		"RoleBinding":      {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "rolebindings"},
		"WorkflowTemplate": {Group: "argoproj.io", Version: "v1alpha1", Resource: "workflowtemplates"},
		"Workflow":         workflows,
		"InferenceService": services,
		"ModelMonitor":     monitors,
		"RetrainPolicy":    policies,
	}
)

// objects is the Kubernetes API as `kubectl apply` and `kubectl wait` use it.
type objects struct {
	client    dynamic.Interface
	namespace string
}

// apply sends every document of a manifest by server-side apply.
func (o *objects) apply(ctx context.Context, files fs.FS, name string) error {
	b, err := fs.ReadFile(files, name)
	if err != nil {
		return err
	}
	docs := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(b), 4096)
	for {
		obj := &unstructured.Unstructured{}
		if err := docs.Decode(&obj.Object); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if len(obj.Object) == 0 {
			continue
		}
		if err := o.applyObject(ctx, obj); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
}

func (o *objects) applyObject(ctx context.Context, obj *unstructured.Unstructured) error {
	gvr, known := kindResource[obj.GetKind()]
	if !known {
		return fmt.Errorf("the demo does not apply objects of kind %q", obj.GetKind())
	}
	_, err := o.client.Resource(gvr).Namespace(o.namespace).Apply(ctx, obj.GetName(), obj,
		metav1.ApplyOptions{FieldManager: fieldManager, Force: true})
	if err != nil {
		return fmt.Errorf("%s %s: %w", obj.GetKind(), obj.GetName(), err)
	}
	return nil
}

// wait watches one object until done says so, and gives the object as it was
// then. When time runs out the error says what the object said last.
func (o *objects) wait(ctx context.Context, gvr schema.GroupVersionResource, name string, limit time.Duration, done func(*unstructured.Unstructured) (bool, error)) (*unstructured.Unstructured, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	selector := fields.OneTermEqualSelector("metadata.name", name).String()
	api := o.client.Resource(gvr).Namespace(o.namespace)
	source := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
			opts.FieldSelector = selector
			return api.List(ctx, opts)
		},
		WatchFuncWithContext: func(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
			opts.FieldSelector = selector
			return api.Watch(ctx, opts)
		},
	}
	var last *unstructured.Unstructured
	_, err := watchtools.UntilWithSync(ctx, source, &unstructured.Unstructured{}, nil, func(e watch.Event) (bool, error) {
		obj, ok := e.Object.(*unstructured.Unstructured)
		if !ok || e.Type == watch.Deleted {
			return false, nil
		}
		last = obj
		return done(obj)
	})
	if err == nil {
		return last, nil
	}
	if ctx.Err() == nil || last == nil {
		return last, fmt.Errorf("waiting for %s %s: %w", gvr.Resource, name, err)
	}
	return last, fmt.Errorf("waiting for %s %s took longer than %s; it says: %s: %w", gvr.Resource, name, limit, conditionsOf(last), err)
}

// conditionsOf is what an object says about itself, in one line.
func conditionsOf(obj *unstructured.Unstructured) string {
	if phase := textAt(obj, "status", "phase"); phase != "" {
		return phase + " " + textAt(obj, "status", "message")
	}
	list, _, _ := unstructured.NestedSlice(obj.Object, "status", "conditions") // nothing to tell then
	line := ""
	for _, item := range list {
		c, ok := item.(map[string]any)
		if !ok {
			continue
		}
		line += fmt.Sprintf("%v=%v %v %v; ", c["type"], c["status"], c["reason"], c["message"])
	}
	if line == "" {
		return "nothing yet"
	}
	return line
}

// isTrue tells whether a condition is True.
func isTrue(obj *unstructured.Unstructured, condition string) bool {
	_, status, _ := conditionAt(obj, condition)
	return status == string(metav1.ConditionTrue)
}

// conditionAt finds a condition's reason and status.
func conditionAt(obj *unstructured.Unstructured, condition string) (reason, status, message string) {
	list, _, _ := unstructured.NestedSlice(obj.Object, "status", "conditions") // no condition then
	for _, item := range list {
		c, ok := item.(map[string]any)
		if !ok || c["type"] != condition {
			continue
		}
		reason, _ = c["reason"].(string)
		status, _ = c["status"].(string)
		message, _ = c["message"].(string)
		return reason, status, message
	}
	return "", "", ""
}

func textAt(obj *unstructured.Unstructured, path ...string) string {
	s, _, _ := unstructured.NestedString(obj.Object, path...) // another type counts as absent
	return s
}
