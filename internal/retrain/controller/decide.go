package controller

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kiwerk/kiwerk/api/kiwerk/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/retrain"
)

// action is what a step does beside writing the status.
type action int

const (
	nothing         action = iota
	freeze                 // make the data-set versions
	submit                 // create the workflow
	serveChallenger        // create the endpoint on which the challenger is compared
	score                  // ask both models
	shift                  // patch address and share of the endpoint
	crown                  // move the alias and mark the version
	discard                // mark the version as one that lost
)

// plan is what a decision leads to: the next status, and one action.
type plan struct {
	status v1alpha1.RetrainPolicyStatus
	action action
	// uri and percent for shift; a nil percent takes the field away.
	uri     string
	percent *int64
	// verdict for discard.
	verdict string
	// removeChallenger ends the endpoint of the comparison.
	removeChallenger bool
	// decided: the phase or step has changed and is recorded.
	decided bool
	// wait says what for, if the step does nothing else.
	wait  string
	again time.Duration
}

// decider carries a decision through the rules of one phase.
type decider struct {
	policy  *v1alpha1.RetrainPolicy
	spec    *v1alpha1.RetrainPolicySpec
	seen    observed
	now     time.Time
	plan    plan
	current *v1alpha1.RetrainingStatus // in plan.status
}

// decide compares what is wanted with what is there. The phase says which
// rules hold; in each of them the first rule that fits wins.
func decide(p *v1alpha1.RetrainPolicy, spec *v1alpha1.RetrainPolicySpec, seen observed, now time.Time) plan {
	d := &decider{policy: p, spec: spec, seen: seen, now: now, plan: plan{status: *p.Status.DeepCopy()}}
	d.current = d.plan.status.Current
	switch {
	case seen.endpoint == nil:
		// Without the endpoint there is nothing to replace; a retraining waits for its return.
		d.wait("InferenceService " + spec.EndpointRef.Name + " does not exist")
	case d.current == nil || d.current.Phase.Ended():
		d.idle()
	case d.championChanged():
		// Somebody rolled out another version: the comparison has lost its base.
		d.end(v1alpha1.PhaseFailed, v1alpha1.ReasonChampionChanged,
			fmt.Sprintf("version %s is rolled out now, the retraining began with %s", seen.endpoint.champion.version, d.current.Champion.Version))
	default:
		d.phase()
	}
	// The comparison's endpoint lives in its phase only.
	d.plan.removeChallenger = seen.challenger != nil && (d.current == nil || d.current.Phase != v1alpha1.PhaseScoring)
	d.conditions()
	return d.plan
}

func (d *decider) phase() {
	switch d.current.Phase {
	case v1alpha1.PhaseCollecting:
		d.collecting()
	case v1alpha1.PhaseFreezing:
		d.plan.action = freeze
	case v1alpha1.PhaseTraining:
		d.training()
	case v1alpha1.PhaseScoring:
		d.scoring()
	case v1alpha1.PhaseAwaitingApproval:
		d.awaitingApproval()
	case v1alpha1.PhaseCanary:
		d.canary()
	case v1alpha1.PhasePromoting:
		d.promoting()
	case v1alpha1.PhaseRollingBack:
		d.rollingBack()
	default:
	}
}

// championChanged tells whether another version than those of the retraining was rolled out.
func (d *decider) championChanged() bool {
	rolledOut, c := d.seen.endpoint.champion.version, d.current
	if rolledOut == "" || c.Champion == nil || rolledOut == c.Champion.Version {
		return false
	}
	return c.Challenger == nil || rolledOut != c.Challenger.Version
}

