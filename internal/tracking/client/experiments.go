package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
)

// Stages that a thing can be in.
const (
	Active  = "active"
	Deleted = "deleted"
)

// View chooses between existing and deleted things.
type View string

// Views of searches.
const (
	ActiveOnly  View = "ACTIVE_ONLY"
	DeletedOnly View = "DELETED_ONLY"
	All         View = "ALL"
)

// Experiment groups runs. Times are milliseconds since 1970.
type Experiment struct {
	ID               string `json:"experiment_id"`
	Name             string `json:"name"`
	ArtifactLocation string `json:"artifact_location"`
	Stage            string `json:"lifecycle_stage"`
	Created          Int    `json:"creation_time"`
	Updated          Int    `json:"last_update_time"`
	Tags             []Pair `json:"tags,omitempty"`
}

// Run is what was logged.
type Run struct {
	Info   RunInfo `json:"info"`
	Data   RunData `json:"data"`
	Inputs struct {
		Datasets []DatasetInput `json:"dataset_inputs,omitempty"`
		Models   []ModelInput   `json:"model_inputs,omitempty"`
	} `json:"inputs"`
	Outputs struct {
		Models []ModelOutput `json:"model_outputs,omitempty"`
	} `json:"outputs"`
}

// RunInfo is a run without what was logged to it.
type RunInfo struct {
	ID           string `json:"run_id"`
	ExperimentID string `json:"experiment_id"`
	Name         string `json:"run_name"`
	User         string `json:"user_id,omitempty"`
	Status       string `json:"status"`
	Start        Int    `json:"start_time"`
	End          Int    `json:"end_time,omitempty"`
	ArtifactURI  string `json:"artifact_uri"`
	Stage        string `json:"lifecycle_stage"`
}

// RunData holds the newest value of each metric.
type RunData struct {
	Metrics []Metric `json:"metrics,omitempty"`
	Params  []Pair   `json:"params,omitempty"`
	Tags    []Pair   `json:"tags,omitempty"`
}

// Metric is one point.
type Metric struct {
	Key           string `json:"key"`
	Value         Float  `json:"value"`
	Timestamp     Int    `json:"timestamp"`
	Step          Int    `json:"step"`
	ModelID       string `json:"model_id,omitempty"`
	DatasetName   string `json:"dataset_name,omitempty"`
	DatasetDigest string `json:"dataset_digest,omitempty"`
	RunID         string `json:"run_id,omitempty"`
}

// Dataset is data that was read.
type Dataset struct {
	Name       string `json:"name"`
	Digest     string `json:"digest"`
	SourceType string `json:"source_type"`
	Source     string `json:"source"`
	Schema     string `json:"schema,omitempty"`
	Profile    string `json:"profile,omitempty"`
}

// DatasetInput is a data set as a run read it.
type DatasetInput struct {
	Tags    []Pair  `json:"tags,omitempty"`
	Dataset Dataset `json:"dataset"`
}

// ModelInput is a logged model that a run read.
type ModelInput struct {
	ModelID string `json:"model_id"`
}

// ModelOutput is a logged model that a run made.
type ModelOutput struct {
	ModelID string `json:"model_id"`
	Step    Int    `json:"step"`
}

// LoggedModel is a model that a run made.
type LoggedModel struct {
	Info struct {
		ID            string `json:"model_id"`
		ExperimentID  string `json:"experiment_id"`
		Name          string `json:"name"`
		Created       Int    `json:"creation_timestamp_ms"`
		Updated       Int    `json:"last_updated_timestamp_ms"`
		ArtifactURI   string `json:"artifact_uri"`
		Status        string `json:"status"`
		Type          string `json:"model_type,omitempty"`
		SourceRun     string `json:"source_run_id,omitempty"`
		StatusMessage string `json:"status_message,omitempty"`
		Tags          []Pair `json:"tags,omitempty"`
	} `json:"info"`
	Data struct {
		Params  []Pair   `json:"params,omitempty"`
		Metrics []Metric `json:"metrics,omitempty"`
	} `json:"data"`
}

// Query is a search.
type Query struct {
	// Experiments are ids; runs, logged models and traces are looked for below them.
	Experiments []string
	Filter      string
	OrderBy     []string
	View        View
	// Page is how many are asked for at once; 0 takes what suits the kind.
	Page int
	// Max ends the search after so many; 0 is no bound.
	Max int
}

// page of a search.
func (q Query) page(standard int) int {
	n := standard
	if q.Page > 0 {
		n = q.Page
	}
	if q.Max > 0 {
		n = min(n, q.Max)
	}
	return n
}

// pages asks for one page after the other. ask returns a page and the token of the next one.
func pages[T any](most int, ask func(token string) (list []T, next string, err error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		given := 0
		for token := ""; ; {
			list, next, err := ask(token)
			if err != nil {
				yield(zero, err)
				return
			}
			for _, v := range list {
				if given++; !yield(v, nil) || given == most {
					return
				}
			}
			if next == "" || next == token {
				return
			}
			token = next
		}
	}
}

// Experiments finds experiments.
func (c *Client) Experiments(ctx context.Context, q Query) iter.Seq2[Experiment, error] {
	return pages(q.Max, func(token string) ([]Experiment, string, error) {
		var a struct {
			List []Experiment `json:"experiments"`
			Next string       `json:"next_page_token"`
		}
		err := c.post(ctx, "experiments/search", map[string]any{
			"filter": q.Filter, "order_by": q.OrderBy, "view_type": view(q.View), "max_results": q.page(1000), "page_token": token,
		}, &a)
		return a.List, a.Next, err
	})
}

