package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
)

// File is an entry of a folder of artifacts. Path begins at the folder of the run or model.
type File struct {
	Path   string `json:"path"`
	Folder bool   `json:"is_dir"`
	Size   Int    `json:"file_size,omitempty"`
}

// Folder is where artifacts of something lie. The zero value of each field but URI may stay.
type Folder struct {
	// URI is the address that the server names; what begins with mlflow-artifacts: is read through its proxy.
	URI string
	// Run, Model or Name and Version say through what the server reads other addresses.
	Run, Model, Name, Version string
}

// RunFolder is where the artifacts of a run lie.
func RunFolder(r RunInfo) Folder { return Folder{URI: r.ArtifactURI, Run: r.ID} }

// ModelFolder is where the files of a logged model lie.
func ModelFolder(m LoggedModel) Folder { return Folder{URI: m.Info.ArtifactURI, Model: m.Info.ID} }

// ErrElsewhere: artifacts lie where the server does not read them.
var ErrElsewhere = errors.New("the artifacts lie where the tracking server does not read them")

const proxyPath = "/api/2.0/mlflow-artifacts/artifacts"

// Proxied is the path below the proxy's root of an address that the proxy serves.
func (f Folder) Proxied() (string, bool) {
	rest, ok := strings.CutPrefix(f.URI, "mlflow-artifacts:")
	if !ok {
		return "", false
	}
	if strings.HasPrefix(rest, "//") { // mlflow-artifacts://host/path
		u, err := url.Parse(f.URI)
		if err != nil {
			return "", false
		}
		rest = u.Path
	}
	return strings.Trim(rest, "/"), true
}

// List a folder below f; an empty sub lists f itself.
func (c *Client) List(ctx context.Context, f Folder, sub string) ([]File, error) {
	q := Request{Method: http.MethodGet}
	root, proxied := f.Proxied()
	switch {
	case f.Run != "":
		q.Path, q.Query = MLflow("artifacts/list"), url.Values{"run_id": {f.Run}}
		if sub != "" {
			q.Query.Set("path", sub)
		}
	case f.Model != "":
		q.Path, q.Query = MLflow("logged-models/"+f.Model+"/artifacts/directories"), url.Values{}
		if sub != "" {
			q.Query.Set("artifact_directory_path", sub)
		}
	case proxied:
		q.Path, q.Query = proxyPath, url.Values{"path": {path.Join(root, sub)}}
	default:
		return nil, fmt.Errorf("%w: %s", ErrElsewhere, f.URI)
	}
	var list []File
	for token := ""; ; {
		var a struct {
			Files []File `json:"files"`
			Next  string `json:"next_page_token"`
		}
		if token != "" {
			q.Query.Set("page_token", token)
		}
		if err := c.Do(ctx, q, &a); err != nil {
			return nil, err
		}
		for _, file := range a.Files {
			if f.Run == "" && f.Model == "" { // the proxy names entries from where it was asked
				file.Path = path.Join(sub, path.Base(file.Path))
			}
			list = append(list, file)
		}
		if a.Next == "" || a.Next == token {
			return list, nil
		}
		token = a.Next
	}
}

// ErrPath: a server names a file in a way that leads out of its folder.
var ErrPath = errors.New("the server names a file outside of its folder")

