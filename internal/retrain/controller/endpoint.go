package controller

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Kinds of other capabilities, known here by their wire form only.
var (
	inferenceService = schema.GroupVersionKind{Group: "serving.kserve.io", Version: "v1beta1", Kind: "InferenceService"}
	workflowKind     = schema.GroupVersionKind{Group: "argoproj.io", Version: "v1alpha1", Kind: "Workflow"}
	templateKind     = schema.GroupVersionKind{Group: "argoproj.io", Version: "v1alpha1", Kind: "WorkflowTemplate"}
)

// Where the serving controller says what a revision is.
const (
	labelService      = "serving.kserve.io/inferenceservice"
	labelRevision     = "serving.kiwerk.dev/revision"
	annotationModel   = "serving.kiwerk.dev/model"
	annotationVersion = "serving.kiwerk.dev/model-version"
)

// modelVersion of a revision.
type modelVersion struct{ model, version, revision string }

// endpoint is an InferenceService as far as retraining needs it.
type endpoint struct {
	uri     string
	percent *int64
	// settled: the status is about the spec as it is.
	settled bool
	// champion is what is rolled out; empty if nothing is.
	champion modelVersion
	// shares of the requests by version of the model.
	shares map[string]int64
	// revisions by version of the model.
	revisions map[string]string
	ready     bool
	// failure of the newest revision to come up.
	failure string
	// owner is the uid of the object that controls it.
	owner types.UID
}

func newObject(kind schema.GroupVersionKind, namespace, name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(kind)
	u.SetNamespace(namespace)
	u.SetName(name)
	return u
}

// readEndpoint returns nil if there is no such service.
func (r *reconciler) readEndpoint(ctx context.Context, namespace, name string) (*endpoint, error) {
	u := newObject(inferenceService, namespace, name)
	if err := r.client.Get(ctx, client.ObjectKeyFromObject(u), u); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil //nolint:nilnil // Nothing there is a state.
		}
		return nil, fmt.Errorf("read InferenceService %s: %w", name, err)
	}
	var deployments appsv1.DeploymentList
	if err := r.client.List(ctx, &deployments, client.InNamespace(namespace), client.MatchingLabels{labelService: name}); err != nil {
		return nil, fmt.Errorf("list revisions of %s: %w", name, err)
	}
	return parseEndpoint(u, deployments.Items), nil
}

func parseEndpoint(u *unstructured.Unstructured, deployments []appsv1.Deployment) *endpoint {
	e := &endpoint{shares: map[string]int64{}, revisions: map[string]string{}}
	if owner := metav1.GetControllerOf(u); owner != nil {
		e.owner = owner.UID
	}
	e.uri, _, _ = unstructured.NestedString(u.Object, "spec", "predictor", "model", "storageUri")
	if p, found, _ := unstructured.NestedInt64(u.Object, "spec", "predictor", "canaryTrafficPercent"); found {
		e.percent = &p
	}
	observed, _, _ := unstructured.NestedInt64(u.Object, "status", "observedGeneration")
	e.settled = observed == u.GetGeneration()

	versions := map[string]modelVersion{}
	for i := range deployments {
		d := &deployments[i]
		v := modelVersion{d.Annotations[annotationModel], d.Annotations[annotationVersion], d.Labels[labelRevision]}
		versions[v.revision] = v
		e.revisions[v.version] = v.revision
	}
	predictor, _, _ := unstructured.NestedMap(u.Object, "status", "components", "predictor")
	rolledOut, _, _ := unstructured.NestedString(predictor, "latestRolledoutRevision")
	e.champion = versions[rolledOut]
	traffic, _, _ := unstructured.NestedSlice(predictor, "traffic")
	for _, t := range traffic {
		if target, ok := t.(map[string]any); ok {
			name, _, _ := unstructured.NestedString(target, "revisionName")
			percent, _, _ := unstructured.NestedInt64(target, "percent")
			e.shares[versions[name].version] += percent
		}
	}
	e.readConditions(u)
	return e
}

func (e *endpoint) readConditions(u *unstructured.Unstructured) {
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, c := range conditions {
		cond, ok := c.(map[string]any)
		if !ok {
			continue
		}
		switch cond["type"] {
		case "Ready":
			e.ready = cond["status"] == "True" && e.settled
		case "LatestDeploymentReady":
			if cond["status"] == "False" && e.settled {
				e.failure, _ = cond["message"].(string)
			}
		}
	}
}

// workflow is a Workflow as far as retraining needs it.
type workflow struct {
	uid, phase, message string
	outputs             map[string]string
}

func (r *reconciler) readWorkflow(ctx context.Context, namespace, name string) (*workflow, error) {
	u := newObject(workflowKind, namespace, name)
	if err := r.client.Get(ctx, client.ObjectKeyFromObject(u), u); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil //nolint:nilnil // Nothing there is a state.
		}
		return nil, fmt.Errorf("read Workflow %s: %w", name, err)
	}
	w := &workflow{uid: string(u.GetUID()), outputs: map[string]string{}}
	w.phase, _, _ = unstructured.NestedString(u.Object, "status", "phase")
	w.message, _, _ = unstructured.NestedString(u.Object, "status", "message")
	root, _, _ := unstructured.NestedSlice(u.Object, "status", "nodes", name, "outputs", "parameters")
	global, _, _ := unstructured.NestedSlice(u.Object, "status", "outputs", "parameters")
	for _, p := range append(root, global...) {
		if m, ok := p.(map[string]any); ok {
			key, _, _ := unstructured.NestedString(m, "name")
			w.outputs[key], _, _ = unstructured.NestedString(m, "value")
		}
	}
	return w, nil
}
