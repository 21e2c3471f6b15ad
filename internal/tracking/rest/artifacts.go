package rest

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
)

// handler is a route that answers with bytes or takes them; read finds what it is about.
func handler[Req any](a *API, method, pattern, verb, summary string, maxBody int64, read func(*http.Request) (*Req, error), answer func(http.ResponseWriter, *http.Request, *Req) error) server.Endpoint {
	e := server.Endpoint{Method: method, Pattern: pattern, Permission: server.Can(verb, route.Artifacts), Summary: summary, MaxBody: maxBody, Codec: a.codec}
	off := a.o.NoProxy && strings.Contains(pattern, "/mlflow-artifacts/")
	return server.Handled(e, read, func(w http.ResponseWriter, r *http.Request, q *Req) error {
		if off {
			return noProxy(r)
		}
		return a.told(r.Context(), answer(w, r, q))
	})
}

// noProxy answers for the artifact routes of a server that leaves artifacts to its clients.
func noProxy(r *http.Request) error {
	return server.Errorf(http.StatusServiceUnavailable, "TEMPORARILY_UNAVAILABLE",
		"%s is disabled because the server runs with --no-serve-artifacts; clients reach the artifacts at their own address", r.URL.Path)
}

// artifactIn is what a request for a file or a folder names.
type artifactIn struct {
	// Path below the root of artifacts.
	Path string `about:"path"`
}

func artifactOf(r *http.Request) (*artifactIn, error) { return &artifactIn{r.PathValue("path")}, nil }

// folderOf reads the folder of a list; the empty one is the root.
func folderOf(r *http.Request) (*artifactIn, error) {
	return &artifactIn{strings.TrimRight(r.URL.Query().Get("path"), "/")}, nil
}

// fileIn is a file of a run, a logged model or a version of a registered model.
type fileIn struct {
	Run     string `about:"run"`
	Model   string `about:"logged_model"`
	Name    string `about:"version"`
	Version string
	File    string
}

// checked refuses a path before anything is looked for, as upstream does.
func (f *fileIn) checked() (*fileIn, error) {
	if f.File == "" {
		return nil, model.Invalid("Missing value for required parameter 'path'.")
	}
	return f, publicError(checkPath(f.File))
}

// told is publicError; what the operator must mend is logged, too.
func (a *API) told(ctx context.Context, err error) error {
	if answer := new(server.Error); !errors.As(err, &answer) && (errors.Is(err, blob.ErrNoStore) || errors.Is(err, blob.ErrDenied)) {
		a.o.Logger.ErrorContext(ctx, "the artifact store cannot be used", "error", err)
	}
	return publicError(err)
}

