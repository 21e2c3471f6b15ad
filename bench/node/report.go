//go:build linux

package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
)

// row is one figure of an account.
type row struct {
	Figure string  `json:"figure"`
	Unit   string  `json:"unit"`
	Value  float64 `json:"value"`
	// Baseline is the same of a bare process, in the same unit, and Ratio how many of it the value is.
	Baseline float64 `json:"baseline,omitempty"`
	Ratio    float64 `json:"ratio,omitempty"`
	Bound    *bound  `json:"bound,omitempty"`
}

// bound is what a row has to keep.
type bound struct {
	Limit   float64 `json:"limit"`
	AtLeast bool    `json:"atLeast,omitempty"`
	// OfRatio bounds the ratio, not the value.
	OfRatio bool `json:"ofRatio,omitempty"`
	Holds   bool `json:"holds"`
}

func against(r row, baseline float64) row {
	r.Baseline = baseline
	if baseline > 0 {
		r.Ratio = r.Value / baseline
	}
	return r
}

func (r row) bounded(b bound) row {
	v := r.Value
	if b.OfRatio {
		v = r.Ratio
	}
	b.Holds = v <= b.Limit
	if b.AtLeast {
		b.Holds = v >= b.Limit
	}
	r.Bound = &b
	return r
}

func (b *bound) String() string {
	if b == nil {
		return ""
	}
	sign := "≤"
	if b.AtLeast {
		sign = "≥"
	}
	text := fmt.Sprintf("%s %g", sign, b.Limit)
	if b.OfRatio {
		text += " ×"
	}
	if !b.Holds {
		text += "  MISSED"
	}
	return text
}

// report is what the command prints.
type report struct {
	CPUs     int       `json:"cpus"`
	Load     string    `json:"load"` // of the machine, at the end
	Accounts []account `json:"accounts"`
}

type account struct {
	Name string `json:"name"`
	Rows []row  `json:"rows"`
}

func newReport() report {
	load, _ := os.ReadFile("/proc/loadavg") // only informative
	return report{CPUs: runtime.NumCPU(), Load: strings.TrimSpace(string(load))}
}

func (r report) print(w io.Writer, format string) error {
	if format == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	fmt.Fprintf(w, "containers on %d CPUs, load %s\n", r.CPUs, r.Load)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, a := range r.Accounts {
		fmt.Fprintf(t, "\n%s\tcontainer\tbare\tratio\tbound\n", a.Name)
		for _, v := range a.Rows {
			bare, ratio := "", ""
			if v.Baseline > 0 {
				bare, ratio = fmt.Sprintf("%.3g %s", v.Baseline, v.Unit), fmt.Sprintf("%.3g ×", v.Ratio)
			}
			fmt.Fprintf(t, "%s\t%.3g %s\t%s\t%s\t%s\n", v.Figure, v.Value, v.Unit, bare, ratio, v.Bound)
		}
	}
	return t.Flush()
}

func median[T cmp.Ordered](samples []T) T {
	s := slices.Sorted(slices.Values(samples))
	return s[len(s)/2]
}
