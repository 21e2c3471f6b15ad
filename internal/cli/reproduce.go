package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	pipelineclient "github.com/kiwerk/kiwerk/internal/pipeline/client"
	"github.com/kiwerk/kiwerk/internal/text"
	"github.com/kiwerk/kiwerk/internal/tracking/client"
	"github.com/kiwerk/kiwerk/internal/tracking/lineage"
	"github.com/kiwerk/kiwerk/internal/tracking/workbench"
)

// RunReproduced is what kiwerk runs reproduce prints.
type RunReproduced workbench.Verdict

// Table prints both runs' metrics and what has changed.
func (r *RunReproduced) Table(w io.Writer, p *text.Printer) {
	rows := [][]string{append(p.Labels("METRIC"), r.Original, r.Again, p.Label("SAME"))}
	show := func(v *client.Float) string {
		if v == nil {
			return "–"
		}
		return v.String()
	}
	for _, m := range r.Metrics {
		same := "✗"
		if m.Same {
			same = "✓"
		}
		rows = append(rows, []string{m.Key, show(m.Before), show(m.After), same})
	}
	columns(w, rows)
	if len(r.Changed) > 0 {
		fmt.Fprintln(w)
		(&RunComparison{Runs: []string{r.Original, r.Again}, Rows: r.Changed}).Table(w, p)
	}
	if len(r.Unsure) > 0 {
		words := make([]string, len(r.Unsure))
		for i, u := range r.Unsure {
			words[i] = p.Label(u)
		}
		fmt.Fprintln(w, p.T(text.ReproduceUnsure, strings.Join(words, ", ")))
	}
	key := text.ReproduceDiffers
	if r.Same {
		key = text.ReproduceSame
	}
	fmt.Fprintln(w, p.T(key, r.Original, r.Again))
}

func (s *trackers) reproduceRun() *cobra.Command {
	var tolerance float64
	var timeout time.Duration
	c := &cobra.Command{
		Use: "reproduce RUN", Short: s.T(text.ReproduceShort), Long: s.T(text.ReproduceLong), Args: s.exactly(1), ValidArgsFunction: s.completed(s.runIDs),
		Example: "  kiwerk runs reproduce 4f2a91bc0d6e4a50b8d7c1f2e3a49586\n  kiwerk runs reproduce 4f2a91bc0d6e4a50b8d7c1f2e3a49586 --tolerance 0.01",
	}
	c.RunE = s.asks(func(c *cobra.Command, server *client.Client, args []string) error {
		ctx, cancel := context.WithTimeout(c.Context(), timeout)
		defer cancel()
		v, err := s.reproduce(ctx, server, args[0], tolerance)
		if err != nil {
			return err
		}
		if err := s.print((*RunReproduced)(v)); err != nil {
			return err
		}
		if !v.Same {
			return Exit(ExitFailed)
		}
		return nil
	})
	c.Flags().Float64Var(&tolerance, "tolerance", 0, s.T(text.FlagTolerance))
	c.Flags().DurationVar(&timeout, "timeout", time.Hour, s.T(text.FlagTimeout))
	s.printsData(c)
	return c
}

// reproduce starts the run's workflow again, waits, and compares.
func (s *trackers) reproduce(ctx context.Context, server *client.Client, id string, tolerance float64) (*workbench.Verdict, error) {
	found, err := workbench.FindRun(ctx, server, id)
	if err != nil {
		return nil, err
	}
	id = found.Info.ID
	original := workbench.RunOf(found)
	if missing := workbench.MissingOf(original); len(missing) > 0 {
		var words []string
		for _, m := range missing {
			words = append(words, map[workbench.Missing]string{workbench.MissingWorkflow: workbench.TagWorkflow, workbench.MissingStep: workbench.TagStep}[m])
		}
		return nil, &Failure{What: text.S(text.ReproduceMissing, id, strings.Join(words, ", ")), Why: text.S(text.ReproduceMissingWhy), Try: text.S(text.Verbatim, "kiwerk runs show "+id)}
	}
	project, _, _ := strings.Cut(original.Tags[workbench.TagPod], "/")
	pipelines := pipelineclient.Client{Project: project, Call: func(ctx context.Context, method, path string, body, answer any) error {
		return s.program.Call(ctx, s.session, method, path, body, answer)
	}}
	workflow, err := pipelines.Act(ctx, original.Tags[workbench.TagWorkflow], "resubmit")
	var refused *Failure
	if errors.As(err, &refused) && refused.Code == ExitNotFound {
		return nil, &Failure{Code: ExitNotFound, What: text.S(text.ReproduceGone, original.Tags[workbench.TagWorkflow], project), Cause: err}
	}
	if err != nil {
		return nil, err
	}
	s.say(text.ReproduceStarted, workflow.Name, project)
	if err := s.awaitWorkflow(ctx, pipelines, workflow.Name); err != nil {
		return nil, err
	}
	var candidates []workbench.Run
	query := client.Query{Filter: "tags.`" + lineage.TagWorkflow + "` = " + client.QuoteFilter(workflow.Name)}
	for r, err := range workbench.Runs(ctx, server, map[string]string{original.ExperimentID: ""}, query) {
		if err != nil {
			return nil, err
		}
		candidates = append(candidates, r)
	}
	again, err := workbench.Repeats(original, workflow.Name, candidates)
	if err != nil {
		return nil, &Failure{What: text.S(text.ReproduceNoRun, workflow.Name), Cause: err}
	}
	if err := server.SetTag(ctx, again.ID, client.Pair{Key: workbench.TagReproduces, Value: id}); err != nil {
		return nil, err
	}
	v := workbench.Judge(original, again, tolerance)
	return &v, nil
}