// publicError gives the errors of the bucket the form that clients know.
func publicError(err error) error {
	if answer := new(server.Error); errors.As(err, &answer) {
		return err
	}
	switch {
	case errors.Is(err, blob.ErrKey):
		// The text is upstream's, which its tests compare as a whole.
		return &server.Error{Status: http.StatusBadRequest, Code: model.CodeInvalid, Message: "Invalid path", Cause: err}
	case errors.Is(err, blob.ErrConflict):
		return model.Invalid("Invalid path: a file and a folder cannot have the same name: %w", err)
	case errors.Is(err, blob.ErrParts):
		return &server.Error{Status: http.StatusBadRequest, Code: model.CodeInvalid, Message: "Invalid value for parameter 'parts' supplied: they are not there as they were sent; send them again.", Cause: err}
	case errors.Is(err, blob.ErrNoStore): // not 500, which clients repeat for minutes
		return &server.Error{Status: http.StatusNotFound, Code: model.CodeMissing, Message: "The bucket or container of the artifacts does not exist; its operator must make it or correct its address.", Cause: err}
	case errors.Is(err, blob.ErrDenied):
		return &server.Error{Status: http.StatusForbidden, Code: "PERMISSION_DENIED", Message: "The store of the artifacts refuses the credentials of this server; its operator finds why in the log.", Cause: err}
	case blob.IsNotExist(err):
		return model.Missing("No such artifact: %w", err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return server.Errorf(http.StatusBadRequest, "BAD_REQUEST", "the upload ended early; nothing was stored: %w", err)
	}
	return err
}

const proxy = "/api/2.0/mlflow-artifacts/artifacts"

func (a *API) artifacts() []server.Endpoint {
	list := call(a, "GET", "/artifacts/list", "list", route.Artifacts, "artifacts of a run", route.Small, a.listRunArtifacts)
	list = append(list, call(a, "GET", "/logged-models/{model_id}/artifacts/directories", "list", route.Artifacts, "files of a logged model", route.Small, a.listModelArtifacts)...)
	for _, e := range []server.Endpoint{
		handler(a, "GET", proxy+"/{path...}", "get", "download an artifact", 0, artifactOf, a.download),
		handler(a, "PUT", proxy+"/{path...}", "update", "upload an artifact", a.uploadLimit(), artifactOf, a.upload),
		handler(a, "DELETE", proxy+"/{path...}", "delete", "delete an artifact or a folder", 0, artifactOf, a.remove),
		handler(a, "GET", proxy, "list", "list a folder of artifacts", 0, folderOf, a.list),
		handler(a, "GET", "/api/2.0/mlflow/logged-models/{model_id}/artifacts/files", "get", "download a file of a logged model", 0, fileOfModel, a.downloadOfModel),
	} {
		list = append(list, route.Both(e)...)
	}
	return append(
		list,
		handler(a, "GET", "/get-artifact", "get", "download an artifact of a run", 0, fileOfRun, a.downloadOfRun),
		handler(a, "GET", "/model-versions/get-artifact", "get", "download a file of a model version", 0, fileOfVersion, a.downloadOfVersion),
	)
}

// key finds the key of a path below the artifact root, if it belongs to the
// namespace: the first part is the number of an experiment. Other names are
// locations that someone of the default namespace gave an experiment.
func (a *API) key(ctx context.Context, p string) (string, error) {
	if err := checkPath(p); err != nil {
		return "", err
	}
	first, _, _ := strings.Cut(p, "/")
	if first == partsFolder {
		return "", fmt.Errorf("%w: %q is reserved", blob.ErrKey, first)
	}
	if err := a.owned(ctx, first); err != nil {
		return "", err
	}
	return path.Join(a.o.KeyPrefix, p), nil
}

// owned tells whether a folder below a root of artifacts belongs to the namespace.
func (a *API) owned(ctx context.Context, folder string) error {
	owner := server.DefaultNamespace
	if a.store == nil { // the tracking server knows; there is one project
		return nil
	}
	if n, err := strconv.ParseInt(folder, 10, 64); err == nil {
		if owner, err = a.store.ExperimentNamespace(ctx, n); err != nil {
			return err
		}
	}
	if owner != server.NamespaceOf(ctx) {
		return model.Missing("No Experiment with id=%s exists, so it has no artifacts", folder)
	}
	return nil
}

// ownedElsewhere is owned for what lies below the root that is not in the server's own store.
func (a *API) ownedElsewhere(ctx context.Context, uri, file string) error {
	below, ok := model.Below(uri, a.o.Root)
	if !ok {
		return nil
	}
	first, _, _ := strings.Cut(strings.TrimLeft(below+"/"+file, "/"), "/")
	return a.owned(ctx, first)
}

// checkFile accepts a path below an address; the empty one is the address itself.
func checkFile(file string) error {
	if file == "" {
		return nil
	}
	return checkPath(file)
}

// checkPath refuses what the bucket refuses, and a fragment in any encoding:
// clients put what they send into addresses, which would end there.
func checkPath(p string) error {
	if err := blob.CheckKey(p); err != nil {
		return err
	}
	for range 4 { // more often encoded is no key
		if strings.ContainsRune(p, '#') {
			return fmt.Errorf("%w: %q contains a #", blob.ErrKey, p)
		}
		if decoded, err := url.PathUnescape(p); err == nil {
			p = decoded
		}
	}
	return nil
}

// place is a file or folder in a bucket.
type place struct {
	blob.Bucket
	key string
}

// placeOf finds a file of something with an artifact address.
func (a *API) placeOf(ctx context.Context, uri, file string) (place, error) {
	if err := checkFile(file); err != nil {
		return place{}, err
	}
	if _, proxied := a.Proxied(uri); a.o.Elsewhere != nil && !proxied {
		if err := a.ownedElsewhere(ctx, uri, file); err != nil {
			return place{}, err
		}
		bucket, key, err := a.o.Elsewhere(ctx, uri)
		return place{bucket, path.Join(key, file)}, err
	}
	key, err := a.keyOf(ctx, uri, file)
	return place{a.o.Blobs, key}, err
}

// Open opens a file below an address, if the project may read there.
func (a *API) Open(ctx context.Context, uri, file string) (io.ReadCloser, error) {
	p, err := a.placeOf(ctx, uri, file)
	if err != nil {
		return nil, publicError(err)
	}
	content, _, err := p.Open(ctx, p.key, 0, -1)
	return content, err
}

// Proxied tells whether the server takes and hands out the artifacts at an
// address, and where below its root they lie.
func (a *API) Proxied(uri string) (below string, ok bool) {
	below, ok = model.Proxied(uri)
	return below, ok && (!a.o.NoProxy || strings.HasPrefix(uri, a.o.ArtifactRoot+"/"))
}

// keyOf finds the key of a file of something whose artifacts the server takes.
func (a *API) keyOf(ctx context.Context, uri, file string) (string, error) {
	if err := checkFile(file); err != nil {
		return "", err
	}
	if below, ok := a.Proxied(uri); ok {
		if err := checkFile(strings.TrimRight(below, "/")); err != nil {
			return "", err // joined it would be another one
		}
		return a.key(ctx, path.Join(below, file))
	}
	return "", model.Invalid("The artifacts lie in %s, which the server does not read; clients fetch them from there themselves.", uri)
}

func (a *API) download(w http.ResponseWriter, r *http.Request, q *artifactIn) error {
	key, err := a.key(r.Context(), q.Path)
	if err != nil {
		return err
	}
	return a.send(w, r, place{a.o.Blobs, key})
}

func fileOfRun(r *http.Request) (*fileIn, error) {
	q := r.URL.Query()
	return (&fileIn{Run: cmp.Or(q.Get("run_id"), q.Get("run_uuid")), File: q.Get("path")}).checked()
}

func (a *API) downloadOfRun(w http.ResponseWriter, r *http.Request, q *fileIn) error {
	info, err := a.store.RunInfo(r.Context(), server.NamespaceOf(r.Context()), q.Run)
	if err != nil {
		return err
	}
	return a.sendFile(w, r, info.ArtifactURI, q.File)
}

func fileOfVersion(r *http.Request) (*fileIn, error) {
	q := r.URL.Query()
	return (&fileIn{Name: q.Get("name"), Version: q.Get("version"), File: q.Get("path")}).checked()
}

func (a *API) downloadOfVersion(w http.ResponseWriter, r *http.Request, q *fileIn) error {
	namespace := server.NamespaceOf(r.Context())
	v, err := a.store.ModelVersion(r.Context(), namespace, q.Name, q.Version)
	if err != nil {
		return err
	}
	folder, err := a.store.VersionFolder(r.Context(), namespace, v)
	if err != nil {
		return err
	}
	return a.sendFile(w, r, folder, q.File)
}

func fileOfModel(r *http.Request) (*fileIn, error) {
	return (&fileIn{Model: r.PathValue("model_id"), File: r.URL.Query().Get("artifact_file_path")}).checked()
}

func (a *API) downloadOfModel(w http.ResponseWriter, r *http.Request, q *fileIn) error {
	m, err := a.store.LoggedModel(r.Context(), server.NamespaceOf(r.Context()), q.Model, false)
	if err != nil {
		return err
	}
	return a.sendFile(w, r, m.ArtifactURI, q.File)
}

func (a *API) sendFile(w http.ResponseWriter, r *http.Request, uri, file string) error {
	p, err := a.placeOf(r.Context(), uri, file)
	if err != nil {
		return err
	}
	return a.send(w, r, p)
}

// send answers with a file. Whatever it contains, a browser must neither run
// nor show it as part of this site: it was uploaded by anyone who may log.
func (a *API) send(w http.ResponseWriter, r *http.Request, p place) error {
	key := p.key
	content, info, err := blob.OpenSeeker(r.Context(), p.Bucket, key)
	if err != nil {
		if st, statErr := p.Stat(r.Context(), key); statErr == nil && st.Folder {
			return model.Invalid("Artifact path refers to a directory, not a file: '%s'", path.Base(key))
		}
		return err
	}
	defer func() {
		if err := content.Close(); err != nil {
			a.o.Logger.WarnContext(r.Context(), "close artifact", "key", key, "error", err)
		}
	}()
	h := w.Header()
	h.Set("Content-Type", contentType(key))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	h.Set("Content-Disposition", blob.Disposition(key))
	if info.Version != "" {
		h.Set("ETag", strconv.Quote(info.Version))
	}
	if p.Bucket == a.o.Blobs {
		sum, err := a.o.Digests.Of(r.Context(), info)
		if err != nil {
			return err
		}
		reprDigest(h, sum)
	}
	http.ServeContent(w, r, "", info.ModTime, content) // ranges, conditions, HEAD; the kernel copies files
	return nil
}

// reprDigest names the SHA-256 of a whole file as RFC 9530 has it.
func reprDigest(h http.Header, sum string) {
	if b, err := hex.DecodeString(sum); err == nil && len(b) > 0 {
		h.Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(b)+":")
	}
}

