package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/server/egressselector"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	apiserverapp "k8s.io/kubernetes/cmd/kube-apiserver/app"
	apiserveroptions "k8s.io/kubernetes/cmd/kube-apiserver/app/options"
	"k8s.io/kubernetes/pkg/controlplane/reconcilers"

	"github.com/kiwerk/kiwerk/internal/cluster/pki"
)

const (
	// ServiceCIDR is where services get their virtual addresses.
	ServiceCIDR = "10.96.0.0/16"
	// ServiceIP is the virtual address of the API server itself.
	ServiceIP = "10.96.0.1"

	issuer = "https://kubernetes.default.svc.cluster.local"
	// Watches of components that never close theirs would hold the server back for a minute.
	shutdownTimeout = time.Second
	readyPoll       = 10 * time.Millisecond
	eventTTL        = 6 * time.Hour
	protobuf        = runtime.ContentTypeProtobuf
	acceptProtobuf  = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
)

// APIServerConfig is what an [APIServer] needs.
type APIServerConfig struct {
	// Listener tells a loopback address; the server owns it from Start on.
	Listener net.Listener
	// EtcdEndpoint of the store.
	EtcdEndpoint string
	Certificates *pki.Store
	// AdvertiseIP is the address of the node. With Publish it is that of the
	// service kubernetes, too: pods can reach the listener there.
	AdvertiseIP net.IP
	Publish     bool
	// DialKubelet reaches the kubelet's API; nil without a kubelet.
	DialKubelet func(ctx context.Context, network, address string) (net.Conn, error)
	// Extra is a group version that is served from memory; nil for none.
	Extra *ExtraGroup
}

// APIServer is kube-apiserver.
type APIServer struct {
	cfg      APIServerConfig
	loopback *rest.Config
	cancel   context.CancelFunc
	done     chan struct{}
	err      error
}

// NewAPIServer returns a server that has not been started.
func NewAPIServer(cfg APIServerConfig) *APIServer {
	return &APIServer{cfg: cfg, done: make(chan struct{})}
}

// Start returns when the server answers; [APIServer.WaitReady] waits for the rest.
func (s *APIServer) Start(ctx context.Context) error {
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	server, err := s.build(run)
	if err != nil {
		cancel()
		return fmt.Errorf("kube-apiserver: %w", err)
	}
	s.cancel = cancel
	go func() {
		defer close(s.done)
		s.err = server(run)
	}()
	return s.wait(ctx, "/livez/ping")
}

// WaitReady returns when /readyz is ok: the built-in roles, namespaces and CRD handlers exist.
func (s *APIServer) WaitReady(ctx context.Context) error { return s.wait(ctx, "/readyz") }

// Stop ends the server.
func (s *APIServer) Stop(ctx context.Context) error {
	if s.cancel == nil {
		return nil
	}
	s.cancel()
	select {
	case <-s.done:
		return s.err
	case <-ctx.Done():
		return errors.New("kube-apiserver did not stop in time")
	}
}

// Done is closed when the server has ended.
func (s *APIServer) Done() <-chan struct{} { return s.done }

// Client is a configuration for one component. Its rights are those of system:masters.
func (s *APIServer) Client(component string) *rest.Config {
	c := rest.AddUserAgent(rest.CopyConfig(s.loopback), component)
	c.QPS = -1
	c.ContentType, c.AcceptContentTypes = protobuf, acceptProtobuf
	return c
}

// build sets the server up and returns what runs it.
func (s *APIServer) build(ctx context.Context) (func(context.Context) error, error) {
	opts, err := s.options().Complete(ctx)
	if err != nil {
		return nil, err
	}
	if errs := opts.Validate(); len(errs) > 0 {
		return nil, utilerrors.NewAggregate(errs)
	}
	if opts.InformerName, err = cache.NewInformerName("kube-apiserver"); err != nil {
		return nil, err
	}
	config, err := apiserverapp.NewConfig(opts)
	if err != nil {
		return nil, err
	}
	s.loopback = config.KubeAPIs.ControlPlane.Generic.LoopbackClientConfig
	if s.cfg.DialKubelet != nil {
		config.KubeAPIs.KubeletClientConfig.Lookup = s.lookup
	}
	if s.cfg.Extra != nil {
		s.cfg.Extra.intercept(&config.Aggregator.GenericConfig.Config)
	}
	completed, err := config.Complete()
	if err != nil {
		return nil, err
	}
	server, err := apiserverapp.CreateServerChain(completed)
	if err != nil {
		return nil, err
	}
	if s.cfg.Extra != nil {
		s.cfg.Extra.announce(server.GenericAPIServer)
	}
	server.GenericAPIServer.ShutdownTimeout = shutdownTimeout
	ready, err := server.PrepareRun()
	if err != nil {
		return nil, err
	}
	return ready.Run, nil
}

