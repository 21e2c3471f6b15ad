package controller

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1alpha1 "github.com/kiwerk/kiwerk/api/kiwerk/v1alpha1"
	servingv1beta1 "github.com/kiwerk/kiwerk/api/serving/v1beta1"
	"github.com/kiwerk/kiwerk/internal/data"
	"github.com/kiwerk/kiwerk/internal/kube"
	"github.com/kiwerk/kiwerk/internal/monitor"
)

// finalizer stops the recording before a monitor goes.
const finalizer = "kiwerk.dev/recording"

// Reconcile brings one monitor up to date.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (res reconcile.Result, err error) {
	m := &v1alpha1.ModelMonitor{}
	if err := r.Client.Get(ctx, req.NamespacedName, m); err != nil {
		r.remember(req.NamespacedName, "")
		r.await(req.NamespacedName, false)
		return res, client.IgnoreNotFound(err)
	}
	p := kube.NewPatcher(m, kube.PatcherOptions{Client: r.Client, Recorder: r.Recorder, Needs: []string{v1alpha1.ConditionReferenceReady}})
	defer p.Finish(ctx, &res, &err)
	if m.DeletionTimestamp != nil {
		return res, r.finalize(ctx, m)
	}
	if controllerutil.AddFinalizer(m, finalizer) {
		return reconcile.Result{RequeueAfter: time.Millisecond}, nil // the patch itself wakes nobody
	}
	spec := m.Spec.WithDefaults()
	r.remember(req.NamespacedName, spec.EndpointRef.Name)
	r.await(req.NamespacedName, true) // before looking, so that nothing that comes meanwhile is missed
	if err := r.specs.Check(ctx, m, p); err != nil {
		return res, err
	}
	if err := r.check(ctx, m, spec); err != nil {
		return res, err
	}
	w := &watch{monitor: m, spec: spec, state: r.stateOf(m.UID)}
	if err := r.follow(ctx, w); err != nil {
		return res, err
	}
	r.await(req.NamespacedName, false)
	if !spec.Suspend {
		more, err := r.judge(ctx, w)
		if err != nil {
			return res, err
		}
		if more {
			res.RequeueAfter = time.Millisecond
		}
	}
	seen, err := r.observe(ctx, w)
	if err != nil {
		return res, err
	}
	return r.act(ctx, w, seen, decide(spec, seen), p, res)
}

// watch is one monitor with what it watches.
type watch struct {
	monitor   *v1alpha1.ModelMonitor
	spec      v1alpha1.ModelMonitorSpec
	state     *state
	champion  v1alpha1.ChampionStatus
	reference *monitor.Reference
	baseline  monitor.Baseline
	rows      int64 // of the champion's stream
}

func (r *Reconciler) finalize(ctx context.Context, m *v1alpha1.ModelMonitor) error {
	if !controllerutil.ContainsFinalizer(m, finalizer) {
		return nil
	}
	key := client.ObjectKeyFromObject(m)
	others, err := r.othersOf(ctx, m)
	if err != nil {
		return err
	}
	if len(others) == 0 {
		if err := r.Data.ForgetRecording(ctx, m.Namespace, m.Spec.EndpointRef.Name); err != nil {
			return err
		}
	}
	if err := r.Store.Forget(ctx, string(m.UID)); err != nil {
		return err
	}
	r.remember(key, "")
	r.await(key, false)
	r.dropState(m.UID)
	r.metrics.forget(m.Namespace, m.Name)
	controllerutil.RemoveFinalizer(m, finalizer)
	return nil
}

