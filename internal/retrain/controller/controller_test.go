package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
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

	"github.com/kiwerk/kiwerk/api/kiwerk/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/data"
	"github.com/kiwerk/kiwerk/internal/kube"
	"github.com/kiwerk/kiwerk/internal/kwtest"
	"github.com/kiwerk/kiwerk/internal/kwtest/kindtest"
	"github.com/kiwerk/kiwerk/internal/retrain"
	"github.com/kiwerk/kiwerk/internal/store/storetest"
)

func TestMain(m *testing.M) { kwtest.Main(m) }

// world is everything around the controller: an API server, recorded
// predictions, and what serving, pipelines, registry and models would do.
type world struct {
	client.WithWatch
	t         *testing.T
	namespace string
	data      *data.Service
	decisions *retrain.Store
	rng       *rand.Rand
	sent      int
	deployed  map[string]bool // revisions

	mu        sync.Mutex
	tags      map[string]map[string]string // by version
	champion  string                       // where the alias points
	quality   map[string]float64           // share of right answers by version
	errors    map[string]int64             // by revision
	artifacts map[string]string
	// train is the version that a workflow makes; empty fails it.
	train string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	kinds := append(retrain.Kinds(),
		kube.Kind{Group: v1alpha1.GroupVersion.Group, Version: "v1alpha1", Kind: "ModelMonitor", Plural: "modelmonitors"},
		kube.Kind{Group: inferenceService.Group, Version: inferenceService.Version, Kind: inferenceService.Kind, Plural: "inferenceservices"},
		kube.Kind{Group: workflowKind.Group, Version: workflowKind.Version, Kind: workflowKind.Kind, Plural: "workflows", NoStatus: true},
		kube.Kind{Group: templateKind.Group, Version: templateKind.Version, Kind: templateKind.Kind, Plural: "workflowtemplates", NoStatus: true},
	)
	if err := kube.EnsureCRDs(t.Context(), kwtest.Config(t), kinds); err != nil {
		t.Fatal(err)
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	w := &world{
		WithWatch: kwtest.Client(t, scheme), t: t, namespace: kwtest.Namespace(t), rng: rand.New(rand.NewPCG(1, 2)), deployed: map[string]bool{},
		tags: map[string]map[string]string{"1": {}, "2": {}}, champion: "1", quality: map[string]float64{"1": 0.7, "2": 0.95},
		errors: map[string]int64{}, artifacts: map[string]string{}, train: "2",
	}
	bucket, err := blob.OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bucket.Close() })
	db := storetest.Open(t)
	if w.data, err = data.New(data.Deps{Store: db, Blobs: bucket, TempDir: t.TempDir(), Now: clock.RealClock{}.Now, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.data.Init(t.Context()), w.data.Start(t.Context())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.data.Stop(t.Context()) })
	if err := w.data.SetRecording(t.Context(), data.Recording{Namespace: w.namespace, Endpoint: "inspect", Names: []string{"a", "b"}, Samples: true}); err != nil {
		t.Fatal(err)
	}
	if w.decisions, err = retrain.NewStore(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	w.template("train", "")
	w.account("trainer")
	w.service("inspect", "models:/digits/1")
	w.step()
	return w
}

func (w *world) deps() Deps {
	return Deps{
		Clock: clock.RealClock{}, Recorder: events.NewFakeRecorder(1000), Logger: slog.New(slog.DiscardHandler), Data: w.data, Datasets: w.data,
		Artifacts: w, Registry: w, Predictor: w, Traffic: w, Decisions: w.decisions, Watch: w.data.Watch,
	}
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// template makes a WorkflowTemplate that runs under an account.
func (w *world) template(name, account string) *unstructured.Unstructured {
	w.t.Helper()
	u := newObject(templateKind, w.namespace, name)
	u.Object["spec"] = map[string]any{"serviceAccountName": account}
	w.must(w.Create(w.t.Context(), u))
	return u
}

func (w *world) account(name string) *corev1.ServiceAccount {
	w.t.Helper()
	a := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}}
	w.must(w.Create(w.t.Context(), a))
	return a
}

