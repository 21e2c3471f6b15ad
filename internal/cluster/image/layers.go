//go:build linux

package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/kiwerk/kiwerk/internal/cluster/rootfs"
)

// layerRecord is layer.json: what a whole layer is. A directory without it is no layer.
type layerRecord struct {
	// Chain is the digest of the layer with all below it, under which it is kept.
	Chain string
	// Diff is the digest of the uncompressed tar.
	Diff   string
	Parent string `json:",omitempty"`
	// Size and Inodes are what the layer takes on the disk.
	Size, Inodes int64
	Report       Report
}

// maxLayers is what overlays and one page of mount options hold.
const maxLayers = 127

// reserve of the disk is never filled with layers.
const reserve = 1 << 30

const (
	layersDir = "layers"
	imagesDir = "images"
	namesDir  = "names"
	layerFile = "layer.json"
	treeDir   = "fs"
	newPrefix = ".new-"
	oldPrefix = ".old-"
)

// chainOf is the digest of a layer on top of parent ("" for the lowest), as the OCI image specification has it.
func chainOf(parent, diff string) string {
	if parent == "" {
		return diff
	}
	sum := sha256.Sum256([]byte(parent + " " + diff))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// hexOf checks a digest before it becomes part of a path.
func hexOf(digest string) (string, error) {
	h, ok := strings.CutPrefix(digest, "sha256:")
	if raw, err := hex.DecodeString(h); !ok || err != nil || len(raw) != sha256.Size || h != strings.ToLower(h) {
		return "", fmt.Errorf("%.100q is not a sha256 digest", digest)
	}
	return h, nil
}

func (s *Store) layerDir(chain string) string {
	return filepath.Join(s.dir, layersDir, strings.TrimPrefix(chain, "sha256:"))
}

// treesOf are the directories of layers, the topmost first, as overlays take them.
func (s *Store) treesOf(chains []string) []string {
	var dirs []string
	for _, c := range slices.Backward(chains) {
		dirs = append(dirs, filepath.Join(s.layerDir(c), treeDir))
	}
	return dirs
}

// addLayer unpacks a layer on top of others, unless that was done before. open
// yields the uncompressed tar.
func (s *Store) addLayer(ctx context.Context, below []string, diff string, open func() (io.ReadCloser, error)) (string, error) {
	if _, err := hexOf(diff); err != nil {
		return "", fmt.Errorf("layer: %w", err)
	}
	parent := ""
	if len(below) > 0 {
		parent = below[len(below)-1]
	}
	chain := chainOf(parent, diff)
	defer s.working.lock(chain)()
	if s.layerKnown(chain) {
		return chain, nil
	}
	tmp, err := os.MkdirTemp(filepath.Join(s.dir, layersDir), newPrefix)
	if err != nil {
		return "", err
	}
	rec := layerRecord{Chain: chain, Diff: diff, Parent: parent}
	err = s.unpack(ctx, tmp, below, &rec, open)
	if err == nil {
		err = s.keepLayer(tmp, rec)
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("layer %s: %w", short(diff), err), discard(tmp))
	}
	return chain, nil
}

func short(digest string) string {
	const shown = 12
	h := strings.TrimPrefix(digest, "sha256:")
	return h[:min(shown, len(h))]
}

// unpack fills tmp/fs and measures it.
func (s *Store) unpack(ctx context.Context, tmp string, below []string, rec *layerRecord, open func() (io.ReadCloser, error)) (err error) {
	merged, unmount, err := s.mountNew(tmp, below)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unmount()) }()
	root, err := os.OpenRoot(merged)
	if err != nil {
		return err
	}
	defer root.Close()
	limits := s.limitsAbove(below)
	stream, err := open()
	if err != nil {
		return err
	}
	defer stream.Close()
	sum := sha256.New()
	in := io.TeeReader(s.guard(ctx, stream), sum)
	if rec.Report, err = Apply(root, in, limits, s.owner); err != nil {
		return err
	}
	// What follows the end of the archive belongs to the digest.
	if n, err := io.Copy(io.Discard, io.LimitReader(in, limits.Bytes)); err != nil {
		return fmt.Errorf("read layer after %d bytes of padding: %w", n, err)
	}
	if got := digestOf(sum); got != rec.Diff {
		return fmt.Errorf("its content has digest %s, the image says %s: it was damaged or changed on the way", got, rec.Diff)
	}
	return nil
}

func digestOf(h hash.Hash) string { return "sha256:" + hex.EncodeToString(h.Sum(nil)) }

// roomStep is how much may be unpacked between two looks at the disk.
const roomStep = 16 << 20

// guarded stops a stream when its context ends or the disk fills, whoever fills it.
type guarded struct {
	ctx  context.Context
	r    io.Reader
	room func() error
	left int64 // until the next look
}

