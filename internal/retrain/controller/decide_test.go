package controller

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kiwerk/kiwerk/api/kiwerk/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/data"
	"github.com/kiwerk/kiwerk/internal/retrain"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func goodSpec() v1alpha1.RetrainPolicySpec {
	return v1alpha1.RetrainPolicySpec{
		EndpointRef: v1alpha1.EndpointRef{Name: "inspect"}, Dataset: v1alpha1.DatasetSpec{Name: "images"},
		Template: v1alpha1.TemplateSpec{Name: "train"}, Triggers: v1alpha1.TriggersSpec{Drift: true}, MinLabelled: 400,
		Challenger: v1alpha1.ChallengerSpec{MinImprovement: 0.05},
		Canary:     v1alpha1.CanarySpec{Steps: []v1alpha1.CanaryStep{{Percent: 10, MinRequests: 50}, {Percent: 50, MinRequests: 100}}},
	}
}

func serving(version string) *endpoint {
	return &endpoint{
		uri: "models:/digits@champion", settled: true, ready: true, champion: modelVersion{"digits", version, "rev-" + version},
		shares: map[string]int64{version: 100}, revisions: map[string]string{version: "rev-" + version},
	}
}

// canarying is the endpoint with version 2 at a share.
func canarying(percent int64) *endpoint {
	e := serving("1")
	e.uri, e.percent = "models:/digits/2", &percent
	e.shares = map[string]int64{"1": 100 - percent, "2": percent}
	e.revisions["2"] = "rev-2"
	return e
}

func at(d time.Duration) metav1.MicroTime { return metav1.NewMicroTime(now.Add(-d)) }

// running is a retraining in a phase that began a minute ago.
func running(phase v1alpha1.RetrainPhase, change func(*v1alpha1.RetrainingStatus)) *v1alpha1.RetrainingStatus {
	c := &v1alpha1.RetrainingStatus{
		ID: "p-1", Workflow: "p-1", Phase: phase, Started: at(time.Hour), PhaseStarted: at(time.Minute), SamplesFrom: at(2 * time.Hour),
		Champion: &v1alpha1.ModelRef{Name: "digits", Version: "1"}, ChampionURI: "models:/digits@champion",
		Dataset: "images/2", Gate: "images-gate/1",
	}
	switch phase {
	case v1alpha1.PhaseScoring, v1alpha1.PhaseAwaitingApproval, v1alpha1.PhaseCanary, v1alpha1.PhasePromoting, v1alpha1.PhaseRollingBack:
		c.Challenger = &v1alpha1.ModelRef{Name: "digits", Version: "2"}
	default:
	}
	if phase.Ended() {
		c.Ended = new(at(time.Minute))
	}
	if change != nil {
		change(c)
	}
	return c
}

func scored(champion, challenger float64, rows int) func(*v1alpha1.RetrainingStatus) {
	return func(c *v1alpha1.RetrainingStatus) {
		c.Score = &v1alpha1.ScoreStatus{Champion: champion, Challenger: challenger, Rows: rows}
	}
}

func inStep(percent int64) func(*v1alpha1.RetrainingStatus) {
	return func(c *v1alpha1.RetrainingStatus) {
		c.Canary = &v1alpha1.CanaryStatus{Percent: percent, StepStarted: at(30 * time.Second)}
	}
}

func alarm() *drift {
	return &drift{alertID: "a-1", from: now.Add(-time.Hour), message: "17 features"}
}

func noTemplate() []missing {
	return []missing{{v1alpha1.ReasonTemplateNotFound, "WorkflowTemplate train does not exist"}}
}

func wantMissing(t *testing.T, p plan) {
	t.Helper()
	if c := meta.FindStatusCondition(p.status.Conditions, v1alpha1.ConditionReferencesFound); c == nil || c.Status != metav1.ConditionFalse || c.Reason != v1alpha1.ReasonTemplateNotFound {
		t.Errorf("condition %+v", c)
	}
}

