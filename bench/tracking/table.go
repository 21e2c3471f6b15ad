package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
)

// row is a line of a table: a value per server and round.
type row struct {
	name, unit string
	// smaller is better: a time, a size.
	smaller bool
	// ratio to mlflow and to FastTrackML that is to be reached, and the bound
	// of the value itself; 0 is none.
	ratio, fasttrackml, bound float64
	values                    map[string][]float64
}

func (r *row) add(server string, v float64) {
	if r.values == nil {
		r.values = map[string][]float64{}
	}
	r.values[server] = append(r.values[server], v)
}

// times tells how many times better the first server is than the other.
func (r *row) times(other string) (float64, bool) {
	ours, theirs := r.values[kiwerk], r.values[other]
	if len(ours) == 0 || len(theirs) == 0 {
		return 0, false
	}
	if r.smaller {
		return median(theirs) / median(ours), true
	}
	return median(ours) / median(theirs), true
}

// verdict is the last column: what was to be reached, and which of it was not.
func (r *row) verdict() string {
	var parts []string
	say := func(ok bool, format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		if !ok {
			text += " NOT REACHED"
		}
		parts = append(parts, text)
	}
	if v, ok := r.times(mlflow); ok && r.ratio > 0 {
		say(v >= r.ratio, "≥ %g×", r.ratio)
	}
	if v, ok := r.times(fasttrackml); ok && r.fasttrackml > 0 {
		say(v >= r.fasttrackml, "≥ %g× fml", r.fasttrackml)
	}
	if ours := r.values[kiwerk]; len(ours) > 0 && r.bound > 0 {
		if r.smaller {
			say(median(ours) <= r.bound, "≤ %g", r.bound)
		} else {
			say(median(ours) >= r.bound, "≥ %g", r.bound)
		}
	}
	return strings.Join(parts, ", ")
}

// print writes a table of what was measured.
func (b *bench) print(title string, rows []*row) {
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\n%s, %s\tunit\t", title, b.engine)
	for _, s := range b.servers {
		fmt.Fprintf(t, "%s\t", s.name)
		if s.name != kiwerk {
			fmt.Fprint(t, "ratio\t")
		}
	}
	fmt.Fprintln(t, "bound")
	for _, r := range rows {
		if len(r.values) == 0 {
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t", r.name, r.unit)
		for _, s := range b.servers {
			if v := r.values[s.name]; len(v) > 0 {
				fmt.Fprintf(t, "%.4g\t", median(v))
			} else {
				fmt.Fprint(t, "–\t")
			}
			if s.name == kiwerk {
				continue
			}
			if x, ok := r.times(s.name); ok {
				fmt.Fprintf(t, "%.3g×\t", x)
			} else {
				fmt.Fprint(t, "\t")
			}
		}
		fmt.Fprintln(t, r.verdict())
	}
	_ = t.Flush() // standard output is gone; there is nobody to tell
}

func median(v []float64) float64 { return quantile(v, 0.5) }

func quantile(v []float64, q float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[min(int(q*float64(len(v))), len(v)-1)]
}