// service makes an InferenceService.
func (w *world) service(name, uri string) {
	w.t.Helper()
	u := newObject(inferenceService, w.namespace, name)
	u.Object["spec"] = map[string]any{"predictor": map[string]any{"model": map[string]any{"modelFormat": map[string]any{"name": "onnx"}, "storageUri": uri}}}
	w.must(w.Create(w.t.Context(), u))
}

// step does what serving and pipelines would have done by now.
func (w *world) step() {
	w.t.Helper()
	services := &unstructured.UnstructuredList{}
	services.SetGroupVersionKind(inferenceService)
	w.must(w.List(w.t.Context(), services, client.InNamespace(w.namespace)))
	for i := range services.Items {
		w.serve(&services.Items[i])
	}
	workflows := &unstructured.UnstructuredList{}
	workflows.SetGroupVersionKind(workflowKind)
	w.must(w.List(w.t.Context(), workflows, client.InNamespace(w.namespace)))
	for i := range workflows.Items {
		w.run(&workflows.Items[i])
	}
}

// serve rolls out what the spec of a service asks for.
func (w *world) serve(u *unstructured.Unstructured) {
	w.t.Helper()
	before := u.DeepCopy()
	uri, _, _ := unstructured.NestedString(u.Object, "spec", "predictor", "model", "storageUri")
	version := strings.TrimPrefix(uri, "models:/digits/")
	if strings.HasSuffix(uri, "@champion") {
		version = w.champion
	}
	revision := u.GetName() + "-" + version
	w.deployment(u.GetName(), revision, version)
	old, _, _ := unstructured.NestedString(u.Object, "status", "components", "predictor", "latestRolledoutRevision")
	percent, canary, _ := unstructured.NestedInt64(u.Object, "spec", "predictor", "canaryTrafficPercent")
	traffic := []any{map[string]any{"revisionName": revision, "latestRevision": true, "percent": int64(100)}}
	rolledOut := revision
	if canary && old != "" && old != revision {
		rolledOut = old
		traffic = []any{
			map[string]any{"revisionName": revision, "latestRevision": true, "percent": percent},
			map[string]any{"revisionName": old, "latestRevision": false, "percent": 100 - percent, "tag": "prev"},
		}
	}
	u.Object["status"] = map[string]any{
		"observedGeneration": u.GetGeneration(),
		"conditions":         []any{map[string]any{"type": "Ready", "status": "True"}},
		"components":         map[string]any{"predictor": map[string]any{"latestRolledoutRevision": rolledOut, "traffic": traffic}},
	}
	if equality.Semantic.DeepEqual(before.Object["status"], u.Object["status"]) {
		return
	}
	w.must(client.IgnoreNotFound(w.Status().Patch(w.t.Context(), u, client.MergeFrom(before))))
}

func (w *world) deployment(service, revision, version string) {
	w.t.Helper()
	if w.deployed[revision] {
		return
	}
	w.deployed[revision] = true
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: w.namespace, Name: revision, Labels: map[string]string{labelService: service, labelRevision: revision},
			Annotations: map[string]string{annotationModel: "digits", annotationVersion: version},
		},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"r": revision}},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"r": revision}}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "x"}}}},
		},
	}
	if err := w.Create(w.t.Context(), d); err != nil && !apierrors.IsAlreadyExists(err) {
		w.t.Fatal(err)
	}
}

// run ends a workflow.
func (w *world) run(u *unstructured.Unstructured) {
	w.t.Helper()
	if phase, _, _ := unstructured.NestedString(u.Object, "status", "phase"); phase != "" {
		return
	}
	before := u.DeepCopy()
	status := map[string]any{"phase": "Failed", "message": "step train failed"}
	if w.train != "" {
		status = map[string]any{"phase": "Succeeded", "outputs": map[string]any{"parameters": []any{map[string]any{"name": "model_version", "value": w.train}}}}
	}
	u.Object["status"] = status
	w.must(w.Patch(w.t.Context(), u, client.MergeFrom(before)))
}

