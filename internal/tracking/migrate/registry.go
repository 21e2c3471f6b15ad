package migrate

import (
	"context"
	"math"
	"slices"
	"strings"

	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/store"
)

// Models implements [Source].
func (d *Database) Models(ctx context.Context, fn func(model.LoggedModel) error) error {
	if !d.has("logged_models") {
		return nil
	}
	var list []model.LoggedModel
	if err := d.query(ctx, `SELECT model_id, experiment_id, name, artifact_location, creation_timestamp_ms, last_updated_timestamp_ms, status,
		coalesce(lifecycle_stage, 'active'), coalesce(model_type, ''), coalesce(source_run_id, ''), coalesce(status_message, '') FROM logged_models ORDER BY model_id`,
		func(scan func(...any) error) error {
			var m model.LoggedModel
			var stage string
			err := scan(&m.ID, &m.ExperimentID, &m.Name, &m.ArtifactURI, &m.Created, &m.Updated, &m.Status, &stage, &m.Type, &m.SourceRun, &m.StatusMessage)
			m.Deleted = stage == "deleted"
			list = append(list, m)
			return err
		}); err != nil {
		return err
	}
	for _, m := range list {
		if err := d.fillModel(ctx, &m); err != nil {
			return err
		}
		if err := fn(m); err != nil {
			return err
		}
	}
	return nil
}

func (d *Database) fillModel(ctx context.Context, m *model.LoggedModel) (err error) {
	if m.Params, err = d.pairs(ctx, "SELECT param_key, param_value FROM logged_model_params WHERE model_id = ? ORDER BY param_key", m.ID); err != nil {
		return err
	}
	if m.Tags, err = d.pairs(ctx, "SELECT tag_key, tag_value FROM logged_model_tags WHERE model_id = ? ORDER BY tag_key", m.ID); err != nil {
		return err
	}
	return d.query(ctx, `SELECT metric_name, metric_timestamp_ms, metric_step, metric_value, run_id, coalesce(dataset_name, ''), coalesce(dataset_digest, '')
		FROM logged_model_metrics WHERE model_id = ? ORDER BY metric_name, metric_timestamp_ms, metric_step`, func(scan func(...any) error) error {
		p := model.Metric{ModelID: m.ID}
		var value *float64 // NaN is stored as NULL on SQLite
		if err := scan(&p.Key, &p.Timestamp, &p.Step, &value, &p.RunUUID, &p.DatasetName, &p.DatasetDigest); err != nil {
			return err
		}
		p.Value = math.NaN()
		if value != nil {
			p.Value = *value
		}
		m.Metrics = append(m.Metrics, p)
		return nil
	}, m.ID)
}

// Registry implements [Source]. Prompts are registered models with a tag.
func (d *Database) Registry(ctx context.Context, fn func(store.Registered) error) error {
	var list []store.Registered
	if err := d.query(ctx, "SELECT name, coalesce(description, ''), coalesce(creation_time, 0), coalesce(last_updated_time, 0), "+
		d.column("registered_models", "workspace", "'default'")+" FROM registered_models ORDER BY name", func(scan func(...any) error) error {
		var m store.Registered
		err := scan(&m.Name, &m.Description, &m.Created, &m.Updated, &m.Namespace)
		list = append(list, m)
		return err
	}); err != nil {
		return err
	}
	for _, m := range list {
		if err := d.fillRegistered(ctx, &m); err != nil {
			return err
		}
		if err := fn(m); err != nil {
			return err
		}
	}
	return nil
}

// owned selects the rows of a table of the registry by the name of the model, and by its workspace where there are some.
func (d *Database) owned(table string, m *store.Registered) (where string, args []any) {
	if len(d.columns[table]) > 0 && d.column(table, "workspace", "") != "" {
		return " WHERE name = ? AND workspace = ?", []any{m.Name, m.Namespace}
	}
	return " WHERE name = ?", []any{m.Name}
}

func (d *Database) fillRegistered(ctx context.Context, m *store.Registered) (err error) {
	where, args := d.owned("registered_model_tags", m)
	if m.Tags, err = d.pairs(ctx, "SELECT key, coalesce(value, '') FROM registered_model_tags"+where+" ORDER BY key", args...); err != nil {
		return err
	}
	if d.has("registered_model_aliases") {
		where, args = d.owned("registered_model_aliases", m)
		if err := d.query(ctx, "SELECT alias, version FROM registered_model_aliases"+where+" ORDER BY alias", func(scan func(...any) error) error {
			var a model.Alias
			err := scan(&a.Name, &a.Version)
			m.Aliases = append(m.Aliases, a)
			return err
		}, args...); err != nil {
			return err
		}
	}
	if err := d.versions(ctx, m); err != nil {
		return err
	}
	// An alias may have stayed behind when its version was deleted: MLflow leaves it, here it would point to nothing.
	m.Aliases = slices.DeleteFunc(m.Aliases, func(a model.Alias) bool {
		return !slices.ContainsFunc(m.Versions, func(v model.ModelVersion) bool { return v.Version == a.Version })
	})
	return nil
}

// versions reads the versions of a model with their tags.
func (d *Database) versions(ctx context.Context, m *store.Registered) (err error) {
	where, args := d.owned("model_versions", m)
	if err := d.query(ctx, `SELECT version, coalesce(creation_time, 0), coalesce(last_updated_time, 0), description, coalesce(user_id, ''), coalesce(current_stage, 'None'),
		coalesce(source, ''), coalesce(run_id, ''), coalesce(run_link, ''), `+d.column("model_versions", "storage_location", "source")+
		" FROM model_versions"+where+" ORDER BY version", func(scan func(...any) error) error {
		v := model.ModelVersion{Name: m.Name}
		var location *string
		if err := scan(&v.Version, &v.Created, &v.Updated, &v.Description, &v.User, &v.Stage, &v.Source, &v.RunID, &v.RunLink, &location); err != nil {
			return err
		}
		if v.StorageLocation = v.Source; location != nil {
			v.StorageLocation = *location
		}
		if id, ok := strings.CutPrefix(v.Source, "models:/m-"); ok {
			v.ModelID = "m-" + id
		}
		if v.Stage == deleted {
			m.Gone = append(m.Gone, v.Version)
		} else {
			m.Versions = append(m.Versions, v)
		}
		return nil
	}, args...); err != nil {
		return err
	}
	where, args = d.owned("model_version_tags", m)
	for i := range m.Versions {
		v := &m.Versions[i]
		if v.Tags, err = d.pairs(ctx, "SELECT key, coalesce(value, '') FROM model_version_tags"+where+" AND version = ? ORDER BY key",
			append(slices.Clone(args), v.Version)...); err != nil {
			return err
		}
	}
	return nil
}
