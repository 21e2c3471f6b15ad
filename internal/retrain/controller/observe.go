package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kiwerk/kiwerk/api/kiwerk/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/data"
	"github.com/kiwerk/kiwerk/internal/kube"
	"github.com/kiwerk/kiwerk/internal/retrain"
)

// observed is everything that a decision needs.
type observed struct {
	endpoint *endpoint
	// lacks are the objects beside the endpoint that a training needs and that are not there.
	lacks []missing
	// drift that a monitor of the endpoint reports for the champion.
	drift *drift
	// measured is what labels say of the champion since the last retraining.
	measured data.Score
	// samples that are labelled.
	samples  int
	workflow *workflow
	// verdict that the registry has of the version that the workflow made.
	verdict string
	// known: the registry has that version.
	known bool
	// challenger is the endpoint on which the challenger is compared.
	challenger *endpoint
	canary     canary
}

type drift struct {
	alertID string
	from    time.Time
	message string
}

// canary is what both models did with their shares.
type canary struct {
	requests, errors int64 // of the challenger, as the gateway counted since it started
	inStep           int   // recorded rows of the challenger in this step
	champion         data.Score
	challenger       data.Score
}

// takenPause is how long to wait for a name that somebody else has taken.
const takenPause = 30 * time.Second

func (r *reconciler) observe(ctx context.Context, p *v1alpha1.RetrainPolicy, spec *v1alpha1.RetrainPolicySpec) (observed, error) {
	var seen observed
	var err error
	if seen.lacks, err = r.readTraining(ctx, p.Namespace, spec); err != nil {
		return seen, err
	}
	if seen.endpoint, err = r.readEndpoint(ctx, p.Namespace, spec.EndpointRef.Name); err != nil || seen.endpoint == nil {
		return seen, err
	}
	if seen.challenger, err = r.readEndpoint(ctx, p.Namespace, spec.EndpointRef.Name+challengerSuffix); err != nil {
		return seen, err
	}
	current := p.Status.Current
	if seen.challenger != nil && seen.challenger.owner != p.UID {
		// Somebody's own endpoint: it is neither asked nor removed.
		if current != nil && current.Phase == v1alpha1.PhaseScoring {
			return seen, kube.Wait(takenPause, fmt.Sprintf("InferenceService %s does not belong to this policy; the challenger needs the name, delete it or use another endpoint name",
				spec.EndpointRef.Name+challengerSuffix))
		}
		seen.challenger = nil
	}
	if current == nil || current.Phase.Ended() {
		return seen, r.observeTriggers(ctx, p, spec, &seen)
	}
	switch current.Phase {
	case v1alpha1.PhaseCollecting:
		seen.samples, err = r.Data.CountSamples(ctx, p.Namespace, spec.EndpointRef.Name, current.SamplesFrom.Time)
	case v1alpha1.PhaseTraining:
		err = r.observeTraining(ctx, p, spec, &seen)
	case v1alpha1.PhaseCanary:
		err = r.observeCanary(ctx, p, spec, &seen)
	default:
	}
	return seen, err
}

// observeTriggers looks for reasons to begin.
func (r *reconciler) observeTriggers(ctx context.Context, p *v1alpha1.RetrainPolicy, spec *v1alpha1.RetrainPolicySpec, seen *observed) error {
	if spec.Triggers.Drift {
		var monitors v1alpha1.ModelMonitorList
		if err := r.client.List(ctx, &monitors, client.InNamespace(p.Namespace)); err != nil {
			return fmt.Errorf("list monitors: %w", err)
		}
		for i := range monitors.Items {
			if d := driftOf(&monitors.Items[i], spec.EndpointRef.Name, seen.endpoint.champion.version); d != nil {
				seen.drift = d
				break
			}
		}
	}
	if spec.Triggers.Performance != nil {
		scores, err := r.Data.Scores(ctx, p.Namespace, spec.EndpointRef.Name, sinceLast(p))
		if err != nil {
			return fmt.Errorf("read the measured performance: %w", err)
		}
		seen.measured = scoreOf(scores, seen.endpoint.champion.version)
	}
	return nil
}

// driftOf is the alarm of a monitor, if it is about the version that serves.
func driftOf(m *v1alpha1.ModelMonitor, endpoint, champion string) *drift {
	s := &m.Status
	c := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionDrifted)
	if m.Spec.EndpointRef.Name != endpoint || s.Champion == nil || s.Champion.ModelVersion != champion ||
		c == nil || c.Status != metav1.ConditionTrue || s.FirstDriftedWindow == nil {
		return nil
	}
	return &drift{alertID: s.Alerts.LastID, from: s.FirstDriftedWindow.Start.Time, message: c.Message}
}

func (r *reconciler) observeTraining(ctx context.Context, p *v1alpha1.RetrainPolicy, spec *v1alpha1.RetrainPolicySpec, seen *observed) error {
	current := p.Status.Current
	var err error
	if seen.workflow, err = r.readWorkflow(ctx, p.Namespace, current.Workflow); err != nil || seen.workflow == nil {
		return err
	}
	version := seen.workflow.outputs[spec.Template.VersionOutput]
	if version == "" || current.Champion == nil {
		return nil
	}
	tags, err := r.Registry.VersionTags(ctx, p.Namespace, current.Champion.Name, version)
	if errors.Is(err, retrain.ErrNotFound) {
		return nil
	}
	seen.known, seen.verdict = err == nil, tags[retrain.TagVerdict]
	return err
}

func (r *reconciler) observeCanary(ctx context.Context, p *v1alpha1.RetrainPolicy, spec *v1alpha1.RetrainPolicySpec, seen *observed) error {
	current := p.Status.Current
	if current.Canary == nil {
		return nil
	}
	name := spec.EndpointRef.Name
	if revision := seen.endpoint.revisions[current.Challenger.Version]; revision != "" {
		seen.canary.requests, seen.canary.errors = r.Traffic.Counts(p.Namespace, name, revision)
	}
	inStep, err := r.Data.Scores(ctx, p.Namespace, name, current.Canary.StepStarted.Time)
	if err != nil {
		return fmt.Errorf("read the canary's requests: %w", err)
	}
	for _, s := range inStep {
		if s.Version == current.Challenger.Version {
			seen.canary.inStep = s.Rows
		}
	}
	all, err := r.Data.Scores(ctx, p.Namespace, name, current.PhaseStarted.Time)
	if err != nil {
		return fmt.Errorf("read the canary's answers: %w", err)
	}
	seen.canary.champion, seen.canary.challenger = scoreOf(all, current.Champion.Version), scoreOf(all, current.Challenger.Version)
	return nil
}

func scoreOf(scores []data.VersionScore, version string) data.Score {
	for _, s := range scores {
		if s.Version == version {
			return s.Score
		}
	}
	return data.Score{}
}

// sinceLast is the end of the last retraining, or the beginning of the policy.
func sinceLast(p *v1alpha1.RetrainPolicy) time.Time {
	if c := p.Status.Current; c != nil && c.Ended != nil {
		return c.Ended.Time
	}
	return p.CreationTimestamp.Time
}
