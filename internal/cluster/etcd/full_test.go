//go:build linux

package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

const (
	envFull = "KIWERK_TEST_FULL_DISK"
	// Etcd allocates its write-ahead log in pieces of 64 MiB.
	diskSize  = "size=100m"
	smallDisk = "size=20m"
	valueSize = 1 << 20
	mostPuts  = 200
)

// TestMain also plays a process whose disk fills up.
func TestMain(m *testing.M) {
	if dir := os.Getenv(envFull); dir != "" {
		if err := errors.Join(startOnFullDisk(dir+"/small"), fillDisk(dir+"/large")); err != nil {
			fmt.Fprintln(os.Stdout, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestServer_tellsOfAFullDisk(t *testing.T) {
	dir, err := os.MkdirTemp("", "kw") //nolint:usetesting // Short, because the socket lies in it.
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), envFull+"="+dir)
	// The small disk is seen by the child only.
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Skipf("this host makes no mount namespaces: %v", err)
	}
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// fillDisk writes to etcd on a small disk until it fails, and wants to be told why.
func fillDisk(dir string) error {
	if err := mountDisk(dir, diskSize); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	s := New(Config{Dir: dir + "/data", RuntimeDir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err := s.Init(ctx); err != nil {
		return err
	}
	if err := s.Start(ctx); err != nil {
		return err
	}
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{s.Endpoint()}, Logger: zap.NewNop()})
	if err != nil {
		return err
	}
	acknowledged, err := putUntilFailure(ctx, c, s)
	if err != nil {
		return err
	}
	if err := s.Err(); err == nil || !strings.Contains(err.Error(), "is full; free some space and start again") {
		return fmt.Errorf("after %d values the failure is %w, want one that tells of the full disk", acknowledged, err)
	}
	return s.Stop(ctx)
}

func mountDisk(dir, size string) error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	return syscall.Mount("tmpfs", dir, "tmpfs", 0, size)
}

// startOnFullDisk wants to be told why etcd does not start.
func startOnFullDisk(dir string) error {
	if err := mountDisk(dir, smallDisk); err != nil {
		return err
	}
	s := New(Config{Dir: dir + "/data", RuntimeDir: dir, Logger: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	if err := s.Init(ctx); err != nil {
		return err
	}
	if err := s.Start(ctx); err == nil || !strings.Contains(err.Error(), "is full; free some space and start again") {
		return fmt.Errorf("the start on a full disk ends with %w, want an error that tells of it", err)
	}
	return s.Stop(ctx)
}

func putUntilFailure(ctx context.Context, c *clientv3.Client, s *Server) (int, error) {
	value := strings.Repeat("x", valueSize)
	for i := range mostPuts {
		put, cancel := context.WithCancel(ctx)
		go func() {
			select {
			case <-s.Failed():
				cancel()
			case <-put.Done():
			}
		}()
		_, err := c.Put(put, fmt.Sprint(i), value)
		cancel()
		if err != nil {
			select {
			case <-s.Failed():
				return i, nil
			case <-ctx.Done():
				return i, fmt.Errorf("a write failed (%w), but the member was not said to have failed", err)
			}
		}
	}
	return mostPuts, fmt.Errorf("%d values of %d bytes fit on a disk with %s", mostPuts, valueSize, diskSize)
}
