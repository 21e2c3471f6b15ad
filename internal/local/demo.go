//go:build linux

package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/kiwerk/kiwerk/internal/cli"
	"github.com/kiwerk/kiwerk/internal/demo"
	"github.com/kiwerk/kiwerk/internal/text"
)

// demoStart bounds the start of the demo's platform.
const demoStart = 2 * time.Minute

// playDemo starts a platform of its own on a free port, plays the day and
// stops it. A folder that was made for it is removed afterwards.
func playDemo(ctx context.Context, s cli.Session, o cli.DemoOptions, getenv func(string) string) (err error) {
	dir, temporary, err := demoDir(o.DataDir)
	if err != nil {
		return err
	}
	if temporary {
		defer func() {
			if rmErr := os.RemoveAll(dir); rmErr != nil {
				err = errors.Join(err, fmt.Errorf("remove %s: %w", dir, rmErr))
			}
		}()
	}
	s.DataDir = dir
	ready := make(chan readiness, 1)
	l := &launcher{
		session: s, options: cli.UpOptions{Listen: "127.0.0.1:0", Timeout: demoStart}, getenv: getenv,
		progress: &progress{session: s}, onReady: func(r readiness) { ready <- r }, discarded: temporary,
	}
	platform, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- l.run(platform) }()
	select {
	case r := <-ready:
		err = playOn(ctx, s, o, r, ended)
	case err := <-ended:
		return err
	case <-ctx.Done():
		err = ctx.Err()
	}
	cancel()
	return errors.Join(err, <-ended)
}

// readiness is what the demo needs to know of its platform.
type readiness struct {
	run    runState
	took   time.Duration
	python string
}

// playOn plays the day; a platform that ends meanwhile ends the day.
func playOn(ctx context.Context, s cli.Session, o cli.DemoOptions, r readiness, ended chan error) error {
	kube, err := clientcmd.BuildConfigFromFlags("", r.run.Kubeconfig)
	if err != nil {
		return err
	}
	kube.QPS = -1
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case err := <-ended:
			ended <- err // for who waits for the end
			cancel(fmt.Errorf("the platform of the demo ended: %w", err))
		case <-ctx.Done():
		}
	}()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	_, err = demo.Run(ctx, demo.Config{
		Report: o.Report, BadChallenger: o.BadChallenger, Python: r.python, Lang: s.Text.Lang(), Now: time.Now,
	}, demo.Platform{
		BaseURL: r.run.URL, Kube: kube, Started: r.took,
		Memory: func() (int64, error) {
			return demo.TreeMemory(r.run.Launcher, []string{filepath.Base(self), "kiwerk-agent"})
		},
	}, s.Out)
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// demoDir is an empty folder: the one asked for, or a fresh temporary one.
func demoDir(asked string) (dir string, temporary bool, err error) {
	if asked == "" {
		dir, err = os.MkdirTemp("", "kiwerk-demo-")
		return dir, true, err
	}
	entries, err := os.ReadDir(asked)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", false, err
	}
	if len(entries) > 0 {
		return "", false, &cli.Failure{Code: cli.ExitUsage, What: text.S(text.DemoDirNotEmpty, asked), Try: try("kiwerk demo quality-inspection")}
	}
	return asked, false, nil
}
