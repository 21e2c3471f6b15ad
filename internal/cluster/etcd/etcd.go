package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"syscall"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

const (
	memberName = "kiwerk"
	socketName = "etcd.sock"
	// A single member only waits for its own election, up to electionMs: less than the default
	// shortens each start, and still shorter ticks would wake an idle machine more often.
	tickMs     = 50
	electionMs = 250
	// Raft keeps this many entries in memory, which a member without followers has no use for.
	snapshotCount   = 2000
	catchUpEntries  = 100
	quotaBytes      = 4 << 30
	maxRequestBytes = 3 << 20
	dirMode         = 0o700
)

// Config of a [Server].
type Config struct {
	// Dir holds the data.
	Dir string
	// RuntimeDir holds the socket; it must be short and private.
	RuntimeDir string
	Logger     *slog.Logger
}

// Server is a running or stopped member.
type Server struct {
	cfg  Config
	etcd *embed.Etcd
}

// New returns a server that has not been started.
func New(cfg Config) *Server { return &Server{cfg: cfg} }

// Endpoint is the address for clients.
func (s *Server) Endpoint() string {
	return "unix://" + filepath.Join(s.cfg.RuntimeDir, socketName)
}

// Init creates the folder.
func (s *Server) Init(context.Context) error {
	return os.MkdirAll(s.cfg.Dir, dirMode)
}

// Start returns when the member serves.
func (s *Server) Start(ctx context.Context) error {
	// Left behind by a process that was killed; whoever calls holds the lock of the data directory.
	socket := filepath.Join(s.cfg.RuntimeDir, socketName)
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the old socket: %w", err)
	}
	cfg := s.config(socket)
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		return s.explain(err)
	}
	s.etcd = e
	select {
	case <-e.Server.ReadyNotify():
		return nil
	case err = <-e.Err():
		err = s.explain(err)
	case <-e.Server.StopNotify():
		err = errors.New("etcd stopped while it started")
	case <-ctx.Done():
		err = fmt.Errorf("etcd is not ready: %w", context.Cause(ctx))
	}
	e.Close()
	s.etcd = nil
	return err
}

// Stop ends the member; what was acknowledged is on disk.
func (s *Server) Stop(context.Context) error {
	if s.etcd != nil {
		s.etcd.Close()
		s.etcd = nil
	}
	return nil
}

// Failed is closed when the member ended by itself, for example because the disk failed.
func (s *Server) Failed() <-chan struct{} { return s.etcd.Server.StopNotify() }

func (s *Server) config(socket string) *embed.Config {
	cfg := embed.NewConfig()
	client := url.URL{Scheme: "unix", Path: socket}
	// The name under which the member knows itself. It is stored with the data, so it must not
	// depend on where sockets lie. Nobody dials it.
	self := url.URL{Scheme: "unix", Host: memberName}
	cfg.Name, cfg.Dir = memberName, s.cfg.Dir
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = nil, []url.URL{self}
	cfg.InitialCluster = memberName + "=" + self.String()
	cfg.TickMs, cfg.ElectionMs = tickMs, electionMs
	cfg.SnapshotCount, cfg.SnapshotCatchUpEntries = snapshotCount, catchUpEntries
	cfg.QuotaBackendBytes, cfg.MaxRequestBytes = quotaBytes, maxRequestBytes
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.New(newCore(s.cfg.Logger)))
	return cfg
}

func (s *Server) explain(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("etcd: the disk of %s is full; free some space and start again: %w", s.cfg.Dir, err)
	}
	return fmt.Errorf("etcd in %s: %w", s.cfg.Dir, err)
}