func (s *Store) guard(ctx context.Context, r io.Reader) io.Reader {
	return &guarded{ctx: ctx, r: r, room: s.room}
}

// Read reads unless there is a reason to stop.
func (g *guarded) Read(p []byte) (int, error) {
	if err := g.ctx.Err(); err != nil {
		return 0, err
	}
	if g.left <= 0 {
		if err := g.room(); err != nil {
			return 0, err
		}
		g.left = roomStep
	}
	n, err := g.r.Read(p)
	g.left -= int64(n)
	return n, err
}

// mountNew prepares the place to unpack into: an overlay over the layers below, or an empty directory.
func (s *Store) mountNew(tmp string, below []string) (string, func() error, error) {
	tree := filepath.Join(tmp, treeDir)
	if err := os.Mkdir(tree, dirMode); err != nil {
		return "", nil, err
	}
	if err := os.Chmod(tree, dirMode); err != nil { // whatever the umask is
		return "", nil, err
	}
	if len(below) == 0 {
		return tree, func() error { return nil }, nil
	}
	lowers := s.treesOf(below)
	if err := copyRootAttributes(lowers[0], tree); err != nil {
		return "", nil, err
	}
	work, merged := filepath.Join(tmp, "work"), filepath.Join(tmp, "merged")
	if err := errors.Join(os.Mkdir(work, 0o700), os.Mkdir(merged, 0o700)); err != nil {
		return "", nil, err
	}
	err := rootfs.MountOverlay(rootfs.Overlay{Lowers: lowers, Upper: tree, Work: work, Target: merged, Volatile: true})
	if err != nil {
		return "", nil, fmt.Errorf("%w: layers need a data directory on a file system that overlays accept (ext4, xfs, btrfs, tmpfs; no overlay or network file system)", err)
	}
	return merged, func() error { return unix.Unmount(merged, unix.MNT_DETACH) }, nil
}

// copyRootAttributes gives the root of a new layer what the one below has, as it will cover it.
func copyRootAttributes(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok && (sys.Uid != 0 || sys.Gid != 0) && os.Geteuid() == 0 {
		if err := os.Lchown(to, int(sys.Uid), int(sys.Gid)); err != nil {
			return err
		}
	}
	return os.Chmod(to, info.Mode())
}

// keepLayer makes an unpacked layer one that exists: on the disk first, then with its name.
func (s *Store) keepLayer(tmp string, rec layerRecord) error {
	for _, scaffold := range []string{"work", "merged"} {
		if err := os.RemoveAll(filepath.Join(tmp, scaffold)); err != nil {
			return err
		}
	}
	if err := syncFS(tmp); err != nil {
		return err
	}
	var err error
	if rec.Size, rec.Inodes, err = measure(filepath.Join(tmp, treeDir)); err != nil {
		return err
	}
	if err := writeRecord(filepath.Join(tmp, layerFile), rec); err != nil {
		return err
	}
	if err := os.Rename(tmp, s.layerDir(rec.Chain)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.layers[rec.Chain] = rec
	return nil
}

func syncFS(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
}

// measure adds up what a tree takes on the disk; hard links count once.
func measure(dir string) (size, inodes int64, err error) {
	type inode struct{ dev, ino uint64 }
	seen := map[inode]bool{}
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		sys, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return nil
		}
		if sys.Nlink > 1 && !info.IsDir() {
			i := inode{uint64(sys.Dev), sys.Ino} //nolint:unconvert // Dev has another type on other architectures.
			if seen[i] {
				return nil
			}
			seen[i] = true
		}
		const block = 512 // what st_blocks counts, whatever the file system's own size is
		size += sys.Blocks * block
		inodes++
		return nil
	})
	return size, inodes, err
}

// limitsAbove are what the layers below leave of the limits of an image.
func (s *Store) limitsAbove(below []string) Limits {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.limits
	for _, chain := range below {
		l.Bytes -= s.layers[chain].Report.Bytes
		l.Entries -= s.layers[chain].Report.Entries
	}
	return l
}

// room is an error when the disk has only the reserve left.
func (s *Store) room() error {
	free, err := s.free(s.dir)
	if err == nil && free < reserve {
		err = fmt.Errorf("the disk of %s has %d MB left, and %d MB are kept free of images; see kiwerk image prune", s.dir, free>>20, reserve>>20)
	}
	return err
}

func freeBytes(path string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	return int64(st.Bavail) * st.Bsize, nil //nolint:unconvert // Bsize has another type on other architectures.
}

// discard removes a temporary directory with what may still be mounted in it.
func discard(dir string) error {
	_ = unix.Unmount(filepath.Join(dir, "merged"), unix.MNT_DETACH) // mostly not mounted
	return os.RemoveAll(dir)
}
