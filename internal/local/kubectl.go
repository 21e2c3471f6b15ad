//go:build linux

package local

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/kiwerk/kiwerk/internal/cli"
	"github.com/kiwerk/kiwerk/internal/cluster/kubectl"
	"github.com/kiwerk/kiwerk/internal/text"
)

// runKubectl runs the real one against the platform of the data directory.
func runKubectl(ctx context.Context, s cli.Session, args []string) error {
	kubeconfig := filepath.Join(s.DataDir, kubeconfigFile)
	if _, err := os.Stat(kubeconfig); err != nil {
		return &cli.Failure{Code: cli.ExitNotFound, What: text.S(text.NotRunning, s.DataDir), Try: try("kiwerk up --data-dir " + s.DataDir)}
	}
	// Signals are kubectl's own affair: where it does not expect one, it ends by it.
	signal.Reset(os.Interrupt, unix.SIGTERM, unix.SIGHUP)
	return cli.Exit(kubectl.Run(ctx, kubeconfig, args, s.In, s.Out, s.Err))
}
