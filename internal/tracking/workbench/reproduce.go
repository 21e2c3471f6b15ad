package workbench

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/kiwerk/kiwerk/internal/tracking/client"
)

// Missing says what a run lacks to be started again.
type Missing string

// What can be missing.
const (
	MissingWorkflow Missing = "workflow" // the run was not started by a pipeline of the platform
	MissingStep     Missing = "step"
)

// MissingOf names what a run lacks, nothing if it can be started again.
func MissingOf(r Run) []Missing {
	var list []Missing
	if r.Tags[TagWorkflow] == "" {
		list = append(list, MissingWorkflow)
	}
	if r.Tags[TagStep] == "" {
		list = append(list, MissingStep)
	}
	return list
}

// Unsure names what nothing was recorded of, so that a difference there would not be noticed.
func Unsure(r Run) []string {
	list := []string{}
	for tag, what := range map[string]string{
		TagImageDigest: "image", TagGitCommit: "commit", "kiwerk.env.packages.sha256": "environment", TagSeed: "seed",
	} {
		if r.Tags[tag] == "" {
			list = append(list, what)
		}
	}
	if len(r.Datasets) == 0 {
		list = append(list, "data")
	}
	slices.Sort(list)
	return list
}

// Verdict on a run that was started again.
type Verdict struct {
	Original string `json:"original"`
	Again    string `json:"again"`
	Workflow string `json:"workflow"`
	// Same says that every metric came out within the tolerance, and that image, code, environment and data did not change.
	Same    bool     `json:"same"`
	Metrics []Metric `json:"metrics"`
	// Changed are differences of image, code, environment, params or data.
	Changed []Row    `json:"changed"`
	Unsure  []string `json:"not_recorded"`
}

// Metric of both runs.
type Metric struct {
	Key    string        `json:"key"`
	Before *client.Float `json:"before"`
	After  *client.Float `json:"after"`
	Same   bool          `json:"same"`
}

// Judge compares a run with the one that repeats it. The tolerance is relative to the larger value.
func Judge(original, again Run, tolerance float64) Verdict {
	v := Verdict{Original: original.ID, Again: again.ID, Workflow: again.Tags[TagWorkflow], Same: true, Metrics: []Metric{}, Changed: []Row{}, Unsure: Unsure(original)}
	keys := map[string]bool{}
	for _, r := range []Run{original, again} {
		for k := range r.Metrics {
			keys[k] = true
		}
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		m := Metric{Key: k}
		if f, ok := original.Metrics[k]; ok {
			m.Before = &f
		}
		if f, ok := again.Metrics[k]; ok {
			m.After = &f
		}
		m.Same = m.Before != nil && m.After != nil && near(float64(*m.Before), float64(*m.After), tolerance)
		v.Same = v.Same && m.Same
		v.Metrics = append(v.Metrics, m)
	}
	for _, row := range Compare([]Side{{Run: original}, {Run: again}}, false).Rows {
		switch row.Section {
		case SectionParams, SectionCode, SectionEnvironment, SectionData:
			v.Changed = append(v.Changed, row)
			v.Same = false
		}
	}
	return v
}

func near(a, b, tolerance float64) bool {
	if math.IsNaN(a) || math.IsNaN(b) {
		return math.IsNaN(a) && math.IsNaN(b)
	}
	return a == b || math.Abs(a-b) <= tolerance*max(math.Abs(a), math.Abs(b))
}

// Repeats chooses the run of the new workflow that repeats the original: the same step, which begins with the workflow's name.
func Repeats(original Run, workflow string, candidates []Run) (Run, error) {
	step := func(name, of string) string { return name[min(len(of), len(name)):] }
	want := step(original.Tags[TagStep], original.Tags[TagWorkflow])
	var found []Run
	for _, c := range candidates {
		if c.Tags[TagWorkflow] == workflow && step(c.Tags[TagStep], workflow) == want {
			found = append(found, c)
		}
	}
	for _, c := range found { // a step may begin several runs
		if c.Name == original.Name {
			return c, nil
		}
	}
	if len(found) == 0 {
		return Run{}, fmt.Errorf("workflow %s has logged no run in the step %q", workflow, want)
	}
	return found[len(found)-1], nil
}
