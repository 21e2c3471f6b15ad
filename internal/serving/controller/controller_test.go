package controller

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/kiwerk/kiwerk/api/serving/v1beta1"
	"github.com/kiwerk/kiwerk/internal/kube"
	"github.com/kiwerk/kiwerk/internal/kwtest"
	"github.com/kiwerk/kiwerk/internal/serving"
)

func TestMain(m *testing.M) { kwtest.Main(m) }

// names is a registry whose names can be moved.
type names struct {
	mu      sync.Mutex
	version map[string]string
}

func (n *names) ResolveModel(_ context.Context, _, uri string) (serving.Model, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	v, ok := n.version[uri]
	if !ok {
		return serving.Model{}, fmt.Errorf("no version at %s: %w", uri, serving.ErrModelNotFound)
	}
	return serving.Model{Name: "digits", Version: v, Source: "mlflow-artifacts:/models/" + v}, nil
}

func (n *names) move(uri, version string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.version[uri] = version
}

type world struct {
	client.WithWatch

	ns      string
	names   *names
	changes chan struct{}
}

func scheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1beta1.AddToScheme} {
		if err := add(s); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func deps(n *names) Deps {
	return Deps{
		Clock: clock.RealClock{}, Recorder: events.NewFakeRecorder(100), Logger: slog.New(slog.DiscardHandler),
		Platform: kube.Platform{BaseURL: "http://127.0.0.1:7878"}, Resolver: n,
	}
}

// start runs the controller for one namespace.
func start(t *testing.T) *world {
	t.Helper()
	if err := kube.EnsureCRDs(t.Context(), kwtest.Config(t), serving.Kinds()); err != nil {
		t.Fatal(err)
	}
	s := scheme(t)
	w := &world{WithWatch: kwtest.Client(t, s), ns: kwtest.Namespace(t), names: &names{version: map[string]string{}}, changes: make(chan struct{})}
	mgr, err := ctrl.NewManager(kwtest.Config(t), ctrl.Options{
		Scheme: s, Metrics: metricsserver.Options{BindAddress: "0"}, Controller: config.Controller{SkipNameValidation: new(true)},
		Cache: cache.Options{DefaultNamespaces: map[string]cache.Config{w.ns: {}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	d := deps(w.names)
	d.Changes = w.changes
	if err := Setup(mgr, d); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) create(t *testing.T, uri string) *v1beta1.InferenceService {
	t.Helper()
	isvc := &v1beta1.InferenceService{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "digits"}}
	isvc.Spec.Predictor.Model = &v1beta1.ModelSpec{ModelFormat: v1beta1.ModelFormat{Name: "onnx"}}
	isvc.Spec.Predictor.Model.StorageURI = &uri
	if err := w.Create(t.Context(), isvc); err != nil {
		t.Fatal(err)
	}
	return isvc
}

// podsBecomeReady plays the kubelet for the pods of a model version.
func (w *world) podsBecomeReady(t *testing.T, version string) {
	t.Helper()
	kwtest.Eventually(t, func() error {
		pods := w.podsOf(t, version)
		if len(pods) == 0 {
			return fmt.Errorf("no pod of version %s", version)
		}
		before := pods[0].DeepCopy()
		pods[0].Status.Phase = corev1.PodRunning
		pods[0].Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()}}
		return w.Status().Patch(t.Context(), &pods[0], client.MergeFrom(before))
	})
}

// podsOf lists the pods of a model version.
func (w *world) podsOf(t *testing.T, version string) []corev1.Pod {
	t.Helper()
	var pods corev1.PodList
	if err := w.List(t.Context(), &pods, client.InNamespace(w.ns), client.MatchingLabels{v1beta1.LabelService: "digits"}); err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(pods.Items, func(p corev1.Pod) bool { return p.Annotations[v1beta1.AnnotationModelVersion] != version })
}

func (w *world) waitFor(t *testing.T, isvc *v1beta1.InferenceService, met func(*v1beta1.InferenceService) bool) {
	t.Helper()
	kwtest.WaitFor(t, w.WithWatch, isvc, met)
}

// versions of the revisions that get requests, with their shares. Of a state
// that is no longer, a revision may be gone.
func (w *world) versions(t *testing.T, isvc *v1beta1.InferenceService) map[string]int64 {
	t.Helper()
	m := map[string]int64{}
	for _, target := range isvc.Status.Components[v1beta1.PredictorComponent].Traffic {
		var d appsv1.Deployment
		if err := w.Get(t.Context(), client.ObjectKey{Namespace: w.ns, Name: target.RevisionName}, &d); client.IgnoreNotFound(err) != nil {
			t.Fatal(err)
		} else if err != nil {
			continue
		}
		m[d.Annotations[v1beta1.AnnotationModelVersion]] = *target.Percent
	}
	return m
}

func TestController_rollsOutFollowsTheAliasAndCleansUp(t *testing.T) {
	t.Parallel()
	w := start(t)
	const alias = "models:/digits@champion"
	w.names.move(alias, "1")
	isvc := w.create(t, alias)
	w.podsBecomeReady(t, "1")
	w.waitFor(t, isvc, func(s *v1beta1.InferenceService) bool { return s.Status.IsReady() })
	if got := w.versions(t, isvc); !maps.Equal(got, map[string]int64{"1": 100}) {
		t.Fatalf("traffic %v", got)
	}
	first := isvc.Status.Components[v1beta1.PredictorComponent].LatestRolledoutRevision

	w.names.move(alias, "2")
	w.changes <- struct{}{}
	w.waitFor(t, isvc, func(s *v1beta1.InferenceService) bool {
		return s.Status.Components[v1beta1.PredictorComponent].LatestCreatedRevision != first
	})
	if got := w.versions(t, isvc); !maps.Equal(got, map[string]int64{"1": 100}) {
		t.Fatalf("traffic %v before the second version is ready", got)
	}
	w.podsBecomeReady(t, "2")
	w.waitFor(t, isvc, func(s *v1beta1.InferenceService) bool {
		c := s.Status.Components[v1beta1.PredictorComponent]
		return c.LatestRolledoutRevision != first && s.Status.IsReady()
	})
	if got := w.versions(t, isvc); !maps.Equal(got, map[string]int64{"2": 100}) {
		t.Fatalf("traffic %v", got)
	}
	kwtest.Eventually(t, func() error {
		if n := w.pods(t, first); n != 0 {
			return fmt.Errorf("the former revision still has %d pods", n)
		}
		return nil
	})
}

// A rollback after a promotion finds the former revision, as KServe's users know it.
func TestController_rollsBackAfterAPromotion(t *testing.T) {
	t.Parallel()
	w := start(t)
	for v := range 3 {
		w.names.move(fmt.Sprintf("models:/digits/%d", v+1), strconv.Itoa(v+1))
	}
	isvc := w.create(t, "models:/digits/1")
	rolledOut := func(version string, shares map[string]int64) (revision string) {
		t.Helper()
		w.podsBecomeReady(t, version)
		w.waitFor(t, isvc, func(s *v1beta1.InferenceService) bool {
			return s.Status.ObservedGeneration == s.Generation && maps.Equal(w.versions(t, s), shares)
		})
		return isvc.Status.Components[v1beta1.PredictorComponent].LatestRolledoutRevision
	}
	first := rolledOut("1", map[string]int64{"1": 100})
	w.change(t, isvc, "models:/digits/2", nil)
	second := rolledOut("2", map[string]int64{"2": 100})
	kwtest.Eventually(t, func() error {
		if asked, left := w.pods(t, first), len(w.podsOf(t, "1")); asked != 0 || left != 0 {
			return fmt.Errorf("revision 1 is asked for %d pods and has %d", asked, left)
		}
		return nil
	})

	w.change(t, isvc, "models:/digits/2", new(int64(0)))
	if got := rolledOut("1", map[string]int64{"2": 0, "1": 100}); got != first {
		t.Errorf("%s is rolled out, want %s", got, first)
	}
	w.change(t, isvc, "models:/digits/3", nil)
	rolledOut("3", map[string]int64{"3": 100})
	kwtest.Eventually(t, func() error {
		var d appsv1.Deployment
		if err := w.Get(t.Context(), client.ObjectKey{Namespace: w.ns, Name: second}, &d); client.IgnoreNotFound(err) != nil || err == nil {
			return fmt.Errorf("revision %s is still there (%w)", second, err)
		}
		return nil
	})
}

// pods that the Deployment of a revision asks for.
func (w *world) pods(t *testing.T, revision string) int32 {
	t.Helper()
	var d appsv1.Deployment
	if err := w.Get(t.Context(), client.ObjectKey{Namespace: w.ns, Name: revision}, &d); err != nil {
		t.Fatal(err)
	}
	return *d.Spec.Replicas
}

// change writes address and share of the spec.
func (w *world) change(t *testing.T, isvc *v1beta1.InferenceService, uri string, percent *int64) {
	t.Helper()
	before := isvc.DeepCopy()
	isvc.Spec.Predictor.Model.StorageURI, isvc.Spec.Predictor.CanaryTrafficPercent = &uri, percent
	if err := w.Patch(t.Context(), isvc, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
}

func TestController_canarySplitsAndRollsBack(t *testing.T) {
	w := start(t)
	w.names.move("models:/digits/1", "1")
	w.names.move("models:/digits/2", "2")
	isvc := w.create(t, "models:/digits/1")
	w.podsBecomeReady(t, "1")
	w.waitFor(t, isvc, func(s *v1beta1.InferenceService) bool { return s.Status.IsReady() })

	w.change(t, isvc, "models:/digits/2", new(int64(25)))
	w.podsBecomeReady(t, "2")
	w.waitFor(t, isvc, func(s *v1beta1.InferenceService) bool {
		return len(s.Status.Components[v1beta1.PredictorComponent].Traffic) == 2
	})
	if got := w.versions(t, isvc); !maps.Equal(got, map[string]int64{"2": 25, "1": 75}) {
		t.Fatalf("traffic %v", got)
	}
	w.change(t, isvc, "models:/digits/1", nil)
	w.waitFor(t, isvc, func(s *v1beta1.InferenceService) bool {
		return s.Status.ObservedGeneration == s.Generation && len(s.Status.Components[v1beta1.PredictorComponent].Traffic) == 1
	})
	if got := w.versions(t, isvc); !maps.Equal(got, map[string]int64{"1": 100}) {
		t.Fatalf("traffic %v after the rollback", got)
	}
}

func TestController_namesWhatIsWrong(t *testing.T) {
	w := start(t)
	isvc := w.create(t, "models:/digits@nobody")
	wrong := func(reason string, words ...string) {
		t.Helper()
		w.waitFor(t, isvc, func(s *v1beta1.InferenceService) bool {
			c := s.Status.GetCondition(v1beta1.PredictorReady)
			return c != nil && c.Reason == reason && !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(c.Message, word) })
		})
	}
	wrong(v1beta1.ReasonModelNotFound)
	w.change(t, isvc, "file:///etc/passwd", nil)
	wrong(v1beta1.ReasonAddressNotPermitted, "file:///etc/passwd", "serving.fileRoots", "models:/NAME@ALIAS")
	w.change(t, isvc, "s3://bucket/model.onnx", nil)
	wrong(v1beta1.ReasonInvalidAddress, "s3://bucket", "use models:/NAME@ALIAS")
	var all appsv1.DeploymentList
	if err := w.List(t.Context(), &all, client.InNamespace(w.ns)); err != nil || len(all.Items) > 0 {
		t.Errorf("%d deployments, %v", len(all.Items), err)
	}
}

func TestController_warnsOfUnknownFieldsAndKeepsThem(t *testing.T) {
	w := start(t)
	w.names.move("models:/digits/1", "1")
	u := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"predictor": map[string]any{
			"minReplica": int64(2),
			"model":      map[string]any{"modelFormat": map[string]any{"name": "onnx"}, "storageUri": "models:/digits/1", "storageUrl": "x"},
		},
	}}}
	u.SetGroupVersionKind(v1beta1.GroupVersion.WithKind("InferenceService"))
	u.SetNamespace(w.ns)
	u.SetName("digits")
	if err := w.Create(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	const want = "spec.predictor.minReplica: unknown field, ignored; spec.predictor.model.storageUrl: unknown field, ignored"
	isvc := &v1beta1.InferenceService{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "digits"}}
	kwtest.WaitFor(t, w, isvc, func(s *v1beta1.InferenceService) bool {
		c := s.Status.GetCondition(v1beta1.SpecWarning)
		return c != nil && c.Message == want && len(s.Status.Components) > 0
	})
	if err := w.Get(t.Context(), client.ObjectKeyFromObject(u), u); err != nil {
		t.Fatal(err)
	}
	if n, _, _ := unstructured.NestedInt64(u.Object, "spec", "predictor", "minReplica"); n != 2 {
		t.Errorf("the field is gone: %v", u.Object["spec"])
	}
}

