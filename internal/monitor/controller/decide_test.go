package controller

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/kiwerk/kiwerk/api/kiwerk/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/data"
	"github.com/kiwerk/kiwerk/internal/monitor"
)

// window is one in which the named features drifted; nil is one without a verdict.
func window(index int64, features []string) monitor.Judged {
	j := monitor.Judged{Index: index, Start: time.Unix(index, 0).UTC()}
	j.Verdict.Verdict = v1alpha1.VerdictNoDrift
	if features == nil {
		j.Verdict.Verdict = v1alpha1.VerdictInsufficientData
	}
	for i, f := range features {
		j.Verdict.Verdict = v1alpha1.VerdictDrift
		j.Features = append(j.Features, monitor.Feature{Name: f, Drifted: true, DLow: 0.5 - 0.1*float64(i)})
	}
	return j
}

// history makes windows from the oldest to the newest and returns them newest first.
func history(windows ...[]string) (list []monitor.Judged) {
	for i, features := range windows {
		list = append([]monitor.Judged{window(int64(i), features)}, list...)
	}
	return list
}

var (
	none   = []string{}
	tooFew []string
	a      = []string{"a"}
	b      = []string{"b"}
	ab     = []string{"a", "b"}
)

func TestDecide_drift(t *testing.T) {
	firing := &monitor.Alert{ID: "drift-1", Kind: monitor.AlertDrift, Message: "told before"}
	cases := map[string]struct {
		reason  string
		windows []monitor.Judged
		firing  *monitor.Alert
		status  metav1.ConditionStatus
		why     string
		opens   bool
		first   int64
		ends    bool
	}{
		"Nothing":             {"no window yet", nil, nil, metav1.ConditionUnknown, v1alpha1.ReasonInsufficientData, false, 0, false},
		"OnlyInsufficient":    {"too few rows is no verdict", history(tooFew, tooFew), nil, metav1.ConditionUnknown, v1alpha1.ReasonInsufficientData, false, 0, false},
		"NoDrift":             {"", history(none), nil, metav1.ConditionFalse, v1alpha1.ReasonNoDrift, false, 0, false},
		"OnceIsChance":        {"2 of 3 are needed", history(none, a), nil, metav1.ConditionFalse, v1alpha1.ReasonNoDrift, false, 0, false},
		"Twice":               {"", history(none, a, a), nil, metav1.ConditionTrue, v1alpha1.ReasonDriftDetected, true, 1, false},
		"TwiceWithGap":        {"", history(a, none, a), nil, metav1.ConditionTrue, v1alpha1.ReasonDriftDetected, true, 0, false},
		"TooLongAgo":          {"only the last 3 count", history(a, none, none, a), nil, metav1.ConditionFalse, v1alpha1.ReasonNoDrift, false, 0, false},
		"OtherFeature":        {"the same feature is needed", history(none, a, b), nil, metav1.ConditionFalse, v1alpha1.ReasonNoDrift, false, 0, false},
		"OneOfBothTwice":      {"", history(b, ab), nil, metav1.ConditionTrue, v1alpha1.ReasonDriftDetected, true, 0, false},
		"InsufficientBetween": {"windows without a verdict do not count", history(a, tooFew, tooFew, a), nil, metav1.ConditionTrue, v1alpha1.ReasonDriftDetected, true, 0, false},
		"FiringGoesOn":        {"it is told once", history(a, a, a), firing, metav1.ConditionTrue, v1alpha1.ReasonDriftDetected, false, 0, false},
		"FiringLastDrifted":   {"it does not flap", history(none, none, a), firing, metav1.ConditionTrue, v1alpha1.ReasonDriftDetected, false, 0, false},
		"FiringNoVerdict":     {"", history(tooFew), firing, metav1.ConditionTrue, v1alpha1.ReasonDriftDetected, false, 0, false},
		"FiringStillTwice":    {"", history(a, a, none), firing, metav1.ConditionTrue, v1alpha1.ReasonDriftDetected, false, 0, false},
		"FiringOver":          {"", history(a, none, none), firing, metav1.ConditionFalse, v1alpha1.ReasonNoDrift, false, 0, true},
	}
	spec := v1alpha1.ModelMonitorSpec{}.WithDefaults()
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := decide(spec, seen{windows: c.windows, drift: c.firing})
			if p.drifted.Status != c.status || p.drifted.Reason != c.why {
				t.Errorf("got %s %s, want %s %s (%s)", p.drifted.Status, p.drifted.Reason, c.status, c.why, c.reason)
			}
			if (len(p.open) == 1) != c.opens || (len(p.resolve) == 1) != c.ends {
				t.Errorf("opens %v, resolves %v", p.open, p.resolve)
			}
			if c.opens && (p.open[0].Window != c.first || p.open[0].Kind != monitor.AlertDrift || p.open[0].Message != p.drifted.Message) {
				t.Errorf("alert %+v, want it to begin with window %d", p.open[0], c.first)
			}
			if c.firing != nil && c.status == metav1.ConditionTrue && p.drifted.Message != c.firing.Message {
				t.Errorf("the message changed to %q", p.drifted.Message)
			}
		})
	}
}

