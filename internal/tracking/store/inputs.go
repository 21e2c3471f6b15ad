package store

import (
	"context"
	"slices"

	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// LogInputs notes the data sets and models that a run read.
func (s *Store) LogInputs(ctx context.Context, namespace, id string, datasets []model.DatasetInput, models []string) error {
	if err := model.CheckRunID(id); err != nil {
		return err
	}
	if err := model.CheckDatasets(datasets); err != nil {
		return err
	}
	return s.update(ctx, func(t *tx) error {
		r, err := t.activeRun(namespace, id)
		if err != nil {
			return err
		}
		for _, d := range datasets {
			if err := t.putInput(r, d); err != nil {
				return err
			}
		}
		for _, m := range models {
			if err := t.putModel(r, 0, model.ModelOutput{ModelID: m}); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *tx) putInput(r model.RunInfo, in model.DatasetInput) error {
	d := in.Dataset
	if _, err := t.Exec(`INSERT INTO run_datasets(exp, name, digest, source_type, source, schema, profile) VALUES(?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		r.ExperimentID, d.Name, d.Digest, d.SourceType, d.Source, d.Schema, d.Profile); err != nil {
		return err
	}
	var dataset int64
	if err := t.Row("SELECT id FROM run_datasets WHERE exp = ? AND name = ? AND digest = ?", r.ExperimentID, d.Name, d.Digest).Scan(&dataset); err != nil {
		return err
	}
	n, err := t.Exec("INSERT INTO run_inputs(run, dataset) VALUES(?, ?) ON CONFLICT DO NOTHING", r.Row, dataset)
	if err != nil || n == 0 {
		return err // the first use of a data set by a run is the one that counts
	}
	for _, tag := range in.Tags {
		if _, err := t.Exec("INSERT INTO run_input_tags(run, dataset, key, value) VALUES(?, ?, ?, ?) ON CONFLICT(run, dataset, key) DO UPDATE SET value = excluded.value",
			r.Row, dataset, tag.Key, tag.Value); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) putModel(r model.RunInfo, direction int, m model.ModelOutput) error {
	_, err := t.Exec("INSERT INTO run_models(run, direction, model, step) VALUES(?, ?, ?, ?) ON CONFLICT DO NOTHING", r.Row, direction, m.ModelID, m.Step)
	return err
}

// LogOutputs notes the models that a run made.
func (s *Store) LogOutputs(ctx context.Context, namespace, id string, models []model.ModelOutput) error {
	return s.update(ctx, func(t *tx) error {
		r, err := t.activeRun(namespace, id)
		if err != nil {
			return err
		}
		for _, m := range models {
			if err := t.putModel(r, 1, m); err != nil {
				return err
			}
		}
		return nil
	})
}

// Datasets lists the data sets that runs of experiments read.
func (s *Store) Datasets(ctx context.Context, namespace string, experiments []string) (list []model.DatasetSummary, err error) {
	ids, err := experimentIDs(experiments)
	if err != nil {
		return nil, err
	}
	err = s.view(ctx, func(t *tx) error {
		list = nil
		return t.Each(func(r rows) error {
			var d model.DatasetSummary
			if err := r.Scan(&d.ExperimentID, &d.Name, &d.Digest, &d.Context); err != nil {
				return err
			}
			list = append(list, d)
			return nil
		}, `SELECT DISTINCT d.exp, d.name, d.digest, coalesce(g.value, '') FROM run_datasets d
			JOIN experiments e ON e.id = d.exp
			JOIN run_inputs i ON i.dataset = d.id
			LEFT JOIN run_input_tags g ON g.run = i.run AND g.dataset = i.dataset AND g.key = ?
			WHERE e.namespace = ? AND d.exp IN (??) LIMIT 1000`,
			model.TagContext, namespace, ids)
	})
	return list, err
}

func experimentIDs(list []string) ([]int64, error) {
	ids := make([]int64, 0, len(list))
	for _, s := range list {
		id, err := model.ParseExperimentID(s)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}
