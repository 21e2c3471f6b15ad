package controller

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/kube"
)

// memory is what we have written and the cache may not show yet. Losing it
// costs a few requests, nothing else.
type memory struct {
	uid     types.UID
	written *unstructured.Unstructured
	pods    map[string]createdPod
	pending *pending
}

// pending is a state that is decided and not stored yet: changes that follow
// each other within moments are stored together. Losing it in a crash costs
// nothing, because it is decided again from the pods.
type pending struct {
	version       string // of the object that it was decided from
	before, after *argo.Workflow
	since         time.Time
	events        []kube.Event
}

// resume continues from a pending state, unless somebody else has changed the object.
func (r *Reconciler) resume(key client.ObjectKey, u *unstructured.Unstructured) *pending {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.recent[key]
	if m == nil || m.pending == nil || m.pending.version != u.GetResourceVersion() {
		return nil
	}
	return m.pending
}

func (r *Reconciler) setPending(key client.ObjectKey, p *pending) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.recent[key]; m != nil {
		m.pending = p
	}
}

type createdPod struct {
	pod *corev1.Pod
	at  time.Time
}

// trustCreated is how long a pod that was created counts as there although
// the cache does not show it; afterwards the API server is asked.
const trustCreated = 5 * time.Second

// workflow is the newest known state: of the cache or of our last write.
func (r *Reconciler) workflow(ctx context.Context, key client.ObjectKey) (*unstructured.Unstructured, error) {
	u := newWorkflow()
	err := r.cache.Get(ctx, key, u)
	r.mu.Lock()
	defer r.mu.Unlock()
	if apierrors.IsNotFound(err) {
		delete(r.recent, key)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m := r.recent[key]
	if m == nil || m.uid != u.GetUID() {
		r.recent[key] = &memory{uid: u.GetUID(), pods: map[string]createdPod{}}
		return u, nil
	}
	if m.written != nil {
		if newer, err := resourceversion.CompareResourceVersion(m.written.GetResourceVersion(), u.GetResourceVersion()); err == nil && newer > 0 {
			return m.written.DeepCopy(), nil
		}
		m.written = nil
	}
	return u, nil
}

func (r *Reconciler) wrote(key client.ObjectKey, u *unstructured.Unstructured) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.recent[key]; m != nil && m.uid == u.GetUID() {
		m.written = u.DeepCopy()
	}
}

func (r *Reconciler) writtenVersion(key client.ObjectKey) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.recent[key]; m != nil && m.written != nil {
		return m.written.GetResourceVersion()
	}
	return ""
}

func (r *Reconciler) created(key client.ObjectKey, p *corev1.Pod) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.recent[key]; m != nil {
		m.pods[p.Name] = createdPod{p, r.Clock.Now()}
	}
}

// createdPod gives a pod that we created moments ago and forgets older ones.
func (r *Reconciler) createdPod(key client.ObjectKey, name string) *corev1.Pod {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.recent[key]
	if m == nil {
		return nil
	}
	c, ok := m.pods[name]
	if ok && r.Clock.Since(c.at) > trustCreated {
		delete(m.pods, name)
		return nil
	}
	return c.pod
}

func (r *Reconciler) forgetPod(key client.ObjectKey, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.recent[key]; m != nil {
		delete(m.pods, name)
	}
}
