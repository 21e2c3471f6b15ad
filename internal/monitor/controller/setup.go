package controller

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	v1alpha1 "github.com/kiwerk/kiwerk/api/kiwerk/v1alpha1"
	servingv1beta1 "github.com/kiwerk/kiwerk/api/serving/v1beta1"
	"github.com/kiwerk/kiwerk/internal/data"
	"github.com/kiwerk/kiwerk/internal/kube"
	"github.com/kiwerk/kiwerk/internal/monitor"
)

// Deps are what the reconciler works with. All but Metrics and Changes are required.
type Deps struct {
	Client client.Client
	// Live reads past the cache.
	Live     client.Reader
	Recorder events.EventRecorder
	Clock    clock.PassiveClock
	Logger   *slog.Logger
	Data     *data.Service
	Store    *monitor.Store
	Source   monitor.Source
	Notifier *monitor.Notifier
	Metrics  prometheus.Registerer
	// Changes ticks when something was registered or logged that a monitor may wait for.
	Changes <-chan struct{}
}

// Reconciler reconciles ModelMonitor.
type Reconciler struct {
	Deps
	metrics metrics
	specs   *kube.SpecCheck

	mu sync.Mutex
	// endpoints tells which monitors watch an endpoint.
	endpoints map[types.NamespacedName]map[types.NamespacedName]bool
	states    map[types.UID]*state
	// waiting are the monitors that lack something.
	waiting map[types.NamespacedName]bool
}

// state is what would be expensive to compute anew; everything in it can be.
type state struct {
	referenceKey string
	reference    *monitor.Reference
	recording    string    // what SetRecording was called with last
	measured     time.Time // when the performance was written last
}

// New checks the dependencies.
func New(d Deps) (*Reconciler, error) {
	if d.Client == nil || d.Live == nil || d.Recorder == nil || d.Clock == nil || d.Logger == nil || d.Data == nil || d.Store == nil || d.Source == nil || d.Notifier == nil {
		return nil, errors.New("monitor: Client, Live, Recorder, Clock, Logger, Data, Store, Source and Notifier are required")
	}
	r := &Reconciler{
		Deps: d, metrics: newMetrics(),
		specs:     kube.NewSpecCheck(d.Live, v1alpha1.GroupVersion.WithKind("ModelMonitor"), reflect.TypeFor[v1alpha1.ModelMonitorSpec]()),
		endpoints: map[types.NamespacedName]map[types.NamespacedName]bool{}, states: map[types.UID]*state{}, waiting: map[types.NamespacedName]bool{},
	}
	if d.Metrics != nil {
		for _, c := range r.metrics.collectors() {
			if err := d.Metrics.Register(c); err != nil {
				return nil, err
			}
		}
	}
	return r, nil
}

// coalesce is how long news of an endpoint wait for more of their kind: rows
// come by the hundred per second, and each look costs a few queries.
const coalesce = 100 * time.Millisecond

// Setup adds the reconciler to a manager. Client, Live and Recorder of d may be left to the manager.
func Setup(mgr ctrl.Manager, d Deps) error {
	if d.Client == nil {
		d.Client = mgr.GetClient()
	}
	if d.Live == nil {
		d.Live = mgr.GetAPIReader()
	}
	if d.Recorder == nil {
		d.Recorder = mgr.GetEventRecorder("kiwerk-monitor")
	}
	r, err := New(d)
	if err != nil {
		return err
	}
	changed := predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}, deletionPredicate())
	b := ctrl.NewControllerManagedBy(mgr).Named("monitor.modelmonitor").
		For(&v1alpha1.ModelMonitor{}, builder.WithPredicates(changed)).
		// A monitor that goes, or turns to another endpoint, makes room for one that waits.
		Watches(&v1alpha1.ModelMonitor{}, handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, _ client.Object) []reconcile.Request {
			return r.waitingMonitors(ctx)
		}), builder.WithPredicates(changed, predicate.Funcs{CreateFunc: func(event.CreateEvent) bool { return false }})).
		Watches(&servingv1beta1.InferenceService{}, handler.EnqueueRequestsFromMapFunc(func(_ context.Context, o client.Object) []reconcile.Request {
			return r.monitorsOf(o.GetNamespace(), o.GetName())
		})).
		Watches(&appsv1.Deployment{}, handler.EnqueueRequestsFromMapFunc(func(_ context.Context, o client.Object) []reconcile.Request {
			return r.monitorsOf(o.GetNamespace(), o.GetLabels()[servingv1beta1.LabelService])
		}), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesRawSource(source.Func(r.watchRows))
	if d.Changes != nil {
		ticks, err := kube.Ticks(mgr, d.Changes, r.waitingMonitors)
		if err != nil {
			return err
		}
		b = b.WatchesRawSource(ticks)
	}
	return b.Complete(r)
}

func deletionPredicate() predicate.Predicate {
	return predicate.NewPredicateFuncs(func(o client.Object) bool { return o.GetDeletionTimestamp() != nil })
}

// watchRows looks at a monitor when rows or labels of its endpoint were stored.
func (r *Reconciler) watchRows(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	stop := r.Data.Watch(func(namespace, endpoint string) {
		for _, req := range r.monitorsOf(namespace, endpoint) {
			queue.AddAfter(req, coalesce)
		}
	})
	context.AfterFunc(ctx, stop)
	return nil
}

// await notes whether a monitor lacks something.
func (r *Reconciler) await(name types.NamespacedName, lacks bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if lacks {
		r.waiting[name] = true
	} else {
		delete(r.waiting, name)
	}
}

func (r *Reconciler) waitingMonitors(context.Context) []reconcile.Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []reconcile.Request
	for name := range r.waiting {
		list = append(list, reconcile.Request{NamespacedName: name})
	}
	return list
}

