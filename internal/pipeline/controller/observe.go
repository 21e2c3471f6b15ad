package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/pipeline/artifact"
	"github.com/kiwerk/kiwerk/internal/pipeline/engine"
	"github.com/kiwerk/kiwerk/internal/pipeline/pod"
	"github.com/kiwerk/kiwerk/internal/pipeline/step"
)

// observe reads what a decision needs.
func (r *Reconciler) observe(ctx context.Context, wf *argo.Workflow) (engine.Seen, error) {
	seen := engine.Seen{
		Workflow: wf, Pods: map[string]*corev1.Pod{}, Gone: map[string]bool{}, Reports: map[string]step.Report{},
		Platform: r.Platform, Now: r.Clock.Now(),
	}
	key := client.ObjectKeyFromObject(wf)
	var pods corev1.PodList
	// They are only read, so the cache's own objects will do.
	if err := r.client.List(ctx, &pods, client.InNamespace(wf.Namespace), client.MatchingFields{podIndex: wf.Name}, client.UnsafeDisableDeepCopy); err != nil {
		return seen, fmt.Errorf("list the pods of workflow %s: %w", key, err)
	}
	for i := range pods.Items {
		p := &pods.Items[i]
		if !ownedBy(p, wf) {
			continue
		}
		if there, err := r.confirmed(ctx, wf, p); err != nil {
			return seen, err
		} else if !there {
			continue
		}
		seen.Pods[p.Name] = p
		r.forgetPod(key, p.Name)
	}
	if wf.Status.Phase.Completed() {
		return seen, nil
	}
	if err := r.findMissing(ctx, wf, &seen); err != nil {
		return seen, err
	}
	if err := r.readReports(ctx, wf, &seen); err != nil {
		return seen, err
	}
	return seen, r.readConfigMaps(ctx, wf, &seen)
}

// confirmed asks the API server for a pod whose node is not known. Either we
// crashed before we stored the node, and the pod is to be adopted, or a retry
// has deleted both, and the cache is late.
func (r *Reconciler) confirmed(ctx context.Context, wf *argo.Workflow, p *corev1.Pod) (bool, error) {
	if _, known := wf.Status.Nodes[p.Annotations[argo.AnnotationNodeID]]; known || wf.Status.Phase.Completed() {
		return true, nil
	}
	live := &corev1.Pod{}
	if err := r.live.Get(ctx, client.ObjectKeyFromObject(p), live); apierrors.IsNotFound(err) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("read pod %s/%s: %w", p.Namespace, p.Name, err)
	}
	return live.UID == p.UID && live.DeletionTimestamp == nil, nil
}

func ownedBy(p *corev1.Pod, wf *argo.Workflow) bool {
	for _, o := range p.OwnerReferences {
		if o.UID == wf.UID {
			return true
		}
	}
	return false
}

// findMissing looks at the source for pods that should be there and that the cache does not show.
func (r *Reconciler) findMissing(ctx context.Context, wf *argo.Workflow, seen *engine.Seen) error {
	for _, n := range wf.Status.Nodes {
		if n.Type != argo.NodeTypePod || n.Phase.Fulfilled() {
			continue
		}
		name := engine.PodName(wf.Name, &n)
		if seen.Pods[name] != nil {
			continue
		}
		if p := r.createdPod(client.ObjectKeyFromObject(wf), name); p != nil {
			seen.Pods[name] = p
			continue
		}
		p := &corev1.Pod{}
		err := r.live.Get(ctx, client.ObjectKey{Namespace: wf.Namespace, Name: name}, p)
		switch {
		case apierrors.IsNotFound(err) || err == nil && !ownedBy(p, wf):
			seen.Gone[name] = true
		case err != nil:
			return fmt.Errorf("read pod %s/%s: %w", wf.Namespace, name, err)
		default:
			seen.Pods[name] = p
		}
	}
	return nil
}

// maxReport bounds a report in the blob store.
const maxReport = 16 << 20

// readReports fetches the reports that did not fit into termination messages.
// A container can write anything into its message, so only its own key counts.
func (r *Reconciler) readReports(ctx context.Context, wf *argo.Workflow, seen *engine.Seen) error {
	for _, n := range wf.Status.Nodes {
		if n.Type != argo.NodeTypePod || n.Phase.Fulfilled() {
			continue
		}
		name := engine.PodName(wf.Name, &n)
		key := reportKey(seen.Pods[name])
		if key == "" || key != pod.Prefix(wf, name)+"/outputs.json" {
			continue
		}
		report, err := r.readReport(ctx, wf.Namespace, key)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the decision says so
		}
		if err != nil {
			return fmt.Errorf("read the outputs of pod %s/%s: %w", wf.Namespace, name, err)
		}
		seen.Reports[name] = report
	}
	return nil
}

func reportKey(p *corev1.Pod) string {
	if p == nil {
		return ""
	}
	for _, c := range p.Status.ContainerStatuses {
		if c.Name == argo.MainContainer && c.State.Terminated != nil {
			report, _ := step.ParseReport(c.State.Terminated.Message)
			return report.Key
		}
	}
	return ""
}

func (r *Reconciler) readReport(ctx context.Context, namespace, key string) (step.Report, error) {
	body, _, err := r.Blobs.Open(ctx, artifact.BlobKey(namespace, key), 0, -1)
	if err != nil {
		return step.Report{}, err
	}
	defer body.Close()
	var report step.Report
	if err := json.NewDecoder(io.LimitReader(body, maxReport)).Decode(&report); err != nil {
		return step.Report{}, err
	}
	return report, nil
}

// readConfigMaps fetches those that parameters take their values from.
func (r *Reconciler) readConfigMaps(ctx context.Context, wf *argo.Workflow, seen *engine.Seen) error {
	spec := engine.EffectiveSpec(wf)
	names := map[string]bool{}
	collect := func(list []argo.Parameter) {
		for _, p := range list {
			if p.ValueFrom != nil && p.ValueFrom.ConfigMapKeyRef != nil {
				names[p.ValueFrom.ConfigMapKeyRef.Name] = true
			}
		}
	}
	collect(spec.Arguments.Parameters)
	for i := range spec.Templates {
		collect(spec.Templates[i].Inputs.Parameters)
	}
	for _, t := range wf.Status.StoredTemplates {
		collect(t.Inputs.Parameters)
	}
	for name := range names {
		var cm corev1.ConfigMap
		err := r.live.Get(ctx, client.ObjectKey{Namespace: wf.Namespace, Name: name}, &cm)
		if apierrors.IsNotFound(err) {
			continue // the decision names it
		}
		if err != nil {
			return fmt.Errorf("read ConfigMap %s/%s: %w", wf.Namespace, name, err)
		}
		if seen.ConfigMaps == nil {
			seen.ConfigMaps = map[string]map[string]string{}
		}
		seen.ConfigMaps[name] = cm.Data
	}
	return nil
}
