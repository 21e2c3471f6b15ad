package kube

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// IgnoredField is what is said of a field that nobody knows.
const IgnoredField = "unknown field, ignored"

// Warned is an object whose status can name fields of its spec that are ignored.
type Warned interface {
	client.Object
	// SetSpecWarning sets the condition SpecWarning, or removes it when there is
	// nothing to say, and tells whether that changed the status.
	SetSpecWarning(message string) (changed bool)
}

// SpecCheck names the fields under spec that our Go type of a kind does not
// know. Such fields are kept in the object but are gone from what a typed
// client reads, so the check reads each generation of an object once more,
// without a type.
type SpecCheck struct {
	live client.Reader
	kind schema.GroupVersionKind
	spec reflect.Type

	mu   sync.Mutex
	read map[types.UID]checkedSpec
}

type checkedSpec struct {
	generation int64
	warning    string
}

// maxCheckedSpecs bounds what is remembered; beyond it objects are read again.
const maxCheckedSpecs = 10_000

// NewSpecCheck makes a check for a kind whose spec is read into spec.
func NewSpecCheck(live client.Reader, kind schema.GroupVersionKind, spec reflect.Type) *SpecCheck {
	return &SpecCheck{live: live, kind: kind, spec: spec, read: map[types.UID]checkedSpec{}}
}

// Check brings the condition up to date and tells of a new warning by an event.
func (s *SpecCheck) Check(ctx context.Context, obj Warned, p *Patcher) error {
	warning, err := s.warning(ctx, obj)
	if err != nil {
		return client.IgnoreNotFound(err)
	}
	if obj.SetSpecWarning(warning) && warning != "" {
		p.Event(Event{Type: "Warning", Reason: "UnknownField", Action: "Validate", Message: warning})
	}
	return nil
}

func (s *SpecCheck) warning(ctx context.Context, obj client.Object) (string, error) {
	s.mu.Lock()
	known, ok := s.read[obj.GetUID()]
	s.mu.Unlock()
	if ok && known.generation == obj.GetGeneration() {
		return known.warning, nil
	}
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(s.kind)
	if err := s.live.Get(ctx, client.ObjectKeyFromObject(obj), u); err != nil {
		return "", fmt.Errorf("read the spec of %s %s: %w", s.kind.Kind, obj.GetName(), err)
	}
	var unknown []string
	FieldWalk{Unknown: func(_ reflect.Type, _, path string) {
		unknown = append(unknown, path+": "+IgnoredField)
	}}.Walk(u.Object["spec"], s.spec, "spec")
	warning := strings.Join(unknown, "; ")

	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.read) >= maxCheckedSpecs {
		clear(s.read)
	}
	s.read[u.GetUID()] = checkedSpec{u.GetGeneration(), warning}
	return warning, nil
}
