package blob

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
)

// gcsObjects are objects in a bucket of Google Cloud Storage, over its JSON
// API. Google's own client would bring gRPC with xDS and newer releases of
// what Kubernetes is pinned to.
type gcsObjects struct {
	client *http.Client
	base   string
	bucket string
	signer *gcsSigner // nil if the credentials cannot sign
}

const gcsScope = "https://www.googleapis.com/auth/devstorage.read_write"

// newGCS takes Google's application default credentials; where
// STORAGE_EMULATOR_HOST names an emulator, only to sign, and only if
// GOOGLE_APPLICATION_CREDENTIALS names them.
func newGCS(ctx context.Context, bucket string, getenv func(string) string) (o *gcsObjects, err error) {
	o = &gcsObjects{base: "https://storage.googleapis.com", bucket: bucket}
	if emulator := getenv("STORAGE_EMULATOR_HOST"); emulator != "" {
		if !strings.Contains(emulator, "://") {
			emulator = "http://" + emulator
		}
		o.base, o.client = strings.TrimSuffix(emulator, "/"), &http.Client{}
		if getenv("GOOGLE_APPLICATION_CREDENTIALS") == "" {
			return o, nil
		}
	}
	forever := context.WithoutCancel(ctx)
	credentials, err := google.FindDefaultCredentials(forever, gcsScope)
	if err != nil {
		return nil, fmt.Errorf("credentials of Google Cloud: %w", err)
	}
	if o.client == nil {
		o.client = oauth2.NewClient(forever, credentials.TokenSource)
	}
	if o.signer, err = newGCSSigner(forever, credentials.JSON); err != nil {
		return nil, fmt.Errorf("credentials of Google Cloud: %w", err)
	}
	return o, nil
}

func (o *gcsObjects) object(name string) string {
	return o.base + "/storage/v1/b/" + url.PathEscape(o.bucket) + "/o/" + url.PathEscape(name)
}

// attempts of a request that may be repeated.
const attempts = 4

// do sends a request and repeats it while the store is busy. The caller closes the body.
func (o *gcsObjects) do(ctx context.Context, method, address string, body []byte, header ...string) (*http.Response, error) {
	for attempt := 1; ; attempt++ {
		req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := o.client.Do(req)
		busy := err == nil && (resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= http.StatusInternalServerError)
		if err == nil && !busy || attempt == attempts || ctx.Err() != nil {
			return resp, err
		}
		if busy {
			resp.Body.Close()
		}
		pause := time.NewTimer(time.Second << (attempt - 1))
		select {
		case <-ctx.Done():
			pause.Stop()
			return nil, ctx.Err()
		case <-pause.C:
		}
	}
}

// gcsError reads an answer that is not a success and closes it.
func gcsError(resp *http.Response) error {
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusNotFound:
		return fs.ErrNotExist
	case http.StatusRequestedRangeNotSatisfiable:
		return errEnd
	}
	said, _ := io.ReadAll(io.LimitReader(resp.Body, 512)) // it only helps to understand the status
	if resp.StatusCode == http.StatusForbidden || resp.StatusCode == http.StatusUnauthorized {
		return fmt.Errorf("%w: it answered %s: %s", ErrDenied, resp.Status, strings.TrimSpace(string(said)))
	}
	return fmt.Errorf("the store answered %s: %s", resp.Status, strings.TrimSpace(string(said)))
}

type gcsObject struct {
	Name       string    `json:"name"`
	Size       string    `json:"size"`
	Updated    time.Time `json:"updated"`
	Generation string    `json:"generation"`
}

func (g gcsObject) info() (Info, error) {
	size, err := strconv.ParseInt(g.Size, 10, 64)
	if err != nil {
		return Info{}, fmt.Errorf("size %q in the answer: %w", g.Size, err)
	}
	return Info{Key: g.Name, Size: size, ModTime: g.Updated, Version: g.Generation}, nil
}

func (o *gcsObjects) get(ctx context.Context, name string, offset, n int64) (io.ReadCloser, Info, error) {
	var header []string
	if offset > 0 || n >= 0 {
		header = []string{"Range", byteRange(offset, n)}
	}
	// Unpacking on the way would change what was stored.
	resp, err := o.do(ctx, http.MethodGet, o.object(name)+"?alt=media", nil, append(header, "Accept-Encoding", "gzip")...)
	if err != nil {
		return nil, Info{}, err
	}
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusPartialContent {
		return nil, Info{}, gcsError(resp)
	}
	info := Info{Size: resp.ContentLength, Version: resp.Header.Get("X-Goog-Generation")}
	if modified, err := http.ParseTime(resp.Header.Get("Last-Modified")); err == nil {
		info.ModTime = modified
	}
	if _, total, ok := strings.Cut(resp.Header.Get("Content-Range"), "/"); ok {
		if info.Size, err = strconv.ParseInt(total, 10, 64); err != nil {
			return nil, Info{}, errors.Join(fmt.Errorf("range in the answer: %w", err), resp.Body.Close())
		}
	}
	return resp.Body, info, nil
}

