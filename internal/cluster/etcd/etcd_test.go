package etcd

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

func newServer(t *testing.T, dir string) *Server {
	t.Helper()
	run, err := os.MkdirTemp("", "kw") //nolint:usetesting // Short, because the socket lies in it.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(run) })
	s := New(Config{Dir: dir, RuntimeDir: run, Logger: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if err := s.Init(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(ctx); err != nil {
		t.Fatal(err)
	}
	return s
}

func connect(t *testing.T, s *Server) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{s.Endpoint()}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The data survives a restart although its sockets lie elsewhere then.
func TestServer_keepsDataWhenSocketsMove(t *testing.T) {
	dir := t.TempDir()
	for i, do := range []func(c *clientv3.Client) error{
		func(c *clientv3.Client) error {
			_, err := c.Put(t.Context(), "k", "v")
			return err
		},
		func(c *clientv3.Client) error {
			got, err := c.Get(t.Context(), "k")
			if err == nil && (len(got.Kvs) != 1 || string(got.Kvs[0].Value) != "v") {
				err = fmt.Errorf("got %v, want v", got.Kvs)
			}
			return err
		},
	} {
		s := newServer(t, dir)
		c := connect(t, s)
		if err := do(c); err != nil {
			t.Errorf("start %d: %v", i+1, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Error("a second stop:", err)
		}
	}
}

func TestServer_explain(t *testing.T) {
	s := New(Config{Dir: "/data/etcd"})
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"DiskFull": {fmt.Errorf("wal: %w", syscall.ENOSPC), "the disk of /data/etcd is full; free some space"},
		"Other":    {os.ErrPermission, "etcd in /data/etcd: permission denied"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := s.explain(c.err).Error(); !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q in it", got, c.want)
			}
		})
	}
}

func TestCore_keepsLevelAndFields(t *testing.T) {
	var out strings.Builder
	logger := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo}))
	z := zap.New(newCore(logger)).With(zap.String("member", "m"))
	z.Info("chatter")
	z.Warn("slow", zap.Int("ms", 7))
	got := out.String()
	if strings.Contains(got, "chatter") || !strings.Contains(got, "level=WARN msg=slow member=m ms=7") {
		t.Errorf("logged %q", got)
	}
}
