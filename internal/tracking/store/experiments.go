package store

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// DefaultExperiment is the name of the experiment with id 0 of each namespace.
const DefaultExperiment = "Default"

func (s *Store) experimentURI(id int64) string {
	return s.o.ArtifactRoot + "/" + strconv.FormatInt(id, 10)
}

const experimentColumns = "e.id, e.namespace, e.name, e.artifact_location, e.stage, e.created, e.updated"

func scanExperiment(scan func(...any) error) (e model.Experiment, err error) {
	err = scan(&e.ID, &e.Namespace, &e.Name, &e.ArtifactLocation, &e.Deleted, &e.Created, &e.Updated)
	return e, err
}

// experiment finds an experiment by the id that a client sent. Id 0 is the
// default experiment of the namespace, whatever its number.
func (t *tx) experiment(namespace, id string) (e model.Experiment, err error) {
	n, err := model.ParseExperimentID(id)
	if err != nil {
		return e, err
	}
	if n == 0 && namespace != t.s.o.DefaultNamespace {
		e, err = scanExperiment(t.Row("SELECT "+experimentColumns+" FROM experiments e WHERE e.namespace = ? AND e.name = ?", namespace, DefaultExperiment).Scan)
	} else {
		e, err = scanExperiment(t.Row("SELECT "+experimentColumns+" FROM experiments e WHERE e.id = ? AND e.namespace = ?", n, namespace).Scan)
	}
	if db.IsNoRows(err) {
		return e, model.Missing("No Experiment with id=%d exists", n)
	}
	return e, err
}

// activeExperiment is one that can be written to. The default experiment of a
// namespace begins to exist when something is written to it.
func (t *tx) activeExperiment(namespace, id string) (model.Experiment, error) {
	e, err := t.experiment(namespace, id)
	if n, _ := model.ParseExperimentID(id); n == 0 && model.IsMissing(err) {
		return t.insertExperiment(namespace, DefaultExperiment, "")
	}
	if err == nil && e.Deleted {
		err = model.Invalid("The experiment %d must be in the 'active' state. Current state is deleted.", e.ID)
	}
	return e, err
}

func (t *tx) insertExperiment(namespace, name, location string) (model.Experiment, error) {
	e := model.Experiment{Namespace: namespace, Name: name, ArtifactLocation: location, Created: t.now, Updated: t.now}
	err := t.Row("INSERT INTO experiments(namespace, name, artifact_location, created, updated) VALUES(?, ?, ?, ?, ?) RETURNING id",
		namespace, name, location, t.now, t.now).Scan(&e.ID)
	if errors.Is(err, db.ErrConflict) {
		return e, model.Exists("Experiment(name=%s) already exists.", name)
	}
	if err != nil || location != "" {
		return e, err
	}
	e.ArtifactLocation = t.s.experimentURI(e.ID)
	_, err = t.Exec("UPDATE experiments SET artifact_location = ? WHERE id = ?", e.ArtifactLocation, e.ID)
	return e, err
}

// CreateExperiment makes an experiment and returns its id.
func (s *Store) CreateExperiment(ctx context.Context, namespace, name, location string, tags []model.Pair) (id int64, err error) {
	if err := model.CheckExperimentName(name); err != nil {
		return 0, err
	}
	location, err = model.ArtifactLocation(location)
	if err != nil {
		return 0, err
	}
	if err := model.CheckArtifactLocation(namespace, s.o.DefaultNamespace, location); err != nil {
		return 0, err
	}
	if err := s.o.Sources.CheckLocation(location); err != nil {
		return 0, err
	}
	if location != "" && s.o.Location != nil {
		if location, err = s.o.Location(location); err != nil {
			return 0, err
		}
	}
	for _, t := range tags {
		if err := model.CheckExperimentTag(t); err != nil {
			return 0, err
		}
	}
	err = s.update(ctx, func(t *tx) error {
		e, err := t.insertExperiment(namespace, name, strings.TrimSuffix(location, "/"))
		if err != nil {
			return err
		}
		id = e.ID
		for _, tag := range tags {
			if err := t.putExperimentTag(id, tag); err != nil {
				return err
			}
		}
		if name == DefaultExperiment {
			return nil // it is nobody's: whoever comes first to a namespace makes it
		}
		return t.owners(func(o Owners) error {
			return o.Made(ctx, t.Tx, model.Owned{Namespace: namespace, Kind: model.OwnedExperiment, ID: strconv.FormatInt(id, 10)})
		})
	})
	return id, err
}

func (t *tx) putExperimentTag(id int64, tag model.Pair) error {
	_, err := t.Exec("INSERT INTO experiment_tags(experiment, key, value) VALUES(?, ?, ?) ON CONFLICT(experiment, key) DO UPDATE SET value = excluded.value", id, tag.Key, tag.Value)
	return err
}

// Experiment finds an experiment by id, also a deleted one.
func (s *Store) Experiment(ctx context.Context, namespace, id string) (e model.Experiment, err error) {
	err = s.view(ctx, func(t *tx) (err error) {
		if e, err = t.experiment(namespace, id); err != nil {
			return err
		}
		e.Tags, err = t.experimentTags(e.ID)
		return err
	})
	return e, err
}

