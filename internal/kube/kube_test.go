package kube

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/kiwerk/kiwerk/internal/kwtest"
)

var widgets = schema.GroupVersion{Group: "test.kiwerk.dev", Version: "v1"}

// widget is a kind whose Go type knows only a part of what users write.
type widget struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec struct {
		Size int `json:"size,omitempty"`
	} `json:"spec,omitempty"`
	Status widgetStatus `json:"status,omitempty"`
}

type widgetStatus struct {
	ObservedGeneration int64              `json:"observedGeneration,omitempty"`
	Conditions         []metav1.Condition `json:"conditions,omitempty"`
	Note               string             `json:"note,omitempty"`
}

func (w *widget) DeepCopyObject() runtime.Object {
	c := *w
	w.DeepCopyInto(&c.ObjectMeta)
	c.Status.Conditions = append([]metav1.Condition(nil), w.Status.Conditions...)
	return &c
}

func (w *widget) Conditions() *[]metav1.Condition { return &w.Status.Conditions }
func (w *widget) SetObservedGeneration(g int64)   { w.Status.ObservedGeneration = g }

type widgetList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []widget `json:"items"`
}

func (l *widgetList) DeepCopyObject() runtime.Object {
	c := *l
	c.Items = append([]widget(nil), l.Items...)
	return &c
}

func setup(t *testing.T) (client.Client, string) {
	t.Helper()
	if err := EnsureCRDs(t.Context(), kwtest.Config(t), []Kind{{Group: widgets.Group, Version: widgets.Version, Kind: "Widget", Plural: "widgets"}}); err != nil {
		t.Fatal(err)
	}
	s := runtime.NewScheme()
	if err := scheme.AddToScheme(s); err != nil {
		t.Fatal(err)
	}
	s.AddKnownTypeWithName(widgets.WithKind("Widget"), &widget{})
	s.AddKnownTypeWithName(widgets.WithKind("WidgetList"), &widgetList{})
	metav1.AddToGroupVersion(s, widgets)
	c, err := client.New(kwtest.Config(t), client.Options{Scheme: s})
	if err != nil {
		t.Fatal(err)
	}
	return c, kwtest.Namespace(t)
}

// create stores a widget with a field that the Go type does not know.
func create(t *testing.T, c client.Client, ns string) *widget {
	t.Helper()
	u := &unstructured.Unstructured{Object: map[string]any{
		"spec": map[string]any{"size": int64(1), "colour": "red"},
	}}
	u.SetGroupVersionKind(widgets.WithKind("Widget"))
	u.SetNamespace(ns)
	u.SetName("w")
	if err := c.Create(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	return read(t, c, ns)
}

func read(t *testing.T, c client.Client, ns string) *widget {
	t.Helper()
	w := &widget{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "w"}, w); err != nil {
		t.Fatal(err)
	}
	return w
}

func finish(t *testing.T, c client.Client, w *widget, change func(), err error) (reconcile.Result, error) {
	t.Helper()
	p := NewPatcher(w, PatcherOptions{Client: c, Needs: []string{"Painted"}})
	change()
	res := reconcile.Result{}
	p.Finish(t.Context(), &res, &err)
	return res, err
}

