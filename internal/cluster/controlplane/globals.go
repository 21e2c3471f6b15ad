package controlplane

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"google.golang.org/grpc/grpclog"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/job"
	// Registers all features before gates are set.
	_ "k8s.io/kubernetes/pkg/features"

	// Must be initialised before the etcd client.
	_ "github.com/kiwerk/kiwerk/internal/cluster/quiet"
)

// The Job controller collects pod changes for this long before it looks at a
// job; one second (its default) would be most of the life of a short step.
const jobBatchPeriod = 50 * time.Millisecond

var prepared atomic.Bool

// Prepare sets what Kubernetes keeps in globals: feature gates, logging, tunables.
func Prepare(logger *slog.Logger, gates map[string]bool) error {
	if prepared.Swap(true) {
		return errors.New("this process has already run a cluster; Kubernetes cannot be started twice in one process")
	}
	if err := utilfeature.DefaultMutableFeatureGate.SetFromMap(gates); err != nil {
		return fmt.Errorf("feature gates: %w", err)
	}
	klog.SetLoggerWithOptions(logr.FromSlogHandler(logger.Handler()), klog.ContextualLogger(true))
	// Warnings of the API server to our own components would be told to nobody.
	rest.SetDefaultWarningHandler(rest.NoWarnings{})
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(discard{}, discard{}, grpcErrors{logger}))
	job.SyncJobBatchPeriod = jobBatchPeriod
	return nil
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

type grpcErrors struct{ logger *slog.Logger }

func (g grpcErrors) Write(p []byte) (int, error) {
	g.logger.Warn("grpc", "text", string(p))
	return len(p), nil
}
