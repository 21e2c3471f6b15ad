package kwtest

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ErrInjected is what a write fails with on purpose.
var ErrInjected = errors.New("kwtest: injected fault")

const maxWrites = 200

// FailNthWrite calls run in sub-tests: with a client that works, which tells how
// many writes there are, then with one whose first write fails, with one whose
// second write fails, and so on, until a run passes without a fault. Each write
// fails in two ways: the request is lost, or it was carried out and only the
// answer is lost. Run must bring its reconciler to the end (by calling it again
// after an error, as the runtime does) and check the end state, which must be
// the same each time.
//
// Runs have about the same number of writes, not exactly: two changes that are
// seen at once are one write. Those as far as the first run came go on side by
// side: use a new [Namespace] in each.
func FailNthWrite(t *testing.T, base client.Client, run func(t *testing.T, c client.Client)) {
	t.Helper()
	counted := &Faulty{Client: base}
	if !t.Run("NoFault", func(t *testing.T) { run(t, counted) }) {
		return
	}
	if counted.writes == 0 {
		t.Fatal("nothing was written")
	}
	fail := func(t *testing.T, n int, before func(*testing.T)) (fired func() bool) {
		lost, unanswered := &Faulty{Client: base, N: n}, &Faulty{Client: base, N: n, After: true}
		for name, faulty := range map[string]*Faulty{"RequestLost": lost, "AnswerLost": unanswered} {
			t.Run(name+strconv.Itoa(n), func(t *testing.T) {
				before(t)
				run(t, faulty)
			})
		}
		return func() bool { return lost.Fired() || unanswered.Fired() }
	}
	t.Run("Fault", func(t *testing.T) {
		for n := 1; n <= counted.writes; n++ {
			fail(t, n, (*testing.T).Parallel)
		}
	})
	for n := counted.writes + 1; fail(t, n, func(*testing.T) {})() && !t.Failed(); n++ {
		if n > maxWrites {
			t.Fatalf("more than %d writes; does the reconciler ever stop writing?", maxWrites)
		}
	}
}

// Faulty is a client whose Nth write fails, once.
type Faulty struct {
	client.Client
	// N counts from 1; with 0 none fails.
	N int
	// After lets the write happen before it fails.
	After bool

	mu     sync.Mutex
	writes int
}

// Fired tells whether the fault has happened.
func (f *Faulty) Fired() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.writes >= f.N
}

// write carries out do or fails. Whose answer is lost learns nothing from it, so do gets a copy of obj then.
func (f *Faulty) write(obj client.Object, do func(client.Object) error) error {
	f.mu.Lock()
	f.writes++
	hit := f.writes == f.N
	f.mu.Unlock()
	if !hit {
		return do(obj)
	}
	if !f.After {
		return ErrInjected
	}
	if obj != nil {
		obj = obj.DeepCopyObject().(client.Object)
	}
	if err := do(obj); err != nil {
		return err
	}
	return ErrInjected
}

// Apply is a write.
func (f *Faulty) Apply(ctx context.Context, obj runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
	return f.write(nil, func(client.Object) error { return f.Client.Apply(ctx, obj, opts...) })
}

// Create is a write.
func (f *Faulty) Create(ctx context.Context, obj client.Object, opts ...client.CreateOption) error {
	return f.write(obj, func(obj client.Object) error { return f.Client.Create(ctx, obj, opts...) })
}

// Delete is a write.
func (f *Faulty) Delete(ctx context.Context, obj client.Object, opts ...client.DeleteOption) error {
	return f.write(obj, func(obj client.Object) error { return f.Client.Delete(ctx, obj, opts...) })
}

// Update is a write.
func (f *Faulty) Update(ctx context.Context, obj client.Object, opts ...client.UpdateOption) error {
	return f.write(obj, func(obj client.Object) error { return f.Client.Update(ctx, obj, opts...) })
}

// Patch is a write.
func (f *Faulty) Patch(ctx context.Context, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
	return f.write(obj, func(obj client.Object) error { return f.Client.Patch(ctx, obj, patch, opts...) })
}

// DeleteAllOf is a write.
func (f *Faulty) DeleteAllOf(ctx context.Context, obj client.Object, opts ...client.DeleteAllOfOption) error {
	return f.write(obj, func(obj client.Object) error { return f.Client.DeleteAllOf(ctx, obj, opts...) })
}

// Status returns a writer with the same fault.
func (f *Faulty) Status() client.SubResourceWriter {
	return faultySub{f, f.Client.Status()}
}

// SubResource returns a client with the same fault.
func (f *Faulty) SubResource(name string) client.SubResourceClient {
	sub := f.Client.SubResource(name)
	return struct {
		client.SubResourceReader
		client.SubResourceWriter
	}{sub, faultySub{f, sub}}
}

type faultySub struct {
	f *Faulty
	w client.SubResourceWriter
}

func (s faultySub) Create(ctx context.Context, obj, sub client.Object, opts ...client.SubResourceCreateOption) error {
	return s.f.write(obj, func(obj client.Object) error { return s.w.Create(ctx, obj, sub, opts...) })
}

func (s faultySub) Update(ctx context.Context, obj client.Object, opts ...client.SubResourceUpdateOption) error {
	return s.f.write(obj, func(obj client.Object) error { return s.w.Update(ctx, obj, opts...) })
}

func (s faultySub) Patch(ctx context.Context, obj client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
	return s.f.write(obj, func(obj client.Object) error { return s.w.Patch(ctx, obj, patch, opts...) })
}

func (s faultySub) Apply(ctx context.Context, obj runtime.ApplyConfiguration, opts ...client.SubResourceApplyOption) error {
	return s.f.write(nil, func(client.Object) error { return s.w.Apply(ctx, obj, opts...) })
}