// lookup replaces the way to every node by the way to the only one.
func (s *APIServer) lookup(egressselector.NetworkContext) (utilnet.DialFunc, error) {
	return s.cfg.DialKubelet, nil
}

func (s *APIServer) options() *apiserveroptions.ServerRunOptions {
	o := apiserveroptions.NewServerRunOptions()
	certs := s.cfg.Certificates
	address := s.cfg.Listener.Addr().(*net.TCPAddr)

	o.GenericServerRunOptions.AdvertiseAddress = s.cfg.AdvertiseIP
	o.SecureServing.Listener = s.cfg.Listener
	o.SecureServing.BindAddress, o.SecureServing.BindPort = address.IP, address.Port
	o.SecureServing.ServerCert.CertKey.CertFile = certs.APIServer().CertFile
	o.SecureServing.ServerCert.CertKey.KeyFile = certs.APIServer().KeyFile

	o.Etcd.StorageConfig.Transport.ServerList = []string{s.cfg.EtcdEndpoint}
	o.EventTTL = eventTTL

	o.Authentication.ClientCert.ClientCA = certs.CAFile()
	o.Authentication.Anonymous.Allow = false
	header := o.Authentication.RequestHeader
	header.ClientCAFile, header.AllowedNames = certs.FrontProxyCAFile(), []string{pki.FrontProxyName}
	header.UsernameHeaders, header.UIDHeaders, header.GroupHeaders, header.ExtraHeaderPrefixes = []string{"X-Remote-User"}, []string{"X-Remote-Uid"}, []string{"X-Remote-Group"}, []string{"X-Remote-Extra-"}
	o.ProxyClientCertFile, o.ProxyClientKeyFile = certs.FrontProxy().CertFile, certs.FrontProxy().KeyFile
	o.Authentication.ServiceAccounts.Issuers = []string{issuer}
	o.Authentication.ServiceAccounts.KeyFiles = []string{certs.ServiceAccountKey()}
	o.ServiceAccountSigningKeyFile = certs.ServiceAccountKey()
	o.Authorization.Modes = []string{"Node", "RBAC"}
	// What the Node mode grants is bounded to the node's own objects only with this.
	o.Admission.GenericAdmission.EnablePlugins = []string{"NodeRestriction"}
	o.AllowPrivileged = true

	o.ServiceClusterIPRanges = ServiceCIDR
	if !s.cfg.Publish {
		// The address that would be published is not listened on.
		o.EndpointReconcilerType = string(reconcilers.NoneEndpointReconcilerType)
	}

	o.KubeletConfig.TLSClientConfig.CertFile = certs.KubeletClient().CertFile
	o.KubeletConfig.TLSClientConfig.KeyFile = certs.KubeletClient().KeyFile
	o.KubeletConfig.TLSClientConfig.CAFile = certs.CAFile()
	o.KubeletConfig.PreferredAddressTypes = []string{"InternalIP", "Hostname"}

	// One user's machine needs no fair queueing between tenants, and profiling is the program's own affair.
	o.Features.EnablePriorityAndFairness = false
	o.Features.EnableProfiling = false
	return o
}

// wait asks path until it answers 200.
func (s *APIServer) wait(ctx context.Context, path string) error {
	client, err := kubernetes.NewForConfig(s.Client("kiwerk-startup"))
	if err != nil {
		return err
	}
	var last error
	err = wait.PollUntilContextCancel(ctx, readyPoll, true, func(ctx context.Context) (bool, error) {
		select {
		case <-s.done:
			return false, fmt.Errorf("kube-apiserver ended while it started: %w", errors.Join(s.err, last))
		default:
		}
		var status int
		last = client.RESTClient().Get().AbsPath(path).Do(ctx).StatusCode(&status).Error()
		return last == nil && status == http.StatusOK, nil
	})
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("kube-apiserver does not answer %s: %w", path, errors.Join(context.Cause(ctx), last))
	}
	return err
}