func TestReconcile_survivesACrashAtEachWrite(t *testing.T) {
	if err := kube.EnsureCRDs(t.Context(), kwtest.Config(t), serving.Kinds()); err != nil {
		t.Fatal(err)
	}
	s := scheme(t)
	var want []string
	kwtest.FailNthWrite(t, kwtest.Client(t, s), func(t *testing.T, c client.Client) {
		w := &world{WithWatch: kwtest.Client(t, s), ns: kwtest.Namespace(t), names: &names{version: map[string]string{"models:/digits/1": "1"}}}
		isvc := w.create(t, "models:/digits/1")
		r := newReconciler(c, c, deps(w.names))
		for range 4 {
			_, _ = r.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(isvc)})
		}
		if err := w.Get(t.Context(), client.ObjectKeyFromObject(isvc), isvc); err != nil {
			t.Fatal(err)
		}
		var all appsv1.DeploymentList
		if err := w.List(t.Context(), &all, client.InNamespace(w.ns)); err != nil {
			t.Fatal(err)
		}
		got := []string{isvc.Status.Components[v1beta1.PredictorComponent].LatestCreatedRevision}
		for _, d := range all.Items {
			got = append(got, d.Name)
		}
		slices.Sort(got)
		if want == nil {
			want = got
		}
		if len(got) != 2 || got[0] == "" || !equality.Semantic.DeepEqual(got, want) {
			t.Errorf("end state %v, want %v", got, want)
		}
	})
}
