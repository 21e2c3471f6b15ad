package controller

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/kiwerk/kiwerk/api/serving/v1beta1"
	"github.com/kiwerk/kiwerk/internal/serving"
	"github.com/kiwerk/kiwerk/internal/serving/controller/resources"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func service(percent *int64, replicas int32, rolledOut string) *v1beta1.InferenceService {
	isvc := &v1beta1.InferenceService{}
	isvc.Namespace, isvc.Name, isvc.Generation = "default", "m", 3
	isvc.Spec.Predictor.CanaryTrafficPercent = percent
	isvc.Spec.Predictor.MinReplicas = &replicas
	if rolledOut != "" {
		isvc.Status.Components = map[string]v1beta1.ComponentStatusSpec{v1beta1.PredictorComponent: {LatestRolledoutRevision: rolledOut}}
	}
	return isvc
}

// shares writes traffic as "name=percent", in order.
func shares(targets []v1beta1.TrafficTarget) map[string]int64 {
	m := map[string]int64{}
	for _, t := range targets {
		m[t.RevisionName] = *t.Percent
	}
	return m
}

func TestDecide_trafficAndLifeOfRevisions(t *testing.T) {
	up := revision{ready: 1, total: 1, wanted: 1}
	starting := revision{total: 1, wanted: 1}
	parked := revision{retiredAt: now.Add(-time.Hour)}
	cases := map[string]struct {
		percent   *int64
		replicas  int32
		rolledOut string
		previous  string
		created   string // "new" if empty
		revisions map[string]revision

		traffic                 map[string]int64
		nowRolledOut            string
		retire, restore, remove []string
		scale                   map[string]int32
		nowPrevious             string
		again                   time.Duration
		ready                   corev1.ConditionStatus
		reason                  string
	}{
		"FirstIsCreated": {
			replicas: 1, traffic: map[string]int64{}, ready: "Unknown",
			reason: "nothing exists, so nobody can answer",
		},
		"FirstBecomesReady": {
			replicas: 1, revisions: map[string]revision{"new": up}, traffic: map[string]int64{"new": 100}, nowRolledOut: "new", ready: "True",
			reason: "the first revision gets everything",
		},
		"FirstWithCanaryField": {
			percent: new(int64(10)), replicas: 1, revisions: map[string]revision{"new": up}, traffic: map[string]int64{"new": 100}, nowRolledOut: "new", ready: "True",
			reason: "there is nothing to split with",
		},
		"SecondIsStarting": {
			replicas: 1, rolledOut: "old", revisions: map[string]revision{"old": up, "new": starting},
			traffic: map[string]int64{"old": 100}, nowRolledOut: "old", ready: "Unknown",
			reason: "a revision gets requests only when it is ready",
		},
		"SecondHasSomeOfItsPods": {
			replicas: 2, rolledOut: "old", revisions: map[string]revision{"old": up, "new": up},
			traffic: map[string]int64{"old": 100}, nowRolledOut: "old", ready: "True",
			reason: "it takes over when all its pods are there",
		},
		"SecondTakesOver": {
			replicas: 1, rolledOut: "old", revisions: map[string]revision{"old": up, "new": up},
			traffic: map[string]int64{"new": 100}, nowRolledOut: "new", retire: []string{"old"}, again: drain, ready: "True",
			reason: "promoted; the old one is drained",
		},
		"Canary": {
			percent: new(int64(20)), replicas: 1, rolledOut: "old", revisions: map[string]revision{"old": up, "new": up},
			traffic: map[string]int64{"new": 20, "old": 80}, nowRolledOut: "old", ready: "True",
			reason: "the newest gets its share, the former the rest",
		},
		"CanaryLostItsPods": {
			percent: new(int64(20)), replicas: 1, rolledOut: "old", revisions: map[string]revision{"old": up, "new": starting},
			traffic: map[string]int64{"old": 100}, nowRolledOut: "old", ready: "Unknown",
			reason: "without pods its share goes back",
		},
		"CanaryZero": {
			percent: new(int64(0)), replicas: 1, rolledOut: "old", revisions: map[string]revision{"old": up, "new": up},
			traffic: map[string]int64{"new": 0, "old": 100}, nowRolledOut: "old", ready: "True",
			reason: "zero is a rollback that keeps the canary running",
		},
		"RolledBackBySpec": {
			percent: new(int64(20)), replicas: 1, rolledOut: "new", revisions: map[string]revision{"new": up, "canary": up},
			traffic: map[string]int64{"new": 100}, nowRolledOut: "new", retire: []string{"canary"}, again: drain, ready: "True",
			reason: "the spec names the rolled-out revision again",
		},
		"RolledOutKeepsRequestsDuringRestart": {
			replicas: 1, rolledOut: "new", revisions: map[string]revision{"new": starting},
			traffic: map[string]int64{"new": 100}, nowRolledOut: "new", ready: "Unknown",
			reason: "there is nobody else",
		},
		"FormerRevisionWasDeleted": {
			percent: new(int64(20)), replicas: 1, rolledOut: "gone", revisions: map[string]revision{"new": up},
			traffic: map[string]int64{"new": 100}, nowRolledOut: "new", ready: "True",
			reason: "requests cannot go to what does not exist",
		},
		"FormerRevisionIsBeingDeleted": {
			percent: new(int64(20)), replicas: 1, rolledOut: "old", revisions: map[string]revision{"new": up, "old": {ready: 1, deleting: true}},
			traffic: map[string]int64{"new": 100}, nowRolledOut: "new", ready: "True",
			reason: "its pods are ending",
		},
		"RetiredDrains": {
			replicas: 1, rolledOut: "new", revisions: map[string]revision{"new": up, "old": {ready: 1, retiredAt: now.Add(-2 * time.Second)}},
			traffic: map[string]int64{"new": 100}, nowRolledOut: "new", again: 3 * time.Second, ready: "True",
			reason: "requests may still be on their way",
		},
		"RetiredIsRemoved": {
			replicas: 1, rolledOut: "new", revisions: map[string]revision{"new": up, "old": {ready: 1, retiredAt: now.Add(-drain)}},
			traffic: map[string]int64{"new": 100}, nowRolledOut: "new", remove: []string{"old"}, ready: "True",
			reason: "drained",
		},
		"RetiredComesBack": {
			replicas: 1, rolledOut: "old", revisions: map[string]revision{"old": up, "new": {ready: 1, retiredAt: now}},
			traffic: map[string]int64{"new": 100}, nowRolledOut: "new", restore: []string{"new"}, retire: []string{"old"}, again: drain, ready: "True",
			reason: "the wish went back to a revision that had been retired",
		},
		"FormerIsKeptWithoutPods": {
			replicas: 1, rolledOut: "new", previous: "old", revisions: map[string]revision{"new": up, "old": {ready: 1, wanted: 1, retiredAt: now.Add(-drain)}, "older": {retiredAt: now.Add(-drain)}},
			traffic: map[string]int64{"new": 100}, nowRolledOut: "new", nowPrevious: "old", scale: map[string]int32{"old": 0}, remove: []string{"older"}, ready: "True",
			reason: "a rollback must find it",
		},
		"FormerWithoutPodsStaysSo": {
			replicas: 1, rolledOut: "new", previous: "old", revisions: map[string]revision{"new": up, "old": parked},
			traffic: map[string]int64{"new": 100}, nowRolledOut: "new", nowPrevious: "old", ready: "True",
		},
		"RollbackStartsTheFormer": {
			percent: new(int64(0)), replicas: 2, rolledOut: "new", previous: "old", revisions: map[string]revision{"new": up, "old": parked},
			traffic: map[string]int64{"new": 100}, nowRolledOut: "new", nowPrevious: "old", restore: []string{"old"}, scale: map[string]int32{"old": 2}, ready: "True",
			reason: "until it is ready the newest one answers",
		},
		"RollbackWaitsForTheFormer": {
			percent: new(int64(0)), replicas: 1, rolledOut: "new", previous: "old", revisions: map[string]revision{"new": up, "old": starting},
			traffic: map[string]int64{"new": 100}, nowRolledOut: "new", nowPrevious: "old", ready: "True",
		},
		"RolledBack": {
			percent: new(int64(0)), replicas: 1, rolledOut: "new", previous: "old", revisions: map[string]revision{"new": up, "old": up},
			traffic: map[string]int64{"new": 0, "old": 100}, nowRolledOut: "old", nowPrevious: "old", ready: "True",
			reason: "KServe takes latestRolledoutRevision back to the previous one",
		},
		"RolledBackToAPart": {
			percent: new(int64(30)), replicas: 1, rolledOut: "new", previous: "old", revisions: map[string]revision{"new": up, "old": up},
			traffic: map[string]int64{"new": 30, "old": 70}, nowRolledOut: "old", nowPrevious: "old", ready: "True",
		},
		"AllIsNoRollback": {
			percent: new(int64(100)), replicas: 1, rolledOut: "new", previous: "old", revisions: map[string]revision{"new": up, "old": parked},
			traffic: map[string]int64{"new": 100}, nowRolledOut: "new", nowPrevious: "old", ready: "True",
		},
		"PromotedAgain": {
			replicas: 1, rolledOut: "old", previous: "old", revisions: map[string]revision{"new": up, "old": up},
			traffic: map[string]int64{"new": 100}, nowRolledOut: "new", nowPrevious: "old", retire: []string{"old"}, again: drain, ready: "True",
		},
		"BackFromACanaryIsNoRollback": {
			percent: new(int64(20)), replicas: 1, rolledOut: "new", previous: "older", created: "canary", revisions: map[string]revision{"new": up, "canary": up, "older": parked},
			traffic: map[string]int64{"new": 100}, nowRolledOut: "new", retire: []string{"canary"}, remove: []string{"older"}, again: drain, ready: "True",
			reason: "nobody asked for the one before",
		},
		"FormerIsGone": {
			percent: new(int64(0)), replicas: 1, rolledOut: "new", previous: "old", revisions: map[string]revision{"new": up},
			traffic: map[string]int64{"new": 100}, nowRolledOut: "new", nowPrevious: "old", ready: "True",
		},
		"LoadFailed": {
			replicas: 1, rolledOut: "old", revisions: map[string]revision{"old": up, "new": {total: 1, failure: &v1beta1.FailureInfo{Reason: v1beta1.ReasonLoadFailed, Message: "no ONNX"}}},
			traffic: map[string]int64{"old": 100}, nowRolledOut: "old", ready: "False",
			reason: "a model that does not load never gets requests",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			isvc := service(c.percent, c.replicas, c.rolledOut)
			component := isvc.Status.Components[v1beta1.PredictorComponent]
			component.PreviousRolledoutRevision, component.LatestCreatedRevision = c.previous, cmp.Or(c.created, "new")
			isvc.Status.Components = map[string]v1beta1.ComponentStatusSpec{v1beta1.PredictorComponent: component}
			p := decide(isvc, observed{revisions: c.revisions, target: resources.Revision{Name: "new"}, url: "http://x"}, now)
			got := p.status.Components[v1beta1.PredictorComponent]
			if diff := gocmp.Diff(c.traffic, shares(got.Traffic)); diff != "" {
				t.Errorf("traffic (%s): %s", c.reason, diff)
			}
			if got.LatestRolledoutRevision != c.nowRolledOut {
				t.Errorf("rolled out %q, want %q (%s)", got.LatestRolledoutRevision, c.nowRolledOut, c.reason)
			}
			if c.nowPrevious != "" && got.PreviousRolledoutRevision != c.nowPrevious {
				t.Errorf("previous %q, want %q (%s)", got.PreviousRolledoutRevision, c.nowPrevious, c.reason)
			}
			if diff := gocmp.Diff(c.scale, p.scale); diff != "" {
				t.Errorf("scale (%s): %s", c.reason, diff)
			}
			for what, lists := range map[string][2][]string{"retire": {c.retire, p.retire}, "restore": {c.restore, p.restore}, "remove": {c.remove, p.remove}} {
				if diff := gocmp.Diff(lists[0], lists[1]); diff != "" {
					t.Errorf("%s (%s): %s", what, c.reason, diff)
				}
			}
			if p.again != c.again {
				t.Errorf("again after %s, want %s", p.again, c.again)
			}
			if r := p.status.GetCondition(v1beta1.Ready); r == nil || r.Status != c.ready {
				t.Errorf("Ready is %+v, want %s (%s)", r, c.ready, c.reason)
			}
			if !p.apply || p.status.ObservedGeneration != 3 {
				t.Errorf("apply %v, observed generation %d", p.apply, p.status.ObservedGeneration)
			}
		})
	}
}

