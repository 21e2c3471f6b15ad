package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/kiwerk/kiwerk/internal/pipeline/client"
	"github.com/kiwerk/kiwerk/internal/text"
)

// PipelineRuns are what kiwerk pipeline list prints, newest first.
type PipelineRuns struct {
	Items []client.Run `json:"runs"`
}

// PipelineRun is one run in a line.
type PipelineRun client.Run

// PipelineDetails are a run with its steps.
type PipelineDetails client.Details

// took is how long something ran, empty while it has not ended.
func took(p *text.Printer, started, finished *time.Time) string {
	if started == nil || finished == nil {
		return ""
	}
	return p.T(text.Seconds, finished.Sub(*started).Seconds())
}

func runRow(r *client.Run, p *text.Printer) []string {
	return []string{r.Name, r.Template, r.Phase, r.Progress, r.Created.Local().Format(time.DateTime), took(p, r.Started, r.Finished), r.Message}
}

func runHeads(p *text.Printer) []string {
	return p.Labels("NAME", "TEMPLATE", "PHASE", "PROGRESS", "CREATED", "TOOK", "MESSAGE")
}

// Table prints one line per workflow.
func (r *PipelineRuns) Table(w io.Writer, p *text.Printer) {
	rows := [][]string{runHeads(p)}
	for i := range r.Items {
		rows = append(rows, runRow(&r.Items[i], p))
	}
	columns(w, rows)
}

// Table prints the workflow in a line.
func (r *PipelineRun) Table(w io.Writer, p *text.Printer) {
	columns(w, [][]string{runHeads(p), runRow((*client.Run)(r), p)})
}

// Table prints the workflow and its steps.
func (d *PipelineDetails) Table(w io.Writer, p *text.Printer) {
	columns(w, [][]string{runHeads(p), runRow(&d.Run, p)})
	for _, name := range slices.Sorted(maps.Keys(d.Parameters)) {
		fmt.Fprintf(w, "  %s=%s\n", name, d.Parameters[name])
	}
	for _, warning := range d.Warnings {
		fmt.Fprintf(w, "  ! %s\n", warning)
	}
	if len(d.Steps) == 0 {
		return
	}
	fmt.Fprintln(w)
	rows := [][]string{p.Labels("STEP", "PHASE", "TOOK", "OUTPUTS", "MESSAGE")}
	for _, s := range d.Steps {
		outputs := ""
		for _, name := range slices.Sorted(maps.Keys(s.Outputs)) {
			outputs += name + "=" + shorten(s.Outputs[name]) + " "
		}
		rows = append(rows, []string{s.Name, s.Phase, took(p, s.Started, s.Finished), outputs, s.Message})
	}
	columns(w, rows)
}

// shorten keeps a table readable; -o json has the whole value.
func shorten(s string) string {
	const most = 40
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}
