package store

import (
	"context"
	"errors"
	"strings"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

const registeredColumns = "g.id, g.namespace, g.name, g.description, g.created, g.updated"

func scanRegistered(scan func(...any) error) (m model.RegisteredModel, err error) {
	err = scan(&m.Row, &m.Namespace, &m.Name, &m.Description, &m.Created, &m.Updated)
	return m, err
}

func (t *tx) registered(namespace, name string) (m model.RegisteredModel, err error) {
	if err := model.CheckModelName("name", name); err != nil {
		return m, err
	}
	m, err = scanRegistered(t.Row("SELECT "+registeredColumns+" FROM registered_models g WHERE g.namespace = ? AND g.name = ?", namespace, name).Scan)
	if db.IsNoRows(err) {
		return m, model.Missing("Registered Model with name=%s not found", name)
	}
	return m, err
}

// fillRegistered adds tags, aliases and the newest version of each stage.
func (t *tx) fillRegistered(m *model.RegisteredModel) (err error) {
	if m.Tags, err = t.pairs("SELECT key, value FROM registered_model_tags WHERE model = ?", m.Row); err != nil {
		return err
	}
	m.Aliases = nil
	err = t.Each(func(r rows) error {
		var a model.Alias
		if err := r.Scan(&a.Name, &a.Version); err != nil {
			return err
		}
		m.Aliases = append(m.Aliases, a)
		return nil
	}, "SELECT alias, version FROM model_aliases WHERE model = ? ORDER BY alias", m.Row)
	if err != nil {
		return err
	}
	m.Latest, err = t.versions(`WHERE v.model = ? AND v.deleted = 0 AND v.version = (
		SELECT max(o.version) FROM model_versions o WHERE o.model = v.model AND o.stage = v.stage AND o.deleted = 0)
		ORDER BY (SELECT min(o.version) FROM model_versions o WHERE o.model = v.model AND o.stage = v.stage AND o.deleted = 0)`, m.Row)
	return err
}

// CreateRegisteredModel makes a name in the registry.
func (s *Store) CreateRegisteredModel(ctx context.Context, namespace, name, description string, tags []model.Pair) (m model.RegisteredModel, err error) {
	if err := model.CheckModelName("name", name); err != nil {
		return m, err
	}
	for _, g := range tags {
		if err := model.CheckRegistryTag(g); err != nil {
			return m, err
		}
	}
	err = s.update(ctx, func(t *tx) error {
		m = model.RegisteredModel{Namespace: namespace, Name: name, Description: description, Created: t.now, Updated: t.now}
		err := t.Row("INSERT INTO registered_models(namespace, name, description, created, updated) VALUES(?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id",
			namespace, name, description, t.now, t.now).Scan(&m.Row)
		if db.IsNoRows(err) {
			return t.nameTaken(namespace, name, model.IsPrompt(tags))
		}
		if err != nil {
			return err
		}
		for _, g := range tags {
			if err := t.putRegisteredTag(m.Row, g); err != nil {
				return err
			}
		}
		if err := t.fillRegistered(&m); err != nil {
			return err
		}
		if err := t.owners(func(o Owners) error { return o.Made(ctx, t.Tx, ownedModel(m)) }); err != nil {
			return err
		}
		e := model.Event{Namespace: namespace, Entity: "registered_model", Action: model.Created, Name: name, Description: &description, Tags: tags}
		if model.IsPrompt(tags) {
			e.Entity = "prompt"
		}
		return t.tell(e)
	})
	return m, err
}

// nameTaken says what has the name that a new model or prompt was to have.
func (t *tx) nameTaken(namespace, name string, prompt bool) error {
	m, err := t.registered(namespace, name)
	if err != nil {
		return err
	}
	old, err := t.isPrompt(m.Row)
	switch {
	case err != nil:
		return err
	case old && prompt:
		return model.Exists("Prompt (name=%s) already exists.", name)
	case old:
		return model.Exists("Tried to create a registered model with name '%s', but the name is already taken by a prompt. Choose another: models and prompts share their names.", name)
	case prompt:
		return model.Exists("Tried to create a prompt with name '%s', but the name is already taken by a registered model. Choose another: models and prompts share their names.", name)
	}
	return model.Exists("Registered Model (name=%s) already exists.", name)
}

func (t *tx) isPrompt(row int64) (prompt bool, err error) {
	err = t.Row("SELECT EXISTS(SELECT 1 FROM registered_model_tags WHERE model = ? AND key = ? AND lower(value) = 'true')", row, model.PromptTag).Scan(&prompt)
	return prompt, err
}

// tellOf records a change of something below a model, which has another name if that is a prompt.
func (t *tx) tellOf(row int64, ofModel, ofPrompt string, e model.Event) error {
	if t.s.o.Listener == nil {
		return nil
	}
	prompt, err := t.isPrompt(row)
	if err != nil {
		return err
	}
	e.Entity = ofModel
	if prompt {
		e.Entity = ofPrompt
	}
	if e.Entity == "" {
		return nil
	}
	return t.tell(e)
}

func (t *tx) putRegisteredTag(row int64, g model.Pair) error {
	_, err := t.Exec("INSERT INTO registered_model_tags(model, key, value) VALUES(?, ?, ?) ON CONFLICT(model, key) DO UPDATE SET value = excluded.value", row, g.Key, g.Value)
	return err
}

// RegisteredModel finds a registered model.
func (s *Store) RegisteredModel(ctx context.Context, namespace, name string) (m model.RegisteredModel, err error) {
	err = s.view(ctx, func(t *tx) error {
		if m, err = t.registered(namespace, name); err != nil {
			return err
		}
		return t.fillRegistered(&m)
	})
	return m, err
}

func (s *Store) changeRegistered(ctx context.Context, namespace, name string, fn func(*tx, *model.RegisteredModel) error) (m model.RegisteredModel, err error) {
	err = s.update(ctx, func(t *tx) error {
		if m, err = t.registered(namespace, name); err != nil {
			return err
		}
		if err := fn(t, &m); err != nil {
			return err
		}
		return t.fillRegistered(&m)
	})
	return m, err
}

// DescribeRegisteredModel sets the description.
func (s *Store) DescribeRegisteredModel(ctx context.Context, namespace, name, description string) (model.RegisteredModel, error) {
	return s.changeRegistered(ctx, namespace, name, func(t *tx, m *model.RegisteredModel) error {
		m.Description, m.Updated = description, t.now
		_, err := t.Exec("UPDATE registered_models SET description = ?, updated = ? WHERE id = ?", description, t.now, m.Row)
		return err
	})
}

// RenameRegisteredModel gives a registered model and its versions another name.
func (s *Store) RenameRegisteredModel(ctx context.Context, namespace, name, to string) (model.RegisteredModel, error) {
	if err := model.CheckModelName("new_name", to); err != nil {
		return model.RegisteredModel{}, err
	}
	return s.changeRegistered(ctx, namespace, name, func(t *tx, m *model.RegisteredModel) error {
		m.Name, m.Updated = to, t.now
		_, err := t.Exec("UPDATE registered_models SET name = ?, updated = ? WHERE id = ?", to, t.now, m.Row)
		if errors.Is(err, db.ErrConflict) {
			return model.Exists("Registered Model (name=%s) already exists.", to)
		}
		if err != nil {
			return err
		}
		if _, err = t.Exec("UPDATE model_versions SET updated = ? WHERE model = ?", t.now, m.Row); err != nil || to == name {
			return err
		}
		return t.owners(func(o Owners) error {
			return o.Renamed(ctx, t.Tx, model.Owned{Namespace: namespace, Kind: model.OwnedModel, ID: name}, to)
		})
	})
}

// DeleteRegisteredModel deletes a registered model with all versions.
func (s *Store) DeleteRegisteredModel(ctx context.Context, namespace, name string) error {
	return s.update(ctx, func(t *tx) error {
		m, err := t.registered(namespace, name)
		if err != nil {
			return err
		}
		for _, q := range []string{
			"DELETE FROM model_aliases WHERE model = ?",
			"DELETE FROM registered_models WHERE id = ?", // versions and tags follow
		} {
			if _, err := t.Exec(q, m.Row); err != nil {
				return err
			}
		}
		return t.owners(func(o Owners) error {
			return o.Gone(ctx, t.Tx, model.Owned{Namespace: namespace, Kind: model.OwnedModel, ID: name})
		})
	})
}

// SetRegisteredModelTag sets a tag.
func (s *Store) SetRegisteredModelTag(ctx context.Context, namespace, name string, g model.Pair) error {
	if err := model.CheckRegistryTag(g); err != nil {
		return err
	}
	_, err := s.changeRegistered(ctx, namespace, name, func(t *tx, m *model.RegisteredModel) error {
		if err := t.putRegisteredTag(m.Row, g); err != nil {
			return err
		}
		return t.tellOf(m.Row, "", "prompt_tag", model.Event{Namespace: namespace, Action: model.Set, Name: name, Key: g.Key, Value: g.Value})
	})
	return err
}

// DeleteRegisteredModelTag deletes a tag; one that does not exist is no error.
func (s *Store) DeleteRegisteredModelTag(ctx context.Context, namespace, name, key string) error {
	_, err := s.changeRegistered(ctx, namespace, name, func(t *tx, m *model.RegisteredModel) error {
		if _, err := t.Exec("DELETE FROM registered_model_tags WHERE model = ? AND key = ?", m.Row, key); err != nil {
			return err
		}
		return t.tellOf(m.Row, "", "prompt_tag", model.Event{Namespace: namespace, Action: model.Deleted, Name: name, Key: key})
	})
	return err
}

// SetAlias lets an alias name a version.
func (s *Store) SetAlias(ctx context.Context, namespace, name, alias, version string) error {
	if err := model.CheckAlias(alias, true); err != nil {
		return err
	}
	_, err := s.changeRegistered(ctx, namespace, name, func(t *tx, m *model.RegisteredModel) error {
		v, err := t.version(namespace, name, version)
		if err != nil {
			return err
		}
		if _, err = t.Exec("INSERT INTO model_aliases(model, alias, version) VALUES(?, ?, ?) ON CONFLICT(model, alias) DO UPDATE SET version = excluded.version", m.Row, alias, v.Version); err != nil {
			return err
		}
		return t.tellOf(m.Row, "model_version_alias", "prompt_alias", model.Event{Namespace: namespace, Action: model.Created, Name: name, Alias: alias, Version: version})
	})
	return err
}

// DeleteAlias deletes an alias; one that does not exist is no error.
func (s *Store) DeleteAlias(ctx context.Context, namespace, name, alias string) error {
	if err := model.CheckAlias(alias, false); err != nil {
		return err
	}
	_, err := s.changeRegistered(ctx, namespace, name, func(t *tx, m *model.RegisteredModel) error {
		if _, err := t.Exec("DELETE FROM model_aliases WHERE model = ? AND alias = ?", m.Row, alias); err != nil {
			return err
		}
		return t.tellOf(m.Row, "model_version_alias", "prompt_alias", model.Event{Namespace: namespace, Action: model.Deleted, Name: name, Alias: alias})
	})
	return err
}

// VersionByAlias finds the version that an alias names; "latest" is the newest.
func (s *Store) VersionByAlias(ctx context.Context, namespace, name, alias string) (v model.ModelVersion, err error) {
	if err := model.CheckAlias(alias, false); err != nil {
		return v, err
	}
	err = s.view(ctx, func(t *tx) error {
		m, err := t.registered(namespace, name)
		if err != nil {
			return err
		}
		var list []model.ModelVersion
		if strings.EqualFold(alias, "latest") {
			list, err = t.versions("WHERE v.model = ? AND v.deleted = 0 ORDER BY v.version DESC LIMIT 1", m.Row)
			if err == nil && len(list) == 0 {
				return model.Missing("Latest version not found for model %s.", name)
			}
		} else {
			list, err = t.versions("JOIN model_aliases a ON a.model = v.model AND a.version = v.version WHERE v.model = ? AND a.alias = ? AND v.deleted = 0", m.Row, alias)
			if err == nil && len(list) == 0 {
				return model.NoAlias(alias)
			}
		}
		if err != nil {
			return err
		}
		v = list[0]
		return nil
	})
	return v, err
}