// othersOf lists the monitors of the same endpoint that are not being deleted, oldest first.
func (r *Reconciler) othersOf(ctx context.Context, m *v1alpha1.ModelMonitor) ([]v1alpha1.ModelMonitor, error) {
	var list v1alpha1.ModelMonitorList
	if err := r.Client.List(ctx, &list, client.InNamespace(m.Namespace)); err != nil {
		return nil, err
	}
	others := slices.DeleteFunc(list.Items, func(o v1alpha1.ModelMonitor) bool {
		return o.UID == m.UID || o.Spec.EndpointRef != m.Spec.EndpointRef || o.DeletionTimestamp != nil
	})
	slices.SortFunc(others, func(a, b v1alpha1.ModelMonitor) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	return others, nil
}

// check finds what the schema cannot.
func (r *Reconciler) check(ctx context.Context, m *v1alpha1.ModelMonitor, spec v1alpha1.ModelMonitorSpec) error {
	if fault := faultOf(spec); fault != "" {
		kube.Mark(m, kube.False(v1alpha1.ConditionReferenceReady, v1alpha1.ReasonInvalidSpec, fault))
		return kube.Stalledf(v1alpha1.ReasonInvalidSpec, "%s", fault)
	}
	others, err := r.othersOf(ctx, m)
	if err != nil {
		return err
	}
	for _, o := range others {
		older := o.CreationTimestamp.Before(&m.CreationTimestamp) || o.CreationTimestamp.Equal(&m.CreationTimestamp) && o.Name < m.Name
		if older {
			msg := fmt.Sprintf("endpoint %q is watched by the older monitor %q; delete one of them", spec.EndpointRef.Name, o.Name)
			kube.Mark(m, kube.False(v1alpha1.ConditionReferenceReady, v1alpha1.ReasonEndpointTaken, msg))
			return kube.Wait(0, msg)
		}
	}
	return nil
}

func faultOf(s v1alpha1.ModelMonitorSpec) string {
	switch {
	case s.Windows.Confirm > s.Windows.Of:
		return fmt.Sprintf("spec.windows.confirm is %d, but only the last %d windows (spec.windows.of) are looked at", s.Windows.Confirm, s.Windows.Of)
	case s.Windows.MinRows > s.Windows.Size:
		return fmt.Sprintf("spec.windows.minRows is %d, but a window (spec.windows.size) has %d rows", s.Windows.MinRows, s.Windows.Size)
	case s.Performance != nil && s.Performance.AlertBelow > s.Performance.Minimum:
		return fmt.Sprintf("spec.performance.alertBelow is %v, above spec.performance.minimum %v", s.Performance.AlertBelow, s.Performance.Minimum)
	case s.Performance != nil && s.Performance.MinLabelled > s.Performance.Window:
		return fmt.Sprintf("spec.performance.minLabelled is %d, but only %d predictions (spec.performance.window) are looked at", s.Performance.MinLabelled, s.Performance.Window)
	case len(s.Samples.MaskedFields) > 0 && !s.Samples.Record:
		return "spec.samples.maskedFields is set, but spec.samples.record is not: without samples nothing needs a mask"
	}
	return ""
}

// follow finds the champion, its reference and where judging it began, and says what to record.
func (r *Reconciler) follow(ctx context.Context, w *watch) error {
	if err := r.findChampion(ctx, w); err != nil {
		return err
	}
	if err := r.loadReference(ctx, w); err != nil {
		return err
	}
	if err := r.findBaseline(ctx, w); err != nil {
		return err
	}
	kube.Mark(w.monitor, kube.True(v1alpha1.ConditionReferenceReady, v1alpha1.ReasonReferenceLoaded,
		fmt.Sprintf("artifact %s of run %s", w.reference.Artifact, w.reference.Run)))
	return nil
}

// pending marks the reference as not known yet and waits for a watch to tell.
func pending(m *v1alpha1.ModelMonitor, reason, message string) error {
	kube.Mark(m, kube.Unknown(v1alpha1.ConditionReferenceReady, reason, message))
	return kube.Wait(0, message)
}

func (r *Reconciler) findChampion(ctx context.Context, w *watch) error {
	m, name := w.monitor, w.spec.EndpointRef.Name
	var service servingv1beta1.InferenceService
	err := r.Client.Get(ctx, client.ObjectKey{Namespace: m.Namespace, Name: name}, &service)
	if apierrors.IsNotFound(err) {
		msg := fmt.Sprintf("there is no InferenceService %q in namespace %q; create it or change spec.endpointRef.name", name, m.Namespace)
		kube.Mark(m, kube.False(v1alpha1.ConditionReferenceReady, v1alpha1.ReasonEndpointNotFound, msg))
		return kube.Wait(0, msg)
	}
	if err != nil {
		return err
	}
	revision := service.Status.StableRevision()
	if revision == "" {
		return pending(m, v1alpha1.ReasonEndpointNotReady, fmt.Sprintf("InferenceService %q serves no revision yet", name))
	}
	var list appsv1.DeploymentList
	if err := r.Client.List(ctx, &list, client.InNamespace(m.Namespace),
		client.MatchingLabels{servingv1beta1.LabelService: name, servingv1beta1.LabelRevision: revision}); err != nil {
		return err
	}
	if len(list.Items) == 0 {
		return pending(m, v1alpha1.ReasonEndpointNotReady, fmt.Sprintf("revision %q of InferenceService %q has no Deployment yet", revision, name))
	}
	a := list.Items[0].Annotations
	w.champion = v1alpha1.ChampionStatus{
		Model: a[servingv1beta1.AnnotationModel], ModelVersion: a[servingv1beta1.AnnotationModelVersion],
		Run: a[servingv1beta1.AnnotationRun], Revision: revision,
	}
	return nil
}

// referencePause is how long to wait for an artifact of which no change tells:
// another process may serve the uploads.
const referencePause = time.Minute

func (r *Reconciler) loadReference(ctx context.Context, w *watch) error {
	run, m := w.spec.Reference.Run, w.monitor
	if run == "" {
		run = w.champion.Run
	}
	if run == "" && w.champion.ModelVersion != "" {
		found, err := r.Source.RunOf(ctx, m.Namespace, w.champion.Model, w.champion.ModelVersion)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		run = found
	}
	if run == "" {
		msg := fmt.Sprintf("it is not known which run trained what endpoint %q serves; set spec.reference.run", w.spec.EndpointRef.Name)
		kube.Mark(m, kube.False(v1alpha1.ConditionReferenceReady, v1alpha1.ReasonReferenceNotFound, msg))
		return kube.Wait(referencePause, msg)
	}
	w.champion.Run = run
	key := run + "\x00" + w.spec.Reference.Artifact + "\x00" + w.spec.Reference.LabelColumn
	if w.state.referenceKey != key {
		ref, err := monitor.LoadReference(ctx, r.Source, m.Namespace, run, w.spec.Reference.Artifact, w.spec.Reference.LabelColumn)
		if err != nil {
			return r.noReference(m, w.spec, run, err)
		}
		w.state.reference, w.state.referenceKey = ref, key
	}
	w.reference = w.state.reference
	return nil
}

func (r *Reconciler) noReference(m *v1alpha1.ModelMonitor, spec v1alpha1.ModelMonitorSpec, run string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		msg := fmt.Sprintf("run %s has no artifact %q; log the training inputs as CSV under this name in the training run, or set spec.reference.artifact",
			run, spec.Reference.Artifact)
		if errors.Is(err, monitor.ErrNoRun) {
			msg = fmt.Sprintf("there is no run %s; correct spec.reference.run, or leave it empty to follow the model version that serves", run)
		}
		kube.Mark(m, kube.False(v1alpha1.ConditionReferenceReady, v1alpha1.ReasonReferenceNotFound, msg))
		return kube.Wait(referencePause, msg)
	}
	if fault := (&monitor.InvalidReferenceError{}); errors.As(err, &fault) {
		kube.Mark(m, kube.False(v1alpha1.ConditionReferenceReady, v1alpha1.ReasonReferenceInvalid, fault.Error()))
		return kube.Stalled(v1alpha1.ReasonReferenceInvalid, fault)
	}
	return err
}

