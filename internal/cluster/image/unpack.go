//go:build linux

package image

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Limits bound what is unpacked.
type Limits struct {
	Bytes   int64
	Entries int
}

// Report tells what a layer held that its tree does not show.
type Report struct {
	Entries int
	Bytes   int64 // of file contents
	// Skipped are device nodes and named pipes, which no container needs: /dev is the runtime's.
	Skipped int `json:",omitempty"`
	// Unmapped are entries whose owner does not exist in this user namespace; root owns them.
	Unmapped int `json:",omitempty"`
}

// Owner maps the owner that a layer names to one that can be set; set is false where the unpacker's own is right.
type Owner func(uid, gid int) (u, g int, set, mapped bool)

// Names in layers that stand for something missing.
const (
	whiteout = ".wh."
	auxWhite = ".wh..wh." // aufs' own records, and the opaque mark
	opaque   = ".wh..wh..opq"
)

const (
	maxName = 4096
	maxLink = 40 // the kernel's limit of symbolic links in one path
	dirMode = 0o755
)

// Apply unpacks a layer's tar stream over the tree below root. Where root is
// an overlay over lower layers, whiteouts hide what these have.
func Apply(root *os.Root, layer io.Reader, limits Limits, owner Owner) (Report, error) {
	u := &unpacker{root: root, limits: limits, owner: owner, made: map[string]bool{}, skipped: map[string]bool{}}
	defer u.forget()
	tr := tar.NewReader(layer)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return u.report, u.finishDirs()
		}
		if err != nil {
			return u.report, fmt.Errorf("read layer: %w", err)
		}
		if u.report.Entries++; u.report.Entries > limits.Entries {
			return u.report, fmt.Errorf("there are more than the %d entries that are left for this layer", limits.Entries)
		}
		if err := u.entry(h, tr); err != nil {
			return u.report, fmt.Errorf("layer entry %.200q: %w", h.Name, err)
		}
	}
}

type unpacker struct {
	root   *os.Root
	limits Limits
	owner  Owner
	report Report
	// made are the paths of this layer: an opaque mark hides everything else.
	made map[string]bool
	// skipped are nodes that were not made; hard links to them are not either.
	skipped map[string]bool
	dirs    []dirTime
	// The parent of the last entry, open: entries of a directory follow each other.
	lastDir  string
	lastReal string
	last     *os.Root
}

type dirTime struct {
	path string
	at   time.Time
}

// clean makes a name of the archive relative to the root; what climbs out ends at the root.
func clean(name string) (string, error) {
	if len(name) > maxName {
		return "", fmt.Errorf("the name has %d bytes, at most %d are possible", len(name), maxName)
	}
	if strings.ContainsRune(name, 0) {
		return "", errors.New("the name contains a zero byte")
	}
	p := strings.TrimPrefix(path.Clean("/"+name), "/")
	if p == "" {
		return ".", nil
	}
	return p, nil
}

func (u *unpacker) entry(h *tar.Header, content io.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	name, err := clean(h.Name)
	if err != nil {
		return err
	}
	if name == "." {
		if h.Typeflag != tar.TypeDir {
			return errors.New("only a directory can be the root")
		}
		return u.settle(u.root, ".", h)
	}
	dir, base := path.Dir(name), path.Base(name)
	if strings.HasPrefix(base, whiteout) {
		return u.hide(dir, base)
	}
	parent, real, err := u.parent(dir)
	if err != nil {
		return err
	}
	at := path.Join(real, base)
	if err := u.clear(parent, base, h.Typeflag == tar.TypeDir); err != nil {
		return err
	}
	delete(u.skipped, at)
	u.made[at] = true
	switch h.Typeflag {
	case tar.TypeDir:
		return u.directory(parent, at, base, h)
	case tar.TypeReg, '\x00', tar.TypeGNUSparse, tar.TypeCont:
		return u.file(parent, base, h, content)
	case tar.TypeSymlink:
		return u.symlink(parent, base, h)
	case tar.TypeLink:
		return u.hardLink(at, h)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		u.report.Skipped++
		u.skipped[at] = true
		return nil
	}
	return fmt.Errorf("entries of type %q are not known", h.Typeflag)
}

