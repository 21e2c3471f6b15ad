package rest

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/pipeline/artifact"
	"github.com/kiwerk/kiwerk/internal/pipeline/step"
	"github.com/kiwerk/kiwerk/internal/server"
)

// Artifacts are the routes of the artifact store.
type Artifacts struct {
	Blobs blob.Bucket
	// MaxSize bounds one artifact in bytes; 0 is [DefaultMaxSize].
	MaxSize int64
}

// DefaultMaxSize of one artifact.
const DefaultMaxSize = 64 << 30

const artifactPattern = "/kiwerk/v1/projects/{namespace}/artifacts/{key...}"

// Endpoints are the routes with their permissions.
func (a Artifacts) Endpoints() []server.Endpoint {
	return []server.Endpoint{
		{
			Method: http.MethodPut, Pattern: artifactPattern, Permission: server.Can("create", "artifacts"), MaxBody: -1,
			Summary: "Store an artifact; the body is its content", Handler: handler(a.put),
		},
		{
			Method: http.MethodGet, Pattern: artifactPattern, Permission: server.Can("get", "artifacts"),
			Summary: "Read an artifact", Handler: handler(a.get),
		},
	}
}

func handler(serve func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := serve(w, r); err != nil {
			server.JSONCodec{}.Error(w, r, err)
		}
	})
}

// target checks project and key of a request.
func target(r *http.Request) (namespace, key string, err error) {
	namespace, key = r.PathValue("namespace"), r.PathValue("key")
	if len(validation.IsDNS1123Label(namespace)) > 0 {
		return "", "", server.Invalid("project %q is not a valid name", namespace)
	}
	if err := artifact.CheckKey(key); err != nil {
		return "", "", server.Invalid("artifact key: %w", err)
	}
	return namespace, key, nil
}

// stored is the answer to a PUT.
type stored struct {
	Key    string `json:"key"`
	Size   int64  `json:"size"`
	Digest string `json:"digest"`
}

func (a Artifacts) put(w http.ResponseWriter, r *http.Request) error {
	namespace, key, err := target(r)
	if err != nil {
		return err
	}
	want, err := wantedDigest(r.Header)
	if err != nil {
		return err
	}
	limit := a.MaxSize
	if limit == 0 {
		limit = DefaultMaxSize
	}
	body := &digestReader{r: http.MaxBytesReader(w, r.Body, limit), sum: sha256.New(), want: want}
	info, err := a.Blobs.Create(r.Context(), artifact.BlobKey(namespace, key), body)
	if err != nil {
		return blobError(key, err)
	}
	sum := body.sum.Sum(nil)
	setDigest(w.Header(), sum)
	server.WriteJSON(w, http.StatusOK, stored{Key: key, Size: info.Size, Digest: "sha256:" + hex.EncodeToString(sum)})
	return nil
}

func (a Artifacts) get(w http.ResponseWriter, r *http.Request) error {
	namespace, key, err := target(r)
	if err != nil {
		return err
	}
	blobKey := artifact.BlobKey(namespace, key)
	if info, err := a.Blobs.Stat(r.Context(), blobKey); err != nil {
		return blobError(key, err)
	} else if info.Folder {
		return a.getFolder(w, r, blobKey)
	}
	body, info, err := a.Blobs.Open(r.Context(), blobKey, 0, -1)
	if err != nil {
		return blobError(key, err)
	}
	defer body.Close()
	h := w.Header()
	if strings.Contains(strings.ToLower(r.Header.Get("Want-Repr-Digest")), "sha-256") {
		sum, err := a.digest(r, blobKey)
		if err != nil {
			return blobError(key, err)
		}
		setDigest(h, sum)
	}
	setHeaders(h, "application/octet-stream", path.Base(key))
	h.Set("Content-Length", strconv.FormatInt(info.Size, 10))
	if !info.ModTime.IsZero() {
		h.Set("Last-Modified", info.ModTime.UTC().Format(http.TimeFormat))
	}
	if r.Method == http.MethodHead {
		return nil
	}
	if _, err := io.Copy(w, body); err != nil {
		// The length was promised, so the client notices; there is no second answer.
		return nil
	}
	return nil
}