func TestDecide(t *testing.T) {
	type phase = v1alpha1.RetrainPhase
	cases := map[string]struct {
		spec        func(*v1alpha1.RetrainPolicySpec)
		annotations map[string]string
		current     *v1alpha1.RetrainingStatus
		rejected    []string
		handled     map[string]string
		seen        observed

		phase  phase // of the plan; empty: none
		reason string
		action action
		waits  string // part of the sentence
		check  func(*testing.T, plan)
	}{
		"NoEndpoint": {seen: observed{}, waits: "does not exist"},
		"PersonWasAnswered": {
			annotations: map[string]string{v1alpha1.AnnotationRetrain: "x"}, handled: map[string]string{v1alpha1.TriggerManual: "x"}, seen: observed{endpoint: serving("1")},
		},
		"GoodAnswers": {
			spec: func(s *v1alpha1.RetrainPolicySpec) { s.Triggers.Performance = &v1alpha1.PerformanceTrigger{Below: 0.8} },
			seen: observed{endpoint: serving("1"), measured: data.Score{Labelled: 100, Correct: 80}},
		},
		"NoVersionYet": {seen: observed{endpoint: &endpoint{champion: modelVersion{model: "digits"}}, drift: alarm()}, waits: "registered model"},
		"WorkflowErrs": {
			current: running(v1alpha1.PhaseTraining, nil), seen: observed{endpoint: serving("1"), workflow: &workflow{phase: "Error", message: "no such template"}},
			phase: v1alpha1.PhaseFailed, reason: v1alpha1.ReasonWorkflowFailed,
		},
		"NothingToDo": {seen: observed{endpoint: serving("1")}},
		"DriftBegins": {seen: observed{endpoint: serving("1"), drift: alarm()}, phase: v1alpha1.PhaseCollecting, reason: v1alpha1.ReasonWaitingForLabels, check: wantTrigger(v1alpha1.TriggerDrift)},
		"Suspended":   {spec: func(s *v1alpha1.RetrainPolicySpec) { s.Suspend = true }, seen: observed{endpoint: serving("1"), drift: alarm()}},
		"NoTemplate":  {seen: observed{endpoint: serving("1"), drift: alarm(), lacks: noTemplate()}, waits: "WorkflowTemplate train", check: wantMissing},
		"TemplateLeftBeforeTheWork": {
			current: running(v1alpha1.PhaseTraining, nil), seen: observed{endpoint: serving("1"), lacks: noTemplate()},
			phase: v1alpha1.PhaseTraining, waits: "WorkflowTemplate train", check: wantMissing,
		},
		"NotRegistered": {seen: observed{endpoint: &endpoint{}, drift: alarm()}, waits: "registered model"},
		"PersonBegins": {
			annotations: map[string]string{v1alpha1.AnnotationRetrain: "x"}, seen: observed{endpoint: serving("1")},
			phase: v1alpha1.PhaseCollecting, reason: v1alpha1.ReasonWaitingForLabels, check: wantTrigger(v1alpha1.TriggerManual),
		},
		"BadAnswersBegin": {
			spec:  func(s *v1alpha1.RetrainPolicySpec) { s.Triggers.Performance = &v1alpha1.PerformanceTrigger{Below: 0.8} },
			seen:  observed{endpoint: serving("1"), measured: data.Score{Labelled: 100, Correct: 70}},
			phase: v1alpha1.PhaseCollecting, reason: v1alpha1.ReasonWaitingForLabels, check: wantTrigger(v1alpha1.TriggerPerformance),
		},
		"TooFewAnswersToJudge": {
			spec: func(s *v1alpha1.RetrainPolicySpec) { s.Triggers.Performance = &v1alpha1.PerformanceTrigger{Below: 0.8} },
			seen: observed{endpoint: serving("1"), measured: data.Score{Labelled: 49, Correct: 0}},
		},
		"TimeTableIsDue": {
			spec: func(s *v1alpha1.RetrainPolicySpec) {
				s.Triggers.Schedule = &v1alpha1.ScheduleTrigger{Cron: "0 2 * * *"}
			},
			seen:  observed{endpoint: serving("1")},
			phase: v1alpha1.PhaseCollecting, reason: v1alpha1.ReasonWaitingForLabels, check: wantTrigger(v1alpha1.TriggerSchedule),
		},
		"TimeTableIsNotDue": {
			spec: func(s *v1alpha1.RetrainPolicySpec) {
				s.Triggers.Schedule = &v1alpha1.ScheduleTrigger{Cron: "0 13 25 11 *"}
			},
			seen: observed{endpoint: serving("1")}, check: wantAgain(25 * time.Hour),
		},
		"Cooldown": {
			current: running(v1alpha1.PhaseRejected, nil), seen: observed{endpoint: serving("1"), drift: alarm()},
			phase: v1alpha1.PhaseRejected, waits: "cooldown", check: wantAgain(59 * time.Minute),
		},
		"CooldownOverruled": {
			current: running(v1alpha1.PhaseRejected, nil), annotations: map[string]string{v1alpha1.AnnotationRetrain: "now"}, seen: observed{endpoint: serving("1")},
			phase: v1alpha1.PhaseCollecting, reason: v1alpha1.ReasonWaitingForLabels, check: wantTrigger(v1alpha1.TriggerManual),
		},
		"AfterCooldown": {
			current: running(v1alpha1.PhaseRejected, func(c *v1alpha1.RetrainingStatus) { c.Ended = new(at(time.Hour)) }), seen: observed{endpoint: serving("1"), drift: alarm()},
			phase: v1alpha1.PhaseCollecting, reason: v1alpha1.ReasonWaitingForLabels,
		},

		"WaitsForLabels": {current: running(v1alpha1.PhaseCollecting, nil), seen: observed{endpoint: serving("1"), samples: 399}, phase: v1alpha1.PhaseCollecting, waits: "400 labelled samples"},
		"EnoughLabels": {
			current: running(v1alpha1.PhaseCollecting, nil), seen: observed{endpoint: serving("1"), samples: 400}, phase: v1alpha1.PhaseFreezing, reason: v1alpha1.ReasonWaitingForLabels,
			check: func(t *testing.T, p plan) {
				t.Helper()
				if to := p.status.Current.SamplesTo; to == nil || !to.Time.Equal(now) {
					t.Errorf("the end of the samples is %v; it must be stored before they are frozen", to)
				}
			},
		},
		"ChampionChanged": {current: running(v1alpha1.PhaseCollecting, nil), seen: observed{endpoint: serving("7")}, phase: v1alpha1.PhaseFailed, reason: v1alpha1.ReasonChampionChanged},
		"Freezes":         {current: running(v1alpha1.PhaseFreezing, nil), seen: observed{endpoint: serving("1")}, phase: v1alpha1.PhaseFreezing, action: freeze},

		"Submits":         {current: running(v1alpha1.PhaseTraining, nil), seen: observed{endpoint: serving("1")}, phase: v1alpha1.PhaseTraining, action: submit},
		"WaitsForTheWork": {current: running(v1alpha1.PhaseTraining, nil), seen: observed{endpoint: serving("1"), workflow: &workflow{phase: "Running"}}, phase: v1alpha1.PhaseTraining, waits: "workflow", check: wantAgain(6*time.Hour - time.Minute)},
		"WorkTakesTooLong": {
			current: running(v1alpha1.PhaseTraining, func(c *v1alpha1.RetrainingStatus) { c.PhaseStarted = at(6 * time.Hour) }),
			seen:    observed{endpoint: serving("1"), workflow: &workflow{phase: "Running"}}, phase: v1alpha1.PhaseFailed, reason: v1alpha1.ReasonWorkflowTimeout,
		},
		"WorkFailed":      {current: running(v1alpha1.PhaseTraining, nil), seen: observed{endpoint: serving("1"), workflow: &workflow{phase: "Failed", message: "exit 1"}}, phase: v1alpha1.PhaseFailed, reason: v1alpha1.ReasonWorkflowFailed},
		"WorkMadeNothing": {current: running(v1alpha1.PhaseTraining, nil), seen: observed{endpoint: serving("1"), workflow: &workflow{phase: "Succeeded"}}, phase: v1alpha1.PhaseFailed, reason: v1alpha1.ReasonNoChallenger},
		"VersionUnknown":  {current: running(v1alpha1.PhaseTraining, nil), seen: observed{endpoint: serving("1"), workflow: done("2")}, phase: v1alpha1.PhaseFailed, reason: v1alpha1.ReasonNoChallenger},
		"ChallengerFound": {current: running(v1alpha1.PhaseTraining, nil), seen: observed{endpoint: serving("1"), workflow: done("2"), known: true}, phase: v1alpha1.PhaseScoring, reason: v1alpha1.ReasonChallengerLoading},
		"ChampionAgain":   {current: running(v1alpha1.PhaseTraining, nil), seen: observed{endpoint: serving("1"), workflow: done("1"), known: true}, phase: v1alpha1.PhaseRejected, reason: v1alpha1.ReasonRejectedBefore},
		"LostBefore":      {current: running(v1alpha1.PhaseTraining, nil), seen: observed{endpoint: serving("1"), workflow: done("2"), known: true, verdict: retrain.VerdictRolledBack}, phase: v1alpha1.PhaseRejected, reason: v1alpha1.ReasonRejectedBefore},
		"LostBeforeHere":  {current: running(v1alpha1.PhaseTraining, nil), rejected: []string{"2"}, seen: observed{endpoint: serving("1"), workflow: done("2"), known: true}, phase: v1alpha1.PhaseRejected, reason: v1alpha1.ReasonRejectedBefore},

		"StartsTheChallenger":   {current: running(v1alpha1.PhaseScoring, nil), seen: observed{endpoint: serving("1")}, phase: v1alpha1.PhaseScoring, action: serveChallenger},
		"ChallengerIsStarting":  {current: running(v1alpha1.PhaseScoring, nil), seen: observed{endpoint: serving("1"), challenger: &endpoint{}}, phase: v1alpha1.PhaseScoring, waits: "challenger", check: wantAgain(9 * time.Minute)},
		"ChallengerFails":       {current: running(v1alpha1.PhaseScoring, nil), seen: observed{endpoint: serving("1"), challenger: &endpoint{failure: "no ONNX"}}, phase: v1alpha1.PhaseRejected, reason: v1alpha1.ReasonChallengerFailed, action: discard},
		"ChallengerNeverReady":  {current: running(v1alpha1.PhaseScoring, func(c *v1alpha1.RetrainingStatus) { c.PhaseStarted = at(10 * time.Minute) }), seen: observed{endpoint: serving("1"), challenger: &endpoint{}}, phase: v1alpha1.PhaseRejected, reason: v1alpha1.ReasonChallengerFailed, action: discard},
		"AsksBoth":              {current: running(v1alpha1.PhaseScoring, nil), seen: observed{endpoint: serving("1"), challenger: serving("2")}, phase: v1alpha1.PhaseScoring, action: score},
		"Better":                {current: running(v1alpha1.PhaseScoring, scored(0.7, 0.9, 100)), seen: observed{endpoint: serving("1"), challenger: serving("2")}, phase: v1alpha1.PhaseCanary, reason: v1alpha1.ReasonBetter, check: wantRemoved},
		"BetterButManual":       {spec: manual, current: running(v1alpha1.PhaseScoring, scored(0.7, 0.9, 100)), seen: observed{endpoint: serving("1")}, phase: v1alpha1.PhaseAwaitingApproval, reason: v1alpha1.ReasonAwaitingApproval},
		"NotBetterEnough":       {current: running(v1alpha1.PhaseScoring, scored(0.7, 0.74, 100)), seen: observed{endpoint: serving("1"), challenger: serving("2")}, phase: v1alpha1.PhaseRejected, reason: v1alpha1.ReasonNotBetter, action: discard, check: wantRemoved},
		"Equal":                 {spec: func(s *v1alpha1.RetrainPolicySpec) { s.Challenger.MinImprovement = 0 }, current: running(v1alpha1.PhaseScoring, scored(0.7, 0.7, 100)), seen: observed{endpoint: serving("1")}, phase: v1alpha1.PhaseRejected, reason: v1alpha1.ReasonNotBetter, action: discard},
		"TooFewRowsToBelieveIt": {current: running(v1alpha1.PhaseScoring, scored(0.1, 1, 19)), seen: observed{endpoint: serving("1")}, phase: v1alpha1.PhaseRejected, reason: v1alpha1.ReasonGateTooSmall, action: discard},

		"WaitsForAPerson":  {spec: manual, current: running(v1alpha1.PhaseAwaitingApproval, nil), seen: observed{endpoint: serving("1")}, phase: v1alpha1.PhaseAwaitingApproval, waits: "kiwerk retrain approve"},
		"Approved":         {spec: manual, annotations: map[string]string{v1alpha1.AnnotationApprove: "2"}, current: running(v1alpha1.PhaseAwaitingApproval, nil), seen: observed{endpoint: serving("1")}, phase: v1alpha1.PhaseCanary, reason: v1alpha1.ReasonApproved},
		"ApprovedAnother":  {spec: manual, annotations: map[string]string{v1alpha1.AnnotationApprove: "3"}, current: running(v1alpha1.PhaseAwaitingApproval, nil), seen: observed{endpoint: serving("1")}, phase: v1alpha1.PhaseAwaitingApproval, waits: "approval"},
		"RejectedByPerson": {spec: manual, annotations: map[string]string{v1alpha1.AnnotationReject: "2"}, current: running(v1alpha1.PhaseAwaitingApproval, nil), seen: observed{endpoint: serving("1")}, phase: v1alpha1.PhaseRejected, reason: v1alpha1.ReasonRejectedByPerson, action: discard},

		"GatewayRestarted": {
			current: running(v1alpha1.PhaseCanary, func(c *v1alpha1.RetrainingStatus) {
				inStep(10)(c)
				c.Canary.RequestsBefore, c.Canary.ErrorsBefore = 500, 3
			}),
			seen:  observed{endpoint: canarying(10), canary: canary{requests: 10, errors: 2, inStep: 8}},
			phase: v1alpha1.PhaseRollingBack, reason: v1alpha1.ReasonErrorRate,
		},
		"PromotionIsNotInTheStatus": {
			current: running(v1alpha1.PhasePromoting, nil), seen: observed{endpoint: stale(addressed(serving("2"), "models:/digits/2"))},
			phase: v1alpha1.PhasePromoting, waits: "all requests",
		},
		"PromotionIsNotComplete": {
			current: running(v1alpha1.PhasePromoting, nil), seen: observed{endpoint: split(addressed(serving("2"), "models:/digits/2"))},
			phase: v1alpha1.PhasePromoting, waits: "all requests",
		},
		"RollbackIsNotComplete": {
			current: running(v1alpha1.PhaseRollingBack, nil), seen: observed{endpoint: split(serving("1"))},
			phase: v1alpha1.PhaseRollingBack, waits: "again",
		},
		"CanaryShiftsAddress": {
			current: running(v1alpha1.PhaseCanary, nil), seen: observed{endpoint: shared(serving("1"), 10)},
			phase: v1alpha1.PhaseCanary, action: shift, check: wantShift("models:/digits/2", 10),
		},
		"CanaryEndedByPerson": {
			current: running(v1alpha1.PhaseCanary, inStep(10)), seen: observed{endpoint: addressed(canarying(10), "models:/digits/1")},
			phase: v1alpha1.PhaseFailed, reason: v1alpha1.ReasonChampionChanged,
		},
		"CanaryStatusIsOld": {
			current: running(v1alpha1.PhaseCanary, inStep(10)), seen: observed{endpoint: stale(canarying(10)), canary: canary{inStep: 50}},
			phase: v1alpha1.PhaseCanary, waits: "share",
		},
		"CanaryShifts":         {current: running(v1alpha1.PhaseCanary, nil), seen: observed{endpoint: serving("1")}, phase: v1alpha1.PhaseCanary, action: shift, check: wantShift("models:/digits/2", 10)},
		"CanaryStarts":         {current: running(v1alpha1.PhaseCanary, nil), seen: observed{endpoint: canarying(10)}, phase: v1alpha1.PhaseCanary, reason: v1alpha1.ReasonCanaryRunning},
		"CanaryHasNoShareYet":  {current: running(v1alpha1.PhaseCanary, nil), seen: observed{endpoint: unsettled(canarying(10))}, phase: v1alpha1.PhaseCanary, waits: "share"},
		"CanaryCounts":         {current: running(v1alpha1.PhaseCanary, inStep(10)), seen: observed{endpoint: canarying(10), canary: canary{inStep: 49}}, phase: v1alpha1.PhaseCanary, waits: "50 requests"},
		"CanaryNextStep":       {current: running(v1alpha1.PhaseCanary, inStep(10)), seen: observed{endpoint: canarying(10), canary: canary{inStep: 50}}, phase: v1alpha1.PhaseCanary, reason: v1alpha1.ReasonCanaryStepPassed},
		"CanaryLastStepPassed": {current: running(v1alpha1.PhaseCanary, lastStep), seen: observed{endpoint: canarying(50), canary: canary{inStep: 100}}, phase: v1alpha1.PhasePromoting, reason: v1alpha1.ReasonCanaryPassed},
		"CanaryErrs":           {current: running(v1alpha1.PhaseCanary, inStep(10)), seen: observed{endpoint: canarying(10), canary: canary{requests: 20, errors: 2, inStep: 18}}, phase: v1alpha1.PhaseRollingBack, reason: v1alpha1.ReasonErrorRate},
		"CanaryAnswersWorse": {
			current: running(v1alpha1.PhaseCanary, inStep(10)), phase: v1alpha1.PhaseRollingBack, reason: v1alpha1.ReasonAccuracyDrop,
			seen: observed{endpoint: canarying(10), canary: canary{inStep: 40, champion: data.Score{Labelled: 100, Correct: 80}, challenger: data.Score{Labelled: 30, Correct: 10}}},
		},
		"CanaryHasTooFewLabels": {
			current: running(v1alpha1.PhaseCanary, inStep(10)), phase: v1alpha1.PhaseCanary, waits: "50 requests",
			seen: observed{endpoint: canarying(10), canary: canary{inStep: 40, champion: data.Score{Labelled: 100, Correct: 80}, challenger: data.Score{Labelled: 29}}},
		},
		"CanaryDropIsAllowed": {
			current: running(v1alpha1.PhaseCanary, inStep(10)), phase: v1alpha1.PhaseCanary, waits: "50 requests",
			seen: observed{endpoint: canarying(10), canary: canary{inStep: 40, champion: data.Score{Labelled: 100000, Correct: 90000}, challenger: data.Score{Labelled: 100000, Correct: 87000}}},
		},
		"CanaryWorseByChance": {
			current: running(v1alpha1.PhaseCanary, inStep(10)), phase: v1alpha1.PhaseCanary, waits: "50 requests",
			seen: observed{endpoint: canarying(10), canary: canary{inStep: 40, champion: data.Score{Labelled: 100, Correct: 80}, challenger: data.Score{Labelled: 30, Correct: 20}}},
		},
		"CanaryTimesOut": {
			current: running(v1alpha1.PhaseCanary, func(c *v1alpha1.RetrainingStatus) {
				c.Canary = &v1alpha1.CanaryStatus{Percent: 10, StepStarted: at(24 * time.Hour)}
			}),
			seen: observed{endpoint: canarying(10)}, phase: v1alpha1.PhaseRollingBack, reason: v1alpha1.ReasonCanaryTimeout,
		},
		"CanaryDoesNotLoad": {current: running(v1alpha1.PhaseCanary, inStep(10)), seen: observed{endpoint: failing(canarying(10))}, phase: v1alpha1.PhaseRollingBack, reason: v1alpha1.ReasonChallengerFailed},
		"CanaryWaitsForItsTime": {
			spec: func(s *v1alpha1.RetrainPolicySpec) {
				s.Canary.Steps = []v1alpha1.CanaryStep{{Percent: 10, Duration: &metav1.Duration{Duration: time.Minute}}}
			},
			current: running(v1alpha1.PhaseCanary, inStep(10)), seen: observed{endpoint: canarying(10)}, phase: v1alpha1.PhaseCanary, waits: "duration", check: wantAgain(30 * time.Second),
		},

		"Promotes":        {current: running(v1alpha1.PhasePromoting, nil), seen: observed{endpoint: canarying(50)}, phase: v1alpha1.PhasePromoting, action: shift, check: wantShift("models:/digits/2", -1)},
		"PromotionGoesOn": {current: running(v1alpha1.PhasePromoting, nil), seen: observed{endpoint: addressed(serving("1"), "models:/digits/2")}, phase: v1alpha1.PhasePromoting, waits: "all requests"},
		"Promoted": {
			current: running(v1alpha1.PhasePromoting, nil), seen: observed{endpoint: addressed(serving("2"), "models:/digits/2")},
			phase: v1alpha1.PhasePromoted, reason: v1alpha1.ReasonPromoted, action: crown,
			check: func(t *testing.T, p plan) {
				t.Helper()
				wantShift("models:/digits@champion", -1)(t, p)
				if p.status.ChampionDataset != 2 {
					t.Errorf("champion's data set is %d", p.status.ChampionDataset)
				}
			},
		},
		"RollsBack":   {current: running(v1alpha1.PhaseRollingBack, nil), seen: observed{endpoint: canarying(10)}, phase: v1alpha1.PhaseRollingBack, action: shift, check: wantShift("models:/digits@champion", -1)},
		"RollsOnBack": {current: running(v1alpha1.PhaseRollingBack, nil), seen: observed{endpoint: unsettled(serving("1"))}, phase: v1alpha1.PhaseRollingBack, waits: "again"},
		"RolledBack": {
			current: running(v1alpha1.PhaseRollingBack, func(c *v1alpha1.RetrainingStatus) { c.Reason = v1alpha1.ReasonErrorRate }), seen: observed{endpoint: serving("1")},
			phase: v1alpha1.PhaseRolledBack, reason: v1alpha1.ReasonErrorRate, action: discard,
			check: func(t *testing.T, p plan) {
				t.Helper()
				if p.verdict != retrain.VerdictRolledBack || len(p.status.RejectedVersions) != 1 {
					t.Errorf("verdict %q, rejected %v", p.verdict, p.status.RejectedVersions)
				}
			},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			policy := &v1alpha1.RetrainPolicy{ObjectMeta: metav1.ObjectMeta{Name: "p", UID: "0a1b2c3d", Namespace: "default", Annotations: c.annotations, CreationTimestamp: metav1.NewTime(now.Add(-48 * time.Hour))}}
			policy.Status.Current, policy.Status.RejectedVersions, policy.Status.HandledTriggers = c.current, c.rejected, c.handled
			s := goodSpec()
			if c.spec != nil {
				c.spec(&s)
			}
			spec := s.WithDefaults()
			if problems := validate(&spec); len(problems) > 0 {
				t.Fatal(problems)
			}
			got := decide(policy, &spec, c.seen, now)
			var phase phase
			if got.status.Current != nil {
				phase = got.status.Current.Phase
			}
			if phase != c.phase || got.action != c.action {
				t.Errorf("phase %q, action %d; want %q, %d", phase, got.action, c.phase, c.action)
			}
			if c.reason != "" && got.status.Current.Reason != c.reason {
				t.Errorf("reason %q (%s), want %q", got.status.Current.Reason, got.status.Current.Message, c.reason)
			}
			if c.reason != "" && !got.decided {
				t.Error("the decision would not be recorded")
			}
			if !strings.Contains(got.wait, c.waits) || c.waits == "" && got.wait != "" {
				t.Errorf("waits %q, want %q", got.wait, c.waits)
			}
			if c.check != nil {
				c.check(t, got)
			}
			wantSucceeded := phase.Ended()
			if has := meta.FindStatusCondition(got.status.Conditions, v1alpha1.ConditionSucceeded) != nil; has != wantSucceeded {
				t.Errorf("condition Succeeded is there: %v, want %v", has, wantSucceeded)
			}
		})
	}
}

