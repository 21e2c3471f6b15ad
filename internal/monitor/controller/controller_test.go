package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlconfig "sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1alpha1 "github.com/kiwerk/kiwerk/api/kiwerk/v1alpha1"
	servingv1beta1 "github.com/kiwerk/kiwerk/api/serving/v1beta1"
	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/data"
	"github.com/kiwerk/kiwerk/internal/kube"
	"github.com/kiwerk/kiwerk/internal/kwtest"
	"github.com/kiwerk/kiwerk/internal/kwtest/kindtest"
	"github.com/kiwerk/kiwerk/internal/monitor"
	"github.com/kiwerk/kiwerk/internal/store/storetest"
)

func TestMain(m *testing.M) { kwtest.Main(m) }

// runs are training runs with their artifacts.
type runs struct {
	changes   chan struct{}
	mu        sync.Mutex
	artifacts map[string]string // run + "/" + path
}

func (r *runs) RunOf(context.Context, string, string, string) (string, error) {
	return "", fs.ErrNotExist
}

func (r *runs) OpenArtifact(_ context.Context, _, run, path string) (io.ReadCloser, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	text, ok := r.artifacts[run+"/"+path]
	if !ok && run == "gone" {
		return nil, monitor.ErrNoRun
	}
	if !ok {
		return nil, fmt.Errorf("run %s: %s: %w", run, path, fs.ErrNotExist)
	}
	return io.NopCloser(strings.NewReader(text)), nil
}

func (r *runs) log(run, path, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.artifacts[run+"/"+path] = text
	select {
	case r.changes <- struct{}{}:
	default:
	}
}

type fixture struct {
	client.WithWatch
	t         *testing.T
	namespace string
	data      *data.Service
	store     *monitor.Store
	runs      *runs
	rng       *rand.Rand
	sent      int
}

// newFixture runs the controller in a manager.
func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := newStores(t)
	f.start()
	return f
}

// newStores has everything but a controller.
func newStores(t *testing.T) *fixture {
	t.Helper()
	kinds := append(Kinds(), kube.Kind{Group: servingv1beta1.GroupVersion.Group, Version: servingv1beta1.GroupVersion.Version, Kind: "InferenceService", Plural: "inferenceservices"})
	if err := kube.EnsureCRDs(t.Context(), kwtest.Config(t), kinds); err != nil {
		t.Fatal(err)
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme), servingv1beta1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	f := &fixture{
		WithWatch: kwtest.Client(t, scheme), t: t, namespace: kwtest.Namespace(t),
		runs: &runs{changes: make(chan struct{}, 1), artifacts: map[string]string{}}, rng: rand.New(rand.NewPCG(1, 2)),
	}
	bucket, err := blob.OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bucket.Close() })
	db := storetest.Open(t)
	f.data, err = data.New(data.Deps{Store: db, Blobs: bucket, TempDir: t.TempDir(), Now: clock.RealClock{}.Now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.data.Init(t.Context()), f.data.Start(t.Context())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.data.Stop(t.Context()) })
	if f.store, err = monitor.NewStore(t.Context(), db, clock.RealClock{}.Now); err != nil {
		t.Fatal(err)
	}
	return f
}

// start runs the controller until the test ends.
func (f *fixture) start() {
	f.t.Helper()
	again := true
	mgr, err := ctrl.NewManager(kwtest.Config(f.t), ctrl.Options{
		Scheme: f.Scheme(), Metrics: metricsserver.Options{BindAddress: "0"}, Controller: ctrlconfig.Controller{SkipNameValidation: &again},
		Cache: cache.Options{DefaultNamespaces: map[string]cache.Config{f.namespace: {}}},
	})
	if err != nil {
		f.t.Fatal(err)
	}
	if err := Setup(mgr, Deps{
		Clock: clock.RealClock{}, Logger: slog.New(slog.DiscardHandler), Data: f.data, Store: f.store, Source: f.runs, Notifier: monitor.NewNotifier(true), Changes: f.runs.changes,
	}); err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	f.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			f.t.Error(err)
		}
	})
}

func (f *fixture) create(o client.Object) {
	f.t.Helper()
	o.SetNamespace(f.namespace)
	if err := f.Create(f.t.Context(), o); err != nil {
		f.t.Fatal(err)
	}
}

