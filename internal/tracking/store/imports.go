package store

import (
	"context"
	"errors"
	"fmt"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// ErrTaken means that an id or a name of what is imported belongs to something else here.
var ErrTaken = errors.New("belongs to something else here")

// Import writes what another tracking server has, with its ids, times and
// states. All of it can be repeated: what is there already stays as it is.
type Import struct{ t *tx }

// Import runs fn in one transaction.
func (s *Store) Import(ctx context.Context, fn func(Import) error) error {
	return s.update(ctx, func(t *tx) error { return fn(Import{t}) })
}

// Tx is the transaction, for what the importer notes beside.
func (i Import) Tx() *db.Tx { return i.t.Tx }

// Experiment brings an experiment. Number 0, which every database has, takes
// name, place and times of the one that comes, unless it has runs.
func (i Import) Experiment(e model.Experiment) error {
	t := i.t
	if e.ID == 0 {
		if _, err := t.Exec(`UPDATE experiments SET name = ?, artifact_location = ?, stage = ?, created = ?, updated = ?
			WHERE id = 0 AND namespace = ? AND NOT EXISTS(SELECT 1 FROM runs r WHERE r.exp = 0)`,
			e.Name, e.ArtifactLocation, flag(e.Deleted), e.Created, e.Updated, e.Namespace); err != nil {
			return err
		}
	}
	n, err := t.Exec("INSERT INTO experiments(id, namespace, name, artifact_location, stage, created, updated) VALUES(?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
		e.ID, e.Namespace, e.Name, e.ArtifactLocation, flag(e.Deleted), e.Created, e.Updated)
	if err != nil {
		return err
	}
	if n == 0 {
		var namespace, name string
		err := t.Row("SELECT namespace, name FROM experiments WHERE id = ?", e.ID).Scan(&namespace, &name)
		if db.IsNoRows(err) {
			return fmt.Errorf("experiment %d: the name %q %w", e.ID, e.Name, ErrTaken)
		}
		if err != nil {
			return err
		}
		if namespace != e.Namespace || name != e.Name {
			return fmt.Errorf("experiment %d %q: the number %w: experiment %q", e.ID, e.Name, ErrTaken, name)
		}
	}
	for _, g := range e.Tags {
		if err := t.putExperimentTag(e.ID, g); err != nil {
			return err
		}
	}
	return nil
}

// Numbers lets new experiments get numbers above those that were brought.
func (i Import) Numbers() error {
	if i.t.Dialect() != db.Postgres {
		return nil
	}
	var next int64
	return i.t.Row("SELECT setval(pg_get_serial_sequence('experiments', 'id'), greatest(max(id), 1)) FROM experiments").Scan(&next)
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// Run brings a run without its points; r.Row is its number here afterwards.
func (i Import) Run(r *model.Run, deletedAt int64) error {
	t := i.t
	if _, err := t.Exec(`INSERT INTO runs(uuid, exp, stage, start, "end", status, name, "user", uri, deleted_at) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		r.ID, r.ExperimentID, flag(r.Deleted), r.Start, r.End, r.Status, r.Name, r.User, r.ArtifactURI, deletedAt); err != nil {
		return err
	}
	var experiment int64
	if err := t.Row("SELECT id, exp, start FROM runs WHERE uuid = ?", r.ID).Scan(&r.Row, &experiment, &r.Start); err != nil {
		return err
	}
	if experiment != r.ExperimentID {
		return fmt.Errorf("run %s: the id %w: a run of experiment %d", r.ID, ErrTaken, experiment)
	}
	if err := t.putParams(r.RunInfo, r.Params); err != nil {
		return err
	}
	for _, g := range r.Tags {
		if err := t.putPair("run_tags", r.RunInfo, g); err != nil {
			return err
		}
	}
	for _, d := range r.Datasets {
		if err := t.putInput(r.RunInfo, d); err != nil {
			return err
		}
	}
	for _, m := range r.Inputs {
		if err := t.putModel(r.RunInfo, 0, model.ModelOutput{ModelID: m}); err != nil {
			return err
		}
	}
	for _, m := range r.Outputs {
		if err := t.putModel(r.RunInfo, 1, m); err != nil {
			return err
		}
	}
	return nil
}

// Points brings points of a run that [Import.Run] has brought.
func (i Import) Points(r model.RunInfo, points []model.Metric) error {
	return i.t.putMetrics(r, points)
}

// LoggedModel brings a logged model.
func (i Import) LoggedModel(m model.LoggedModel) error {
	t := i.t
	if _, err := t.Exec(`INSERT INTO logged_models(uuid, exp, name, type, source_run, uri, status, status_message, created, updated, stage)
		VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		m.ID, m.ExperimentID, m.Name, m.Type, m.SourceRun, m.ArtifactURI, m.Status, m.StatusMessage, m.Created, m.Updated, flag(m.Deleted)); err != nil {
		return err
	}
	if err := t.Row("SELECT id FROM logged_models WHERE uuid = ?", m.ID).Scan(&m.Row); err != nil {
		return err
	}
	for _, p := range m.Params {
		if _, err := t.Exec("INSERT INTO logged_model_params(model, key, value) VALUES(?, ?, ?) ON CONFLICT DO NOTHING", m.Row, p.Key, p.Value); err != nil {
			return err
		}
	}
	if err := t.putModelTags(m.Row, m.Tags); err != nil {
		return err
	}
	for _, p := range m.Metrics {
		value, nan := model.Sanitize(p.Value)
		if _, err := t.Exec(`INSERT INTO logged_model_metrics(model, key, dataset, digest, run, ts, step, value, nan) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			m.Row, p.Key, p.DatasetName, p.DatasetDigest, p.RunUUID, p.Timestamp, p.Step, value, flag(nan)); err != nil {
			return err
		}
	}
	return nil
}

// Registered is a registered model with all versions, the deleted ones too,
// whose numbers are not given again.
type Registered struct {
	model.RegisteredModel
	Versions []model.ModelVersion
	Gone     []int64 // numbers of deleted versions
}

// Registered brings a registered model.
func (i Import) Registered(m Registered) error {
	t := i.t
	if _, err := t.Exec("INSERT INTO registered_models(namespace, name, description, created, updated) VALUES(?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
		m.Namespace, m.Name, m.Description, m.Created, m.Updated); err != nil {
		return err
	}
	if err := t.Row("SELECT id FROM registered_models WHERE namespace = ? AND name = ?", m.Namespace, m.Name).Scan(&m.Row); err != nil {
		return err
	}
	for _, g := range m.Tags {
		if err := t.putRegisteredTag(m.Row, g); err != nil {
			return err
		}
	}
	for _, v := range m.Versions {
		if err := i.version(m.Row, v, false); err != nil {
			return err
		}
	}
	for _, n := range m.Gone {
		if err := i.version(m.Row, model.ModelVersion{Version: n, Stage: "None"}, true); err != nil {
			return err
		}
	}
	for _, a := range m.Aliases {
		if _, err := t.Exec("INSERT INTO model_aliases(model, alias, version) VALUES(?, ?, ?) ON CONFLICT DO NOTHING", m.Row, a.Name, a.Version); err != nil {
			return err
		}
	}
	return nil
}

func (i Import) version(row int64, v model.ModelVersion, gone bool) error {
	t := i.t
	if _, err := t.Exec(`INSERT INTO model_versions(model, version, created, updated, "user", stage, description, source, storage_location, run_id, run_link, model_id, deleted)
		VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		row, v.Version, v.Created, v.Updated, v.User, v.Stage, v.Description, v.Source, v.StorageLocation, v.RunID, v.RunLink, v.ModelID, flag(gone)); err != nil {
		return err
	}
	var id int64
	if err := t.Row("SELECT id FROM model_versions WHERE model = ? AND version = ?", row, v.Version).Scan(&id); err != nil {
		return err
	}
	for _, g := range v.Tags {
		if err := t.putVersionTag(id, g); err != nil {
			return err
		}
	}
	return nil
}
