package tracking_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/kiwerk/kiwerk/internal/kwtest/postgres"
	"github.com/kiwerk/kiwerk/internal/store"
)

// BenchmarkLog is what clients log at the same time, through the routes: to a
// file of SQLite and to a PostgreSQL on the same machine, both with fsync.
//
//	go test -bench Log -benchtime 5s ./internal/tracking
func BenchmarkLog(b *testing.B) {
	kinds := map[string]func(b *testing.B) string{
		"SQLite":     func(b *testing.B) string { b.Helper(); return filepath.Join(b.TempDir(), "kiwerk.db") },
		"PostgreSQL": func(b *testing.B) string { b.Helper(); return postgres.Start(b).URI() },
	}
	for kind, at := range kinds {
		for _, points := range []int{1, 1000} {
			for _, clients := range []int{1, 8, 16} {
				b.Run(fmt.Sprintf("%s/points=%d/clients=%d", kind, points, clients), func(b *testing.B) {
					logLoad(b, startAt(b, at(b), b.TempDir(), nil), points, clients)
				})
			}
		}
	}
}

func logLoad(b *testing.B, p *platform, points, clients int) {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for range clients {
		run, _ := p.newRun()
		wg.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				path, body := "runs/log-metric", fmt.Sprintf(`{"run_id":%q,"key":"m","value":0.5,"timestamp":%d,"step":%d}`, run, 1_700_000_000_000+i, i)
				if points > 1 {
					path, body = "runs/log-batch", batchBody(run, points, i)
				}
				r := httptest.NewRequest(http.MethodPost, "/api/2.0/mlflow/"+path, strings.NewReader(body))
				r.Header.Set("Content-Type", "application/json")
				w := httptest.NewRecorder()
				if p.handler.ServeHTTP(w, r); w.Code != http.StatusOK {
					b.Error(w.Body)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N*points)/b.Elapsed().Seconds(), "points/s")
	b.StopTimer()
	if size := sizeOf(b, p.db); b.N*points > 100_000 {
		b.ReportMetric(float64(size)/float64(b.N*points), "bytes/point")
	}
}

func batchBody(run string, points int, i int64) string {
	var s strings.Builder
	fmt.Fprintf(&s, `{"run_id":%q,"metrics":[`, run)
	for m := range points {
		if m > 0 {
			s.WriteByte(',')
		}
		fmt.Fprintf(&s, `{"key":"metric_%d","value":%g,"timestamp":%d,"step":%d}`, m%10, 1/float64(m+1), 1_700_000_000_000+i, int(i)*100+m/10)
	}
	s.WriteString("]}")
	return s.String()
}

// sizeOf is what the points take with their index.
func sizeOf(b *testing.B, d *store.Store) (n int64) {
	b.Helper()
	query := "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
	if d.Dialect() == store.Postgres {
		query = "SELECT pg_total_relation_size('run_metrics')"
	}
	if err := d.View(b.Context(), func(t *store.Tx) error { return t.Row(query).Scan(&n) }); err != nil {
		b.Fatal(err)
	}
	return n
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
