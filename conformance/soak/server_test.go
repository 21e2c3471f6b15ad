package soak

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/kiwerk/kiwerk/internal/kwtest/alone"
)

// server is the built server with a client for many writers.
type server struct {
	*alone.Server

	client *http.Client
}

func newServer(t *testing.T, database string) *server {
	t.Helper()
	return &server{alone.Start(t, database), &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 128}}}
}

// refusal is an answer other than 200.
type refusal struct {
	status int
	body   string
}

func (r refusal) Error() string { return fmt.Sprintf("status %d: %.300s", r.status, r.body) }

func (s *server) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, s.URL+"/api/2.0/mlflow/"+path, body)
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := s.client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // read to its end below
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return refusal{resp.StatusCode, string(b)}
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(b, out)
}

func (s *server) createRun(ctx context.Context, tag string) (string, error) {
	var out struct {
		Run struct {
			Info struct {
				ID string `json:"run_id"`
			} `json:"info"`
		} `json:"run"`
	}
	err := s.call(ctx, http.MethodPost, "runs/create", map[string]any{
		"experiment_id": "0", "start_time": time.Now().UnixMilli(), "tags": []any{map[string]string{"key": "writer", "value": tag}},
	}, &out)
	return out.Run.Info.ID, err
}

type point struct {
	Key       string  `json:"key"`
	Value     float64 `json:"value"`
	Timestamp int64   `json:"timestamp"`
	Step      int64   `json:"step"`
}

// history reads all points of a metric.
func (s *server) history(ctx context.Context, run, key string) (all []point, err error) {
	token := ""
	for {
		var page struct {
			Metrics []point `json:"metrics"`
			Next    string  `json:"next_page_token"`
		}
		q := url.Values{"run_id": {run}, "metric_key": {key}, "max_results": {strconv.Itoa(25_000)}}
		if token != "" {
			q.Set("page_token", token)
		}
		if err := s.call(ctx, http.MethodGet, "metrics/get-history?"+q.Encode(), nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Metrics...)
		if token = page.Next; token == "" {
			return all, nil
		}
	}
}

// params of a run.
func (s *server) params(ctx context.Context, run string) (map[string]string, error) {
	var out struct {
		Run struct {
			Data struct {
				Params []struct{ Key, Value string } `json:"params"`
			} `json:"data"`
		} `json:"run"`
	}
	err := s.call(ctx, http.MethodGet, "runs/get?run_id="+run, nil, &out)
	params := map[string]string{}
	for _, p := range out.Run.Data.Params {
		params[p.Key] = p.Value
	}
	return params, err
}