// setHeaders sees to it that whatever a step has written is never shown as a page of ours.
func setHeaders(h http.Header, contentType, name string) {
	h.Set("Content-Type", contentType)
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
}

// getFolder answers with a tar archive of all keys below a folder. If it
// breaks off, the connection does, too, so that nobody takes a part for the whole.
func (a Artifacts) getFolder(w http.ResponseWriter, r *http.Request, folder string) error {
	setHeaders(w.Header(), "application/x-tar", path.Base(folder)+".tar")
	w.Header().Set(step.FolderHeader, "true")
	if r.Method == http.MethodHead {
		return nil
	}
	t := tar.NewWriter(w)
	for info, err := range blob.Walk(r.Context(), a.Blobs, folder) {
		if err == nil {
			err = a.addKey(r.Context(), t, folder, info)
		}
		if err != nil {
			panic(http.ErrAbortHandler) //nolint:forbidigo // The documented way to break off an answer that has begun.
		}
	}
	return t.Close()
}

func (a Artifacts) addKey(ctx context.Context, t *tar.Writer, folder string, info blob.Info) error {
	body, info, err := a.Blobs.Open(ctx, info.Key, 0, -1)
	if err != nil {
		return err
	}
	defer body.Close()
	h := &tar.Header{
		Typeflag: tar.TypeReg, Name: path.Base(folder) + strings.TrimPrefix(info.Key, folder), Size: info.Size, Mode: 0o644, ModTime: info.ModTime,
	}
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.CopyN(t, body, info.Size)
	return err
}

func (a Artifacts) digest(r *http.Request, key string) ([]byte, error) {
	body, _, err := a.Blobs.Open(r.Context(), key, 0, -1)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, body); err != nil {
		return nil, err
	}
	return sum.Sum(nil), nil
}

func blobError(key string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return server.NotFound("artifact %q does not exist", key)
	case errors.Is(err, blob.ErrKey):
		return server.Invalid("artifact key: %w", err)
	case errors.Is(err, blob.ErrConflict):
		return server.Errorf(http.StatusConflict, "ALREADY_EXISTS", "artifact %q: a part of the key is an artifact itself, or the key is a folder: %w", key, err)
	case errors.Is(err, errDigest):
		return server.Invalid("artifact %q: %w; nothing was stored", key, err)
	default:
		return fmt.Errorf("artifact %q: %w", key, err)
	}
}

var errDigest = errors.New("the content does not have the digest that the request names")

// digestReader computes the digest of what it passes on, and fails at the end
// when it is not the wanted one, so that nothing is stored.
type digestReader struct {
	r    io.Reader
	sum  hash.Hash
	want []byte
}

func (d *digestReader) Read(p []byte) (int, error) {
	n, err := d.r.Read(p)
	d.sum.Write(p[:n])
	if errors.Is(err, io.EOF) && d.want != nil && string(d.want) != string(d.sum.Sum(nil)) {
		return n, errDigest
	}
	return n, err
}

// wantedDigest reads Repr-Digest or Content-Digest (RFC 9530).
func wantedDigest(h http.Header) ([]byte, error) {
	for _, name := range []string{"Repr-Digest", "Content-Digest"} {
		for part := range strings.SplitSeq(h.Get(name), ",") {
			value, ok := strings.CutPrefix(strings.TrimSpace(part), "sha-256=:")
			if !ok {
				continue
			}
			sum, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(value, ":"))
			if err != nil || len(sum) != sha256.Size {
				return nil, server.Invalid("header %s: sha-256 is not the base64 of 32 bytes", name)
			}
			return sum, nil
		}
	}
	return nil, nil
}

func setDigest(h http.Header, sum []byte) {
	h.Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sum)+":")
}