// serve makes a version the only one that answers.
func (f *fixture) serve(version, run string) {
	f.t.Helper()
	revision := "parts-" + version
	f.create(&appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{
			Name: revision, Labels: map[string]string{servingv1beta1.LabelService: "parts", servingv1beta1.LabelRevision: revision},
			Annotations: map[string]string{servingv1beta1.AnnotationModel: "reader", servingv1beta1.AnnotationModelVersion: version, servingv1beta1.AnnotationRun: run},
		},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"r": revision}},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"r": revision}}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "x"}}}},
		},
	})
	var service servingv1beta1.InferenceService
	if err := f.Get(f.t.Context(), client.ObjectKey{Namespace: f.namespace, Name: "parts"}, &service); client.IgnoreNotFound(err) != nil {
		f.t.Fatal(err)
	} else if err != nil {
		service = servingv1beta1.InferenceService{ObjectMeta: metav1.ObjectMeta{Name: "parts"}}
		f.create(&service)
	}
	before := service.DeepCopy()
	all, latest := int64(100), true
	service.Status.Components = map[string]servingv1beta1.ComponentStatusSpec{servingv1beta1.PredictorComponent: {
		LatestRolledoutRevision: revision, Traffic: []servingv1beta1.TrafficTarget{{RevisionName: revision, Percent: &all, LatestRevision: &latest}},
	}}
	if err := f.Status().Patch(f.t.Context(), &service, client.MergeFrom(before)); err != nil {
		f.t.Fatal(err)
	}
}

// rows are like pixels: whole numbers, one feature that never changes.
func (f *fixture) row(shift float64) []float64 {
	row := make([]float64, 8)
	for i := 1; i < len(row); i++ {
		row[i] = float64(f.rng.IntN(12)) + shift
	}
	return row
}

func (f *fixture) reference() string {
	var b strings.Builder
	b.WriteString("p0,p1,p2,p3,p4,p5,p6,p7\n")
	for range 400 {
		b.WriteString(strings.Trim(strings.ReplaceAll(fmt.Sprint(f.row(0)), " ", ","), "[]") + "\n")
	}
	return b.String()
}

// send answers n rows with a version and returns the ids.
func (f *fixture) send(version string, n int, shift float64) (ids []string) {
	for range n {
		id := fmt.Sprintf("%s-%d", f.namespace, f.sent)
		f.sent++
		f.data.Record(data.Prediction{
			ID: id, Namespace: f.namespace, Endpoint: "parts", Model: "reader", ModelVersion: version, Revision: "parts-" + version,
			Features: f.row(shift), Output: json.RawMessage("1"),
		})
		ids = append(ids, id)
	}
	return ids
}

func (f *fixture) label(ids []string, label string) {
	f.t.Helper()
	var list []data.Feedback
	for _, id := range ids {
		list = append(list, data.Feedback{ID: id, Label: json.RawMessage(label)})
	}
	if err := f.data.Feedback(f.t.Context(), f.namespace, "parts", list); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) newMonitor(spec v1alpha1.ModelMonitorSpec) *v1alpha1.ModelMonitor {
	spec.EndpointRef.Name = "parts"
	m := &v1alpha1.ModelMonitor{ObjectMeta: metav1.ObjectMeta{Name: "parts"}, Spec: spec}
	f.create(m)
	return m
}

func conditionOf(m *v1alpha1.ModelMonitor, typ string) metav1.Condition {
	if c := meta.FindStatusCondition(m.Status.Conditions, typ); c != nil {
		return *c
	}
	return metav1.Condition{}
}

func is(m *v1alpha1.ModelMonitor, typ string, status metav1.ConditionStatus, reason string) bool {
	c := conditionOf(m, typ)
	return c.Status == status && c.Reason == reason
}

// hook is a webhook that counts what it is told and can be broken.
type hook struct {
	mu     sync.Mutex
	broken bool
	told   []string
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.broken {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	h.told = append(h.told, r.Header.Get("Idempotency-Key"))
}

func (h *hook) list() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.told...)
}