func (o *gcsObjects) head(ctx context.Context, name string) (Info, error) {
	resp, err := o.do(ctx, http.MethodGet, o.object(name)+"?fields=name,size,updated,generation", nil)
	if err != nil {
		return Info{}, err
	}
	return readGCS(resp)
}

func readGCS(resp *http.Response) (Info, error) {
	if resp.StatusCode != http.StatusOK {
		return Info{}, gcsError(resp)
	}
	defer resp.Body.Close()
	var g gcsObject
	if err := json.NewDecoder(resp.Body).Decode(&g); err != nil {
		return Info{}, fmt.Errorf("answer of the store: %w", err)
	}
	return g.info()
}

func (o *gcsObjects) put(ctx context.Context, name string, r io.Reader) (info Info, err error) {
	upload := o.base + "/upload/storage/v1/b/" + url.PathEscape(o.bucket) + "/o?name=" + url.QueryEscape(name) + "&uploadType="
	buf := partBuffers.Get().(*[partSize]byte) //nolint:forcetypeassert // The pool holds nothing else.
	defer partBuffers.Put(buf)
	n, ended, err := fill(r, buf[:])
	if err != nil {
		return Info{}, err
	}
	if ended {
		resp, err := o.do(ctx, http.MethodPost, upload+"media", buf[:n], "Content-Type", "application/octet-stream")
		if err != nil {
			return Info{}, err
		}
		return readGCS(resp)
	}
	resp, err := o.do(ctx, http.MethodPost, upload+"resumable", []byte("{}"), "Content-Type", "application/json")
	if err != nil {
		return Info{}, err
	}
	if resp.StatusCode != http.StatusOK {
		return Info{}, gcsError(resp)
	}
	session := resp.Header.Get("Location")
	if err := resp.Body.Close(); err != nil {
		return Info{}, err
	}
	info, err = o.resume(ctx, session, r, buf, n)
	if err != nil {
		return Info{}, errors.Join(err, o.forget(ctx, session))
	}
	return info, nil
}

// resume sends the full buffer and what r still has, in order, as the protocol wants it.
func (o *gcsObjects) resume(ctx context.Context, session string, r io.Reader, buf *[partSize]byte, n int) (Info, error) {
	for sent, ended := int64(0), false; ; {
		total := "*"
		if ended {
			total = strconv.FormatInt(sent+int64(n), 10)
		}
		span := fmt.Sprintf("bytes %d-%d/%s", sent, sent+int64(n)-1, total)
		if n == 0 {
			span = "bytes */" + total
		}
		resp, err := o.do(ctx, http.MethodPut, session, buf[:n], "Content-Range", span)
		if err != nil {
			return Info{}, err
		}
		if ended {
			return readGCS(resp)
		}
		if resp.StatusCode != http.StatusPermanentRedirect {
			return Info{}, gcsError(resp)
		}
		resp.Body.Close()
		sent += int64(n)
		if n, ended, err = fill(r, buf[:]); err != nil {
			return Info{}, err
		}
	}
}

// forget ends an upload that will not be finished.
func (o *gcsObjects) forget(ctx context.Context, session string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, session, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := o.client.Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close() // whatever it says: sessions end by themselves after a week
}

func (o *gcsObjects) list(ctx context.Context, prefix string, flat bool, limit int) iter.Seq2[Info, error] {
	q := url.Values{"prefix": {prefix}, "fields": {"prefixes,nextPageToken,items(name,size,updated,generation)"}}
	if !flat {
		q.Set("delimiter", "/")
	}
	if limit > 0 {
		q.Set("maxResults", strconv.Itoa(limit))
	}
	return pages(func() (list []Info, more bool, err error) {
		page, err := o.page(ctx, q)
		if err != nil {
			return nil, false, err
		}
		for _, p := range page.Prefixes {
			list = append(list, Info{Key: p, Folder: true})
		}
		for _, item := range page.Items {
			info, err := item.info()
			if err != nil {
				return nil, false, err
			}
			list = append(list, info)
		}
		q.Set("pageToken", page.Next)
		return list, page.Next != "" && limit == 0, nil
	})
}

type gcsPage struct {
	Prefixes []string    `json:"prefixes"`
	Items    []gcsObject `json:"items"`
	Next     string      `json:"nextPageToken"`
}

func (o *gcsObjects) page(ctx context.Context, q url.Values) (page gcsPage, err error) {
	resp, err := o.do(ctx, http.MethodGet, o.base+"/storage/v1/b/"+url.PathEscape(o.bucket)+"/o?"+q.Encode(), nil)
	if err != nil {
		return page, err
	}
	if resp.StatusCode == http.StatusNotFound {
		resp.Body.Close()
		return page, ErrNoStore
	}
	if resp.StatusCode != http.StatusOK {
		return page, gcsError(resp)
	}
	defer resp.Body.Close()
	return page, json.NewDecoder(resp.Body).Decode(&page)
}

func (o *gcsObjects) remove(ctx context.Context, name string) error {
	resp, err := o.do(ctx, http.MethodDelete, o.object(name), nil)
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return gcsError(resp)
	}
	return resp.Body.Close()
}
