package kubelet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	kubeletapp "k8s.io/kubernetes/cmd/kubelet/app"
	kubeletoptions "k8s.io/kubernetes/cmd/kubelet/app/options"
	k8skubelet "k8s.io/kubernetes/pkg/kubelet"
	kubeletconfig "k8s.io/kubernetes/pkg/kubelet/apis/config"
	"k8s.io/utils/clock"

	"github.com/kiwerk/kiwerk/internal/cluster/machine"
	"github.com/kiwerk/kiwerk/internal/cluster/pki"
)

const (
	socketName       = "kubelet.sock"
	maxPods          = 500
	apiQPS           = 1000
	apiBurst         = 2000
	heartbeatTimeout = 10 * time.Second
	// CloudProvider is how the kubelet learns that somebody else sets the addresses of its node.
	cloudProvider = "external"
	privateDir    = 0o700
	imageGCHigh   = 95
	imageGCLow    = 90
)

// Config of a [Kubelet].
type Config struct {
	// RootDir is the state directory, as seen in this mount namespace.
	RootDir string
	// PodLogsDir is where the logs of containers lie.
	PodLogsDir string
	// RuntimeDir gets the socket of the kubelet's API.
	RuntimeDir string
	// CRISocket is the path of the container runtime.
	CRISocket string
	NodeName  string
	// ResolvConf is the file for pods that do not ask for cluster DNS; "" is the host's.
	ResolvConf string
	// ClusterDNS are the name servers of pods; without one they resolve names as the host does.
	ClusterDNS    []string
	ClusterDomain string
	// Serving is what the kubelet serves with; ClientCA signs who may call it.
	Serving  pki.Pair
	ClientCA string
	// Port is the one that the node object names. Nothing listens on it: it tells
	// the API server's calls to several kubelets apart.
	Port int32
	// Client makes a client configuration for a user agent.
	Client func(userAgent string) *rest.Config
	// Served, if set, words the events about images.
	Served Served
	Logger *slog.Logger
	Clock  clock.PassiveClock
}

// Kubelet is a running kubelet.
type Kubelet struct {
	cfg    Config
	cancel context.CancelFunc
	server *apiServer
	tasks  sync.WaitGroup
	done   chan struct{}
	err    error
}

// New returns a kubelet that has not been started.
func New(cfg Config) *Kubelet { return &Kubelet{cfg: cfg, done: make(chan struct{})} }

// Dial connects to the API of the kubelet with this runtime directory.
func Dial(ctx context.Context, runtimeDir string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "unix", filepath.Join(runtimeDir, socketName))
}

// Done is closed when the kubelet has ended.
func (k *Kubelet) Done() <-chan struct{} { return k.done }

// Err is why it ended, once Done is closed.
func (k *Kubelet) Err() error { return k.err }

