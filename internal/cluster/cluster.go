package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	"github.com/kiwerk/kiwerk/internal/cluster/controlplane"
	"github.com/kiwerk/kiwerk/internal/cluster/etcd"
	"github.com/kiwerk/kiwerk/internal/cluster/kubelet"
	"github.com/kiwerk/kiwerk/internal/cluster/metrics"
	"github.com/kiwerk/kiwerk/internal/cluster/node"
	"github.com/kiwerk/kiwerk/internal/cluster/pki"
	"github.com/kiwerk/kiwerk/internal/cluster/services"
	"github.com/kiwerk/kiwerk/internal/cluster/simulate"
	"github.com/kiwerk/kiwerk/internal/cluster/storage"
)

// Phases of a start, as given to [Config.Phase].
const (
	PhaseCertificates = "certificates"
	PhaseStore        = "store"
	PhaseAPIServer    = "api-server"
	PhaseControllers  = "controllers"
	PhaseNode         = "node"
)

// Cluster is a Kubernetes cluster in this process. Start it at most once.
type Cluster struct {
	cfg     Config
	address string
	nodeIP  net.IP

	certs       *pki.Store
	store       *etcd.Server
	api         *controlplane.APIServer
	scheduler   *controlplane.Scheduler
	controllers *controlplane.Controllers
	kubelet     *kubelet.Kubelet
	workers     workers
	services    *services.Services
	usage       []*metrics.Runtime

	kubeconfigs kubeconfigs

	stopOnce   sync.Once
	stopErr    error
	begun      time.Time
	background context.CancelFunc
	tasks      sync.WaitGroup
	done       chan struct{}
	endOnce    sync.Once
	err        error
}

// New checks cfg and opens the listener of the API server, so that its address is known.
func New(cfg Config) (*Cluster, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, fmt.Errorf("local cluster: %w", err)
	}
	if cfg.APIListener == nil {
		if cfg.APIListener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return nil, fmt.Errorf("local cluster: %w", err)
		}
	}
	c := &Cluster{cfg: cfg, address: cfg.APIListener.Addr().String(), done: make(chan struct{})}
	if cfg.Node == nil {
		c.nodeIP = node.HostIP()
		return c, nil
	}
	c.nodeIP = cfg.Node.IP
	c.cfg.APIListener = joinListeners(cfg.APIListener, cfg.Node.APIListener)
	return c, nil
}

// APIAddress is host:port of the API server, a loopback address that its certificate names.
func (c *Cluster) APIAddress() string { return c.address }

// NodeName is the name of the first node.
func (c *Cluster) NodeName() string { return c.cfg.NodeName }

// NodeIP is the address under which the node is known. On the host's network it is not listened on.
func (c *Cluster) NodeIP() net.IP { return c.nodeIP }

// RESTConfig is a client with all rights that uses the server's loopback connection; call it after Start.
func (c *Cluster) RESTConfig() *rest.Config { return c.api.Client("kiwerk") }

// Done is closed when a component ended without having been stopped, or after Stop.
func (c *Cluster) Done() <-chan struct{} { return c.done }

// Err tells why the cluster ended by itself, once Done is closed; nil after Stop.
func (c *Cluster) Err() error {
	select {
	case <-c.done:
		return c.err
	default:
		return nil
	}
}

// Init creates the folders and certificates.
func (c *Cluster) Init(context.Context) error {
	for _, dir := range []string{c.cfg.DataDir, c.cfg.RuntimeDir, c.cfg.PodLogsDir, c.cfg.VolumesDir} {
		if err := os.MkdirAll(dir, privateDir); err != nil {
			return fmt.Errorf("local cluster: %w", err)
		}
	}
	return nil
}

// Start returns when the cluster is ready for work: the API server is ready,
// controllers and scheduler run and the node, if there is one, is Ready.
func (c *Cluster) Start(ctx context.Context) error {
	if err := c.start(ctx); err != nil {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		return errors.Join(fmt.Errorf("local cluster: %w", err), c.Stop(stop))
	}
	return nil
}

