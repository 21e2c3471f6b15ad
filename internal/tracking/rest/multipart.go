package rest

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
)

// Uploads in parts. An object store takes the parts itself, at addresses that
// we sign. Where there is none, or nothing to sign with, the server takes them,
// at addresses that it signs, keeps each as a file of its own, and joins them
// at the end.
const (
	// partsFolder has the parts of uploads that have not ended, below KeyPrefix.
	partsFolder = ".parts"
	partsRoute  = "/api/2.0/mlflow-artifacts/parts"
	// partsValid bounds an upload; what is older is removed.
	partsValid    = 12 * time.Hour
	secondsOfHour = 3600
	maxParts      = 10_000
	// signedFor is how long presigned addresses count unless a client says otherwise.
	signedFor      = 15 * time.Minute
	downloadFor    = 5 * time.Minute
	longestSigned  = 7 * 24 * time.Hour
	codeNotBuilt   = "NOT_IMPLEMENTED"
	noDownloadHere = "Multipart download is not supported for the current artifact repository"
	noSigningHere  = "Presigned upload is not supported for the current artifact repository"
)

func (a *API) multipart() []server.Endpoint {
	list := a.mpu("create", a.createParts)
	list = append(list, a.mpu("complete", a.completeParts)...)
	list = append(list, a.mpu("abort", a.abortParts)...)
	part := handler(a, "PUT", partsRoute+"/{upload}/{number}", "update", "take one part of an upload", a.uploadLimit(), artifactOf, a.uploadPart)
	part.Permission = server.Public("its address is signed, for one part of an upload that someone with the permission has begun")
	list = append(list, part)
	list = append(list, route.Both(handler(a, "GET", "/api/2.0/mlflow-artifacts/presigned/{path...}", "get", "an address to download an artifact from the object store itself", 0, artifactOf, a.presign))...)
	list = append(list, call(a, "POST", "/artifacts/presigned-upload-url", "update", route.Artifacts, "an address to upload to the object store itself", route.Small, a.presignUpload)...)
	return append(list, call(a, "POST", "/artifacts/presigned-download-url", "get", route.Artifacts, "an address to download from the object store itself", route.Small, a.presignDownload)...)
}

type partIn struct {
	Number int64  `ml:"part_number"`
	ETag   string `ml:"etag"`
}

type partsIn struct {
	Path   string   `ml:"path,required" about:"- the handler joins it with that of the address, and both are judged"`
	Count  int64    `ml:"num_parts"`
	Upload string   `ml:"upload_id" about:"- good for one path: by signature if the server takes the parts, else by the object store, which keeps it with the key"`
	Parts  []partIn `ml:"parts"`
}

// uploadIn is an upload in parts of one file.
type uploadIn struct {
	artifactIn

	parts partsIn
}

