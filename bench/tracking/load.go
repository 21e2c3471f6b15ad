package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// workload is one line of a table.
type workload struct {
	row
	clients int
	// latency is the quantile that counts, in ms; 0 counts units per second.
	latency float64
	// prepare returns what a client does again and again, and how many units one time is.
	prepare func(ctx context.Context, t *target, client int) (step func(i int) error, units int, err error)
	// query and want are those of a search in the phase scale.
	query string
	want  int
}

// start measures the first answer and the memory of an idle server.
func (b *bench) start(ctx context.Context) error {
	rows := []*row{
		{name: "first answer", unit: "ms", smaller: true, bound: 300},
		{name: "anonymous memory, idle", unit: "MB", smaller: true, bound: 40},
		{name: "proportional memory, idle", unit: "MB", smaller: true},
	}
	for round := range b.o.rounds {
		err := b.alone(ctx, func(t *target) error {
			if round == 0 {
				return nil // the schema is made
			}
			rows[0].add(t.name, float64(t.started.Microseconds())/1000)
			if err := pause(ctx, 5*time.Second); err != nil {
				return err
			}
			rows[1].add(t.name, t.memory("Anonymous"))
			rows[2].add(t.name, t.memory("Pss"))
			return nil
		})
		if err != nil {
			return err
		}
	}
	b.print("start", rows)
	return nil
}

// pause waits for a server to come to rest.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func (b *bench) loads(search map[string]string) []*workload {
	many := 15.0
	if b.engine == postgres {
		many = 6
	}
	found := func(query string, want int) func(context.Context, *target, int) (func(int) error, int, error) {
		return func(ctx context.Context, t *target, n int) (func(int) error, int, error) {
			return searching(search[t.name], query, want)(ctx, t, n)
		}
	}
	n := b.o.runs
	return []*workload{
		{row: row{name: "log-batch of 1000, 1 client", unit: "metrics/s", ratio: 15, fasttrackml: 1.5}, clients: 1, latency: 0, prepare: logBatch},
		{row: row{name: "log-batch of 1000, 8 clients", unit: "metrics/s", ratio: many, fasttrackml: 1.5}, clients: 8, latency: 0, prepare: logBatch},
		{row: row{name: "log-metric, 1 client", unit: "requests/s", ratio: 10, fasttrackml: 1.5}, clients: 1, latency: 0, prepare: logMetric},
		{row: row{name: "log-metric, 1 client, median", unit: "ms", smaller: true}, clients: 1, latency: 0.5, prepare: logMetric},
		{row: row{name: "log-metric, 16 clients", unit: "requests/s", ratio: 20, fasttrackml: 1.5}, clients: 16, latency: 0, prepare: logMetric},
		{row: row{name: "runs/create, 8 clients", unit: "requests/s", fasttrackml: 1.5}, clients: 8, latency: 0, prepare: createRun},
		{row: row{name: fmt.Sprintf("search %d runs, first 100", n), unit: "ms", smaller: true, fasttrackml: 1.5}, clients: 1, latency: 0.5, prepare: found(`"max_results":100`, min(100, n))},
		{row: row{name: fmt.Sprintf("search %d runs, filter and order", n), unit: "ms", smaller: true, fasttrackml: 1.5}, clients: 1, latency: 0.5, prepare: found(filterAndOrder, -1)},
		{row: row{name: fmt.Sprintf("search %d runs, all of them", n), unit: "ms", smaller: true, fasttrackml: 1.5}, clients: 1, latency: 0.5, prepare: found(`"max_results":10000`, n)},
	}
}

const filterAndOrder = `"filter":"metrics.m0 > 0.5 AND params.p1 = '7'","order_by":["metrics.m1 DESC"],"max_results":100`

