package store

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

const versionColumns = `v.id, (SELECT name FROM registered_models WHERE id = v.model), v.version, v.created, v.updated, v."user", v.stage, v.description,
	v.source, v.storage_location, v.run_id, v.run_link, v.model_id, v.model`

// versions reads versions with their tags and aliases.
func (t *tx) versions(where string, args ...any) (list []model.ModelVersion, err error) {
	var models []int64
	err = t.find(func(r rows) error {
		var v model.ModelVersion
		var m int64
		if err := r.Scan(&v.Row, &v.Name, &v.Version, &v.Created, &v.Updated, &v.User, &v.Stage, &v.Description,
			&v.Source, &v.StorageLocation, &v.RunID, &v.RunLink, &v.ModelID, &m); err != nil {
			return err
		}
		list = append(list, v)
		models = append(models, m)
		return nil
	}, "SELECT "+versionColumns+" FROM model_versions v "+where, args...)
	if err != nil {
		return nil, err
	}
	return list, t.fillVersions(list, models)
}

// fillVersions adds tags and aliases; models are the numbers of the versions' models.
func (t *tx) fillVersions(list []model.ModelVersion, models []int64) error {
	type number struct{ model, version int64 }
	byRow, byNumber := make(map[int64]*model.ModelVersion, len(list)), make(map[number]*model.ModelVersion, len(list))
	ids := make([]int64, len(list))
	for i := range list {
		v := &list[i]
		ids[i] = v.Row
		byRow[v.Row], byNumber[number{models[i], v.Version}] = v, v
	}
	err := t.Each(func(r rows) error {
		var id int64
		var p model.Pair
		if err := r.Scan(&id, &p.Key, &p.Value); err != nil {
			return err
		}
		byRow[id].Tags = append(byRow[id].Tags, p)
		return nil
	}, "SELECT version, key, value FROM model_version_tags WHERE version IN (??) ORDER BY version, key", ids)
	if err != nil {
		return err
	}
	slices.Sort(models)
	return t.Each(func(r rows) error {
		var n number
		var alias string
		if err := r.Scan(&n.model, &n.version, &alias); err != nil {
			return err
		}
		if v := byNumber[n]; v != nil {
			v.Aliases = append(v.Aliases, alias)
		}
		return nil
	}, "SELECT model, version, alias FROM model_aliases WHERE model IN (??) ORDER BY model, alias", slices.Compact(models))
}

// version finds a version that was not deleted.
func (t *tx) version(namespace, name, version string) (v model.ModelVersion, err error) {
	if err := model.CheckModelName("name", name); err != nil {
		return v, err
	}
	n, err := model.ParseVersion(version)
	if err != nil {
		return v, err
	}
	list, err := t.versions("WHERE v.model = (SELECT id FROM registered_models WHERE namespace = ? AND name = ?) AND v.version = ? AND v.deleted = 0", namespace, name, n)
	if err != nil {
		return v, err
	}
	if len(list) == 0 {
		return v, model.Missing("Model Version (name=%s, version=%d) not found", name, n)
	}
	return list[0], nil
}

// ModelVersion finds a version.
func (s *Store) ModelVersion(ctx context.Context, namespace, name, version string) (v model.ModelVersion, err error) {
	err = s.view(ctx, func(t *tx) error {
		v, err = t.version(namespace, name, version)
		return err
	})
	return v, err
}

// NewVersion is what a version is made from; storage location and missing ids are found from the source.
type NewVersion struct {
	Name, Source, RunID, RunLink, ModelID, User string
	Description                                 *string
	Tags                                        []model.Pair
}

// CreateModelVersion adds a version to a registered model.
func (s *Store) CreateModelVersion(ctx context.Context, namespace string, n NewVersion) (v model.ModelVersion, err error) {
	if err := model.CheckModelName("name", n.Name); err != nil {
		return v, err
	}
	for _, g := range n.Tags {
		if err := model.CheckRegistryTag(g); err != nil {
			return v, err
		}
	}
	err = s.update(ctx, func(t *tx) error {
		if v, err = t.insertVersion(namespace, n); err != nil {
			return err
		}
		e := model.Event{
			Namespace: namespace, Entity: "model_version", Action: model.Created, Name: n.Name, Version: strconv.FormatInt(v.Version, 10),
			Source: v.Source, RunID: v.RunID, Description: n.Description, Tags: n.Tags,
		}
		if model.IsPrompt(n.Tags) {
			e.Entity = "prompt_version"
		}
		return t.tell(e)
	})
	return v, err
}