// idle looks for a reason to begin.
func (d *decider) idle() {
	trigger, from, ok := d.trigger()
	switch {
	case !ok:
	case d.spec.Suspend:
		// Suspended policies begin nothing.
	case len(d.seen.lacks) > 0:
		// What cannot train collects nothing; the reason is still there when it can.
		d.wait(d.seen.lacks[0].message)
	case d.seen.endpoint.champion.version == "" || d.seen.endpoint.champion.model == "":
		// What serves must be a version of the registry, or nothing could be compared and named.
		d.wait("the endpoint serves no version of a registered model yet")
	case d.cooldown() > 0 && trigger.Kind != v1alpha1.TriggerManual:
		// The last retraining ended too recently; a person may overrule that.
		d.plan.again = d.cooldown()
		d.wait("the cooldown of the last retraining has not passed")
	default:
		d.begin(trigger, from)
	}
}

// trigger finds the first reason, in the order: a person, drift, performance, time table.
func (d *decider) trigger() (t v1alpha1.TriggerInfo, from time.Time, ok bool) {
	if key := d.policy.Annotations[v1alpha1.AnnotationRetrain]; key != "" && key != d.plan.status.HandledTriggers[v1alpha1.TriggerManual] {
		return v1alpha1.TriggerInfo{Kind: v1alpha1.TriggerManual, Key: key, Message: "asked for by annotation " + v1alpha1.AnnotationRetrain}, d.lastSamples(), true
	}
	if a := d.seen.drift; a != nil {
		return v1alpha1.TriggerInfo{Kind: v1alpha1.TriggerDrift, Key: a.alertID, AlertID: a.alertID, Message: a.message}, a.from, true
	}
	if p, m := d.spec.Triggers.Performance, d.seen.measured; p != nil && m.Labelled >= minMeasured && m.Accuracy() < p.Below {
		return v1alpha1.TriggerInfo{
			Kind: v1alpha1.TriggerPerformance, Key: strconv.FormatInt(d.plan.status.Count, 10),
			Message: fmt.Sprintf("measured accuracy %.3f on %d labelled predictions is below %.3f", m.Accuracy(), m.Labelled, p.Below),
		}, m.From, true
	}
	return d.scheduled()
}

// minMeasured labels before a measured performance is a reason.
const minMeasured = 50

// scheduled keeps the next time of the table in the status and tells whether it has come.
func (d *decider) scheduled() (t v1alpha1.TriggerInfo, from time.Time, ok bool) {
	s := d.spec.Triggers.Schedule
	if s == nil {
		d.plan.status.NextSchedule, d.plan.status.ScheduleFrom = nil, nil
		return t, from, false
	}
	table, err := schedule(s)
	if err != nil {
		return t, from, false // validate has refused it
	}
	start := d.policy.CreationTimestamp.Time
	if at := d.plan.status.ScheduleFrom; at != nil {
		start = at.Time
	}
	next := table.Next(start)
	d.plan.status.NextSchedule = &metav1.Time{Time: next}
	if d.now.Before(next) {
		d.plan.again = next.Sub(d.now)
		return t, from, false
	}
	return v1alpha1.TriggerInfo{Kind: v1alpha1.TriggerSchedule, Key: next.UTC().Format(time.RFC3339), Message: "due by the time table"}, d.lastSamples(), true
}

// lastSamples is where the samples of a retraining without an alarm begin.
func (d *decider) lastSamples() time.Time {
	if c := d.plan.status.Current; c != nil && c.SamplesTo != nil {
		return c.SamplesTo.Time
	}
	return d.policy.CreationTimestamp.Time
}

func (d *decider) cooldown() time.Duration {
	if d.current == nil || d.current.Ended == nil {
		return 0
	}
	return d.spec.Cooldown.Duration - d.now.Sub(d.current.Ended.Time)
}