// Put implements retrain.Artifacts.
func (w *world) Put(_ context.Context, _, key string, r io.Reader) error {
	b, err := io.ReadAll(r)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.artifacts[key] = string(b)
	return err
}

// VersionTags implements retrain.Registry.
func (w *world) VersionTags(_ context.Context, _, _, version string) (map[string]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tags[version] == nil {
		return nil, retrain.ErrNotFound
	}
	return maps.Clone(w.tags[version]), nil
}

// SetVersionTag implements retrain.Registry.
func (w *world) SetVersionTag(_ context.Context, _, _, version, key, value string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tags[version][key] = value
	return nil
}

// SetAlias implements retrain.Registry.
func (w *world) SetAlias(_ context.Context, _, _, alias, version string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if alias == retrain.AliasChampion {
		w.champion = version
	}
	return nil
}

// Predict implements retrain.Predictor: a model is right as often as its quality says.
func (w *world) Predict(_ context.Context, _, endpoint string, rows [][]float64) ([]json.RawMessage, error) {
	version := "1"
	if strings.HasSuffix(endpoint, challengerSuffix) {
		version = "2"
	}
	outputs := make([]json.RawMessage, len(rows))
	for i := range rows {
		outputs[i] = json.RawMessage("7")
		if float64(i)/float64(len(rows)) >= w.quality[version] {
			outputs[i] = json.RawMessage("0")
		}
	}
	return outputs, nil
}

// Counts implements retrain.Traffic.
func (w *world) Counts(_, _, revision string) (requests, failed int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return 1000, w.errors[revision]
}

// answer records n predictions of a version and labels them.
func (w *world) answer(version string, n int, right float64) {
	w.t.Helper()
	var labels []data.Feedback
	for i := range n {
		id := fmt.Sprintf("%s-%d", w.namespace, w.sent)
		w.sent++
		output := json.RawMessage("7")
		if float64(i)/float64(n) >= right {
			output = json.RawMessage("0")
		}
		w.data.Record(data.Prediction{
			ID: id, Namespace: w.namespace, Endpoint: "inspect", Model: "digits", ModelVersion: version, Revision: "inspect-" + version,
			Features: []float64{w.rng.Float64(), w.rng.Float64()}, Output: output,
		})
		labels = append(labels, data.Feedback{ID: id, Label: json.RawMessage("7")})
	}
	w.must(w.data.Feedback(w.t.Context(), w.namespace, "inspect", labels))
}

// alarm makes a monitor that reports drift of the champion since a time.
func (w *world) alarm(since time.Time) {
	w.t.Helper()
	m := &v1alpha1.ModelMonitor{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "inspect"}, Spec: v1alpha1.ModelMonitorSpec{EndpointRef: v1alpha1.EndpointRef{Name: "inspect"}}}
	w.must(w.Create(w.t.Context(), m))
	before := m.DeepCopy()
	m.Status = v1alpha1.ModelMonitorStatus{
		Champion:           &v1alpha1.ChampionStatus{Model: "digits", ModelVersion: "1"},
		FirstDriftedWindow: &v1alpha1.WindowStatus{ModelVersion: "1", Start: metav1.NewMicroTime(since), End: metav1.NewMicroTime(since), Verdict: v1alpha1.VerdictDrift},
		Alerts:             v1alpha1.AlertsStatus{Total: 1, Firing: 1, LastID: "drift-1"},
	}
	meta.SetStatusCondition(&m.Status.Conditions, kube.True(v1alpha1.ConditionDrifted, v1alpha1.ReasonDriftDetected, "drift"))
	w.must(w.Status().Patch(w.t.Context(), m, client.MergeFrom(before)))
}

