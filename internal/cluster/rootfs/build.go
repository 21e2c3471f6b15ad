//go:build linux

package rootfs

import (
	"errors"
	"fmt"
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
	images  int // mounted for volumes
	onDisk  []diskDir
	rootFD  int
	userNS  bool
	// writable are the mounts that ReadOnly concerns.
	writable []string
}

// diskDir is a directory of the container for large files.
type diskDir struct {
	path string
	name string // below Scratch
	mode uint32
	fd   int
}

// Build makes the root described by spec and moves the calling process into
// it. The process must be alone in its mount namespace and must have a single file system context (no other threads that
// rely on the old root).
func Build(spec Spec) error {
	b := &builder{Spec: spec, userNS: InUserNamespace()}
	b.Masks = []string{KubeletDir}
	for _, m := range spec.Masks {
		b.Masks = append(b.Masks, realPath(m))
	}
	// Modes below are meant exactly.
	defer unix.Umask(unix.Umask(0))
	phases := b.hostPhases()
	if b.fromImage() {
		phases = b.imagePhases()
	}
	for _, p := range phases {
		if err := p.do(); err != nil {
			return fmt.Errorf("%s: %w", p.what, err)
		}
	}
	return nil
}

// phase is one step of building a root.
type phase struct {
	what string
	do   func() error
}

// hostPhases build a root out of the host's.
func (b *builder) hostPhases() []phase {
	return []phase{
		{"detach mounts", detach},
		{"check volumes", b.openVolumes},
		{"plan container root", b.observe},
		{"make container directories", b.makeDiskDirs},
		{"make container root", b.makeRoot},
		{"make mount points", b.makeMountPoints},
		{"mount host directories", b.mountSteps},
		{"bind container root", b.bindRoot},
		{"mount /tmp", b.mountDiskDirs},
		{"mount /dev", b.mountDev},
		{"mount /proc and /sys", b.mountKernel},
		{"mount programs", b.mountPrograms},
		{"mount volumes", b.mountVolumes},
		{"mask platform data", b.mask},
		{"make root read-only", b.protect},
		{"change root", b.pivot},
	}
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
	need, err := b.needs()
	if err != nil {
		return err
	}
	b.steps, err = plan(mounts, b.Masks, need, host{list: listHost, locked: lockedBelow})
	return err
}

// needs tells what the plan has to leave writable. An ordinary user's /usr is
// not: nothing in it belongs to him, so he could change nothing anyway.
func (b *builder) needs() (want, error) {
	w := want{writable: []string{"/etc", "/var", "/opt"}}
	if !b.userNS {
		w.writable = append(w.writable, "/usr")
	}
	for name := range b.Files {
		p, err := resolveParent(name)
		if err != nil {
			return w, err
		}
		w.points = append(w.points, p)
	}
	for _, v := range b.volumes {
		if info, err := os.Stat(v.dest); err != nil || info.IsDir() != v.dir {
			w.points = append(w.points, v.dest)
		}
	}
	return w, nil
}

// root is where p of the container lies before its mounts are made: below, the
// mount points; in place of an overlay, its upper layer.
func (b *builder) root(p string) string { return filepath.Join(b.Scratch, "root", p) }

// makeDiskDirs creates what lies on the disk and then covers Scratch with a
// file system in memory for all the rest. A root needs some fifty directories,
// most of them made by the kernel for overlays. In memory they cost nothing;
// on the disk they were most of the time that a container took to start.
func (b *builder) makeDiskDirs() error {
	if err := os.Mkdir(b.Scratch, 0o755); err != nil {
		return err
	}
	b.onDisk = []diskDir{
		{path: "/tmp", name: "tmp", mode: 0o777 | unix.S_ISVTX},
		{path: "/var/tmp", name: "var-tmp", mode: 0o777 | unix.S_ISVTX},
		{path: Home, name: "home", mode: 0o700},
	}
	for i, d := range b.onDisk {
		at := filepath.Join(b.Scratch, d.name)
		if err := unix.Mkdir(at, d.mode); err != nil {
			return &os.PathError{Op: "mkdir", Path: at, Err: err}
		}
		fd, err := unix.Open(at, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return &os.PathError{Op: "open", Path: at, Err: err}
		}
		b.onDisk[i].fd = fd
		if d.path == Home && (b.OwnerUID != 0 || b.OwnerGID != 0) {
			if err := os.Chown(at, int(b.OwnerUID), int(b.OwnerGID)); err != nil {
				return err
			}
		}
	}
	if err := unix.Mount(OwnSource, b.Scratch, "tmpfs", unix.MS_NODEV, "mode=755,size="+memoryShare); err != nil {
		return fmt.Errorf("tmpfs: %w", err)
	}
	return nil
}

