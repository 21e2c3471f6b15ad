package data

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strconv"
	"time"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/store"
)

// Formats of data-set versions.
const (
	CSV     = "csv"
	Parquet = "parquet"
)

// Where a version came from.
const (
	OriginUpload = "upload"
	OriginFrozen = "frozen"
)

// Version of a data set. It never changes.
type Version struct {
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	Version   int       `json:"version"`
	Digest    string    `json:"digest"` // sha256 of the bytes, hexadecimal
	Format    string    `json:"format"`
	Rows      int64     `json:"rows"`
	Bytes     int64     `json:"bytes"`
	Schema    Schema    `json:"schema"`
	Origin    string    `json:"origin"`
	Created   time.Time `json:"created"`
	URI       string    `json:"uri"`
}

// Key is where the bytes lie in the blob store.
func (v Version) Key() string {
	return "datasets/" + v.Namespace + "/" + v.Name + "/" + v.Digest + "." + v.Format
}

// URI names a version of a data set of the same project.
func URI(name string, version int) string { return fmt.Sprintf("datasets:/%s/%d", name, version) }

var datasetName = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9_.]{0,126}[A-Za-z0-9])?$`)

func checkName(name string) error {
	if !datasetName.MatchString(name) {
		return server.Invalid("%q is no name for a data set: 1 to 128 letters, digits, '-', '_' and '.', a letter or digit at both ends", name)
	}
	return nil
}

// IngestRequest brings a new version.
type IngestRequest struct {
	Namespace, Name string
	// Schema the data must have; nil takes what is found.
	Schema *Schema
	// Body is CSV with a header line, or Parquet.
	Body io.Reader

	origin string
}

// Ingest checks the data and stores them as the next version. Bytes that are a
// version already are that version. What breaks the schema is not stored.
func (s *Service) Ingest(ctx context.Context, r IngestRequest) (*Version, error) {
	if err := checkName(r.Name); err != nil {
		return nil, err
	}
	if r.Namespace == "" {
		return nil, server.Invalid("a data set belongs to a project; its namespace is empty")
	}
	f, err := os.CreateTemp(s.deps.TempDir, tempPattern)
	if err != nil {
		return nil, err
	}
	defer func() {
		_ = f.Close()           // it was only read since
		_ = os.Remove(f.Name()) // Init removes what is left
	}()
	digest := sha256.New()
	size, err := io.Copy(io.MultiWriter(f, digest), &limited{r: r.Body, left: s.deps.MaxUpload, max: s.deps.MaxUpload})
	if err != nil {
		return nil, err
	}
	v := &Version{
		Namespace: r.Namespace, Name: r.Name, Digest: hex.EncodeToString(digest.Sum(nil)),
		Bytes: size, Origin: r.origin, Created: s.deps.Now().UTC(),
	}
	if v.Origin == "" {
		v.Origin = OriginUpload
	}
	t, format, err := openTable(f, size)
	if err != nil {
		return nil, err
	}
	v.Format = format
	if v.Schema, v.Rows, err = check(t, r.Schema); err != nil {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	if _, err := s.deps.Blobs.Create(ctx, v.Key(), f); err != nil {
		return nil, fmt.Errorf("store the bytes of data set %s: %w", v.Name, err)
	}
	return v, s.insertVersion(ctx, v)
}

// limited fails instead of cutting off.
type limited struct {
	r         io.Reader
	left, max int64
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, server.Errorf(413, "REQUEST_TOO_LARGE", "the data set is larger than %d bytes", l.max)
	}
	return n, err
}

// openTable tells Parquet from CSV by its first bytes.
func openTable(f io.ReadSeeker, size int64) (table, string, error) {
	magic := make([]byte, 4)
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, "", err
	}
	n, err := io.ReadFull(f, magic)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, "", err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, "", err
	}
	if at, ok := f.(io.ReaderAt); ok && string(magic[:n]) == "PAR1" {
		t, err := newParquet(at, size)
		return t, Parquet, err
	}
	t, err := newCSV(f)
	return t, CSV, err
}

// numberAttempts bounds how often another copy of the program may take the
// number of a version.
const numberAttempts = 100

// insertVersion gives v its number, or makes it the version that has the same bytes.
func (s *Service) insertVersion(ctx context.Context, v *Version) error {
	schema, err := json.Marshal(v.Schema)
	if err != nil {
		return err
	}
	for attempt, wanted := 1, *v; ; attempt++ {
		*v = wanted
		if err := s.tryVersion(ctx, v, string(schema)); !errors.Is(err, store.ErrConflict) || attempt == numberAttempts {
			return err
		}
	}
}

func (s *Service) tryVersion(ctx context.Context, v *Version, schema string) error {
	wanted := *v
	return s.deps.Store.Update(ctx, func(t *store.Tx) error {
		*v = wanted
		had, err := scanVersion(t.Row(selectVersions+" AND name = ? AND digest = ?", v.Namespace, v.Name, v.Digest).Scan)
		if err == nil {
			*v = *had
			return nil
		}
		if !store.IsNoRows(err) {
			return err
		}
		if err := t.Row("SELECT coalesce(max(version), 0) + 1 FROM data_versions WHERE namespace = ? AND name = ?", v.Namespace, v.Name).Scan(&v.Version); err != nil {
			return err
		}
		v.URI = URI(v.Name, v.Version)
		_, err = t.Exec(`INSERT INTO data_versions(namespace, name, version, digest, format, rows, bytes, schema, origin, created)
			VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			v.Namespace, v.Name, v.Version, v.Digest, v.Format, v.Rows, v.Bytes, schema, v.Origin, v.Created.UnixNano())
		return err
	})
}

