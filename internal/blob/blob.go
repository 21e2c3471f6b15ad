package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/url"
	"path"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Bucket is a set of keys with bytes.
type Bucket interface {
	// Open reads n bytes from offset, or to the end if n is negative. A key
	// that does not exist is fs.ErrNotExist, an offset behind the end ErrRange.
	// Info.Size is the size of the whole.
	Open(ctx context.Context, key string, offset, n int64) (io.ReadCloser, Info, error)
	// Create stores what r yields until io.EOF. Any other error, or the end of
	// ctx, leaves the key as it was. A key that lies below another one's, or
	// above, is ErrConflict.
	Create(ctx context.Context, key string, r io.Reader) (Info, error)
	// Stat describes a key or a folder of keys, else fs.ErrNotExist.
	Stat(ctx context.Context, key string) (Info, error)
	// List yields what lies directly in a folder ("" is the top) in the order
	// of names; a folder that does not exist is empty.
	List(ctx context.Context, folder string) iter.Seq2[Info, error]
	// Delete removes a key or everything in a folder; what does not exist is no error.
	Delete(ctx context.Context, key string) error
}

// Info describes a key or a folder.
type Info struct {
	Key     string // the whole key, also in a list
	Size    int64
	ModTime time.Time
	Folder  bool
	// Version names this content of the key: another one has another version.
	// It is empty for folders, and may be in a list.
	Version string
}

// Errors beside fs.ErrNotExist.
var (
	// ErrKey is a key that is not a clean relative path.
	ErrKey = errors.New("not a valid key")
	// ErrConflict is a key that would have to be file and folder at once.
	ErrConflict = errors.New("the name is taken")
	// ErrNoStore is a bucket or container that does not exist.
	ErrNoStore = errors.New("the bucket does not exist")
	// ErrDenied is an object store that refuses the credentials.
	ErrDenied = errors.New("the store refuses the credentials")
	// ErrRange is an offset behind the end.
	ErrRange = errors.New("range is outside of the file")
)

// Limits of a key, those of the file systems below.
const (
	maxKey  = 1024
	maxName = 255
)

// CheckKey accepts clean relative paths. A key is refused as well if it would
// climb out after being percent-decoded, however often: something behind us
// may decode once more.
func CheckKey(key string) error {
	for range 4 {
		if why := keyFault(key); why != "" {
			return fmt.Errorf("%w: %q %s", ErrKey, key, why)
		}
		decoded, err := url.PathUnescape(key)
		if err != nil { // a percent sign that is one
			return nil //nolint:nilerr // The key is what it is; nothing behind us decodes it.
		}
		if decoded == key {
			return nil
		}
		key = decoded
	}
	return fmt.Errorf("%w: %q is percent-encoded too often", ErrKey, key)
}

func keyFault(key string) string {
	switch {
	case key == "":
		return "is empty"
	case len(key) > maxKey:
		return fmt.Sprintf("is longer than %d bytes", maxKey)
	case !utf8.ValidString(key):
		return "is not UTF-8"
	case strings.ContainsRune(key, '\\'):
		return "contains a backslash"
	case strings.IndexFunc(key, unicode.IsControl) >= 0:
		return "contains a control character"
	case path.IsAbs(key), len(key) > 1 && key[1] == ':' && isLetter(key[0]):
		return "is absolute"
	case path.Clean(key) != key, key == ".", key == "..", strings.HasPrefix(key, "../"):
		return "is not a clean relative path"
	}
	first, _, _ := strings.Cut(key, "/")
	if first == tempFolder {
		return "is reserved"
	}
	for name := range strings.SplitSeq(key, "/") {
		if len(name) > maxName {
			return fmt.Sprintf("has a name longer than %d bytes", maxName)
		}
	}
	return ""
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// Walk yields every key below a folder, depth first, without the folders.
func Walk(ctx context.Context, b Bucket, folder string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) { walk(ctx, b, folder, yield) }
}

func walk(ctx context.Context, b Bucket, folder string, yield func(Info, error) bool) bool {
	for info, err := range b.List(ctx, folder) {
		var more bool
		if err == nil && info.Folder {
			more = walk(ctx, b, info.Key, yield)
		} else {
			more = yield(info, err)
		}
		if !more {
			return false
		}
	}
	return true
}

// IsNotExist tells whether a key was not found.
func IsNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }
