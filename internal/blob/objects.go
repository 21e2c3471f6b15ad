package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// objects is what an object store must be able to do; names are whole, with
// the prefix. [ObjectBucket] makes a Bucket of it.
type objects interface {
	// get reads from offset up to n bytes, or to the end if n is negative. What
	// is not there is fs.ErrNotExist, an offset at or behind the end errEnd.
	get(ctx context.Context, name string, offset, n int64) (io.ReadCloser, Info, error)
	// put stores all that r yields, or nothing.
	put(ctx context.Context, name string, r io.Reader) (Info, error)
	head(ctx context.Context, name string) (Info, error)
	// list yields names below a prefix, at most limit if it is not 0; with flat
	// not set, only up to the next slash, and what has one is a folder.
	list(ctx context.Context, prefix string, flat bool, limit int) iter.Seq2[Info, error]
	remove(ctx context.Context, name string) error
}

// errEnd is a range that begins at or behind the end.
var errEnd = errors.New("range begins at or behind the end")

// parallel bounds the requests that one call has under way.
const parallel = 8

// ObjectBucket is a Bucket in an object store, below a prefix.
type ObjectBucket struct {
	objects objects
	uri     string
	prefix  string // empty, or with a slash at the end
	known   folders
}

// newObjectBucket joins a store and a prefix; uri is what errors name.
func newObjectBucket(o objects, uri, prefix string) *ObjectBucket {
	if prefix = strings.Trim(prefix, "/"); prefix != "" {
		prefix += "/"
	}
	return &ObjectBucket{objects: o, uri: uri, prefix: prefix}
}

// fail says for which key and place something went wrong.
func (b *ObjectBucket) fail(what, key string, err error) error {
	return fmt.Errorf("%s %q in %s: %w", what, key, b.uri, err)
}

// Open implements Bucket.
func (b *ObjectBucket) Open(ctx context.Context, key string, offset, n int64) (io.ReadCloser, Info, error) {
	if err := CheckKey(key); err != nil {
		return nil, Info{}, err
	}
	if offset < 0 {
		return nil, Info{}, b.fail("read", key, fmt.Errorf("from byte %d: %w", offset, ErrRange))
	}
	var content io.ReadCloser
	var info Info
	err := errEnd
	if n != 0 {
		content, info, err = b.objects.get(ctx, b.prefix+key, offset, n)
	}
	if errors.Is(err, errEnd) { // stores refuse the empty range, also that of an empty object
		content = io.NopCloser(strings.NewReader(""))
		if info, err = b.objects.head(ctx, b.prefix+key); err == nil && offset > info.Size {
			err = fmt.Errorf("from byte %d of %d: %w", offset, info.Size, ErrRange)
		}
	}
	if err != nil {
		return nil, Info{}, b.fail("read", key, err)
	}
	info.Key = key
	return content, info, nil
}

// Create implements Bucket.
func (b *ObjectBucket) Create(ctx context.Context, key string, r io.Reader) (Info, error) {
	if err := CheckKey(key); err != nil {
		return Info{}, err
	}
	if err := b.checkFree(ctx, key); err != nil {
		return Info{}, b.fail("store", key, err)
	}
	info, err := b.objects.put(ctx, b.prefix+key, contextReader{ctx, r})
	if err != nil {
		return Info{}, b.fail("store", key, err)
	}
	info.Key = key
	b.known.add(key)
	return info, nil
}

// checkFree refuses a key that would be below another or above. Two writers
// at the same moment are not seen: object stores have no folders to lock.
func (b *ObjectBucket) checkFree(ctx context.Context, key string) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for dir := path.Dir(key); dir != "." && !b.known.has(dir); dir = path.Dir(dir) {
		g.Go(func() error {
			_, err := b.objects.head(ctx, b.prefix+dir)
			if err == nil {
				return fmt.Errorf("%q is a file: %w", dir, ErrConflict)
			}
			if IsNotExist(err) {
				return nil
			}
			return err
		})
	}
	g.Go(func() error {
		for _, err := range b.objects.list(ctx, b.prefix+key+"/", true, 1) {
			if err != nil {
				return err
			}
			return fmt.Errorf("it is a folder: %w", ErrConflict)
		}
		return nil
	})
	return g.Wait()
}

// Stat implements Bucket.
func (b *ObjectBucket) Stat(ctx context.Context, key string) (Info, error) {
	if err := CheckKey(key); err != nil {
		return Info{}, err
	}
	info, err := b.objects.head(ctx, b.prefix+key)
	if err == nil {
		info.Key = key
		return info, nil
	}
	if !IsNotExist(err) {
		return Info{}, b.fail("look for", key, err)
	}
	for _, err := range b.objects.list(ctx, b.prefix+key+"/", true, 1) {
		if err != nil {
			return Info{}, b.fail("look for", key, err)
		}
		return Info{Key: key, Folder: true}, nil
	}
	return Info{}, b.fail("look for", key, fs.ErrNotExist)
}

// List implements Bucket.
func (b *ObjectBucket) List(ctx context.Context, folder string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		entries, err := b.entries(ctx, folder)
		if err != nil {
			yield(Info{}, err)
			return
		}
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// entries are sorted here: stores sort folders with their slash.
func (b *ObjectBucket) entries(ctx context.Context, folder string) (entries []Info, err error) {
	prefix := b.prefix
	if folder != "" {
		if err := CheckKey(folder); err != nil {
			return nil, err
		}
		prefix += folder + "/"
	}
	for info, err := range b.objects.list(ctx, prefix, false, 0) {
		if err != nil {
			return nil, b.fail("list", folder, err)
		}
		info.Key = strings.TrimSuffix(strings.TrimPrefix(info.Key, b.prefix), "/")
		if CheckKey(info.Key) != nil || info.Key == folder {
			continue // a marker of a folder, or what nobody can name here
		}
		entries = append(entries, info)
	}
	slices.SortFunc(entries, func(a, b Info) int { return strings.Compare(a.Key, b.Key) })
	return entries, nil
}

// Delete implements Bucket.
func (b *ObjectBucket) Delete(ctx context.Context, key string) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	b.known.clear()
	defer b.known.clear()
	if err := b.objects.remove(ctx, b.prefix+key); err != nil && !IsNotExist(err) {
		return b.fail("delete", key, err)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for info, err := range b.objects.list(ctx, b.prefix+key+"/", true, 0) {
		if err != nil {
			return b.fail("delete", key, errors.Join(err, g.Wait()))
		}
		g.Go(func() error {
			if err := b.objects.remove(ctx, info.Key); err != nil && !IsNotExist(err) {
				return err
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return b.fail("delete", key, err)
	}
	return nil
}

// pages yields what next finds, page by page, until there is no more.
func pages(next func() (page []Info, more bool, err error)) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		for more := true; more; {
			var page []Info
			var err error
			if page, more, err = next(); err != nil {
				yield(Info{}, err)
				return
			}
			for _, info := range page {
				if !yield(info, nil) {
					return
				}
			}
		}
	}
}

// folders remembers what was seen to be a folder, so that the second file in
// one costs no further questions.
type folders struct {
	mu   sync.Mutex
	seen map[string]bool
}

const maxFolders = 4096

func (f *folders) add(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seen == nil || len(f.seen) > maxFolders {
		f.seen = map[string]bool{}
	}
	for dir := path.Dir(key); dir != "."; dir = path.Dir(dir) {
		f.seen[dir] = true
	}
}

func (f *folders) has(dir string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen[dir]
}

func (f *folders) clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = nil
}