func TestDecide_refusalTouchesNothing(t *testing.T) {
	cases := map[string]struct {
		seen   observed
		reason string
	}{
		"Problems":   {observed{problems: []string{"spec.transformer: not supported yet"}}, v1beta1.ReasonUnsupportedField},
		"ModelIsNot": {observed{locateErr: errors.New("no such alias")}, v1beta1.ReasonModelNotFound},
		"Forbidden":  {observed{locateErr: fmt.Errorf("%w: /etc/passwd", serving.ErrNotPermitted)}, v1beta1.ReasonAddressNotPermitted},
		"NoAddress":  {observed{locateErr: fmt.Errorf("%w: gs://", serving.ErrInvalidAddress)}, v1beta1.ReasonInvalidAddress},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			isvc := service(nil, 1, "old")
			c.seen.revisions = map[string]revision{"old": {ready: 1}}
			p := decide(isvc, c.seen, now)
			if p.apply || len(p.retire)+len(p.remove) > 0 {
				t.Errorf("the plan acts: %+v", p)
			}
			if got := p.status.GetCondition(v1beta1.PredictorReady); got == nil || got.Status != "False" || got.Reason != c.reason {
				t.Errorf("got %+v", got)
			}
			if p.status.Components[v1beta1.PredictorComponent].LatestRolledoutRevision != "old" {
				t.Error("what is rolled out was forgotten")
			}
			isvc.Status = p.status
			if again := decide(isvc, c.seen, now.Add(time.Minute)); len(p.events) != 1 || len(again.events) != 0 {
				t.Errorf("%d events, then %d; want one, once", len(p.events), len(again.events))
			}
		})
	}
}

