package app

import (
	"context"
	"log/slog"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	kserve "github.com/kiwerk/kiwerk/api/serving/v1beta1"
	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking/lineage"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// origins tells tracking which pod creates a run.
type origins struct {
	kube client.Reader
	log  *slog.Logger
}

// originWait bounds how long a new run waits for it.
const originWait = 2 * time.Second

// of is what is known of the caller. A pod that cannot be read is told by its name alone.
func (o origins) of(ctx context.Context) []model.Pair {
	u := server.UserOf(ctx)
	if u.Pod.Name == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, originWait)
	defer cancel()
	p := &corev1.Pod{}
	err := o.kube.Get(ctx, types.NamespacedName{Namespace: u.Pod.Namespace, Name: u.Pod.Name}, p)
	if err != nil || string(p.UID) != u.Pod.UID {
		o.log.WarnContext(ctx, "the pod that creates a run could not be read", "pod", u.Pod.Name, "error", err)
		p = nil
	}
	return originTags(u, p)
}

// originTags are the tags for a caller and its pod, which may be nil.
func originTags(u server.User, p *corev1.Pod) []model.Pair {
	tags := []model.Pair{
		{Key: lineage.TagPod, Value: u.Pod.Namespace + "/" + u.Pod.Name},
		{Key: lineage.TagPodUID, Value: u.Pod.UID},
		{Key: lineage.TagNode, Value: u.Pod.Node},
		{Key: lineage.TagServiceAccount, Value: strings.TrimPrefix(u.Name, "system:serviceaccount:")},
	}
	if p == nil {
		return tags
	}
	tags = append(tags,
		model.Pair{Key: lineage.TagWorkflow, Value: p.Labels[argo.LabelWorkflow]},
		model.Pair{Key: lineage.TagStep, Value: p.Annotations[argo.AnnotationNodeName]},
	)
	if owner := metav1.GetControllerOf(p); owner != nil && owner.Kind == "Workflow" {
		tags = append(tags, model.Pair{Key: lineage.TagWorkflowUID, Value: string(owner.UID)})
	}
	c := mainOf(p)
	digest := ""
	for _, s := range p.Status.ContainerStatuses {
		if s.Name == c.Name {
			digest = s.ImageID
		}
	}
	return append(tags, model.Pair{Key: lineage.TagImage, Value: c.Image}, model.Pair{Key: lineage.TagImageDigest, Value: digest})
}

// mainOf is the container that the user's program runs in.
func mainOf(p *corev1.Pod) corev1.Container {
	for _, c := range p.Spec.Containers {
		if c.Name == argo.MainContainer {
			return c
		}
	}
	return p.Spec.Containers[0] // there is no pod without one
}

// endpoints tells tracking which registered models are served.
type endpoints struct{ kube client.Client }

// Endpoints implements lineage.Endpoints.
func (e endpoints) Endpoints(ctx context.Context, namespace string) ([]lineage.Endpoint, error) {
	var found kserve.InferenceServiceList
	if err := e.kube.List(ctx, &found, client.InNamespace(namespace)); err != nil {
		return nil, err
	}
	var list []lineage.Endpoint
	for i := range found.Items {
		s := &found.Items[i]
		address := storageURI(s)
		if !strings.HasPrefix(address, "models:") {
			continue
		}
		ready := false
		for _, c := range s.Status.Conditions {
			ready = ready || c.Type == "Ready" && c.Status == "True"
		}
		list = append(list, lineage.Endpoint{Name: s.Name, Model: address, Ready: ready})
	}
	return list, nil
}

// storageURI is where the model of an endpoint lies.
func storageURI(s *kserve.InferenceService) string {
	p := s.Spec.Predictor
	switch {
	case p.Model != nil && p.Model.StorageURI != nil:
		return *p.Model.StorageURI
	case p.ONNX != nil && p.ONNX.StorageURI != nil:
		return *p.ONNX.StorageURI
	}
	return ""
}