// awaitWorkflow returns when a workflow has succeeded, and tells how far it is on the way.
func (s *trackers) awaitWorkflow(ctx context.Context, pipelines pipelineclient.Client, name string) error {
	tick := time.NewTicker(waitPause)
	defer tick.Stop()
	told := ""
	for {
		d, err := pipelines.Get(ctx, name)
		switch {
		case err != nil && ctx.Err() == nil:
			return err
		case ctx.Err() != nil:
			return &Failure{Code: ExitNotReady, What: text.S(text.ReproduceLate, name), Try: text.S(text.Verbatim, "kiwerk pipeline show "+name+" -n "+pipelines.Project)}
		case d.Phase == string(argo.WorkflowSucceeded):
			return nil
		case argo.WorkflowPhase(d.Phase).Completed():
			return &Failure{What: text.S(text.ReproduceFailed, name, d.Phase), Try: text.S(text.Verbatim, "kiwerk pipeline show "+name+" -n "+pipelines.Project)}
		}
		if d.Progress != told {
			told = d.Progress
			s.say(text.ReproduceProgress, name, told)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// ModelLineage is what kiwerk models lineage prints.
type ModelLineage lineage.Answer

// Table prints each version with what leads to it and where it went.
func (m *ModelLineage) Table(w io.Writer, p *text.Printer) {
	for i, v := range m.Versions {
		if i > 0 {
			fmt.Fprintln(w)
		}
		rows := [][]string{{p.Label("MODEL"), strings.TrimSpace(m.Model + "/" + v.Version + " " + strings.Join(v.Aliases, " "))}}
		rows = append(rows, lineageRun(p, v.Run)...)
		for _, e := range v.Endpoints {
			state := "NotReady"
			if e.Ready {
				state = "Ready"
			}
			rows = append(rows, []string{p.Label("ENDPOINT"), e.Name + " " + e.Model + " " + p.Label(state)})
		}
		columns(w, rows)
	}
}

// lineageRun is what leads to a version; nil is a version that no run has made.
func lineageRun(p *text.Printer, r *lineage.Run) [][]string {
	if r == nil {
		return nil
	}
	name := r.ID + " " + r.Name
	if r.Gone {
		name = r.ID + " " + p.T(text.LineageGone)
	}
	rows := [][]string{{p.Label("RUN"), name}}
	for _, x := range [][]string{
		{p.Label("COMMIT"), r.Commit},
		{p.Label("SOURCE"), r.EntryPoint},
		{p.Label("IMAGE"), strings.TrimSpace(r.Image + " " + r.Digest)},
		{p.Label("WORKFLOW"), strings.TrimSpace(r.Workflow + " " + r.Step)},
	} {
		if x[1] != "" {
			rows = append(rows, x)
		}
	}
	for _, d := range r.Data {
		rows = append(rows, []string{p.Label("DATA"), strings.TrimSpace(d.Name + " " + d.Digest + " " + d.Use)})
	}
	return rows
}

func (s *trackers) modelLineage() *cobra.Command {
	c := &cobra.Command{
		Use: "lineage MODEL", Short: s.T(text.LineageShort), Long: s.T(text.LineageLong), Args: s.exactly(1), ValidArgsFunction: s.completed(s.modelNames),
		Example: "  kiwerk models lineage digits\n  kiwerk models lineage digits@champion -o json",
	}
	c.RunE = s.asks(func(c *cobra.Command, server *client.Client, args []string) error {
		a, err := workbench.Lineage(c.Context(), server, args[0])
		if err != nil {
			return err
		}
		return s.print((*ModelLineage)(&a))
	})
	s.printsData(c)
	return c
}