func view(v View) View {
	if v == "" {
		return ActiveOnly
	}
	return v
}

// post calls what reads by POST.
func (c *Client) post(ctx context.Context, call string, body map[string]any, answer any) error {
	return c.Do(ctx, Request{Method: http.MethodPost, Path: MLflow(call), Body: compact(body), Reads: true}, answer)
}

// compact leaves out what is empty; not every server takes an empty page token for none.
func compact(body map[string]any) map[string]any {
	for k, v := range body {
		switch v := v.(type) {
		case string:
			if v == "" {
				delete(body, k)
			}
		case []string:
			if len(v) == 0 {
				delete(body, k)
			}
		}
	}
	return body
}

func (c *Client) get(ctx context.Context, call string, query url.Values, answer any) error {
	return c.Do(ctx, Request{Method: http.MethodGet, Path: MLflow(call), Query: query}, answer)
}

func (c *Client) change(ctx context.Context, method, call string, body, answer any) error {
	return c.Do(ctx, Request{Method: method, Path: MLflow(call), Body: body}, answer)
}

// Experiment finds one by its id.
func (c *Client) Experiment(ctx context.Context, id string) (Experiment, error) {
	var a struct{ Experiment Experiment }
	err := c.get(ctx, "experiments/get", url.Values{"experiment_id": {id}}, &a)
	return a.Experiment, err
}

// ExperimentByName finds one by its name.
func (c *Client) ExperimentByName(ctx context.Context, name string) (Experiment, error) {
	var a struct{ Experiment Experiment }
	err := c.get(ctx, "experiments/get-by-name", url.Values{"experiment_name": {name}}, &a)
	return a.Experiment, err
}

// Runs finds runs.
func (c *Client) Runs(ctx context.Context, q Query) iter.Seq2[Run, error] {
	return pages(q.Max, func(token string) ([]Run, string, error) {
		var a struct {
			List []Run  `json:"runs"`
			Next string `json:"next_page_token"`
		}
		err := c.post(ctx, "runs/search", map[string]any{
			"experiment_ids": q.Experiments, "filter": q.Filter, "order_by": q.OrderBy, "run_view_type": view(q.View),
			"max_results": q.page(5000), "page_token": token,
		}, &a)
		return a.List, a.Next, err
	})
}

// Run finds one.
func (c *Client) Run(ctx context.Context, id string) (Run, error) {
	var a struct{ Run Run }
	err := c.get(ctx, "runs/get", url.Values{"run_id": {id}}, &a)
	return a.Run, err
}

// DeleteRun marks a run as deleted.
func (c *Client) DeleteRun(ctx context.Context, id string) error {
	return c.change(ctx, http.MethodPost, "runs/delete", map[string]any{"run_id": id}, nil)
}

// RestoreRun takes the mark away.
func (c *Client) RestoreRun(ctx context.Context, id string) error {
	return c.change(ctx, http.MethodPost, "runs/restore", map[string]any{"run_id": id}, nil)
}

// SetTag of a run.
func (c *Client) SetTag(ctx context.Context, id string, tag Pair) error {
	return c.change(ctx, http.MethodPost, "runs/set-tag", map[string]any{"run_id": id, "key": tag.Key, "value": tag.Value}, nil)
}

// DeleteTag of a run.
func (c *Client) DeleteTag(ctx context.Context, id, key string) error {
	return c.change(ctx, http.MethodPost, "runs/delete-tag", map[string]any{"run_id": id, "key": key}, nil)
}

// historyPage is the most that MLflow gives at once.
const historyPage = 25_000

// History of a metric, in the order of its steps.
func (c *Client) History(ctx context.Context, run, key string) iter.Seq2[Metric, error] {
	return pages(0, func(token string) ([]Metric, string, error) {
		var a struct {
			List []Metric `json:"metrics"`
			Next string   `json:"next_page_token"`
		}
		query := url.Values{"run_id": {run}, "metric_key": {key}, "max_results": {strconv.Itoa(historyPage)}}
		if token != "" {
			query.Set("page_token", token)
		}
		err := c.get(ctx, "metrics/get-history", query, &a)
		return a.List, a.Next, err
	})
}

// LoggedModels finds models that runs made.
func (c *Client) LoggedModels(ctx context.Context, q Query) iter.Seq2[LoggedModel, error] {
	return pages(q.Max, func(token string) ([]LoggedModel, string, error) {
		var a struct {
			List []LoggedModel `json:"models"`
			Next string        `json:"next_page_token"`
		}
		err := c.post(ctx, "logged-models/search", map[string]any{
			"experiment_ids": q.Experiments, "filter": q.Filter, "max_results": q.page(50), "page_token": token,
		}, &a)
		return a.List, a.Next, err
	})
}

// LoggedModel finds one.
func (c *Client) LoggedModel(ctx context.Context, id string) (LoggedModel, error) {
	var a struct{ Model LoggedModel }
	err := c.Do(ctx, Request{Method: http.MethodGet, Path: MLflow("logged-models/" + id)}, &a)
	return a.Model, err
}