func (w *world) policy(change func(*v1alpha1.RetrainPolicySpec)) *v1alpha1.RetrainPolicy {
	w.t.Helper()
	p := &v1alpha1.RetrainPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "inspect"},
		Spec: v1alpha1.RetrainPolicySpec{
			EndpointRef: v1alpha1.EndpointRef{Name: "inspect"}, Triggers: v1alpha1.TriggersSpec{Drift: true}, MinLabelled: 200,
			Dataset: v1alpha1.DatasetSpec{Name: "images"}, Template: v1alpha1.TemplateSpec{Name: "train", DatasetArtifact: "data"}, ServiceAccountName: "trainer",
			Challenger: v1alpha1.ChallengerSpec{MinImprovement: 0.05},
			Canary:     v1alpha1.CanarySpec{Steps: []v1alpha1.CanaryStep{{Percent: 20, MinRequests: 40}, {Percent: 50, MinRequests: 40}}},
		},
	}
	if change != nil {
		change(&p.Spec)
	}
	w.must(w.Create(w.t.Context(), p))
	return p
}

// until reconciles, with a new reconciler each time as after a crash, and lets
// the world go on, until done.
func (w *world) until(c client.Client, p *v1alpha1.RetrainPolicy, done func(*v1alpha1.RetrainPolicyStatus) bool) {
	w.t.Helper()
	var last error
	for range 60 {
		r := newReconciler(c, c, w.deps())
		if _, last = r.Reconcile(w.t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(p)}); last != nil && !errors.Is(last, kwtest.ErrInjected) {
			w.t.Fatal(last)
		}
		w.step()
		*p = v1alpha1.RetrainPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: p.Name}}
		w.must(w.Get(w.t.Context(), client.ObjectKeyFromObject(p), p))
		if last == nil && done(&p.Status) {
			return
		}
	}
	b, err := json.MarshalIndent(p.Status, "", " ")
	w.t.Fatalf("not done after 60 reconciles; last error %v, status %s, %v", last, b, err)
}

func phase(want v1alpha1.RetrainPhase) func(*v1alpha1.RetrainPolicyStatus) bool {
	return func(s *v1alpha1.RetrainPolicyStatus) bool { return s.Current != nil && s.Current.Phase == want }
}

func canaryAt(percent int64) func(*v1alpha1.RetrainPolicyStatus) bool {
	return func(s *v1alpha1.RetrainPolicyStatus) bool {
		return phase(v1alpha1.PhaseCanary)(s) && s.Current.Canary != nil && s.Current.Canary.Percent == percent
	}
}

// spec is what the endpoint's spec says of model and share.
func (w *world) spec() string {
	w.t.Helper()
	u := newObject(inferenceService, w.namespace, "inspect")
	w.must(w.Get(w.t.Context(), client.ObjectKeyFromObject(u), u))
	uri, _, _ := unstructured.NestedString(u.Object, "spec", "predictor", "model", "storageUri")
	percent, found, _ := unstructured.NestedInt64(u.Object, "spec", "predictor", "canaryTrafficPercent")
	if !found {
		return uri
	}
	return fmt.Sprintf("%s %d%%", uri, percent)
}

// begin drifts, and answers with labels what is needed.
func (w *world) begin(change func(*v1alpha1.RetrainPolicySpec)) *v1alpha1.RetrainPolicy {
	w.t.Helper()
	since := clock.RealClock{}.Now()
	w.answer("1", 100, 0.7)
	w.alarm(since)
	return w.policy(change)
}

func TestReconciler_promotesWhatIsBetter(t *testing.T) {
	w := newWorld(t)
	p := w.begin(nil)
	w.until(w, p, phase(v1alpha1.PhaseCollecting))
	w.answer("1", 100, 0.7)
	w.promote(w, p)
}

