package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

// controlPlaneReady is the line that tells the parent how to reach the control plane.
type controlPlaneReady struct {
	Kubeconfig string `json:"kubeconfig"`
	Address    string `json:"address"`
}

// RunControlPlane is the command `kiwerk internal control-plane --data-dir D`: a
// cluster without a node, for tests. It prints one JSON line on stdout when it
// is ready and ends when ctx does, on SIGTERM or SIGINT, or when stdin closes,
// that is when its parent is gone.
func RunControlPlane(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) (err error) {
	flags := flag.NewFlagSet("control-plane", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	dir := flags.String("data-dir", "", "folder for data, logs and the kubeconfig")
	flags.StringVar(dir, "dir", "", "the same")
	kubeconfig := flags.String("kubeconfig", "", "file to write, DIR/kubeconfig by default")
	if err = flags.Parse(args); err != nil {
		return err
	}
	if *dir == "" {
		return errors.New("control-plane: --data-dir is missing: name the folder for its data")
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		// Reading ends when the parent closes its end, on purpose or by dying.
		_, _ = io.Copy(io.Discard, stdin)
		cancel()
	}()

	data, err := filepath.Abs(*dir)
	if err != nil {
		return err
	}
	if err = os.MkdirAll(data, privateDir); err != nil {
		return err
	}
	sockets, err := os.MkdirTemp("", "kiwerk-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(sockets)) }()
	log, err := os.OpenFile(filepath.Join(data, "control-plane.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()

	c, err := New(Config{DataDir: data, RuntimeDir: sockets, Logger: slog.New(slog.NewJSONHandler(log, nil))})
	if err != nil {
		return err
	}
	if err = c.Start(ctx); err != nil {
		return err
	}
	defer func() {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		err = errors.Join(err, c.Stop(stopping))
	}()
	setDefault(kubeconfig, filepath.Join(data, "kubeconfig"))
	return serveControlPlane(ctx, c, *kubeconfig, stdout)
}

func serveControlPlane(ctx context.Context, c *Cluster, kubeconfig string, stdout io.Writer) error {
	if err := c.WriteKubeconfig(kubeconfig); err != nil {
		return err
	}
	if err := json.NewEncoder(stdout).Encode(controlPlaneReady{Kubeconfig: kubeconfig, Address: c.APIAddress()}); err != nil {
		return fmt.Errorf("tell the parent that the control plane is ready: %w", err)
	}
	select {
	case <-ctx.Done():
		return nil
	case <-c.Done():
		return c.Err()
	}
}