func TestReconciler_storyOfADrift(t *testing.T) {
	for _, samples := range []bool{true, false} {
		t.Run(map[bool]string{true: "Samples", false: "Statistics"}[samples], func(t *testing.T) { story(t, samples) })
	}
}

func story(t *testing.T, samples bool) {
	t.Helper()
	f := newFixture(t)
	h := &hook{broken: true}
	server := httptest.NewServer(h)
	defer server.Close()
	f.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "hook"}, StringData: map[string]string{"url": server.URL}})
	f.runs.log("run1", "reference.csv", f.reference())
	f.serve("1", "run1")
	f.send("1", 10, 5) // before there was a monitor: counts for nothing
	m := f.newMonitor(v1alpha1.ModelMonitorSpec{
		Windows: v1alpha1.WindowsSpec{Size: 50}, Samples: v1alpha1.SamplesSpec{Record: samples}, Webhook: &v1alpha1.WebhookSpec{SecretRef: v1alpha1.SecretKeyRef{Name: "hook"}},
		Performance: &v1alpha1.PerformanceSpec{Minimum: 0.9, AlertBelow: 0.8, Window: 100},
	})
	kwtest.WaitFor(t, f, m, func(m *v1alpha1.ModelMonitor) bool {
		return is(m, kube.Ready, metav1.ConditionTrue, "Ready") && is(m, v1alpha1.ConditionDrifted, metav1.ConditionUnknown, v1alpha1.ReasonInsufficientData)
	})
	ids := f.send("1", 8*50, 0)
	kwtest.WaitFor(t, f, m, func(m *v1alpha1.ModelMonitor) bool { return m.Status.Evaluated == 8 })
	if !is(m, v1alpha1.ConditionDrifted, metav1.ConditionFalse, v1alpha1.ReasonNoDrift) || m.Status.Alerts.Total != 0 || m.Status.Windows[0].Rows != 50 {
		t.Errorf("8 undrifted windows: %+v", m.Status)
	}
	f.label(ids[:100], "1")
	kwtest.WaitFor(t, f, m, func(m *v1alpha1.ModelMonitor) bool {
		return is(m, v1alpha1.ConditionPerforming, metav1.ConditionTrue, v1alpha1.ReasonPerformanceMet)
	})
	drifted := f.send("1", 2*50, 3)
	kwtest.WaitFor(t, f, m, func(m *v1alpha1.ModelMonitor) bool {
		return is(m, v1alpha1.ConditionDrifted, metav1.ConditionTrue, v1alpha1.ReasonDriftDetected) &&
			is(m, v1alpha1.ConditionNotified, metav1.ConditionFalse, v1alpha1.ReasonDeliveryFailed)
	})
	first := m.Status.FirstDriftedWindow
	if first == nil || first.Index != 8 || first.ModelVersion != "1" || m.Status.Alerts.Firing != 1 || first.DriftedFeatures != 7 {
		t.Errorf("drift: %+v, first window %+v", m.Status.Alerts, first)
	}
	h.mu.Lock()
	h.broken = false
	h.mu.Unlock()
	f.label(drifted, "0")
	kwtest.WaitFor(t, f, m, func(m *v1alpha1.ModelMonitor) bool {
		return is(m, v1alpha1.ConditionNotified, metav1.ConditionTrue, v1alpha1.ReasonDelivered) &&
			is(m, v1alpha1.ConditionPerforming, metav1.ConditionFalse, v1alpha1.ReasonPerformanceBelowMinimum)
	})
	// Another champion with another reference: new windows, old alerts end.
	f.runs.log("run2", "reference.csv", f.reference())
	f.serve("2", "run2")
	kwtest.WaitFor(t, f, m, func(m *v1alpha1.ModelMonitor) bool {
		return m.Status.Champion.ModelVersion == "2" && m.Status.Alerts.Firing == 0 && m.Status.Evaluated == 0
	})
	f.send("2", 50, 0)
	kwtest.WaitFor(t, f, m, func(m *v1alpha1.ModelMonitor) bool {
		return m.Status.Evaluated == 1 && m.Status.FirstDriftedWindow == nil
	})
	alerts, err := f.store.Alerts(t.Context(), f.namespace, 10)
	if err != nil || len(alerts) != 2 || alerts[0].State != monitor.StateResolved {
		t.Errorf("alerts %+v, %v", alerts, err)
	}
	kwtest.Eventually(t, func() error {
		seen := map[string]int{}
		for _, key := range h.list() {
			seen[key]++
		}
		for _, a := range alerts {
			for _, state := range []string{monitor.StateFiring, monitor.StateResolved} {
				if n := seen[a.ID+"/"+state]; n != 1 {
					return fmt.Errorf("the webhook heard %d times that %s is %s: %v", n, a.ID, state, seen)
				}
			}
		}
		return nil
	})
	deleteAndWait(t, f, m)
	if f.data.RecordingOf(f.namespace, "parts") != nil {
		t.Error("the recording goes on without a monitor")
	}
}

