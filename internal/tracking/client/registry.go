package client

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

// RegisteredModel is a name with versions.
type RegisteredModel struct {
	Name        string         `json:"name"`
	Created     Int            `json:"creation_timestamp"`
	Updated     Int            `json:"last_updated_timestamp"`
	User        string         `json:"user_id,omitempty"`
	Description string         `json:"description,omitempty"`
	Latest      []ModelVersion `json:"latest_versions,omitempty"`
	Tags        []Pair         `json:"tags,omitempty"`
	Aliases     []Alias        `json:"aliases,omitempty"`
}

// Alias names a version.
type Alias struct {
	Alias   string `json:"alias"`
	Version string `json:"version"`
}

// ModelVersion is one version of a registered model.
type ModelVersion struct {
	Name          string   `json:"name"`
	Version       string   `json:"version"`
	Created       Int      `json:"creation_timestamp"`
	Updated       Int      `json:"last_updated_timestamp"`
	User          string   `json:"user_id,omitempty"`
	Stage         string   `json:"current_stage,omitempty"`
	Description   string   `json:"description,omitempty"`
	Source        string   `json:"source"`
	RunID         string   `json:"run_id,omitempty"`
	RunLink       string   `json:"run_link,omitempty"`
	ModelID       string   `json:"model_id,omitempty"`
	Status        string   `json:"status"`
	StatusMessage string   `json:"status_message,omitempty"`
	Tags          []Pair   `json:"tags,omitempty"`
	Aliases       []string `json:"aliases,omitempty"`
}

// UnmarshalJSON takes the version as a number or a string.
func (v *ModelVersion) UnmarshalJSON(b []byte) error {
	type plain ModelVersion
	with := struct {
		*plain

		Version flexible `json:"version"`
	}{plain: (*plain)(v)}
	if err := json.Unmarshal(b, &with); err != nil {
		return err
	}
	v.Version = string(with.Version)
	return nil
}

// flexible is a string that may come as a number.
type flexible string

func (f *flexible) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, (*string)(f))
	}
	*f = flexible(b)
	return nil
}

// RegisteredModels finds models.
func (c *Client) RegisteredModels(ctx context.Context, q Query) iter.Seq2[RegisteredModel, error] {
	return pages(q.Max, func(token string) ([]RegisteredModel, string, error) {
		var a struct {
			List []RegisteredModel `json:"registered_models"`
			Next string            `json:"next_page_token"`
		}
		err := c.get(ctx, "registered-models/search", search(q, token, 1000), &a)
		return a.List, a.Next, err
	})
}

// ModelVersions finds versions of all models.
func (c *Client) ModelVersions(ctx context.Context, q Query) iter.Seq2[ModelVersion, error] {
	return pages(q.Max, func(token string) ([]ModelVersion, string, error) {
		var a struct {
			List []ModelVersion `json:"model_versions"`
			Next string         `json:"next_page_token"`
		}
		err := c.get(ctx, "model-versions/search", search(q, token, 10_000), &a)
		return a.List, a.Next, err
	})
}

func search(q Query, token string, page int) url.Values {
	v := url.Values{"max_results": {strconv.Itoa(q.page(page))}, "order_by": q.OrderBy}
	if q.Filter != "" {
		v.Set("filter", q.Filter)
	}
	if token != "" {
		v.Set("page_token", token)
	}
	return v
}

// RegisteredModel finds one.
func (c *Client) RegisteredModel(ctx context.Context, name string) (RegisteredModel, error) {
	var a struct {
		Model RegisteredModel `json:"registered_model"`
	}
	err := c.get(ctx, "registered-models/get", url.Values{"name": {name}}, &a)
	return a.Model, err
}

// CreateRegisteredModel makes a name.
func (c *Client) CreateRegisteredModel(ctx context.Context, name string) error {
	return c.change(ctx, http.MethodPost, "registered-models/create", map[string]any{"name": name}, nil)
}

// ModelVersion finds one.
func (c *Client) ModelVersion(ctx context.Context, name, version string) (ModelVersion, error) {
	var a struct {
		Version ModelVersion `json:"model_version"`
	}
	err := c.get(ctx, "model-versions/get", url.Values{"name": {name}, "version": {version}}, &a)
	return a.Version, err
}

