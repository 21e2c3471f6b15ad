package store

import (
	"context"

	db "github.com/kiwerk/kiwerk/internal/store"
)

// Experiments are those that have traces.
func (s *Store) Experiments(ctx context.Context, namespace string) (list []int64, err error) {
	err = s.view(ctx, func(t *tx) error {
		list = nil
		return t.Each(func(r db.Rows) error {
			var experiment int64
			err := r.Scan(&experiment)
			list = append(list, experiment)
			return err
		}, "SELECT DISTINCT exp FROM traces WHERE namespace = ?", namespace)
	})
	return list, err
}

// OfRun finds the traces that a run has made, or that were linked to it, by experiment.
func (s *Store) OfRun(ctx context.Context, namespace, run string) (byExperiment map[int64][]string, err error) {
	err = s.view(ctx, func(t *tx) error {
		byExperiment = map[int64][]string{}
		return t.Each(func(r db.Rows) error {
			var experiment int64
			var id string
			err := r.Scan(&experiment, &id)
			byExperiment[experiment] = append(byExperiment[experiment], id)
			return err
		}, `SELECT t.exp, t.trace_id FROM traces t WHERE t.namespace = ? AND (
			t.id IN (SELECT m.trace FROM trace_metadata m WHERE m.key = 'mlflow.sourceRun' AND m.value = ?)
			OR t.id IN (SELECT l.trace FROM trace_links l WHERE l.kind = 'run' AND l.target = ?))`, namespace, run, run)
	})
	return byExperiment, err
}

// Forget drops what waits for traces of a run that have not come; of every run if run is empty.
func (s *Store) Forget(ctx context.Context, namespace, run string) error {
	return s.update(ctx, func(t *tx) error {
		_, err := t.Exec("DELETE FROM trace_links_ahead WHERE namespace = ? AND (CAST(? AS TEXT) = '' OR run = ?)", namespace, run, run)
		return err
	})
}
