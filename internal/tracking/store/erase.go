package store

import (
	"context"
	"strconv"
	"strings"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// Kinds of what is marked as deleted, in the order in which they are removed.
const (
	KindRun         = "run"
	KindLoggedModel = "logged-model"
	KindExperiment  = "experiment"
)

// Doomed is something that is marked as deleted, or lies in such an experiment.
type Doomed struct {
	Kind, ID, ArtifactURI string
	// Since when, in milliseconds.
	Since int64
}

// DoomedQuery chooses among what is marked as deleted.
type DoomedQuery struct {
	// Before bounds the time of deletion; 0 is any.
	Before int64
	// Runs and Experiments are ids; with either, nothing else is found. What
	// is named and not marked as deleted is an error.
	Runs, Experiments []string
	// Made finds what the named runs made and is marked as deleted, too.
	Made bool
	// After is what a former answer ended with.
	After Doomed
	Max   int
}

// doomed is a query of one kind: what lies in a deleted experiment counts from its deletion.
var doomed = []struct{ kind, query string }{
	{KindRun, `SELECT r.uuid, r.uri, CASE WHEN r.stage = 1 AND r.deleted_at > 0 THEN r.deleted_at ELSE e.updated END AS since
		FROM runs r JOIN experiments e ON e.id = r.exp
		WHERE e.namespace = ? AND (r.stage = 1 OR e.stage = 1) AND r.uuid > ?`},
	{KindLoggedModel, `SELECT r.uuid, r.uri, CASE WHEN r.stage = 1 THEN r.updated ELSE e.updated END AS since
		FROM logged_models r JOIN experiments e ON e.id = r.exp
		WHERE e.namespace = ? AND (r.stage = 1 OR e.stage = 1) AND r.uuid > ?`},
	{KindExperiment, `SELECT CAST(e.id AS TEXT) AS uuid, e.artifact_location AS uri, e.updated AS since
		FROM experiments e WHERE e.namespace = ? AND e.stage = 1 AND CAST(e.id AS TEXT) > ?`},
}

// Doomed finds what gc removes: runs, then logged models, then experiments, each in the order of ids.
func (s *Store) Doomed(ctx context.Context, namespace string, q DoomedQuery) (list []Doomed, err error) {
	err = s.view(ctx, func(t *tx) error {
		list = nil
		if err := t.checkDoomed(namespace, q); err != nil {
			return err
		}
		begun := q.After.Kind == ""
		for _, part := range doomed {
			after := ""
			if !begun && part.kind == q.After.Kind {
				begun, after = true, q.After.ID
			}
			if !begun || len(list) >= q.Max {
				continue
			}
			found, err := t.doomedOf(namespace, part.kind, part.query, after, q, q.Max-len(list))
			if err != nil {
				return err
			}
			list = append(list, found...)
		}
		return nil
	})
	return list, err
}

// doomedOf finds what is doomed of one kind.
func (t *tx) doomedOf(namespace, kind, query, after string, q DoomedQuery, most int) (list []Doomed, err error) {
	args := []any{namespace, after}
	if len(q.Runs)+len(q.Experiments) > 0 {
		clause, more := q.named(kind)
		query, args = query+clause, append(args, more...)
	}
	query = "SELECT uuid, uri, since FROM (" + query + ") d"
	if q.Before > 0 {
		query, args = query+" WHERE since <= ?", append(args, q.Before)
	}
	err = t.Each(func(r db.Rows) error {
		d := Doomed{Kind: kind}
		err := r.Scan(&d.ID, &d.ArtifactURI, &d.Since)
		list = append(list, d)
		return err
	}, query+" ORDER BY uuid LIMIT ?", append(args, most)...)
	return list, err
}

// named limits a query to what was asked for by id.
func (q DoomedQuery) named(kind string) (clause string, args []any) {
	in := func(column string, ids []string) string {
		if len(ids) == 0 {
			return "1 = 0"
		}
		for _, id := range ids {
			args = append(args, id)
		}
		return column + " IN (?" + strings.Repeat(", ?", len(ids)-1) + ")"
	}
	if kind == KindRun {
		return " AND (" + in("r.uuid", q.Runs) + " OR e.stage = 1 AND " + in("CAST(e.id AS TEXT)", q.Experiments) + ")", args
	}
	clause = "e.stage = 1 AND " + in("CAST(e.id AS TEXT)", q.Experiments)
	if kind == KindLoggedModel && q.Made {
		clause += " OR r.stage = 1 AND " + in("r.source_run", q.Runs)
	}
	return " AND (" + clause + ")", args
}

func (t *tx) checkDoomed(namespace string, q DoomedQuery) error {
	for _, id := range q.Runs {
		r, err := t.runInfo(namespace, id)
		if model.IsMissing(err) { // removed by a call before
			continue
		}
		if err != nil {
			return err
		}
		e, err := t.experiment(namespace, strconv.FormatInt(r.ExperimentID, 10))
		if err != nil {
			return err
		}
		if !r.Deleted && !e.Deleted {
			return model.Invalid("Run %s is not in the deleted lifecycle stage. Only runs in the deleted lifecycle stage can be removed for good; delete it first.", id)
		}
	}
	for _, id := range q.Experiments {
		e, err := t.experiment(namespace, id)
		if model.IsMissing(err) {
			continue
		}
		if err != nil {
			return err
		}
		if !e.Deleted {
			return model.Invalid("Experiment %s is not in the deleted lifecycle stage. Only experiments in the deleted lifecycle stage can be removed for good; delete it first.", id)
		}
	}
	return nil
}

// eraseChunk is how many points go at once, so that writers do not wait long.
const eraseChunk = 20_000

// EraseRun removes a run that is marked as deleted with all that was logged to
// it. One that does not exist is no error: a call before may have been broken off.
func (s *Store) EraseRun(ctx context.Context, namespace, id string) error {
	for more := true; more; {
		err := s.update(ctx, func(t *tx) error {
			more = false
			r, err := t.runInfo(namespace, id)
			if model.IsMissing(err) {
				return nil
			}
			if err != nil {
				return err
			}
			if err := t.stillDeleted(r); err != nil {
				return err
			}
			if more, err = t.erasePoints(r.Row); err != nil || more {
				return err
			}
			return t.eraseRun(r)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// stillDeleted refuses what somebody has restored meanwhile.
func (t *tx) stillDeleted(r model.RunInfo) error {
	e, err := t.experiment(r.Namespace, strconv.FormatInt(r.ExperimentID, 10))
	if err != nil {
		return err
	}
	if !r.Deleted && !e.Deleted {
		return model.Invalid("Run %s was restored; it is not removed.", r.ID)
	}
	return nil
}

// erasePoints removes a part of the history of one metric; more says that there may be others.
func (t *tx) erasePoints(run int64) (more bool, err error) {
	n, err := t.Exec(`DELETE FROM run_metrics WHERE run = ?
		AND k = (SELECT min(k) FROM run_metrics WHERE run = ?)
		AND ts <= (SELECT max(ts) FROM (SELECT ts FROM run_metrics WHERE run = ? AND k = (SELECT min(k) FROM run_metrics WHERE run = ?) ORDER BY ts LIMIT ?) d)`,
		run, run, run, run, eraseChunk)
	return n > 0, err
}

func (t *tx) eraseRun(r model.RunInfo) error {
	var datasets []int64
	if err := t.Each(func(rows db.Rows) error {
		var d int64
		if err := rows.Scan(&d); err != nil {
			return err
		}
		datasets = append(datasets, d)
		return nil
	}, "SELECT dataset FROM run_inputs WHERE run = ?", r.Row); err != nil {
		return err
	}
	for _, query := range []string{
		"DELETE FROM run_latest WHERE run = ?", "DELETE FROM run_params WHERE run = ?", "DELETE FROM run_tags WHERE run = ?",
		"DELETE FROM run_input_tags WHERE run = ?", "DELETE FROM run_inputs WHERE run = ?", "DELETE FROM run_models WHERE run = ?",
		"DELETE FROM runs WHERE id = ?",
	} {
		if _, err := t.Exec(query, r.Row); err != nil {
			return err
		}
	}
	if _, err := t.Exec("DELETE FROM logged_model_metrics WHERE run = ?", r.ID); err != nil {
		return err
	}
	for _, d := range datasets { // what no other run has read
		if _, err := t.Exec("DELETE FROM run_datasets WHERE id = ? AND NOT EXISTS (SELECT 1 FROM run_inputs WHERE dataset = ?)", d, d); err != nil {
			return err
		}
	}
	return nil
}

// EraseLoggedModel removes a logged model that is marked as deleted, or lies in a deleted experiment.
func (s *Store) EraseLoggedModel(ctx context.Context, namespace, id string) error {
	return s.update(ctx, func(t *tx) error {
		var row int64
		var gone, below bool
		err := t.Row("SELECT m.id, m.stage, e.stage FROM logged_models m JOIN experiments e ON e.id = m.exp WHERE m.uuid = ? AND e.namespace = ?", id, namespace).Scan(&row, &gone, &below)
		if db.IsNoRows(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if !gone && !below {
			return model.Invalid("Logged model %s is not deleted; it is not removed.", id)
		}
		for _, table := range []string{"logged_model_params", "logged_model_tags", "logged_model_metrics"} {
			if _, err := t.Exec("DELETE FROM "+table+" WHERE model = ?", row); err != nil {
				return err
			}
		}
		if _, err := t.Exec("DELETE FROM run_models WHERE model = ?", id); err != nil {
			return err
		}
		_, err = t.Exec("DELETE FROM logged_models WHERE id = ?", row)
		return err
	})
}

// EraseExperiment removes a deleted experiment in which nothing is left; its name is free again.
func (s *Store) EraseExperiment(ctx context.Context, namespace, id string) error {
	return s.update(ctx, func(t *tx) error {
		e, err := t.experiment(namespace, id)
		if model.IsMissing(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if !e.Deleted {
			return model.Invalid("Experiment %s was restored; it is not removed.", id)
		}
		for _, table := range []string{"runs", "logged_models"} {
			var left int64
			if err := t.Row("SELECT count(*) FROM "+table+" WHERE exp = ?", e.ID).Scan(&left); err != nil {
				return err
			}
			if left > 0 {
				return model.Invalid("Experiment %s still has %d entries in %s; it is not removed.", id, left, table)
			}
		}
		for _, query := range []string{"DELETE FROM run_datasets WHERE exp = ?", "DELETE FROM experiment_tags WHERE experiment = ?", "DELETE FROM experiments WHERE id = ?"} {
			if _, err := t.Exec(query, e.ID); err != nil {
				return err
			}
		}
		return nil
	})
}