// load measures logging and searching in small databases; the servers run side by side and take turns.
func (b *bench) load(ctx context.Context) (err error) {
	experiments := map[string]string{}
	for _, t := range b.servers {
		if err := t.start(ctx); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		defer func() { err = errors.Join(err, t.stop()) }()
		if experiments[t.name], err = t.fill(ctx, b.o.runs); err != nil {
			return fmt.Errorf("%s: make runs to search in: %w", t.name, err)
		}
	}
	rows, err := b.rounds(ctx, b.loads(experiments), b.servers)
	if err != nil {
		return err
	}
	memory := &row{name: "anonymous memory after it", unit: "MB", smaller: true}
	points := &row{name: "stored point of a metric", unit: "bytes", smaller: true, bound: 40}
	if b.engine == postgres {
		points.bound = 180
	}
	for _, t := range b.servers {
		memory.add(t.name, t.memory("Anonymous"))
		size, err := b.bytesPerPoint(ctx, t)
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		points.add(t.name, size)
	}
	b.print("load", append(rows, memory, points))
	return nil
}

// rounds lets the servers take turns with every workload.
func (b *bench) rounds(ctx context.Context, workloads []*workload, servers []*target) (rows []*row, err error) {
	for range b.o.rounds {
		for _, w := range workloads {
			if b.o.only != "" && b.o.only != w.name {
				continue
			}
			for _, t := range servers {
				v, err := w.measure(ctx, t, time.Duration(b.o.seconds)*time.Second)
				if err != nil {
					return nil, fmt.Errorf("%s: %s: %w", t.name, w.name, err)
				}
				w.add(t.name, v)
			}
		}
	}
	for _, w := range workloads {
		rows = append(rows, &w.row)
	}
	return rows, nil
}

// batchesForSize is how many batches of 1000 metrics show what a point costs.
const batchesForSize = 100

// bytesPerPoint logs metrics of ten names with growing steps and looks at the database.
func (b *bench) bytesPerPoint(ctx context.Context, t *target) (float64, error) {
	step, units, err := logBatch(ctx, t, 0)
	if err != nil {
		return 0, err
	}
	before, err := b.databaseSize(ctx, t)
	if err != nil {
		return 0, err
	}
	for i := range batchesForSize {
		if err := step(i); err != nil {
			return 0, err
		}
	}
	after, err := b.databaseSize(ctx, t)
	return float64(after-before) / float64(batchesForSize*units), err
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

// searching looks for runs; want is how many a page has, -1 for at least one.
func searching(experiment, query string, want int) func(context.Context, *target, int) (func(int) error, int, error) {
	return func(ctx context.Context, t *target, _ int) (func(int) error, int, error) {
		body := fmt.Appendf(nil, `{"experiment_ids":[%q],%s}`, experiment, query)
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

// measure lets the clients work for a while, each at least once.
func (w *workload) measure(ctx context.Context, t *target, length time.Duration) (float64, error) {
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
			for i := 0; i == 0 || time.Since(begin) < length; i++ {
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
	if w.latency > 0 {
		var all []float64
		for _, l := range latencies {
			all = append(all, l...)
		}
		return quantile(all, w.latency), nil
	}
	total := 0
	for _, n := range counts {
		total += n
	}
	return float64(total*units) / seconds, nil
}

// fill makes an experiment to search in: runs with 5 metrics, 5 params, 3 tags.
func (t *target) fill(ctx context.Context, runs int) (string, error) {
	experiment, err := t.newExperiment(ctx, "bench-load")
	if err != nil {
		return "", err
	}
	for i := range runs {
		run, err := t.newRun(ctx, experiment, 1000+i)
		if err != nil {
			return "", err
		}
		if _, err := t.call(ctx, "runs/log-batch", sample(run, i)); err != nil {
			return "", err
		}
	}
	return experiment, nil
}

// sample is what run i has; fill.sql writes the same.
func sample(run string, i int) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, `{"run_id":%q,"metrics":[`, run)
	for m := range 5 {
		fmt.Fprintf(&b, `%s{"key":"m%d","value":%g,"timestamp":1,"step":0}`, comma(m), m, float64((i*7919+m)%1000)/1000)
	}
	b.WriteString(`],"params":[`)
	for p := range 5 {
		fmt.Fprintf(&b, `%s{"key":"p%d","value":"%d"}`, comma(p), p, (i+p)%10)
	}
	b.WriteString(`],"tags":[`)
	for g := range 3 {
		fmt.Fprintf(&b, `%s{"key":"t%d","value":"value %d"}`, comma(g), g, i%5)
	}
	b.WriteString(`]}`)
	return []byte(b.String())
}

func comma(i int) string {
	if i == 0 {
		return ""
	}
	return ","
}