func TestDecide_performance(t *testing.T) {
	firing := &monitor.Alert{ID: "performance-1", Kind: monitor.AlertPerformance}
	cases := map[string]struct {
		labelled, correct int
		firing            *monitor.Alert
		status            metav1.ConditionStatus
		opens, ends       bool
	}{
		"TooFewLabels": {49, 0, nil, metav1.ConditionUnknown, false, false},
		"Good":         {100, 95, nil, metav1.ConditionTrue, false, false},
		"AtMinimum":    {100, 90, nil, metav1.ConditionTrue, false, false},
		"BelowMinimum": {100, 85, nil, metav1.ConditionFalse, false, false},
		"AtAlert":      {100, 80, nil, metav1.ConditionFalse, false, false},
		"BelowAlert":   {100, 79, nil, metav1.ConditionFalse, true, false},
		"ToldOnce":     {100, 70, firing, metav1.ConditionFalse, false, false},
		"NotYetBetter": {100, 85, firing, metav1.ConditionFalse, false, false},
		"Better":       {100, 90, firing, metav1.ConditionTrue, false, true},
		"LabelsRanOut": {10, 10, firing, metav1.ConditionUnknown, false, false},
	}
	spec := v1alpha1.ModelMonitorSpec{Performance: &v1alpha1.PerformanceSpec{Minimum: 0.9, AlertBelow: 0.8}}.WithDefaults()
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := decide(spec, seen{score: data.Score{Labelled: c.labelled, Correct: c.correct}, performance: c.firing})
			if p.performing.Status != c.status || (len(p.open) == 1) != c.opens || (len(p.resolve) == 1) != c.ends {
				t.Errorf("got %+v, opens %v, resolves %v", p.performing, p.open, p.resolve)
			}
		})
	}
	p := decide(v1alpha1.ModelMonitorSpec{}.WithDefaults(), seen{performance: firing})
	if p.performing.Type != "" || len(p.resolve) != 1 {
		t.Errorf("not watched any more: %+v", p)
	}
}

func TestDecide_resolvesAlertsOfOtherVersions(t *testing.T) {
	p := decide(v1alpha1.ModelMonitorSpec{}.WithDefaults(), seen{outdated: []monitor.Alert{{ID: "drift-0"}}})
	if p.resolve["drift-0"] == "" {
		t.Errorf("got %+v", p)
	}
}

func TestFaultOf(t *testing.T) {
	cases := map[string]v1alpha1.ModelMonitorSpec{
		"ConfirmAboveOf":       {Windows: v1alpha1.WindowsSpec{Confirm: 4, Of: 3}},
		"MinRowsAboveSize":     {Windows: v1alpha1.WindowsSpec{Size: 20, MinRows: 30}},
		"AlertAboveMinimum":    {Performance: &v1alpha1.PerformanceSpec{Minimum: 0.8, AlertBelow: 0.9}},
		"LabelledAboveWindow":  {Performance: &v1alpha1.PerformanceSpec{Minimum: 0.8, MinLabelled: 20, Window: 10}},
		"MaskWithoutRecording": {Samples: v1alpha1.SamplesSpec{MaskedFields: []string{"a"}}},
	}
	for name, spec := range cases {
		t.Run(name, func(t *testing.T) {
			if faultOf(spec.WithDefaults()) == "" {
				t.Error("no fault was found")
			}
		})
	}
	if fault := faultOf(v1alpha1.ModelMonitorSpec{}.WithDefaults()); fault != "" {
		t.Errorf("the defaults are faulty: %s", fault)
	}
}