func (t *tx) insertVersion(namespace string, n NewVersion) (v model.ModelVersion, err error) {
	m, err := t.registered(namespace, n.Name)
	if err != nil {
		return v, err
	}
	location, err := t.sourceLocation(namespace, &n)
	if err != nil {
		return v, err
	}
	// First, because it lets no other copy of the program number a version meanwhile.
	if err := t.touchRegistered(m.Row); err != nil {
		return v, err
	}
	var row, number int64
	err = t.Row(`INSERT INTO model_versions(model, version, created, updated, "user", description, source, storage_location, run_id, run_link, model_id)
		VALUES(?1, (SELECT coalesce(max(version), 0) + 1 FROM model_versions WHERE model = ?1), ?2, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) RETURNING id, version`,
		m.Row, t.now, n.User, n.Description, n.Source, location, n.RunID, n.RunLink, n.ModelID).Scan(&row, &number)
	if err != nil {
		return v, err
	}
	for _, g := range n.Tags {
		if err := t.putVersionTag(row, g); err != nil {
			return v, err
		}
	}
	if err := t.noteRegistration(namespace, n, number); err != nil {
		return v, err
	}
	list, err := t.versions("WHERE v.id = ?", row)
	if err != nil {
		return v, err
	}
	return list[0], nil
}

func (t *tx) touchRegistered(row int64) error {
	_, err := t.Exec("UPDATE registered_models SET updated = ? WHERE id = ?", t.now, row)
	return err
}

func (t *tx) putVersionTag(row int64, g model.Pair) error {
	_, err := t.Exec("INSERT INTO model_version_tags(version, key, value) VALUES(?, ?, ?) ON CONFLICT(version, key) DO UPDATE SET value = excluded.value", row, g.Key, g.Value)
	return err
}

// changeVersion runs fn on a version and returns it as it is then. Meanwhile no
// other copy of the program changes the versions of the model.
func (s *Store) changeVersion(ctx context.Context, namespace, name, version string, fn func(*tx, model.RegisteredModel, *model.ModelVersion) error) (v model.ModelVersion, err error) {
	err = s.update(ctx, func(t *tx) error {
		m, err := t.registered(namespace, name)
		if err != nil {
			return err
		}
		if err := t.Hold("SELECT id FROM registered_models WHERE id = ?", m.Row); err != nil {
			return err
		}
		if v, err = t.version(namespace, name, version); err != nil {
			return err
		}
		return fn(t, m, &v)
	})
	return v, err
}

// putVersion stores description and stage, and the time of the change.
func (t *tx) putVersion(v *model.ModelVersion) error {
	v.Updated = t.now
	_, err := t.Exec("UPDATE model_versions SET description = ?, stage = ?, updated = ? WHERE id = ?", v.Description, v.Stage, v.Updated, v.Row)
	return err
}

// DescribeModelVersion sets the description.
func (s *Store) DescribeModelVersion(ctx context.Context, namespace, name, version string, description *string) (model.ModelVersion, error) {
	return s.changeVersion(ctx, namespace, name, version, func(t *tx, _ model.RegisteredModel, v *model.ModelVersion) error {
		v.Description = description
		return t.putVersion(v)
	})
}

// Stages of versions, which MLflow has replaced by aliases and clients still use.
var stages = map[string]string{"none": "None", "staging": "Staging", "production": "Production", "archived": "Archived"}

// ParseStage gives the proper spelling of a stage.
func ParseStage(s string) (string, error) {
	if c, ok := stages[strings.ToLower(s)]; ok {
		return c, nil
	}
	return "", model.Invalid("Invalid Model Version stage: %s. Value must be one of None, Staging, Production, Archived.", s)
}

