package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kiwerk/kiwerk/internal/text"
	"github.com/kiwerk/kiwerk/internal/tracking/client"
)

// ImportOptions of kiwerk tracking import.
type ImportOptions struct {
	Source string
	// Server is the source where Source is an http or https address.
	Server *client.Client
	// To is the database, ArtifactsTo the folder or bucket, as kiwerk tracking serve takes them.
	To, ArtifactsTo string
	// Artifacts is copy or reference.
	Artifacts string
	// ArtifactsFrom is the folder behind mlflow-artifacts: addresses of the source.
	ArtifactsFrom string
	DryRun        bool
}

// Imported is what kiwerk tracking import prints.
type Imported struct {
	Source string         `json:"source"`
	DryRun bool           `json:"dryRun"`
	Same   bool           `json:"same"`
	Lines  []ImportedKind `json:"lines"`
	// Files are those of artifacts.
	Copied    int64    `json:"copied"`
	Bytes     int64    `json:"bytes"`
	Elsewhere int64    `json:"elsewhere"`
	Missing   int64    `json:"missing"`
	Refused   []string `json:"refused,omitempty"`
	// Scorers stay behind, NAME (EXPERIMENT).
	Scorers []string `json:"scorers,omitempty"`
}

// ImportedKind compares how many things of a kind both sides have, and the sums of what they hold.
type ImportedKind struct {
	Kind   string `json:"kind"`
	Source int64  `json:"source"`
	Here   int64  `json:"here"`
	Sum    string `json:"sum"`
	Same   bool   `json:"same"`
	// Unread: the source may have some, but does not tell them.
	Unread bool `json:"unread,omitempty"`
}

// Table implements [Tabler].
func (i *Imported) Table(w io.Writer, p *text.Printer) {
	rows := [][]string{p.Labels("KIND", "SOURCE", "HERE", "SUM", "SAME")}
	for _, l := range i.Lines {
		same := p.T(text.ImportSame)
		if l.Unread {
			rows = append(rows, []string{p.Label(l.Kind), "–", "–", "–", p.T(text.ImportUnread)})
			continue
		}
		switch {
		case i.DryRun:
			same = "–"
		case !l.Same:
			same = p.T(text.ImportDiffers)
		}
		rows = append(rows, []string{p.Label(l.Kind), strconv.FormatInt(l.Source, 10), strconv.FormatInt(l.Here, 10), l.Sum, same})
	}
	columns(w, rows)
	if i.Copied > 0 {
		fmt.Fprintln(w, p.T(text.ImportCopied, i.Copied, p.Bytes(i.Bytes)))
	}
	if i.Missing > 0 {
		fmt.Fprintln(w, p.T(text.ImportMissing, i.Missing))
	}
	if i.Elsewhere > 0 {
		fmt.Fprintln(w, p.T(text.ImportElsewhere, i.Elsewhere))
	}
	for _, r := range i.Refused {
		fmt.Fprintln(w, p.T(text.ImportRefused, r))
	}
	for _, name := range i.Scorers {
		fmt.Fprintln(w, p.T(text.ImportScorer, name))
	}
}

// ExportOptions of kiwerk tracking export.
type ExportOptions struct {
	Dir             string
	From, Artifacts string
	Workspace       string
}

// Exported is what kiwerk tracking export prints.
type Exported struct {
	Dir         string   `json:"dir"`
	Experiments int64    `json:"experiments"`
	Runs        int64    `json:"runs"`
	Points      int64    `json:"points"`
	Models      int64    `json:"models"`
	Traces      int64    `json:"traces"`
	Registered  int64    `json:"registered"`
	Files       int64    `json:"files"`
	Kept        Kept     `json:"kept"`
	Refused     []string `json:"refused,omitempty"`
}

// Kept counts what was there already and was left alone.
type Kept struct {
	Runs   int64 `json:"runs"`
	Models int64 `json:"models"`
	Traces int64 `json:"traces"`
}