func done(version string) *workflow {
	return &workflow{phase: "Succeeded", uid: "u", outputs: map[string]string{"model_version": version}}
}

func manual(s *v1alpha1.RetrainPolicySpec) { s.Approval = v1alpha1.ApprovalManual }

func lastStep(c *v1alpha1.RetrainingStatus) {
	inStep(50)(c)
	c.CanaryStep = 1
}

func unsettled(e *endpoint) *endpoint { e.settled, e.shares = false, nil; return e }

// shared has a share for a canary, but still the old address.
func shared(e *endpoint, percent int64) *endpoint { e.percent = &percent; return e }

// split has requests on both versions.
func split(e *endpoint) *endpoint { e.shares = map[string]int64{"1": 50, "2": 50}; return e }

// stale is a status that is not about the newest spec.
func stale(e *endpoint) *endpoint { e.settled = false; return e }

func failing(e *endpoint) *endpoint { e.failure = "no ONNX"; return e }

func addressed(e *endpoint, uri string) *endpoint { e.uri = uri; return e }

func wantTrigger(kind string) func(*testing.T, plan) {
	return func(t *testing.T, p plan) {
		t.Helper()
		c := p.status.Current
		if c.Trigger.Kind != kind || c.ID != "p-0a1b2-1" || c.Champion.Version != "1" || c.ChampionURI != "models:/digits@champion" || p.status.HandledTriggers[kind] != c.Trigger.Key {
			t.Errorf("began %+v with trigger %+v, handled %v", c, c.Trigger, p.status.HandledTriggers)
		}
	}
}