// promote goes from enough labels to the end.
func (w *world) promote(c client.Client, p *v1alpha1.RetrainPolicy) {
	t := w.t
	t.Helper()
	w.until(c, p, canaryAt(20))
	cur := p.Status.Current
	if cur.Samples != 200 || cur.TrainingRows+cur.GateRows != 200 || cur.GateRows < 20 || cur.Trigger.AlertID != "drift-1" || cur.Dataset != "images/1" || cur.Gate != "images-gate/1" {
		t.Errorf("trained on %+v", cur)
	}
	if s := cur.Score; s == nil || s.Rows != cur.GateRows || s.Challenger <= s.Champion {
		t.Errorf("score %+v", s)
	}
	if got := w.spec(); got != "models:/digits/2 20%" {
		t.Errorf("the endpoint has %s", got)
	}
	w.answer("2", 40, 0.95)
	w.answer("1", 40, 0.7)
	if len(p.Spec.Canary.Steps) > 1 {
		w.until(c, p, canaryAt(50))
		w.answer("2", 40, 0.95)
	}
	w.until(c, p, phase(v1alpha1.PhasePromoted))
	if got := w.spec(); got != "models:/digits/2" || w.champion != "2" || w.tags["2"][retrain.TagVerdict] != retrain.VerdictPromoted {
		t.Errorf("the endpoint has %s, the champion is %s, tags %v", got, w.champion, w.tags)
	}
	if p.Status.ChampionDataset != 1 || p.Status.Count != 1 || len(w.artifacts) != 1 || !meta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.ConditionSucceeded) {
		t.Errorf("status %+v, artifacts %d", p.Status, len(w.artifacts))
	}
	w.onlyChild(p)
	w.decided(p, v1alpha1.PhaseCollecting, v1alpha1.PhaseFreezing, v1alpha1.PhaseTraining, v1alpha1.PhaseScoring, v1alpha1.PhaseCanary, v1alpha1.PhasePromoting, v1alpha1.PhasePromoted)
}

// onlyChild checks that one workflow ran under the policy's account and the challenger's endpoint is gone.
func (w *world) onlyChild(p *v1alpha1.RetrainPolicy) {
	w.t.Helper()
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(workflowKind)
	w.must(w.List(w.t.Context(), list, client.InNamespace(w.namespace)))
	if len(list.Items) != 1 || list.Items[0].GetName() != p.Status.Current.Workflow || string(list.Items[0].GetUID()) != p.Status.Current.WorkflowUID {
		w.t.Fatalf("%d workflows; the status names %s", len(list.Items), p.Status.Current.Workflow)
	}
	account, _, _ := unstructured.NestedString(list.Items[0].Object, "spec", "serviceAccountName")
	if owner := metav1.GetControllerOf(&list.Items[0]); account != "trainer" || owner == nil || owner.UID != p.UID {
		w.t.Errorf("account %q, owner %v", account, owner)
	}
	u := newObject(inferenceService, w.namespace, "inspect"+challengerSuffix)
	if err := w.Get(w.t.Context(), client.ObjectKeyFromObject(u), u); !apierrors.IsNotFound(err) {
		w.t.Errorf("the challenger's endpoint is still there: %v", err)
	}
}

// decided checks that each phase was recorded, with numbers.
func (w *world) decided(p *v1alpha1.RetrainPolicy, phases ...v1alpha1.RetrainPhase) {
	w.t.Helper()
	list, err := w.decisions.List(w.t.Context(), w.namespace, p.Name, p.Status.Current.ID)
	w.must(err)
	had := map[string]bool{}
	for _, d := range list {
		had[d.Phase] = true
		if d.Reason == "" || len(d.Numbers) < 10 {
			w.t.Errorf("decision without reason or numbers: %+v", d)
		}
	}
	for _, want := range phases {
		if !had[string(want)] {
			w.t.Errorf("no decision for phase %s was stored: %v", want, had)
		}
	}
}

