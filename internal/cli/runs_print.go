package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/kiwerk/kiwerk/internal/text"
	"github.com/kiwerk/kiwerk/internal/tracking/client"
	"github.com/kiwerk/kiwerk/internal/tracking/workbench"
)

// TrackedRuns are what kiwerk runs list prints.
type TrackedRuns struct {
	Items []workbench.Run `json:"runs"`
	// More says that the limit left some out.
	More bool `json:"more,omitempty"`
}

func lasted(p *text.Printer, r *workbench.Run) string { return took(p, r.Start, r.End) }

// few metrics make a table readable.
const few = 4

func metricCells(m map[string]client.Float, most int) string {
	var list []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if len(list) == most {
			list = append(list, "…")
			break
		}
		list = append(list, k+"="+number(float64(m[k])))
	}
	return strings.Join(list, " ")
}

// Table prints one line per run.
func (r *TrackedRuns) Table(w io.Writer, p *text.Printer) {
	rows := [][]string{p.Labels("RUN", "NAME", "EXPERIMENT", "STATUS", "STARTED", "TOOK", "METRICS")}
	for i := range r.Items {
		v := &r.Items[i]
		rows = append(rows, []string{v.ID, v.Name, v.Experiment, v.Status, since(v.Start), lasted(p, v), metricCells(v.Metrics, few)})
	}
	columns(w, rows)
}

func (r *TrackedRuns) wide(w io.Writer, p *text.Printer) {
	rows := [][]string{p.Labels("RUN", "NAME", "EXPERIMENT", "STATUS", "STARTED", "TOOK", "USER", "SOURCE", "COMMIT", "METRICS", "PARAMS")}
	for i := range r.Items {
		v := &r.Items[i]
		var params []string
		for _, k := range slices.Sorted(maps.Keys(v.Params)) {
			params = append(params, k+"="+shorten(v.Params[k]))
		}
		rows = append(rows, []string{
			v.ID, v.Name, v.Experiment, v.Status, since(v.Start), lasted(p, v), v.User, v.Tags["mlflow.source.name"], v.Tags[workbench.TagGitCommit],
			metricCells(v.Metrics, len(v.Metrics)), strings.Join(params, " "),
		})
	}
	columns(w, rows)
}

// records have the columns of the client's data frame of runs.
func (r *TrackedRuns) records() (first []string, rows []record) {
	first = []string{"run_id", "run_name", "experiment_id", "experiment", "status", "start_time", "end_time", "user", "artifact_uri", "lifecycle_stage"}
	for i := range r.Items {
		v := &r.Items[i]
		row := record{
			"run_id": v.ID, "run_name": v.Name, "experiment_id": v.ExperimentID, "experiment": v.Experiment, "status": v.Status, "user": v.User,
			"artifact_uri": v.ArtifactURI, "lifecycle_stage": v.Stage,
		}
		if v.Start != nil {
			row["start_time"] = *v.Start
		}
		if v.End != nil {
			row["end_time"] = *v.End
		}
		for k, m := range v.Metrics {
			row["metrics."+k] = float64(m)
		}
		for k, s := range v.Params {
			row["params."+k] = s
		}
		for k, s := range v.Tags {
			row["tags."+k] = s
		}
		rows = append(rows, row)
	}
	return first, rows
}

// TrackedRun is what kiwerk runs show prints.
type TrackedRun struct {
	workbench.Run

	Artifacts []client.File `json:"artifacts"`
	// Logged are the models that the run made, but for those that were deleted since.
	Logged []client.LoggedModel `json:"logged_models,omitempty"`
}

