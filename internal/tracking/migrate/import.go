package migrate

import (
	"context"
	"embed"
	"errors"
	"fmt"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/client"
	"github.com/kiwerk/kiwerk/internal/tracking/genai"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/store"
	traces "github.com/kiwerk/kiwerk/internal/tracking/traces/store"
)

//go:embed migrations
var migrations embed.FS

// Migrations is where imports note how far they are.
func Migrations() db.Migrations { return db.Migrations{Owner: "tracking-imports", FS: migrations} }

// batch is how many points go into one transaction, or how many runs.
const (
	batchPoints = 50_000
	batchRuns   = 500
)

// ImportOptions of one import. Name, Source, DB and Store are required.
type ImportOptions struct {
	// Name is the source's address without secrets: an import of the same one goes on.
	Name   string
	Source Source
	DB     *db.Store
	Store  *store.Store
	// Traces takes the traces; nil leaves them behind.
	Traces *traces.Store
	// Artifacts brings the files; nil leaves them where they are.
	Artifacts *Artifacts
	// DryRun reads and counts only.
	DryRun bool
	// Progress hears of every batch that is on the disk; nil is nobody.
	Progress func(runs, points, traces int64)
}

type importer struct {
	ImportOptions
	done map[string]bool
	// waiting are runs for the next transaction.
	waiting []*Run
	points  [][]model.Metric
	size    int
	// all that was brought, for Progress.
	runs, total, traced int64
	report              *Report
}

// Import brings what the source has and compares both sides.
func Import(ctx context.Context, o ImportOptions) (*Report, error) {
	i := &importer{ImportOptions: o, done: map[string]bool{}, report: &Report{Source: o.Name, DryRun: o.DryRun}}
	i.report.Artifacts.Mode = "reference"
	if o.Artifacts != nil {
		i.report.Artifacts.Mode = "copy"
	}
	if o.DryRun {
		s, err := take(ctx, o.Source, newOnly(), true)
		if err == nil {
			i.report.Lines = linesOf(o.Source, s, nil)
		}
		return i.report, err
	}
	for _, m := range []db.Migrations{Migrations(), genai.Migrations()} {
		if err := o.DB.Migrate(ctx, m); err != nil {
			return i.report, err
		}
	}
	for _, step := range []func(context.Context) error{i.before, i.experiments, i.allRuns, i.models, i.registry, i.allTraces, i.evaluation, i.compare} {
		if err := step(ctx); err != nil {
			return i.report, err
		}
	}
	return i.report, nil
}

func (i *importer) before(ctx context.Context) error {
	return i.DB.View(ctx, func(t *db.Tx) error {
		clear(i.done)
		return t.Each(func(r db.Rows) error {
			var unit string
			err := r.Scan(&unit)
			i.done[unit] = true
			return err
		}, "SELECT unit FROM tracking_imports WHERE source = ?", i.Name)
	})
}

func (i *importer) note(in store.Import, unit string) error {
	_, err := in.Tx().Exec("INSERT INTO tracking_imports(source, unit) VALUES(?, ?) ON CONFLICT DO NOTHING", i.Name, unit)
	return err
}

func (i *importer) experiments(ctx context.Context) error {
	return i.Store.Import(ctx, func(in store.Import) error {
		if err := i.Source.Experiments(ctx, func(e model.Experiment) error {
			unit := fmt.Sprintf("experiment %d", e.ID)
			if i.done[unit] {
				return nil
			}
			e.ArtifactLocation = i.Artifacts.address(e.ArtifactLocation, fmt.Sprint(e.ID))
			if err := in.Experiment(e); err != nil {
				return err
			}
			return i.note(in, unit)
		}); err != nil {
			return err
		}
		return in.Numbers()
	})
}

