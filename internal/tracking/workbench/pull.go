package workbench

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/kiwerk/kiwerk/internal/tracking/client"
)

// Pulled is a file that lies in the folder now.
type Pulled struct {
	Path   string `json:"path"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	// Verified says by what: "sha256" where the server keeps a hash, else "size".
	Verified string `json:"verified"`
	// Kept says that it was there already.
	Kept bool `json:"kept,omitempty"`
}

// partial is the folder of files that are not whole yet.
const partial = ".kiwerk-partial"

// ErrDamaged: what came is not what the server says it has.
var ErrDamaged = errors.New("the download is damaged")

// NothingError is the address of a model at which there is no file.
type NothingError struct{ Address string }

// Error names the address.
func (e *NothingError) Error() string { return "no file lies at " + e.Address }

// PullModel downloads a model: a folder as [Pull] does, or the one file that its address names.
func PullModel(ctx context.Context, c *client.Client, f client.Folder, dir string, progress func(Pulled)) ([]Pulled, error) {
	inside, err := c.List(ctx, f, "")
	if err != nil && !client.IsNotFound(err) {
		return nil, err
	}
	if len(inside) > 0 {
		return Pull(ctx, c, f, dir, progress)
	}
	above, file, err := fileOf(ctx, c, f)
	if err != nil {
		return nil, err
	}
	return pull(ctx, c, above, dir, func(visit func(client.File) error) error { return visit(file) }, progress)
}

// fileOf takes the address of a folder as that of a file; above is the folder that it lies in.
func fileOf(ctx context.Context, c *client.Client, f client.Folder) (above client.Folder, file client.File, err error) {
	p, proxied := f.Proxied()
	if !proxied || p == "" {
		return above, file, &NothingError{f.URI}
	}
	above.URI = "mlflow-artifacts:/" + strings.TrimPrefix(path.Dir(p), ".")
	list, err := c.List(ctx, above, "")
	if err != nil && !client.IsNotFound(err) {
		return above, file, err
	}
	for _, file := range list {
		if !file.Folder && file.Path == path.Base(p) {
			return above, file, nil
		}
	}
	return above, file, &NothingError{f.URI}
}

// Pull downloads all files of a folder into dir. Files lie there whole or not
// at all; what was broken off goes on where it was, what is there is kept when
// it has the server's size and hash.
func Pull(ctx context.Context, c *client.Client, f client.Folder, dir string, progress func(Pulled)) ([]Pulled, error) {
	return pull(ctx, c, f, dir, func(visit func(client.File) error) error { return c.Walk(ctx, f, "", visit) }, progress)
}

// pull downloads those files of a folder that each visits.
func pull(ctx context.Context, c *client.Client, f client.Folder, dir string, each func(visit func(client.File) error) error, progress func(Pulled)) ([]Pulled, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // As a user's own folder is.
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	list := []Pulled{}
	err = each(func(file client.File) error {
		p, err := pullFile(ctx, c, f, root, file)
		if err != nil {
			return fmt.Errorf("%s: %w", file.Path, err)
		}
		list = append(list, p)
		if progress != nil {
			progress(p)
		}
		return nil
	})
	if err != nil {
		return list, err
	}
	return list, root.RemoveAll(partial)
}

func pullFile(ctx context.Context, c *client.Client, f client.Folder, root *os.Root, file client.File) (Pulled, error) {
	name := file.Path
	part := path.Join(partial, hex.EncodeToString(sum([]byte(name))))
	have, etag := begun(root, part)
	there, err := root.Stat(name)
	whole := err == nil && there.Mode().IsRegular() && have == 0
	content, err := c.Open(ctx, f, name, have, etag)
	if err != nil {
		return Pulled{}, err
	}
	defer content.Close()
	if whole && content.Size == there.Size() {
		if p, ok, err := kept(root, name, there.Size(), content.Digest); err != nil || ok {
			return p, err
		}
	}
	h := sha256.New()
	out, err := openPart(root, part, content, h)
	if err != nil {
		return Pulled{}, err
	}
	n, err := io.Copy(io.MultiWriter(out, h), content)
	err = errors.Join(err, out.Sync(), out.Close())
	size := content.Offset + n
	if err == nil && content.Size >= 0 && size != content.Size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return Pulled{}, err
	}
	p, err := verified(name, size, content.Digest, h)
	if err != nil {
		return p, errors.Join(err, root.Remove(part))
	}
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return p, err
	}
	return p, root.Rename(part, name)
}

// begun is how much of a file is there, and what the server called that content.
func begun(root *os.Root, part string) (int64, string) {
	st, err := root.Stat(part)
	if err != nil {
		return 0, ""
	}
	etag, err := root.ReadFile(part + ".etag")
	if err != nil { // without it nobody knows whether the rest belongs to the same content
		return 0, ""
	}
	return st.Size(), string(etag)
}

// openPart opens the part for what follows; what is there counts for the hash.
func openPart(root *os.Root, part string, content *client.Content, h hash.Hash) (*os.File, error) {
	if err := root.MkdirAll(partial, 0o755); err != nil {
		return nil, err
	}
	if content.ETag != "" {
		if err := root.WriteFile(part+".etag", []byte(content.ETag), 0o644); err != nil {
			return nil, err
		}
	} else if err := root.Remove(part + ".etag"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	out, err := root.OpenFile(part, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := out.Truncate(content.Offset); err != nil {
		return nil, errors.Join(err, out.Close())
	}
	if _, err := io.Copy(h, out); err != nil {
		return nil, errors.Join(err, out.Close())
	}
	return out, nil
}

func kept(root *os.Root, name string, size int64, digest string) (Pulled, bool, error) {
	file, err := root.Open(name)
	if err != nil {
		return Pulled{}, false, err
	}
	defer file.Close()
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return Pulled{}, false, err
	}
	want := sha256Of(digest)
	if want == "" { // the size alone does not tell that the content is the same
		return Pulled{}, false, nil
	}
	p, err := verified(name, size, digest, h)
	p.Kept = true
	return p, err == nil, nil
}

func verified(name string, size int64, digest string, h hash.Hash) (Pulled, error) {
	p := Pulled{Path: name, Size: size, SHA256: hex.EncodeToString(h.Sum(nil)), Verified: "size"}
	if want := sha256Of(digest); want != "" {
		p.Verified = "sha256"
		if want != p.SHA256 {
			return p, fmt.Errorf("%w: its sha256 is %s, the server has %s", ErrDamaged, p.SHA256, want)
		}
	}
	return p, nil
}

// sha256Of reads the header Repr-Digest: sha-256=:BASE64:.
func sha256Of(header string) string {
	for item := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(item), "=")
		if strings.EqualFold(name, "sha-256") {
			b, err := base64.StdEncoding.DecodeString(strings.Trim(value, ":"))
			if err == nil && len(b) == sha256.Size {
				return hex.EncodeToString(b)
			}
		}
	}
	return ""
}

func sum(b []byte) []byte {
	h := sha256.Sum256(b)
	return h[:]
}