func (d *decider) begin(t v1alpha1.TriggerInfo, from time.Time) {
	s := &d.plan.status
	s.Count++
	if s.HandledTriggers == nil {
		s.HandledTriggers = map[string]string{}
	}
	s.HandledTriggers[t.Kind] = t.Key
	if t.Kind == v1alpha1.TriggerSchedule {
		s.ScheduleFrom = &metav1.Time{Time: d.now}
	}
	id := retrainingID(d.policy, s.Count)
	c := d.seen.endpoint.champion
	s.Current = &v1alpha1.RetrainingStatus{
		ID: id, Workflow: id, Trigger: t, Started: metav1.NewMicroTime(d.now), SamplesFrom: metav1.NewMicroTime(from),
		Champion: &v1alpha1.ModelRef{Name: c.model, Version: c.version}, ChampionURI: d.seen.endpoint.uri,
	}
	d.current = s.Current
	d.enter(v1alpha1.PhaseCollecting, v1alpha1.ReasonWaitingForLabels, t.Message)
}

const (
	idNameLength = 40 // pods of the workflow are named after it
	idUIDLength  = 5
)

// retrainingID is not taken by a policy of the same name that was deleted before.
func retrainingID(p *v1alpha1.RetrainPolicy, count int64) string {
	name := strings.Trim(p.Name[:min(len(p.Name), idNameLength)], "-.")
	return fmt.Sprintf("%s-%s-%d", name, p.UID[:min(len(p.UID), idUIDLength)], count)
}

func (d *decider) collecting() {
	if d.seen.samples < d.spec.MinLabelled {
		d.wait(fmt.Sprintf("until %d labelled samples have come since %s", d.spec.MinLabelled, d.current.SamplesFrom.UTC().Format(time.RFC3339)))
		return
	}
	// The end of the samples is stored before they are frozen, so that repeating it freezes the same ones.
	d.current.SamplesTo = new(metav1.NewMicroTime(d.now))
	d.current.Samples = d.seen.samples
	d.enter(v1alpha1.PhaseFreezing, v1alpha1.ReasonWaitingForLabels, fmt.Sprintf("%d labelled samples have come", d.seen.samples))
}

func (d *decider) training() {
	w := d.seen.workflow
	switch {
	case w == nil && len(d.seen.lacks) > 0:
		d.wait("because " + d.seen.lacks[0].message)
		return
	case w == nil:
		d.plan.action = submit
		return
	case w.phase == "Failed" || w.phase == "Error":
		d.current.WorkflowUID = w.uid
		d.end(v1alpha1.PhaseFailed, v1alpha1.ReasonWorkflowFailed, "workflow "+d.current.Workflow+": "+w.message)
		return
	case w.phase != "Succeeded":
		d.current.WorkflowUID = w.uid
		left := d.spec.Template.Timeout.Duration - d.now.Sub(d.current.PhaseStarted.Time)
		if left <= 0 {
			d.end(v1alpha1.PhaseFailed, v1alpha1.ReasonWorkflowTimeout, "workflow "+d.current.Workflow+" has not ended in time")
			return
		}
		d.plan.again = left
		d.wait("for workflow " + d.current.Workflow)
		return
	}
	d.current.WorkflowUID = w.uid
	d.trained(w.outputs[d.spec.Template.VersionOutput])
}

// trained judges what the workflow has made.
func (d *decider) trained(version string) {
	model := d.current.Champion.Name
	switch {
	case version == "":
		d.end(v1alpha1.PhaseFailed, v1alpha1.ReasonNoChallenger,
			fmt.Sprintf("workflow %s succeeded without output parameter %q", d.current.Workflow, d.spec.Template.VersionOutput))
	case !d.seen.known:
		d.end(v1alpha1.PhaseFailed, v1alpha1.ReasonNoChallenger, fmt.Sprintf("model %s has no version %q", model, version))
	case d.seen.verdict == retrain.VerdictRejected || d.seen.verdict == retrain.VerdictRolledBack ||
		slices.Contains(d.plan.status.RejectedVersions, version) || version == d.current.Champion.Version:
		// What lost once is never offered again.
		d.end(v1alpha1.PhaseRejected, v1alpha1.ReasonRejectedBefore, fmt.Sprintf("version %s was judged before", version))
	default:
		d.current.Challenger = &v1alpha1.ModelRef{Name: model, Version: version}
		d.enter(v1alpha1.PhaseScoring, v1alpha1.ReasonChallengerLoading, fmt.Sprintf("version %s is the challenger", version))
	}
}

func (d *decider) scoring() {
	c, left := d.seen.challenger, d.spec.Challenger.ReadyTimeout.Duration-d.now.Sub(d.current.PhaseStarted.Time)
	switch {
	case d.current.Score != nil:
		d.judge(d.current.Score)
	case c != nil && c.failure != "":
		d.lose(v1alpha1.PhaseRejected, v1alpha1.ReasonChallengerFailed, c.failure)
	case left <= 0:
		d.lose(v1alpha1.PhaseRejected, v1alpha1.ReasonChallengerFailed, "the challenger was not ready in time")
	case c == nil:
		d.plan.action = serveChallenger
	case !c.ready:
		d.plan.again = left
		d.wait("for the challenger to be ready")
	default:
		d.plan.action = score
	}
}

func (d *decider) judge(s *v1alpha1.ScoreStatus) {
	gain := s.Challenger - s.Champion
	numbers := fmt.Sprintf("accuracy on %d rows that neither was trained on: champion %.3f, challenger %.3f", s.Rows, s.Champion, s.Challenger)
	switch {
	case s.Rows < d.spec.Gate.MinRows:
		d.lose(v1alpha1.PhaseRejected, v1alpha1.ReasonGateTooSmall, numbers+fmt.Sprintf("; at least %d rows are needed", d.spec.Gate.MinRows))
	case gain <= 0 || gain < d.spec.Challenger.MinImprovement:
		d.lose(v1alpha1.PhaseRejected, v1alpha1.ReasonNotBetter, numbers+fmt.Sprintf("; %.3f more are needed", d.spec.Challenger.MinImprovement))
	case d.spec.Approval == v1alpha1.ApprovalManual:
		d.enter(v1alpha1.PhaseAwaitingApproval, v1alpha1.ReasonAwaitingApproval, numbers)
	default:
		d.enter(v1alpha1.PhaseCanary, v1alpha1.ReasonBetter, numbers)
	}
}

func (d *decider) awaitingApproval() {
	a, version := d.policy.Annotations, d.current.Challenger.Version
	switch version {
	case a[v1alpha1.AnnotationReject]:
		d.lose(v1alpha1.PhaseRejected, v1alpha1.ReasonRejectedByPerson, a[v1alpha1.AnnotationRejectReason])
	case a[v1alpha1.AnnotationApprove]:
		d.enter(v1alpha1.PhaseCanary, v1alpha1.ReasonApproved, "version "+version+" was approved")
	default:
		d.wait(fmt.Sprintf("for approval of version %s: kiwerk retrain approve %s", version, d.policy.Name))
	}
}

func (d *decider) wait(what string) { d.plan.wait = what }

// enter goes to another phase.
func (d *decider) enter(phase v1alpha1.RetrainPhase, reason, message string) {
	d.current.Phase, d.current.Reason, d.current.Message = phase, reason, message
	d.current.PhaseStarted = metav1.NewMicroTime(d.now)
	d.plan.decided = true
}

// end closes the retraining.
func (d *decider) end(phase v1alpha1.RetrainPhase, reason, message string) {
	d.enter(phase, reason, message)
	d.current.Ended = new(metav1.NewMicroTime(d.now))
}

// lose ends the retraining and marks the challenger.
func (d *decider) lose(phase v1alpha1.RetrainPhase, reason, message string) {
	d.end(phase, reason, message)
	d.plan.action, d.plan.verdict = discard, retrain.VerdictRejected
	if phase == v1alpha1.PhaseRolledBack {
		d.plan.verdict = retrain.VerdictRolledBack
	}
	if v := d.current.Challenger.Version; !slices.Contains(d.plan.status.RejectedVersions, v) {
		d.plan.status.RejectedVersions = append(d.plan.status.RejectedVersions, v)
	}
}
