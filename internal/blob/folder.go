package blob

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// tempFolder holds writes that have not ended. What nobody has written to for
// staleAfter is left by a process that is gone; by the clock of the volume,
// which several machines may share.
const (
	tempFolder = ".incomplete"
	staleAfter = time.Hour
)

// Folder is a Bucket in a folder of the local file system. Every access goes
// through os.Root, so that not even a symbolic link leads out of it.
type Folder struct {
	root *os.Root
	// tree keeps the removal of an empty folder from crossing a write into it;
	// that of another process is undone (see place).
	tree   sync.RWMutex
	tidied atomic.Int64 // when stale writes were looked for, in nanoseconds since 1970
	// shared is a folder that others write, too.
	shared bool
}

// OpenFolder opens or makes the folder. Several processes may use it at a time.
func OpenFolder(dir string) (*Folder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open blob folder: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open blob folder: %w", err)
	}
	f := &Folder{root: root}
	if err := f.prepare(); err != nil {
		return nil, errors.Join(fmt.Errorf("open blob folder %s: %w", dir, err), root.Close())
	}
	return f, nil
}

// prepare sees that the folder can be written to, and what time it is there.
func (f *Folder) prepare() error {
	if err := f.root.Mkdir(tempFolder, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	probe := tempFolder + "/" + rand.Text()
	file, err := f.root.OpenFile(probe, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	st, err := file.Stat()
	if err = errors.Join(err, file.Close(), f.root.Remove(probe)); err != nil {
		return err
	}
	return f.tidy(st.ModTime())
}

// tidy removes stale writes, at most once in staleAfter.
func (f *Folder) tidy(now time.Time) error {
	last := f.tidied.Load()
	if now.UnixNano()-last < int64(staleAfter) || !f.tidied.CompareAndSwap(last, now.UnixNano()) {
		return nil
	}
	d, err := f.root.Open(tempFolder)
	if err != nil {
		return err
	}
	entries, err := d.ReadDir(-1)
	if err = errors.Join(err, d.Close()); err != nil {
		return err
	}
	for _, e := range entries {
		st, err := e.Info()
		if err == nil && now.Sub(st.ModTime()) > staleAfter {
			err = f.root.Remove(tempFolder + "/" + e.Name())
		}
		if err != nil && !IsNotExist(err) { // ended meanwhile, or removed by another process
			return err
		}
	}
	return nil
}

// Close releases the folder.
func (f *Folder) Close() error { return f.root.Close() }

// Open implements Bucket.
func (f *Folder) Open(_ context.Context, key string, offset, n int64) (io.ReadCloser, Info, error) {
	if err := CheckKey(key); err != nil {
		return nil, Info{}, err
	}
	file, err := f.root.Open(key)
	if err != nil {
		return nil, Info{}, notFound(err)
	}
	st, err := file.Stat()
	switch {
	case err != nil:
	case !st.Mode().IsRegular():
		err = fmt.Errorf("%q is not a file: %w", key, fs.ErrNotExist)
	case offset < 0 || offset > st.Size():
		err = fmt.Errorf("%q from byte %d of %d: %w", key, offset, st.Size(), ErrRange)
	case offset > 0:
		_, err = file.Seek(offset, io.SeekStart)
	}
	if err != nil {
		return nil, Info{}, errors.Join(err, file.Close())
	}
	info := describe(key, st)
	if n < 0 {
		return file, info, nil // the file itself: the kernel can copy it
	}
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(file, n), file}, info, nil
}

// Create implements Bucket: a temporary file, synced, then renamed.
func (f *Folder) Create(ctx context.Context, key string, r io.Reader) (Info, error) {
	if err := CheckKey(key); err != nil {
		return Info{}, err
	}
	temp := tempFolder + "/" + rand.Text()
	if f.shared {
		temp = tempFolder + "-" + rand.Text() // no folder that nobody tidies
	}
	st, err := f.fill(ctx, temp, r)
	if err == nil {
		_ = f.tidy(st.ModTime()) // this write has nothing to do with it, and there will be another one
		err = f.place(temp, key)
	}
	if err != nil {
		if rmErr := f.root.Remove(temp); rmErr != nil && !IsNotExist(rmErr) {
			err = errors.Join(err, rmErr)
		}
		return Info{}, fmt.Errorf("store %q: %w", key, err)
	}
	return describe(key, st), nil
}

// copyBuffer is how much of a file is in memory while it is written.
const copyBuffer = 256 << 10

func (f *Folder) fill(ctx context.Context, temp string, r io.Reader) (st fs.FileInfo, err error) {
	_, mode := f.permissions()
	file, err := f.root.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := copyAll(ctx, &flusher{file: file}, r); err != nil {
		return nil, err
	}
	if err := file.Sync(); err != nil {
		return nil, err
	}
	return file.Stat()
}

func copyAll(ctx context.Context, w io.Writer, r io.Reader) error {
	if s, ok := r.(*summer); ok {
		s.from = contextReader{ctx, s.from}
		return s.copyTo(w)
	}
	buf := buffers.Get().(*[copyBuffer]byte) //nolint:forcetypeassert // The pool holds nothing else.
	defer buffers.Put(buf)
	_, err := io.CopyBuffer(w, contextReader{ctx, r}, buf[:])
	return err
}

// flusher writes and has the kernel bring what was written to the disk meanwhile.
type flusher struct {
	file           *os.File
	written, begun int64
}

// flushEvery is how much is handed on at once.
const flushEvery = 16 << 20

// Write implements io.Writer.
func (f *flusher) Write(p []byte) (int, error) {
	n, err := f.file.Write(p)
	f.written += int64(n)
	if f.written-f.begun >= flushEvery {
		startFlush(f.file, f.begun, f.written-f.begun)
		f.begun = f.written
	}
	return n, err
}

var buffers = sync.Pool{New: func() any { return new([copyBuffer]byte) }}

// contextReader ends with its context.
type contextReader struct {
	ctx context.Context //nolint:containedctx // Bounds one copy, in which nothing else can carry it.
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// place moves a finished file to its key and syncs the folders on the way.
func (f *Folder) place(temp, key string) error {
	f.tree.RLock()
	defer f.tree.RUnlock()
	dir := path.Dir(key)
	for attempt := 1; ; attempt++ {
		made, err := f.makeFolders(dir)
		if err == nil {
			err = f.root.Rename(temp, key)
		}
		if IsNotExist(err) && attempt < placeAttempts {
			continue // another process has removed the folder, which was empty
		}
		if err != nil {
			return conflict(err)
		}
		for _, d := range append(made, key) {
			// What is not there was deleted by another process, after this write.
			if err := f.sync(path.Dir(d)); err != nil && !IsNotExist(err) {
				return err
			}
		}
		return nil
	}
}

// placeAttempts bounds how often another process may remove a folder before
// something is moved into it.
const placeAttempts = 100

// makeFolders makes dir and what is missing above it, and tells what it made.
func (f *Folder) makeFolders(dir string) (made []string, err error) {
	for d := dir; d != "."; d = path.Dir(d) {
		st, err := f.root.Stat(d)
		if err == nil && !st.IsDir() {
			return nil, fmt.Errorf("%q is a file: %w", d, ErrConflict)
		}
		if err == nil {
			break
		}
		if !IsNotExist(notFound(err)) {
			return nil, err
		}
		made = append(made, d)
	}
	if len(made) == 0 {
		return nil, nil
	}
	mode, _ := f.permissions()
	return made, conflict(f.root.MkdirAll(dir, mode))
}

func (f *Folder) sync(dir string) (err error) {
	d, err := f.root.Open(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return d.Sync()
}

// Stat implements Bucket.
func (f *Folder) Stat(_ context.Context, key string) (Info, error) {
	if err := CheckKey(key); err != nil {
		return Info{}, err
	}
	st, err := f.root.Stat(key)
	if err != nil {
		return Info{}, notFound(err)
	}
	return describe(key, st), nil
}

func describe(key string, st fs.FileInfo) Info {
	if st.IsDir() {
		return Info{Key: key, ModTime: st.ModTime(), Folder: true}
	}
	return Info{Key: key, Size: st.Size(), ModTime: st.ModTime(), Version: fmt.Sprintf("%x-%x", st.ModTime().UnixNano(), st.Size())}
}

// List implements Bucket.
func (f *Folder) List(ctx context.Context, folder string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		entries, err := f.entries(folder)
		if err != nil {
			yield(Info{}, err)
			return
		}
		for _, e := range entries {
			if err := ctx.Err(); err != nil {
				yield(Info{}, err)
				return
			}
			st, err := f.root.Stat(path.Join(folder, e.Name()))
			if err != nil {
				continue // deleted meanwhile, or a link that leads nowhere we may go
			}
			if !yield(describe(path.Join(folder, e.Name()), st), nil) {
				return
			}
		}
	}
}

func (f *Folder) entries(folder string) (entries []fs.DirEntry, err error) {
	name := "."
	if folder != "" {
		if err := CheckKey(folder); err != nil {
			return nil, err
		}
		name = folder
	}
	d, err := f.root.Open(name)
	if err != nil {
		if err = notFound(err); IsNotExist(err) {
			return nil, nil
		}
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if st, err := d.Stat(); err != nil || !st.IsDir() {
		return nil, err
	}
	if entries, err = d.ReadDir(-1); err != nil {
		return nil, err
	}
	if folder == "" {
		entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return strings.HasPrefix(e.Name(), tempFolder) })
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}

// Delete implements Bucket. Folders that become empty go too, as they would
// not exist in an object store either.
func (f *Folder) Delete(_ context.Context, key string) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	f.tree.Lock()
	defer f.tree.Unlock()
	if err := f.root.RemoveAll(key); err != nil {
		if err = notFound(err); IsNotExist(err) {
			return nil
		}
		return fmt.Errorf("delete %q: %w", key, err)
	}
	dir := path.Dir(key)
	for ; dir != "."; dir = path.Dir(dir) {
		if f.root.Remove(dir) != nil {
			break // not empty
		}
	}
	if _, err := f.root.Stat(dir); err != nil {
		return nil // the folder was never there, so nothing was removed from it
	}
	return f.sync(dir)
}

// notFound makes "a part of the path is a file" and "it leads out" the same
// as a key that does not exist.
func notFound(err error) error {
	var p *fs.PathError
	if errors.Is(err, syscall.ENOTDIR) && errors.As(err, &p) {
		return &fs.PathError{Op: p.Op, Path: p.Path, Err: fs.ErrNotExist}
	}
	return err
}

func conflict(err error) error {
	if errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EISDIR) || errors.Is(err, syscall.EEXIST) || errors.Is(err, syscall.ENOTEMPTY) {
		return fmt.Errorf("%w: %w", ErrConflict, err)
	}
	return err
}

// OpenShared opens a folder that others write, too, so it is not tidied and
// what is written there has the permissions that the umask gives. If it does
// not exist, the nearest folder above it is opened and below is the way down.
func OpenShared(dir string) (f *Folder, below string, err error) {
	for {
		root, err := os.OpenRoot(dir)
		if err == nil {
			return &Folder{root: root, shared: true}, below, nil
		}
		above := filepath.Dir(dir)
		if !IsNotExist(err) || above == dir {
			return nil, "", err
		}
		dir, below = above, path.Join(filepath.Base(dir), below)
	}
}

// permissions of new folders and files.
func (f *Folder) permissions() (folder, file fs.FileMode) {
	if f.shared {
		return 0o777, 0o666
	}
	return 0o700, 0o600
}
