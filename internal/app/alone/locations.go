package alone

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking"
	"github.com/kiwerk/kiwerk/internal/tracking/access"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/workspaces"
)

// ErrURI is an address that is not understood, or not served yet.
var ErrURI = errors.New("address")

// DatabasePath is what the store opens: a URI of PostgreSQL, or the file of a
// sqlite URI, which has three slashes and a path that begins at dir, or four
// and an absolute one, as SQLAlchemy has them.
func DatabasePath(uri, dir string) (string, error) {
	scheme, rest, ok := strings.Cut(uri, "://")
	switch driver, _, _ := strings.Cut(scheme, "+"); {
	case !ok, driver == "file":
		return "", fmt.Errorf("%w %q: runs are kept in a database, not in a folder; write sqlite:///FILE, and bring a folder of MLflow's along with kiwerk tracking import", ErrURI, uri)
	case driver == "postgresql" || driver == "postgres":
		return uri, nil
	case driver != "sqlite":
		return "", fmt.Errorf("%w %q: databases of %q are not offered; write sqlite:///FILE or postgresql://USER@HOST/NAME", ErrURI, Redact(uri), driver)
	}
	file, ok := strings.CutPrefix(rest, "/")
	file, _, _ = strings.Cut(file, "?")
	if !ok || file == "" || strings.HasPrefix(file, ":memory:") {
		return "", fmt.Errorf("%w %q: write sqlite:///FILE for a file below the current folder, or sqlite:////FOLDER/FILE", ErrURI, uri)
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(dir, file)
	}
	return filepath.Clean(file), nil // programs write more slashes than four, too
}

// CheckFolder refuses the file of a database in a folder that does not exist: a
// mistyped address would make a new, empty database far from the one that is meant.
func CheckFolder(file string) error {
	if strings.Contains(file, "://") {
		return nil
	}
	folder := filepath.Dir(file)
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w sqlite:///%s: the folder %s does not exist; make it, or correct the address (three slashes begin a path below the current folder, four an absolute one)", ErrURI, file, folder)
	}
	return nil
}

// Redact takes the password out of an address.
func Redact(uri string) string {
	if strings.HasPrefix(uri, "sqlite") || !strings.Contains(uri, "://") {
		return uri // it has none, and is shown as it was written
	}
	u, err := url.Parse(uri)
	if err != nil {
		return "…"
	}
	if q := u.Query(); q.Has("password") {
		q.Set("password", "xxxxx")
		u.RawQuery = q.Encode()
	}
	return u.Redacted()
}

func openStore(ctx context.Context, o *Options) (*store.Store, error) {
	file, err := DatabasePath(o.Database, o.Dir)
	if err != nil {
		return nil, err
	}
	migrations := tracking.Migrations()
	if o.Users == nil {
		migrations = append(migrations, workspaces.Migrations())
	}
	if o.BasicAuth {
		migrations = append(migrations, access.Migrations())
	}
	if err := CheckFolder(file); err != nil {
		return nil, err
	}
	return store.Open(ctx, store.Options{Path: file, Migrations: migrations, Logger: o.Logger.With("component", "store")})
}

// localFolder is the folder that an address names, or false if it names something else.
func localFolder(uri, dir string) (string, bool, error) {
	scheme, _, found := strings.Cut(uri, ":")
	switch {
	case !found || strings.Contains(scheme, "/"):
		if !filepath.IsAbs(uri) {
			uri = filepath.Join(dir, uri)
		}
		return filepath.Clean(uri), true, nil
	case scheme != "file":
		return "", false, nil
	}
	u, err := url.Parse(uri)
	if err != nil || u.Host != "" && u.Host != "localhost" {
		return "", false, fmt.Errorf("%w %q: write file:///FOLDER", ErrURI, uri)
	}
	p := u.Path
	if u.Opaque != "" { // file:relative
		if p, err = url.PathUnescape(u.Opaque); err != nil {
			return "", false, fmt.Errorf("%w %q: %w", ErrURI, uri, err)
		}
	}
	if !filepath.IsAbs(p) {
		p = filepath.Join(dir, p)
	}
	return filepath.Clean(p), true, nil
}

// location makes the address of a new experiment's artifacts whole: a
// relative folder is one below the server's, as upstream has it.
func location(uri, dir string) (string, error) {
	folder, local, err := localFolder(uri, dir)
	if err != nil {
		return "", model.Invalid("Invalid artifact_location: %w", err)
	}
	if !local {
		return uri, nil
	}
	if strings.HasPrefix(uri, "file:") {
		return (&url.URL{Scheme: "file", Path: folder}).String(), nil
	}
	return folder, nil
}