func wantAgain(d time.Duration) func(*testing.T, plan) {
	return func(t *testing.T, p plan) {
		t.Helper()
		if p.again != d {
			t.Errorf("looks again after %s, want %s", p.again, d)
		}
	}
}

func wantShift(uri string, percent int64) func(*testing.T, plan) {
	return func(t *testing.T, p plan) {
		t.Helper()
		got := int64(-1)
		if p.percent != nil {
			got = *p.percent
		}
		if p.uri != uri || got != percent {
			t.Errorf("shifts to %s at %d, want %s at %d", p.uri, got, uri, percent)
		}
	}
}

func wantRemoved(t *testing.T, p plan) {
	t.Helper()
	if !p.removeChallenger {
		t.Error("the comparison's endpoint stays")
	}
}

func TestValidate_namesThePath(t *testing.T) {
	cases := map[string]struct {
		change func(*v1alpha1.RetrainPolicySpec)
		path   string
	}{
		"Endpoint": {func(s *v1alpha1.RetrainPolicySpec) { s.EndpointRef.Name = "" }, "spec.endpointRef.name"},
		"Template": {func(s *v1alpha1.RetrainPolicySpec) { s.Template.Name = "" }, "spec.template.name"},
		"Include":  {func(s *v1alpha1.RetrainPolicySpec) { s.Include = "all" }, "spec.include"},
		"Fraction": {func(s *v1alpha1.RetrainPolicySpec) { s.Gate.Fraction = 1 }, "spec.gate.fraction"},
		"SameSet":  {func(s *v1alpha1.RetrainPolicySpec) { s.Dataset.GateName = s.Dataset.Name }, "spec.dataset.gateName"},
		"Metric":   {func(s *v1alpha1.RetrainPolicySpec) { s.Challenger.Metric = "f1" }, "spec.challenger.metric"},
		"Approval": {func(s *v1alpha1.RetrainPolicySpec) { s.Approval = "maybe" }, "spec.approval"},
		"Below":    {func(s *v1alpha1.RetrainPolicySpec) { s.Triggers.Performance = &v1alpha1.PerformanceTrigger{Below: 2} }, "spec.triggers.performance.below"},
		"Cron":     {func(s *v1alpha1.RetrainPolicySpec) { s.Triggers.Schedule = &v1alpha1.ScheduleTrigger{Cron: "daily"} }, "spec.triggers.schedule"},
		"Zone": {func(s *v1alpha1.RetrainPolicySpec) {
			s.Triggers.Schedule = &v1alpha1.ScheduleTrigger{Cron: "0 2 * * *", TimeZone: "Mars/Olympus"}
		}, "spec.triggers.schedule"},
		"ZoneTwice": {func(s *v1alpha1.RetrainPolicySpec) {
			s.Triggers.Schedule = &v1alpha1.ScheduleTrigger{Cron: "TZ=Europe/Berlin 0 2 * * *"}
		}, "spec.triggers.schedule"},
		"Percent":    {func(s *v1alpha1.RetrainPolicySpec) { s.Canary.Steps[0].Percent = 0 }, "spec.canary.steps[0].percent"},
		"Descending": {func(s *v1alpha1.RetrainPolicySpec) { s.Canary.Steps[1].Percent = 10 }, "spec.canary.steps[1].percent"},
		"EmptyStep":  {func(s *v1alpha1.RetrainPolicySpec) { s.Canary.Steps[0].MinRequests = 0 }, "spec.canary.steps[0]"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := goodSpec().WithDefaults()
			c.change(&s)
			problems := validate(&s)
			if len(problems) != 1 || !strings.HasPrefix(problems[0], c.path+": ") {
				t.Errorf("got %v, want one at %s", problems, c.path)
			}
		})
	}
}
