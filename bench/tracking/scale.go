package main

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// scale measures searches in large experiments of one database. Each server
// runs alone: the pages of the others would push its own out of memory.
func (b *bench) scale(ctx context.Context) error {
	sizes, err := b.sizes()
	if err != nil {
		return err
	}
	workloads := map[int][]*workload{}
	for _, n := range sizes {
		workloads[n] = scaled(n, b.engine)
	}
	var rows []*row
	for _, t := range b.servers {
		if t.name == fasttrackml {
			continue // it cannot be filled by the SQL of the others
		}
		begin := time.Now()
		experiments, err := b.fillLarge(ctx, t, sizes)
		if err != nil {
			return fmt.Errorf("%s: fill: %w", t.name, err)
		}
		fmt.Printf("%s on %s filled with %d runs in %.0f s\n", t.name, b.engine, total(sizes), time.Since(begin).Seconds())
		err = t.run(ctx, func() error {
			for _, n := range sizes {
				for _, w := range workloads[n] {
					w.prepare = searching(experiments[n], w.query, w.want)
				}
				if _, err := b.rounds(ctx, workloads[n], []*target{t}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
	}
	for _, n := range sizes {
		for _, w := range workloads[n] {
			rows = append(rows, &w.row)
		}
	}
	b.print("searches", rows)
	return nil
}

// scaled are the searches of an experiment of n runs.
func scaled(n int, engine string) []*workload {
	first := row{ratio: 10, bound: 5}
	if n >= 1_000_000 {
		first.ratio = 50
	}
	ordered, filtered := row{ratio: 20}, row{}
	if engine == sqlite && n >= 100_000 {
		filtered.ratio = 20
	}
	list := []struct {
		name, query string
		want        int
		row         row
	}{
		{"first 100", `"max_results":100`, min(100, n), first},
		{"filter and order", filterAndOrder, -1, filtered},
		{"order by metrics.m0", `"order_by":["metrics.m0 DESC"],"max_results":100`, min(100, n), ordered},
		{"filter of few", `"filter":"metrics.m0 > 0.998","max_results":100`, -1, row{}},
		{"10,000 a page", `"max_results":10000`, min(10_000, n), row{}},
	}
	workloads := make([]*workload, 0, len(list))
	for _, s := range list {
		s.row.name, s.row.unit, s.row.smaller = fmt.Sprintf("%d runs, %s, p95", n, s.name), "ms", true
		workloads = append(workloads, &workload{row: s.row, clients: 1, latency: 0.95, query: s.query, want: s.want})
	}
	return workloads
}

func (b *bench) sizes() (sizes []int, err error) {
	for _, s := range b.o.sizes {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("--sizes: %q is not a number of runs", s)
		}
		sizes = append(sizes, n)
	}
	return sizes, nil
}

func total(sizes []int) (n int) {
	for _, s := range sizes {
		n += s
	}
	return n
}
