//go:build linux

package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

// builder carries what the phases of [Build] share.
type builder struct {
	Spec
	steps   []step
	volumes []volume
	rootFD  int
	userNS  bool
	// writable are the mounts that ReadOnly concerns.
	writable []string
}

// Build makes the root described by spec and moves the calling process into
// it. The process must be alone in its mount namespace and in its pid
// namespace, and must have a single file system context (no other threads that
// rely on the old root).
func Build(spec Spec) error {
	b := &builder{Spec: spec}
	for _, phase := range []struct {
		what string
		do   func() error
	}{
		{"detach mounts", detach},
		{"plan container root", b.observe},
		{"check volumes", b.openVolumes},
		{"make container root", b.makeRoot},
		{"make mount points", b.makeMountPoints},
		{"mount host directories", b.mountSteps},
		{"mount /dev", b.mountDev},
		{"mount /proc and /sys", b.mountKernel},
		{"mount programs", b.mountPrograms},
		{"mount volumes", b.mountVolumes},
		{"mask platform data", b.mask},
		{"make root read-only", b.protect},
		{"change root", b.pivot},
	} {
		if err := phase.do(); err != nil {
			return fmt.Errorf("%s: %w", phase.what, err)
		}
	}
	return nil
}

// detach keeps our mounts from the host; the host's still reach HostToContainer volumes.
func detach() error {
	return unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, "")
}

func (b *builder) observe() error {
	mounts, err := hostMounts()
	if err != nil {
		return err
	}
	for i, m := range b.Masks {
		if real, err := filepath.EvalSymlinks(m); err == nil {
			b.Masks[i] = real
		}
	}
	b.Masks = append(b.Masks, KubeletDir)
	b.userNS = InUserNamespace()
	b.steps, err = plan(mounts, b.Masks, host{list: listHost, locked: lockedBelow})
	return err
}

func (b *builder) root(p string) string  { return filepath.Join(b.Scratch, "root", p) }
func (b *builder) upper(p string) string { return filepath.Join(b.Scratch, "upper", p) }

// makeRoot creates the plain parts of the root on a mount of its own.
func (b *builder) makeRoot() error {
	for _, dir := range []string{b.root(""), b.upper(""), filepath.Join(b.Scratch, "work")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	root := b.root("")
	if err := unix.Mount(root, root, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s: %w", root, err)
	}
	b.writable = append(b.writable, root)
	if err := unix.MountSetattr(unix.AT_FDCWD, root, 0, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NODEV}); err != nil {
		return kernelTooOld("mount_setattr", err)
	}
	fd, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	b.rootFD = fd
	for _, d := range []struct {
		path string
		mode fs.FileMode
	}{
		{"/proc", 0o555}, {"/sys", 0o555}, {"/dev", 0o755}, {"/run", 0o755}, {"/run/lock", 0o755},
		{"/tmp", 0o777 | fs.ModeSticky}, {"/.kiwerk", 0o755}, {ProgramDir, 0o755}, {Home, 0o700},
	} {
		if err := mkdirMode(b.root(d.path), d.mode); err != nil {
			return err
		}
	}
	if b.OwnerUID != 0 || b.OwnerGID != 0 {
		return os.Chown(b.root(Home), int(b.OwnerUID), int(b.OwnerGID))
	}
	return nil
}

// makeMountPoints prepares, below the mounts to come, all that they must show
// in addition to the host. In the upper layers this works as an ordinary user
// too: they are ours, while the host's directories belong to a user who does
// not exist in our namespace.
func (b *builder) makeMountPoints() error {
	for _, s := range b.steps {
		if err := b.prepare(s); err != nil {
			return err
		}
	}
	if b.at("/var").Act == actOverlay {
		// The host's /var/tmp belongs to root: an ordinary user could not copy it up.
		if err := b.makeDir("/var/tmp"); err != nil {
			return err
		}
	}
	for name, content := range b.Files {
		if err := b.writeFile(name, content); err != nil {
			return err
		}
	}
	for _, v := range b.volumes {
		if b.nested(v) {
			continue // made inside the outer volume, once that is mounted
		}
		if err := b.makePoint(v.dest, v.dir); err != nil {
			return fmt.Errorf("volume at %s: %w", v.Dest, err)
		}
	}
	return nil
}

func (b *builder) prepare(s step) error {
	switch s.Act {
	case actLink:
		return os.Symlink(s.Target, b.root(s.Path))
	case actMkdir:
		return copyDir(s.Path, b.root(s.Path))
	case actOverlay:
		if err := os.MkdirAll(b.upper(path.Dir(s.Path)), 0o755); err != nil {
			return err
		}
		return errors.Join(copyDir(s.Path, b.root(s.Path)), copyDir(s.Path, b.upper(s.Path)))
	case actBind:
		if b.at(path.Dir(s.Path)).Act == actOverlay {
			return nil // the host's own directory shows through
		}
		if s.Mode.IsDir() {
			return mkdirMode(b.root(s.Path), 0o755)
		}
		return os.WriteFile(b.root(s.Path), nil, 0o644)
	}
	return fmt.Errorf("unknown action %d for %s", s.Act, s.Path)
}