// ModelVersionByAlias finds the version that an alias names.
func (c *Client) ModelVersionByAlias(ctx context.Context, name, alias string) (ModelVersion, error) {
	var a struct {
		Version ModelVersion `json:"model_version"`
	}
	err := c.get(ctx, "registered-models/alias", url.Values{"name": {name}, "alias": {alias}}, &a)
	var refused *Error
	if !errors.As(err, &refused) || refused.Status != http.StatusBadRequest {
		return a.Version, err
	}
	// MLflow calls a missing alias an invalid request. The model knows which it is.
	m, modelErr := c.RegisteredModel(ctx, name)
	if modelErr == nil && !slices.ContainsFunc(m.Aliases, func(a Alias) bool { return a.Alias == alias }) {
		refused.Status, refused.Code = http.StatusNotFound, "RESOURCE_DOES_NOT_EXIST"
	}
	return a.Version, err
}

// LatestVersion is the one with the highest number.
func (c *Client) LatestVersion(ctx context.Context, name string) (ModelVersion, error) {
	for v, err := range c.ModelVersions(ctx, Query{Filter: "name=" + QuoteFilter(name), OrderBy: []string{"version_number DESC"}, Max: 1}) {
		return v, err
	}
	return ModelVersion{}, &Error{
		Status: http.StatusNotFound, Code: "RESOURCE_DOES_NOT_EXIST", Message: "registered model " + strconv.Quote(name) + " has no versions",
		Method: http.MethodGet, Path: MLflow("model-versions/search"),
	}
}

// QuoteFilter makes a string of the filter language.
func QuoteFilter(s string) string {
	b := []byte{'\''}
	for i := range len(s) {
		if s[i] == '\'' {
			b = append(b, '\'')
		}
		b = append(b, s[i])
	}
	return string(append(b, '\''))
}

// NewVersion is a version to make.
type NewVersion struct {
	Name        string `json:"name"`
	Source      string `json:"source"`
	RunID       string `json:"run_id,omitempty"`
	ModelID     string `json:"model_id,omitempty"`
	Description string `json:"description,omitempty"`
	Tags        []Pair `json:"tags,omitempty"`
}

// CreateModelVersion makes a version.
func (c *Client) CreateModelVersion(ctx context.Context, n NewVersion) (ModelVersion, error) {
	var a struct {
		Version ModelVersion `json:"model_version"`
	}
	err := c.change(ctx, http.MethodPost, "model-versions/create", n, &a)
	return a.Version, err
}

// SetAlias lets an alias name a version.
func (c *Client) SetAlias(ctx context.Context, name, alias, version string) error {
	return c.change(ctx, http.MethodPost, "registered-models/alias", map[string]any{"name": name, "alias": alias, "version": version}, nil)
}

// DeleteAlias of a model.
func (c *Client) DeleteAlias(ctx context.Context, name, alias string) error {
	return c.change(ctx, http.MethodDelete, "registered-models/alias", map[string]any{"name": name, "alias": alias}, nil)
}

// SetVersionTag of a version.
func (c *Client) SetVersionTag(ctx context.Context, name, version string, tag Pair) error {
	return c.change(ctx, http.MethodPost, "model-versions/set-tag", map[string]any{"name": name, "version": version, "key": tag.Key, "value": tag.Value}, nil)
}

// DeleteVersionTag of a version.
func (c *Client) DeleteVersionTag(ctx context.Context, name, version, key string) error {
	return c.change(ctx, http.MethodDelete, "model-versions/delete-tag", map[string]any{"name": name, "version": version, "key": key}, nil)
}

// DownloadURI is where the files of a version lie.
func (c *Client) DownloadURI(ctx context.Context, name, version string) (string, error) {
	var a struct {
		URI string `json:"artifact_uri"`
	}
	err := c.get(ctx, "model-versions/get-download-uri", url.Values{"name": {name}, "version": {version}}, &a)
	return a.URI, err
}

// AliasesOf a version, sorted.
func (m RegisteredModel) AliasesOf(version string) []string {
	var list []string
	for _, a := range m.Aliases {
		if a.Version == version {
			list = append(list, a.Alias)
		}
	}
	slices.Sort(list)
	return list
}