// clear removes what lies in the way of a new entry. A directory stays below a directory.
func (u *unpacker) clear(parent *os.Root, base string, dir bool) error {
	info, err := parent.Lstat(base)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.IsDir() && dir {
		return nil
	}
	if info.Mode().IsRegular() {
		return parent.Remove(base)
	}
	return parent.RemoveAll(base)
}

func (u *unpacker) directory(parent *os.Root, at, base string, h *tar.Header) error {
	if err := parent.Mkdir(base, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	u.dirs = append(u.dirs, dirTime{at, h.ModTime})
	return u.settle(parent, base, h)
}

// settle gives an entry its owner and mode, in this order: a change of owner drops the setuid bits.
func (u *unpacker) settle(parent *os.Root, base string, h *tar.Header) error {
	if err := u.own(parent, base, h); err != nil {
		return err
	}
	return parent.Chmod(base, modeOf(h))
}

func modeOf(h *tar.Header) fs.FileMode {
	return h.FileInfo().Mode() & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)
}

func (u *unpacker) own(parent *os.Root, base string, h *tar.Header) error {
	uid, gid, set, mapped := u.owner(h.Uid, h.Gid)
	if !mapped {
		u.report.Unmapped++
	}
	if !set {
		return nil
	}
	return parent.Lchown(base, uid, gid)
}

