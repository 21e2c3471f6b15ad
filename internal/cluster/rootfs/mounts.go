//go:build linux

package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// InUserNamespace tells whether root here is an ordinary user of the host.
var InUserNamespace = sync.OnceValue(func() bool {
	m, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return true
	}
	f := strings.Fields(string(m))
	return len(f) != 3 || f[0] != "0" || f[1] != "0" || f[2] != "4294967295"
})

// OwnGroups tells whether a process here may have other groups than its starter's.
var OwnGroups = sync.OnceValue(func() bool {
	setting, err := os.ReadFile("/proc/self/setgroups")
	return err != nil || strings.TrimSpace(string(setting)) == "allow"
})

// mountSteps mounts the overlays and binds of the plan. The overlays are made
// side by side: each waits for the disk's journal several times.
func (b *builder) mountSteps() error {
	errs := make([]error, len(b.steps))
	var wg sync.WaitGroup
	for i, s := range b.steps {
		if s.Act == actOverlay {
			wg.Go(func() { errs[i] = b.mountOverlay(s, i) })
		}
	}
	wg.Wait()
	for i, s := range b.steps {
		var err error
		switch s.Act {
		case actOverlay:
			err = b.afterOverlay(s, errs[i])
		case actBind:
			err = bindTree(s.Path, b.root(s.Path), true)
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
				err = nil // hidden by another mount, or not for this user
			}
		case actMkdir, actLink:
		}
		if err != nil {
			return fmt.Errorf("%s: %w", s.Path, err)
		}
	}
	return nil
}

// afterOverlay deals with directories that cannot lie below an overlay (FUSE,
// autofs): they are shown as they are.
func (b *builder) afterOverlay(s step, err error) error {
	if err == nil {
		b.writable = append(b.writable, b.root(s.Path))
		return nil
	}
	if bindErr := bindTree(s.Path, b.root(s.Path), true); bindErr != nil {
		return errors.Join(err, bindErr)
	}
	return nil
}

func (b *builder) mountOverlay(s step, n int) error {
	work := filepath.Join(b.Scratch, "work", strconv.Itoa(n))
	if err := os.Mkdir(work, 0o700); err != nil {
		return err
	}
	// The upper layer lies where the overlay will be: one directory less to make.
	return MountOverlay(Overlay{Lower: s.Path, Upper: b.root(s.Path), Work: work, Target: b.root(s.Path), Volatile: true})
}

// Overlay is one overlay mount.
type Overlay struct {
	Lower, Upper, Work, Target string
	// Lowers takes the place of Lower where there are several: the topmost first.
	// Two or more of them may do without Upper and Work, for reading.
	Lowers []string
	// Volatile leaves out all syncing: without it the kernel syncs the whole
	// file system below whenever an overlay is unmounted, once per container
	// and directory. The upper layer does not survive the container anyway.
	Volatile bool
}

// maxOptions leaves room in the page of mount options for everything but paths.
const maxOptions = 3000

// MountOverlay mounts o with the options that user namespaces need.
func MountOverlay(o Overlay) error {
	var p paths
	defer p.close()
	opts, err := o.options(&p)
	if err != nil {
		return err
	}
	if InUserNamespace() {
		opts += ",userxattr"
	} else {
		// Layers are shared: none may hold only what differs from those that were below it once.
		opts += ",redirect_dir=off,metacopy=off"
	}
	if err := unix.Mount(OwnSource, o.Target, "overlay", unix.MS_NODEV, opts); err != nil {
		return fmt.Errorf("overlay over %s: %w", o.lowers()[0], err)
	}
	if o.Work != "" {
		openWorkDir(o.Work)
	}
	return nil
}

func (o Overlay) lowers() []string {
	if len(o.Lowers) > 0 {
		return o.Lowers
	}
	return []string{o.Lower}
}

// options are those that name directories, and what belongs to them.
func (o Overlay) options(p *paths) (string, error) {
	p.byNumber = len(strings.Join(o.lowers(), ":"))+len(o.Upper)+len(o.Work) > maxOptions
	opts, sep := "index=off,lowerdir=", ""
	for _, l := range o.lowers() {
		name, err := p.name(l)
		if err != nil {
			return "", err
		}
		opts, sep = opts+sep+name, ":"
	}
	if o.Upper != "" {
		upper, err1 := p.name(o.Upper)
		work, err2 := p.name(o.Work)
		if err := errors.Join(err1, err2); err != nil {
			return "", err
		}
		opts += ",upperdir=" + upper + ",workdir=" + work
	}
	if o.Volatile {
		opts += ",volatile"
	}
	return opts, nil
}

// paths names directories for mount options. Separators in paths would need
// two levels of escaping, and long paths or many do not fit into the page of
// options: they are passed by descriptor then.
type paths struct {
	byNumber bool
	open     []int
}

