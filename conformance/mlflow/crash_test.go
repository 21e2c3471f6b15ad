package mlflow

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/kiwerk/kiwerk/internal/kwtest/alone"
)

func post(url, call, body string) (map[string]any, error) {
	resp, err := http.Post(url+"/api/2.0/mlflow/"+call, "application/json", strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", resp.StatusCode, b)
	}
	if err != nil {
		return nil, err
	}
	var out map[string]any
	return out, json.Unmarshal(b, &out)
}

// TestKill: after kill -9 in the middle of many writers, everything that was
// acknowledged is there, a batch is there whole or not at all, and an upload too.
func TestKill(t *testing.T) {
	server := alone.Start(t, "")
	url := server.URL
	const clients, perBatch = 6, 50
	for round := range 3 {
		var wg sync.WaitGroup
		var total atomic.Int64
		runs, acknowledged, uploads := make([]string, clients), make([]int, clients), make([]int, clients)
		enough := make(chan struct{})
		for c := range clients {
			run, err := post(url, "runs/create", `{"experiment_id":"0"}`)
			if err != nil {
				t.Fatal(err)
			}
			runs[c] = run["run"].(map[string]any)["info"].(map[string]any)["run_id"].(string)
			wg.Go(func() {
				for i := 0; ; i++ {
					if _, err := post(url, "runs/log-batch", batchOf(runs[c], i, perBatch)); err != nil {
						return // the server is gone
					}
					acknowledged[c] = i + 1
					if total.Add(1) == int64(60*(round+1)) {
						close(enough)
					}
					r, err := http.NewRequest(http.MethodPut, artifact(url, runs[c], i), bytes.NewReader(bytes.Repeat([]byte{byte(i)}, 10_000)))
					if err != nil {
						t.Error(err)
						return
					}
					resp, err := http.DefaultClient.Do(r)
					if err != nil {
						return
					}
					resp.Body.Close()
					uploads[c] = i + 1
				}
			})
		}
		<-enough
		server.Kill()
		wg.Wait()
		server.Restart()
		for c, run := range runs {
			verify(t, url, run, acknowledged[c], uploads[c], perBatch)
		}
	}
}

func artifact(url, run string, i int) string {
	return fmt.Sprintf("%s/api/2.0/mlflow-artifacts/artifacts/0/%s/artifacts/%d", url, run, i)
}

func batchOf(run string, n, points int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"run_id":%q,"params":[{"key":"p%d","value":"x"}],"metrics":[`, run, n)
	for i := range points {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"key":"m","value":%d,"timestamp":%d,"step":%d}`, i, n, n*points+i)
	}
	b.WriteString("]}")
	return b.String()
}

func verify(t *testing.T, url, run string, batches, uploads, points int) {
	t.Helper()
	resp, err := http.Get(url + "/api/2.0/mlflow/metrics/get-history?metric_key=m&run_id=" + run)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var history struct {
		Metrics []struct {
			Step int `json:"step"`
		} `json:"metrics"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&history); err != nil {
		t.Fatal(err)
	}
	got := len(history.Metrics)
	if got%points != 0 || got < batches*points || got > (batches+1)*points {
		t.Errorf("run %s has %d points; %d batches of %d were acknowledged", run, got, batches, points)
	}
	for i, m := range history.Metrics {
		if m.Step != i {
			t.Errorf("run %s: point %d has step %d", run, i, m.Step)
			break
		}
	}
	for i := range uploads + 1 {
		resp, err := http.Get(artifact(url, run, i))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		whole := resp.StatusCode == http.StatusOK && bytes.Equal(b, bytes.Repeat([]byte{byte(i)}, 10_000))
		if !whole && (i < uploads || resp.StatusCode != http.StatusNotFound) {
			t.Errorf("run %s: upload %d of %d: status %d, %d bytes", run, i, uploads, resp.StatusCode, len(b))
		}
	}
}
