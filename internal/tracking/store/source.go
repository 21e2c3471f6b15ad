package store

import (
	"encoding/json"
	"net/url"
	"strconv"
	"strings"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// sourceLocation finds where the bytes of a new version lie and completes its
// ids. A source inside our artifact store must belong to the run or logged
// model that the request names, so that nobody registers the files of others.
func (t *tx) sourceLocation(namespace string, n *NewVersion) (string, error) {
	for _, g := range n.Tags {
		if g.Key == model.TagIsPrompt && strings.EqualFold(g.Value, "true") {
			return n.Source, nil
		}
	}
	if err := checkSource(n.Source); err != nil {
		return "", err
	}
	if n.ModelID != "" {
		m, err := t.loggedModel(namespace, n.ModelID, false)
		if err != nil {
			return "", err
		}
		if n.RunID == "" {
			n.RunID = m.SourceRun
		}
	}
	scheme, rest, _ := strings.Cut(n.Source, ":")
	switch {
	case scheme == "models":
		return t.modelSource(namespace, strings.TrimLeft(rest, "/"), n)
	case scheme == "runs":
		id, sub, _ := strings.Cut(strings.TrimLeft(rest, "/"), "/")
		if id != n.RunID {
			return "", sourceFault(n.Source, "run_id")
		}
		r, err := t.runInfo(namespace, id)
		if err != nil {
			return "", err
		}
		return strings.TrimSuffix(r.ArtifactURI+"/"+sub, "/"), nil
	case strings.HasPrefix(n.Source, t.s.o.ArtifactRoot):
		return n.Source, t.checkOwned(namespace, n)
	}
	return n.Source, nil
}

// checkSource refuses addresses that climb, in any encoding.
func checkSource(source string) error {
	s := source
	for range 4 {
		if strings.ContainsRune(s, 0) || strings.Contains(s, `\`) {
			return model.Invalid("Invalid model version source: '%s'.", source)
		}
		for part := range strings.SplitSeq(s, "/") {
			if part == ".." {
				return model.Invalid("Invalid model version source: '%s'. The path must be absolute and without relative parts.", source)
			}
		}
		u, err := url.PathUnescape(s)
		if err != nil || u == s {
			break
		}
		s = u
	}
	if scheme, _, ok := strings.Cut(source, ":"); !ok || scheme == "file" || strings.ContainsAny(scheme, "/.") {
		return model.Invalid("Invalid model version source: '%s'. A local path cannot be a source, because others could not read it; log the model to a run first.", source)
	}
	return nil
}

func sourceFault(source, field string) error {
	return model.Invalid("Invalid model version source: '%s'. The %s request parameter must identify the resource that contains the source.", source, field)
}

// modelSource resolves models:/m-… (a logged model), models:/name/3 and models:/name@alias.
func (t *tx) modelSource(namespace, rest string, n *NewVersion) (string, error) {
	if strings.HasPrefix(rest, "m-") && !strings.ContainsAny(rest, "/@") {
		if n.ModelID != "" && n.ModelID != rest {
			return "", sourceFault(n.Source, "model_id")
		}
		m, err := t.loggedModel(namespace, rest, false)
		if err != nil {
			return "", err
		}
		n.ModelID = m.ID
		if n.RunID == "" {
			n.RunID = m.SourceRun
		}
		return m.ArtifactURI, nil
	}
	name, version, ok := strings.Cut(rest, "/")
	if alias := ""; !ok {
		name, alias, ok = strings.Cut(rest, "@")
		if !ok {
			return "", model.Invalid("Invalid model version source: '%s'.", n.Source)
		}
		err := t.Row("SELECT CAST(a.version AS TEXT) FROM model_aliases a JOIN registered_models g ON g.id = a.model WHERE g.namespace = ? AND g.name = ? AND a.alias = ?", namespace, name, alias).Scan(&version)
		if db.IsNoRows(err) {
			return "", model.NoAlias(alias)
		}
		if err != nil {
			return "", err
		}
	}
	v, err := t.version(namespace, name, version)
	if err != nil {
		return "", err
	}
	n.Source = "models:/" + v.Name + "/" + strconv.FormatInt(v.Version, 10)
	if n.RunID == "" {
		n.RunID = v.RunID
	}
	if n.ModelID == "" {
		n.ModelID = v.ModelID
	}
	return v.StorageLocation, nil
}

// checkOwned tells whether a source lies in the artifacts of its run or model.
func (t *tx) checkOwned(namespace string, n *NewVersion) error {
	var roots []string
	if n.RunID != "" {
		if r, err := t.runInfo(namespace, n.RunID); err == nil {
			roots = append(roots, r.ArtifactURI)
		} else if !model.IsMissing(err) {
			return err
		}
	}
	if n.ModelID != "" {
		m, err := t.loggedModel(namespace, n.ModelID, false)
		if err != nil {
			return err
		}
		roots = append(roots, m.ArtifactURI)
	}
	for _, root := range roots {
		if n.Source == root || strings.HasPrefix(n.Source, root+"/") {
			return nil
		}
	}
	if n.ModelID != "" {
		return sourceFault(n.Source, "model_id")
	}
	return sourceFault(n.Source, "run_id")
}

// noteRegistration writes to the logged model in which versions it went.
func (t *tx) noteRegistration(namespace string, n NewVersion, version int64) error {
	if n.ModelID == "" {
		return nil
	}
	m, err := t.loggedModel(namespace, n.ModelID, false)
	if err != nil {
		return err
	}
	type entry struct {
		Name    string `json:"name"`
		Version int64  `json:"version"`
	}
	var list []entry
	var old string
	err = t.Row("SELECT value FROM logged_model_tags WHERE model = ? AND key = ?", m.Row, model.TagVersionOf).Scan(&old)
	if err != nil && !db.IsNoRows(err) {
		return err
	}
	if old != "" && json.Unmarshal([]byte(old), &list) != nil {
		list = nil // someone overwrote the tag
	}
	b, err := json.Marshal(append(list, entry{n.Name, version}))
	if err != nil {
		return err
	}
	return t.putModelTags(m.Row, []model.Pair{{Key: model.TagVersionOf, Value: string(b)}})
}