func TestUnsupported_namesThePath(t *testing.T) {
	uri := "models:/m@champion"
	good := func() *v1beta1.InferenceServiceSpec {
		s := &v1beta1.InferenceServiceSpec{}
		s.Predictor.Model = &v1beta1.ModelSpec{ModelFormat: v1beta1.ModelFormat{Name: "onnx"}}
		s.Predictor.Model.StorageURI = &uri
		return s
	}
	cases := map[string]struct {
		change func(*v1beta1.InferenceServiceSpec)
		path   string
	}{
		"Format":      {func(s *v1beta1.InferenceServiceSpec) { s.Predictor.Model.ModelFormat.Name = "sklearn" }, "spec.predictor.model.modelFormat.name"},
		"NoURI":       {func(s *v1beta1.InferenceServiceSpec) { s.Predictor.Model.StorageURI = nil }, "spec.predictor.model.storageUri"},
		"NoModel":     {func(s *v1beta1.InferenceServiceSpec) { s.Predictor.Model = nil }, "spec.predictor.model"},
		"ScaleToZero": {func(s *v1beta1.InferenceServiceSpec) { s.Predictor.MinReplicas = new(int32(0)) }, "spec.predictor.minReplicas"},
		"Percent":     {func(s *v1beta1.InferenceServiceSpec) { s.Predictor.CanaryTrafficPercent = new(int64(101)) }, "spec.predictor.canaryTrafficPercent"},
		"Runtime":     {func(s *v1beta1.InferenceServiceSpec) { s.Predictor.Model.Runtime = new("triton") }, "spec.predictor.model.runtime"},
		"Protocol":    {func(s *v1beta1.InferenceServiceSpec) { s.Predictor.Model.ProtocolVersion = new("grpc-v2") }, "spec.predictor.model.protocolVersion"},
		"BothSpelling": {func(s *v1beta1.InferenceServiceSpec) {
			s.Predictor.ONNX = &v1beta1.PredictorExtensionSpec{StorageURI: &uri}
		}, "spec.predictor.onnx"},
	}
	if problems := unsupported(good()); len(problems) > 0 {
		t.Fatalf("a good spec has problems: %v", problems)
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := good()
			c.change(s)
			problems := unsupported(s)
			if len(problems) != 1 || !strings.HasPrefix(problems[0], c.path+": ") {
				t.Errorf("got %v, want one at %s", problems, c.path)
			}
		})
	}
}

func TestMakeRevision_isAFunctionOfTheWish(t *testing.T) {
	isvc := service(nil, 1, "")
	uri := "models:/m@champion"
	isvc.Spec.Predictor.ONNX = &v1beta1.PredictorExtensionSpec{StorageURI: &uri}
	make1 := func(version string) string {
		return resources.MakeRevision(isvc, serving.Model{Name: "m", Version: version, Source: "mlflow-artifacts:/" + version}, serving.Policy{}).Name
	}
	v1 := make1("1")
	if again := make1("1"); again != v1 {
		t.Errorf("%s, then %s", v1, again)
	}
	if v2 := make1("2"); v2 == v1 {
		t.Error("two versions share a revision")
	}
	isvc.Spec.Predictor.CanaryTrafficPercent, isvc.Spec.Predictor.MinReplicas = new(int64(7)), new(int32(3))
	if again := make1("1"); again != v1 {
		t.Error("the split or the number of pods makes another revision")
	}
}