// Table implements [Tabler].
func (e *Exported) Table(w io.Writer, p *text.Printer) {
	fmt.Fprintln(w, p.T(text.ExportDone, e.Dir, e.Experiments, e.Runs, e.Points, e.Models, e.Registered, e.Traces, e.Files))
	if e.Kept != (Kept{}) {
		fmt.Fprintln(w, p.T(text.ExportKept, e.Kept.Runs, e.Kept.Models, e.Kept.Traces))
	}
	for _, r := range e.Refused {
		fmt.Fprintln(w, p.T(text.ExportRefused, r))
	}
}

func (t *tree) trackingImport() *cobra.Command {
	var o ImportOptions
	c := &cobra.Command{
		Use: "import SOURCE", Short: t.T(text.ImportShort), Long: t.T(text.ImportLong), Args: t.between(1, 1),
		Example: "  kiwerk tracking import sqlite:///mlflow.db --artifacts-from ./mlartifacts --dry-run\n" +
			"  kiwerk tracking import sqlite:///mlflow.db --artifacts-from ./mlartifacts --to sqlite:///kiwerk.db\n" +
			"  kiwerk tracking import postgresql://mlflow@db/mlflow --artifacts reference --to postgresql://kiwerk@db/kiwerk\n" +
			"  kiwerk tracking import ./mlruns\n" +
			"  kiwerk tracking import sqlite:///kiwerk.db --artifacts reference --to postgresql://kiwerk@db/kiwerk\n" +
			"  kiwerk tracking import https://mlflow.example --to sqlite:///kiwerk.db",
		RunE: func(c *cobra.Command, args []string) error {
			o.Source = args[0]
			if o.Artifacts != "copy" && o.Artifacts != "reference" {
				return usage(text.S(text.ImportArtifactsUsage, o.Artifacts), "kiwerk tracking import "+text.Quote(o.Source)+" --artifacts copy")
			}
			if strings.HasPrefix(o.Source, "http://") || strings.HasPrefix(o.Source, "https://") {
				var err error
				if o.Server, err = (&trackers{tree: t, uri: o.Source}).server(c.Context()); err != nil {
					return err
				}
			}
			r, err := t.program.Tracking.Import(c.Context(), t.session, o)
			if r != nil {
				if printErr := t.print(r); printErr != nil {
					return printErr
				}
			}
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&o.To, "to", "sqlite:///kiwerk.db", t.T(text.FlagImportTo))
	f.StringVar(&o.ArtifactsTo, "artifacts-destination", "./mlartifacts", t.T(text.FlagArtifactsDestination))
	f.StringVar(&o.Artifacts, "artifacts", "copy", t.T(text.FlagImportArtifacts))
	f.StringVar(&o.ArtifactsFrom, "artifacts-from", "", t.T(text.FlagImportFrom))
	f.BoolVar(&o.DryRun, "dry-run", false, t.T(text.FlagImportDryRun))
	t.printsData(c)
	return c
}

func (t *tree) trackingExport() *cobra.Command {
	var o ExportOptions
	c := &cobra.Command{
		Use: "export DIR", Short: t.T(text.ExportShort), Long: t.T(text.ExportLong), Args: t.between(1, 1),
		Example: "  kiwerk tracking export ./mlruns --from sqlite:///kiwerk.db\n  kiwerk tracking export ./mlruns -o json",
		RunE: func(c *cobra.Command, args []string) error {
			o.Dir = args[0]
			r, err := t.program.Tracking.Export(c.Context(), t.session, o)
			if err != nil {
				return err
			}
			return t.print(r)
		},
	}
	f := c.Flags()
	f.StringVar(&o.From, "from", "sqlite:///kiwerk.db", t.T(text.FlagExportFrom))
	f.StringVar(&o.Artifacts, "artifacts-destination", "./mlartifacts", t.T(text.FlagArtifactsDestination))
	f.StringVar(&o.Workspace, "workspace", "default", t.T(text.FlagExportWorkspace))
	t.printsData(c)
	return c
}