func (a *API) uploadLimit() int64 {
	if a.o.MaxArtifact > 0 {
		return a.o.MaxArtifact
	}
	return -1
}

func (a *API) upload(w http.ResponseWriter, r *http.Request, q *artifactIn) error {
	key, err := a.key(r.Context(), q.Path)
	if err != nil {
		return err
	}
	if err := a.keep(r, w.Header(), place{a.o.Blobs, key}, r.Body); err != nil {
		return err
	}
	a.codec.Encode(w, r, mlwire.Empty{})
	return nil
}

// keep stores a file that was sent and names its version and digest in headers.
func (a *API) keep(r *http.Request, h http.Header, p place, content io.Reader) error {
	info, sum, err := a.write(r.Context(), p, content)
	if err != nil || sum == nil {
		return err
	}
	h.Set("ETag", strconv.Quote(info.Version))
	reprDigest(h, hex.EncodeToString(sum))
	a.uploadedKey(r, p.key)
	return nil
}

// write stores a file, then, in our own bucket, its digest.
func (a *API) write(ctx context.Context, p place, content io.Reader) (info blob.Info, sum []byte, err error) {
	if p.Bucket != a.o.Blobs {
		info, err = p.Create(ctx, p.key, content)
		return info, nil, err
	}
	if info, sum, err = blob.CreateSummed(ctx, a.o.Blobs, p.key, content); err != nil {
		return info, nil, err
	}
	return info, sum, a.o.Digests.Put(ctx, info, sum)
}

