package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
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

	// broken tells that etcd would have ended the process.
	broken   atomic.Bool
	failOnce sync.Once
	failed   chan struct{}
	failure  error
}

// New returns a server that has not been started.
func New(cfg Config) *Server { return &Server{cfg: cfg, failed: make(chan struct{})} }

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
	e, err := s.open(ctx, socket)
	if err != nil {
		return err
	}
	s.etcd = e
	select {
	case <-e.Server.ReadyNotify():
		go s.watch(e)
		return nil
	case <-s.failed:
		err = s.failure
	case err = <-e.Err():
		err = s.explain(err)
	case <-e.Server.StopNotify():
		err = errors.New("etcd stopped while it started")
	case <-ctx.Done():
		err = fmt.Errorf("etcd is not ready: %w", context.Cause(ctx))
	}
	return errors.Join(err, s.Stop(ctx))
}

// Stop ends the member; what was acknowledged is on disk. A member whose disk
// failed cannot be ended: it holds locks that it never gives back. It does
// nothing any more and ends with the process.
func (s *Server) Stop(ctx context.Context) error {
	if s.etcd == nil || s.broken.Load() {
		return nil
	}
	e := s.etcd
	s.etcd = nil
	closed := make(chan struct{})
	go func() {
		e.Close()
		close(closed)
	}()
	select {
	case <-closed:
		return nil
	case <-ctx.Done():
		return errors.New("etcd did not stop in time")
	}
}

// Failed is closed when the member ended by itself, for example because the
// disk failed, and when it was stopped.
func (s *Server) Failed() <-chan struct{} { return s.failed }

// Err tells why the member failed, once Failed is closed.
func (s *Server) Err() error {
	select {
	case <-s.failed:
		return s.failure
	default:
		return nil
	}
}

// watch notices a member that stops, however that came.
func (s *Server) watch(e *embed.Etcd) {
	<-e.Server.StopNotify()
	s.fail(errors.New("etcd has stopped"))
}

func (s *Server) fail(err error) {
	s.failOnce.Do(func() {
		s.failure = err
		close(s.failed)
	})
}

// open starts the member in a goroutine of its own, which ends where etcd would
// end the process.
func (s *Server) open(ctx context.Context, socket string) (*embed.Etcd, error) {
	type result struct {
		etcd *embed.Etcd
		err  error
	}
	opened := make(chan result, 1)
	go func() {
		e, err := embed.StartEtcd(s.config(socket))
		opened <- result{e, err}
	}()
	select {
	case r := <-opened:
		if r.err != nil {
			return nil, s.explain(r.err)
		}
		return r.etcd, nil
	case <-s.failed:
		return nil, s.failure
	case <-ctx.Done():
		return nil, fmt.Errorf("etcd did not start: %w", context.Cause(ctx))
	}
}

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
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.New(newCore(s.cfg.Logger), zap.WithFatalHook(fatalHook{s}), zap.WithPanicHook(fatalHook{s})))
	return cfg
}

func (s *Server) explain(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("etcd: the disk of %s is full; free some space and start again: %w", s.cfg.Dir, err)
	}
	return fmt.Errorf("etcd in %s: %w", s.cfg.Dir, err)
}