// sourceRules are those that upstream reads from the environment.
func sourceRules(getenv func(string) string) (r model.SourceRules, err error) {
	const pattern = "MLFLOW_CREATE_MODEL_VERSION_SOURCE_VALIDATION_REGEX"
	if p := getenv(pattern); p != "" {
		if r.Pattern, err = regexp.Compile(p); err != nil {
			return r, fmt.Errorf("%s: %w", pattern, err)
		}
	}
	for s := range strings.SplitSeq(getenv("MLFLOW_ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES"), ",") {
		if s = strings.ToLower(strings.TrimSpace(s)); s != "" {
			r.Schemes = append(r.Schemes, s)
		}
	}
	return r, nil
}

// places opens what lies beside the server's own artifacts: folders and
// buckets that clients write to themselves and the server lists and reads.
type places struct {
	dir string
	// roots are the addresses below which reading is allowed; any lets every
	// local folder be read, which is right where the caller is the same user.
	roots []string
	any   bool
	// bucket is the address of the object store that is read with the
	// server's credentials; empty is none. With any, every other is, too.
	bucket string

	mu   sync.Mutex
	open map[string]blob.Bucket
}

// Open implements tracking.Deps.Elsewhere.
func (p *places) Open(ctx context.Context, uri string) (blob.Bucket, string, error) {
	folder, local, err := localFolder(uri, p.dir)
	if err != nil {
		return nil, "", model.Invalid("%w", err)
	}
	if !local {
		return p.inBucket(ctx, uri)
	}
	for _, root := range p.roots {
		if rel, err := filepath.Rel(root, folder); err == nil && filepath.IsLocal(rel) {
			b, below, err := p.folder(root)
			return b, path.Join(below, key(rel)), err
		}
	}
	if !p.any {
		return nil, "", model.Invalid("The artifacts lie in %s, which is outside of the folders that the server reads; start it with --default-artifact-root at or above it.", uri)
	}
	above, name := filepath.Split(folder)
	if name == "" {
		return p.folder(folder)
	}
	// From the folder above it, so that gc, which removes no whole bucket, can remove this one.
	b, below, err := p.folder(filepath.Clean(above))
	return b, path.Join(below, name), err
}

func key(rel string) string {
	if k := path.Clean(filepath.ToSlash(rel)); k != "." {
		return k
	}
	return ""
}

// maxPlaces bounds the folders that are kept open.
const maxPlaces = 64

// folder opens a folder, or, until it exists, the nearest one above it.
func (p *places) folder(dir string) (blob.Bucket, string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b := p.open[dir]; b != nil {
		return b, "", nil
	}
	b, below, err := blob.OpenShared(dir)
	if err != nil {
		return nil, "", err
	}
	if below == "" {
		p.keep(dir, b)
	}
	return b, below, nil
}

func (p *places) kept(dir string, open func() (blob.Bucket, error)) (blob.Bucket, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b := p.open[dir]; b != nil {
		return b, nil
	}
	b, err := open()
	if err != nil {
		return nil, err
	}
	p.keep(dir, b)
	return b, nil
}

func (p *places) keep(dir string, b blob.Bucket) {
	if len(p.open) >= maxPlaces {
		clear(p.open) // the folders close when nobody reads them any more
	}
	p.open[dir] = b
}

// inBucket reads object stores: below the default artifact root for
// everybody, others where the caller could read them with the same credentials.
func (p *places) inBucket(ctx context.Context, uri string) (blob.Bucket, string, error) {
	root, rest := uri, ""
	if p.bucket != "" && (uri == p.bucket || strings.HasPrefix(uri, p.bucket+"/")) {
		root, rest = p.bucket, strings.Trim(strings.TrimPrefix(uri, p.bucket), "/")
	} else if !p.any {
		return nil, "", model.Invalid("The artifacts lie in %s, which the server does not read; clients fetch them from there themselves. Start it with --default-artifact-root at or above it if it shall.", Redact(uri))
	}
	if rest != "" {
		if err := blob.CheckKey(rest); err != nil {
			return nil, "", model.Invalid("Invalid artifact address: %w", err)
		}
	}
	b, err := p.kept(root, func() (blob.Bucket, error) { return blob.Open(ctx, root) })
	if err != nil {
		return nil, "", model.Invalid("The artifacts lie in %s, which the server cannot read: %w", Redact(uri), err)
	}
	return b, rest, nil
}
