package demo

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	kiwerkv1 "github.com/kiwerk/kiwerk/api/kiwerk/v1alpha1"
	servingv1 "github.com/kiwerk/kiwerk/api/serving/v1beta1"
	"github.com/kiwerk/kiwerk/internal/text"
)

// typed reads an object of the platform into its type.
func typed[T any](obj *unstructured.Unstructured) (*T, error) {
	into := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(obj.Object, into); err != nil {
		return nil, fmt.Errorf("%s %s: %w", obj.GetKind(), obj.GetName(), err)
	}
	return into, nil
}

// watchAndPolicy applies monitor and policy and waits until both are at work:
// from then on every photograph counts.
func (d *day) watchAndPolicy(ctx context.Context) (string, error) {
	for _, manifest := range []string{"monitor.yaml", "policy.yaml"} {
		if err := d.objects.apply(ctx, d.manifests, manifest); err != nil {
			return "", err
		}
	}
	_, err := d.objects.wait(ctx, monitors, monitorName, readyLimit, func(obj *unstructured.Unstructured) (bool, error) {
		return isTrue(obj, "Ready") && isTrue(obj, kiwerkv1.ConditionReferenceReady), nil
	})
	if err != nil {
		return "", err
	}
	_, err = d.objects.wait(ctx, policies, policyName, readyLimit, func(obj *unstructured.Unstructured) (bool, error) {
		return isTrue(obj, "Ready"), nil
	})
	return "", err
}

// judgement is what the monitor has said about windows so far.
type judgement struct {
	windows int
	alarms  int
	drifted bool
	alert   string
}

// judged waits until the monitor has judged n windows of version 1.
func (d *day) judged(ctx context.Context, n int) (judgement, error) {
	var j judgement
	_, err := d.objects.wait(ctx, monitors, monitorName, windowLimit, func(obj *unstructured.Unstructured) (bool, error) {
		m, err := typed[kiwerkv1.ModelMonitor](obj)
		if err != nil {
			return false, err
		}
		j = judgement{
			windows: int(m.Status.Evaluated + m.Status.Insufficient), alarms: int(m.Status.Alerts.Total), alert: m.Status.Alerts.LastID,
			drifted: meta.IsStatusConditionTrue(m.Status.Conditions, kiwerkv1.ConditionDrifted),
		}
		return j.windows >= n, nil
	})
	return j, err
}

// retrained waits until the platform has trained a challenger by itself and
// decided whether it gets traffic.
func (d *day) retrained(ctx context.Context) (string, error) {
	current, err := d.retraining(ctx, retrainLimit, func(r *kiwerkv1.RetrainingStatus) bool {
		return r.Phase == kiwerkv1.PhaseCanary || r.Phase.Ended()
	})
	if err != nil {
		return "", err
	}
	if err := d.keepRetraining(ctx, current); err != nil {
		return "", err
	}
	r := &d.report
	switch {
	case current.Phase == kiwerkv1.PhaseCanary || current.Phase == kiwerkv1.PhasePromoted:
		return d.text.T(text.DemoRetrainDone, d.percent(r.ChampionScore), d.percent(r.ChallengerScore), r.GateRows), nil
	case d.cfg.BadChallenger:
		return d.text.T(text.DemoRefused, d.why()), nil
	default:
		return "", fmt.Errorf("the retraining ended %s: %s: %s", current.Phase, current.Reason, current.Message)
	}
}

// why says the reason of the platform's decision with its numbers.
func (d *day) why() string {
	r := &d.report
	why := d.text.T(text.RetrainReason(r.DecisionReason))
	if r.ChallengerScore == 0 {
		return why
	}
	return why + ": " + d.text.T(text.DemoRetrainDone, d.percent(r.ChampionScore), d.percent(r.ChallengerScore), r.GateRows)
}

// retraining waits until the policy's retraining is as wanted.
func (d *day) retraining(ctx context.Context, limit time.Duration, done func(*kiwerkv1.RetrainingStatus) bool) (*kiwerkv1.RetrainingStatus, error) {
	var current *kiwerkv1.RetrainingStatus
	_, err := d.objects.wait(ctx, policies, policyName, limit, func(obj *unstructured.Unstructured) (bool, error) {
		p, err := typed[kiwerkv1.RetrainPolicy](obj)
		if err != nil {
			return false, err
		}
		current = p.Status.Current
		return current != nil && done(current), nil
	})
	if err != nil && current != nil {
		err = fmt.Errorf("%w (the retraining is %s: %s: %s)", err, current.Phase, current.Reason, current.Message)
	}
	return current, err
}

// keepRetraining writes what the platform stored about a retraining into the report.
func (d *day) keepRetraining(ctx context.Context, c *kiwerkv1.RetrainingStatus) error {
	d.decided = c.Phase.Ended()
	r := &d.report
	r.RetrainID, r.AlertID = c.ID, c.Trigger.AlertID
	r.RetrainWorkflowName, r.RetrainWorkflowUID = c.Workflow, c.WorkflowUID
	r.DatasetRetraining, r.DigestRetraining = c.Dataset, c.DatasetDigest
	r.DatasetRetrainingGate, r.DigestRetrainingGate = c.Gate, c.GateDigest
	r.TrainingRows, r.GateRows = c.TrainingRows, c.GateRows
	r.DecisionReason, r.DecisionMessage = c.Reason, c.Message
	r.Promoted = c.Phase == kiwerkv1.PhasePromoted
	if c.Score != nil {
		r.ChampionScore, r.ChallengerScore = c.Score.Champion, c.Score.Challenger
	}
	if c.Challenger == nil || r.ModelVersionV2 != "" {
		return nil
	}
	r.ModelVersionV2 = c.Challenger.Version
	var err error
	r.RunIDV2, err = d.client.runOf(ctx, c.Challenger.Name, c.Challenger.Version)
	return err
}

// canary waits for the end of the canary and notes from when on the new
// version had which share.
func (d *day) canary(ctx context.Context) ([]share, error) {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	shares := make(chan []share, 1)
	go func() { shares <- d.watchShares(watching) }()
	current, err := d.retraining(ctx, canaryLimit, func(r *kiwerkv1.RetrainingStatus) bool { return r.Phase.Ended() })
	stop()
	seen := <-shares
	if err != nil {
		return seen, err
	}
	if err := d.keepRetraining(ctx, current); err != nil {
		return seen, err
	}
	if !d.report.Promoted && !d.cfg.BadChallenger {
		return seen, fmt.Errorf("the canary ended %s: %s: %s", current.Phase, current.Reason, current.Message)
	}
	return seen, nil
}

// watchShares follows what the endpoint's status says about the split until
// ctx ends.
func (d *day) watchShares(ctx context.Context) []share {
	var shares []share
	_, err := d.objects.wait(ctx, services, endpointName, canaryLimit, func(obj *unstructured.Unstructured) (bool, error) {
		percent := latestShare(obj)
		if len(shares) == 0 || shares[len(shares)-1].percent != percent {
			shares = append(shares, share{percent: percent, from: d.cfg.Now()})
		}
		return false, nil
	})
	_ = err // the end of ctx; what was seen until then counts
	return shares
}

// latestShare is the percentage that the newest revision gets now.
func latestShare(obj *unstructured.Unstructured) int64 {
	service, err := typed[servingv1.InferenceService](obj)
	if err != nil {
		return 0
	}
	for _, t := range service.Status.Components[servingv1.PredictorComponent].Traffic {
		if t.LatestRevision != nil && *t.LatestRevision && t.Percent != nil {
			return *t.Percent
		}
	}
	return 0
}
