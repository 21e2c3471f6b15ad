package controller

import (
	"context"
	"fmt"
	"math"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1alpha1 "github.com/kiwerk/kiwerk/api/kiwerk/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/kube"
	"github.com/kiwerk/kiwerk/internal/monitor"
)

func (r *Reconciler) observe(ctx context.Context, w *watch) (s seen, err error) {
	if s.windows, err = r.Store.LastWindows(ctx, w.baseline.ID, max(statusWindows, 2*w.spec.Windows.Of)); err != nil {
		return s, err
	}
	firing, err := r.Store.FiringAlerts(ctx, string(w.monitor.UID))
	if err != nil {
		return s, err
	}
	for i, a := range firing {
		current := a.Model == w.champion.Model && a.ModelVersion == w.champion.ModelVersion
		switch {
		case !current:
			s.outdated = append(s.outdated, a)
		case a.Kind == monitor.AlertDrift:
			s.drift = &firing[i]
		default:
			s.performance = &firing[i]
		}
	}
	if p := w.spec.Performance; p != nil {
		s.score, err = r.Data.LastLabelled(ctx, w.monitor.Namespace, w.spec.EndpointRef.Name, w.champion.Model, w.champion.ModelVersion, w.baseline.Origin, p.Window)
	}
	return s, err
}

// act stores the alerts, tells the webhook and writes the status.
func (r *Reconciler) act(ctx context.Context, w *watch, s seen, p plan, patcher *kube.Patcher, res reconcile.Result) (reconcile.Result, error) {
	notify := w.spec.Webhook != nil
	for id, outcome := range p.resolve {
		if err := r.Store.ResolveAlert(ctx, id, outcome, notify); err != nil {
			return res, err
		}
		patcher.Event(alertResolved(id, outcome))
	}
	for _, a := range p.open {
		id, err := r.Store.OpenAlert(ctx, w.baseline, a, notify)
		if err != nil {
			return res, err
		}
		r.metrics.alerts.WithLabelValues(w.monitor.Namespace, w.monitor.Name, a.Kind).Inc()
		patcher.Event(alertRaised(id, a))
	}
	again, err := r.report(ctx, w, s, p)
	if err != nil {
		return res, err
	}
	next, err := r.deliver(ctx, w)
	for _, d := range []time.Duration{again, next} {
		if d > 0 {
			res.RequeueAfter = earlier(res.RequeueAfter, d)
		}
	}
	return res, err
}

func alertRaised(id string, a monitor.Alert) kube.Event {
	reason := v1alpha1.ReasonDriftDetected
	if a.Kind == monitor.AlertPerformance {
		reason = v1alpha1.ReasonPerformanceBelowMinimum
	}
	return kube.Event{Type: "Warning", Reason: reason, Action: "Alert", Message: fmt.Sprintf("raised alert %s: %s", id, a.Message)}
}

func alertResolved(id, outcome string) kube.Event {
	return kube.Event{Type: "Normal", Reason: "AlertResolved", Action: "Resolve", Message: fmt.Sprintf("resolved alert %s: %s", id, outcome)}
}

// statusWindows is how many windows the status shows.
const statusWindows = 10

// report writes the status from what is stored now. What it left for later it
// wants to write after again.
func (r *Reconciler) report(ctx context.Context, w *watch, s seen, p plan) (again time.Duration, err error) {
	m := w.monitor
	st := &m.Status
	champion := w.champion
	st.Champion = &champion
	st.Reference = &v1alpha1.ReferenceStatus{
		Run: w.reference.Run, Artifact: w.reference.Artifact, Digest: w.reference.Digest, Rows: w.reference.Rows, Features: w.reference.Features(),
	}
	judged := st.Evaluated + st.Insufficient
	tally, err := r.Store.Tally(ctx, w.baseline.ID)
	if err != nil {
		return 0, err
	}
	st.Evaluated, st.Drifted, st.Insufficient = tally.Evaluated, tally.Drifted, tally.Insufficient
	st.Windows = nil
	for _, j := range s.windows[:min(len(s.windows), statusWindows)] {
		st.Windows = append(st.Windows, windowStatus(j))
	}
	if err := r.reportAlerts(ctx, w); err != nil {
		return 0, err
	}
	again = r.reportPerformance(w, s, p, judged != tally.Evaluated+tally.Insufficient)
	kube.Mark(m, p.drifted)
	if p.performing.Type != "" {
		kube.Mark(m, p.performing)
	} else {
		meta.RemoveStatusCondition(m.Conditions(), v1alpha1.ConditionPerforming)
	}
	drifted := 0.0
	if p.drifted.Status == metav1.ConditionTrue {
		drifted = 1
	}
	r.metrics.drifted.WithLabelValues(m.Namespace, m.Name).Set(drifted)
	if len(s.windows) > 0 {
		r.metrics.maxEffect.WithLabelValues(m.Namespace, m.Name).Set(s.windows[0].MaxEffect)
	}
	return again, nil
}

// measurePause is how often the measured performance is written if nothing else
// has changed: it changes with every label.
const measurePause = 2 * time.Second