func deleteAndWait(t *testing.T, f *fixture, m *v1alpha1.ModelMonitor) {
	t.Helper()
	if err := f.Delete(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	kwtest.Eventually(t, func() error {
		if err := f.Get(t.Context(), client.ObjectKeyFromObject(m), m); !apierrors.IsNotFound(err) {
			return fmt.Errorf("the monitor is still there: %w", err)
		}
		return nil
	})
}

func TestReconciler_badInput(t *testing.T) {
	cases := map[string]struct {
		serve, reference string
		spec             v1alpha1.ModelMonitorSpec
		typ              string
		status           metav1.ConditionStatus
		reason, message  string
	}{
		"NoEndpoint":       {"", "", v1alpha1.ModelMonitorSpec{}, v1alpha1.ConditionReferenceReady, metav1.ConditionFalse, v1alpha1.ReasonEndpointNotFound, `no InferenceService "parts"`},
		"NoSuchRun":        {"run1", "", v1alpha1.ModelMonitorSpec{Reference: v1alpha1.ReferenceSpec{Run: "gone"}}, v1alpha1.ConditionReferenceReady, metav1.ConditionFalse, v1alpha1.ReasonReferenceNotFound, "there is no run gone; correct spec.reference.run"},
		"NoReference":      {"run1", "", v1alpha1.ModelMonitorSpec{}, v1alpha1.ConditionReferenceReady, metav1.ConditionFalse, v1alpha1.ReasonReferenceNotFound, `run run1 has no artifact "reference.csv"; log the training inputs`},
		"NoRun":            {"-", "", v1alpha1.ModelMonitorSpec{}, v1alpha1.ConditionReferenceReady, metav1.ConditionFalse, v1alpha1.ReasonReferenceNotFound, "set spec.reference.run"},
		"InvalidReference": {"run1", "a,b\n1,x\n", v1alpha1.ModelMonitorSpec{}, kube.StalledType, metav1.ConditionTrue, v1alpha1.ReasonReferenceInvalid, `row 1, column "b"`},
		"InvalidSpec":      {"run1", "", v1alpha1.ModelMonitorSpec{Windows: v1alpha1.WindowsSpec{Confirm: 5}}, kube.StalledType, metav1.ConditionTrue, v1alpha1.ReasonInvalidSpec, "spec.windows.confirm is 5"},
		"UnknownMask":      {"run1", "a,b\n1,2\n", v1alpha1.ModelMonitorSpec{Samples: v1alpha1.SamplesSpec{Record: true, MaskedFields: []string{"name"}}}, kube.StalledType, metav1.ConditionTrue, v1alpha1.ReasonInvalidSpec, `masked field "name"`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			if c.reference != "" {
				f.runs.log("run1", "reference.csv", c.reference)
			}
			if c.serve != "" {
				f.serve("1", strings.Trim(c.serve, "-"))
			}
			m := f.newMonitor(c.spec)
			kwtest.WaitFor(t, f, m, func(m *v1alpha1.ModelMonitor) bool {
				return is(m, c.typ, c.status, c.reason) && strings.Contains(conditionOf(m, c.typ).Message, c.message) && conditionOf(m, kube.Ready).Status != metav1.ConditionTrue
			})
			deleteAndWait(t, f, m)
		})
	}
}

