package controller

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kiwerk/kiwerk/api/serving/v1beta1"
	"github.com/kiwerk/kiwerk/internal/kube"
	"github.com/kiwerk/kiwerk/internal/serving"
	"github.com/kiwerk/kiwerk/internal/serving/controller/resources"
)

// drain is how long a revision without requests lives on: the gateway hears of
// the new split within milliseconds, and requests that are under way finish.
const drain = 5 * time.Second

// plan is what a decision leads to.
type plan struct {
	// apply the Deployment of target with so many replicas.
	apply    bool
	target   resources.Revision
	replicas int32
	// retire and restore mark revisions that lost or got back their requests; remove deletes.
	retire, restore, remove []string
	// scale changes the number of pods of revisions other than target.
	scale  map[string]int32
	status v1beta1.InferenceServiceStatus
	events []kube.Event
	again  time.Duration
}

// rollout is who gets which share of the requests.
type rollout struct {
	traffic             []v1beta1.TrafficTarget
	rolledOut, previous string
	// wanted: the former revision shall answer again and needs its pods first.
	wanted bool
}

// decide compares the wish with what is there.
func decide(isvc *v1beta1.InferenceService, seen observed, now time.Time) plan {
	p := plan{status: *isvc.Status.DeepCopy(), replicas: replicasOf(&isvc.Spec)}
	p.status.ObservedGeneration = isvc.Generation
	p.status.DeploymentMode = "Standard"
	p.status.URL, p.status.Address = seen.url, &v1beta1.Address{URL: seen.url}
	before := p.status.Components[v1beta1.PredictorComponent]

	if reason, message := refusal(seen); reason != "" {
		p.refuse(reason, message, now)
		return p
	}
	p.apply, p.target = true, seen.target
	target := seen.revisions[seen.target.Name]
	r := route(before, seen, isvc.Spec.Predictor.CanaryTrafficPercent, p.replicas)
	p.tendOthers(r, seen, now)

	after := v1beta1.ComponentStatusSpec{
		LatestCreatedRevision: seen.target.Name, LatestReadyRevision: before.LatestReadyRevision,
		LatestRolledoutRevision: r.rolledOut, PreviousRolledoutRevision: r.previous,
		Traffic: r.traffic, URL: seen.url, RestURL: seen.url,
	}
	if target.ready > 0 {
		after.LatestReadyRevision = seen.target.Name
	}
	p.status.Components = map[string]v1beta1.ComponentStatusSpec{v1beta1.PredictorComponent: after}
	p.conditions(target, r, now)
	p.tell(before, after, seen.target.Model)
	return p
}

// refusal says why nothing can be rolled out; the first reason wins.
func refusal(seen observed) (reason, message string) {
	switch {
	case len(seen.problems) > 0:
		return v1beta1.ReasonUnsupportedField, strings.Join(seen.problems, "; ")
	case errors.Is(seen.locateErr, serving.ErrNotPermitted):
		return v1beta1.ReasonAddressNotPermitted, seen.locateErr.Error()
	case errors.Is(seen.locateErr, serving.ErrInvalidAddress):
		return v1beta1.ReasonInvalidAddress, seen.locateErr.Error()
	case seen.locateErr != nil:
		return v1beta1.ReasonModelNotFound, seen.locateErr.Error()
	default:
		return "", ""
	}
}

// refuse reports what is wrong and leaves alone what runs.
func (p *plan) refuse(reason, message string, now time.Time) {
	at := metav1.NewTime(now)
	if p.status.ModelStatus == nil || p.status.ModelStatus.LastFailureInfo == nil || p.status.ModelStatus.LastFailureInfo.Message != message {
		p.events = append(p.events, kube.Event{Type: corev1.EventTypeWarning, Reason: reason, Action: "Validate", Message: message})
	} else {
		at = *p.status.ModelStatus.LastFailureInfo.Time
	}
	p.status.ModelStatus = &v1beta1.ModelStatus{
		TransitionStatus: v1beta1.InvalidSpec,
		States:           p.states(v1beta1.FailedToLoad),
		LastFailureInfo:  &v1beta1.FailureInfo{Reason: reason, Message: message, Time: &at},
	}
	for _, typ := range []string{v1beta1.PredictorReady, v1beta1.LatestDeploymentReady, v1beta1.Ready} {
		p.status.SetCondition(v1beta1.Condition{Type: typ, Status: corev1.ConditionFalse, Reason: reason, Message: message}, metav1.NewTime(now))
	}
}

