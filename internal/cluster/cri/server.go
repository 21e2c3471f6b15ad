//go:build linux

package cri

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming"
	"k8s.io/utils/clock"

	"github.com/kiwerk/kiwerk/internal/cluster/cgroup"
	"github.com/kiwerk/kiwerk/internal/cluster/ids"
	"github.com/kiwerk/kiwerk/internal/cluster/image"
	"github.com/kiwerk/kiwerk/internal/cluster/rootfs"
)

// maxMessage is the size of messages that the kubelet accepts.
const maxMessage = 16 << 20

// Config is what the runtime needs to know. All directories are absolute.
type Config struct {
	// StateDir holds the records, logs of shims and container roots.
	StateDir string
	// RuntimeDir is short and 0700; it holds the sockets.
	RuntimeDir string
	// AgentPath is the program kiwerk-agent.
	AgentPath string
	// Masks must be empty in every container: data directory, runtime directory.
	Masks []string
	// Neighbours, if set, are further places to mask, as they are known when a container is made.
	Neighbours func() []string
	// VolumeDirs lie below Masks, and volumes may come from them: those of the
	// local provisioner. A pod's own folder of the kubelet is always allowed.
	VolumeDirs []string
	// PodLogsDir is where the kubelet has the logs of pods.
	PodLogsDir string
	// KubeletDir is the kubelet's root directory, /var/lib/kubelet by default.
	KubeletDir string
	// Network gives pods networks of their own; nil shares the node's.
	Network Network
	// Admit, if set, hears of a pod with a network of its own before its containers start, and may refuse.
	Admit func(ctx context.Context, namespace, name, uid string, ip netip.Addr) error
	// APIAddress is host:port of the API server on loopback, for in-cluster clients
	// of pods without a network of their own.
	APIAddress string
	// NodeIP is what pods on the node's network report as their address.
	NodeIP string
	// PythonDir, if set, comes first on PATH.
	PythonDir string
	// BinDir holds our own programs (kiwerk-modelserver).
	BinDir string
	// Images are stored ones; nil runs everything with the host's own tools.
	Images *image.Store
	// Sharing is set where several runtimes have the same Images.
	Sharing *Sharing
	// ImageMode is ImagesAuto by default.
	ImageMode ImageMode
	// Env is added to every container, below what the pod says.
	Env map[string]string
	// CgroupName is the top directory of the pods' cgroups; the default comes from StateDir.
	CgroupName string
	// Ports are the ports to choose from for sandboxes; zero takes the default range.
	Ports PortRange

	Logger *slog.Logger
	Clock  clock.Clock
}

func (c *Config) check() error {
	var errs []error
	for name, value := range map[string]string{
		"StateDir": c.StateDir, "RuntimeDir": c.RuntimeDir, "AgentPath": c.AgentPath, "NodeIP": c.NodeIP, "PodLogsDir": c.PodLogsDir,
	} {
		if value == "" {
			errs = append(errs, fmt.Errorf("cri: %s is not set", name))
		}
	}
	if c.Logger == nil || c.Clock == nil {
		errs = append(errs, errors.New("cri: Logger and Clock must be set"))
	}
	return errors.Join(errs...)
}

// Server is the process runtime.
type Server struct {
	runtimeapi.UnimplementedRuntimeServiceServer
	runtimeapi.UnimplementedImageServiceServer

	cfg    Config
	log    *slog.Logger
	clock  clock.Clock
	ports  *portPool
	events hub[*runtimeapi.ContainerEventResponse]
	news   hub[Port]

	answers *answers

	// holder names the namespaces that this process is in.
	holder string
	// oneID says that they know a single user.
	oneID bool
	found TakenOver

	groups    *cgroup.Tree // nil where there is no place for one
	noGroups  *cgroup.Unavailable
	oldGroups cgroup.Group // of an earlier daemon elsewhere
	ipc       sync.Mutex   // while that of a pod is made
	limits    sync.Mutex   // while those of a pod are read and written

	mu         sync.Mutex
	sandboxes  map[string]*sandbox
	containers map[string]*container

	grpc    *grpc.Server
	streams streaming.Server
	http    *http.Server
	ctx     context.Context
	cancel  context.CancelFunc
	tasks   sync.WaitGroup
}

// CgroupName is the default name of the top directory of the pods' cgroups.
func CgroupName(stateDir string) string {
	sum := sha256.Sum256([]byte(stateDir))
	return "kiwerk-" + hex.EncodeToString(sum[:6])
}

// New checks the configuration. Nothing is started.
func New(cfg Config) (*Server, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if cfg.Ports == (PortRange{}) {
		cfg.Ports = defaultPorts
	}
	if cfg.ImageMode == "" {
		cfg.ImageMode = ImagesAuto
	}
	if cfg.KubeletDir == "" {
		cfg.KubeletDir = rootfs.KubeletDir
	}
	if cfg.CgroupName == "" {
		cfg.CgroupName = CgroupName(cfg.StateDir)
	}
	if cfg.Sharing == nil {
		cfg.Sharing = &Sharing{}
	}
	s := &Server{
		cfg: cfg, log: cfg.Logger, clock: cfg.Clock, ports: newPortPool(cfg.Ports),
		sandboxes: map[string]*sandbox{}, containers: map[string]*container{},
		answers: newAnswers(cfg.BinDir, cfg.Clock),
	}
	cfg.Sharing.add(s)
	return s, nil
}

