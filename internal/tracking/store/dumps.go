package store

import (
	"context"

	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// dumpPage is how many rows one snapshot reads.
const dumpPage = 500

// EachExperiment calls fn for every experiment of all namespaces, the deleted ones too.
func (s *Store) EachExperiment(ctx context.Context, fn func(model.Experiment) error) error {
	var list []model.Experiment
	err := s.view(ctx, func(t *tx) (err error) {
		list = nil
		if err := t.Each(func(r rows) error {
			e, err := scanExperiment(r.Scan)
			list = append(list, e)
			return err
		}, "SELECT "+experimentColumns+" FROM experiments e ORDER BY e.id"); err != nil {
			return err
		}
		for i := range list {
			if list[i].Tags, err = t.experimentTags(list[i].ID); err != nil {
				return err
			}
		}
		return nil
	})
	return each(list, err, fn)
}

func each[T any](list []T, err error, fn func(T) error) error {
	for i := 0; err == nil && i < len(list); i++ {
		err = fn(list[i])
	}
	return err
}

// EachRun calls fn for every run of all namespaces with the time of its deletion.
func (s *Store) EachRun(ctx context.Context, fn func(r model.Run, deletedAt int64) error) error {
	for from := int64(-1); ; {
		var list []model.Run
		more := false // a snapshot holds a bounded number of entries
		deleted := map[string]int64{}
		if err := s.view(ctx, func(t *tx) error {
			list = nil
			if err := t.Each(func(r rows) error {
				var run model.Run
				var at int64
				err := r.Scan(&run.Row, &run.ID, &run.ExperimentID, &run.Deleted, &run.Start, &run.End, &run.Status, &run.Name, &run.User, &run.ArtifactURI, &run.Namespace, &at)
				list = append(list, run)
				deleted[run.ID] = at
				return err
			}, "SELECT "+runColumns+", e.namespace, r.deleted_at FROM runs r JOIN experiments e ON e.id = r.exp WHERE r.id > ? ORDER BY r.id LIMIT ?", from, dumpPage); err != nil {
				return err
			}
			n, err := t.hydrate(list)
			more = n < len(list)
			list = list[:n]
			return err
		}); err != nil {
			return err
		}
		for _, r := range list {
			if err := fn(r, deleted[r.ID]); err != nil {
				return err
			}
			from = r.Row
		}
		if len(list) < dumpPage && !more {
			return nil
		}
	}
}

// EachPoint calls fn for every point of a run, metric by metric, each in the
// order of its history.
func (s *Store) EachPoint(ctx context.Context, run string, fn func(model.Metric) error) error {
	return s.view(ctx, func(t *tx) error {
		names := map[int64]string{}
		if err := t.Each(func(r rows) error {
			var k int64
			var name string
			err := r.Scan(&k, &name)
			names[k] = name
			return err
		}, "SELECT n.id, n.key FROM run_keys n WHERE n.id IN (SELECT l.k FROM run_latest l JOIN runs r ON r.id = l.run WHERE r.uuid = ?)", run); err != nil {
			return err
		}
		return t.Each(func(r rows) error {
			var m model.Metric
			var k int64
			var nan bool
			if err := r.Scan(&k, &m.Timestamp, &m.Step, &m.Value, &nan); err != nil {
				return err
			}
			m.Key = names[k]
			if nan {
				m.Value = notANumber
			}
			return fn(m)
		}, "SELECT m.k, m.ts, m.step, m.value, m.nan FROM run_metrics m WHERE m.run = (SELECT id FROM runs WHERE uuid = ?) ORDER BY m.k, m.ts, m.step, m.value, m.nan", run)
	})
}

// EachLoggedModel calls fn for every logged model, the deleted ones too.
func (s *Store) EachLoggedModel(ctx context.Context, fn func(model.LoggedModel) error) error {
	for from := int64(-1); ; {
		var list []model.LoggedModel
		if err := s.view(ctx, func(t *tx) error {
			list = nil
			if err := t.Each(func(r rows) error {
				m, err := scanLoggedModel(r.Scan)
				list = append(list, m)
				return err
			}, "SELECT "+loggedModelColumns+" FROM logged_models m WHERE m.id > ? ORDER BY m.id LIMIT ?", from, dumpPage); err != nil {
				return err
			}
			for i := range list {
				if err := t.fillLoggedModel(&list[i]); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
		for _, m := range list {
			if err := fn(m); err != nil {
				return err
			}
			from = m.Row
		}
		if len(list) < dumpPage {
			return nil
		}
	}
}

// EachRegistered calls fn for every registered model and prompt with all versions.
func (s *Store) EachRegistered(ctx context.Context, fn func(Registered) error) error {
	var list []Registered
	err := s.view(ctx, func(t *tx) (err error) {
		list = nil
		if err := t.Each(func(r rows) error {
			m, err := scanRegistered(r.Scan)
			list = append(list, Registered{RegisteredModel: m})
			return err
		}, "SELECT "+registeredColumns+" FROM registered_models g ORDER BY g.id"); err != nil {
			return err
		}
		for i := range list {
			m := &list[i]
			if err := t.fillRegistered(&m.RegisteredModel); err != nil {
				return err
			}
			if m.Versions, err = t.versions("WHERE v.model = ? AND v.deleted = 0 ORDER BY v.version", m.Row); err != nil {
				return err
			}
			if err := t.Each(func(r rows) error {
				var n int64
				err := r.Scan(&n)
				m.Gone = append(m.Gone, n)
				return err
			}, "SELECT version FROM model_versions WHERE model = ? AND deleted = 1 ORDER BY version", m.Row); err != nil {
				return err
			}
		}
		return nil
	})
	return each(list, err, fn)
}
