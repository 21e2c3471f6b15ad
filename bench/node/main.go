//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/kiwerk/kiwerk/internal/kwtest/running"
)

// Bounds, from the design and the decisions about process tree and pod network.
const (
	boundStart      = 40.0 // fork and exec
	boundMemory     = 6.0  // MB for each container
	boundMemoryAt   = 50   // containers
	boundThroughput = 0.5  // of loopback
)

type settings struct {
	bin, user, output string
	starts, pods      int
	containers        []int
	settle, length    time.Duration
	rounds            int
}

func main() {
	var s settings
	counts := "1,10,50,100"
	flag.StringVar(&s.bin, "bin", "bin", "folder of the built programs")
	flag.StringVar(&s.user, "user", running.Ordinary, "ordinary user for the second half, if started as root; empty leaves it out")
	flag.StringVar(&s.output, "o", "table", "table or json")
	flag.IntVar(&s.starts, "starts", 41, "containers to start, each in turn with a bare process")
	flag.IntVar(&s.pods, "pods", 9, "pods to create, one after the other")
	flag.StringVar(&counts, "containers", counts, "numbers of idle containers to measure the memory with")
	flag.DurationVar(&s.settle, "settle", 8*time.Second, "pause before the memory is measured")
	flag.DurationVar(&s.length, "length", time.Second, "of one transfer")
	flag.IntVar(&s.rounds, "rounds", 5, "transfers of each kind")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var err error
	if s.containers, err = numbers(counts); err == nil {
		err = run(ctx, s, os.Stdout, os.Stderr)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/node:", err)
		os.Exit(1)
	}
}

// numbers reads the ascending list of counts.
func numbers(list string) ([]int, error) {
	var counts []int
	for field := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(field))
		if err != nil || n < 1 || len(counts) > 0 && n <= counts[len(counts)-1] {
			return nil, fmt.Errorf("containers %q: write ascending numbers from 1 with commas, for example 1,10,50", list)
		}
		counts = append(counts, n)
	}
	return counts, nil
}

func run(ctx context.Context, s settings, stdout, stderr io.Writer) (err error) {
	if s.output != "table" && s.output != "json" {
		return fmt.Errorf("-o %s: choose table or json", s.output)
	}
	work, err := os.MkdirTemp("/var/tmp", "kiwerk-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	if err := os.Chmod(work, 0o755); err != nil { // the ordinary user reads the image
		return err
	}
	probe, err := buildProbe(ctx, work)
	if err != nil {
		return err
	}
	logins := []string{""}
	if os.Geteuid() == 0 && s.user != "" {
		logins = append(logins, s.user)
	}
	var accounts []account
	for _, login := range logins {
		a, err := measure(ctx, s, login, probe, stderr)
		if err != nil {
			return err
		}
		accounts = append(accounts, a)
	}
	r := newReport()
	r.Accounts = accounts
	return r.print(stdout, s.output)
}

func buildProbe(ctx context.Context, dir string) (string, error) {
	to := filepath.Join(dir, "probe")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", to, "github.com/kiwerk/kiwerk/bench/node/probe")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the probe: %w\n%s", err, out)
	}
	return to, nil
}

// measure starts a platform as an account and takes all its figures.
func measure(ctx context.Context, s settings, login, probe string, stderr io.Writer) (a account, err error) {
	a.Name = "as root"
	if os.Geteuid() != 0 || login != "" {
		a.Name = "as a user"
	}
	p, err := running.Start(ctx, running.Options{Bin: s.bin, Login: login, Output: stderr})
	if err != nil {
		return a, err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	n, err := connect(ctx, p, probe)
	if err != nil {
		return a, err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	// Memory first: what it grows by later is not the containers'.
	for _, part := range []func(context.Context, settings) ([]row, error){n.memory, n.starts, n.network} {
		rows, err := part(ctx, s)
		if err != nil {
			return a, fmt.Errorf("%s: %w", a.Name, err)
		}
		a.Rows = append(a.Rows, rows...)
	}
	return a, nil
}
