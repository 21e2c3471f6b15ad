package store

import (
	"context"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

const loggedModelColumns = "m.id, m.uuid, m.exp, m.name, m.type, m.source_run, m.uri, m.status, m.status_message, m.created, m.updated, m.stage"

func scanLoggedModel(scan func(...any) error) (m model.LoggedModel, err error) {
	err = scan(&m.Row, &m.ID, &m.ExperimentID, &m.Name, &m.Type, &m.SourceRun, &m.ArtifactURI, &m.Status, &m.StatusMessage, &m.Created, &m.Updated, &m.Deleted)
	return m, err
}

func (t *tx) loggedModel(namespace, id string, deleted bool) (model.LoggedModel, error) {
	m, err := scanLoggedModel(t.Row("SELECT "+loggedModelColumns+" FROM logged_models m JOIN experiments e ON e.id = m.exp WHERE m.uuid = ? AND e.namespace = ?", id, namespace).Scan)
	if db.IsNoRows(err) || err == nil && m.Deleted && !deleted {
		return m, model.Missing("Logged model with ID '%s' not found.", id)
	}
	return m, err
}

// CreateLoggedModel begins the upload of a model.
func (s *Store) CreateLoggedModel(ctx context.Context, namespace, experiment string, m model.LoggedModel) (model.LoggedModel, error) {
	if err := model.CheckLoggedModelName(m.Name); err != nil {
		return m, err
	}
	m.ID = "m-" + s.o.NewID()
	if m.Name == "" {
		m.Name = randomName(m.ID)
	}
	m.Status = model.ModelPending
	err := s.update(ctx, func(t *tx) error {
		e, err := t.activeExperiment(namespace, experiment)
		if err != nil {
			return err
		}
		m.ExperimentID = e.ID
		m.ArtifactURI = e.ArtifactLocation + "/models/" + m.ID + "/artifacts"
		m.Created, m.Updated = t.now, t.now
		err = t.Row("INSERT INTO logged_models(uuid, exp, name, type, source_run, uri, status, created, updated) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
			m.ID, e.ID, m.Name, m.Type, m.SourceRun, m.ArtifactURI, m.Status, t.now, t.now).Scan(&m.Row)
		if err != nil {
			return err
		}
		if err := t.putModelParams(m.Row, m.Params); err != nil {
			return err
		}
		return t.putModelTags(m.Row, m.Tags)
	})
	return m, err
}

func (t *tx) putModelParams(row int64, params []model.Pair) error {
	for _, p := range params {
		n, err := t.Exec("INSERT INTO logged_model_params(model, key, value) VALUES(?, ?, ?) ON CONFLICT DO NOTHING", row, p.Key, p.Value)
		if err == nil && n == 0 {
			var old string
			if err := t.Row("SELECT value FROM logged_model_params WHERE model = ? AND key = ?", row, p.Key).Scan(&old); err != nil {
				return err
			}
			if old == p.Value {
				continue
			}
			return model.Invalid("Changing param values is not allowed. Param with key='%s' of the model has the value '%s'.", p.Key, model.Cut(old, 100))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) putModelTags(row int64, tags []model.Pair) error {
	for _, g := range tags {
		if _, err := t.Exec("INSERT INTO logged_model_tags(model, key, value) VALUES(?, ?, ?) ON CONFLICT(model, key) DO UPDATE SET value = excluded.value", row, g.Key, g.Value); err != nil {
			return err
		}
	}
	return nil
}

// LoggedModel finds a logged model.
func (s *Store) LoggedModel(ctx context.Context, namespace, id string, deleted bool) (m model.LoggedModel, err error) {
	err = s.view(ctx, func(t *tx) error {
		if m, err = t.loggedModel(namespace, id, deleted); err != nil {
			return err
		}
		return t.fillLoggedModel(&m)
	})
	return m, err
}

func (t *tx) fillLoggedModel(m *model.LoggedModel) (err error) {
	if m.Params, err = t.pairs("SELECT key, value FROM logged_model_params WHERE model = ?", m.Row); err != nil {
		return err
	}
	if m.Tags, err = t.pairs("SELECT key, value FROM logged_model_tags WHERE model = ?", m.Row); err != nil {
		return err
	}
	m.Metrics = nil
	return t.Each(func(r rows) error {
		p := model.Metric{ModelID: m.ID}
		var nan bool
		if err := r.Scan(&p.Key, &p.DatasetName, &p.DatasetDigest, &p.RunUUID, &p.Timestamp, &p.Step, &p.Value, &nan); err != nil {
			return err
		}
		if nan {
			p.Value = notANumber
		}
		m.Metrics = append(m.Metrics, p)
		return nil
	}, "SELECT key, dataset, digest, run, ts, step, value, nan FROM logged_model_metrics WHERE model = ?", m.Row)
}

// changingModel is a logged model that no other copy of the program changes until the commit.
func (t *tx) changingModel(namespace, id string, deleted bool) (model.LoggedModel, error) {
	if err := t.Hold("SELECT id FROM logged_models WHERE uuid = ?", id); err != nil {
		return model.LoggedModel{}, err
	}
	return t.loggedModel(namespace, id, deleted)
}

// changeLoggedModel runs fn on a logged model, also a deleted one, and returns it as it is then.
func (s *Store) changeLoggedModel(ctx context.Context, namespace, id string, fn func(*tx, *model.LoggedModel) error) (m model.LoggedModel, err error) {
	err = s.update(ctx, func(t *tx) error {
		if m, err = t.changingModel(namespace, id, true); err != nil {
			return err
		}
		if err := fn(t, &m); err != nil {
			return err
		}
		if _, err := t.Exec("UPDATE logged_models SET status = ?, stage = ?, updated = ? WHERE id = ?", m.Status, m.Deleted, m.Updated, m.Row); err != nil {
			return err
		}
		return t.fillLoggedModel(&m)
	})
	return m, err
}

// FinalizeLoggedModel says how the upload ended.
func (s *Store) FinalizeLoggedModel(ctx context.Context, namespace, id string, status model.LoggedModelStatus) (model.LoggedModel, error) {
	return s.changeLoggedModel(ctx, namespace, id, func(t *tx, m *model.LoggedModel) error {
		m.Status, m.Updated = status, t.now
		return nil
	})
}

// DeleteLoggedModel hides a logged model.
func (s *Store) DeleteLoggedModel(ctx context.Context, namespace, id string) error {
	_, err := s.changeLoggedModel(ctx, namespace, id, func(t *tx, m *model.LoggedModel) error {
		m.Deleted, m.Updated = true, t.now
		return nil
	})
	return err
}

// LogLoggedModelParams adds params.
func (s *Store) LogLoggedModelParams(ctx context.Context, namespace, id string, params []model.Pair) error {
	if err := model.CheckParams("params", params); err != nil {
		return err
	}
	_, err := s.changeLoggedModel(ctx, namespace, id, func(t *tx, m *model.LoggedModel) error { return t.putModelParams(m.Row, params) })
	return err
}

// SetLoggedModelTags sets tags.
func (s *Store) SetLoggedModelTags(ctx context.Context, namespace, id string, tags []model.Pair) error {
	for _, g := range tags {
		if err := model.CheckRegistryTag(g); err != nil {
			return err
		}
	}
	_, err := s.changeLoggedModel(ctx, namespace, id, func(t *tx, m *model.LoggedModel) error { return t.putModelTags(m.Row, tags) })
	return err
}

// DeleteLoggedModelTag deletes a tag.
func (s *Store) DeleteLoggedModelTag(ctx context.Context, namespace, id, key string) error {
	_, err := s.changeLoggedModel(ctx, namespace, id, func(t *tx, m *model.LoggedModel) error {
		n, err := t.Exec("DELETE FROM logged_model_tags WHERE model = ? AND key = ?", m.Row, key)
		return changed(n, err, model.Missing("No tag with key '%s' found for model with ID '%s'.", key, id))
	})
	return err
}
