package store

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// sourceLocation finds where the bytes of a new version lie and completes its
// ids. A source inside our artifact store must belong to the run or logged
// model that the request names, so that nobody registers the files of others.
func (t *tx) sourceLocation(namespace string, n *NewVersion) (string, error) {
	if err := t.s.o.Sources.Check(n.Source); err != nil {
		return "", err
	}
	if model.IsPrompt(n.Tags) {
		if n.Source != "dummy-source" && n.Source != "prompt-template" {
			return "", model.Invalid("Invalid prompt source: '%s'. Prompt sources must use an MLflow placeholder.", n.Source)
		}
		return n.Source, nil
	}
	scheme, rest, _ := strings.Cut(n.Source, ":")
	rest = strings.TrimLeft(rest, "/")
	if scheme == "models" && !isModelID(rest) {
		return t.versionSource(namespace, rest, n)
	}
	local, err := model.CheckSourcePath(n.Source)
	if err != nil {
		return "", err
	}
	roots, owner, err := t.sourceRoots(namespace, n)
	if err != nil {
		return "", err
	}
	switch {
	case local:
		if err := localSource(n.Source, roots, owner); err != nil {
			return "", err
		}
	case scheme == "models":
		if rest != n.ModelID {
			return "", sourceFault(n.Source, "model_id")
		}
		return roots[0], nil
	case scheme == "runs":
		// The run need not exist: a registry may name one of another server.
		if id, _, _ := strings.Cut(rest, "/"); n.ModelID != "" || id == "" || id != n.RunID {
			return "", sourceFault(n.Source, owner)
		}
	case model.IsProxied(n.Source):
		if !slices.ContainsFunc(roots, func(r string) bool { return model.WithinURI(n.Source, r) }) {
			return "", sourceFault(n.Source, owner)
		}
	}
	return n.Source, nil
}

// localSource accepts a path of this machine in a folder of what the version is made from.
func localSource(source string, roots []string, owner string) error {
	if err := model.CheckFileHost(source); err != nil {
		return err
	}
	if slices.ContainsFunc(roots, func(r string) bool { return model.WithinPath(source, r) }) {
		return nil
	}
	return model.Invalid("Invalid model version source: '%s'. To use a local path as a model version source, the %s request parameter has to be specified and the local path has to be contained within the artifact directory of the run specified by the %s.", source, owner, owner)
}

// isModelID tells a logged model from the name of a registered one.
func isModelID(s string) bool { return strings.HasPrefix(s, "m-") && !strings.ContainsAny(s, "/@") }

// sourceRoots are the artifact addresses of what a version is made from: of
// the logged model if one is named, else of the run; owner is the parameter
// that names it. One that does not exist has none.
func (t *tx) sourceRoots(namespace string, n *NewVersion) (roots []string, owner string, err error) {
	if n.ModelID != "" {
		m, err := t.loggedModel(namespace, n.ModelID, false)
		if model.IsMissing(err) {
			return nil, "model_id", sourceFault(n.Source, "model_id")
		}
		if n.RunID == "" {
			n.RunID = m.SourceRun
		}
		return []string{m.ArtifactURI}, "model_id", err
	}
	if n.RunID == "" {
		return nil, "run_id", nil
	}
	r, err := t.runInfo(namespace, n.RunID)
	if model.IsMissing(err) {
		return nil, "run_id", nil
	}
	return []string{r.ArtifactURI}, "run_id", err
}

func sourceFault(source, field string) error {
	return model.Invalid("Invalid model version source: '%s'. The %s request parameter must identify the resource that contains the source.", source, field)
}

// versionSource resolves name/3, name/latest and name@alias: the new version
// has the files and the ids of that one.
func (t *tx) versionSource(namespace, address string, n *NewVersion) (string, error) {
	name, version, numbered := strings.Cut(address, "/")
	if !numbered {
		alias := ""
		if name, alias, numbered = strings.Cut(address, "@"); !numbered {
			return "", sourceFault(n.Source, "model_id")
		}
		err := t.Row("SELECT CAST(a.version AS TEXT) FROM model_aliases a JOIN registered_models g ON g.id = a.model WHERE g.namespace = ? AND g.name = ? AND a.alias = ?", namespace, name, alias).Scan(&version)
		if db.IsNoRows(err) {
			return "", model.NoAlias(alias)
		}
		if err != nil {
			return "", err
		}
	}
	if strings.EqualFold(version, "latest") {
		err := t.Row("SELECT CAST(max(v.version) AS TEXT) FROM model_versions v JOIN registered_models g ON g.id = v.model WHERE g.namespace = ? AND g.name = ? AND v.deleted = 0 HAVING max(v.version) > 0", namespace, name).Scan(&version)
		if db.IsNoRows(err) {
			return "", model.Missing("Latest version not found for model %s.", name)
		}
		if err != nil {
			return "", err
		}
	}
	v, err := t.version(namespace, name, version)
	if err != nil {
		return "", err
	}
	if model.IsPrompt(v.Tags) {
		return "", model.Invalid("Invalid model version source: '%s'. Prompt versions cannot be used as model version sources.", n.Source)
	}
	if n.RunID != "" && n.RunID != v.RunID || n.ModelID != "" && n.ModelID != v.ModelID {
		return "", model.Invalid("Invalid model version source: '%s'. The run_id and model_id request parameters must match the referenced model version.", n.Source)
	}
	n.Source = "models:/" + v.Name + "/" + strconv.FormatInt(v.Version, 10)
	n.RunID, n.ModelID = v.RunID, v.ModelID
	return v.StorageLocation, nil
}

// noteRegistration writes to the logged model in which versions it went.
func (t *tx) noteRegistration(namespace string, n NewVersion, version int64) error {
	if n.ModelID == "" {
		return nil
	}
	m, err := t.changingModel(namespace, n.ModelID, false)
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
	var b strings.Builder // spaced as Python does, as clients compare the text
	for _, e := range append(list, entry{n.Name, version}) {
		name, err := json.Marshal(e.Name)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, `, {"name": %s, "version": %d}`, name, e.Version)
	}
	return t.putModelTags(m.Row, []model.Pair{{Key: model.TagVersionOf, Value: "[" + b.String()[2:] + "]"}})
}