// at returns the innermost step that p lies in.
func (b *builder) at(p string) step {
	best := step{Act: actMkdir, Path: "/"}
	for _, s := range b.steps {
		if within(p, s.Path) && len(s.Path) >= len(best.Path) {
			best = s
		}
	}
	return best
}

// layer returns where p has to be created so that the container sees it, and
// whether the host shows through there.
func (b *builder) layer(p string) (dir string, host bool, err error) {
	s := b.at(p)
	switch s.Act {
	case actOverlay:
		return b.upper(""), true, nil
	case actBind:
		return "", false, fmt.Errorf("%s lies in %s, which other file systems of the host are mounted below and which is therefore read-only; choose another path", p, s.Path)
	default:
		return b.root(""), false, nil
	}
}

// makePoint creates a mount point unless the host has one of the right kind.
func (b *builder) makePoint(p string, dir bool) error {
	if b.at(p).Act == actBind {
		if info, err := os.Stat(p); err == nil && info.IsDir() == dir {
			return nil
		}
	}
	if dir {
		return b.makeDir(p)
	}
	if err := b.makeDir(path.Dir(p)); err != nil {
		return err
	}
	base, host, err := b.layer(p)
	if err != nil {
		return err
	}
	if host {
		if info, err := os.Stat(p); err == nil {
			if info.IsDir() {
				return fmt.Errorf("%s is a directory on the host, the volume is a file", p)
			}
			return nil
		}
	}
	f, err := os.OpenFile(base+p, os.O_CREATE|os.O_RDONLY, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}

// makeDir creates p and its parents in the layers, like the host's where it has them.
func (b *builder) makeDir(p string) error {
	for i, part := 1, strings.Split(p, "/"); i < len(part); i++ {
		sub := strings.Join(part[:i+1], "/")
		base, host, err := b.layer(sub)
		if err != nil {
			if info, statErr := os.Stat(sub); statErr == nil && info.IsDir() {
				continue // exists in the read-only tree
			}
			return err
		}
		if _, err := os.Lstat(base + sub); err == nil {
			continue
		}
		if !host {
			err = mkdirMode(base+sub, 0o755)
		} else {
			err = copyDir(sub, base+sub)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// writeFile puts a file of ours over the host's.
func (b *builder) writeFile(name, content string) error {
	p, err := resolveParent(name)
	if err != nil {
		return err
	}
	if err := b.makeDir(path.Dir(p)); err != nil {
		return err
	}
	base, _, err := b.layer(p)
	if err != nil {
		return err
	}
	return os.WriteFile(base+p, []byte(content), 0o644)
}

func (b *builder) nested(v volume) bool {
	for _, o := range b.volumes {
		if o.dest != v.dest && within(v.dest, o.dest) {
			return true
		}
	}
	return within(v.dest, "/dev")
}

// copyDir creates dst with mode and, as root, owner of the host's directory src.
func copyDir(src, dst string) error {
	var st unix.Stat_t
	err := unix.Stat(src, &st)
	if errors.Is(err, unix.ENOENT) {
		return mkdirMode(dst, 0o755)
	}
	if err != nil {
		return &os.PathError{Op: "stat", Path: src, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return fmt.Errorf("%s is not a directory on the host", src)
	}
	if err := os.Mkdir(dst, 0o755); err != nil {
		return err
	}
	if !InUserNamespace() && (st.Uid != 0 || st.Gid != 0) {
		if err := os.Chown(dst, int(st.Uid), int(st.Gid)); err != nil {
			return err
		}
	}
	return unix.Chmod(dst, st.Mode&0o7777)
}

// mkdirMode creates a directory with exactly this mode, whatever the umask is.
func mkdirMode(dir string, mode fs.FileMode) error {
	if err := os.Mkdir(dir, mode.Perm()); err != nil {
		return err
	}
	return os.Chmod(dir, mode)
}

func sortVolumes(v []volume) {
	sort.SliceStable(v, func(i, j int) bool {
		return strings.Count(v[i].dest, "/") < strings.Count(v[j].dest, "/")
	})
}

func kernelTooOld(call string, err error) error {
	if errors.Is(err, unix.ENOSYS) {
		return fmt.Errorf("%s: %w: Linux 5.12 or newer is needed", call, err)
	}
	return fmt.Errorf("%s: %w", call, err)
}
