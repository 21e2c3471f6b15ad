package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// workload is one line of the table.
type workload struct {
	name, unit string
	clients    int
	latency    bool // the value is a median latency in ms, else a rate per second
	// prepare returns what a client does again and again, and how many units one time is.
	prepare func(ctx context.Context, t *target, client int) (step func(i int) error, units int, err error)
}

func workloads(runs int) []workload {
	return []workload{
		{"log-batch 1000, 1 client", "metrics/s", 1, false, logBatch},
		{"log-batch 1000, 8 clients", "metrics/s", 8, false, logBatch},
		{"log-metric, 1 client", "requests/s", 1, false, logMetric},
		{"log-metric, 1 client, latency", "ms", 1, true, logMetric},
		{"log-metric, 16 clients", "requests/s", 16, false, logMetric},
		{"runs/create, 8 clients", "requests/s", 8, false, createRun},
		{fmt.Sprintf("search %d runs, first 100", runs), "ms", 1, true, search(`"max_results":100`, min(100, runs))},
		{fmt.Sprintf("search %d runs, filter and order", runs), "ms", 1, true, search(`"filter":"metrics.m0 > 0.5 AND params.p1 = '7'","order_by":["metrics.m1 DESC"],"max_results":100`, -1)},
		{fmt.Sprintf("search %d runs, all of them", runs), "ms", 1, true, search(`"max_results":10000`, runs)},
	}
}

func logBatch(ctx context.Context, t *target, _ int) (func(int) error, int, error) {
	run, err := t.newRun(ctx, "0", 1)
	body := make([]byte, 0, 80_000)
	return func(i int) error {
		body = append(append(append(body[:0], `{"run_id":"`...), run...), `","metrics":[`...)
		for m := range 1000 {
			if m > 0 {
				body = append(body, ',')
			}
			step := i*100 + m/10
			body = append(body, `{"key":"metric_`...)
			body = strconv.AppendInt(body, int64(m%10), 10)
			body = append(body, `","value":`...)
			body = strconv.AppendFloat(body, 1/float64(step+m+1), 'g', -1, 64)
			body = append(body, `,"timestamp":`...)
			body = strconv.AppendInt(body, 1_700_000_000_000+int64(step), 10)
			body = append(body, `,"step":`...)
			body = strconv.AppendInt(body, int64(step), 10)
			body = append(body, '}')
		}
		body = append(body, `]}`...)
		_, err := t.call(ctx, "runs/log-batch", body)
		return err
	}, 1000, err
}

func logMetric(ctx context.Context, t *target, _ int) (func(int) error, int, error) {
	run, err := t.newRun(ctx, "0", 1)
	return func(i int) error {
		_, err := t.call(ctx, "runs/log-metric", fmt.Appendf(nil, `{"run_id":%q,"key":"loss","value":%g,"timestamp":%d,"step":%d}`, run, 1/float64(i+1), 1_700_000_000_000+i, i))
		return err
	}, 1, err
}

func createRun(ctx context.Context, t *target, client int) (func(int) error, int, error) {
	experiment := "0" // not the one that is searched
	return func(i int) error {
		_, err := t.newRun(ctx, experiment, client*1_000_000+i)
		return err
	}, 1, nil
}

func search(query string, want int) func(context.Context, *target, int) (func(int) error, int, error) {
	return func(ctx context.Context, t *target, _ int) (func(int) error, int, error) {
		body := fmt.Appendf(nil, `{"experiment_ids":[%q],%s}`, t.experiment, query)
		return func(int) error {
			b, err := t.call(ctx, "runs/search", body)
			if err != nil {
				return err
			}
			if got := bytes.Count(b, []byte(`"run_uuid"`)); got == 0 || want >= 0 && got != want {
				return fmt.Errorf("search found %d runs, expected %d", got, want)
			}
			return nil
		}, 1, nil
	}
}

// measure lets the clients work for a while.
func (w workload) measure(ctx context.Context, t *target, length time.Duration) (float64, error) {
	steps := make([]func(int) error, w.clients)
	units := 0
	for c := range steps {
		var err error
		if steps[c], units, err = w.prepare(ctx, t, c); err != nil {
			return 0, err
		}
	}
	counts := make([]int, w.clients)
	latencies := make([][]float64, w.clients)
	errs := make([]error, w.clients)
	var wg sync.WaitGroup
	begin := time.Now()
	for c := range w.clients {
		wg.Go(func() {
			for i := 0; time.Since(begin) < length; i++ {
				sent := time.Now()
				if errs[c] = steps[c](i); errs[c] != nil {
					return
				}
				latencies[c] = append(latencies[c], float64(time.Since(sent).Microseconds())/1000)
				counts[c]++
			}
		})
	}
	wg.Wait()
	seconds := time.Since(begin).Seconds()
	if err := errors.Join(errs...); err != nil {
		return 0, err
	}
	if w.latency {
		var all []float64
		for _, l := range latencies {
			all = append(all, l...)
		}
		return median(all), nil
	}
	total := 0
	for _, n := range counts {
		total += n
	}
	return float64(total*units) / seconds, nil
}