// findBaseline begins judging at the row that comes next when the champion or
// its reference is a new one.
func (r *Reconciler) findBaseline(ctx context.Context, w *watch) error {
	m := w.monitor
	want := monitor.Baseline{
		Monitor: string(m.UID), Namespace: m.Namespace, Name: m.Name, Endpoint: w.spec.EndpointRef.Name,
		Model: w.champion.Model, Version: w.champion.ModelVersion, Reference: w.reference.Digest, Size: w.spec.Windows.Size,
	}
	found, exists, err := r.Store.FindBaseline(ctx, want)
	if err != nil {
		return err
	}
	if !exists {
		// What is in the queue was answered before; from now on everything is recorded as asked.
		if err := r.record(ctx, w, nil); err != nil {
			return err
		}
		if err := r.Data.Flush(ctx); err != nil {
			return err
		}
		if err := r.countRows(ctx, w); err != nil {
			return err
		}
		want.Origin = w.rows
		if found, err = r.Store.AddBaseline(ctx, want); err != nil {
			return err
		}
	}
	w.baseline = found
	if err := r.record(ctx, w, &found); err != nil {
		return err
	}
	return r.countRows(ctx, w)
}

func (r *Reconciler) countRows(ctx context.Context, w *watch) error {
	streams, err := r.Data.Streams(ctx, w.monitor.Namespace, w.spec.EndpointRef.Name)
	if err != nil {
		return err
	}
	for _, s := range streams {
		if s.Model == w.champion.Model && s.Version == w.champion.ModelVersion {
			w.rows = s.Rows
		}
	}
	return nil
}