func TestReconciler_refusesWhatIsNotBetter(t *testing.T) {
	w := newWorld(t)
	w.quality["2"] = 0.3
	p := w.begin(nil)
	w.answer("1", 100, 0.7)
	w.until(w, p, phase(v1alpha1.PhaseRejected))
	w.until(w, p, func(*v1alpha1.RetrainPolicyStatus) bool { return true }) // removes the challenger's endpoint
	if got := w.spec(); got != "models:/digits/1" || p.Status.Current.Reason != v1alpha1.ReasonNotBetter || w.tags["2"][retrain.TagVerdict] != retrain.VerdictRejected {
		t.Errorf("the endpoint has %s: %+v, tags %v", got, p.Status.Current, w.tags)
	}
	w.onlyChild(p)
	// The drift goes on, but the cooldown has not passed.
	w.answer("1", 200, 0.7)
	w.until(w, p, func(s *v1alpha1.RetrainPolicyStatus) bool { return s.Count == 1 })
}

func TestReconciler_takesTheCanaryBack(t *testing.T) {
	cases := map[string]struct {
		trouble func(*world)
		reason  string
	}{
		"Errors":       {func(w *world) { w.errors["inspect-2"] = 5 }, v1alpha1.ReasonErrorRate},
		"WorseAnswers": {func(w *world) { w.answer("1", 60, 0.9); w.answer("2", 39, 0.2) }, v1alpha1.ReasonAccuracyDrop},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p := w.begin(nil)
			w.answer("1", 100, 0.7)
			w.until(w, p, canaryAt(20))
			c.trouble(w)
			w.until(w, p, phase(v1alpha1.PhaseRolledBack))
			if got := w.spec(); got != "models:/digits/1" || p.Status.Current.Reason != c.reason || w.champion != "1" || w.tags["2"][retrain.TagVerdict] != retrain.VerdictRolledBack {
				t.Errorf("the endpoint has %s: %+v, tags %v", got, p.Status.Current, w.tags)
			}
			if len(p.Status.RejectedVersions) != 1 || p.Status.RejectedVersions[0] != "2" {
				t.Errorf("rejected %v", p.Status.RejectedVersions)
			}
		})
	}
}

// Somebody's own endpoint that happens to have the challenger's name is left alone.
func TestReconciler_sparesForeignEndpoints(t *testing.T) {
	w := newWorld(t)
	w.service("inspect"+challengerSuffix, "models:/digits/9")
	p := w.begin(nil)
	w.answer("1", 100, 0.7)
	w.until(w, p, phase(v1alpha1.PhaseScoring))
	w.until(w, p, func(s *v1alpha1.RetrainPolicyStatus) bool {
		c := meta.FindStatusCondition(s.Conditions, kube.Reconciling)
		return c != nil && strings.Contains(c.Message, "does not belong to this policy")
	})
	u := newObject(inferenceService, w.namespace, "inspect"+challengerSuffix)
	w.must(w.Get(t.Context(), client.ObjectKeyFromObject(u), u))
	w.must(w.Delete(t.Context(), u))
	w.until(w, p, canaryAt(20))
}

func TestReconciler_failedTraining(t *testing.T) {
	w := newWorld(t)
	w.train = ""
	p := w.begin(nil)
	w.answer("1", 100, 0.7)
	w.until(w, p, phase(v1alpha1.PhaseFailed))
	if c := p.Status.Current; c.Reason != v1alpha1.ReasonWorkflowFailed || !strings.Contains(c.Message, "step train failed") || w.spec() != "models:/digits/1" {
		t.Errorf("got %+v", c)
	}
}

func TestReconciler_waitsForApproval(t *testing.T) {
	w := newWorld(t)
	p := w.begin(func(s *v1alpha1.RetrainPolicySpec) { s.Approval = v1alpha1.ApprovalManual })
	w.answer("1", 100, 0.7)
	w.until(w, p, phase(v1alpha1.PhaseAwaitingApproval))
	w.until(w, p, func(s *v1alpha1.RetrainPolicyStatus) bool {
		return meta.IsStatusConditionTrue(s.Conditions, v1alpha1.ConditionApprovalNeeded)
	})
	if got := w.spec(); got != "models:/digits/1" {
		t.Errorf("it went out without approval: %s", got)
	}
	before := p.DeepCopy()
	p.Annotations = map[string]string{v1alpha1.AnnotationApprove: "2"}
	w.must(w.Patch(t.Context(), p, client.MergeFrom(before)))
	w.until(w, p, canaryAt(20))
}

