package kube

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// FieldOwner is our name in managed fields.
const FieldOwner = "kiwerk"

// Event tells users of a change that is stored.
type Event struct {
	Type    string // Normal or Warning
	Reason  string // CamelCase
	Action  string // what was done: Create, Promote, …
	Message string
}

// PatcherOptions of a Patcher.
type PatcherOptions struct {
	Client   client.Client
	Recorder events.EventRecorder
	// Needs are the condition types that must be True for Ready. Used for
	// objects that implement Conditioned; foreign kinds keep their own conditions.
	Needs []string
	// NoStatusSubresource says that status is part of the main resource, as for Argo's Workflow.
	NoStatusSubresource bool
}

// Patcher writes the difference between an object as it was read and as it is
// at the end of a reconcile. It never sends fields that the reconciler did not
// change, so fields that our types do not know stay as they are.
type Patcher struct {
	opts   PatcherOptions
	obj    client.Object
	before client.Object
	events []Event
}

// NewPatcher remembers obj as it is now.
func NewPatcher(obj client.Object, o PatcherOptions) *Patcher {
	return &Patcher{opts: o, obj: obj, before: obj.DeepCopyObject().(client.Object)} //nolint:forcetypeassert // A copy has the type of its original.
}

// Event queues an event until the patch has succeeded.
func (p *Patcher) Event(e Event) { p.events = append(p.events, e) }

// Finish is deferred by Reconcile with the addresses of its results.
func (p *Patcher) Finish(ctx context.Context, res *reconcile.Result, err *error) {
	if c, ok := p.obj.(Conditioned); ok && p.obj.GetDeletionTimestamp() == nil {
		summarise(c, p.opts.Needs, *err)
		c.SetObservedGeneration(p.obj.GetGeneration())
	}
	patchErr := p.Patch(ctx)
	if patchErr == nil {
		p.emit(*err)
	}
	*res, *err = result(*res, errors.Join(*err, patchErr))
}

// Patch writes what has changed so far: metadata and spec first, then status.
func (p *Patcher) Patch(ctx context.Context) error {
	if p.opts.NoStatusSubresource {
		return p.patch(ctx, func(o client.Object, patch client.Patch) error {
			return p.opts.Client.Patch(ctx, o, patch, client.FieldOwner(FieldOwner))
		})
	}
	status := p.obj.DeepCopyObject().(client.Object) //nolint:forcetypeassert // A copy has the type of its original.
	if err := p.patch(ctx, func(o client.Object, patch client.Patch) error {
		return p.opts.Client.Patch(ctx, o, patch, client.FieldOwner(FieldOwner))
	}); err != nil {
		return err
	}
	// The answer to the first patch carries the stored status; ours goes in the second one.
	status.SetResourceVersion(p.before.GetResourceVersion())
	data, err := client.MergeFrom(p.before).Data(status)
	if err != nil || string(data) == "{}" {
		return err
	}
	if err := p.opts.Client.Status().Patch(ctx, status, client.MergeFrom(p.before), client.FieldOwner(FieldOwner)); err != nil {
		return ignoreGone(p.obj, fmt.Errorf("patch status: %w", err))
	}
	p.obj.SetResourceVersion(status.GetResourceVersion())
	return nil
}

func (p *Patcher) patch(_ context.Context, send func(client.Object, client.Patch) error) error {
	if equality.Semantic.DeepEqual(p.before, p.obj) {
		return nil
	}
	data, err := client.MergeFrom(p.before).Data(p.obj)
	if err != nil {
		return fmt.Errorf("compute patch: %w", err)
	}
	if string(data) == "{}" {
		return nil
	}
	sent := p.obj.DeepCopyObject().(client.Object) //nolint:forcetypeassert // A copy has the type of its original.
	if err := send(sent, client.MergeFrom(p.before)); err != nil {
		return ignoreGone(p.obj, fmt.Errorf("patch: %w", err))
	}
	p.before.SetResourceVersion(sent.GetResourceVersion())
	p.obj.SetResourceVersion(sent.GetResourceVersion())
	return nil
}

// ignoreGone drops the error of patching an object whose last finalizer we have just removed.
func ignoreGone(obj client.Object, err error) error {
	if apierrors.IsNotFound(err) && obj.GetDeletionTimestamp() != nil {
		return nil
	}
	return err
}

func (p *Patcher) emit(err error) {
	if p.opts.Recorder == nil {
		return
	}
	var stalled *StalledError
	if errors.As(err, &stalled) {
		p.Event(Event{Type: "Warning", Reason: stalled.Reason, Action: "Reconcile", Message: stalled.Error()})
	}
	for _, e := range p.events {
		p.opts.Recorder.Eventf(p.obj, nil, e.Type, e.Reason, e.Action, "%s", e.Message)
	}
	p.events = nil
}
