//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"time"

	"github.com/kiwerk/kiwerk/internal/kwtest/running"
)

// settings are the flags.
type settings struct {
	bin, cache, results, leftOut string
	user                         string
	part                         part
	only                         string
	again, keep, list            bool
	workers, batch, nodes        int
	limit                        time.Duration
}

func main() {
	var s settings
	flag.StringVar(&s.bin, "bin", "bin", "folder of the built programs")
	flag.StringVar(&s.cache, "cache", ".cache/conformance", "folder for the suite, its programs and images")
	flag.StringVar(&s.results, "results", "docs/conformance", "folder of the result files")
	flag.StringVar(&s.leftOut, "left-out", "conformance/kubernetes/left-out.txt", "specs that are not run, with reasons")
	flag.StringVar(&s.user, "user", "", "ordinary user to run the platform as, made if missing; empty runs it as who calls")
	flag.Var(&s.part, "part", "which part of the specs to run, for example 1/8")
	flag.StringVar(&s.only, "only", "", "run only specs whose name matches this expression")
	flag.BoolVar(&s.again, "again", false, "run specs again that passed before")
	flag.BoolVar(&s.keep, "keep", false, "leave the platform running, to look at what failed")
	flag.BoolVar(&s.list, "list", false, "list the specs of the part and how they stand; run nothing")
	flag.IntVar(&s.workers, "workers", 16, "batches at a time; specs marked [Serial] run alone")
	flag.IntVar(&s.batch, "batch", 2, "specs in one process of the suite")
	flag.IntVar(&s.nodes, "nodes", 2, "nodes of the cluster; two specs want more than one")
	flag.DurationVar(&s.limit, "limit", time.Hour, "time for one batch")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, s)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance/kubernetes:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) (err error) {
	tools, err := compile(ctx, s.cache)
	if err != nil {
		return err
	}
	specs, err := tools.specs(ctx)
	if err != nil {
		return err
	}
	account := asRoot
	if s.user != "" || os.Geteuid() != 0 {
		account = asUser
	}
	without, err := readLeftOut(s.leftOut, account)
	if err != nil {
		return err
	}
	results, err := openResults(filepath.Join(s.results, "kubernetes-"+account+".txt"), account, specs, without)
	if err != nil {
		return err
	}
	only, err := regexp.Compile(s.only)
	if err != nil {
		return fmt.Errorf("--only: %w", err)
	}
	todo := results.todo(s.part, only, s.again)
	if s.list {
		for _, name := range todo {
			fmt.Println(name)
		}
		return nil
	}
	if len(todo) > 0 {
		if err := runSpecs(ctx, s, tools, results, todo); err != nil {
			return err
		}
	}
	fmt.Println(results.summary())
	if failed := results.failed(todo); len(failed) > 0 {
		return fmt.Errorf("%d of the %d specs that were run failed; their output is in %s", len(failed), len(todo), filepath.Join(s.cache, "logs"))
	}
	return nil
}

func runSpecs(ctx context.Context, s settings, tools *suite, results *resultFile, todo []string) (err error) {
	archive, err := packImages(ctx, s.cache, tools)
	if err != nil {
		return err
	}
	p, err := running.Start(ctx, running.Options{Bin: s.bin, Login: s.user, Output: os.Stderr, Up: []string{"--images", "oci", "--nodes", strconv.Itoa(s.nodes)}})
	if err != nil {
		return err
	}
	defer func() {
		if s.keep {
			fmt.Printf("The platform goes on in %s; stop it with: %s --data-dir %s down\n", p.DataDir(), p.Program(), p.DataDir())
			return
		}
		err = errors.Join(err, p.Stop())
	}()
	if err := p.Kiwerk(ctx, "image", "load", archive); err != nil {
		return err
	}
	r := runner{suite: tools, platform: p, results: results, logs: filepath.Join(s.cache, "logs"), limit: s.limit, size: s.batch, workers: s.workers, nodes: s.nodes}
	return r.run(ctx, todo)
}