const stopTimeout = 15 * time.Second

func (c *Cluster) start(ctx context.Context) error {
	c.begun = c.cfg.Clock.Now()
	if err := c.Init(ctx); err != nil {
		return err
	}
	if err := controlplane.Prepare(c.cfg.Logger, c.gates()); err != nil {
		return err
	}
	if err := c.phase(PhaseCertificates, func() error { return c.openCertificates() }); err != nil {
		return err
	}
	if err := c.phase(PhaseStore, func() error { return c.startStore(ctx) }); err != nil {
		return err
	}
	var background context.Context
	background, c.background = context.WithCancel(context.WithoutCancel(ctx))
	c.goTask(background, func(ctx context.Context) error {
		return c.certs.Run(ctx, func(err error) { c.cfg.Logger.Error("certificates were not renewed", "error", err) })
	})
	c.certs.OnChange(c.rewriteKubeconfigs)
	if err := c.phase(PhaseAPIServer, func() error { return c.startAPIServer(ctx) }); err != nil {
		return err
	}
	if err := c.startServices(ctx); err != nil {
		return err
	}
	// The kubelet comes up while the controllers do.
	node := c.startNode(ctx)
	if err := c.phase(PhaseControllers, func() error { return c.startControllers(ctx) }); err != nil {
		return errors.Join(err, <-node)
	}
	if c.kubelet != nil {
		if err := c.phase(PhaseNode, func() error { return c.awaitNode(ctx, node) }); err != nil {
			return err
		}
	}
	c.watchComponents(background)
	return c.startHelpers(background)
}

// startHelpers starts what is ours: the provisioner of volumes, what plays simulated nodes and, on a node, the annotator of ports.
func (c *Cluster) startHelpers(ctx context.Context) error {
	volumes, err := storage.New(c.api.Client("kiwerk-volumes"), c.cfg.VolumesDir, c.cfg.Logger)
	if err != nil {
		return err
	}
	c.goTask(ctx, volumes.Run)
	var realNodes []string
	if c.kubelet != nil {
		realNodes = c.NodeNames()
	}
	nodes, err := simulate.New(c.api.Client("kiwerk-simulate"), realNodes, c.cfg.Logger, c.cfg.Clock)
	if err != nil {
		return err
	}
	c.goTask(ctx, nodes.Run)
	if c.usage != nil {
		if err := metrics.Register(ctx, c.api.Client("kiwerk-metrics")); err != nil {
			return err
		}
	}
	if c.cfg.Ports == nil {
		return nil
	}
	ports, err := node.NewAnnotator(c.api.Client("kiwerk-node"), c.cfg.Ports, c.cfg.Logger, c.cfg.Clock)
	if err != nil {
		return err
	}
	c.goTask(ctx, ports.Run)
	return nil
}

// Stop ends the components in the reverse order of the start.
func (c *Cluster) Stop(ctx context.Context) error {
	c.stopOnce.Do(func() { c.stopErr = c.stop(ctx) })
	return c.stopErr
}

func (c *Cluster) stop(ctx context.Context) error {
	var errs []error
	if c.background != nil {
		c.background()
		c.tasks.Wait()
	}
	if c.services != nil {
		errs = append(errs, c.services.Stop(ctx))
	}
	c.workers.stop()
	if c.kubelet != nil {
		errs = append(errs, c.kubelet.Stop(ctx))
	}
	if c.controllers != nil {
		errs = append(errs, c.controllers.Stop(ctx))
	}
	if c.scheduler != nil {
		errs = append(errs, c.scheduler.Stop(ctx))
	}
	if c.api != nil {
		errs = append(errs, c.api.Stop(ctx))
	} else {
		errs = append(errs, c.cfg.APIListener.Close())
	}
	for _, u := range c.usage {
		errs = append(errs, u.Close())
	}
	if c.store != nil {
		errs = append(errs, c.store.Stop(ctx))
	}
	c.end(nil)
	return errors.Join(errs...)
}

