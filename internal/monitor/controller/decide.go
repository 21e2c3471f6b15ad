package controller

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/kiwerk/kiwerk/api/kiwerk/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/data"
	"github.com/kiwerk/kiwerk/internal/kube"
	"github.com/kiwerk/kiwerk/internal/monitor"
)

// seen is everything that a decision needs.
type seen struct {
	// windows of the baseline, newest first: at least as many as the rule looks at.
	windows []monitor.Judged
	score   data.Score
	// drift and performance are the alerts of this baseline that are firing.
	drift, performance *monitor.Alert
	// outdated are firing alerts of other baselines.
	outdated []monitor.Alert
}

// plan is what follows.
type plan struct {
	drifted, performing metav1.Condition
	// open holds alerts to raise; resolve the outcome by id of those to end.
	open    []monitor.Alert
	resolve map[string]string
}

// decide applies the rules, one function per question.
func decide(spec v1alpha1.ModelMonitorSpec, s seen) plan {
	p := plan{resolve: map[string]string{}}
	for _, a := range s.outdated {
		p.resolve[a.ID] = "another model version or reference is being watched"
	}
	decideDrift(spec, s, &p)
	decidePerformance(spec, s, &p)
	return p
}

// driftRule is one line of the specification of drift: the first that applies decides.
type driftRule func(driftCase) *metav1.Condition

type driftCase struct {
	spec   v1alpha1.ModelMonitorSpec
	firing *monitor.Alert
	judged []monitor.Judged // windows with a verdict, newest first, at most spec.windows.of
	found  confirmed
}

var driftRules = []driftRule{
	// Nothing has a verdict: nothing is said, but an alert that fires goes on.
	func(c driftCase) *metav1.Condition {
		if len(c.judged) > 0 || c.firing != nil {
			return nil
		}
		return condition(kube.Unknown(v1alpha1.ConditionDrifted, v1alpha1.ReasonInsufficientData,
			fmt.Sprintf("no window of %d predictions with a verdict yet", c.spec.Windows.Size)))
	},
	// The same feature drifted often enough: drift.
	func(c driftCase) *metav1.Condition {
		if len(c.found.features) == 0 {
			return nil
		}
		return condition(kube.True(v1alpha1.ConditionDrifted, v1alpha1.ReasonDriftDetected, driftMessage(c)))
	},
	// Drift was told and the newest window still drifts: it goes on.
	func(c driftCase) *metav1.Condition {
		if c.firing == nil || len(c.judged) > 0 && c.judged[0].Verdict.Verdict == v1alpha1.VerdictNoDrift {
			return nil
		}
		return condition(kube.True(v1alpha1.ConditionDrifted, v1alpha1.ReasonDriftDetected, driftMessage(c)))
	},
	// Otherwise there is none.
	func(c driftCase) *metav1.Condition {
		return condition(kube.False(v1alpha1.ConditionDrifted, v1alpha1.ReasonNoDrift,
			fmt.Sprintf("no feature drifted in %d of the last %d windows", c.spec.Windows.Confirm, c.spec.Windows.Of)))
	},
}

func condition(c metav1.Condition) *metav1.Condition { return &c }

// driftMessage is that of the alert, so that it stays the same from window to window.
func driftMessage(c driftCase) string {
	if c.firing != nil {
		return c.firing.Message
	}
	return c.found.message()
}

func decideDrift(spec v1alpha1.ModelMonitorSpec, s seen, p *plan) {
	c := driftCase{spec: spec, firing: s.drift}
	for _, w := range s.windows {
		if w.Verdict.Verdict != v1alpha1.VerdictInsufficientData && len(c.judged) < spec.Windows.Of {
			c.judged = append(c.judged, w)
		}
	}
	c.found = confirm(c.judged, spec.Windows.Confirm)
	for _, rule := range driftRules {
		if got := rule(c); got != nil {
			p.drifted = *got
			break
		}
	}
	switch {
	case p.drifted.Status == metav1.ConditionTrue && s.drift == nil:
		p.open = append(p.open, c.found.alert())
	case p.drifted.Status == metav1.ConditionFalse && s.drift != nil:
		p.resolve[s.drift.ID] = "the newest window has not drifted"
	}
}