// Any write may be the last before a crash; what comes out is the same.
func TestReconciler_survivesCrashes(t *testing.T) {
	scheme := newWorld(t).Scheme()
	kwtest.FailNthWrite(t, kwtest.Client(t, scheme), func(t *testing.T, c client.Client) {
		t.Helper()
		w := newWorld(t)
		p := w.begin(func(s *v1alpha1.RetrainPolicySpec) { s.Canary.Steps = s.Canary.Steps[:1] })
		w.answer("1", 100, 0.7)
		w.promote(c, p)
	})
}

// manage runs the controller in a manager until the test ends.
func (w *world) manage() {
	t := w.t
	t.Helper()
	again := true
	mgr, err := ctrl.NewManager(kwtest.Config(t), ctrl.Options{
		Scheme: w.Scheme(), Metrics: metricsserver.Options{BindAddress: "0"}, Controller: ctrlconfig.Controller{SkipNameValidation: &again},
		Cache: cache.Options{DefaultNamespaces: map[string]cache.Config{w.namespace: {}}},
	})
	w.must(err)
	w.must(Setup(mgr, w.deps()))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		w.must(<-done)
	})
}

// see waits for what the manager makes of a policy.
func (w *world) see(p *v1alpha1.RetrainPolicy, met func(*v1alpha1.RetrainPolicyStatus) bool) {
	w.t.Helper()
	kwtest.Eventually(w.t, func() error {
		w.step()
		if err := w.Get(w.t.Context(), client.ObjectKeyFromObject(p), p); err != nil {
			return err
		}
		if !met(&p.Status) {
			return fmt.Errorf("current is %+v, conditions %+v", p.Status.Current, p.Status.Conditions)
		}
		return nil
	})
}

// The same by a manager: its watches wake the policy.
func TestSetup_watches(t *testing.T) {
	w := newWorld(t)
	w.manage()
	p := w.begin(nil)
	w.see(p, phase(v1alpha1.PhaseCollecting))
	w.answer("1", 100, 0.7)
	w.see(p, canaryAt(20))
	w.answer("2", 40, 0.95)
	w.see(p, canaryAt(50))
	w.answer("2", 40, 0.95)
	w.see(p, phase(v1alpha1.PhasePromoted))
}

// What a policy names and what is not there is said at once, and taken back when it comes.
func TestSetup_namesWhatIsMissing(t *testing.T) {
	w := newWorld(t)
	w.manage()
	ready := func(status metav1.ConditionStatus, reason string, words ...string) func(*v1alpha1.RetrainPolicyStatus) bool {
		return func(s *v1alpha1.RetrainPolicyStatus) bool {
			c := meta.FindStatusCondition(s.Conditions, kube.Ready)
			if c == nil || c.Status != status || c.Reason != reason {
				return false
			}
			for _, word := range words {
				if !strings.Contains(c.Message, word) {
					return false
				}
			}
			return true
		}
	}
	since := clock.RealClock{}.Now()
	w.answer("1", 100, 0.7)
	w.alarm(since)
	p := w.policy(func(s *v1alpha1.RetrainPolicySpec) {
		s.EndpointRef.Name, s.Template.Name, s.ServiceAccountName = "inspects", "trains", ""
	})
	w.see(p, ready(metav1.ConditionFalse, v1alpha1.ReasonEndpointNotFound, "InferenceService inspects", "WorkflowTemplate trains", "spec.template.name", w.namespace))
	before := p.DeepCopy()
	p.Spec.EndpointRef.Name = "inspect"
	w.must(w.Patch(t.Context(), p, client.MergeFrom(before)))
	w.see(p, ready(metav1.ConditionFalse, v1alpha1.ReasonTemplateNotFound, "WorkflowTemplate trains"))
	if p.Status.Count != 0 {
		t.Errorf("a retraining has begun that cannot train: %+v", p.Status.Current)
	}
	template := w.template("trains", "robot")
	w.see(p, ready(metav1.ConditionFalse, v1alpha1.ReasonServiceAccountNotFound, "ServiceAccount robot", "WorkflowTemplate trains"))
	account := w.account("robot")
	w.see(p, ready(metav1.ConditionTrue, "Ready"))
	w.see(p, phase(v1alpha1.PhaseCollecting)) // the alarm was not forgotten
	w.must(w.Delete(t.Context(), account))
	w.see(p, ready(metav1.ConditionFalse, v1alpha1.ReasonServiceAccountNotFound, "ServiceAccount robot"))
	before = p.DeepCopy()
	p.Spec.ServiceAccountName = "trainer"
	w.must(w.Patch(t.Context(), p, client.MergeFrom(before)))
	w.see(p, ready(metav1.ConditionTrue, "Ready"))
	w.must(w.Delete(t.Context(), template))
	w.see(p, ready(metav1.ConditionFalse, v1alpha1.ReasonTemplateNotFound, "WorkflowTemplate trains"))
	// What would train waits with its phase.
	w.answer("1", 100, 0.7)
	w.see(p, phase(v1alpha1.PhaseTraining))
	w.template("trains", "")
	w.see(p, canaryAt(20))
}

