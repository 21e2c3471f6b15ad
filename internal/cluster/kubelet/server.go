package kubelet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"k8s.io/apiserver/pkg/server/healthz"
	k8skubelet "k8s.io/kubernetes/pkg/kubelet"
	kubeletconfig "k8s.io/kubernetes/pkg/kubelet/apis/config"
	"k8s.io/kubernetes/pkg/kubelet/server"
	"k8s.io/kubernetes/pkg/kubelet/server/stats"
)

const (
	readHeaderTimeout = 30 * time.Second
	// Logs are followed and shells kept open for hours.
	streamTimeout = 4 * time.Hour
)

// apiServer serves the kubelet's API (logs, exec, statistics) on a unix socket.
type apiServer struct {
	http *http.Server
	done chan error
}

// serve starts the API. The socket is in a private folder and still asks for a
// client certificate, so that a leaked path alone opens nothing.
func serve(ctx context.Context, cfg Config, kl *k8skubelet.Kubelet, deps *k8skubelet.Dependencies, kc *kubeletconfig.KubeletConfiguration) (*apiServer, error) {
	path := filepath.Join(cfg.RuntimeDir, socketName)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("kubelet: %w", err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("kubelet: %w", err)
	}
	analyzer := stats.NewResourceAnalyzer(ctx, kl, kc.VolumeStatsAggPeriod.Duration, deps.Recorder)
	var checks []healthz.HealthChecker
	if deps.ContainerManager != nil {
		checks = deps.ContainerManager.GetHealthCheckers()
	}
	handler := server.NewServer(ctx, kl, analyzer, checks, nil, deps.Auth, kc)
	s := &apiServer{done: make(chan error, 1), http: &http.Server{
		Handler:           &handler,
		ReadHeaderTimeout: readHeaderTimeout,
		WriteTimeout:      streamTimeout,
		ErrorLog:          slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelWarn),
		TLSConfig: &tls.Config{
			MinVersion: tls.VersionTLS13,
			// The handler checks it against the cluster's authority.
			ClientAuth: tls.RequireAnyClientCert,
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
				return cfg.Serving.Certificate()
			},
		},
	}}
	go func() { s.done <- s.http.ServeTLS(listener, "", "") }()
	return s, nil
}

func (s *apiServer) stop() error {
	err := s.http.Close()
	if serveErr := <-s.done; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}