func TestPatcher_writesMetadataSpecAndStatus(t *testing.T) {
	c, ns := setup(t)
	w := create(t, c, ns)
	_, err := finish(t, c, w, func() {
		w.Labels = map[string]string{"a": "b"}
		w.Spec.Size = 2
		w.Status.Note = "seen"
		Mark(w, True("Painted", "Done", ""))
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := read(t, c, ns)
	if got.Labels["a"] != "b" || got.Spec.Size != 2 || got.Status.Note != "seen" || got.Status.ObservedGeneration == 0 {
		t.Errorf("not all was written: %+v", got)
	}
	if !meta.IsStatusConditionTrue(got.Status.Conditions, Ready) {
		t.Errorf("not ready: %+v", got.Status.Conditions)
	}
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(widgets.WithKind("Widget"))
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(w), u); err != nil {
		t.Fatal(err)
	}
	if colour, _, _ := unstructured.NestedString(u.Object, "spec", "colour"); colour != "red" {
		t.Errorf("the field that the type does not know became %q", colour)
	}
}

func TestPatcher_writesNothingWhenNothingChanged(t *testing.T) {
	c, ns := setup(t)
	w := create(t, c, ns)
	if _, err := finish(t, c, w, func() { Mark(w, True("Painted", "Done", "")) }, nil); err != nil {
		t.Fatal(err)
	}
	before := read(t, c, ns)
	if _, err := finish(t, c, before, func() { Mark(before, True("Painted", "Done", "")) }, nil); err != nil {
		t.Fatal(err)
	}
	if after := read(t, c, ns); after.ResourceVersion != before.ResourceVersion {
		t.Error("an unchanged object was written")
	}
}

func TestPatcher_kindsOfErrors(t *testing.T) {
	boom := errors.New("boom")
	cases := map[string]struct {
		err       error
		painted   *metav1.Condition
		ready     metav1.ConditionStatus
		has, lack string
		res       reconcile.Result
		terminal  bool
	}{
		"Fine":        {nil, new(True("Painted", "Done", "")), metav1.ConditionTrue, "", Reconciling, reconcile.Result{}, false},
		"NotPainted":  {nil, new(False("Painted", "Dry", "no paint")), metav1.ConditionFalse, "", StalledType, reconcile.Result{}, false},
		"NothingSaid": {nil, nil, metav1.ConditionUnknown, "", StalledType, reconcile.Result{}, false},
		"Stalled":     {Stalled("NoPaint", boom), nil, metav1.ConditionFalse, StalledType, Reconciling, reconcile.Result{}, true},
		"Waiting":     {Wait(3*time.Second, "drying"), nil, metav1.ConditionUnknown, Reconciling, StalledType, reconcile.Result{RequeueAfter: 3 * time.Second}, false},
		"WaitsThoughPainted": {
			Wait(0, "drying"), new(True("Painted", "Done", "")), metav1.ConditionUnknown, Reconciling, StalledType, reconcile.Result{}, false,
		},
	}
	c, _ := setup(t)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			ns := kwtest.Namespace(t)
			w := create(t, c, ns)
			res, err := finish(t, c, w, func() {
				if tc.painted != nil {
					Mark(w, *tc.painted)
				}
			}, tc.err)
			if diff := cmp.Diff(tc.res, res); diff != "" {
				t.Error(diff)
			}
			if terminal := errors.Is(err, reconcile.TerminalError(nil)); terminal != tc.terminal {
				t.Errorf("terminal %v, want %v (%v)", terminal, tc.terminal, err)
			}
			conditions := read(t, c, ns).Status.Conditions
			if got := meta.FindStatusCondition(conditions, Ready); got == nil || got.Status != tc.ready {
				t.Errorf("Ready is %+v, want %s", got, tc.ready)
			}
			if tc.has != "" && !meta.IsStatusConditionTrue(conditions, tc.has) {
				t.Errorf("%s is missing: %+v", tc.has, conditions)
			}
			if meta.FindStatusCondition(conditions, tc.lack) != nil {
				t.Errorf("%s is set: %+v", tc.lack, conditions)
			}
		})
	}
}

func TestPatcher_plainErrorIsRetriedWithStableMessage(t *testing.T) {
	c, ns := setup(t)
	w := create(t, c, ns)
	boom := errors.New("attempt 7 failed at 12:03:11")
	if _, err := finish(t, c, w, func() {}, boom); !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
	r := meta.FindStatusCondition(read(t, c, ns).Status.Conditions, Reconciling)
	if r == nil || r.Reason != "Retrying" || r.Message == boom.Error() {
		t.Errorf("got %+v", r)
	}
}

func TestApply_ownsAndRepeats(t *testing.T) {
	c, ns := setup(t)
	w := create(t, c, ns)
	child := func() *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "child"}, Data: map[string]string{"k": "v"}}
	}
	for range 2 {
		if err := Apply(t.Context(), c, w, child()); err != nil {
			t.Fatal(err)
		}
	}
	var got corev1.ConfigMap
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "child"}, &got); err != nil {
		t.Fatal(err)
	}
	if owner := metav1.GetControllerOf(&got); owner == nil || owner.UID != w.UID || got.Data["k"] != "v" {
		t.Errorf("got owner %+v, data %v", owner, got.Data)
	}
}

func TestPlatform_Inject(t *testing.T) {
	pod := corev1.PodSpec{
		InitContainers: []corev1.Container{{Name: "init"}},
		Containers:     []corev1.Container{{Name: "main", Env: []corev1.EnvVar{{Name: EnvTrackingURI, Value: "http://mine"}}}},
	}
	Platform{BaseURL: "http://127.0.0.1:7878"}.Inject(&pod)
	value := func(c corev1.Container, name string) string {
		for _, e := range c.Env {
			if e.Name == name {
				return e.Value
			}
		}
		return ""
	}
	main := pod.Containers[0]
	if value(main, EnvTrackingURI) != "http://mine" {
		t.Error("what the author set was replaced")
	}
	for _, c := range append(pod.InitContainers, main) {
		if value(c, EnvURL) != "http://127.0.0.1:7878" || value(c, "MLFLOW_DISABLE_TELEMETRY") != "true" || value(c, "DO_NOT_TRACK") != "true" {
			t.Errorf("%s: environment %v", c.Name, c.Env)
		}
		if len(c.VolumeMounts) != 1 || c.VolumeMounts[0].MountPath != TokenDir || !c.VolumeMounts[0].ReadOnly {
			t.Errorf("%s: mounts %v", c.Name, c.VolumeMounts)
		}
	}
	token := pod.Volumes[0].Projected.Sources[0].ServiceAccountToken
	if token.Audience != TokenAudience || token.Path != "token" {
		t.Errorf("token %+v", token)
	}
}
