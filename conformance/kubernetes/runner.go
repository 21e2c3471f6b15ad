//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/kiwerk/kiwerk/internal/kwtest/running"
)

// runner runs specs in batches, each a process of the suite.
type runner struct {
	suite         *suite
	platform      *running.Platform
	results       *resultFile
	logs          string
	limit         time.Duration
	size, workers int
	nodes         int

	mu   sync.Mutex
	done int
	all  int
}

// run runs those that may run beside others first, then the serial ones alone.
func (r *runner) run(ctx context.Context, names []string) error {
	if err := os.MkdirAll(r.logs, 0o755); err != nil {
		return err
	}
	var beside, alone []string
	for _, name := range names {
		if r.results.serial(name) {
			alone = append(alone, name)
		} else {
			beside = append(beside, name)
		}
	}
	r.all = len(names)
	if err := r.batches(ctx, beside, r.workers); err != nil {
		return err
	}
	return r.batches(ctx, alone, 1)
}

func (r *runner) batches(ctx context.Context, names []string, workers int) error {
	queue := make(chan []string)
	errs := make(chan error, workers)
	for range workers {
		go func() {
			var err error
			for batch := range queue {
				if err == nil {
					err = r.batch(ctx, batch)
				}
			}
			errs <- err
		}()
	}
	for len(names) > 0 && ctx.Err() == nil {
		n := min(r.size, len(names))
		select {
		case queue <- names[:n]:
			names = names[n:]
		case <-ctx.Done():
		}
	}
	close(queue)
	var err error
	for range workers {
		if e := <-errs; err == nil {
			err = e
		}
	}
	if err == nil {
		err = context.Cause(ctx)
	}
	return err
}

// batch runs some specs and stores their outcomes. A spec that the suite says nothing about has failed.
func (r *runner) batch(ctx context.Context, names []string) error {
	dir, err := os.MkdirTemp(r.logs, "batch-")
	if err != nil {
		return err
	}
	run, cancel := context.WithTimeout(ctx, r.limit)
	defer cancel()
	focus := make([]string, len(names))
	for i, name := range names {
		focus[i] = regexp.QuoteMeta(name) + "$"
	}
	file := filepath.Join(dir, "report.json")
	absolute, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(dir, "output.txt"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.CommandContext(run, r.suite.program("e2e.test"),
		"--ginkgo.focus="+strings.Join(focus, "|"), "--ginkgo.json-report="+absolute, "--ginkgo.no-color", "--ginkgo.timeout="+r.limit.String(),
		"--kubeconfig="+r.platform.Kubeconfig(), "--provider=skeleton", "--num-nodes="+strconv.Itoa(r.nodes), "--disable-log-dump", "--dump-logs-on-failure",
		"--node-os-distro=custom", "--minStartupPods=0", "--kubectl-path="+r.suite.program("kubectl"))
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, dir
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	runErr := cmd.Run()
	if ctx.Err() != nil {
		return context.Cause(ctx) // interrupted: nothing is known about the batch
	}
	outcomes := map[string]result{}
	for _, name := range names {
		outcomes[name] = result{Outcome: failed, Note: fmt.Sprintf("no outcome (%v)", runErr)}
	}
	if rep, err := readReport(file); err == nil {
		rep.outcomes(func(name, state string, nanoseconds int64, message string) {
			o := result{Outcome: failed, Seconds: time.Duration(nanoseconds).Seconds(), Note: oneLine(message)}
			if state == passed {
				o.Outcome, o.Note = passed, ""
			}
			outcomes[name] = o
		})
	}
	r.tell(names, outcomes, dir)
	return r.results.add(outcomes)
}

func (r *runner) tell(names []string, outcomes map[string]result, dir string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range names {
		r.done++
		o := outcomes[name]
		fmt.Printf("%d/%d %s %.1f s %s\n", r.done, r.all, o.Outcome, o.Seconds, name)
		if o.Outcome != passed {
			fmt.Printf("      %s (%s)\n", o.Note, dir)
		}
	}
}

// oneLine makes a message fit into a line of the result file.
func oneLine(s string) string {
	const longest = 300
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > longest {
		s = s[:longest] + "…"
	}
	return strings.ToValidUTF8(s, "?")
}
