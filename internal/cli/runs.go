package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kiwerk/kiwerk/internal/text"
	"github.com/kiwerk/kiwerk/internal/tracking/client"
	"github.com/kiwerk/kiwerk/internal/tracking/gc"
	"github.com/kiwerk/kiwerk/internal/tracking/workbench"
)

func (t *tree) runs() *cobra.Command {
	parent := &cobra.Command{
		Use: "runs", Short: t.T(text.RunsShort), Long: t.T(text.RunsLong), Args: t.noArguments,
		Example: "  kiwerk runs list --experiment digits\n  kiwerk runs compare 4f2a91bc 91bc0d6e\n  kiwerk runs list --tracking-uri http://mlflow.example.com",
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	s := t.connects(parent)
	parent.AddCommand(s.listRuns(), s.showRun(), s.compareRuns(), s.exportRun(), s.tagRun(), s.deleteRuns(), s.restoreRuns(), s.gcRuns(), s.reproduceRun())
	return parent
}

// defaultLimit keeps a list readable; a person asks for more by --limit.
const defaultLimit = 100

// wanted is which runs kiwerk runs list is asked for.
type wanted struct {
	experiments []string
	client.Query

	deleted bool
}

func (s *trackers) listRuns() *cobra.Command {
	var q wanted
	c := &cobra.Command{
		Use: "list", Short: s.T(text.RunsListShort), Args: s.noArguments,
		Example: "  kiwerk runs list --experiment digits --filter \"metrics.accuracy > 0.9\" --order-by \"metrics.accuracy DESC\"\n  kiwerk runs list --limit 0 -o parquet > runs.parquet",
	}
	c.RunE = s.asks(func(c *cobra.Command, server *client.Client, _ []string) error {
		if q.Max < 0 {
			return usage(text.S(text.UsageFlagInvalid, "limit", strconv.Itoa(q.Max)), c.CommandPath()+" --limit 0")
		}
		if q.deleted {
			q.View = client.DeletedOnly
		}
		list, err := s.findRuns(c.Context(), server, q)
		if err != nil {
			return err
		}
		if list.More {
			s.say(text.RunsMore, len(list.Items))
		}
		return s.printList(list)
	})
	f := c.Flags()
	f.StringArrayVarP(&q.experiments, "experiment", "e", nil, s.T(text.FlagExperiment))
	f.StringVarP(&q.Filter, "filter", "f", "", s.T(text.FlagFilter))
	f.StringArrayVar(&q.OrderBy, "order-by", nil, s.T(text.FlagOrderBy))
	f.IntVar(&q.Max, "limit", defaultLimit, s.T(text.FlagLimit))
	f.BoolVar(&q.deleted, "deleted", false, s.T(text.FlagDeleted))
	s.completes(c, "experiment", s.experimentNames)
	s.printsData(c, tabular...)
	return c
}

func (s *trackers) findRuns(ctx context.Context, server *client.Client, q wanted) (*TrackedRuns, error) {
	experiments, err := workbench.Experiments(ctx, server, q.experiments, client.ActiveOnly)
	if err != nil {
		return nil, err
	}
	limit := q.Max
	if limit > 0 {
		q.Max++ // to know whether there are more
	}
	step, done := s.progress(text.RunsRead)
	defer done()
	list := &TrackedRuns{Items: []workbench.Run{}}
	for r, err := range workbench.Runs(ctx, server, experiments, q.Query) {
		if err != nil {
			return nil, err
		}
		if limit > 0 && len(list.Items) == limit {
			list.More = true
			break
		}
		list.Items = append(list.Items, r)
		step(len(list.Items))
	}
	return list, nil
}

func (s *trackers) showRun() *cobra.Command {
	c := &cobra.Command{
		Use: "show RUN", Short: s.T(text.RunsShowShort), Args: s.exactly(1), ValidArgsFunction: s.completed(s.runIDs),
		Example: "  kiwerk runs show 4f2a91bc0d6e4a50b8d7c1f2e3a49586\n  kiwerk runs show 4f2a91bc0d6e4a50b8d7c1f2e3a49586 -o json",
	}
	c.RunE = s.asksRun(func(c *cobra.Command, server *client.Client, run client.Run) error {
		shown := &TrackedRun{Run: workbench.RunOf(run), Artifacts: []client.File{}}
		e, err := server.Experiment(c.Context(), run.Info.ExperimentID)
		if err != nil {
			return err
		}
		shown.Experiment = e.Name
		files, err := server.List(c.Context(), client.RunFolder(run.Info), "")
		if err != nil && !client.IsNotFound(err) {
			s.say(text.RunsNoFiles, err.Error())
		}
		shown.Artifacts = append(shown.Artifacts, files...)
		if shown.Logged, err = workbench.Logged(c.Context(), server, run); err != nil {
			return err
		}
		return s.print(shown)
	})
	s.printsData(c)
	return c
}

func (s *trackers) compareRuns() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use: "compare RUN OTHER", Short: s.T(text.RunsCompareShort), Long: s.T(text.RunsCompareLong), Args: s.between(2, 20), ValidArgsFunction: s.completed(s.runIDs),
		Example: "  kiwerk runs compare 4f2a91bc 91bc0d6e\n  kiwerk runs compare RUN OTHER --all -o csv",
	}
	c.RunE = s.asks(func(c *cobra.Command, server *client.Client, args []string) error {
		var sides []workbench.Side
		for _, id := range args {
			run, err := workbench.FindRun(c.Context(), server, id)
			if err != nil {
				return err
			}
			packages, err := workbench.Environment(c.Context(), server, run)
			if err != nil {
				s.say(text.RunsNoFiles, err.Error())
			}
			sides = append(sides, workbench.Side{Run: workbench.RunOf(run), Packages: packages})
		}
		compared := RunComparison(workbench.Compare(sides, all))
		if len(compared.Rows) == 0 {
			s.say(text.RunsSame)
		}
		return s.printList(&compared)
	})
	c.Flags().BoolVar(&all, "all", false, s.T(text.FlagAllRows))
	s.printsData(c, tabular...)
	return c
}

