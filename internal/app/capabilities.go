package app

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	kiwerk "github.com/kiwerk/kiwerk/api/kiwerk/v1alpha1"
	kserve "github.com/kiwerk/kiwerk/api/serving/v1beta1"
	"github.com/kiwerk/kiwerk/internal/buildinfo"
	"github.com/kiwerk/kiwerk/internal/data"
	datahttp "github.com/kiwerk/kiwerk/internal/data/http"
	"github.com/kiwerk/kiwerk/internal/gateway"
	"github.com/kiwerk/kiwerk/internal/kube"
	"github.com/kiwerk/kiwerk/internal/lifecycle"
	"github.com/kiwerk/kiwerk/internal/monitor"
	monitorcontroller "github.com/kiwerk/kiwerk/internal/monitor/controller"
	monitorhttp "github.com/kiwerk/kiwerk/internal/monitor/http"
	"github.com/kiwerk/kiwerk/internal/pipeline"
	"github.com/kiwerk/kiwerk/internal/retrain"
	retraincontroller "github.com/kiwerk/kiwerk/internal/retrain/controller"
	retrainhttp "github.com/kiwerk/kiwerk/internal/retrain/http"
	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/serving"
	servingcontroller "github.com/kiwerk/kiwerk/internal/serving/controller"
	"github.com/kiwerk/kiwerk/internal/tracking"
	"github.com/kiwerk/kiwerk/internal/tracking/access"
	"github.com/kiwerk/kiwerk/internal/tracking/mcp"
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/traces/prices"
	"github.com/kiwerk/kiwerk/internal/tracking/webhooks"
	"github.com/kiwerk/kiwerk/internal/tracking/workspaces"
)

// capability is what one part of the platform brings along.
type capability struct {
	name  string
	kinds []kube.Kind
	// setup adds controllers to the manager.
	setup func(ctrl.Manager) error
	// before starts ahead of the controllers, after behind them, when the caches are full.
	before, after lifecycle.Component
	endpoints     []server.Endpoint
}

// schemes of all kinds that controllers read.
var schemes = []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, argo.AddToScheme, kserve.AddToScheme, kiwerk.AddToScheme}

// services are what capabilities offer to each other through the interfaces
// that the one who needs them declares.
type services struct {
	tracking *tracking.Service
	data     *data.Service
	gateway  *gateway.Gateway
	metrics  prometheus.Registerer
}

