//go:build linux

package rootfs

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// volume is a Volume whose ends have been looked up.
type volume struct {
	Volume
	fd     int    // of the source
	source string // real path of the source
	dest   string // real path in the container
	dir    bool
	dev    bool // a device, or a directory of devices
}

// openVolumes pins the sources, so that what was checked is what gets mounted.
func (b *builder) openVolumes() error {
	for _, v := range b.Volumes {
		o, err := b.openVolume(v)
		if err != nil {
			return fmt.Errorf("volume at %s: %w", v.Dest, err)
		}
		b.volumes = append(b.volumes, o)
	}
	sortVolumes(b.volumes)
	return nil
}

func (b *builder) openVolume(v Volume) (volume, error) {
	if !path.IsAbs(v.Dest) || path.Clean(v.Dest) == "/" {
		return volume{}, errors.New("the path must be absolute and not the root")
	}
	fd, err := b.openSource(v)
	if err != nil {
		return volume{}, err
	}
	o := volume{Volume: v, fd: fd}
	if o.source, err = os.Readlink("/proc/self/fd/" + strconv.Itoa(fd)); err != nil {
		return volume{}, err
	}
	if len(v.Layers) == 0 {
		if err := b.permitted(o.source); err != nil {
			return volume{}, err
		}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return volume{}, err
	}
	if err := notProc(fd, o.source); err != nil {
		return volume{}, err
	}
	o.dir = st.Mode&unix.S_IFMT == unix.S_IFDIR
	o.dev = within(o.source, "/dev")
	if b.fromImage() {
		o.dest = imageDest(v.Dest)
		return o, nil
	}
	o.dest, err = resolveParent(v.Dest)
	return o, err
}

func (b *builder) openSource(v Volume) (int, error) {
	if len(v.Layers) == 0 {
		fd, err := unix.Open(v.Source, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return 0, &os.PathError{Op: "open", Path: v.Source, Err: err}
		}
		return fd, nil
	}
	at, err := b.mountImage(v.Layers)
	if err != nil {
		return 0, err
	}
	root, err := unix.Open(at, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, &os.PathError{Op: "open", Path: at, Err: err}
	}
	if path.Clean("/"+v.SubPath) == "/" {
		return root, nil
	}
	defer unix.Close(root)
	fd, err := openIn(root, v.SubPath, unix.O_PATH|unix.O_CLOEXEC) // its links are foreign and lead nowhere else
	if err != nil {
		return 0, fmt.Errorf("%s in the image: %w", v.SubPath, err)
	}
	return fd, nil
}

// mountImage shows the layers of an image at a place of their own, beside the container's root.
func (b *builder) mountImage(layers []string) (string, error) {
	if len(layers) == 1 {
		return layers[0], nil
	}
	b.images++
	at := b.Scratch + "-image-" + strconv.Itoa(b.images)
	if err := os.Mkdir(at, 0o700); err != nil {
		return "", err
	}
	return at, MountOverlay(Overlay{Lowers: layers, Target: at})
}

// permitted refuses sources inside of what is masked.
func (b *builder) permitted(source string) error {
	in := func(dir string) bool { return within(source, dir) }
	if slices.ContainsFunc(b.Masks, in) && !slices.ContainsFunc(b.allowed(), in) {
		return fmt.Errorf("%s belongs to the platform and cannot be mounted into a pod", source)
	}
	return nil
}

// notProc refuses what the kernel tells of processes: with SYS_PTRACE their root
// directories lead around the masks, /proc/<daemon>/root to all of the platform's data.
func notProc(fd int, source string) error {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return &os.PathError{Op: "statfs", Path: source, Err: err}
	}
	if fs.Type == unix.PROC_SUPER_MAGIC {
		return fmt.Errorf("%s shows the processes of the node and cannot be mounted into a pod: their root directories lead to the platform's own data; with hostPID: true the pod sees them in its own /proc", source)
	}
	return nil
}

// allowed returns the allowed directories with links followed, as sources are compared after that.
func (b *builder) allowed() []string {
	var dirs []string
	for _, a := range b.Allowed {
		dirs = append(dirs, realPath(a))
	}
	return dirs
}

// realPath follows links as far as the path exists.
func realPath(p string) string {
	fd, err := unix.Open(p, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return p
	}
	defer unix.Close(fd)
	if r, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd)); err == nil {
		return r
	}
	return p
}

// mountDiskDirs puts the directories on the disk into their places.
func (b *builder) mountDiskDirs() error {
	for _, d := range b.onDisk {
		v := volume{Volume: Volume{Dest: d.path, ReadOnly: b.ReadOnly}, fd: d.fd, source: d.name, dest: d.path, dir: true}
		err := b.mountVolume(v)
		if err != nil && d.path == "/var/tmp" {
			continue // no such directory on the host, and none can be made
		}
		if err != nil {
			return fmt.Errorf("%s: %w", d.path, err)
		}
	}
	return nil
}