func (r *Reconciler) monitorsOf(namespace, endpoint string) []reconcile.Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []reconcile.Request
	for name := range r.endpoints[types.NamespacedName{Namespace: namespace, Name: endpoint}] {
		list = append(list, reconcile.Request{NamespacedName: name})
	}
	return list
}

// remember notes which endpoint a monitor watches; an empty endpoint forgets.
func (r *Reconciler) remember(name types.NamespacedName, endpoint string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for e, monitors := range r.endpoints {
		delete(monitors, name)
		if len(monitors) == 0 {
			delete(r.endpoints, e)
		}
	}
	if endpoint == "" {
		return
	}
	key := types.NamespacedName{Namespace: name.Namespace, Name: endpoint}
	if r.endpoints[key] == nil {
		r.endpoints[key] = map[types.NamespacedName]bool{}
	}
	r.endpoints[key][name] = true
}

func (r *Reconciler) stateOf(uid types.UID) *state {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.states[uid] == nil {
		r.states[uid] = &state{}
	}
	return r.states[uid]
}

func (r *Reconciler) dropState(uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.states, uid)
}

// Kinds that this package serves.
func Kinds() []kube.Kind {
	spec := kube.SchemaOf(v1alpha1.ModelMonitorSpec{})
	const half, most, million = 0.5, 10_000, 1_000_000
	for path, change := range map[string]func(*apiextensionsv1.JSONSchemaProps){
		"endpointRef.name":        kube.NotEmpty,
		"windows.size":            kube.Between(0, most, "leave it out for windows of 100 predictions"),
		"windows.minRows":         kube.Between(0, most, "leave it out for 30 rows"),
		"windows.confirm":         kube.Between(0, 100, "leave it out for 2 of the last windows"),
		"windows.of":              kube.Between(0, 100, "leave it out for the last 3 windows"),
		"test.ties":               kube.OneOf("", v1alpha1.TiesExact, v1alpha1.TiesScipy),
		"test.alpha":              kube.Between(0, half, "it is a probability of error; leave it out for 0.05"),
		"test.correction":         kube.OneOf("", v1alpha1.CorrectionBH, v1alpha1.CorrectionBonferroni, v1alpha1.CorrectionNone),
		"test.minEffect":          kube.Between(0, 1, "it is a distance between distributions; leave it out for 0.1"),
		"samples.maskedFields":    kube.AtMost(most),
		"performance.metric":      kube.OneOf("", v1alpha1.MetricAccuracy),
		"performance.minimum":     kube.Between(0, 1, "it is an accuracy, so 90 % is 0.9"),
		"performance.alertBelow":  kube.Between(0, 1, "it is an accuracy, so 85 % is 0.85; leave it out for the minimum"),
		"performance.minLabelled": kube.Between(0, million, "leave it out for 50 labels"),
		"performance.window":      kube.Between(0, million, "leave it out for the newest 200 labelled predictions"),
		"webhook.secretRef.name":  kube.NotEmpty,
	} {
		kube.At(spec, path, change)
	}
	return []kube.Kind{{
		Group: v1alpha1.GroupVersion.Group, Version: v1alpha1.GroupVersion.Version, Kind: "ModelMonitor", Plural: "modelmonitors",
		ShortNames: []string{"mon"}, Spec: spec, Status: kube.StatusSchemaOf(v1alpha1.ModelMonitorStatus{}), About: v1alpha1.ModelMonitor{}.SwaggerDoc()[""],
		Columns: []apiextensionsv1.CustomResourceColumnDefinition{
			{Name: "Endpoint", Type: "string", JSONPath: ".spec.endpointRef.name", Description: "InferenceService that is watched"},
			{Name: "Version", Type: "string", JSONPath: ".status.champion.modelVersion", Description: "Model version that answers"},
			{Name: "Windows", Type: "integer", JSONPath: ".status.evaluated", Description: "Windows of this version that have a verdict"},
			{Name: "Drifted", Type: "string", JSONPath: `.status.conditions[?(@.type=="Drifted")].status`, Description: "Whether the inputs have drifted"},
			{Name: "Accuracy", Type: "number", JSONPath: ".status.performance.accuracy", Description: "Measured accuracy of the newest labelled predictions"},
			{Name: "Ready", Type: "string", JSONPath: `.status.conditions[?(@.type=="Ready")].status`, Description: "Whether there is a reference to compare with"},
			{Name: "Reason", Type: "string", JSONPath: `.status.conditions[?(@.type=="Ready")].reason`, Description: "Why it is ready or not"},
			{Name: "Age", Type: "date", JSONPath: ".metadata.creationTimestamp", Description: "Time since it was made"},
			{Name: "Firing", Type: "integer", Priority: 1, JSONPath: ".status.alerts.firing", Description: "Alerts that are not resolved"},
			{Name: "Labelled", Type: "integer", Priority: 1, JSONPath: ".status.performance.labelled", Description: "Labels behind the accuracy"},
			{Name: "Reference", Type: "string", Priority: 1, JSONPath: ".status.reference.run", Description: "Run whose artifact is compared with"},
			{Name: "Message", Type: "string", Priority: 1, JSONPath: `.status.conditions[?(@.type=="Ready")].message`, Description: "What stands in the way"},
		},
	}}
}

// webhookSecret reads the address of the webhook.
func (r *Reconciler) webhookSecret(ctx context.Context, m *v1alpha1.ModelMonitor, ref v1alpha1.SecretKeyRef) (string, error) {
	var s corev1.Secret
	if err := r.Client.Get(ctx, client.ObjectKey{Namespace: m.Namespace, Name: ref.Name}, &s); err != nil {
		return "", err
	}
	return string(s.Data[ref.Key]), nil
}
