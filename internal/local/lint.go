//go:build linux

package local

import (
	"context"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/kiwerk/kiwerk/internal/cli"
	"github.com/kiwerk/kiwerk/internal/lint"
	"github.com/kiwerk/kiwerk/internal/lint/dryrun"
)

// dryRun asks the API server of a kubeconfig, or of the running platform.
func dryRun(ctx context.Context, s cli.Session, kubeconfig string, objects []lint.Object) ([]lint.Refusal, error) {
	own := kubeconfig == ""
	if own {
		kubeconfig = filepath.Join(s.DataDir, kubeconfigFile)
	}
	loaded := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(&clientcmd.ClientConfigLoadingRules{ExplicitPath: kubeconfig}, nil)
	cfg, err := loaded.ClientConfig()
	if err != nil && own {
		return nil, notRunning(s)
	}
	if err != nil {
		return nil, err
	}
	namespace, _, err := loaded.Namespace()
	if err != nil {
		return nil, err
	}
	refused, err := dryrun.Try(ctx, cfg, namespace, objects)
	if err != nil && own && ctx.Err() == nil {
		return nil, notRunning(s)
	}
	return refused, err
}
