package client

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"net/url"
)

// EvaluationDataset is what an evaluation reads; Tags and Schema are JSON.
type EvaluationDataset struct {
	ID          string   `json:"dataset_id"`
	Name        string   `json:"name"`
	Digest      string   `json:"digest"`
	Tags        string   `json:"tags"`
	Schema      string   `json:"schema"`
	Created     Int      `json:"created_time"`
	Updated     Int      `json:"last_update_time"`
	CreatedBy   string   `json:"created_by"`
	UpdatedBy   string   `json:"last_updated_by"`
	Experiments []string `json:"experiment_ids"`
}

// EvaluationRecord is a row of an evaluation dataset.
type EvaluationRecord struct {
	ID           string          `json:"dataset_record_id"`
	Inputs       json.RawMessage `json:"inputs"`
	Outputs      json.RawMessage `json:"outputs"`
	Expectations json.RawMessage `json:"expectations"`
	Tags         json.RawMessage `json:"tags"`
	Source       json.RawMessage `json:"source"`
	SourceID     string          `json:"source_id"`
	SourceType   string          `json:"source_type"`
	Created      Int             `json:"created_time"`
	Updated      Int             `json:"last_update_time"`
	CreatedBy    string          `json:"created_by"`
	UpdatedBy    string          `json:"last_updated_by"`
}

const datasets = "/api/3.0/mlflow/datasets/"

// EvaluationDatasets finds all of them.
func (c *Client) EvaluationDatasets(ctx context.Context) iter.Seq2[EvaluationDataset, error] {
	return pages(0, func(token string) ([]EvaluationDataset, string, error) {
		var a struct {
			List []EvaluationDataset `json:"datasets"`
			Next string              `json:"next_page_token"`
		}
		err := c.Do(ctx, Request{
			Method: http.MethodPost, Path: datasets + "search", Reads: true, Body: compact(map[string]any{"max_results": 50, "page_token": token}),
		}, &a)
		return a.List, a.Next, err
	})
}

// EvaluationExperiments are the experiments of a dataset, which searches of MLflow leave out.
func (c *Client) EvaluationExperiments(ctx context.Context, id string) ([]string, error) {
	var a struct {
		IDs []string `json:"experiment_ids"`
	}
	err := c.Do(ctx, Request{Method: http.MethodGet, Path: datasets + id + "/experiment-ids"}, &a)
	return a.IDs, err
}

// EvaluationRecords are all records of a dataset.
func (c *Client) EvaluationRecords(ctx context.Context, id string) iter.Seq2[EvaluationRecord, error] {
	return pages(0, func(token string) (list []EvaluationRecord, next string, err error) {
		var a struct {
			Records string `json:"records"` // JSON in a string
			Next    string `json:"next_page_token"`
		}
		query := url.Values{"max_results": {"1000"}}
		if token != "" {
			query.Set("page_token", token)
		}
		if err := c.Do(ctx, Request{Method: http.MethodGet, Path: datasets + id + "/records", Query: query}, &a); err != nil {
			return nil, "", err
		}
		if a.Records == "" {
			return nil, a.Next, nil
		}
		err = json.Unmarshal([]byte(a.Records), &list)
		return list, a.Next, err
	})
}