func (a *API) uploadedKey(r *http.Request, key string) {
	a.o.Uploaded(server.NamespaceOf(r.Context()), strings.TrimPrefix(strings.TrimPrefix(key, a.o.KeyPrefix), "/"))
}

func (a *API) remove(w http.ResponseWriter, r *http.Request, q *artifactIn) error {
	key, err := a.key(r.Context(), q.Path)
	if err != nil {
		return err
	}
	if err := a.o.Blobs.Delete(r.Context(), key); err != nil {
		return err
	}
	if err := a.o.Digests.Forget(r.Context(), key); err != nil {
		return err
	}
	a.codec.Encode(w, r, mlwire.Empty{})
	return nil
}

func (a *API) list(w http.ResponseWriter, r *http.Request, q *artifactIn) error {
	files, err := a.below(r.Context(), q.Path)
	if err != nil {
		return err
	}
	a.codec.Encode(w, r, filesJSON{files: files})
	return nil
}

// below lists a folder of artifacts.
func (a *API) below(ctx context.Context, folder string) ([]fileJSON, error) {
	if folder == "" {
		return a.top(ctx)
	}
	key, err := a.key(ctx, folder)
	if err != nil {
		return nil, err
	}
	return a.folder(ctx, place{a.o.Blobs, key}, "")
}