func (s *trackers) exportRun() *cobra.Command {
	var to string
	c := &cobra.Command{
		Use: "export RUN", Short: s.T(text.RunsExportShort), Long: s.T(text.RunsExportLong), Args: s.exactly(1), ValidArgsFunction: s.completed(s.runIDs),
		Example: "  kiwerk runs export 4f2a91bc0d6e4a50b8d7c1f2e3a49586\n  kiwerk runs export 4f2a91bc0d6e4a50b8d7c1f2e3a49586 --to run.tar.gz",
	}
	c.RunE = s.asksRun(func(c *cobra.Command, server *client.Client, run client.Run) error {
		target := to
		if target == "" {
			target = run.Info.ID
		}
		var out workbench.Exported
		var err error
		switch ext := filepath.Ext(target); {
		case strings.HasSuffix(target, ".tar.gz") || ext == ".tgz":
			out, err = s.archive(c.Context(), server, run, target)
		case slices.Contains([]string{".zip", ".7z", ".tar", ".gz", ".bz2", ".xz", ".zst"}, ext):
			return usage(text.S(text.RunsArchive, target), "kiwerk runs export "+run.Info.ID+" --to "+strings.TrimSuffix(strings.TrimSuffix(target, ext), ".tar")+".tar.gz")
		default:
			out, err = workbench.Export(c.Context(), server, run, target, s.pulled)
		}
		if err != nil {
			return err
		}
		return s.print((*RunExported)(&out))
	})
	c.Flags().StringVar(&to, "to", "", s.T(text.FlagExportTo))
	s.printsData(c)
	return c
}

// archive is written beside its name first: half an export is none.
func (s *trackers) archive(ctx context.Context, server *client.Client, run client.Run, name string) (out workbench.Exported, err error) {
	f, err := os.Create(name + ".partial")
	if err != nil {
		return out, err
	}
	out, err = workbench.ExportArchive(ctx, server, run, f, s.pulled)
	out.To = name
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return out, errors.Join(err, os.Remove(f.Name()))
	}
	return out, os.Rename(f.Name(), name)
}

