package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kiwerk/kiwerk/api/serving/v1beta1"
	"github.com/kiwerk/kiwerk/internal/serving"
	"github.com/kiwerk/kiwerk/internal/serving/controller/resources"
)

// observed is everything that a decision needs.
type observed struct {
	// problems of the spec, each with its field path.
	problems []string
	// locateErr says why the address of the model leads nowhere.
	locateErr error
	// target is the revision that the spec asks for; its Name is empty if there is none.
	target resources.Revision
	// revisions that exist, by name.
	revisions map[string]revision
	// url of the endpoint.
	url string
}

// revision is a Deployment as far as a decision needs it.
type revision struct {
	ready, total int32
	// wanted is how many pods its Deployment asks for.
	wanted    int32
	retiredAt time.Time
	deleting  bool
	// failure of a pod, if one does not come up.
	failure *v1beta1.FailureInfo
}

func (r *reconciler) observe(ctx context.Context, isvc *v1beta1.InferenceService) (observed, error) {
	seen := observed{
		problems:  unsupported(&isvc.Spec),
		revisions: map[string]revision{},
		url:       r.Platform.PlatformURL(nil) + "/serving/" + isvc.Namespace + "/" + isvc.Name,
	}
	if len(seen.problems) == 0 {
		model, err := serving.Locate(ctx, r.Resolver, r.Policy, isvc.Namespace, storageURI(&isvc.Spec))
		switch {
		case err == nil:
			seen.target = resources.MakeRevision(isvc, model, r.Policy)
		case errors.Is(err, serving.ErrModelNotFound), errors.Is(err, serving.ErrNotPermitted), errors.Is(err, serving.ErrInvalidAddress):
			seen.locateErr = err
		default:
			return seen, fmt.Errorf("resolve storageUri: %w", err)
		}
	}
	var deployments appsv1.DeploymentList
	mine := []client.ListOption{client.InNamespace(isvc.Namespace), client.MatchingLabels{v1beta1.LabelService: isvc.Name}}
	if err := r.client.List(ctx, &deployments, mine...); err != nil {
		return seen, fmt.Errorf("list deployments: %w", err)
	}
	var pods corev1.PodList
	if err := r.client.List(ctx, &pods, mine...); err != nil {
		return seen, fmt.Errorf("list pods: %w", err)
	}
	for i := range deployments.Items {
		d := &deployments.Items[i]
		seen.revisions[d.Labels[v1beta1.LabelRevision]] = observeRevision(d, pods.Items)
	}
	return seen, nil
}

func observeRevision(d *appsv1.Deployment, pods []corev1.Pod) revision {
	rev := revision{deleting: !d.DeletionTimestamp.IsZero(), wanted: 1}
	if d.Spec.Replicas != nil {
		rev.wanted = *d.Spec.Replicas
	}
	if d.Status.ObservedGeneration >= d.Generation {
		rev.ready, rev.total = d.Status.ReadyReplicas, d.Status.Replicas
	}
	if at, err := time.Parse(time.RFC3339Nano, d.Annotations[resources.AnnotationRetiredAt]); err == nil {
		rev.retiredAt = at
	}
	for i := range pods {
		if pods[i].Labels[v1beta1.LabelRevision] == d.Labels[v1beta1.LabelRevision] && rev.failure == nil {
			rev.failure = failureOf(&pods[i])
		}
	}
	return rev
}

// failureOf tells why a model server of a pod ended by itself. What it wrote
// as its last words is the termination message.
func failureOf(pod *corev1.Pod) *v1beta1.FailureInfo {
	for _, c := range pod.Status.ContainerStatuses {
		end := c.State.Terminated
		if end == nil {
			end = c.LastTerminationState.Terminated
		}
		if c.Ready || c.State.Running != nil && c.RestartCount == 0 {
			continue
		}
		if end != nil && end.ExitCode != 0 {
			at := end.FinishedAt
			return &v1beta1.FailureInfo{
				Reason: v1beta1.ReasonLoadFailed, Message: end.Message, ExitCode: end.ExitCode, Time: &at,
				ModelRevisionName: pod.Labels[v1beta1.LabelRevision],
			}
		}
		if w := c.State.Waiting; w != nil && (w.Reason == "CreateContainerError" || w.Reason == "CreateContainerConfigError" || w.Reason == "ErrImagePull" || w.Reason == "ImagePullBackOff") {
			return &v1beta1.FailureInfo{Reason: w.Reason, Message: w.Message, ModelRevisionName: pod.Labels[v1beta1.LabelRevision]}
		}
	}
	return nil
}

// replicasOf is how many pods the spec wants.
func replicasOf(s *v1beta1.InferenceServiceSpec) int32 {
	if s.Predictor.MinReplicas != nil {
		return *s.Predictor.MinReplicas
	}
	return 1
}

// storageURI is where the spec says that the model lies.
func storageURI(s *v1beta1.InferenceServiceSpec) string {
	if m := resources.ModelOf(s); m != nil && m.StorageURI != nil {
		return *m.StorageURI
	}
	return ""
}