// Start returns when the kubelet runs; its node becomes Ready a little later.
func (k *Kubelet) Start(ctx context.Context) error {
	server, err := k.options()
	if err != nil {
		return fmt.Errorf("kubelet: %w", err)
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	k.cancel = cancel
	made := make(chan *k8skubelet.Kubelet, 1)
	nudges := newNudger()
	deps, err := k.dependencies(run, server, nudges, func(kl *k8skubelet.Kubelet) { made <- kl })
	if err != nil {
		close(k.done)
		return fmt.Errorf("kubelet: %w", err)
	}
	go func() {
		defer close(k.done)
		k.err = kubeletapp.Run(run, server, deps, utilfeature.DefaultFeatureGate)
	}()
	select {
	case kl := <-made:
		k.tasks.Go(func() { nudges.run(run, kl) })
		k.server, err = serve(run, k.cfg, kl, deps, &server.KubeletConfiguration)
		return err
	case <-k.done:
		return fmt.Errorf("the kubelet ended while it started: %w", k.err)
	case <-ctx.Done():
		return fmt.Errorf("the kubelet did not start: %w", context.Cause(ctx))
	}
}

// Stop ends the kubelet. Containers go on running.
func (k *Kubelet) Stop(ctx context.Context) error {
	if k.cancel == nil {
		return nil
	}
	k.cancel()
	k.tasks.Wait()
	var errs []error
	if k.server != nil {
		errs = append(errs, k.server.stop())
	}
	select {
	case <-k.done:
		return errors.Join(append(errs, k.err)...)
	case <-ctx.Done():
		return errors.Join(append(errs, errors.New("the kubelet did not stop in time"))...)
	}
}

func (k *Kubelet) options() (*kubeletoptions.KubeletServer, error) {
	for _, dir := range []string{k.cfg.RootDir, k.cfg.PodLogsDir} {
		if err := os.MkdirAll(dir, privateDir); err != nil {
			return nil, err
		}
	}
	flags := kubeletoptions.NewKubeletFlags()
	flags.RootDirectory = k.cfg.RootDir
	flags.CertDirectory = filepath.Join(k.cfg.RootDir, "pki")
	flags.HostnameOverride = k.cfg.NodeName
	flags.CloudProvider = cloudProvider
	// Never read; an empty name would mean a kubelet without an API server.
	flags.KubeConfig = "in-process"

	kc, err := kubeletoptions.NewKubeletConfiguration()
	if err != nil {
		return nil, err
	}
	k.configure(kc)
	return &kubeletoptions.KubeletServer{KubeletFlags: *flags, KubeletConfiguration: *kc}, nil
}

func (k *Kubelet) configure(kc *kubeletconfig.KubeletConfiguration) {
	kc.ContainerRuntimeEndpoint = "unix://" + k.cfg.CRISocket
	kc.PodLogsDir = k.cfg.PodLogsDir
	kc.VolumePluginDir = filepath.Join(k.cfg.RootDir, "volume-plugins")
	kc.MaxPods = maxPods
	kc.ClusterDNS, kc.ClusterDomain = k.cfg.ClusterDNS, k.cfg.ClusterDomain
	if k.cfg.ResolvConf != "" {
		kc.ResolverConfig = k.cfg.ResolvConf
	}

	// The API is served by us on a unix socket, see serve.
	kc.EnableServer = false
	kc.Port, kc.ReadOnlyPort, kc.HealthzPort = k.cfg.Port, 0, 0
	kc.EnableProfilingHandler, kc.EnableSystemLogHandler = false, false
	kc.TLSCertFile, kc.TLSPrivateKeyFile = k.cfg.Serving.CertFile, k.cfg.Serving.KeyFile
	kc.Authentication.X509.ClientCAFile = k.cfg.ClientCA
	kc.Authentication.Anonymous.Enabled, kc.Authentication.Webhook.Enabled = false, false
	kc.Authorization.Mode = kubeletconfig.KubeletAuthorizationModeWebhook

	// Pods and containers get their cgroups from the runtime, which knows where
	// it may make them; the kubelet would insist on the top of the host's tree.
	kc.CgroupsPerQOS, kc.EnforceNodeAllocatable = false, nil
	kc.FailCgroupV1, kc.FailSwapOn = false, false
	kc.MakeIPTablesUtilChains = false
	// Children inherit the score, and a user's containers must not outlive the rest of the host.
	kc.OOMScoreAdj = 0
	// On a shared machine memory and disk are filled by others, too; evicting pods for it helps nobody.
	kc.EvictionHard = map[string]string{}
	// The disk is filled by others, too, and an image that was pulled at home cannot
	// be pulled again on a train: unused ones go late. Loaded ones are pinned.
	kc.ImageGCHighThresholdPercent, kc.ImageGCLowThresholdPercent = imageGCHigh, imageGCLow
	kc.EnableControllerAttachDetach = false

	// Limits that protect an API server of many nodes only slow down that of one.
	kc.KubeAPIQPS, kc.KubeAPIBurst = apiQPS, apiBurst
	kc.EventRecordQPS, kc.RegistryPullQPS = 0, 0
	kc.SerializeImagePulls = false
}

func (k *Kubelet) dependencies(ctx context.Context, s *kubeletoptions.KubeletServer, nudges *nudger, made func(*k8skubelet.Kubelet)) (*k8skubelet.Dependencies, error) {
	deps, err := kubeletapp.UnsecuredDependencies(ctx, s, utilfeature.DefaultFeatureGate)
	if err != nil {
		return nil, err
	}
	cfg := k.cfg.Client("kubelet")
	cfg.Wrap(nudges.wrap)
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, err
	}
	beat := k.cfg.Client("kubelet-heartbeat")
	beat.Timeout = heartbeatTimeout
	heartbeat, err := kubernetes.NewForConfig(beat)
	if err != nil {
		return nil, err
	}
	// All three, or the kubelet looks for its kubeconfig.
	deps.KubeClient, deps.EventClient, deps.HeartbeatClient = client, client.CoreV1(), heartbeat
	deps.OnHeartbeatFailure = func() {}
	deps.Recorder = newRecorder(ctx, client.CoreV1(), k.cfg.NodeName, k.cfg.Served)
	deps.CAdvisorInterface = machine.New(k.cfg.RootDir, k.cfg.Clock)
	deps.ContainerManager, err = newContainerManager(ctx, s, deps, k.cfg.NodeName)
	if err != nil {
		return nil, err
	}
	deps.Options = append(deps.Options, made)
	return deps, nil
}