func (p *paths) name(dir string) (string, error) {
	if !p.byNumber && !strings.ContainsAny(dir, `,:\"`) {
		return dir, nil
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", &os.PathError{Op: "open", Path: dir, Err: err}
	}
	p.open = append(p.open, fd)
	return "/proc/self/fd/" + strconv.Itoa(fd), nil
}

func (p *paths) close() {
	for _, fd := range p.open {
		_ = unix.Close(fd) // only a handle for mounting
	}
}

// openWorkDir lets the owner remove what the kernel made in the work directory
// with mode 0, also from outside of the user namespace, where he is not root.
func openWorkDir(work string) {
	dir := work
	for _, name := range []string{"work", "incompat", "volatile"} {
		dir = filepath.Join(dir, name)
		if err := os.Chmod(dir, 0o700); err != nil {
			return // not made by this kernel
		}
	}
}

// bindTree shows src with all mounts below it at dst.
func bindTree(src, dst string, readOnly bool) error {
	fd, err := unix.OpenTree(unix.AT_FDCWD, src, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return &os.PathError{Op: "open_tree", Path: src, Err: kernelTooOld("open_tree", err)}
	}
	defer unix.Close(fd)
	if readOnly {
		if err := setAttrs(fd, unix.MOUNT_ATTR_RDONLY); err != nil {
			return err
		}
	}
	if err := unix.MoveMount(fd, "", unix.AT_FDCWD, dst, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return &os.PathError{Op: "move_mount", Path: dst, Err: err}
	}
	return nil
}

// setAttrs adds attributes to a whole tree. mount_setattr leaves all others as
// they are, so flags that the user namespace has locked need no repeating.
func setAttrs(fd int, attrs uint64) error {
	err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: attrs})
	if err != nil {
		return kernelTooOld("mount_setattr", err)
	}
	return nil
}

// mountPrograms binds the platform's own programs.
func (b *builder) mountPrograms() error {
	for name, src := range b.Programs {
		dst := b.root(path.Join(ProgramDir, path.Base(name)))
		if err := makeFile(dst); err != nil {
			return err
		}
		if err := bindTree(src, dst, true); err != nil {
			return err
		}
	}
	return nil
}

// mask hides the platform's data, wherever it shows.
func (b *builder) mask() error {
	points := slices.Clone(b.Masks)
	if b.fromImage() {
		points = nil // nothing of the host shows but through volumes
	}
	hidden, err := withProcs(b.Masks)
	if err != nil {
		return err
	}
	for _, v := range b.volumes {
		for _, m := range hidden {
			if v.source != m && within(m, v.source) {
				points = append(points, path.Join(v.dest, strings.TrimPrefix(m, v.source)))
			}
		}
	}
	for _, p := range points {
		if err := b.maskOne(p); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	return nil
}

// withProcs adds where the host shows processes: a volume above such a place
// must not have it either (see notProc).
func withProcs(masks []string) ([]string, error) {
	mounts, err := hostMounts()
	if err != nil {
		return nil, err
	}
	all := slices.Clone(masks)
	for _, m := range mounts {
		if m.FSType == "proc" && !slices.Contains(all, m.Point) {
			all = append(all, m.Point)
		}
	}
	return all, nil
}

func (b *builder) maskOne(p string) error {
	for _, v := range b.volumes {
		if v.dest == p {
			return nil // a volume that the pod was allowed covers it
		}
	}
	fd, err := b.openInRoot(p)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	if errors.Is(err, unix.EACCES) {
		return nil // not reachable for the container either
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	at := "/proc/self/fd/" + strconv.Itoa(fd)
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return unix.Mount("/dev/null", at, "", unix.MS_BIND, "")
	}
	return unix.Mount(OwnSource, at, "tmpfs", unix.MS_RDONLY|unix.MS_NODEV|unix.MS_NOSUID|unix.MS_NOEXEC, "mode=0,size=4k,nr_inodes=2")
}

// protect makes the root read-only, the volumes and /dev apart.
func (b *builder) protect() error {
	if !b.ReadOnly {
		return nil
	}
	for _, m := range b.writable {
		if err := unix.MountSetattr(unix.AT_FDCWD, m, 0, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
			return fmt.Errorf("%s: %w", m, err)
		}
	}
	return nil
}

// pivot makes the new root the only one.
func (b *builder) pivot() error {
	if err := unix.Fchdir(b.rootFD); err != nil {
		return err
	}
	// Old and new root at the same place: the old one ends up on top and can be detached from there.
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount host root: %w", err)
	}
	return errors.Join(unix.Close(b.rootFD), unix.Chdir("/"))
}

// openInRoot opens a path as the container will see it.
func (b *builder) openInRoot(p string) (int, error) {
	return openIn(b.rootFD, p, unix.O_PATH|unix.O_CLOEXEC)
}

func openIn(dir int, p string, flags uint64) (int, error) {
	for {
		fd, err := unix.Openat2(dir, strings.TrimPrefix(p, "/"), &unix.OpenHow{Flags: flags, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS})
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}
