package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/kube"
)

// Deps of the controller; all are required.
type Deps struct {
	Clock    clock.Clock
	Recorder events.EventRecorder
	Platform kube.Platform
	// Blobs holds reports that are too large for a termination message.
	Blobs  blob.Bucket
	Logger *slog.Logger
}

func (d Deps) check() error {
	if d.Clock == nil || d.Recorder == nil || d.Blobs == nil || d.Logger == nil {
		return errors.New("pipeline: Clock, Recorder, Blobs and Logger are required")
	}
	return nil
}

// podIndex finds the pods of a workflow.
const podIndex = "kiwerk.dev/workflow"

// workers reconcile different workflows at the same time.
const workers = 8

// Reconciler moves workflows on.
type Reconciler struct {
	Deps
	client client.Client // pods from the cache
	cache  client.Reader // workflows without types
	live   client.Reader

	mu     sync.Mutex
	recent map[client.ObjectKey]*memory
}

// +kubebuilder:rbac:groups=argoproj.io,resources=workflows,verbs=get;list;watch;patch;delete
// +kubebuilder:rbac:groups=argoproj.io,resources=workflowtemplates;clusterworkflowtemplates,verbs=get
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",resources=persistentvolumeclaims,verbs=create;delete
// +kubebuilder:rbac:groups="",resources=configmaps,verbs=get
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Setup adds the controller to mgr.
func Setup(mgr ctrl.Manager, d Deps) error {
	if err := d.check(); err != nil {
		return err
	}
	r := newReconciler(mgr.GetClient(), mgr.GetCache(), mgr.GetAPIReader(), d)
	err := mgr.GetFieldIndexer().IndexField(context.Background(), &corev1.Pod{}, podIndex, func(o client.Object) []string {
		if name := o.GetLabels()[argo.LabelWorkflow]; name != "" {
			return []string{name}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("index pods by workflow: %w", err)
	}
	return ctrl.NewControllerManagedBy(mgr).Named("pipeline.workflow").
		For(newWorkflow(), builder.WithPredicates(predicate.Funcs{UpdateFunc: r.foreignChange})).
		Owns(&corev1.Pod{}, builder.WithPredicates(predicate.Funcs{UpdateFunc: podMoved})).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers}).
		Complete(r)
}

func newReconciler(c client.Client, cache, live client.Reader, d Deps) *Reconciler {
	return &Reconciler{Deps: d, client: c, cache: cache, live: live, recent: map[client.ObjectKey]*memory{}}
}

func newWorkflow() *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(argo.GroupVersion.WithKind("Workflow"))
	return u
}

// foreignChange skips the events of our own writes, but for the last one of a
// workflow: with it the copy is dropped that stands in for a late cache.
func (r *Reconciler) foreignChange(e event.UpdateEvent) bool {
	if e.ObjectNew.GetLabels()[argo.LabelCompleted] == "true" {
		return true
	}
	return e.ObjectNew.GetResourceVersion() != r.writtenVersion(client.ObjectKeyFromObject(e.ObjectNew))
}

// podMoved skips changes of a pod that mean nothing to its step.
func podMoved(e event.UpdateEvent) bool {
	before, ok1 := e.ObjectOld.(*corev1.Pod)
	after, ok2 := e.ObjectNew.(*corev1.Pod)
	if !ok1 || !ok2 {
		return true
	}
	return before.Spec.NodeName != after.Spec.NodeName || (before.DeletionTimestamp == nil) != (after.DeletionTimestamp == nil) ||
		!equality.Semantic.DeepEqual(before.Status, after.Status)
}
