package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// askBatch is the number of rows in one question of [Gateway.Predict].
const askBatch = 256

// Predict asks an endpoint for the outputs of rows, for other parts of the
// platform. Nothing is recorded.
func (g *Gateway) Predict(ctx context.Context, namespace, name string, rows [][]float64) ([]json.RawMessage, error) {
	outputs := make([]json.RawMessage, 0, len(rows))
	for len(rows) > 0 {
		n := min(askBatch, len(rows))
		batch, err := g.predictBatch(ctx, key{namespace: namespace, name: name}, rows[:n])
		if err != nil {
			return nil, fmt.Errorf("endpoint %s in project %s: %w", name, namespace, err)
		}
		outputs, rows = append(outputs, batch...), rows[n:]
	}
	return outputs, nil
}

func (g *Gateway) predictBatch(ctx context.Context, k key, rows [][]float64) ([]json.RawMessage, error) {
	body, err := json.Marshal(map[string]any{"instances": rows})
	if err != nil {
		return nil, err
	}
	path := "/v1/models/" + url.PathEscape(k.name) + ":predict"
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	w := &memoryWriter{header: http.Header{}}
	g.ask(w, r, target{key: k, path: path})
	if w.status != http.StatusOK {
		return nil, fmt.Errorf("it answered %d: %.200s", w.status, w.body.String())
	}
	var answer struct{ Predictions []json.RawMessage }
	if err := json.Unmarshal(w.body.Bytes(), &answer); err != nil {
		return nil, fmt.Errorf("its answer cannot be read: %w", err)
	}
	if len(answer.Predictions) != len(rows) {
		return nil, fmt.Errorf("it answered %d predictions for %d rows", len(answer.Predictions), len(rows))
	}
	return answer.Predictions, nil
}

// memoryWriter keeps an answer for the program itself.
type memoryWriter struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (w *memoryWriter) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *memoryWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

// Write implements http.ResponseWriter.
func (w *memoryWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}

// Counts are the requests that were sent to a revision since the gateway was
// started, and those of them that failed for a reason of the server's.
func (g *Gateway) Counts(namespace, name, revision string) (requests, failed int64) {
	series := make(chan prometheus.Metric)
	go func() {
		g.metrics.requests.Collect(series)
		close(series)
	}()
	want := map[string]string{"namespace": namespace, "endpoint": name, "revision": revision}
	for s := range series {
		var m dto.Metric
		if s.Write(&m) != nil {
			continue // only a metric of another kind could fail
		}
		code, ours := 0, true
		for _, l := range m.GetLabel() {
			if l.GetName() == "code" {
				code, _ = strconv.Atoi(l.GetValue())
				continue
			}
			ours = ours && want[l.GetName()] == l.GetValue()
		}
		if !ours {
			continue
		}
		n := int64(m.GetCounter().GetValue())
		requests += n
		if code >= http.StatusInternalServerError {
			failed += n
		}
	}
	return requests, failed
}
