package step

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Limits of an archive.
const (
	maxEntries  = 1_000_000
	maxUnpacked = 256 << 30
)

// input puts one artifact at its path.
func (a *agent) input(ctx context.Context, in Input) error {
	if err := os.MkdirAll(filepath.Dir(in.Path), 0o755); err != nil {
		return err
	}
	if in.Raw != nil {
		if err := os.WriteFile(in.Path, []byte(*in.Raw), 0o644); err != nil { //nolint:gosec // As files of a checkout are.
			return err
		}
		return setMode(in)
	}
	// Beside its destination, so that it can be moved there.
	work, err := os.MkdirTemp(workDir(in.Path), ".kiwerk-input-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work) //nolint:errcheck // What stays is a hidden folder in a container that ends soon.
	from, err := a.fetch(ctx, in, work)
	if err != nil {
		if in.Optional && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	if err := place(from, in.Path); err != nil {
		return err
	}
	return setMode(in)
}

// fetch brings an object into the folder work and unpacks it. It returns what
// the artifact is about.
func (a *agent) fetch(ctx context.Context, in Input, work string) (string, error) {
	f, err := os.Create(filepath.Join(work, "object"))
	if err != nil {
		return "", err
	}
	defer f.Close()
	folder, err := a.store.get(ctx, in.Key, f)
	if err != nil {
		return "", err
	}
	if folder || !in.Plain {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return "", err
		}
		unpacked := filepath.Join(work, "files")
		is, err := unpack(f, unpacked)
		if err != nil {
			return "", fmt.Errorf("unpack %s: %w", in.Key, err)
		}
		if is {
			return content(unpacked)
		}
	}
	return f.Name(), f.Chmod(0o644)
}

func setMode(in Input) error {
	if in.Mode == nil {
		return nil
	}
	return os.Chmod(in.Path, os.FileMode(*in.Mode)&os.ModePerm)
}

// workDir is on the same file system as the destination: a destination that is
// a folder already may be a volume.
func workDir(dest string) string {
	if info, err := os.Stat(dest); err == nil && info.IsDir() {
		return dest
	}
	return filepath.Dir(dest)
}

// content is what an archive is about: its only entry, or all of it.
func content(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	if len(entries) == 1 {
		return filepath.Join(dir, entries[0].Name()), nil
	}
	return dir, nil
}

// place moves a file or folder to its destination. The content of a folder
// joins that of a destination that exists.
func place(from, dest string) error {
	src, err := os.Lstat(from)
	if err != nil {
		return err
	}
	dst, err := os.Stat(dest)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !dst.IsDir() {
		return os.Rename(from, dest)
	}
	if err != nil {
		return err
	}
	if !src.IsDir() {
		return fmt.Errorf("%s is a folder, the artifact is a file", dest)
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		to := filepath.Join(dest, e.Name())
		if e.IsDir() {
			err = place(filepath.Join(from, e.Name()), to)
		} else {
			err = os.Rename(filepath.Join(from, e.Name()), to)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// unpack extracts a tar archive, compressed or not, below dir. The bool is
// false when r holds something else.
func unpack(r io.Reader, dir string) (bool, error) {
	buffered := bufio.NewReaderSize(r, 64<<10)
	if head, err := buffered.Peek(2); err == nil && head[0] == 0x1f && head[1] == 0x8b {
		z, err := gzip.NewReader(buffered)
		if err != nil {
			return false, nil // two bytes by chance: it is a file of another kind
		}
		buffered = bufio.NewReaderSize(z, 64<<10)
	}
	if !isTar(buffered) {
		return false, nil
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return true, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return true, err
	}
	defer func() { _ = root.Close() }() // nothing is written through it
	return true, extract(tar.NewReader(buffered), root)
}

// isTar looks for the mark of a tar header; an empty archive has none and is all zeros.
func isTar(r *bufio.Reader) bool {
	const block, mark = 512, 257
	head, err := r.Peek(block)
	if err != nil {
		return false
	}
	return string(head[mark:mark+5]) == "ustar" || strings.Trim(string(head), "\x00") == ""
}

// extract writes the entries of an archive. The root refuses every name and
// every link that would lead out of it.
func extract(t *tar.Reader, root *os.Root) error {
	var total int64
	for n := 0; ; n++ {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if n >= maxEntries {
			return fmt.Errorf("more than %d entries", maxEntries)
		}
		if total += h.Size; h.Size < 0 || total > maxUnpacked {
			return fmt.Errorf("unpacks to more than %d bytes", int64(maxUnpacked))
		}
		if err := entry(t, h, root); err != nil {
			return fmt.Errorf("entry %q: %w", h.Name, err)
		}
	}
}

func entry(t *tar.Reader, h *tar.Header, root *os.Root) error {
	name := path.Clean(h.Name)
	if name == "." {
		return nil
	}
	if !filepath.IsLocal(name) {
		return errors.New("leads out of the archive")
	}
	mode := h.FileInfo().Mode().Perm()
	if dir := path.Dir(name); dir != "." {
		if err := root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	switch h.Typeflag {
	case tar.TypeDir:
		if err := root.MkdirAll(name, 0o755); err != nil {
			return err
		}
		return root.Chmod(name, mode|0o700)
	case tar.TypeReg:
		f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		if _, err := io.Copy(f, t); err != nil {
			return errors.Join(err, f.Close())
		}
		if err := f.Chmod(mode); err != nil {
			return errors.Join(err, f.Close())
		}
		return f.Close()
	case tar.TypeSymlink:
		return root.Symlink(h.Linkname, name)
	case tar.TypeLink:
		return root.Link(path.Clean(h.Linkname), name)
	case tar.TypeXGlobalHeader:
		return nil
	default:
		return fmt.Errorf("is of type %q; only files, folders and links are unpacked", h.Typeflag)
	}
}
