//go:build linux

package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"k8s.io/utils/clock"
)

const (
	firstPause = 100 * time.Millisecond
	lastPause  = 10 * time.Second
	// goodRun is after how long a child counts as one that works.
	goodRun = time.Minute
	// endPatience is how long a child gets to end.
	endPatience = 5 * time.Second
)

// Config of a [Process].
type Config struct {
	Job Job
	// Command makes the program that calls [Run]; its input belongs to the process.
	Command func() *exec.Cmd
	Logger  *slog.Logger
	Clock   clock.Clock
}

// Process is the kubelet of a node as its daemon sees it.
type Process struct {
	cfg    Config
	cancel context.CancelFunc
	tasks  sync.WaitGroup
	failed chan error

	mu    sync.Mutex
	ready bool
}

// Start runs the child and keeps it running until [Process.Stop].
func Start(ctx context.Context, cfg Config) *Process {
	p := &Process{cfg: cfg, failed: make(chan error, 1)}
	ctx, p.cancel = context.WithCancel(context.WithoutCancel(ctx))
	p.tasks.Go(func() { p.keep(ctx) })
	return p
}

// Failed tells once if the child has ended before [Process.SetReady], and why.
func (p *Process) Failed() <-chan error { return p.failed }

// SetReady says that the node works: a child that ends from then on is no failure of the start.
func (p *Process) SetReady() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ready = true
}

func (p *Process) isReady() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ready
}

// Stop ends the child. Containers go on running.
func (p *Process) Stop() {
	p.cancel()
	p.tasks.Wait()
}

// keep starts the child again also before it was ready: whether the start has
// failed with it is for those to say who wait for the node. One that ends after
// they have seen the node work, and before they say so, must not be lost.
func (p *Process) keep(ctx context.Context) {
	defer close(p.failed)
	var pause time.Duration
	for {
		begun := p.cfg.Clock.Now()
		err := p.run(ctx)
		if ctx.Err() != nil {
			return
		}
		err = fmt.Errorf("the kubelet of node %s ended: %w", p.cfg.Job.NodeName, err)
		if !p.isReady() {
			select {
			case p.failed <- err:
			default: // the first one was told
			}
		}
		pause = nextPause(pause, p.cfg.Clock.Since(begun))
		p.cfg.Logger.Warn("the kubelet is started again", "node", p.cfg.Job.NodeName, "in", pause, "error", err)
		select {
		case <-p.cfg.Clock.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// nextPause is how long to wait with the next start after a run.
func nextPause(last, ran time.Duration) time.Duration {
	if last == 0 || ran >= goodRun {
		return firstPause
	}
	return min(2*last, lastPause)
}

var errEnded = errors.New("it ended without a reason; the log of the node may have one")

// run starts the child and returns when it has ended.
func (p *Process) run(ctx context.Context) error {
	cmd := p.cfg.Command()
	// What it mounts over device plugins' directory is for itself alone.
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return errors.Join(err, in.Close())
	}
	p.cfg.Logger.Info("started the kubelet", "node", p.cfg.Job.NodeName, "pid", cmd.Process.Pid)
	ended := make(chan struct{})
	defer close(ended)
	stop := context.AfterFunc(ctx, func() {
		_ = in.Close() // the child ends with its input
		select {
		case <-ended:
		case <-p.cfg.Clock.After(endPatience):
			_ = cmd.Process.Kill() // it hangs, or has just ended
		}
	})
	defer stop()
	err = json.NewEncoder(in).Encode(p.cfg.Job)
	if err = errors.Join(err, cmd.Wait()); err != nil {
		return err
	}
	return errEnded
}

// ReadJob is the child's side of its input. gone is called when the daemon is.
func ReadJob(in io.Reader, gone func()) (Job, error) {
	var job Job
	d := json.NewDecoder(in)
	if err := d.Decode(&job); err != nil {
		return job, fmt.Errorf("this command is started by kiwerk up, not by hand: %w", err)
	}
	go func() {
		_, _ = io.Copy(io.Discard, io.MultiReader(d.Buffered(), in)) // ends with the daemon
		gone()
	}()
	return job, nil
}