// TransitionStage moves a version to a stage and, if asked, what was there to the archive.
func (s *Store) TransitionStage(ctx context.Context, namespace, name, version, stage string, archive bool) (model.ModelVersion, error) {
	stage, err := ParseStage(stage)
	if err != nil {
		return model.ModelVersion{}, err
	}
	if archive && stage != "Staging" && stage != "Production" {
		return model.ModelVersion{}, model.Invalid("Model version transition cannot archive existing model versions because '%s' is not an Active stage. Valid stages are Staging, Production", stage)
	}
	return s.changeVersion(ctx, namespace, name, version, func(t *tx, m model.RegisteredModel, v *model.ModelVersion) error {
		if archive {
			if _, err := t.Exec("UPDATE model_versions SET stage = 'Archived', updated = ? WHERE stage = ? AND id <> ? AND deleted = 0 AND model = ?", t.now, stage, v.Row, m.Row); err != nil {
				return err
			}
		}
		v.Stage = stage
		if err := t.putVersion(v); err != nil {
			return err
		}
		return t.touchRegistered(m.Row)
	})
}

// DeleteModelVersion hides a version, forgets what it was made from and takes its aliases away.
func (s *Store) DeleteModelVersion(ctx context.Context, namespace, name, version string) error {
	_, err := s.changeVersion(ctx, namespace, name, version, func(t *tx, m model.RegisteredModel, v *model.ModelVersion) error {
		if _, err := t.Exec("DELETE FROM model_aliases WHERE version = ? AND model = ?", v.Version, m.Row); err != nil {
			return err
		}
		if _, err := t.Exec(`UPDATE model_versions SET deleted = 1, description = NULL, updated = ?,
			"user" = '', source = '', storage_location = '', run_id = '', run_link = '', model_id = '' WHERE id = ?`, t.now, v.Row); err != nil {
			return err
		}
		return t.touchRegistered(m.Row)
	})
	return err
}

// SetModelVersionTag sets a tag.
func (s *Store) SetModelVersionTag(ctx context.Context, namespace, name, version string, g model.Pair) error {
	if err := model.CheckRegistryTag(g); err != nil {
		return err
	}
	_, err := s.changeVersion(ctx, namespace, name, version, func(t *tx, m model.RegisteredModel, v *model.ModelVersion) error {
		if err := t.putVersionTag(v.Row, g); err != nil {
			return err
		}
		return t.tellOfVersion(m, model.Event{Namespace: namespace, Action: model.Set, Name: name, Version: version, Key: g.Key, Value: g.Value})
	})
	return err
}

// DeleteModelVersionTag deletes a tag; one that does not exist is no error.
func (s *Store) DeleteModelVersionTag(ctx context.Context, namespace, name, version, key string) error {
	_, err := s.changeVersion(ctx, namespace, name, version, func(t *tx, m model.RegisteredModel, v *model.ModelVersion) error {
		if _, err := t.Exec("DELETE FROM model_version_tags WHERE version = ? AND key = ?", v.Row, key); err != nil {
			return err
		}
		return t.tellOfVersion(m, model.Event{Namespace: namespace, Action: model.Deleted, Name: name, Version: version, Key: key})
	})
	return err
}

func (t *tx) tellOfVersion(m model.RegisteredModel, e model.Event) error {
	return t.tellOf(m.Row, "model_version_tag", "prompt_version_tag", e)
}

// LatestVersions gives the newest version of each stage, or of those asked for.
func (s *Store) LatestVersions(ctx context.Context, namespace, name string, wanted []string) (list []model.ModelVersion, err error) {
	want := map[string]bool{}
	for _, w := range wanted {
		stage, err := ParseStage(w)
		if err != nil {
			return nil, err
		}
		want[stage] = true
	}
	m, err := s.RegisteredModel(ctx, namespace, name)
	if err != nil {
		return nil, err
	}
	for _, v := range m.Latest {
		if len(want) == 0 || want[v.Stage] {
			list = append(list, v)
		}
	}
	return list, nil
}

// VersionFolder is where the files of a version lie: one that was made from
// runs:/… keeps that address, which leads to the artifacts of the run.
func (s *Store) VersionFolder(ctx context.Context, namespace string, v model.ModelVersion) (string, error) {
	rest, ok := strings.CutPrefix(v.StorageLocation, "runs:")
	if !ok {
		return v.StorageLocation, nil
	}
	id, folder, _ := strings.Cut(strings.TrimLeft(rest, "/"), "/")
	r, err := s.RunInfo(ctx, namespace, id)
	return strings.TrimSuffix(r.ArtifactURI+"/"+folder, "/"), err
}
