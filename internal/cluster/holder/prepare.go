//go:build linux

package holder

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kiwerk/kiwerk/internal/cluster/rootfs"
)

// KubeletState is the folder of the data directory that lies over /var/lib/kubelet.
const KubeletState = "kubelet"

// prepare gives the new mount namespace what the kubelet needs. The kubelet's
// device manager has /var/lib/kubelet built in; two clusters on one host and
// hosts with a kubelet of their own must not meet there.
func prepare(dataDir string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("detach mounts from the host: %w", err)
	}
	state := filepath.Join(dataDir, KubeletState)
	if err := os.MkdirAll(state, 0o700); err != nil {
		return err
	}
	// Opened now: the overlay below may cover the data directory.
	fd, err := unix.Open(state, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: state, Err: err}
	}
	defer unix.Close(fd)
	if _, err := os.Lstat(rootfs.KubeletDir); errors.Is(err, os.ErrNotExist) {
		if err := makeKubeletDir(dataDir); err != nil {
			return fmt.Errorf("make %s: %w", rootfs.KubeletDir, err)
		}
	}
	if err := unix.Mount("/proc/self/fd/"+strconv.Itoa(fd), rootfs.KubeletDir, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind %s to %s: %w", state, rootfs.KubeletDir, err)
	}
	return nil
}

// makeKubeletDir creates the mount point. Root just makes it; a user, who
// cannot, gets an overlay over its parent with the upper layer in the data directory.
func makeKubeletDir(dataDir string) error {
	if !rootfs.InUserNamespace() {
		return os.MkdirAll(rootfs.KubeletDir, 0o755)
	}
	parent := path.Dir(rootfs.KubeletDir)
	data, err := filepath.EvalSymlinks(dataDir)
	if err != nil {
		return err
	}
	own, err := unix.Open(data, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: data, Err: err}
	}
	defer unix.Close(own)

	// A new one each time: an upper layer that was not unmounted cleanly cannot be used again.
	scratch := filepath.Join(data, "ns")
	if err := os.RemoveAll(scratch); err != nil {
		return err
	}
	upper, work := filepath.Join(scratch, "upper"), filepath.Join(scratch, "work")
	err = errors.Join(os.MkdirAll(filepath.Join(upper, path.Base(rootfs.KubeletDir)), 0o755), os.MkdirAll(work, 0o700))
	if err != nil {
		return err
	}
	if err := rootfs.MountOverlay(rootfs.Overlay{Lower: parent, Upper: upper, Work: work, Target: parent, Volatile: true}); err != nil {
		return err
	}
	if !strings.HasPrefix(data, parent+"/") {
		return nil
	}
	// The data directory lies below the overlay: show it as it is, not through the overlay.
	if err := unix.Mount("/proc/self/fd/"+strconv.Itoa(own), data, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind data directory: %w", err)
	}
	return nil
}
