package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kiwerk/kiwerk/internal/app/alone"
	"github.com/kiwerk/kiwerk/internal/config"
	"github.com/kiwerk/kiwerk/internal/tracking"
	"github.com/kiwerk/kiwerk/internal/tracking/access"
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/workspaces"
)

// runTracking serves tracking alone until ctx ends. Who may do what is asked
// of the cluster, as the whole platform does; nothing else of it is used.
func (o *operator) runTracking(ctx context.Context, cfg config.Config, cluster *rest.Config, log *slog.Logger) (err error) {
	options, err := o.trackingOptions(cfg, log)
	if err != nil {
		return err
	}
	if options.Users, err = clusterUsers(cluster, log); err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	s, err := alone.Open(ctx, options)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), operatorStop)
		defer cancel()
		err = errors.Join(err, s.Stop(ctx))
	}()
	log.Info("ready", "address", s.Addr().String())
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.Failed():
		return err
	}
}

// trackingOptions let tracking alone find what the whole platform has stored in the same data directory.
func (o *operator) trackingOptions(cfg config.Config, log *slog.Logger) (alone.Options, error) {
	host, port, err := net.SplitHostPort(cfg.Server.Listen)
	if err != nil {
		return alone.Options{}, fmt.Errorf("server.listen: %w", err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return alone.Options{}, fmt.Errorf("server.listen: %w", err)
	}
	platform, err := url.Parse(o.platformURL)
	if err != nil {
		return alone.Options{}, fmt.Errorf("--platform-url: %w", err)
	}
	dir, err := filepath.Abs(o.dataDir)
	if err != nil {
		return alone.Options{}, err
	}
	options := alone.Options{
		Host: host, Port: n, ServeArtifacts: true,
		Database:     firstOf(o.database, os.Getenv("MLFLOW_BACKEND_STORE_URI"), "sqlite:///"+DatabaseFile(dir)),
		Artifacts:    firstOf(o.artifacts, os.Getenv("MLFLOW_ARTIFACTS_DESTINATION"), cfg.Tracking.Artifacts),
		ArtifactRoot: firstOf(o.artifactRoot, os.Getenv("MLFLOW_DEFAULT_ARTIFACT_ROOT")),
		Workspaces:   true, Hosts: append([]string{platform.Hostname()}, cfg.Server.Hosts...), TLS: cfg.Server.TLS,
		Dir: dir, Getenv: os.Getenv, Clock: time.Now, Logger: log,
	}
	if options.Artifacts == "" {
		options.Artifacts, options.KeyPrefix = ArtifactDir(dir), tracking.KeyPrefix
	}
	return options, nil
}

// firstOf is the first text that is not empty.
func firstOf(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}

// clusterUsers are those of Kubernetes.
func clusterUsers(cfg *rest.Config, log *slog.Logger) (*alone.Users, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{authenticationv1.AddToScheme, authorizationv1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	cfg = clientConfig(cfg)
	known, err := mapper(scheme)(cfg, nil)
	if err != nil {
		return nil, err
	}
	c, err := client.New(cfg, client.Options{Scheme: scheme, Mapper: known})
	if err != nil {
		return nil, err
	}
	codec, authorizer := mlwire.Codec{Log: log}, newAuthorizer(c, clock.RealClock{})
	return &alone.Users{
		Authenticator: newAuthenticator(nil, c, clock.RealClock{}), Authorizer: authorizer,
		Endpoints: append(access.Elsewhere(codec), workspaces.Elsewhere(codec, namespaces{c, authorizer})...),
	}, nil
}
