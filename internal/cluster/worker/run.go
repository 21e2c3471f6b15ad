//go:build linux

package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/kiwerk/kiwerk/internal/cluster/controlplane"
	"github.com/kiwerk/kiwerk/internal/cluster/kubelet"
)

const stopTimeout = 5 * time.Second

// Run is the child: it runs the kubelet of a job until ctx ends.
func Run(ctx context.Context, job Job, served kubelet.Served, logger *slog.Logger) error {
	lock, err := own(job.KubeletDir)
	if err != nil {
		return fmt.Errorf("node %s: %w", job.NodeName, err)
	}
	defer lock.Close()
	if err := controlplane.Prepare(logger, job.Gates); err != nil {
		return err
	}
	k := kubelet.New(kubelet.Config{
		RootDir: job.KubeletDir, PodLogsDir: job.PodLogsDir, RuntimeDir: job.RuntimeDir, CRISocket: job.CRISocket,
		NodeName: job.NodeName, Port: job.Port, Serving: job.Serving, ClientCA: job.CAFile,
		ResolvConf: job.ResolvConf, ClusterDNS: job.ClusterDNS, ClusterDomain: job.ClusterDomain,
		Client: job.client, Served: served, Logger: logger, Clock: clock.RealClock{},
	})
	if err := k.Start(ctx); err != nil {
		return fmt.Errorf("node %s: %w", job.NodeName, err)
	}
	select {
	case <-k.Done():
		return fmt.Errorf("node %s: the kubelet ended: %w", job.NodeName, k.Err())
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := k.Stop(stop); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("node %s: %w", job.NodeName, err)
	}
	return nil
}

// client has the rights of this node. Certificates that are renewed are read again.
func (j Job) client(userAgent string) *rest.Config {
	return rest.AddUserAgent(&rest.Config{
		Host: j.APIServer, QPS: -1,
		TLSClientConfig: rest.TLSClientConfig{CAFile: j.CAFile, CertFile: j.Client.CertFile, KeyFile: j.Client.KeyFile},
		ContentConfig: rest.ContentConfig{
			ContentType: runtime.ContentTypeProtobuf, AcceptContentTypes: runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON,
		},
	}, userAgent)
}
