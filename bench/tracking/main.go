package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"
)

// Engines are the databases that servers run on.
const (
	sqlite   = "sqlite"
	postgres = "postgres"
)

// Names of the servers.
const (
	kiwerk      = "kiwerk"
	mlflow      = "mlflow"
	fasttrackml = "fasttrackml"
)

type options struct {
	seconds, rounds, runs, workers int
	bin, python, fml, dir, only    string
	phases, engines, peers, sizes  list
}

// list is a flag with commas.
type list []string

func (l *list) String() string   { return strings.Join(*l, ",") }
func (l list) has(s string) bool { return slices.Contains(l, s) }

// Set takes an empty text for an empty list.
func (l *list) Set(s string) error {
	if *l = nil; s != "" {
		*l = strings.Split(s, ",")
	}
	return nil
}

func main() {
	o := options{
		phases: list{"start", "load", "scale", "artifacts", "client"}, engines: list{sqlite, postgres},
		peers: list{mlflow, fasttrackml}, sizes: list{"10000", "100000", "1000000"},
	}
	flag.IntVar(&o.seconds, "seconds", 2, "length of each measurement")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds; the median counts")
	flag.IntVar(&o.runs, "runs", 500, "runs to search in during load")
	flag.IntVar(&o.workers, "mlflow-workers", 4, "processes of mlflow server; 4 is its default")
	flag.StringVar(&o.bin, "bin", "bin/kiwerk", "the built program")
	flag.StringVar(&o.python, "python", ".venv/bin/python", "Python with mlflow")
	flag.StringVar(&o.fml, "peers-dir", ".cache/bench", "folder that scripts/setup-bench.sh made")
	flag.StringVar(&o.dir, "dir", os.TempDir(), "where data is put; a real disk")
	flag.StringVar(&o.only, "only", "", "one workload by its name")
	flag.Var(&o.phases, "phases", "what is measured")
	flag.Var(&o.engines, "engines", "databases")
	flag.Var(&o.peers, "peers", "servers to compare with; empty for none")
	flag.Var(&o.sizes, "sizes", "numbers of runs in the phase scale")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/tracking:", err)
		os.Exit(1)
	}
}

// run measures engine after engine, so that their servers do not share the machine.
func run(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp(o.dir, "kiwerk-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // PostgreSQL runs as another account and enters it.
		return err
	}
	for _, engine := range o.engines {
		b := bench{o: o, engine: engine, dir: dir}
		if err := b.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", engine, err)
		}
	}
	return nil
}

// bench is all that is measured with one database.
type bench struct {
	o           options
	engine, dir string
	servers     []*target
}

func (b *bench) run(ctx context.Context) (err error) {
	end, err := b.prepare(ctx)
	defer func() { err = errors.Join(err, end()) }()
	if err != nil {
		return err
	}
	for _, p := range []struct {
		name string
		run  func(context.Context) error
	}{{"start", b.start}, {"load", b.load}, {"artifacts", b.artifacts}, {"scale", b.scale}, {"client", b.client}} {
		if !b.o.phases.has(p.name) {
			continue
		}
		begin := time.Now()
		if err := p.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		fmt.Fprintf(os.Stderr, "%s on %s took %.0f s\n", p.name, b.engine, time.Since(begin).Seconds())
	}
	return nil
}

// alone lets one server run at a time.
func (b *bench) alone(ctx context.Context, do func(*target) error) error {
	for _, s := range b.servers {
		if err := s.run(ctx, func() error { return do(s) }); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}