func (r *Reconciler) reportPerformance(w *watch, s seen, p plan, judged bool) (again time.Duration) {
	m := w.monitor
	st := &m.Status
	if s.score.Labelled == 0 {
		st.Performance = nil
		return 0
	}
	r.metrics.accuracy.WithLabelValues(m.Namespace, m.Name).Set(s.score.Accuracy())
	had := meta.FindStatusCondition(st.Conditions, v1alpha1.ConditionPerforming)
	news := judged || st.Performance == nil || had == nil || had.Status != p.performing.Status
	if wait := measurePause - r.Clock.Since(w.state.measured); !news && wait > 0 {
		return wait
	}
	w.state.measured = r.Clock.Now()
	st.Performance = &v1alpha1.PerformanceStatus{
		Accuracy: round(s.score.Accuracy()), Labelled: s.score.Labelled, From: metav1.NewMicroTime(s.score.From), To: metav1.NewMicroTime(s.score.To),
	}
	return 0
}

func (r *Reconciler) reportAlerts(ctx context.Context, w *watch) error {
	st := &w.monitor.Status
	firing, err := r.Store.FiringAlerts(ctx, string(w.monitor.UID))
	if err != nil {
		return err
	}
	last, total, err := r.Store.LastAlert(ctx, string(w.monitor.UID))
	if err != nil {
		return err
	}
	st.Alerts = v1alpha1.AlertsStatus{Total: total, Firing: int64(len(firing)), LastID: last}
	st.FirstDriftedWindow = nil
	for _, a := range firing {
		if a.Kind != monitor.AlertDrift {
			continue
		}
		first, err := r.Store.WindowAt(ctx, w.baseline.ID, a.Window)
		if err != nil {
			return err
		}
		if first != nil {
			ws := windowStatus(*first)
			st.FirstDriftedWindow = &ws
		}
	}
	return nil
}

func windowStatus(j monitor.Judged) v1alpha1.WindowStatus {
	ws := v1alpha1.WindowStatus{
		ModelVersion: j.ModelVersion, Index: j.Index, Rows: j.Rows, Verdict: j.Verdict.Verdict,
		Start: metav1.NewMicroTime(j.Start), End: metav1.NewMicroTime(j.End), MaxEffect: round(j.MaxEffect), Labelled: j.Labelled,
	}
	drifted := j.Drifted()
	ws.DriftedFeatures = len(drifted)
	const most = 5
	for _, f := range drifted[:min(len(drifted), most)] {
		ws.Features = append(ws.Features, v1alpha1.FeatureStatus{Name: f.Name, D: round(f.DLow), P: f.PHigh, AdjustedP: f.Adjusted})
	}
	if j.Labelled > 0 {
		a := round(float64(j.Correct) / float64(j.Labelled))
		ws.Accuracy = &a
	}
	return ws
}

// round keeps the digits that people read; the full numbers are in the database.
func round(v float64) float64 {
	const digits = 1e6
	return math.Round(v*digits) / digits
}

// deliver tells the webhook what it has not been told. A failure is no error
// of the reconcile: it is a condition, and tried again.
func (r *Reconciler) deliver(ctx context.Context, w *watch) (next time.Duration, err error) {
	m := w.monitor
	if w.spec.Webhook == nil {
		meta.RemoveStatusCondition(m.Conditions(), v1alpha1.ConditionNotified)
		return 0, nil
	}
	pending, err := r.Store.PendingDeliveries(ctx, string(m.UID))
	if err != nil {
		return 0, err
	}
	fault := ""
	for _, d := range pending {
		if wait := d.Due.Sub(r.Clock.Now()); wait > 0 {
			fault = d.Fault
			next = earlier(next, wait)
			continue
		}
		fault = r.send(ctx, w, d)
		again := r.Clock.Now().Add(monitor.Backoff(d.Attempts))
		if err := r.Store.Delivered(ctx, d, fault, again); err != nil {
			return 0, err
		}
		if fault != "" {
			r.metrics.failures.WithLabelValues(m.Namespace, m.Name).Inc()
			r.Logger.WarnContext(ctx, "webhook failed", "namespace", m.Namespace, "monitor", m.Name, "alert", d.Alert.ID, "attempt", d.Attempts+1, "fault", fault)
			next = earlier(next, monitor.Backoff(d.Attempts))
			break // the others go to the same address
		}
	}
	if fault != "" {
		kube.Mark(m, kube.False(v1alpha1.ConditionNotified, v1alpha1.ReasonDeliveryFailed, fmt.Sprintf("webhook of Secret %s: %s; it is tried again", w.spec.Webhook.SecretRef.Name, fault)))
		return next, nil
	}
	kube.Mark(m, kube.True(v1alpha1.ConditionNotified, v1alpha1.ReasonDelivered, "the webhook has been told everything"))
	return next, nil
}

func earlier(a, b time.Duration) time.Duration {
	if a == 0 || b < a {
		return b
	}
	return a
}

func (r *Reconciler) send(ctx context.Context, w *watch, d monitor.Delivery) (fault string) {
	ref := w.spec.Webhook.SecretRef
	address, err := r.webhookSecret(ctx, w.monitor, ref)
	if err != nil {
		return "the Secret cannot be read"
	}
	if address == "" {
		return fmt.Sprintf("the Secret has no key %q", ref.Key)
	}
	if err := r.Notifier.Send(ctx, address, d); err != nil {
		return err.Error()
	}
	return ""
}
