package tracking_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// BenchmarkLogBatch is one request of 1,000 points through the routes.
func BenchmarkLogBatch(b *testing.B) {
	p := start(b, b.TempDir(), nil)
	run, _ := p.newRun()
	bodies := make([]string, b.N)
	for i := range bodies {
		var s strings.Builder
		fmt.Fprintf(&s, `{"run_id":%q,"metrics":[`, run)
		for m := range 1000 {
			if m > 0 {
				s.WriteByte(',')
			}
			fmt.Fprintf(&s, `{"key":"metric_%d","value":%g,"timestamp":%d,"step":%d}`, m%10, 1/float64(m+1), 1_700_000_000_000+i, i*100+m/10)
		}
		s.WriteString("]}")
		bodies[i] = s.String()
	}
	b.ReportAllocs()
	b.ResetTimer()
	for _, body := range bodies {
		r := httptest.NewRequest(http.MethodPost, "/api/2.0/mlflow/runs/log-batch", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		if p.handler.ServeHTTP(w, r); w.Code != http.StatusOK {
			b.Fatal(w.Body)
		}
	}
	b.ReportMetric(float64(b.N*1000)/b.Elapsed().Seconds(), "points/s")
}

// BenchmarkLogMetric is one request of one point.
func BenchmarkLogMetric(b *testing.B) {
	p := start(b, b.TempDir(), nil)
	run, _ := p.newRun()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		p.must("POST", "runs/log-metric", fmt.Sprintf(`{"run_id":%q,"key":"m","value":0.5,"timestamp":%d,"step":%d}`, run, i, i))
	}
}

// BenchmarkSearch is a page of 100 runs of 2,000.
func BenchmarkSearch(b *testing.B) {
	p := start(b, b.TempDir(), nil)
	for i := range 2000 {
		run := dig(p.must("POST", "runs/create", fmt.Sprintf(`{"experiment_id":"0","start_time":%d}`, i)), "run", "info", "run_id")
		p.must("POST", "runs/log-batch", fmt.Sprintf(`{"run_id":%q,"metrics":[{"key":"m0","value":%g,"timestamp":1},{"key":"m1","value":1,"timestamp":1}],"params":[{"key":"p0","value":"%d"},{"key":"p1","value":"x"}],"tags":[{"key":"t0","value":"x"}]}`, run, float64(i*7919%1000)/1000, i%10))
	}
	for name, query := range map[string]string{
		"First":    `"max_results":100`,
		"Filter":   `"max_results":100,"filter":"metrics.m0 > 0.9 AND params.p0 = '7'"`,
		"ByMetric": `"max_results":100,"order_by":["metrics.m0 DESC"]`,
		"All":      `"max_results":10000`,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.must("POST", "runs/search", `{"experiment_ids":["0"],`+query+`}`)
			}
		})
	}
}
