package kwtest_test

import (
	"errors"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kiwerk/kiwerk/internal/kwtest"
)

func TestMain(m *testing.M) { kwtest.Main(m) }

func TestNamespace_isFreshAndUsable(t *testing.T) {
	c, first, second := kwtest.Client(t, nil), kwtest.Namespace(t), kwtest.Namespace(t)
	if first == second {
		t.Fatalf("two calls gave the same namespace %q", first)
	}
	kwtest.Eventually(t, func() error {
		return c.Get(t.Context(), client.ObjectKey{Namespace: first, Name: "default"}, &corev1.ServiceAccount{})
	})
}

func TestWaitFor_seesAChange(t *testing.T) {
	c := kwtest.Client(t, nil)
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: kwtest.Namespace(t), Name: "it"}}
	if err := c.Create(t.Context(), cm); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() {
		changed := cm.DeepCopy()
		changed.Data = map[string]string{"k": "v"}
		written <- c.Update(t.Context(), changed)
	}()
	seen := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: cm.Namespace, Name: cm.Name}}
	kwtest.WaitFor(t, c, seen, func(m *corev1.ConfigMap) bool { return m.Data["k"] == "v" })
	if err := <-written; err != nil { // the watch may be faster than the answer
		t.Error(err)
	}
}

// Three writes, each repeated until it succeeds: the end state is the same wherever the fault hits.
func TestFailNthWrite_hitsEachWriteOnce(t *testing.T) {
	base := kwtest.Client(t, nil)
	var faults atomic.Int64
	kwtest.FailNthWrite(t, base, func(t *testing.T, c client.Client) {
		ns := kwtest.Namespace(t)
		for _, name := range []string{"a", "b", "c"} {
			cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}}
			for {
				err := client.IgnoreAlreadyExists(c.Create(t.Context(), cm))
				if err == nil {
					break
				}
				if !errors.Is(err, kwtest.ErrInjected) {
					t.Fatal(err)
				}
				faults.Add(1)
			}
		}
		var list corev1.ConfigMapList
		if err := base.List(t.Context(), &list, client.InNamespace(ns), client.MatchingFields{"metadata.name": "c"}); err != nil {
			t.Fatal(err)
		}
		if len(list.Items) != 1 {
			t.Errorf("c exists %d times, want once", len(list.Items))
		}
	})
	// Lost requests and lost answers hit each of the three writes.
	if got := faults.Load(); got != 6 {
		t.Errorf("%d faults, want 6", got)
	}
}