// mpu is a call about an upload; the file is the last name of the client's path, in the folder of the URL.
func (a *API) mpu(op string, do func(r *http.Request, q *partsIn, key string) (mlwire.Appender, error)) []server.Endpoint {
	read := func(r *http.Request) (*uploadIn, error) {
		q := &uploadIn{}
		if err := a.codec.Decode(r, &q.parts); err != nil {
			return nil, err
		}
		q.Path = q.parts.Path[strings.LastIndexAny(q.parts.Path, `/\`)+1:]
		if folder := r.PathValue("path"); folder != "" {
			q.Path = folder + "/" + q.Path
		}
		return q, nil
	}
	return route.Both(handler(a, "POST", "/api/2.0/mlflow-artifacts/mpu/"+op+"/{path...}", "update", op+" an upload in parts", 8<<20, read, func(w http.ResponseWriter, r *http.Request, q *uploadIn) error {
		key, err := a.key(r.Context(), q.Path)
		if err != nil {
			return err
		}
		answer, err := do(r, &q.parts, key)
		if err != nil {
			return err
		}
		a.codec.Encode(w, r, answer)
		return nil
	}))
}

// sign is what only this server could have written about some values.
func (a *API) sign(values ...string) string {
	h := hmac.New(sha256.New, a.o.Secret)
	for _, v := range values {
		_, _ = fmt.Fprintf(h, "%d:%s,", len(v), v) // it never fails
	}
	return hex.EncodeToString(h.Sum(nil))
}

type partURL struct {
	url    string
	number int64
}

func (p partURL) AppendJSON(w *writer) {
	w.Begin()
	w.Str("url", p.url)
	w.Int("part_number", p.number)
	w.End()
}

type partsOut struct {
	upload string
	parts  []partURL
}

func (p partsOut) AppendJSON(w *writer) {
	w.Begin()
	w.Str("upload_id", p.upload)
	mlwire.List(w, "credentials", p.parts)
	w.End()
}

func (a *API) createParts(r *http.Request, q *partsIn, key string) (mlwire.Appender, error) {
	if q.Count < 1 || q.Count > maxParts {
		return nil, model.Invalid("Invalid value %d for parameter 'num_parts' supplied. It must be between 1 and %d.", q.Count, maxParts)
	}
	out := partsOut{}
	if s, ok := blob.SignerOf(a.o.Blobs); ok {
		id, addresses, err := s.Begin(r.Context(), key, int(q.Count), partsValid)
		if !errors.Is(err, blob.ErrCannotSign) {
			for i, u := range addresses {
				out.parts = append(out.parts, partURL{u, int64(i + 1)})
			}
			out.upload = id
			return out, err
		}
		a.o.Logger.WarnContext(r.Context(), "uploads in parts go through the server", "error", err)
	}
	if err := a.dropOldParts(r.Context()); err != nil {
		a.o.Logger.WarnContext(r.Context(), "what old uploads have left was not removed; the next hour will try again", "error", err)
	}
	random, ends := rand.Text(), strconv.FormatInt(a.o.Clock().Add(partsValid).Unix(), 10)
	out.upload = random + "." + ends + "." + a.sign("upload", random, ends, key)
	scheme := "http"
	if r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https") {
		scheme = "https"
	}
	for n := range q.Count {
		number := strconv.FormatInt(n+1, 10)
		u := url.URL{Scheme: scheme, Host: r.Host, Path: partsRoute + "/" + out.upload + "/" + number, RawQuery: "signature=" + a.sign("part", out.upload, number)}
		out.parts = append(out.parts, partURL{u.String(), n + 1})
	}
	return out, nil
}

// partKey is where a part lies: below the hour in which its upload must have
// ended. What it is made of was made here, so it is a clean name.
func (a *API) partKey(upload string, number int64) string {
	random, rest, _ := strings.Cut(upload, ".")
	text, _, _ := strings.Cut(rest, ".")
	ends, _ := strconv.ParseInt(text, 10, 64) //nolint:errcheck // Its signature was checked.
	folder := path.Join(a.o.KeyPrefix, partsFolder, strconv.FormatInt(ends/secondsOfHour, 10), random)
	if number == 0 {
		return folder
	}
	return folder + "/" + strconv.FormatInt(number, 10)
}

func (a *API) uploadPart(w http.ResponseWriter, r *http.Request, _ *artifactIn) error {
	upload, number := r.PathValue("upload"), r.PathValue("number")
	_, rest, _ := strings.Cut(upload, ".")
	ends, _, _ := strings.Cut(rest, ".")
	if !hmac.Equal([]byte(r.URL.Query().Get("signature")), []byte(a.sign("part", upload, number))) {
		return server.Errorf(http.StatusForbidden, "PERMISSION_DENIED", "the signature of the address is not ours")
	}
	end, err := strconv.ParseInt(ends, 10, 64)
	if err != nil || a.o.Clock().Unix() >= end {
		return server.Errorf(http.StatusForbidden, "PERMISSION_DENIED", "the upload has taken longer than %v; begin it again", partsValid)
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return model.Invalid("%q is not the number of a part", number)
	}
	info, err := a.o.Blobs.Create(r.Context(), a.partKey(upload, n), r.Body)
	if err != nil {
		return err
	}
	w.Header().Set("ETag", strconv.Quote(info.Version))
	return nil
}

// begunHere tells whether the server itself takes the parts of an upload; if
// not, the object store does. One that neither has begun for this key is an error.
func (a *API) begunHere(upload, key string) (bool, *blob.Signer, error) {
	parts := strings.Split(upload, ".")
	if len(parts) == 3 && hmac.Equal([]byte(parts[2]), []byte(a.sign("upload", parts[0], parts[1], key))) {
		return true, nil, nil
	}
	if s, ok := blob.SignerOf(a.o.Blobs); ok {
		return false, s, nil
	}
	return false, nil, model.Invalid("Invalid value for parameter 'upload_id' supplied: no upload of this file has it.")
}

func (a *API) completeParts(r *http.Request, q *partsIn, key string) (mlwire.Appender, error) {
	if len(q.Parts) == 0 || len(q.Parts) > maxParts {
		return nil, model.Invalid("Missing value for required parameter 'parts'.")
	}
	for i, p := range q.Parts {
		if p.Number != int64(i+1) {
			return nil, model.Invalid("Invalid value for parameter 'parts' supplied: part %d stands at place %d; they must be in order and whole.", p.Number, i+1)
		}
	}
	here, s, err := a.begunHere(q.Upload, key)
	if err != nil {
		return nil, err
	}
	if !here {
		list := route.Convert(q.Parts, func(p partIn) blob.Part { return blob.Part{Number: int(p.Number), ETag: p.ETag} })
		if err := s.Complete(r.Context(), key, q.Upload, list); err != nil {
			return nil, err
		}
		a.uploadedKey(r, key)
		return mlwire.Empty{}, nil
	}
	joined := &parts{ctx: r.Context(), bucket: a.o.Blobs}
	defer joined.Close()
	for _, p := range q.Parts {
		info, err := a.o.Blobs.Stat(r.Context(), a.partKey(q.Upload, p.Number))
		if blob.IsNotExist(err) || err == nil && p.ETag != "" && strings.Trim(p.ETag, `"`) != info.Version {
			return nil, model.Invalid("Part %d of the upload is not there as it was sent; send it again.", p.Number)
		}
		if err != nil {
			return nil, err
		}
		joined.keys = append(joined.keys, info.Key)
	}
	if err := a.keep(r, http.Header{}, place{a.o.Blobs, key}, joined); err != nil {
		return nil, err
	}
	return mlwire.Empty{}, a.o.Blobs.Delete(r.Context(), a.partKey(q.Upload, 0))
}

func (a *API) abortParts(r *http.Request, q *partsIn, key string) (mlwire.Appender, error) {
	here, s, err := a.begunHere(q.Upload, key)
	if err != nil {
		return nil, err
	}
	if !here {
		return mlwire.Empty{}, s.Abort(r.Context(), key, q.Upload)
	}
	return mlwire.Empty{}, a.o.Blobs.Delete(r.Context(), a.partKey(q.Upload, 0))
}

// dropOldParts removes what uploads have left that nobody ended, at most once
// an hour. It sees one name for each hour, however many uploads there are.
func (a *API) dropOldParts(ctx context.Context) error {
	now := a.o.Clock().Unix() / secondsOfHour
	last := a.tidied.Load()
	if last == now || !a.tidied.CompareAndSwap(last, now) {
		return nil
	}
	oldest := now - int64(partsValid/time.Hour) // the clocks of other copies may differ
	for hour, err := range a.o.Blobs.List(ctx, path.Join(a.o.KeyPrefix, partsFolder)) {
		if err != nil {
			return err
		}
		if n, err := strconv.ParseInt(path.Base(hour.Key), 10, 64); err != nil || n >= oldest {
			continue
		}
		if err := a.o.Blobs.Delete(ctx, hour.Key); err != nil {
			return err
		}
	}
	return nil
}

// parts reads keys one after the other.
type parts struct {
	ctx    context.Context //nolint:containedctx // It is that of the request that joins them.
	bucket blob.Bucket
	keys   []string
	open   io.ReadCloser
}

// Read implements io.Reader.
func (p *parts) Read(b []byte) (int, error) {
	for {
		if p.open == nil {
			if len(p.keys) == 0 {
				return 0, io.EOF
			}
			content, _, err := p.bucket.Open(p.ctx, p.keys[0], 0, -1)
			if err != nil {
				return 0, err
			}
			p.open, p.keys = content, p.keys[1:]
		}
		n, err := p.open.Read(b)
		if !errors.Is(err, io.EOF) {
			return n, err
		}
		if err := p.Close(); err != nil || n > 0 {
			return n, err
		}
	}
}

// Close implements io.Closer.
func (p *parts) Close() error {
	if p.open == nil {
		return nil
	}
	defer func() { p.open = nil }()
	return p.open.Close()
}

// signed is an address that the object store takes.
type signed struct {
	name, url string
	header    http.Header
	size      int64
}

func (s signed) AppendJSON(w *writer) {
	w.Begin()
	w.Str(s.name, s.url)
	w.Name("headers")
	w.Begin()
	for k := range s.header {
		w.Str(k, s.header.Get(k))
	}
	w.End()
	if s.size >= 0 {
		w.Int("file_size", s.size)
	}
	w.End()
}

func (a *API) presign(w http.ResponseWriter, r *http.Request, q *artifactIn) error {
	key, err := a.key(r.Context(), q.Path)
	if err != nil {
		return err
	}
	answer, err := signPlace(r.Context(), place{a.o.Blobs, key}, http.MethodGet, "url", downloadFor, noDownloadHere)
	if err != nil {
		return err
	}
	a.codec.Encode(w, r, answer)
	return nil
}

func signPlace(ctx context.Context, p place, method, name string, valid time.Duration, otherwise string) (*signed, error) {
	out := &signed{name: name, size: -1}
	s, ok := blob.SignerOf(p.Bucket)
	if !ok {
		return nil, cannotSign(otherwise, blob.ErrCannotSign)
	}
	if method == http.MethodGet {
		info, err := p.Stat(ctx, p.key)
		if err != nil {
			return nil, err
		}
		out.size = info.Size
	}
	var err error
	out.url, out.header, err = s.Address(ctx, method, p.key, valid)
	if errors.Is(err, blob.ErrCannotSign) {
		return nil, cannotSign(otherwise, err)
	}
	return out, err
}

func cannotSign(message string, err error) error {
	return &server.Error{Status: http.StatusNotImplemented, Code: codeNotBuilt, Message: message, Cause: err}
}

type presignIn struct {
	Run     string `ml:"run_id" about:"run"`
	Model   string `ml:"model_id" about:"logged_model"`
	Path    string `ml:"path,required" about:"- within the run or model"`
	Expires *int64 `ml:"expiration"`
}

// Check implements mlwire.Checked.
func (q *presignIn) Check() error {
	if (q.Run == "") == (q.Model == "") {
		return model.Invalid("Exactly one of run_id and model_id must be provided.")
	}
	return nil
}

func (q *presignIn) valid(standard time.Duration) (time.Duration, error) {
	if q.Expires == nil {
		return standard, nil
	}
	if longest := int64(longestSigned / time.Second); *q.Expires < 1 || *q.Expires > longest {
		return 0, model.Invalid("expiration must be between 1 and %d seconds (got %d).", longest, *q.Expires)
	}
	return time.Duration(*q.Expires) * time.Second, nil
}

// presignPlace finds a file that does not go through the server.
func (a *API) presignPlace(ctx context.Context, q *presignIn, what string) (p place, err error) {
	if err := checkPath(q.Path); err != nil {
		return p, publicError(err)
	}
	var uri string
	if q.Run != "" {
		r, err := a.store.RunInfo(ctx, server.NamespaceOf(ctx), q.Run)
		if err != nil {
			return p, err
		}
		uri = r.ArtifactURI
	} else {
		m, err := a.store.LoggedModel(ctx, server.NamespaceOf(ctx), q.Model, false)
		if err != nil {
			return p, err
		}
		uri = m.ArtifactURI
	}
	if _, proxied := a.Proxied(uri); proxied {
		return p, model.Invalid("%s is not supported for proxied artifact storage (artifact URI scheme: mlflow-artifacts). This endpoint requires a direct cloud storage artifact URI.", what)
	}
	p, err = a.placeOf(ctx, uri, q.Path)
	return p, publicError(err)
}

func (a *API) presignUpload(ctx context.Context, q *presignIn) (*signed, error) {
	valid, err := q.valid(signedFor)
	if err != nil {
		return nil, err
	}
	p, err := a.presignPlace(ctx, q, "Presigned upload")
	if err != nil {
		return nil, err
	}
	out, err := signPlace(ctx, p, http.MethodPut, "presigned_url", valid, noSigningHere)
	return out, a.told(ctx, err)
}

func (a *API) presignDownload(ctx context.Context, q *presignIn) (*signed, error) {
	valid, err := q.valid(downloadFor)
	if err != nil {
		return nil, err
	}
	p, err := a.presignPlace(ctx, q, "Presigned download")
	if err != nil {
		return nil, err
	}
	out, err := signPlace(ctx, p, http.MethodGet, "presigned_url", valid, noDownloadHere)
	return out, a.told(ctx, err)
}