func (p *plan) states(target string) *v1beta1.ModelStates {
	s := &v1beta1.ModelStates{TargetModelState: target}
	if len(p.status.Components[v1beta1.PredictorComponent].Traffic) > 0 {
		s.ActiveModelState = v1beta1.Loaded
	}
	return s
}

// route decides who gets the requests: the first rule that fits wins. A canary's
// share of a revision that is rolled out already takes the rest of the requests
// back to the former one, as KServe has it.
func route(before v1beta1.ComponentStatusSpec, seen observed, percent *int64, replicas int32) rollout {
	target := seen.target.Name
	old := before.LatestRolledoutRevision
	if o, exists := seen.revisions[old]; !exists || o.deleting {
		old = ""
	}
	state, previous := seen.revisions[target], before.PreviousRolledoutRevision
	former, exists := seen.revisions[previous]
	back := percent != nil && *percent < 100 && exists && !former.deleting && previous != target
	switch {
	case old == target && back && before.LatestCreatedRevision != target:
		// The spec has come back from a canary: it is this one that answers alone,
		// and the share that is left in the spec is no wish to go back further.
		return rollout{traffic: all(target, true), rolledOut: target}
	case old == target && back && former.ready > 0:
		// Rolled back: from now on this is the canary of the former one.
		return rollout{traffic: split(target, previous, *percent), rolledOut: previous, previous: previous}
	case old == target:
		// It is rolled out already; it keeps the requests while a pod of it
		// restarts, and until the one to go back to is ready.
		return rollout{traffic: all(target, true), rolledOut: target, previous: previous, wanted: back}
	case old == "" && state.ready == 0:
		// Nobody can answer yet.
		return rollout{}
	case old == "":
		// The first revision gets everything, whatever the canary's share is.
		return rollout{traffic: all(target, true), rolledOut: target}
	case percent == nil && state.ready >= replicas:
		// All its pods are there: promote.
		return rollout{traffic: all(target, true), rolledOut: target, previous: old}
	case percent == nil || state.ready == 0:
		// It is not ready: the old one keeps everything.
		return rollout{traffic: all(old, false), rolledOut: old, previous: previous}
	default:
		return rollout{traffic: split(target, old, *percent), rolledOut: old, previous: previous}
	}
}

func all(revision string, latest bool) []v1beta1.TrafficTarget {
	return []v1beta1.TrafficTarget{{RevisionName: revision, LatestRevision: &latest, Percent: new(int64(100))}}
}

func split(latest, previous string, percent int64) []v1beta1.TrafficTarget {
	return []v1beta1.TrafficTarget{
		{RevisionName: latest, LatestRevision: new(true), Percent: &percent, Tag: "latest"},
		{RevisionName: previous, LatestRevision: new(false), Percent: new(100 - percent), Tag: "prev"},
	}
}

// tendOthers marks revisions that nobody sends requests to. After the drain the
// one to go back to is left without pods, and the others end.
func (p *plan) tendOthers(r rollout, seen observed, now time.Time) {
	used := map[string]bool{seen.target.Name: true, r.rolledOut: true}
	for _, t := range r.traffic {
		used[t.RevisionName] = true
	}
	if r.wanted {
		used[r.previous] = true
	}
	for _, name := range slices.Sorted(maps.Keys(seen.revisions)) {
		rev := seen.revisions[name]
		switch {
		case rev.deleting:
		case used[name]:
			if !rev.retiredAt.IsZero() {
				p.restore = append(p.restore, name)
			}
			if name != seen.target.Name && rev.wanted == 0 {
				p.setPods(name, p.replicas)
			}
		case rev.retiredAt.IsZero():
			p.retire = append(p.retire, name)
			p.lookAgain(drain)
		case now.Sub(rev.retiredAt) < drain:
			p.lookAgain(drain - now.Sub(rev.retiredAt))
		case name != r.previous:
			p.remove = append(p.remove, name)
		case rev.wanted > 0:
			p.setPods(name, 0)
		}
	}
}