func (c *Cluster) gates() map[string]bool {
	if c.cfg.CRISocket == "" {
		return nil
	}
	// The exit of a container is known when it happens, not at the next look a second later. What a pod uses
	// comes from the runtime, which alone knows: without it no memory limit of a pod could be lowered.
	return map[string]bool{"EventedPLEG": true, "PodAndContainerStatsFromCRI": true}
}

func (c *Cluster) phase(name string, f func() error) error {
	begun := c.cfg.Clock.Now()
	if err := f(); err != nil {
		return err
	}
	took := c.cfg.Clock.Since(begun)
	c.cfg.Logger.Info("phase done", "phase", name, "duration", took)
	if c.cfg.Phase != nil {
		c.cfg.Phase(name, took)
	}
	return nil
}

func (c *Cluster) openCertificates() error {
	loopback := net.IPv4(127, 0, 0, 1)
	certs, err := pki.Open(pki.Options{
		Dir: filepath.Join(c.cfg.DataDir, "pki"), Clock: c.cfg.Clock,
		ServerIPs:   []net.IP{loopback, net.IPv6loopback, net.ParseIP(controlplane.ServiceIP), c.nodeIP},
		ServerNames: []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"},
		NodeName:    c.cfg.NodeName,
		NodeIPs:     []net.IP{loopback, c.nodeIP},
		Workers:     c.workerCertificates(),
	})
	c.certs = certs
	return err
}

func (c *Cluster) startStore(ctx context.Context) error {
	store := etcd.New(etcd.Config{Dir: filepath.Join(c.cfg.DataDir, "etcd"), RuntimeDir: c.cfg.RuntimeDir, Logger: c.cfg.Logger.With("component", "etcd")})
	if err := store.Init(ctx); err != nil {
		return err
	}
	if err := store.Start(ctx); err != nil {
		return err
	}
	c.store = store
	return nil
}

func (c *Cluster) startAPIServer(ctx context.Context) error {
	cfg := controlplane.APIServerConfig{
		Listener:     c.cfg.APIListener,
		EtcdEndpoint: c.store.Endpoint(),
		Certificates: c.certs,
		AdvertiseIP:  c.nodeIP,
		Publish:      c.cfg.Node != nil,
	}
	if c.cfg.CRISocket != "" {
		var names []string
		if c.cfg.Node != nil {
			names = []string{services.DNS.String()}
		}
		c.kubelet = kubelet.New(kubelet.Config{
			ClusterDNS: names, ClusterDomain: services.Domain,
			RootDir: c.cfg.KubeletDir, PodLogsDir: c.cfg.PodLogsDir, RuntimeDir: c.cfg.RuntimeDir,
			CRISocket: c.cfg.CRISocket, NodeName: c.cfg.NodeName, Port: kubeletPort(1),
			Serving: c.certs.Kubelet(), ClientCA: c.certs.CAFile(),
			Client: func(userAgent string) *rest.Config { return c.api.Client(userAgent) },
			Served: c.cfg.Served, Logger: c.cfg.Logger, Clock: c.cfg.Clock, ResolvConf: c.resolvConf(),
		})
		cfg.DialKubelet = c.dialKubelet
		var err error
		if cfg.Extra, err = c.metrics(); err != nil {
			return err
		}
	}
	c.api = controlplane.NewAPIServer(cfg)
	return c.api.Start(ctx)
}

func (c *Cluster) resolvConf() string {
	if c.cfg.Node == nil {
		return ""
	}
	return c.cfg.Node.ResolvConf
}

