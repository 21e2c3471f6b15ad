//go:build linux

package cri

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/kiwerk/kiwerk/internal/cluster/rootfs"
	"github.com/kiwerk/kiwerk/internal/cluster/shim"
	"github.com/kiwerk/kiwerk/internal/cluster/thread"
)

// The containers of a pod share System V IPC and /dev/shm. Both are mounts in
// the holder's mount namespace, so that they outlive daemon and containers.

func (s *Server) podDir(id string) string { return filepath.Join(s.cfg.StateDir, "pods", id) }

// namespacesFor says which namespaces a container shares, and with whom; for
// that of processes see joinProcesses.
func (s *Server) namespacesFor(b *sandbox, n *runtimeapi.NamespaceOption, root *rootfs.Spec) (map[string]string, error) {
	shared := map[string]string{}
	if n.GetIpc() == runtimeapi.NamespaceMode_NODE {
		shared[shim.NamespaceIPC], root.Shm = "", "/dev/shm"
		return shared, nil
	}
	s.ipc.Lock()
	defer s.ipc.Unlock()
	dir := s.podDir(b.ID)
	if err := makePodIPC(dir, b.IPCSysctls); err != nil {
		return nil, fmt.Errorf("shared memory of the pod: %w", err)
	}
	shared[shim.NamespaceIPC], root.Shm = filepath.Join(dir, "ipc"), filepath.Join(dir, "shm")
	return shared, nil
}

// makePodIPC makes what is not there yet, also after a holder was lost with its mounts.
func makePodIPC(dir string, sysctls map[string]string) error {
	ns, shm := filepath.Join(dir, "ipc"), filepath.Join(dir, "shm")
	var st unix.Statfs_t
	if err := unix.Statfs(ns, &st); err == nil && st.Type == unix.NSFS_MAGIC {
		return nil
	}
	if err := os.MkdirAll(shm, 0o700); err != nil {
		return err
	}
	// A daemon that ended right here left the memory without the namespace.
	if err := unmountAll(shm); err != nil {
		return err
	}
	if err := unix.Mount(rootfs.OwnSource, shm, "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC|unix.MS_NODEV, "mode=1777"); err != nil {
		return &os.PathError{Op: "mount tmpfs", Path: shm, Err: err}
	}
	if err := os.WriteFile(ns, nil, 0o600); err != nil {
		return errors.Join(err, unmountAll(shm))
	}
	err := thread.Own(func() error {
		if err := unix.Unshare(unix.CLONE_NEWIPC); err != nil {
			return err
		}
		if err := setSysctls(sysctls); err != nil {
			return err
		}
		return unix.Mount("/proc/thread-self/ns/ipc", ns, "", unix.MS_BIND, "")
	})
	if err != nil {
		return errors.Join(fmt.Errorf("make IPC namespace: %w", err), unmountAll(shm))
	}
	return nil
}

// unmountAll takes away all that is mounted at a place, one over the other.
func unmountAll(at string) error {
	for {
		err := unix.Unmount(at, unix.MNT_DETACH)
		switch {
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT): // nothing mounted any more
			return nil
		case err != nil:
			return &os.PathError{Op: "unmount", Path: at, Err: err}
		}
	}
}

// dropPod ends what the pod shares, and removes it.
func (s *Server) dropPod(id string) error {
	dir := s.podDir(id)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), endPatience)
	defer cancel()
	if err := shim.EndPod(ctx, dir); err != nil {
		return err
	}
	for _, at := range []string{filepath.Join(dir, "ipc"), filepath.Join(dir, "shm"), shim.PodNamespace(dir), shim.PodProc(dir)} {
		if err := unmountAll(at); err != nil {
			return err
		}
	}
	return os.RemoveAll(dir)
}

// endPatience bounds the wait for processes that were killed.
const endPatience = 10 * time.Second

// cleanPodDirs removes those of pods that nobody knows, or all.
func (s *Server) cleanPodDirs(all bool) error {
	entries, err := os.ReadDir(s.podDir(""))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range entries {
		if b := s.sandboxes[e.Name()]; all || b == nil || !b.Ready {
			err = errors.Join(err, s.dropPod(e.Name()))
		}
	}
	return err
}