func (b *builder) mountVolumes() error {
	for _, v := range b.volumes {
		if err := b.mountVolume(v); err != nil {
			return fmt.Errorf("volume at %s: %w", v.Dest, err)
		}
	}
	return nil
}

func (b *builder) mountVolume(v volume) error {
	defer unix.Close(v.fd)
	at, err := b.openInRoot(v.dest)
	if errors.Is(err, unix.ENOENT) {
		if err = b.makeNested(v.dest, v.dir); err == nil {
			at, err = b.openInRoot(v.dest)
		}
	}
	if err != nil {
		return fmt.Errorf("mount point %s: %w", v.dest, err)
	}
	defer unix.Close(at)
	tree, err := unix.OpenTree(v.fd, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE|unix.AT_EMPTY_PATH)
	if err != nil {
		return fmt.Errorf("open_tree %s: %w", v.source, err)
	}
	defer unix.Close(tree)
	if !v.FollowHost {
		private := &unix.MountAttr{Propagation: unix.MS_PRIVATE}
		if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, private); err != nil {
			return fmt.Errorf("propagation: %w", err)
		}
	}
	var attrs uint64
	if v.ReadOnly {
		attrs |= unix.MOUNT_ATTR_RDONLY
	}
	if !v.dev {
		attrs |= unix.MOUNT_ATTR_NODEV
	}
	if len(v.Layers) > 0 {
		attrs |= unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC
	}
	if attrs != 0 {
		if err := setAttrs(tree, attrs); err != nil {
			return err
		}
	}
	return unix.MoveMount(tree, "", at, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}

// makeNested creates a mount point inside a volume or an image that is mounted
// already. Each part is opened inside the root, so that links lead nowhere else.
func (b *builder) makeNested(p string, dir bool) error { return b.makeNestedVia(p, dir, maxLinks) }

func (b *builder) makeNestedVia(p string, dir bool, links int) error {
	parts := strings.Split(strings.Trim(path.Clean(p), "/"), "/")
	for i, part := range parts {
		above := "/" + strings.Join(parts[:i], "/")
		if fd, err := b.openInRoot(path.Join(above, part)); err == nil {
			_ = unix.Close(fd)
			continue
		}
		target, err := b.makePart(above, part, i < len(parts)-1 || dir)
		if err != nil {
			return fmt.Errorf("create %s: %w", path.Join(above, part), err)
		}
		if target == "" {
			continue
		}
		// A link to what is not there yet, such as /var/run in an image without /run.
		if links == 0 {
			return fmt.Errorf("%s: too many symbolic links", p)
		}
		if !path.IsAbs(target) {
			target = path.Join(above, target)
		}
		return b.makeNestedVia(path.Join(append([]string{target}, parts[i+1:]...)...), dir, links-1)
	}
	return nil
}

// makePart creates one name, unless it is a link that leads nowhere: then it tells where.
func (b *builder) makePart(above, name string, dir bool) (target string, err error) {
	var parent int
	if above == "/" {
		parent, err = unix.Dup(b.rootFD)
	} else {
		parent, err = b.openInRoot(above)
	}
	if err != nil {
		return "", err
	}
	defer unix.Close(parent)
	if target := linkAt(parent, name); target != "" {
		return target, nil
	}
	if dir {
		err = unix.Mkdirat(parent, name, 0o755)
	} else {
		err = unix.Mknodat(parent, name, unix.S_IFREG|0o644, 0)
	}
	if errors.Is(err, unix.EEXIST) {
		err = nil
	}
	return "", err
}

// linkAt is where a link leads, "" if it is none.
func linkAt(dir int, name string) string {
	var buf [unix.PathMax]byte
	n, err := unix.Readlinkat(dir, name, buf[:])
	if err != nil {
		return ""
	}
	return string(buf[:n])
}

// maxLinks is the kernel's limit of symbolic links in one path.
const maxLinks = 40

// resolveParent follows the host's links in all parts of p as far as they
// exist, because the container will have the same links (/var/run → /run).
// Fresh directories have no links.
func resolveParent(p string) (string, error) {
	todo := strings.Split(strings.Trim(path.Clean(p), "/"), "/")
	done := "/"
	for links := 0; len(todo) > 0; {
		next := path.Join(done, todo[0])
		todo = todo[1:]
		if next != "/" && isFresh(next) {
			return path.Join(append([]string{next}, todo...)...), nil
		}
		target, err := os.Readlink(next)
		if err != nil { // no link, or nothing there
			done = next
			continue
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("%s: too many symbolic links", p)
		}
		if path.IsAbs(target) {
			done = "/"
		}
		todo = append(strings.Split(strings.Trim(path.Clean(target), "/"), "/"), todo...)
	}
	return done, nil
}

func isFresh(p string) bool {
	return slices.ContainsFunc(fresh, func(f string) bool { return within(p, f) })
}