// Endpoint is the address for the kubelet's containerRuntimeEndpoint.
func (s *Server) Endpoint() string { return "unix://" + s.socket() }

func (s *Server) socket() string { return filepath.Join(s.cfg.RuntimeDir, "cri.sock") }

// Init does nothing: everything happens in Start.
func (s *Server) Init(context.Context) error { return nil }

// Start adopts the containers of an earlier daemon and serves the CRI.
func (s *Server) Start(ctx context.Context) error {
	for _, dir := range []string{s.sandboxDir(), s.containerDir(""), s.socketDir()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("process runtime: %w", err)
		}
	}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	var err error
	if s.holder, err = holderID(); err != nil {
		return fmt.Errorf("process runtime: %w", err)
	}
	if err := s.openGroups(); err != nil {
		return fmt.Errorf("process runtime: %w", err)
	}
	users, _, err := ids.Here()
	if err != nil {
		return fmt.Errorf("process runtime: %w", err)
	}
	s.oneID = users.One()
	if err := s.load(ctx); err != nil {
		return fmt.Errorf("process runtime: read state in %s: %w", s.cfg.StateDir, err)
	}
	s.cleanGroups()
	if err := s.cleanPodDirs(false); err != nil {
		s.log.Warn("remove shared memory of former pods", "error", err)
	}
	if err := s.startStreaming(); err != nil {
		return fmt.Errorf("process runtime: %w", err)
	}
	if err := os.Remove(s.socket()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("process runtime: remove stale socket: %w", err)
	}
	l, err := net.Listen("unix", s.socket())
	if err != nil {
		return fmt.Errorf("process runtime: %w", err)
	}
	if err := os.Chmod(s.socket(), 0o600); err != nil {
		return errors.Join(fmt.Errorf("process runtime: %w", err), l.Close())
	}
	s.grpc = grpc.NewServer(grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage))
	runtimeapi.RegisterRuntimeServiceServer(s.grpc, s)
	runtimeapi.RegisterImageServiceServer(s.grpc, s)
	s.tasks.Go(func() {
		if err := s.grpc.Serve(l); err != nil {
			s.log.Error("serve CRI", "error", err)
		}
	})
	return nil
}

// streamHost is on loopback, but no address that a pod's hostIP may name: a host
// port there would lead the streams of other pods to it.
const streamHost = "127.75.87.2"

// startStreaming serves exec, attach and port-forward on loopback, with
// one-time tokens in the addresses.
func (s *Server) startStreaming() error {
	l, err := net.Listen("tcp4", streamHost+":0")
	if err != nil {
		return fmt.Errorf("streaming server: %w", err)
	}
	cfg := streaming.DefaultConfig
	cfg.BaseURL = &url.URL{Scheme: "http", Host: l.Addr().String()}
	s.streams, err = streaming.NewServer(cfg, streamRuntime{s})
	if err != nil {
		return errors.Join(fmt.Errorf("streaming server: %w", err), l.Close())
	}
	s.http = &http.Server{Handler: s.streams, ReadHeaderTimeout: 10 * time.Second}
	s.tasks.Go(func() {
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("serve streams of pods", "error", err)
		}
	})
	return nil
}

// Stop ends the server. Containers keep running under their shims.
func (s *Server) Stop(ctx context.Context) error {
	if s.cancel == nil {
		return nil
	}
	s.cancel()
	var err error
	if s.http != nil {
		err = s.http.Close()
	}
	if s.grpc != nil {
		s.grpc.Stop()
	}
	s.events.close()
	s.news.close()
	done := make(chan struct{})
	go func() {
		s.tasks.Wait()
		close(done)
	}()
	select {
	case <-done:
		return err
	case <-ctx.Done():
		return errors.Join(err, ctx.Err())
	}
}

// StopContainers stops all containers with their grace periods, all at the
// same time. What still runs when ctx ends is killed. Their pods are over.
func (s *Server) StopContainers(ctx context.Context) error {
	var wg sync.WaitGroup
	errs := make(chan error, 1)
	for _, c := range s.listContainers() {
		wg.Go(func() {
			grace := c.grace()
			if deadline, ok := ctx.Deadline(); ok {
				grace = min(grace, max(0, deadline.Sub(s.clock.Now())-time.Second))
			}
			if err := s.stop(ctx, c, grace); err != nil {
				select {
				case errs <- err:
				default:
				}
			}
		})
	}
	wg.Wait()
	s.removeGroup()
	err := errors.Join(s.endSandboxes(), s.cleanPodDirs(true))
	select {
	case stopErr := <-errs:
		return errors.Join(stopErr, err)
	default:
		return err
	}
}