// record says what to keep: of every version, and counts from the baseline on.
func (r *Reconciler) record(ctx context.Context, w *watch, b *monitor.Baseline) error {
	rec := data.Recording{
		Namespace: w.monitor.Namespace, Endpoint: w.spec.EndpointRef.Name, Names: w.reference.Names,
		Samples: w.spec.Samples.Record, Masked: w.spec.Samples.MaskedFields,
	}
	if w.spec.Samples.Retention != nil {
		rec.Retention = w.spec.Samples.Retention.Duration
	}
	key := fmt.Sprintf("%s/%s %v %q %v", rec.Namespace, rec.Endpoint, rec.Samples, rec.Masked, rec.Retention)
	if b != nil {
		rec.Model, rec.ModelVersion, rec.Profile, rec.WindowSize, rec.Origin = b.Model, b.Version, &w.reference.Profile, b.Size, b.Origin
		key += fmt.Sprintf(" %d", b.ID)
	}
	if w.state.recording == key {
		return nil
	}
	if err := r.Data.SetRecording(ctx, rec); err != nil {
		return kube.Stalled(v1alpha1.ReasonInvalidSpec, err)
	}
	w.state.recording = key
	return nil
}

// judgeAtOnce bounds the windows of one reconcile.
const judgeAtOnce = 16

// judge gives every complete window a verdict.
func (r *Reconciler) judge(ctx context.Context, w *watch) (more bool, err error) {
	tally, err := r.Store.Tally(ctx, w.baseline.ID)
	if err != nil {
		return false, err
	}
	size := int64(w.baseline.Size)
	complete := (w.rows - w.baseline.Origin) / size
	for i := tally.Next; i < complete; i++ {
		if i >= tally.Next+judgeAtOnce {
			return true, nil
		}
		window, err := r.Data.Window(ctx, data.WindowQuery{
			Namespace: w.monitor.Namespace, Endpoint: w.baseline.Endpoint, Model: w.baseline.Model, Version: w.baseline.Version,
			Origin: w.baseline.Origin, Index: i, Size: w.baseline.Size, Profile: &w.reference.Profile, Features: w.reference.Features(),
		})
		if err != nil {
			return false, err
		}
		v := monitor.Judge(w.reference, window, monitor.SettingsOf(w.spec))
		if err := r.Store.AddWindow(ctx, w.baseline.ID, monitor.Judged{
			Index: i, Start: window.Start, End: window.End, FirstID: window.FirstID, Labelled: window.Labelled, Correct: window.Correct, Verdict: v,
		}); err != nil {
			return false, err
		}
		r.metrics.windows.WithLabelValues(w.monitor.Namespace, w.monitor.Name, v.Verdict).Inc()
		r.Logger.InfoContext(ctx, "window judged", "namespace", w.monitor.Namespace, "monitor", w.monitor.Name, "modelVersion", w.baseline.Version,
			"window", i, "verdict", v.Verdict, "drifted", len(v.Drifted()), "maxEffect", v.MaxEffect, "why", v.Why)
	}
	return false, nil
}
