package kube

import (
	"context"
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/yaml"
)

type part struct {
	Name string `json:"name"`
}

type inlined struct {
	Colour string `json:"colour"`
}

type example struct {
	inlined `json:",inline"`

	Parts   []part                `json:"parts,omitempty"`
	ByName  map[string]*part      `json:"byName,omitempty"`
	Raw     *runtime.RawExtension `json:"raw,omitempty"`
	Volumes []corev1.Volume       `json:"volumes,omitempty"`
	Hidden  string                `json:"-"`
}

func TestFieldWalk_namesUnknownFields(t *testing.T) {
	for name, c := range map[string]struct{ manifest, want string }{
		"AllKnown":        {"{colour: red, parts: [{name: a}], byName: {b: {name: b}}}", ""},
		"Top":             {"{color: red}", "spec.color"},
		"Hidden":          {"{Hidden: x, '-': y}", "spec.- spec.Hidden"},
		"InList":          {"{parts: [{name: a}, {nmae: b}]}", "spec.parts[1].nmae"},
		"InMap":           {"{byName: {b: {nmae: b}}}", "spec.byName.b.nmae"},
		"OwnDecoder":      {"{raw: {anything: goes}}", ""},
		"Inlined":         {"{volumes: [{name: v, emptyDir: {sizeLimit: 1Gi}, secret: {secretNme: x}}]}", "spec.volumes[0].secret.secretNme"},
		"EmptyOnesOfTool": {"{a: null, b: {}, c: [], d: '', e: false}", ""},
		"Sorted":          {"{z: 1, a: 0, colour: red}", "spec.a spec.z"},
		"NotAsDeclared":   {"{parts: {name: a}, colour: [x]}", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var v map[string]any
			if err := yaml.Unmarshal([]byte(c.manifest), &v); err != nil {
				t.Fatal(err)
			}
			var got []string
			FieldWalk{Unknown: func(_ reflect.Type, _, path string) { got = append(got, path) }}.Walk(v, reflect.TypeFor[example](), "spec")
			if g := strings.Join(got, " "); g != c.want {
				t.Errorf("got %q, want %q", g, c.want)
			}
		})
	}
}

// SetSpecWarning makes a widget one that can be warned of.
func (w *widget) SetSpecWarning(message string) bool {
	if message == "" {
		return meta.RemoveStatusCondition(&w.Status.Conditions, "SpecWarning")
	}
	return meta.SetStatusCondition(&w.Status.Conditions, True("SpecWarning", "UnknownField", message))
}

func TestSpecCheck_followsTheSpec(t *testing.T) {
	c, ns := setup(t)
	w := create(t, c, ns) // with the unknown field colour
	recorder := events.NewFakeRecorder(10)
	counted := &countingReader{Reader: c}
	s := NewSpecCheck(counted, widgets.WithKind("Widget"), reflect.TypeOf(w.Spec))
	check := func() string {
		t.Helper()
		var err error
		p := NewPatcher(w, PatcherOptions{Client: c, Recorder: recorder})
		err = s.Check(t.Context(), w, p)
		res := reconcile.Result{}
		if p.Finish(t.Context(), &res, &err); err != nil {
			t.Fatal(err)
		}
		w = read(t, c, ns)
		if warning := meta.FindStatusCondition(w.Status.Conditions, "SpecWarning"); warning != nil {
			return warning.Message
		}
		return ""
	}
	for range 2 {
		if got := check(); got != "spec.colour: unknown field, ignored" {
			t.Errorf("got %q", got)
		}
	}
	if counted.n != 1 || len(recorder.Events) != 1 {
		t.Errorf("read %d times, %d events", counted.n, len(recorder.Events))
	}
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(widgets.WithKind("Widget"))
	u.SetNamespace(ns)
	u.SetName("w")
	if err := c.Patch(t.Context(), u, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"colour":null}}`))); err != nil {
		t.Fatal(err)
	}
	w = read(t, c, ns)
	if got := check(); got != "" || len(recorder.Events) != 1 {
		t.Errorf("after the field was removed: %q, %d events", got, len(recorder.Events))
	}
}

type countingReader struct {
	client.Reader
	n int
}

func (r *countingReader) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	r.n++
	return r.Reader.Get(ctx, key, obj, opts...)
}
