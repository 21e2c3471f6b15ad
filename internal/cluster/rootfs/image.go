//go:build linux

package rootfs

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// imagePhases build a root out of an image's layers: one overlay, in which
// nothing of the host shows but what every container gets and its volumes.
// Every path of the image is foreign: it is resolved inside the new root, and
// what we mount on must be a directory, not a link.
func (b *builder) imagePhases() []phase {
	return []phase{
		{"detach mounts", detach},
		{"check volumes", b.openVolumes},
		{"mount image layers", b.mountLayers},
		{"prepare the image's directories", b.prepareImage},
		{"write files", b.writeImageFiles},
		{"mount /dev", b.mountDev},
		{"mount /proc and /sys", b.mountKernel},
		{"mount programs", b.mountOwn},
		{"keep the image's volumes writable", b.imageVolumes},
		{"mount volumes", b.mountVolumes},
		{"mask platform data", b.mask},
		{"make root read-only", b.protect},
		{"change root", b.pivot},
	}
}

// mountLayers puts the overlay in place. What the container writes lies on the
// disk, as it may be much; where the disk's file system cannot be the upper
// layer of an overlay (it is one itself), in memory.
func (b *builder) mountLayers() error {
	if err := os.Mkdir(b.Scratch, 0o755); err != nil {
		return err
	}
	err := b.mountLayersOn(b.Scratch)
	if errors.Is(err, unix.EINVAL) {
		if tmpErr := unix.Mount(OwnSource, b.Scratch, "tmpfs", unix.MS_NODEV, "mode=755,size="+memoryShare); tmpErr != nil {
			return errors.Join(err, tmpErr)
		}
		err = b.mountLayersOn(b.Scratch)
	}
	if err != nil {
		return err
	}
	b.rootFD, err = unix.Open(b.root(""), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	b.writable = []string{b.root("")}
	return err
}

func (b *builder) mountLayersOn(dir string) error {
	upper, work := filepath.Join(dir, "upper"), filepath.Join(dir, "work")
	for _, d := range []string{upper, work, b.root("")} {
		if err := os.Mkdir(d, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	if err := copyDirAttributes(b.Layers[0], upper); err != nil {
		return err
	}
	return MountOverlay(Overlay{Lowers: b.Layers, Upper: upper, Work: work, Target: b.root(""), Volatile: true})
}

func copyDirAttributes(from, to string) error {
	var st unix.Stat_t
	if err := unix.Stat(from, &st); err != nil {
		return &os.PathError{Op: "stat", Path: from, Err: err}
	}
	if !InUserNamespace() {
		if err := os.Chown(to, int(st.Uid), int(st.Gid)); err != nil {
			return err
		}
	}
	return unix.Chmod(to, st.Mode&0o7777)
}

// prepareImage makes the directories that are mounted on, and home for a container whose image has none.
func (b *builder) prepareImage() error {
	for _, d := range []string{"/dev", "/proc", "/sys", ownDir} {
		var st unix.Stat_t
		err := unix.Lstat(b.root(d), &st)
		if errors.Is(err, unix.ENOENT) {
			if err := unix.Mkdir(b.root(d), 0o755); err != nil {
				return &os.PathError{Op: "mkdir", Path: d, Err: err}
			}
			continue
		}
		if err != nil {
			return &os.PathError{Op: "stat", Path: d, Err: err}
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			return fmt.Errorf("%s in the image is not a directory", d)
		}
	}
	return nil
}

// ownDir is the platform's own corner of every container.
const ownDir = "/.kiwerk"

// writeImageFiles replaces files of the image, and links that stand for them, by ours.
func (b *builder) writeImageFiles() error {
	for name, content := range b.Files {
		if err := b.writeImageFile(path.Clean(name), content); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (b *builder) writeImageFile(name, content string) error {
	dir, base := path.Split(name)
	parent, err := b.openInRoot(dir)
	if errors.Is(err, unix.ENOENT) {
		if err = b.makeNested(dir, true); err == nil {
			parent, err = b.openInRoot(dir)
		}
	}
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	if err := unix.Unlinkat(parent, base, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	fd, err := unix.Openat(parent, base, unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), name)
	_, err = f.WriteString(content)
	return errors.Join(err, f.Close())
}

// mountOwn puts our programs over whatever an image may have at their place.
func (b *builder) mountOwn() error {
	if err := unix.Mount(OwnSource, b.root(ownDir), "tmpfs", unix.MS_NODEV|unix.MS_NOSUID, "mode=755,size=64k"); err != nil {
		return fmt.Errorf("tmpfs: %w", err)
	}
	if err := unix.Mkdir(b.root(ProgramDir), 0o755); err != nil {
		return err
	}
	if err := b.mountPrograms(); err != nil {
		return err
	}
	return unix.MountSetattr(unix.AT_FDCWD, b.root(ownDir), 0, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
}

// imageVolumes makes the paths that the image declares as volumes, and keeps
// them writable below a read-only root: a bind of the same overlay is a mount of its own.
func (b *builder) imageVolumes() error {
	for _, p := range b.ImageVolumes {
		p = path.Clean("/" + p)
		if p == "/" || b.covered(p) {
			continue
		}
		at, err := b.openInRoot(p)
		if errors.Is(err, unix.ENOENT) {
			if err = b.makeNested(p, true); err == nil {
				at, err = b.openInRoot(p)
			}
		}
		if err == nil && b.ReadOnly {
			err = bindOnItself(at)
		}
		if at > 0 {
			_ = unix.Close(at) // only a handle for mounting
		}
		if err != nil {
			return fmt.Errorf("volume %s of the image: %w", p, err)
		}
	}
	return nil
}

// covered tells whether the pod or we mount something there.
func (b *builder) covered(p string) bool {
	for _, v := range b.volumes {
		if v.dest == p {
			return true
		}
	}
	for _, own := range []string{"/dev", "/proc", "/sys", ownDir} {
		if within(p, own) {
			return true
		}
	}
	return false
}

func bindOnItself(at int) error {
	tree, err := unix.OpenTree(at, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err != nil {
		return fmt.Errorf("open_tree: %w", err)
	}
	defer unix.Close(tree)
	return unix.MoveMount(tree, "", at, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}

// fromImage tells whether the root is an image's and not the host's.
func (s Spec) fromImage() bool { return len(s.Layers) > 0 }

// imageDest is where a volume goes in an image's root; links are followed inside of it when it is mounted.
func imageDest(dest string) string { return "/" + strings.Trim(path.Clean(dest), "/") }