// confirmed are the features that drifted in enough windows.
type confirmed struct {
	features []monitor.Feature // as the newest window with drift has them, strongest first
	first    monitor.Judged    // the oldest window in which one of them drifted
	windows  int               // in which one of them drifted
	of       int
	compared int
}

// confirm finds the features that drifted in at least k of the windows, which are newest first.
func confirm(windows []monitor.Judged, k int) confirmed {
	count := map[string]int{}
	for _, w := range windows {
		for _, f := range w.Drifted() {
			count[f.Name]++
		}
	}
	c := confirmed{of: len(windows)}
	named := map[string]bool{}
	for _, w := range windows {
		hit := false
		for _, f := range w.Drifted() {
			if count[f.Name] < k {
				continue
			}
			hit = true
			if !named[f.Name] {
				named[f.Name] = true
				c.features = append(c.features, f)
			}
		}
		if hit {
			c.windows++
			c.first, c.compared = w, len(w.Features)
		}
	}
	slices.SortStableFunc(c.features, func(a, b monitor.Feature) int {
		return cmp.Or(cmp.Compare(b.DLow, a.DLow), cmp.Compare(a.Name, b.Name))
	})
	return c
}

const maxNamed = 3

func (c confirmed) message() string {
	names := make([]string, 0, maxNamed)
	for _, f := range c.features[:min(len(c.features), maxNamed)] {
		names = append(names, f.Name)
	}
	return fmt.Sprintf("the inputs have drifted from the reference: %d of %d features in %d of %d windows, most of all %s",
		len(c.features), c.compared, c.windows, c.of, strings.Join(names, ", "))
}

func (c confirmed) alert() monitor.Alert {
	const most = 10
	numbers := marshal(map[string]any{
		"features": len(c.features), "compared": c.compared, "windows": c.windows, "of": c.of,
		"strongest": c.features[:min(len(c.features), most)],
	})
	return monitor.Alert{Kind: monitor.AlertDrift, Window: c.first.Index, WindowStart: c.first.Start, Message: c.message(), Numbers: numbers}
}

func marshal(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		return json.RawMessage("{}") // plain numbers and names always have a form
	}
	return b
}

func decidePerformance(spec v1alpha1.ModelMonitorSpec, s seen, p *plan) {
	want := spec.Performance
	typ := v1alpha1.ConditionPerforming
	if want == nil {
		if s.performance != nil {
			p.resolve[s.performance.ID] = "the performance is not watched any more"
		}
		return
	}
	accuracy := s.score.Accuracy()
	switch {
	case s.score.Labelled < want.MinLabelled:
		p.performing = kube.Unknown(typ, v1alpha1.ReasonTooFewLabels, fmt.Sprintf("fewer than %d labels have come back", want.MinLabelled))
		return
	case accuracy < want.Minimum:
		p.performing = kube.False(typ, v1alpha1.ReasonPerformanceBelowMinimum, fmt.Sprintf("the measured accuracy is below %v", want.Minimum))
	default:
		p.performing = kube.True(typ, v1alpha1.ReasonPerformanceMet, fmt.Sprintf("the measured accuracy is at least %v", want.Minimum))
	}
	switch {
	case accuracy < want.AlertBelow && s.performance == nil:
		p.open = append(p.open, performanceAlert(want, s.score))
	case accuracy >= want.Minimum && s.performance != nil:
		p.resolve[s.performance.ID] = fmt.Sprintf("the measured accuracy is at least %v again", want.Minimum)
	}
}

func performanceAlert(want *v1alpha1.PerformanceSpec, score data.Score) monitor.Alert {
	return monitor.Alert{
		Kind: monitor.AlertPerformance, WindowStart: score.From,
		Message: fmt.Sprintf("the measured accuracy of the last %d labelled predictions is %.3f, below %v", score.Labelled, score.Accuracy(), want.AlertBelow),
		Numbers: marshal(map[string]any{"accuracy": score.Accuracy(), "labelled": score.Labelled, "from": score.From.Format(time.RFC3339Nano), "to": score.To.Format(time.RFC3339Nano)}),
	}
}