func (s *trackers) pulled(p workbench.Pulled) {
	if s.session.Terminal && !s.session.Quiet {
		fmt.Fprintf(s.program.Err, "  %s  %s\n", p.Path, s.session.Text.Bytes(p.Size))
	}
}

func (s *trackers) tagRun() *cobra.Command {
	c := &cobra.Command{
		Use: "tag RUN TAG=VALUE", Short: s.T(text.RunsTagShort), Args: s.between(2, 100),
		Example: "  kiwerk runs tag 4f2a91bc0d6e4a50b8d7c1f2e3a49586 team=vision\n  kiwerk runs tag 4f2a91bc0d6e4a50b8d7c1f2e3a49586 team-",
	}
	c.RunE = s.asks(func(c *cobra.Command, server *client.Client, args []string) error {
		ids, err := workbench.RunIDs(c.Context(), server, args[:1])
		if err != nil {
			return err
		}
		id := ids[0]
		for _, change := range args[1:] {
			key, value, set := strings.Cut(change, "=")
			name, gone := strings.CutSuffix(change, "-")
			var err error
			switch {
			case set && key != "":
				err = server.SetTag(c.Context(), id, client.Pair{Key: key, Value: value})
			case !set && gone && name != "":
				err = server.DeleteTag(c.Context(), id, name)
			default:
				return usage(text.S(text.UsageTag, change), "kiwerk runs tag "+id+" team=vision")
			}
			if err != nil {
				return err
			}
		}
		return s.print(&RunsChanged{Runs: ids, said: text.S(text.RunsTagged, id, id)})
	})
	s.printsData(c)
	return c
}

func (s *trackers) deleteRuns() *cobra.Command {
	var erase, yes bool
	c := &cobra.Command{
		Use: "delete RUN", Short: s.T(text.RunsDeleteShort), Long: s.T(text.RunsDeleteLong), Args: s.between(1, 1000), ValidArgsFunction: s.completed(s.runIDs),
		Example: "  kiwerk runs delete 4f2a91bc0d6e4a50b8d7c1f2e3a49586\n  kiwerk runs delete 4f2a91bc0d6e4a50b8d7c1f2e3a49586 --erase --yes",
	}
	mark := s.asksRuns(func(c *cobra.Command, server *client.Client, ids []string) (text.Sentence, error) {
		for _, id := range ids {
			if err := server.DeleteRun(c.Context(), id); err != nil {
				return text.Sentence{}, err
			}
		}
		return text.S(text.RunsDeleted, len(ids), ids[0]), nil
	})
	c.RunE = func(c *cobra.Command, args []string) error {
		switch {
		case erase && !yes:
			return usage(text.S(text.UsageErase), "kiwerk runs delete "+args[0]+" --erase --yes")
		case erase:
			return s.asks(s.removes(gc.Request{Erase: true}))(c, args)
		}
		return mark(c, args)
	}
	c.Flags().BoolVar(&erase, "erase", false, s.T(text.FlagErase))
	c.Flags().BoolVar(&yes, "yes", false, s.T(text.FlagYes))
	s.printsData(c)
	return c
}

func (s *trackers) restoreRuns() *cobra.Command {
	c := &cobra.Command{
		Use: "restore RUN", Short: s.T(text.RunsRestoreShort), Args: s.between(1, 1000),
		Example: "  kiwerk runs restore 4f2a91bc0d6e4a50b8d7c1f2e3a49586\n  kiwerk runs list --deleted",
	}
	c.RunE = s.asksRuns(func(c *cobra.Command, server *client.Client, ids []string) (text.Sentence, error) {
		for _, id := range ids {
			if err := server.RestoreRun(c.Context(), id); err != nil {
				return text.Sentence{}, err
			}
		}
		return text.S(text.RunsRestored, len(ids), ids[0]), nil
	})
	s.printsData(c)
	return c
}
