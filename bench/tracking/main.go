package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"
)

type options struct {
	seconds, rounds, runs, workers int
	python, only                   string
}

func main() {
	var o options
	flag.IntVar(&o.seconds, "seconds", 2, "length of each measurement")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds; the median counts")
	flag.IntVar(&o.runs, "runs", 500, "runs to search in")
	flag.IntVar(&o.workers, "mlflow-workers", 4, "processes of mlflow server; 4 is its default")
	flag.StringVar(&o.python, "python", ".venv/bin/python", "Python with mlflow; empty measures without the peer")
	flag.StringVar(&o.only, "only", "", "one workload by its name")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp("", "kiwerk-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	servers, err := startAll(ctx, o, dir)
	defer func() {
		for _, s := range servers {
			err = errors.Join(err, s.stop())
		}
	}()
	if err != nil {
		return err
	}
	results := map[string][]float64{} // workload and server → one value per round
	for _, s := range servers {
		if err := s.fill(ctx, o.runs); err != nil {
			return fmt.Errorf("%s: make runs to search in: %w", s.name, err)
		}
	}
	for range o.rounds {
		for _, w := range workloads(o.runs) {
			if o.only != "" && o.only != w.name {
				continue
			}
			for _, s := range servers {
				v, err := w.measure(ctx, s, time.Duration(o.seconds)*time.Second)
				if err != nil {
					return fmt.Errorf("%s: %s: %w", s.name, w.name, err)
				}
				results[w.name+s.name] = append(results[w.name+s.name], v)
			}
		}
	}
	return report(o, servers, results)
}

func report(o options, servers []*target, results map[string][]float64) error {
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "workload\tunit\t")
	for _, s := range servers {
		fmt.Fprintf(t, "%s\t", s.name)
	}
	fmt.Fprintf(t, "ratio\t\n")
	for _, w := range workloads(o.runs) {
		values := results[w.name+servers[0].name]
		if len(values) == 0 {
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%.4g\t", w.name, w.unit, median(values))
		if len(servers) > 1 {
			ratio := median(values) / median(results[w.name+servers[1].name])
			if w.latency {
				ratio = 1 / ratio
			}
			fmt.Fprintf(t, "%.4g\t%.1f×\t", median(results[w.name+servers[1].name]), ratio)
		}
		fmt.Fprintln(t)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, s := range servers {
		fmt.Printf("%s: first answer after %.0f ms, %d MB resident after the load, %d MB on disk\n", s.name, s.started.Seconds()*1000, s.memory(), folderSize(s.dir)>>20)
	}
	return nil
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

func folderSize(dir string) (size int64) {
	_ = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // A file that has just gone counts nothing.
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			size += info.Size()
		}
		return nil
	})
	return size
}
