package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
)

// Trace is a trace as the server describes it; Raw is the whole of that.
type Trace struct {
	ID  string
	Raw json.RawMessage
}

// UnmarshalJSON keeps the whole.
func (t *Trace) UnmarshalJSON(b []byte) error {
	var head struct {
		ID  string `json:"trace_id"`
		Old string `json:"request_id"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return err
	}
	if t.ID = head.ID; t.ID == "" {
		t.ID = head.Old
	}
	t.Raw = append(json.RawMessage(nil), b...)
	return nil
}

// Traces finds traces of experiments, without their spans.
func (c *Client) Traces(ctx context.Context, q Query) iter.Seq2[Trace, error] {
	return pages(q.Max, func(token string) ([]Trace, string, error) {
		var a struct {
			List []Trace `json:"traces"`
			Next string  `json:"next_page_token"`
		}
		locations := make([]any, len(q.Experiments))
		for i, id := range q.Experiments {
			locations[i] = map[string]any{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": map[string]string{"experiment_id": id}}
		}
		err := c.Do(ctx, Request{
			Method: http.MethodPost, Path: "/api/3.0/mlflow/traces/search", Reads: true,
			Body: compact(map[string]any{"locations": locations, "filter": q.Filter, "order_by": q.OrderBy, "max_results": q.page(100), "page_token": token}),
		}, &a)
		return a.List, a.Next, err
	})
}

// OldTraces finds traces on servers that know version 2 of them only.
func (c *Client) OldTraces(ctx context.Context, q Query) iter.Seq2[Trace, error] {
	return pages(q.Max, func(token string) ([]Trace, string, error) {
		var a struct {
			List []Trace `json:"traces"`
			Next string  `json:"next_page_token"`
		}
		query := url.Values{"experiment_ids": q.Experiments, "order_by": q.OrderBy, "max_results": {strconv.Itoa(q.page(100))}}
		if q.Filter != "" {
			query.Set("filter", q.Filter)
		}
		if token != "" {
			query.Set("page_token", token)
		}
		err := c.get(ctx, "traces", query, &a)
		return a.List, a.Next, err
	})
}

// TraceData is the file traces.json of a trace, {"spans": […]}, wherever the server keeps the spans.
func (c *Client) TraceData(ctx context.Context, id string) ([]byte, error) {
	resp, err := c.Send(ctx, Request{Method: http.MethodGet, Path: "/ajax-api/2.0/mlflow/get-trace-artifact", Query: url.Values{"request_id": {id}}})
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(resp.Body)
	return b, errors.Join(err, resp.Body.Close())
}

// TraceSpans is a trace with its spans where the server keeps them in its
// database: the JSON of {"trace": {"trace_info", "spans"}}.
func (c *Client) TraceSpans(ctx context.Context, id string) (json.RawMessage, error) {
	var a struct{ Trace json.RawMessage }
	err := c.Do(ctx, Request{Method: http.MethodGet, Path: "/api/3.0/mlflow/traces/get", Query: url.Values{"trace_id": {id}}}, &a)
	return a.Trace, err
}