// top lists what of the root of all artifacts belongs to the namespace.
func (a *API) top(ctx context.Context) ([]fileJSON, error) {
	files, err := a.folder(ctx, place{a.o.Blobs, a.o.KeyPrefix}, "")
	if err != nil {
		return nil, err
	}
	files = slices.DeleteFunc(files, func(f fileJSON) bool { return f.path == partsFolder })
	if a.store == nil { // as for owned
		return files, nil
	}
	var experiments []int64
	for _, f := range files {
		if n, err := strconv.ParseInt(f.path, 10, 64); err == nil {
			experiments = append(experiments, n)
		}
	}
	owners, err := a.store.ExperimentNamespaces(ctx, experiments)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(files, func(f fileJSON) bool {
		owner := server.DefaultNamespace
		if n, err := strconv.ParseInt(f.path, 10, 64); err == nil {
			owner = owners[n]
		}
		return owner != server.NamespaceOf(ctx)
	}), nil
}

// folder lists a folder; names are put behind prefix.
func (a *API) folder(ctx context.Context, p place, prefix string) (files []fileJSON, err error) {
	for info, err := range p.List(ctx, p.key) {
		if err != nil {
			return nil, err
		}
		files = append(files, fileJSON{path.Join(prefix, path.Base(info.Key)), info.Folder, info.Size})
	}
	return files, nil
}

type filesJSON struct {
	root  string
	files []fileJSON
}

func (f filesJSON) AppendJSON(w *writer) {
	w.Begin()
	w.OptStr("root_uri", f.root)
	mlwire.List(w, "files", f.files)
	w.End()
}

type listRunArtifacts struct {
	ID   string `ml:"run_id,required" about:"run"`
	UUID string `ml:"run_uuid" about:"run"`
	Path string `ml:"path" about:"- within the run"`
}

func (a *API) listRunArtifacts(ctx context.Context, q *listRunArtifacts) (*filesJSON, error) {
	r, err := a.store.RunInfo(ctx, server.NamespaceOf(ctx), q.ID)
	if err != nil {
		return nil, err
	}
	return a.listOf(ctx, r.ArtifactURI, q.Path)
}

type listModelArtifacts struct {
	modelRef
	Path string `ml:"artifact_directory_path" about:"- within the model"`
}

func (a *API) listModelArtifacts(ctx context.Context, q *listModelArtifacts) (*filesJSON, error) {
	m, err := a.store.LoggedModel(ctx, server.NamespaceOf(ctx), q.ID, false)
	if err != nil {
		return nil, err
	}
	return a.listOf(ctx, m.ArtifactURI, q.Path)
}

func (a *API) listOf(ctx context.Context, uri, folder string) (*filesJSON, error) {
	folder = strings.TrimSuffix(folder, "/")
	p, err := a.placeOf(ctx, uri, folder)
	if err != nil {
		return nil, a.told(ctx, err)
	}
	files, err := a.folder(ctx, p, folder)
	if err != nil {
		return nil, a.told(ctx, err)
	}
	return &filesJSON{uri, files}, nil
}