// build makes the services of all capabilities, in the order in which they need each other.
func (a *App) build(ctx context.Context, mgr ctrl.Manager) ([]capability, error) {
	s := &services{metrics: a.metrics}
	var list []capability
	for _, make := range []func(context.Context, ctrl.Manager, *services) (capability, error){
		a.buildTracking, a.buildData, a.buildPipeline, a.buildServing, a.buildGateway, a.buildMonitor, a.buildRetrain,
	} {
		c, err := make(ctx, mgr, s)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

func (a *App) buildTracking(ctx context.Context, mgr ctrl.Manager, s *services) (capability, error) {
	hooks, err := webhooks.ConfigFromEnv(os.Getenv)
	if err != nil {
		return capability{}, err
	}
	hooks.KeyFile = filepath.Join(a.opts.DataDir, "webhooks.key")
	costs, err := prices.FromEnv(os.Getenv, a.logger("tracking"))
	if err != nil {
		return capability{}, err
	}
	icons, err := mcp.ConfigFromEnv(os.Getenv)
	if err != nil {
		return capability{}, err
	}
	t, err := tracking.New(ctx, tracking.Deps{
		Store: a.store, Blobs: a.blobs, Clock: a.opts.Clock.Now, NewID: tracking.RandomID, Logger: a.logger("tracking"),
		MaxArtifact: a.opts.Config.Tracking.MaxArtifactBytes, KeyPrefix: tracking.KeyPrefix, Webhooks: hooks, MCP: icons, Prices: costs,
		Origin: origins{mgr.GetAPIReader(), a.logger("tracking")}.of, Served: endpoints{mgr.GetClient()},
	})
	if err != nil {
		return capability{}, err
	}
	s.tracking = t
	codec := mlwire.Codec{Log: a.logger("tracking")}
	spaces := namespaces{mgr.GetAPIReader(), newAuthorizer(mgr.GetClient(), a.opts.Clock)}
	return capability{name: "tracking", before: t.Background(), endpoints: slices.Concat(t.Endpoints(), access.Elsewhere(codec), workspaces.Elsewhere(codec, spaces))}, nil
}

func (a *App) buildData(_ context.Context, _ ctrl.Manager, s *services) (capability, error) {
	d, err := data.New(data.Deps{
		Store: a.store, Blobs: a.blobs, TempDir: filepath.Join(a.opts.DataDir, "incoming"), Now: a.opts.Clock.Now,
		Logger: a.logger("data"), Metrics: s.metrics, Retention: a.opts.Config.Data.FeedbackRetention.Value(),
		MaxUpload: a.opts.Config.Tracking.MaxArtifactBytes,
	})
	if err != nil {
		return capability{}, err
	}
	s.data = d
	return capability{name: "data", before: d, endpoints: datahttp.Endpoints(d, a.logger("data"))}, nil
}

func (a *App) buildServing(ctx context.Context, _ ctrl.Manager, s *services) (capability, error) {
	changes, ticks := newTicker(s.tracking, func(c tracking.Change) bool { return c.Model != "" })
	return capability{
		name: "serving", kinds: serving.Kinds(), before: ticks,
		setup: func(mgr ctrl.Manager) error {
			return servingcontroller.Setup(mgr, servingcontroller.Deps{
				Clock: a.opts.Clock, Recorder: mgr.GetEventRecorder("kiwerk-serving"), Logger: a.logger("serving"),
				Platform: a.opts.Platform, Resolver: resolver{s.tracking}, Changes: changes,
				Policy: serving.Policy{FileRoots: a.opts.Config.Serving.FileRoots, AllowPrivateAddresses: a.opts.Config.Serving.AllowPrivateAddresses},
			})
		},
	}, nil
}

func (a *App) buildGateway(_ context.Context, mgr ctrl.Manager, s *services) (capability, error) {
	g, err := gateway.New(gateway.Deps{
		Cache: mgr.GetCache(), Recorder: s.data, Feedback: s.data, Clock: a.opts.Clock, Logger: a.logger("gateway"),
		Random: rand.Uint64N, DirectPods: a.opts.Local == nil || a.opts.Local.PodNetwork, Metrics: s.metrics,
	})
	if err != nil {
		return capability{}, err
	}
	s.gateway = g
	return capability{name: "gateway", after: g, endpoints: g.Endpoints()}, nil
}

func (a *App) buildMonitor(ctx context.Context, _ ctrl.Manager, s *services) (capability, error) {
	st, err := monitor.NewStore(ctx, a.store, a.opts.Clock.Now)
	if err != nil {
		return capability{}, err
	}
	notifier := monitor.NewNotifier(a.opts.Local != nil)
	if l := a.opts.Local; l != nil && l.Dial != nil {
		notifier = monitor.NewNotifierDialing(l.Dial)
	}
	changes, ticks := newTicker(s.tracking, func(tracking.Change) bool { return true })
	return capability{
		name: "monitoring", kinds: monitorcontroller.Kinds(), before: ticks, endpoints: monitorhttp.Endpoints(st),
		setup: func(mgr ctrl.Manager) error {
			return monitorcontroller.Setup(mgr, monitorcontroller.Deps{
				Clock: a.opts.Clock, Logger: a.logger("monitor"), Data: s.data, Store: st, Source: references{s.tracking},
				Notifier: notifier, Metrics: s.metrics, Changes: changes,
			})
		},
	}, nil
}

func (a *App) buildPipeline(_ context.Context, mgr ctrl.Manager, _ *services) (capability, error) {
	service := pipeline.NewService(pipeline.Options{
		Blobs: a.blobs, MaxArtifact: a.opts.Config.Tracking.MaxArtifactBytes, Client: mgr.GetClient(), Now: a.opts.Clock.Now, Version: buildinfo.Version(),
	})
	return capability{
		name: "pipelines", kinds: pipeline.Kinds(), endpoints: service.Endpoints(),
		setup: func(mgr ctrl.Manager) error {
			return pipeline.Setup(mgr, pipeline.Deps{
				Clock: a.opts.Clock, Recorder: mgr.GetEventRecorder("kiwerk-pipelines"), Platform: a.opts.Platform,
				Blobs: a.blobs, Logger: a.logger("pipeline"),
			})
		},
	}, nil
}

func (a *App) buildRetrain(ctx context.Context, _ ctrl.Manager, s *services) (capability, error) {
	decisions, err := retrain.NewStore(ctx, a.store)
	if err != nil {
		return capability{}, err
	}
	return capability{
		name: "retraining", kinds: retrain.Kinds(), endpoints: retrainhttp.Endpoints(decisions),
		setup: func(mgr ctrl.Manager) error {
			return retraincontroller.Setup(mgr, retraincontroller.Deps{
				Clock: a.opts.Clock, Recorder: mgr.GetEventRecorder("kiwerk-retrain"), Logger: a.logger("retrain"),
				Data: s.data, Datasets: s.data, Artifacts: artifacts{a.blobs}, Registry: registry{s.tracking},
				Predictor: s.gateway, Traffic: s.gateway, Decisions: decisions, Watch: s.data.Watch,
			})
		},
	}, nil
}

// uncached are kinds that are read rarely: a cache of them would hold every
// Secret of the cluster in memory and need the right to list them.
func uncached() []client.Object {
	return []client.Object{&corev1.Secret{}, &corev1.ConfigMap{}, &corev1.ServiceAccount{}, &rbacv1.ClusterRole{}, &rbacv1.RoleBinding{}}
}