// Table prints a run with what was logged to it.
func (r *TrackedRun) Table(w io.Writer, p *text.Printer) {
	columns(w, [][]string{
		{p.Label("RUN"), r.ID},
		{p.Label("NAME"), r.Name},
		{p.Label("EXPERIMENT"), r.Experiment},
		{p.Label("STATUS"), strings.TrimSpace(r.Status + " " + strings.TrimPrefix(r.Stage, client.Active))},
		{p.Label("STARTED"), since(r.Start)},
		{p.Label("TOOK"), lasted(p, &r.Run)},
		{p.Label("USER"), r.User},
		{p.Label("ARTIFACTS"), r.ArtifactURI},
	})
	var rows [][]string
	for _, k := range slices.Sorted(maps.Keys(r.Metrics)) {
		rows = append(rows, []string{"  " + k, number(float64(r.Metrics[k]))})
	}
	section(w, p.Label("METRICS"), rows)
	section(w, p.Label("PARAMS"), pairRows(r.Params))
	section(w, p.Label("TAGS"), pairRows(r.Tags))
	rows = nil
	for _, d := range r.Datasets {
		rows = append(rows, []string{"  " + d.Dataset.Name, d.Dataset.Digest, d.Dataset.SourceType})
	}
	section(w, p.Label("DATA"), rows)
	rows = nil
	for _, m := range r.Logged {
		rows = append(rows, []string{"  " + m.Info.ID, m.Info.Name, strings.TrimPrefix(m.Info.Status, "LOGGED_MODEL_")})
	}
	section(w, p.Label("MODELS"), rows)
	rows = nil
	for _, f := range r.Artifacts {
		size := "/"
		if !f.Folder {
			size = p.Bytes(int64(f.Size))
		}
		rows = append(rows, []string{"  " + f.Path, size})
	}
	section(w, p.Label("FILES"), rows)
}

// section is a table under a head, nothing where it has no rows.
func section(w io.Writer, label string, rows [][]string) {
	if len(rows) > 0 {
		fmt.Fprintf(w, "\n%s\n", label)
		columns(w, rows)
	}
}

func pairRows(m map[string]string) [][]string {
	var rows [][]string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		rows = append(rows, []string{"  " + k, shorten(strings.ReplaceAll(m[k], "\n", " "))})
	}
	return rows
}

// RunComparison is what kiwerk runs compare prints.
type RunComparison workbench.Comparison

// Table prints what differs, in sections.
func (r *RunComparison) Table(w io.Writer, p *text.Printer) { r.table(w, p, shorten) }

func (r *RunComparison) wide(w io.Writer, p *text.Printer) {
	r.table(w, p, func(s string) string { return s })
}

func (r *RunComparison) table(w io.Writer, p *text.Printer, cut func(string) string) {
	rows := [][]string{append(append(p.Labels("WHAT", "KEY"), r.Runs...), p.Label("DELTA"))}
	last := ""
	for _, v := range r.Rows {
		name := ""
		if v.Section != last {
			last = v.Section
			name = p.Label(last)
		}
		key := v.Key
		if v.Section == workbench.SectionRun { // other keys are names that people gave
			key = p.Label(key)
		}
		row := []string{name, key}
		for _, value := range v.Values {
			s := "–"
			if value != nil {
				s = cut(strings.ReplaceAll(*value, "\n", " "))
				var seconds float64
				if _, err := fmt.Sscanf(s, "%f s", &seconds); err == nil && v.Section == workbench.SectionRun && v.Key == "duration" {
					s = p.T(text.Seconds, seconds)
				}
			}
			row = append(row, s)
		}
		delta := ""
		if v.Delta != nil {
			delta = fmt.Sprintf("%+.6g", float64(*v.Delta))
		}
		rows = append(rows, append(row, delta))
	}
	columns(w, rows)
}

func (r *RunComparison) records() (first []string, rows []record) {
	first = append([]string{"section", "key"}, r.Runs...)
	for _, v := range r.Rows {
		row := record{"section": v.Section, "key": v.Key}
		for i, value := range v.Values {
			if value != nil {
				row[r.Runs[i]] = *value
			}
		}
		if v.Delta != nil {
			row["delta"] = float64(*v.Delta)
		}
		rows = append(rows, row)
	}
	return first, rows
}

// RunsChanged are the runs that a command was about.
type RunsChanged struct {
	Runs []string `json:"runs"`
	said text.Sentence
}

// Table says what was done and what comes next.
func (r *RunsChanged) Table(w io.Writer, p *text.Printer) { fmt.Fprintln(w, r.said.In(p)) }

// RunExported is what kiwerk runs export prints.
type RunExported workbench.Exported

// Table says what was written.
func (r *RunExported) Table(w io.Writer, p *text.Printer) {
	fmt.Fprintln(w, p.T(text.RunExported, r.Run, r.To, r.Files, p.Bytes(r.Bytes), r.Models, r.Traces))
}