// startServices starts what a node needs for Services, before its kubelet adopts and makes pods.
func (c *Cluster) startServices(ctx context.Context) (err error) {
	if c.kubelet == nil {
		return nil
	}
	cfg := services.Config{
		Client: c.api.Client("kiwerk-services"), NodeName: c.cfg.NodeName, Nodes: c.NodeNames()[1:], Range: netip.MustParsePrefix(controlplane.ServiceCIDR),
		Logger: c.cfg.Logger, Clock: c.cfg.Clock,
	}
	if c.cfg.Node != nil {
		cfg.Host = c.cfg.Node.Host
	}
	if c.services, err = services.New(ctx, cfg); err != nil {
		return err
	}
	return c.services.Start(ctx)
}

// AdmitPod isolates a pod that has just got an address as policies demand, before its containers start.
func (c *Cluster) AdmitPod(ctx context.Context, namespace, name, uid string, ip netip.Addr) error {
	return c.services.Admit(ctx, namespace, name, uid, ip)
}

// startNode makes the nodes and starts their kubelets; the channel tells how that went.
func (c *Cluster) startNode(ctx context.Context) <-chan error {
	done := make(chan error, 1)
	if c.kubelet == nil {
		done <- nil
		return done
	}
	go func() {
		if err := node.Ensure(ctx, c.api.Client("kiwerk-node"), c.cfg.NodeName, c.nodeIP); err != nil {
			done <- err
			return
		}
		if err := c.startWorkers(ctx); err != nil {
			done <- err
			return
		}
		done <- c.kubelet.Start(ctx)
	}()
	return done
}

func (c *Cluster) awaitNode(ctx context.Context, started <-chan error) error {
	if err := <-started; err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-c.kubelet.Done():
			cancel(fmt.Errorf("the kubelet ended: %w", c.kubelet.Err()))
		case err := <-c.workers.failed():
			cancel(err)
		case <-ctx.Done():
		}
	}()
	var err error
	for _, name := range c.NodeNames() {
		if err = node.WaitReady(ctx, c.api.Client("kiwerk-node"), name, c.begun); err != nil {
			break
		}
	}
	if err != nil && ctx.Err() != nil {
		err = errors.Join(err, context.Cause(ctx))
	}
	if err == nil {
		c.workers.setReady()
	}
	return err
}

func (c *Cluster) startControllers(ctx context.Context) (err error) {
	if c.scheduler, err = controlplane.StartScheduler(ctx, c.api.Client("kube-scheduler")); err != nil {
		return err
	}
	// The controllers look for a ready server once a second, so they start when it is.
	if err = c.api.WaitReady(ctx); err != nil {
		return err
	}
	c.controllers, err = controlplane.StartControllers(ctx, c.api.Client("kube-controller-manager"), c.certs)
	return err
}

// goTask runs f until the cluster stops.
func (c *Cluster) goTask(ctx context.Context, f func(context.Context) error) {
	c.tasks.Go(func() {
		if err := f(ctx); err != nil && ctx.Err() == nil {
			c.end(err)
		}
	})
}

// watchComponents notices a component that ends by itself.
func (c *Cluster) watchComponents(ctx context.Context) {
	var kubeletDone <-chan struct{}
	var servicesFailed <-chan error
	if c.kubelet != nil {
		kubeletDone, servicesFailed = c.kubelet.Done(), c.services.Failed()
	}
	c.goTask(ctx, func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return nil
		case <-kubeletDone:
			return fmt.Errorf("the kubelet ended: %w", c.kubelet.Err())
		case err := <-servicesFailed:
			return err
		case <-c.store.Failed():
			return c.store.Err()
		case <-c.api.Done():
			return errors.New("kube-apiserver ended; the log says why")
		case <-c.scheduler.Done():
			return fmt.Errorf("kube-scheduler ended: %w", c.scheduler.Err())
		case <-c.controllers.Done():
			return fmt.Errorf("kube-controller-manager ended: %w", c.controllers.Err())
		}
	})
}

func (c *Cluster) end(err error) {
	c.endOnce.Do(func() {
		c.err = err
		close(c.done)
	})
}