func (i *importer) allRuns(ctx context.Context) error {
	if err := i.Source.Runs(ctx, func(r Run) error {
		if i.done["run "+r.ID] {
			return nil
		}
		folder := fmt.Sprintf("%d/%s/artifacts", r.ExperimentID, r.ID)
		if err := i.Artifacts.bring(ctx, client.Folder{URI: r.ArtifactURI, Run: r.ID}, folder, &i.report.Artifacts); err != nil {
			return fmt.Errorf("artifacts of run %s: %w", r.ID, err)
		}
		r.ArtifactURI = i.Artifacts.address(r.ArtifactURI, folder)
		return i.add(ctx, r)
	}); err != nil {
		return err
	}
	return i.flush(ctx, true)
}

// add reads the points of a run; a long history is written in pieces, of which
// the last one notes the run as done.
func (i *importer) add(ctx context.Context, r Run) error {
	i.waiting, i.points = append(i.waiting, &r), append(i.points, nil)
	if err := i.Source.Points(ctx, r.ID, func(m model.Metric) error {
		last := len(i.points) - 1
		i.points[last] = append(i.points[last], m)
		if i.size++; i.size < batchPoints {
			return nil
		}
		if err := i.flush(ctx, false); err != nil {
			return err
		}
		i.waiting, i.points = append(i.waiting, &r), append(i.points, nil)
		return nil
	}); err != nil {
		return err
	}
	if len(i.waiting) >= batchRuns {
		return i.flush(ctx, true)
	}
	return nil
}

// flush writes what is waiting; whole says that the last run is complete.
func (i *importer) flush(ctx context.Context, whole bool) error {
	if len(i.waiting) == 0 {
		return nil
	}
	if err := i.Store.Import(ctx, func(in store.Import) error {
		for n, r := range i.waiting {
			if err := in.Run(&r.Run, r.DeletedAt); err != nil {
				return err
			}
			if err := in.Points(r.RunInfo, i.points[n]); err != nil {
				return fmt.Errorf("metrics of run %s: %w", r.ID, err)
			}
			if !whole && n == len(i.waiting)-1 {
				break
			}
			if err := i.note(in, "run "+r.ID); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	i.runs, i.total = i.runs+int64(len(i.waiting)), i.total+int64(i.size)
	if !whole {
		i.runs--
	}
	i.waiting, i.points, i.size = i.waiting[:0], i.points[:0], 0
	i.told()
	return nil
}

func (i *importer) told() {
	if i.Progress != nil {
		i.Progress(i.runs, i.total, i.traced)
	}
}

func (i *importer) models(ctx context.Context) error {
	return i.Source.Models(ctx, func(m model.LoggedModel) error {
		if i.done["model "+m.ID] {
			return nil
		}
		folder := fmt.Sprintf("%d/models/%s/artifacts", m.ExperimentID, m.ID)
		if err := i.Artifacts.bring(ctx, client.Folder{URI: m.ArtifactURI, Model: m.ID}, folder, &i.report.Artifacts); err != nil {
			return fmt.Errorf("artifacts of model %s: %w", m.ID, err)
		}
		m.ArtifactURI = i.Artifacts.address(m.ArtifactURI, folder)
		return i.Store.Import(ctx, func(in store.Import) error {
			return errors.Join(in.LoggedModel(m), i.note(in, "model "+m.ID))
		})
	})
}

func (i *importer) registry(ctx context.Context) error {
	return i.Source.Registry(ctx, func(m store.Registered) error {
		unit := "registered " + m.Namespace + "/" + m.Name
		if i.done[unit] {
			return nil
		}
		for n := range m.Versions {
			v := &m.Versions[n]
			v.Source, v.StorageLocation = i.Artifacts.moved(v.Source), i.Artifacts.moved(v.StorageLocation)
		}
		return i.Store.Import(ctx, func(in store.Import) error {
			return errors.Join(in.Registered(m), i.note(in, unit))
		})
	})
}

func (i *importer) compare(ctx context.Context) error {
	o := newOnly()
	source, err := take(ctx, i.Source, o, true)
	if err != nil {
		return err
	}
	ours, err := take(ctx, here{kiwerk{i.Store}, i.DB, i.Traces}, o, false)
	if err != nil {
		return err
	}
	i.report.Lines = linesOf(i.Source, source, ours)
	return nil
}