func (p *plan) setPods(revision string, n int32) {
	if p.scale == nil {
		p.scale = map[string]int32{}
	}
	p.scale[revision] = n
}

func (p *plan) lookAgain(d time.Duration) {
	if p.again == 0 || d < p.again {
		p.again = d
	}
}

// conditions derives KServe's conditions and the state of the model.
func (p *plan) conditions(target revision, r rollout, now time.Time) {
	latest := v1beta1.Condition{Type: v1beta1.LatestDeploymentReady, Status: corev1.ConditionTrue}
	model := v1beta1.ModelStatus{
		TransitionStatus: v1beta1.UpToDate, States: p.states(v1beta1.Loaded),
		Copies: &v1beta1.ModelCopies{TotalCopies: int(target.total)},
	}
	switch {
	case target.ready > 0:
	case target.failure != nil:
		latest.Status, latest.Reason = corev1.ConditionFalse, target.failure.Reason
		latest.Message = fmt.Sprintf("the model server of %s ended: %s", p.target.Name, strings.TrimSpace(target.failure.Message))
		model.TransitionStatus, model.States = v1beta1.BlockedByFailedLoad, p.states(v1beta1.FailedToLoad)
		model.LastFailureInfo = target.failure
		model.Copies.FailedCopies = int(target.total)
	default:
		latest.Status, latest.Reason = corev1.ConditionUnknown, v1beta1.ReasonLoading
		latest.Message = "the model server of " + p.target.Name + " is starting"
		model.TransitionStatus, model.States = v1beta1.InProgress, p.states(v1beta1.Loading)
	}
	p.status.ModelStatus = &model

	predictor := latest
	predictor.Type = v1beta1.PredictorReady
	routes := v1beta1.Condition{Type: v1beta1.RoutesReady, Status: corev1.ConditionTrue}
	if len(r.traffic) == 0 {
		routes.Status, routes.Reason, routes.Message = corev1.ConditionFalse, v1beta1.ReasonNoReplicas, "no revision is ready to answer requests"
	}
	ingress := routes
	ingress.Type = v1beta1.IngressReady
	ready := predictor
	ready.Type = v1beta1.Ready
	if ready.Status == corev1.ConditionTrue && ingress.Status != corev1.ConditionTrue {
		ready.Status, ready.Reason, ready.Message = ingress.Status, ingress.Reason, ingress.Message
	}
	for _, c := range []v1beta1.Condition{latest, predictor, routes, ingress, ready} {
		p.status.SetCondition(c, metav1.NewTime(now))
	}
}

// tell makes events of what changed for users.
func (p *plan) tell(before, after v1beta1.ComponentStatusSpec, m serving.Model) {
	what := p.target.Name
	if m.Version != "" {
		what = fmt.Sprintf("%s (model %s version %s)", p.target.Name, m.Name, m.Version)
	}
	note := func(reason, action, message string) {
		p.events = append(p.events, kube.Event{Type: corev1.EventTypeNormal, Reason: reason, Action: action, Message: message})
	}
	if before.LatestCreatedRevision != after.LatestCreatedRevision {
		note("RevisionCreated", "Create", "created revision "+what)
	}
	rolledOut := after.LatestRolledoutRevision
	switch {
	case before.LatestRolledoutRevision != rolledOut && rolledOut == p.target.Name:
		note("RolledOut", "Promote", "all requests go to "+what)
	case before.LatestRolledoutRevision == p.target.Name && rolledOut != p.target.Name:
		note("RolledBack", "Rollback", fmt.Sprintf("%d %% of the requests go back to %s", 100-share(after), rolledOut))
	case len(after.Traffic) == 2 && share(before) != share(after):
		note("CanaryTraffic", "Split", fmt.Sprintf("%d %% of the requests go to %s", share(after), what))
	}
}

// share of the canary; -1 if there is none.
func share(c v1beta1.ComponentStatusSpec) int64 {
	if len(c.Traffic) == 2 && c.Traffic[0].Percent != nil {
		return *c.Traffic[0].Percent
	}
	return -1
}