func (u *unpacker) file(parent *os.Root, base string, h *tar.Header, content io.Reader) error {
	if h.Size > u.limits.Bytes-u.report.Bytes {
		return fmt.Errorf("the layer unpacks to more than the %d bytes that are left for it", u.limits.Bytes)
	}
	f, err := parent.OpenFile(base, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	n, err := io.Copy(f, content)
	u.report.Bytes += n
	if err == nil {
		err = u.own(parent, base, h)
	}
	if err == nil {
		err = f.Chmod(modeOf(h))
	}
	if err == nil {
		err = fileCapability(f, h)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return parent.Chtimes(base, h.ModTime, h.ModTime)
}

// capability is the only extended attribute that is taken over: others mean
// nothing to a container or, in the overlay's own name space, too much.
const capability = "security.capability"

func fileCapability(f *os.File, h *tar.Header) error {
	value, ok := h.PAXRecords["SCHILY.xattr."+capability]
	if !ok {
		return nil
	}
	err := unix.Fsetxattr(int(f.Fd()), capability, []byte(value), 0)
	if errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EINVAL) {
		return nil // without them the program runs with fewer rights, as it does under no_new_privs
	}
	return err
}

func (u *unpacker) symlink(parent *os.Root, base string, h *tar.Header) error {
	if _, err := clean(h.Linkname); err != nil {
		return fmt.Errorf("target of the link: %w", err)
	}
	if err := parent.Symlink(h.Linkname, base); err != nil {
		return err
	}
	return u.own(parent, base, h)
}

func (u *unpacker) hardLink(at string, h *tar.Header) error {
	name, err := clean(h.Linkname)
	if err != nil {
		return fmt.Errorf("target of the hard link: %w", err)
	}
	dir, err := u.resolve(path.Dir(name), false)
	if err != nil {
		return fmt.Errorf("target of the hard link %.200q: %w", h.Linkname, err)
	}
	from := path.Join(dir, path.Base(name))
	if u.skipped[from] {
		u.report.Skipped++
		u.skipped[at] = true
		return nil
	}
	if info, err := u.root.Lstat(from); err == nil && info.IsDir() {
		return fmt.Errorf("hard link to the directory %.200q", h.Linkname)
	}
	return u.root.Link(from, at)
}

// hide carries out a whiteout.
func (u *unpacker) hide(dir, base string) error {
	if base != opaque && strings.HasPrefix(base, auxWhite) {
		return nil
	}
	name := strings.TrimPrefix(base, whiteout)
	if base != opaque && (name == "" || name == "." || name == "..") {
		return errors.New("a whiteout without a name")
	}
	real, err := u.resolve(dir, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nothing to hide
	}
	if err != nil {
		return err
	}
	u.forget()
	at := path.Join(real, name)
	switch {
	case base == opaque:
		return u.empty(real)
	case !u.made[at]:
		return u.root.RemoveAll(at)
	}
	// Whiteouts concern lower layers only, wherever in the archive they stand.
	if info, err := u.root.Lstat(at); err == nil && info.IsDir() {
		return u.empty(at)
	}
	return nil
}

// empty removes from a directory all that lower layers put there.
func (u *unpacker) empty(dir string) error {
	f, err := u.root.Open(dir)
	if err != nil {
		return err
	}
	entries, err := f.ReadDir(-1)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	for _, e := range entries {
		at := path.Join(dir, e.Name())
		switch {
		case !u.made[at]:
			err = u.root.RemoveAll(at)
		case e.IsDir():
			err = u.empty(at)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// parent opens the directory of an entry; what is missing of it is made.
func (u *unpacker) parent(dir string) (*os.Root, string, error) {
	if u.last != nil && u.lastDir == dir {
		return u.last, u.lastReal, nil
	}
	u.forget()
	real, err := u.resolve(dir, true)
	if err != nil {
		return nil, "", err
	}
	for p := real; p != "."; p = path.Dir(p) {
		u.made[p] = true
	}
	opened, err := u.root.OpenRoot(real)
	if err != nil {
		return nil, "", err
	}
	u.last, u.lastDir, u.lastReal = opened, dir, real
	return opened, real, nil
}

// forget closes the last parent: the path to it may lead elsewhere now.
func (u *unpacker) forget() {
	if u.last != nil {
		_ = u.last.Close() // only read
		u.last = nil
	}
}

// resolve follows a directory's path as the container would: links lead
// within the root, absolute ones from its top.
func (u *unpacker) resolve(dir string, create bool) (string, error) {
	todo, done, links := strings.Split(dir, "/"), ".", 0
	for len(todo) > 0 {
		part := todo[0]
		todo = todo[1:]
		if part == "" || part == "." {
			continue
		}
		if part == ".." {
			done = path.Dir(done)
			continue
		}
		next := path.Join(done, part)
		info, err := u.root.Lstat(next)
		switch {
		case errors.Is(err, fs.ErrNotExist) && create:
			if err := u.root.Mkdir(next, dirMode); err != nil {
				return "", err
			}
			done = next
		case err != nil:
			return "", err
		case info.Mode()&fs.ModeSymlink != 0:
			if links++; links > maxLink {
				return "", fmt.Errorf("%s: too many symbolic links", dir)
			}
			if done, todo, err = u.follow(next, done, todo); err != nil {
				return "", err
			}
		case info.IsDir():
			done = next
		default:
			return "", fmt.Errorf("%s is not a directory", next)
		}
	}
	return done, nil
}

// follow puts a link's target in front of what is still to be walked.
func (u *unpacker) follow(link, done string, todo []string) (string, []string, error) {
	target, err := u.root.Readlink(link)
	if err != nil {
		return "", nil, err
	}
	if path.IsAbs(target) {
		done = "."
	}
	return done, append(strings.Split(target, "/"), todo...), nil
}

// finishDirs sets the times of directories when nothing changes in them any more.
func (u *unpacker) finishDirs() error {
	for _, d := range u.dirs {
		info, err := u.root.Lstat(d.path)
		if err != nil || !info.IsDir() {
			continue // hidden again by a later entry
		}
		if err := u.root.Chtimes(d.path, d.at, d.at); err != nil {
			return err
		}
	}
	return nil
}
