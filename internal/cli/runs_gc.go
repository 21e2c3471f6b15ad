package cli

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kiwerk/kiwerk/internal/text"
	"github.com/kiwerk/kiwerk/internal/tracking/client"
	"github.com/kiwerk/kiwerk/internal/tracking/gc"
	"github.com/kiwerk/kiwerk/internal/tracking/store"
	"github.com/kiwerk/kiwerk/internal/tracking/workbench"
)

// RunsRemoved is what kiwerk runs gc prints.
type RunsRemoved struct {
	Removed []gc.Removed   `json:"removed"`
	Spared  []store.Spared `json:"spared,omitempty"`
	DryRun  bool           `json:"dry_run,omitempty"`
}

// Table prints what is gone, or would be.
func (r *RunsRemoved) Table(w io.Writer, p *text.Printer) {
	if len(r.Removed) > 0 {
		rows := [][]string{p.Labels("KIND", "ID", "ARTIFACTS")}
		for _, x := range r.Removed {
			files := x.Artifacts
			if x.Kept {
				files += " " + p.T(text.RunsKept)
			}
			rows = append(rows, []string{p.Label(x.Kind), x.ID, files})
		}
		columns(w, rows)
	}
	for _, m := range r.Spared {
		fmt.Fprintln(w, p.T(text.RunsSpared, m.ID, strings.Join(m.UsedBy, ", "), m.UsedBy[0]))
	}
	switch {
	case len(r.Removed) == 0:
		fmt.Fprintln(w, p.T(text.RunsNothing))
	case r.DryRun:
		fmt.Fprintln(w, p.T(text.RunsWouldRemove, len(r.Removed)))
	default:
		fmt.Fprintln(w, p.T(text.RunsRemoved, len(r.Removed)))
	}
}

// cleanup is what kiwerk runs gc is asked for.
type cleanup struct {
	gc.Request

	older string
}

func (s *trackers) gcRuns() *cobra.Command {
	var q cleanup
	c := &cobra.Command{
		Use: "gc", Short: s.T(text.RunsGCShort), Long: s.T(text.RunsGCLong), Args: s.noArguments,
		Example: "  kiwerk runs gc --older-than 30d --dry-run\n  kiwerk runs gc --run-ids 4f2a91bc0d6e4a50b8d7c1f2e3a49586",
	}
	c.RunE = s.asks(func(c *cobra.Command, server *client.Client, _ []string) error {
		if q.older != "" {
			d, err := age(q.older)
			if err != nil {
				return usage(text.S(text.UsageFlagInvalid, "older-than", q.older), "kiwerk runs gc --older-than 30d")
			}
			q.OlderThan = int64(d / time.Second)
		}
		return s.removes(q.Request)(c, server, q.Runs)
	})
	f := c.Flags()
	f.StringVar(&q.older, "older-than", "", s.T(text.FlagOlderThan))
	f.StringSliceVar(&q.Runs, "run-ids", nil, s.T(text.FlagRunIDs))
	f.StringSliceVar(&q.Experiments, "experiment-ids", nil, s.T(text.FlagExperimentIDs))
	f.BoolVar(&q.DryRun, "dry-run", false, s.T(text.FlagDryRun))
	s.printsData(c)
	return c
}

// removes is what is done for the named runs, or with none for all that q means.
func (s *trackers) removes(q gc.Request) func(c *cobra.Command, server *client.Client, runs []string) error {
	return func(c *cobra.Command, server *client.Client, runs []string) (err error) {
		if q.Runs, err = workbench.RunIDs(c.Context(), server, runs); err != nil {
			return err
		}
		unknown, err := unknownRuns(c, server, q.Runs)
		if err != nil {
			return err
		}
		list, err := s.removeRuns(c, server, q)
		if err != nil {
			return err
		}
		if len(unknown) == 0 || len(list.Removed) > 0 {
			err = s.print(list)
		}
		if err != nil || len(unknown) == 0 {
			return err
		}
		return &Failure{Code: ExitNotFound, What: text.S(text.RunsUnknown, strings.Join(unknown, ", ")), Try: text.S(text.Verbatim, "kiwerk runs list --deleted")}
	}
}

// unknownRuns are those that the server does not have. They are asked for all
// the same: a call that was broken off may have left something of theirs.
func unknownRuns(c *cobra.Command, server *client.Client, ids []string) (unknown []string, err error) {
	for _, id := range ids {
		if _, err := server.Run(c.Context(), id); client.IsNotFound(err) {
			unknown = append(unknown, id)
		} else if err != nil {
			return nil, err
		}
	}
	return unknown, nil
}

// removeRuns repeats the call until nothing is left. What was removed is told also when a later call fails.
func (s *trackers) removeRuns(c *cobra.Command, server *client.Client, q gc.Request) (*RunsRemoved, error) {
	list := &RunsRemoved{Removed: []gc.Removed{}, DryRun: q.DryRun}
	for {
		var a gc.Answer
		err := server.Do(c.Context(), client.Request{Method: http.MethodPost, Path: gc.Path, Body: q, Reads: true}, &a)
		if client.IsUnknownRoute(err) {
			return nil, &Failure{What: text.S(text.RunsNoGC, server.URI()), Try: text.S(text.Verbatim, "mlflow gc")}
		}
		if err != nil {
			if len(list.Removed) > 0 && !q.DryRun {
				fmt.Fprintln(s.program.Err, s.session.Text.T(text.RunsRemovedSome, len(list.Removed)))
			}
			return nil, err
		}
		list.Removed, list.Spared = append(list.Removed, a.Removed...), a.Spared
		if !a.More || len(a.Removed) == 0 {
			return list, nil
		}
		if q.DryRun {
			q.After = &a.Removed[len(a.Removed)-1]
		}
	}
}

// age reads a duration that may have days: 30d, 1d12h, 90m.
func age(s string) (time.Duration, error) {
	const day = 24 * time.Hour
	days, rest, found := strings.Cut(s, "d")
	if !found {
		return time.ParseDuration(s)
	}
	n, err := strconv.ParseUint(days, 10, 16)
	if err != nil || rest == "" {
		return time.Duration(n) * day, err
	}
	d, err := time.ParseDuration(rest)
	return time.Duration(n)*day + d, err
}