// ExperimentByName finds an experiment by name, also a deleted one.
func (s *Store) ExperimentByName(ctx context.Context, namespace, name string) (e model.Experiment, err error) {
	err = s.view(ctx, func(t *tx) (err error) {
		e, err = scanExperiment(t.Row("SELECT "+experimentColumns+" FROM experiments e WHERE e.namespace = ? AND e.name = ?", namespace, name).Scan)
		if db.IsNoRows(err) {
			return model.Missing("Could not find experiment with name '%s'", name)
		}
		if err != nil {
			return err
		}
		e.Tags, err = t.experimentTags(e.ID)
		return err
	})
	return e, err
}

func (t *tx) experimentTags(id int64) ([]model.Pair, error) {
	return t.pairs("SELECT key, value FROM experiment_tags WHERE experiment = ? ORDER BY key", id)
}

// ExperimentNamespace tells whose an experiment is; an unknown one is nobody's.
func (s *Store) ExperimentNamespace(ctx context.Context, id int64) (namespace string, err error) {
	err = s.view(ctx, func(t *tx) error {
		err := t.Row("SELECT namespace FROM experiments WHERE id = ?", id).Scan(&namespace)
		if db.IsNoRows(err) {
			return nil
		}
		return err
	})
	return namespace, err
}

// ExperimentNamespaces is ExperimentNamespace for many.
func (s *Store) ExperimentNamespaces(ctx context.Context, ids []int64) (map[int64]string, error) {
	out := make(map[int64]string, len(ids))
	err := s.view(ctx, func(t *tx) error {
		for some := range slices.Chunk(ids, 500) {
			err := t.Each(func(r db.Rows) error {
				var id int64
				var namespace string
				err := r.Scan(&id, &namespace)
				out[id] = namespace
				return err
			}, "SELECT id, namespace FROM experiments WHERE id IN (??)", some)
			if err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

// SetExperimentDeleted deletes an experiment with its runs, or restores both.
func (s *Store) SetExperimentDeleted(ctx context.Context, namespace, id string, deleted bool) error {
	return s.update(ctx, func(t *tx) error {
		e, err := t.experiment(namespace, id)
		if err != nil {
			return err
		}
		if e.Deleted == deleted {
			return model.Missing("No Experiment with id=%d exists", e.ID)
		}
		if _, err := t.Exec("UPDATE experiments SET stage = ?, updated = ? WHERE id = ?", deleted, t.now, e.ID); err != nil {
			return err
		}
		at := t.now
		if !deleted {
			at = 0
		}
		_, err = t.Exec("UPDATE runs SET stage = ?, deleted_at = ? WHERE exp = ?", deleted, at, e.ID)
		return err
	})
}

// RenameExperiment gives an active experiment another name.
func (s *Store) RenameExperiment(ctx context.Context, namespace, id, name string) error {
	if err := model.CheckExperimentName(name); err != nil {
		return err
	}
	return s.update(ctx, func(t *tx) error {
		e, err := t.experiment(namespace, id)
		if err != nil {
			return err
		}
		if e.Deleted {
			return model.Invalid("Cannot rename a non-active experiment.")
		}
		_, err = t.Exec("UPDATE experiments SET name = ?, updated = ? WHERE id = ?", name, t.now, e.ID)
		if errors.Is(err, db.ErrConflict) {
			return model.Exists("Experiment(name=%s) already exists.", name)
		}
		return err
	})
}

// SetExperimentTag sets a tag.
func (s *Store) SetExperimentTag(ctx context.Context, namespace, id string, tag model.Pair) error {
	if err := model.CheckExperimentTag(tag); err != nil {
		return err
	}
	return s.update(ctx, func(t *tx) error {
		e, err := t.activeExperiment(namespace, id)
		if err != nil {
			return err
		}
		return t.putExperimentTag(e.ID, tag)
	})
}

// DeleteExperimentTag deletes a tag.
func (s *Store) DeleteExperimentTag(ctx context.Context, namespace, id, key string) error {
	return s.update(ctx, func(t *tx) error {
		e, err := t.activeExperiment(namespace, id)
		if err != nil {
			return err
		}
		n, err := t.Exec("DELETE FROM experiment_tags WHERE experiment = ? AND key = ?", e.ID, key)
		return changed(n, err, model.Missing("No tag with name: %s in experiment with id %d", key, e.ID))
	})
}

// HasContent tells whether a namespace has an experiment, deleted ones too, or a registered model.
func (s *Store) HasContent(ctx context.Context, namespace string) (has bool, err error) {
	err = s.view(ctx, func(t *tx) error {
		var n int64
		err := t.Row(`SELECT (SELECT count(*) FROM experiments WHERE namespace = ?) + (SELECT count(*) FROM registered_models WHERE namespace = ?)`, namespace, namespace).Scan(&n)
		has = n > 0
		return err
	})
	return has, err
}
