package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Answers are small; more than this is not from our platform.
const maxAnswer = 64 << 20

// client speaks HTTP with the platform as the line's software would.
type client struct {
	base      string
	token     string
	namespace string
	http      *http.Client
}

func newClient(p Platform) *client {
	return &client{
		base: strings.TrimRight(p.BaseURL, "/"), token: p.Token, namespace: p.Namespace,
		http: &http.Client{Timeout: 60 * time.Second},
	}
}

// do sends one request and reads the answer; a status other than 2xx is an
// error with the platform's own words.
func (c *client) do(ctx context.Context, method, path, contentType string, body []byte) ([]byte, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close() // the body has been read to its end or is given up
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, nil, fmt.Errorf("%s %s: reading the answer: %w", method, path, err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, nil, &statusError{method: method, path: path, code: resp.StatusCode, text: strings.TrimSpace(string(answer))}
	}
	return answer, resp.Header, nil
}

type statusError struct {
	method, path, text string
	code               int
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%s %s: %d %s", e.method, e.path, e.code, e.text)
}

func (c *client) getJSON(ctx context.Context, path string, into any) error {
	answer, _, err := c.do(ctx, http.MethodGet, path, "", nil)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("GET %s: the answer is not what was expected: %w", path, err)
	}
	return nil
}

func (c *client) postJSON(ctx context.Context, path string, body any) ([]byte, http.Header, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return nil, nil, err
	}
	return c.do(ctx, http.MethodPost, path, "application/json", b)
}

// project is the path of what belongs to the project in our own API.
func (c *client) project(path string) string {
	return "/kiwerk/v1/projects/" + c.namespace + "/" + path
}

// putArtifact stores bytes under a key of the project's artifacts.
func (c *client) putArtifact(ctx context.Context, key, contentType string, body []byte) error {
	_, _, err := c.do(ctx, http.MethodPut, c.project("artifacts/"+key), contentType, body)
	return err
}

// prediction is one answer of the endpoint.
type prediction struct {
	id      string
	version string // of the model that answered
	label   int
}

// predict asks the endpoint what is on one photograph.
func (c *client) predict(ctx context.Context, model string, photo [pixels]float64) (prediction, error) {
	body, header, err := c.postJSON(ctx, "/v1/models/"+model+":predict", map[string]any{"instances": [][]float64{photo[:]}})
	if err != nil {
		return prediction{}, err
	}
	label, err := parseLabel(body)
	if err != nil {
		return prediction{}, fmt.Errorf("%s:predict: %w", model, err)
	}
	p := prediction{id: header.Get(headerPrediction), version: header.Get(headerVersion), label: label}
	if p.id == "" || p.version == "" {
		return prediction{}, fmt.Errorf("%s:predict: the answer lacks %s or %s", model, headerPrediction, headerVersion)
	}
	return p, nil
}

// parseLabel finds the label of the only row: a number, or the output "label"
// of a model with several outputs.
func parseLabel(body []byte) (int, error) {
	var answer struct {
		Predictions []json.RawMessage `json:"predictions"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return 0, fmt.Errorf("the answer is no JSON: %w", err)
	}
	if len(answer.Predictions) != 1 {
		return 0, fmt.Errorf("%d predictions for one image", len(answer.Predictions))
	}
	row := answer.Predictions[0]
	var named struct {
		Label *int `json:"label"`
	}
	if err := json.Unmarshal(row, &named); err == nil && named.Label != nil {
		return *named.Label, nil
	}
	var label *int
	if err := json.Unmarshal(row, &label); err != nil || label == nil {
		return 0, fmt.Errorf("no label in the prediction %.100s", row)
	}
	return *label, nil
}

// label is what turned out to be true for a prediction.
type label struct {
	ID    string `json:"id"`
	Label int    `json:"label"`
}

// feedback sends labels back.
func (c *client) feedback(ctx context.Context, model string, labels []label) error {
	_, _, err := c.postJSON(ctx, "/v1/models/"+model+":feedback", map[string]any{"feedback": labels})
	return err
}

// runOf asks the registry which run a model version came from.
func (c *client) runOf(ctx context.Context, model, version string) (string, error) {
	var answer struct {
		ModelVersion struct {
			RunID string `json:"run_id"`
		} `json:"model_version"`
	}
	query := url.Values{"name": {model}, "version": {version}}
	err := c.getJSON(ctx, "/api/2.0/mlflow/model-versions/get?"+query.Encode(), &answer)
	return answer.ModelVersion.RunID, err
}