const selectVersions = "SELECT namespace, name, version, digest, format, rows, bytes, schema, origin, created FROM data_versions WHERE namespace = ?"

func scanVersion(scan func(...any) error) (*Version, error) {
	v := &Version{}
	var schema string
	var created int64
	if err := scan(&v.Namespace, &v.Name, &v.Version, &v.Digest, &v.Format, &v.Rows, &v.Bytes, &schema, &v.Origin, &created); err != nil {
		return nil, err
	}
	v.Created, v.URI = time.Unix(0, created).UTC(), URI(v.Name, v.Version)
	return v, json.Unmarshal([]byte(schema), &v.Schema)
}

// Latest is the version of a data set that was made last.
const Latest = "latest"

// Version finds a version by its number or "latest".
func (s *Service) Version(ctx context.Context, namespace, name, version string) (*Version, error) {
	query, args := selectVersions+" AND name = ? ORDER BY version DESC LIMIT 1", []any{namespace, name}
	if version != Latest {
		n, err := strconv.Atoi(version)
		if err != nil || n < 1 {
			return nil, server.Invalid("%q is no version of a data set: use a number from 1 on, or latest", version)
		}
		query, args = selectVersions+" AND name = ? AND version = ?", append(args, n)
	}
	return s.findVersion(ctx, fmt.Sprintf("version %s of data set %q", version, name), query, args...)
}

// LatestOf is the newest version of a data set with an origin, fs.ErrNotExist if there is none.
func (s *Service) LatestOf(ctx context.Context, namespace, name, origin string) (*Version, error) {
	return s.findVersion(ctx, fmt.Sprintf("%s version of data set %q", origin, name),
		selectVersions+" AND name = ? AND origin = ? ORDER BY version DESC LIMIT 1", namespace, name, origin)
}

func (s *Service) findVersion(ctx context.Context, what, query string, args ...any) (v *Version, err error) {
	err = s.deps.Store.View(ctx, func(t *store.Tx) (err error) {
		v, err = scanVersion(t.Row(query, args...).Scan)
		return err
	})
	if store.IsNoRows(err) {
		e := server.NotFound("project %q has no %s", args[0], what)
		e.Cause = fs.ErrNotExist
		return nil, e
	}
	return v, err
}

// Versions lists the versions of a data set, oldest first.
func (s *Service) Versions(ctx context.Context, namespace, name string) ([]Version, error) {
	list, err := s.listVersions(ctx, selectVersions+" AND name = ? ORDER BY version", namespace, name)
	if err == nil && len(list) == 0 {
		return nil, server.NotFound("project %q has no data set %q", namespace, name)
	}
	return list, err
}

// Datasets lists the newest version of each data set of a project.
func (s *Service) Datasets(ctx context.Context, namespace string) ([]Version, error) {
	return s.listVersions(ctx, selectVersions+` AND version = (SELECT max(version) FROM data_versions n
		WHERE n.namespace = data_versions.namespace AND n.name = data_versions.name) ORDER BY name`, namespace)
}

func (s *Service) listVersions(ctx context.Context, query string, args ...any) ([]Version, error) {
	list := []Version{}
	err := s.deps.Store.View(ctx, func(t *store.Tx) error {
		return t.Each(func(rows store.Rows) error {
			v, err := scanVersion(rows.Scan)
			if err != nil {
				return err
			}
			list = append(list, *v)
			return nil
		}, query, args...)
	})
	return list, err
}

// Open reads the bytes of a version.
func (s *Service) Open(ctx context.Context, v *Version) (io.ReadCloser, error) {
	r, _, err := s.deps.Blobs.Open(ctx, v.Key(), 0, -1)
	if err != nil {
		return nil, fmt.Errorf("read %s of project %s: %w", v.URI, v.Namespace, err)
	}
	return r, nil
}

// maxFrameRows bounds the tables that are read into memory.
const maxFrameRows = 5_000_000

// Frame reads a version as numbers, with the column named label beside them.
func (s *Service) Frame(ctx context.Context, v *Version, label string) (f Frame, err error) {
	r, err := s.Open(ctx, v)
	if err != nil {
		return Frame{}, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if v.Format == CSV {
		return ReadFrame(r, label, maxFrameRows)
	}
	// Parquet begins at its end, so it needs a file.
	file, err := os.CreateTemp(s.deps.TempDir, tempPattern)
	if err != nil {
		return Frame{}, err
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(file.Name())) }()
	size, err := io.Copy(file, r)
	if err != nil {
		return Frame{}, err
	}
	t, err := newParquet(file, size)
	if err != nil {
		return Frame{}, err
	}
	return readFrame(t, label, maxFrameRows)
}