func TestReconciler_warnsOfUnknownFields(t *testing.T) {
	w := newWorld(t)
	p := w.policy(nil)
	w.must(w.Patch(t.Context(), p, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"coolDown":"1h"}}`))))
	warning := func(s *v1alpha1.RetrainPolicyStatus) string {
		if c := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionSpecWarning); c != nil {
			return c.Message
		}
		return ""
	}
	w.until(w, p, func(s *v1alpha1.RetrainPolicyStatus) bool {
		return warning(s) == "spec.coolDown: unknown field, ignored"
	})
	w.must(w.Patch(t.Context(), p, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"coolDown":null}}`))))
	w.until(w, p, func(s *v1alpha1.RetrainPolicyStatus) bool { return warning(s) == "" })
}

func TestKinds_explain(t *testing.T) {
	for _, k := range retrain.Kinds() {
		kindtest.Check(t, k)
	}
}

func TestKinds_schemaRefusesWhatTheTypesCannotHold(t *testing.T) {
	w := newWorld(t)
	for field, spec := range map[string]string{
		"spec.gate.fraction: Invalid value: 25: must be from 0 to 0.9; it is a share, so a quarter is 0.25": `{"endpointRef":{"name":"x"},"triggers":{},"dataset":{"name":"d"},"template":{"name":"t"},"gate":{"fraction":25}}`,
		`spec.cooldown: Invalid value: "1 hour": must be a duration such as 90s`:                            `{"endpointRef":{"name":"x"},"triggers":{},"dataset":{"name":"d"},"template":{"name":"t"},"cooldown":"1 hour"}`,
		"spec.minLabelled": `{"endpointRef":{"name":"x"},"triggers":{},"dataset":{"name":"d"},"template":{"name":"t"},"minLabelled":"many"}`,
		"spec.approval":    `{"endpointRef":{"name":"x"},"triggers":{},"dataset":{"name":"d"},"template":{"name":"t"},"approval":"perhaps"}`,
		"spec.template":    `{"endpointRef":{"name":"x"},"triggers":{},"dataset":{"name":"d"}}`,
		"spec.canary.steps[0].percent: Invalid value: 101: must be from 1 to 100": `{"endpointRef":{"name":"x"},"triggers":{},"dataset":{"name":"d"},"template":{"name":"t"},"canary":{"steps":[{"percent":101}]}}`,
	} {
		u := &unstructured.Unstructured{}
		w.must(json.Unmarshal([]byte(`{"apiVersion":"kiwerk.dev/v1alpha1","kind":"RetrainPolicy","metadata":{"name":"x"},"spec":`+spec+`}`), &u.Object))
		u.SetNamespace(w.namespace)
		if err := w.Create(t.Context(), u); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: got %v", field, err)
		}
	}
}
