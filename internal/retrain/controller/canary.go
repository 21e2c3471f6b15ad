package controller

import (
	"fmt"
	"math"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kiwerk/kiwerk/api/kiwerk/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/data"
	"github.com/kiwerk/kiwerk/internal/kube"
)

// challengerURI is the address of the version that is being tried.
func challengerURI(c *v1alpha1.RetrainingStatus) string {
	return "models:/" + c.Challenger.Name + "/" + c.Challenger.Version
}

// canary goes through the steps.
func (d *decider) canary() {
	e, c := d.seen.endpoint, d.current
	step := d.spec.Canary.Steps[min(c.CanaryStep, len(d.spec.Canary.Steps)-1)]
	uri := challengerURI(c)
	if c.Canary != nil && e.uri != uri {
		// A person has decided otherwise; what they wrote stays.
		d.end(v1alpha1.PhaseFailed, v1alpha1.ReasonChampionChanged, fmt.Sprintf("the endpoint's storageUri was changed to %s during the canary", e.uri))
		return
	}
	if e.uri != uri || e.percent == nil || *e.percent != step.Percent {
		d.plan.action, d.plan.uri, d.plan.percent = shift, uri, &step.Percent
		return
	}
	switch {
	case e.failure != "":
		d.takeBack(v1alpha1.ReasonChallengerFailed, e.failure)
	case !e.settled || e.shares[c.Challenger.Version] != step.Percent && e.champion.version != c.Challenger.Version:
		d.expire("the challenger does not get its share")
	case c.Canary == nil || c.Canary.Percent != step.Percent:
		d.startStep(step)
	default:
		d.measure()
		d.judgeStep(step)
	}
}

// startStep remembers where counting begins.
func (d *decider) startStep(step v1alpha1.CanaryStep) {
	s := &v1alpha1.CanaryStatus{
		Percent: step.Percent, StepStarted: metav1.NewMicroTime(d.now), Revision: d.seen.endpoint.revisions[d.current.Challenger.Version],
		RequestsBefore: d.seen.canary.requests, ErrorsBefore: d.seen.canary.errors,
	}
	if old := d.current.Canary; old != nil {
		s.Errors = old.Errors
	}
	d.current.Canary = s
	d.current.Reason, d.current.Message = v1alpha1.ReasonCanaryRunning, fmt.Sprintf("%d %% of the requests go to version %s", step.Percent, d.current.Challenger.Version)
	d.plan.decided = true
}

// measure takes over what was observed. The gateway's counters begin anew when it restarts.
func (d *decider) measure() {
	s, seen := d.current.Canary, d.seen.canary
	if seen.requests < s.RequestsBefore {
		s.RequestsBefore, s.ErrorsBefore = 0, 0
	}
	s.Requests = seen.inStep
	s.Errors = max(s.Errors, seen.errors-s.ErrorsBefore)
	s.ChampionLabelled, s.ChallengerLabelled = seen.champion.Labelled, seen.challenger.Labelled
	if s.ChampionLabelled > 0 {
		s.ChampionAccuracy = seen.champion.Accuracy()
	}
	if s.ChallengerLabelled > 0 {
		s.ChallengerAccuracy = seen.challenger.Accuracy()
	}
}

// judgeStep takes the canary back, ends the step, or waits.
func (d *decider) judgeStep(step v1alpha1.CanaryStep) {
	s, limits := d.current.Canary, d.spec.Canary
	sent := s.Requests + int(s.Errors)
	enough := s.ChampionLabelled >= limits.MinLabelled && s.ChallengerLabelled >= limits.MinLabelled
	elapsed := d.now.Sub(s.StepStarted.Time)
	switch {
	case float64(s.Errors) > *limits.MaxErrorRate*float64(max(sent, step.MinRequests)):
		d.takeBack(v1alpha1.ReasonErrorRate, fmt.Sprintf("%d of %d requests to the challenger failed", s.Errors, sent))
	case enough && s.ChampionAccuracy-s.ChallengerAccuracy > max(*limits.MaxAccuracyDrop, chance(d.seen.canary.champion, d.seen.canary.challenger)):
		d.takeBack(v1alpha1.ReasonAccuracyDrop, fmt.Sprintf("measured accuracy of the challenger is %.3f, of the champion in the same time %.3f", s.ChallengerAccuracy, s.ChampionAccuracy))
	case s.Requests < step.MinRequests:
		d.expire(fmt.Sprintf("for %d requests to the challenger", step.MinRequests))
	case step.Duration != nil && elapsed < step.Duration.Duration:
		d.plan.again = step.Duration.Duration - elapsed
		d.wait("for the duration of the step")
	case d.current.CanaryStep+1 < len(limits.Steps):
		d.current.CanaryStep++
		d.current.Reason, d.current.Message = v1alpha1.ReasonCanaryStepPassed, fmt.Sprintf("%d requests at %d %% without complaint", s.Requests, step.Percent)
		d.plan.decided = true
	default:
		d.enter(v1alpha1.PhasePromoting, v1alpha1.ReasonCanaryPassed, fmt.Sprintf("%d requests at %d %% without complaint", s.Requests, step.Percent))
	}
}

// chance is how far two equally good models may lie apart on so few labels.
// Three standard errors, because the canary is looked at again and again.
func chance(a, b data.Score) float64 {
	const errors = 3
	variance := func(s data.Score) float64 {
		// Two more of each kind keep a run of right answers from claiming certainty (Agresti and Coull 1998).
		n := float64(s.Labelled) + 4
		p := (float64(s.Correct) + 2) / n
		return p * (1 - p) / n
	}
	return errors * math.Sqrt(variance(a)+variance(b))
}