// makeRoot creates the plain parts of the root.
func (b *builder) makeRoot() error {
	for _, dir := range []string{b.root(""), filepath.Join(b.Scratch, "work")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	for _, d := range []struct {
		path string
		mode uint32
	}{
		{"/proc", 0o555},
		{"/sys", 0o555},
		{"/dev", 0o755},
		{"/run", 0o755},
		{"/run/lock", 0o755},
		{"/tmp", 0o755},
		{"/.kiwerk", 0o755},
		{ProgramDir, 0o755},
		{Home, 0o700},
	} {
		if err := unix.Mkdir(b.root(d.path), d.mode); err != nil {
			return &os.PathError{Op: "mkdir", Path: b.root(d.path), Err: err}
		}
	}
	return nil
}

// bindRoot makes the root a mount, as pivot_root needs it, with all that is
// mounted in it so far. Not earlier: the kernel wants the two directories of
// an overlay to lie on one and the same mount.
func (b *builder) bindRoot() error {
	root := b.root("")
	if err := unix.Mount(root, root, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind %s: %w", root, err)
	}
	b.writable = append(b.writable, root)
	if err := unix.MountSetattr(unix.AT_FDCWD, root, 0, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NODEV}); err != nil {
		return kernelTooOld("mount_setattr", err)
	}
	fd, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: root, Err: err}
	}
	b.rootFD = fd
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
	case actMkdir, actOverlay:
		return copyDir(s.Path, b.root(s.Path))
	case actBind:
		if b.at(path.Dir(s.Path)).Act == actOverlay {
			return nil // the host's own directory shows through
		}
		if s.Mode.IsDir() {
			return os.Mkdir(b.root(s.Path), 0o755)
		}
		return makeFile(b.root(s.Path))
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

// hostShows tells whether the container sees what the host has at p.
func (b *builder) hostShows(p string) (bool, error) {
	s := b.at(p)
	if s.Act == actBind {
		return true, fmt.Errorf("%s lies in %s, which is shown read-only because other file systems are mounted there; choose another path", p, s.Path)
	}
	return s.Act == actOverlay, nil
}

// makePoint creates a mount point unless the host has one of the right kind.
func (b *builder) makePoint(p string, dir bool) error {
	shows, err := b.hostShows(p)
	if shows {
		info, statErr := os.Stat(p)
		switch {
		case statErr == nil && info.IsDir() == dir:
			return nil
		case statErr == nil && dir:
			return fmt.Errorf("%s is a file on the host, the volume is a directory", p)
		case statErr == nil:
			return fmt.Errorf("%s is a directory on the host, the volume is a file", p)
		}
	}
	if err != nil {
		return err
	}
	if dir {
		return b.makeDir(p)
	}
	if err := b.makeDir(path.Dir(p)); err != nil {
		return err
	}
	return makeFile(b.root(p))
}

func makeFile(p string) error {
	f, err := os.OpenFile(p, os.O_CREATE|os.O_RDONLY, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}

// makeDir creates p and its parents, like the host's where it has them.
func (b *builder) makeDir(p string) error {
	for i, part := 1, strings.Split(p, "/"); i < len(part); i++ {
		sub := strings.Join(part[:i+1], "/")
		if _, err := os.Lstat(b.root(sub)); err == nil {
			continue
		}
		shows, err := b.hostShows(sub)
		if err == nil && shows {
			err = copyDir(sub, b.root(sub))
		} else if err == nil {
			err = os.Mkdir(b.root(sub), 0o755)
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
	if _, err := b.hostShows(p); err != nil {
		return err
	}
	return os.WriteFile(b.root(p), []byte(content), 0o644)
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
		return os.Mkdir(dst, 0o755)
	}
	if err != nil {
		return &os.PathError{Op: "stat", Path: src, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return fmt.Errorf("%s is not a directory on the host", src)
	}
	mode := st.Mode & 0o7777
	if err := unix.Mkdir(dst, mode); err != nil {
		return &os.PathError{Op: "mkdir", Path: dst, Err: err}
	}
	if !InUserNamespace() && (st.Uid != 0 || st.Gid != 0) {
		if err := os.Chown(dst, int(st.Uid), int(st.Gid)); err != nil {
			return err
		}
	}
	if mode&(unix.S_ISUID|unix.S_ISGID) == 0 {
		return nil
	}
	return unix.Chmod(dst, mode) // mkdir leaves these bits out, chown drops them
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
