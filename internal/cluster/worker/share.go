//go:build linux

package worker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const (
	privateDir = 0o700
	// kubeletDir is built into the kubelet for what device plugins need.
	kubeletDir    = "/var/lib/kubelet"
	devicePlugins = kubeletDir + "/device-plugins"
	lockFile      = "lock"
)

// Share shows dir at another place below the first kubelet's directory, which is
// a mount itself. From there mounts reach all processes that have the place. It
// may have been shared before.
func Share(dir, at string) error {
	for _, d := range []string{dir, at} {
		if err := os.MkdirAll(d, privateDir); err != nil {
			return fmt.Errorf("kubelet's directory of a node: %w", err)
		}
	}
	// The first kubelet mounts its directory over itself, and with it over ours, unless it is shared.
	if err := unix.Mount("", kubeletDir, "", unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("kubelet's directory of a node: share %s: %w", kubeletDir, err)
	}
	there, err := isMount(at)
	if err == nil && !there {
		err = unix.Mount(dir, at, "", unix.MS_BIND, "")
	}
	if err == nil {
		err = unix.Mount("", at, "", unix.MS_SHARED, "")
	}
	if err != nil {
		return fmt.Errorf("kubelet's directory of a node: show %s at %s: %w", dir, at, err)
	}
	return nil
}

// Unshare undoes [Share] with all that is mounted below.
func Unshare(at string) error {
	for {
		err := unix.Unmount(at, unix.MNT_DETACH)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
			return nil // nothing is mounted there any more
		}
		if err != nil {
			return &os.PathError{Op: "unmount", Path: at, Err: err}
		}
	}
}

func isMount(path string) (bool, error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, 0, &st); err != nil {
		return false, &os.PathError{Op: "statx", Path: path, Err: err}
	}
	return st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0, nil
}

// own gives this process, which has a mount namespace of its own, the
// kubelet's directory alone and its part of it at the path that is built in. The
// child of an earlier daemon may still be ending.
func own(dir string) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(&os.PathError{Op: "lock", Path: lock.Name(), Err: err}, lock.Close())
	}
	plugins := filepath.Join(dir, filepath.Base(devicePlugins))
	for _, d := range []string{plugins, devicePlugins} {
		if err := os.MkdirAll(d, privateDir); err != nil {
			return nil, errors.Join(err, lock.Close())
		}
	}
	// What is mounted next shall not reach the first kubelet.
	err = unix.Mount("", kubeletDir, "", unix.MS_SLAVE, "")
	if err == nil {
		err = unix.Mount(plugins, devicePlugins, "", unix.MS_BIND, "")
	}
	if err != nil {
		return nil, errors.Join(&os.PathError{Op: "bind", Path: devicePlugins, Err: err}, lock.Close())
	}
	return lock, nil
}
