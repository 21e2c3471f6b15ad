package monitor

import (
	"cmp"
	"slices"

	v1alpha1 "github.com/kiwerk/kiwerk/api/kiwerk/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/data"
	"github.com/kiwerk/kiwerk/internal/monitor/ks"
)

// Settings are what a window is judged by.
type Settings struct {
	MinRows    int
	Alpha      float64
	MinEffect  float64
	Ties       ks.Ties
	Correction ks.Correction
}

// SettingsOf takes the settings from a spec that has its defaults.
func SettingsOf(s v1alpha1.ModelMonitorSpec) Settings {
	set := Settings{MinRows: s.Windows.MinRows, Alpha: s.Test.Alpha, MinEffect: s.Test.MinEffect}
	if s.Test.Ties == v1alpha1.TiesScipy {
		set.Ties = ks.TiesIgnored
	}
	switch s.Test.Correction {
	case v1alpha1.CorrectionBonferroni:
		set.Correction = ks.Bonferroni
	case v1alpha1.CorrectionNone:
		set.Correction = ks.None
	}
	return set
}

// Feature is what was found of a feature. From samples the intervals are single values.
type Feature struct {
	Name string `json:"name"`
	// D of the distributions lies between DLow and DHigh, its p-value between PLow and PHigh.
	DLow  float64 `json:"dLow"`
	DHigh float64 `json:"dHigh"`
	PLow  float64 `json:"pLow"`
	PHigh float64 `json:"pHigh"`
	// Adjusted is PHigh corrected for the number of features.
	Adjusted float64 `json:"adjusted"`
	Drifted  bool    `json:"drifted"`
	// Exact says that samples were compared, not counts.
	Exact bool `json:"exact"`
}

// Verdict is what was found in a window.
type Verdict struct {
	Verdict string `json:"verdict"`
	// Why no verdict could be given.
	Why string `json:"why,omitempty"`
	// Rows that could be compared, and those that could not.
	Rows      int `json:"rows"`
	Malformed int `json:"malformed,omitempty"`
	// Features that were compared; constant ones are not among them.
	Features []Feature `json:"features,omitempty"`
	// MaxEffect is the largest DLow.
	MaxEffect float64 `json:"maxEffect"`
	// Detectable is about the smallest distance that could have been found.
	Detectable float64 `json:"detectable,omitempty"`
}

// Drifted names the features that drifted, those that moved most first.
func (v Verdict) Drifted() []Feature {
	var list []Feature
	for _, f := range v.Features {
		if f.Drifted {
			list = append(list, f)
		}
	}
	slices.SortStableFunc(list, func(a, b Feature) int { return cmp.Compare(b.DLow, a.DLow) })
	return list
}

// Why a window got no verdict.
const (
	WhyFewRows      = "too few rows"
	WhyFewReference = "too few rows in the reference"
	WhyNotRecorded  = "the rows were not recorded"
)

// Judge compares a window with the reference. The rules, in order:
// too few rows that can be compared, here or in the reference: no verdict;
// a feature has drifted if its p-value, corrected for the number of features,
// is at most alpha and its distance is at least the minimum effect; a window
// has drifted if a feature has.
func Judge(ref *Reference, w *data.Window, s Settings) Verdict {
	v := Verdict{Verdict: v1alpha1.VerdictInsufficientData, Malformed: w.Malformed}
	switch {
	case w.Columns != nil:
		v.Rows = w.Rows - w.Malformed
	case w.Counts != nil:
		v.Rows = w.Counts.Rows
		v.Malformed = w.Rows - w.Counts.Rows
	default:
		v.Why = WhyNotRecorded
		return v
	}
	if v.Rows < s.MinRows {
		v.Why = WhyFewRows
		return v
	}
	if ref.Rows < s.MinRows {
		v.Why = WhyFewReference
		return v
	}
	v.Features = compare(ref, w, s)
	v.decide(s)
	if n := len(v.Features); n > 0 {
		v.Detectable = ks.Detectable(min(ref.Rows, maxComparedRows), v.Rows, s.Alpha/float64(n))
	}
	return v
}

// compare tests every feature that has enough values and is not constant.
func compare(ref *Reference, w *data.Window, s Settings) []Feature {
	var list []Feature
	for f, name := range ref.Names {
		if w.Columns != nil {
			if window := ks.Sorted(w.Columns[f]); len(window) >= s.MinRows {
				r := ks.TwoSample(ref.columns[f], window, s.Ties)
				if !r.Constant {
					list = append(list, Feature{Name: name, DLow: r.D, DHigh: r.D, PLow: r.P, PHigh: r.P, Exact: true})
				}
				continue
			}
		}
		if w.Counts == nil || f >= len(w.Counts.Features) {
			continue // masked, and nothing was counted
		}
		r := ks.FromCounts(ref.bins(f, w.Counts.Features[f]), s.Ties)
		if r.M >= s.MinRows && !r.Constant {
			list = append(list, Feature{Name: name, DLow: r.DLow, DHigh: r.DHigh, PLow: r.PLow, PHigh: r.PHigh})
		}
	}
	return list
}

func (v *Verdict) decide(s Settings) {
	p := make([]float64, len(v.Features))
	for i, f := range v.Features {
		p[i] = f.PHigh
	}
	v.Verdict = v1alpha1.VerdictNoDrift
	for i, adjusted := range ks.Adjust(p, s.Correction) {
		f := &v.Features[i]
		f.Adjusted = adjusted
		v.MaxEffect = max(v.MaxEffect, f.DLow)
		significant := adjusted <= s.Alpha
		matters := f.DLow >= s.MinEffect
		if f.Drifted = significant && matters; f.Drifted {
			v.Verdict = v1alpha1.VerdictDrift
		}
	}
}