// expire waits for something that must come within the time of a step.
func (d *decider) expire(what string) {
	since := d.current.PhaseStarted.Time
	if d.current.Canary != nil {
		since = d.current.Canary.StepStarted.Time
	}
	left := d.spec.Canary.StepTimeout.Duration - d.now.Sub(since)
	if left <= 0 {
		d.takeBack(v1alpha1.ReasonCanaryTimeout, "waited too long "+what)
		return
	}
	d.plan.again = left
	d.wait(what)
}

func (d *decider) takeBack(reason, message string) {
	d.enter(v1alpha1.PhaseRollingBack, reason, message)
}

// promoting gives the challenger everything, then moves the name.
func (d *decider) promoting() {
	e, c := d.seen.endpoint, d.current
	uri := challengerURI(c)
	switch {
	case e.champion.version == c.Challenger.Version && e.settled && len(e.shares) == 1:
		d.plan.action = crown
		d.plan.uri, d.plan.percent = uri, nil
		if aliasOf(c.ChampionURI) != "" {
			d.plan.uri = c.ChampionURI // it means the new version from now on
		}
		d.plan.status.ChampionDataset = versionNumber(c.Dataset)
		d.end(v1alpha1.PhasePromoted, v1alpha1.ReasonPromoted, fmt.Sprintf("version %s is the champion", c.Challenger.Version))
	case e.uri != uri || e.percent != nil:
		d.plan.action, d.plan.uri, d.plan.percent = shift, uri, nil
	case e.failure != "":
		d.takeBack(v1alpha1.ReasonChallengerFailed, e.failure)
	default:
		d.wait("until version " + c.Challenger.Version + " has all requests")
	}
}

// rollingBack gives the champion everything back. Reason and message of the phase stay.
func (d *decider) rollingBack() {
	e, c := d.seen.endpoint, d.current
	switch {
	case e.uri != c.ChampionURI || e.percent != nil:
		d.plan.action, d.plan.uri, d.plan.percent = shift, c.ChampionURI, nil
	case e.settled && e.shares[c.Champion.Version] == 100:
		d.lose(v1alpha1.PhaseRolledBack, c.Reason, c.Message)
	default:
		d.wait("until version " + c.Champion.Version + " has all requests again")
	}
}

// aliasOf is the alias in models:/NAME@ALIAS.
func aliasOf(uri string) string {
	if !strings.HasPrefix(uri, "models:/") {
		return ""
	}
	_, alias, _ := strings.Cut(uri, "@")
	return alias
}

// conditions says for people and tools how the policy stands.
func (d *decider) conditions() {
	c := d.plan.status.Current
	set := func(typ string, status metav1.ConditionStatus, reason, message string) {
		kube.Mark(statusOf{d.policy, &d.plan.status}, metav1.Condition{Type: typ, Status: status, Reason: reason, Message: message})
	}
	if lacks := d.lacks(); len(lacks) > 0 {
		set(v1alpha1.ConditionReferencesFound, metav1.ConditionFalse, lacks[0].reason, joinMissing(lacks))
	} else {
		set(v1alpha1.ConditionReferencesFound, metav1.ConditionTrue, v1alpha1.ReasonReferencesFound, "")
	}
	if c == nil || c.Phase.Ended() {
		set(v1alpha1.ConditionRetraining, metav1.ConditionFalse, v1alpha1.ReasonIdle, d.plan.wait)
	} else {
		set(v1alpha1.ConditionRetraining, metav1.ConditionTrue, string(c.Phase), joinSentence(c.Message, d.plan.wait))
	}
	if c != nil && c.Phase == v1alpha1.PhaseAwaitingApproval {
		set(v1alpha1.ConditionApprovalNeeded, metav1.ConditionTrue, v1alpha1.ReasonAwaitingApproval, d.plan.wait)
	} else {
		set(v1alpha1.ConditionApprovalNeeded, metav1.ConditionFalse, v1alpha1.ReasonIdle, "")
	}
	if c != nil && c.Phase.Ended() {
		status := metav1.ConditionFalse
		if c.Phase == v1alpha1.PhasePromoted {
			status = metav1.ConditionTrue
		}
		set(v1alpha1.ConditionSucceeded, status, c.Reason, c.Message)
	}
}

// lacks are all objects that the spec names and that are not there.
func (d *decider) lacks() []missing {
	if d.seen.endpoint != nil {
		return d.seen.lacks
	}
	first := missing{v1alpha1.ReasonEndpointNotFound, notFound(inferenceService.Kind, d.spec.EndpointRef.Name, d.policy.Namespace, "spec.endpointRef.name")}
	return append([]missing{first}, d.seen.lacks...)
}

func joinMissing(list []missing) string {
	messages := make([]string, len(list))
	for i, m := range list {
		messages[i] = m.message
	}
	return join(messages)
}

// statusOf marks conditions in a status that is not the object's yet.
type statusOf struct {
	*v1alpha1.RetrainPolicy

	status *v1alpha1.RetrainPolicyStatus
}

// Conditions of the status.
func (s statusOf) Conditions() *[]metav1.Condition { return &s.status.Conditions }

func joinSentence(message, wait string) string {
	if wait == "" {
		return message
	}
	return message + "; waits " + wait
}