// What is missing is said at once and taken back when it comes, without looking again and again.
func TestReconciler_followsWhatItNames(t *testing.T) {
	f := newFixture(t)
	older := f.newMonitor(v1alpha1.ModelMonitorSpec{})
	kwtest.WaitFor(t, f, older, func(m *v1alpha1.ModelMonitor) bool {
		return is(m, kube.Ready, metav1.ConditionFalse, v1alpha1.ReasonEndpointNotFound)
	})
	f.serve("1", "run1")
	kwtest.WaitFor(t, f, older, func(m *v1alpha1.ModelMonitor) bool {
		return is(m, kube.Ready, metav1.ConditionFalse, v1alpha1.ReasonReferenceNotFound)
	})
	f.runs.log("run1", "reference.csv", f.reference())
	kwtest.WaitFor(t, f, older, func(m *v1alpha1.ModelMonitor) bool { return is(m, kube.Ready, metav1.ConditionTrue, "Ready") })

	second := &v1alpha1.ModelMonitor{ObjectMeta: metav1.ObjectMeta{Name: "second"}, Spec: older.Spec}
	f.create(second)
	kwtest.WaitFor(t, f, second, func(m *v1alpha1.ModelMonitor) bool {
		return is(m, kube.Ready, metav1.ConditionFalse, v1alpha1.ReasonEndpointTaken)
	})
	deleteAndWait(t, f, older)
	kwtest.WaitFor(t, f, second, func(m *v1alpha1.ModelMonitor) bool { return is(m, kube.Ready, metav1.ConditionTrue, "Ready") })
	if f.data.RecordingOf(f.namespace, "parts") == nil {
		t.Error("the monitor that took over does not record")
	}
	service := &servingv1beta1.InferenceService{ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: "parts"}}
	if err := f.Delete(t.Context(), service); err != nil {
		t.Fatal(err)
	}
	kwtest.WaitFor(t, f, second, func(m *v1alpha1.ModelMonitor) bool {
		return is(m, kube.Ready, metav1.ConditionFalse, v1alpha1.ReasonEndpointNotFound)
	})
}

func TestReconciler_warnsOfUnknownFields(t *testing.T) {
	f := newFixture(t)
	u := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"endpointRef": map[string]any{"name": "parts"}, "windowSize": int64(50),
	}}}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("ModelMonitor"))
	u.SetName("parts")
	f.create(u)
	m := &v1alpha1.ModelMonitor{ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: "parts"}}
	kwtest.WaitFor(t, f, m, func(m *v1alpha1.ModelMonitor) bool {
		return conditionOf(m, v1alpha1.ConditionSpecWarning).Message == "spec.windowSize: unknown field, ignored"
	})
	// It says nothing of whether the monitor works.
	if !is(m, v1alpha1.ConditionReferenceReady, metav1.ConditionFalse, v1alpha1.ReasonEndpointNotFound) {
		t.Errorf("conditions %+v", m.Status.Conditions)
	}
}

func TestKinds_explain(t *testing.T) {
	for _, k := range Kinds() {
		kindtest.Check(t, k)
	}
}

func TestKinds_schemaRefusesWhatTheTypesCannotHold(t *testing.T) {
	f := newFixture(t)
	for field, spec := range map[string]string{
		"spec.windows.size": `{"endpointRef":{"name":"x"},"windows":{"size":"many"}}`,
		"spec.test.alpha: Invalid value: 7: must be from 0 to 0.5; it is a probability of error; leave it out for 0.05": `{"endpointRef":{"name":"x"},"test":{"alpha":7}}`,
		"spec.windows.of: Invalid value: -1: must be from 0 to 100; leave it out for the last 3 windows":                `{"endpointRef":{"name":"x"},"windows":{"of":-1}}`,
		"spec.performance.minimum: Invalid value: 95: must be from 0 to 1; it is an accuracy, so 90 % is 0.9":           `{"endpointRef":{"name":"x"},"performance":{"minimum":95}}`,
		`spec.samples.retention: Invalid value: "30d": must be a duration such as 90s, 10m, 6h or 1h30m`:                `{"endpointRef":{"name":"x"},"samples":{"retention":"30d"}}`,
		`spec.samples.retention: Invalid value: "-1h": must be a duration`:                                              `{"endpointRef":{"name":"x"},"samples":{"retention":"-1h"}}`,
		`spec.samples.retention: Invalid value: "string": type conversion error`:                                        `{"endpointRef":{"name":"x"},"samples":{"retention":"9999999h"}}`, // longer than Go can hold
		"spec.test.ties":   `{"endpointRef":{"name":"x"},"test":{"ties":"some"}}`,
		"spec.endpointRef": `{"windows":{"size":50}}`,
	} {
		raw := &unstructured.Unstructured{}
		if err := json.Unmarshal([]byte(`{"apiVersion":"kiwerk.dev/v1alpha1","kind":"ModelMonitor","metadata":{"name":"x"},"spec":`+spec+`}`), &raw.Object); err != nil {
			t.Fatal(err)
		}
		raw.SetNamespace(f.namespace)
		if err := f.Create(t.Context(), raw); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: got %v", field, err)
		}
	}
}