// Walk calls visit with each file below a folder, depth first.
func (c *Client) Walk(ctx context.Context, f Folder, sub string, visit func(File) error) error {
	list, err := c.List(ctx, f, sub)
	if err != nil {
		return err
	}
	for _, file := range list {
		if !local(file.Path) || sub != "" && !strings.HasPrefix(file.Path, sub+"/") {
			return fmt.Errorf("%w: %q", ErrPath, file.Path)
		}
		if file.Folder {
			err = c.Walk(ctx, f, file.Path, visit)
		} else {
			err = visit(file)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// local tells whether a path stays below where it begins, on every system.
func local(p string) bool {
	return p != "" && p == path.Clean(p) && !path.IsAbs(p) && p != ".." && !strings.HasPrefix(p, "../") && !strings.ContainsAny(p, "\\\x00") && !strings.Contains(strings.SplitN(p, "/", 2)[0], ":")
}

// Content of a file, from an offset on.
type Content struct {
	io.ReadCloser

	// Offset is where the content begins: 0 where the server sends the whole file all the same.
	Offset int64
	// Size of the whole file, -1 where the server does not tell.
	Size int64
	// Digest is what the server calls the content, as sha-256=:…: or an ETag; empty where it says nothing.
	Digest, ETag string
}

// Open reads a file from an offset on. etag, unless empty, is that of the part
// that the caller has; when the file has changed since, it comes from the beginning.
func (c *Client) Open(ctx context.Context, f Folder, file string, offset int64, etag string) (*Content, error) {
	q, err := f.download(file)
	if err != nil {
		return nil, err
	}
	if offset > 0 {
		q.Header = http.Header{"Range": {fmt.Sprintf("bytes=%d-", offset)}}
		if etag != "" {
			q.Header.Set("If-Range", etag)
		}
	}
	resp, err := c.Send(ctx, q)
	var refused *Error
	if errors.As(err, &refused) && refused.Status == http.StatusRequestedRangeNotSatisfiable {
		q.Header = nil
		resp, err = c.Send(ctx, q)
	}
	if err != nil {
		return nil, err
	}
	content := &Content{ReadCloser: resp.Body, Size: resp.ContentLength, Digest: resp.Header.Get("Repr-Digest"), ETag: resp.Header.Get("ETag")}
	if resp.StatusCode == http.StatusPartialContent {
		if content.Offset, content.Size, err = contentRange(resp.Header.Get("Content-Range")); err != nil {
			resp.Body.Close()
			return nil, err
		}
	}
	return content, nil
}

func contentRange(h string) (offset, size int64, err error) {
	var last int64
	if _, err := fmt.Sscanf(h, "bytes %d-%d/%d", &offset, &last, &size); err == nil {
		return offset, size, nil
	}
	if _, err := fmt.Sscanf(h, "bytes %d-%d/*", &offset, &last); err == nil {
		return offset, -1, nil
	}
	return 0, 0, fmt.Errorf("the server sends a part without saying which: Content-Range %q", h)
}

// download is the request for a file.
func (f Folder) download(file string) (Request, error) {
	if !local(file) {
		return Request{}, fmt.Errorf("%w: %q", ErrPath, file)
	}
	q := Request{Method: http.MethodGet}
	root, proxied := f.Proxied()
	switch {
	case proxied:
		q.Path = proxyPath + "/" + path.Join(root, file)
	case f.Run != "":
		q.Path, q.Query = "/get-artifact", url.Values{"run_id": {f.Run}, "path": {file}}
	case f.Model != "":
		q.Path, q.Query = "/ajax-api/2.0/mlflow/logged-models/"+f.Model+"/artifacts/files", url.Values{"artifact_file_path": {file}}
	case f.Name != "":
		q.Path, q.Query = "/model-versions/get-artifact", url.Values{"name": {f.Name}, "version": {f.Version}, "path": {file}}
	default:
		return q, fmt.Errorf("%w: %s", ErrElsewhere, f.URI)
	}
	return q, nil
}

// Upload writes a file below the root of the server's proxy. Content is sent
// as it is read, once: it cannot be sent again after a failure.
func (c *Client) Upload(ctx context.Context, file string, content io.Reader) error {
	if !local(file) {
		return fmt.Errorf("%w: %q", ErrPath, file)
	}
	q := Request{Method: http.MethodPut, Path: proxyPath + "/" + file}
	r, err := http.NewRequestWithContext(ctx, q.Method, c.base.JoinPath(escape(q.Path)).String(), content)
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/octet-stream")
	resp, err := c.exchange(r, q)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}
