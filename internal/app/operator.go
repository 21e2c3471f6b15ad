package app

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/clock"

	"github.com/kiwerk/kiwerk/internal/app/front"
	"github.com/kiwerk/kiwerk/internal/config"
	"github.com/kiwerk/kiwerk/internal/kube"
	"github.com/kiwerk/kiwerk/internal/text/plain"
)

// operator is what the flags of kiwerk-operator say.
type operator struct {
	kubeconfig, config, dataDir, platformURL, components string
	// Of tracking alone.
	database, artifacts, artifactRoot string
}

// Selections of parts.
const (
	AllComponents = "all"
	// TrackingComponent is tracking and registry alone, in as many copies as one likes where they share a PostgreSQL.
	TrackingComponent = "tracking"
)

const operatorStop = 30 * time.Second

// RunOperator runs the platform against the Kubernetes of a company until ctx
// ends and returns the exit code.
func RunOperator(ctx context.Context, args []string, stderr io.Writer) int {
	o, err := parseOperator(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(stderr, "kiwerk-operator:", err)
		return 2
	}
	if err := o.run(ctx, slog.New(slog.NewJSONHandler(stderr, nil))); err != nil {
		fmt.Fprintln(stderr, "kiwerk-operator:", plain.Error(err))
		return 1
	}
	return 0
}

func parseOperator(args []string, out io.Writer) (*operator, error) {
	o := &operator{}
	f := flag.NewFlagSet("kiwerk-operator", flag.ContinueOnError)
	f.SetOutput(out)
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig of the cluster; empty inside a pod")
	f.StringVar(&o.config, "config", "", "configuration file")
	f.StringVar(&o.dataDir, "data-dir", "/var/lib/kiwerk", "folder of the database and the artifacts; a persistent volume")
	f.StringVar(&o.platformURL, "platform-url", "", "address under which pods reach this program, e.g. https://kiwerk.kiwerk.svc.cluster.local")
	f.StringVar(&o.components, "components", AllComponents, "parts that run: "+AllComponents+", or "+TrackingComponent+" alone")
	f.StringVar(&o.database, "backend-store-uri", "", "database of --components=tracking, e.g. postgresql://USER@HOST/NAME; empty takes MLFLOW_BACKEND_STORE_URI, else a file in the data directory")
	f.StringVar(&o.artifacts, "artifacts-destination", "", "folder or bucket of the artifacts; empty takes MLFLOW_ARTIFACTS_DESTINATION (--components=tracking), tracking.artifacts of the configuration, else a folder in the data directory")
	f.StringVar(&o.artifactRoot, "default-artifact-root", "", "where clients of --components=tracking keep artifacts themselves; empty takes MLFLOW_DEFAULT_ARTIFACT_ROOT, else they go through the server")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if o.components != AllComponents && o.components != TrackingComponent {
		return nil, fmt.Errorf("--components=%s: parts that run on their own are %s and %s", o.components, AllComponents, TrackingComponent)
	}
	if o.components == AllComponents && (o.database != "" || o.artifactRoot != "") {
		return nil, fmt.Errorf("--backend-store-uri and --default-artifact-root belong to --components=%s", TrackingComponent)
	}
	if u, err := url.Parse(o.platformURL); err != nil || u.Host == "" {
		return nil, errors.New("--platform-url is required: the address under which pods reach this program")
	}
	return o, nil
}

func (o *operator) run(ctx context.Context, log *slog.Logger) (err error) {
	cfg := config.Default()
	if o.config != "" {
		if cfg, err = config.Load(o.config); err != nil {
			return err
		}
	}
	client, err := o.client()
	if err != nil {
		return fmt.Errorf("cluster (--kubeconfig): %w", err)
	}
	if err := os.MkdirAll(o.dataDir, 0o700); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	if o.components == TrackingComponent {
		return o.runTracking(ctx, cfg, client, log)
	}
	cfg.Tracking.Artifacts = firstOf(o.artifacts, cfg.Tracking.Artifacts)
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", cfg.Server.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	face := front.New(log)
	if err := face.Serve(listener, cfg.Server.TLS); err != nil {
		return err
	}
	a, err := New(Options{
		Config: cfg, DataDir: o.dataDir, Front: face, Clock: clock.RealClock{}, Logger: log,
		Platform: kube.Platform{BaseURL: o.platformURL},
	})
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), operatorStop)
		defer cancel()
		err = errors.Join(err, a.Stop(ctx), face.Stop(ctx))
	}()
	if err := a.Open(ctx); err != nil {
		return err
	}
	if err := a.Start(ctx, client); err != nil {
		return err
	}
	face.SetReady()
	log.Info("ready", "address", listener.Addr().String())
	select {
	case <-ctx.Done():
		return nil
	case err := <-a.Failed():
		return err
	case err := <-face.Failed():
		return err
	}
}

func (o *operator) client() (*rest.Config, error) {
	if o.kubeconfig == "" {
		return rest.InClusterConfig()
	}
	return clientcmd.BuildConfigFromFlags("", o.kubeconfig)
}