// Any write may be the last before a crash: after each, a new reconciler takes
// over, and what people hear is the same.
func TestReconciler_survivesCrashes(t *testing.T) {
	scheme := newStores(t).Scheme()
	kwtest.FailNthWrite(t, kwtest.Client(t, scheme), func(t *testing.T, c client.Client) {
		t.Helper()
		f := newStores(t)
		h := &hook{}
		server := httptest.NewServer(h)
		defer server.Close()
		f.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "hook"}, StringData: map[string]string{"url": server.URL}})
		f.runs.log("run1", "reference.csv", f.reference())
		f.serve("1", "run1")
		m := f.newMonitor(v1alpha1.ModelMonitorSpec{
			Windows: v1alpha1.WindowsSpec{Size: 50}, Samples: v1alpha1.SamplesSpec{Record: true}, Webhook: &v1alpha1.WebhookSpec{SecretRef: v1alpha1.SecretKeyRef{Name: "hook"}},
		})
		f.reconcileUntil(c, m, func() bool { return is(m, kube.Ready, metav1.ConditionTrue, "Ready") })
		f.send("1", 2*50, 0)
		f.send("1", 2*50, 3)
		if err := f.data.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.reconcileUntil(c, m, func() bool {
			return is(m, v1alpha1.ConditionDrifted, metav1.ConditionTrue, v1alpha1.ReasonDriftDetected) && m.Status.Alerts.Firing == 1
		})
		alerts, err := f.store.Alerts(t.Context(), f.namespace, 10)
		if err != nil || len(alerts) != 1 || m.Status.Evaluated != 4 || m.Status.FirstDriftedWindow.Index != 2 {
			t.Errorf("alerts %v, %v; status %+v", alerts, err, m.Status)
		}
		if told := h.list(); len(told) != 1 {
			t.Errorf("the webhook was told %v", told)
		}
		if err := f.Delete(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		f.reconcileUntil(c, m, func() bool { return m.Name == "" })
	})
}

// reconcileUntil reconciles with a new reconciler each time, as after a crash,
// until done. Get fills m; a deleted one is left without a name.
func (f *fixture) reconcileUntil(c client.Client, m *v1alpha1.ModelMonitor, done func() bool) {
	f.t.Helper()
	key := client.ObjectKey{Namespace: f.namespace, Name: "parts"}
	var last error
	for range 50 {
		r, err := New(Deps{
			Client: c, Live: c, Recorder: events.NewFakeRecorder(100), Clock: clock.RealClock{}, Logger: slog.New(slog.DiscardHandler),
			Data: f.data, Store: f.store, Source: f.runs, Notifier: monitor.NewNotifier(true),
		})
		if err != nil {
			f.t.Fatal(err)
		}
		if _, last = r.Reconcile(f.t.Context(), reconcile.Request{NamespacedName: key}); last != nil && !errors.Is(last, kwtest.ErrInjected) {
			f.t.Fatal(last)
		}
		*m = v1alpha1.ModelMonitor{}
		if err := f.Get(f.t.Context(), key, m); client.IgnoreNotFound(err) != nil {
			f.t.Fatal(err)
		}
		if last == nil && done() {
			return
		}
	}
	f.t.Fatalf("not done after 50 reconciles; last error %v, status %+v", last, m.Status)
}
