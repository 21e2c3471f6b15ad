package step

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"time"
)

// Variables that the platform puts into every pod.
const (
	envURL       = "KIWERK_URL"
	envTokenFile = "KIWERK_TOKEN_FILE"
)

// Transfers are repeated for a while: the platform may be restarting, and a
// step that has computed for hours must not be lost for it.
const (
	firstPause   = 100 * time.Millisecond
	longestPause = 10 * time.Second
	giveUpAfter  = 10 * time.Minute
	maxToken     = 64 << 10
)

// store is the artifact store behind the platform's HTTP routes.
type store struct {
	base, namespace string
	tokenFile       string
	patience        time.Duration
}

func newStore(environ []string, namespace string) *store {
	return &store{
		base: strings.TrimSuffix(lookup(environ, envURL), "/"), namespace: namespace, tokenFile: lookup(environ, envTokenFile), patience: giveUpAfter,
	}
}

func readToken(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxToken))
	return strings.TrimSpace(string(b)), err
}

func (s *store) url(key string) (string, error) {
	if s.base == "" {
		return "", errors.New(envURL + " is not set, so the artifact store cannot be reached")
	}
	parts := strings.Split(key, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return s.base + "/kiwerk/v1/projects/" + url.PathEscape(s.namespace) + "/artifacts/" + strings.Join(parts, "/"), nil
}

// put stores what body yields; body is called again for each attempt.
func (s *store) put(ctx context.Context, key string, body func() (io.ReadCloser, error)) error {
	return s.repeat(ctx, func() error {
		r, err := body()
		if err != nil {
			return final{err}
		}
		defer r.Close()
		resp, err := s.do(ctx, "PUT", key, r)
		if err != nil {
			return err
		}
		return resp.Close()
	})
}

// FolderHeader marks the answer to a GET of a folder of keys: its body is a
// tar archive of them.
const FolderHeader = "Kiwerk-Folder"

// get writes an object to w, which is emptied before each attempt. folder
// tells that it is an archive of what lies below the key.
func (s *store) get(ctx context.Context, key string, w *os.File) (folder bool, err error) {
	return folder, s.repeat(ctx, func() error {
		if err := w.Truncate(0); err != nil {
			return final{err}
		}
		if _, err := w.Seek(0, io.SeekStart); err != nil {
			return final{err}
		}
		resp, err := s.do(ctx, "GET", key, nil)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Close() }() // read to its end or given up
		folder = resp.header[strings.ToLower(FolderHeader)] != ""
		if _, err := io.Copy(w, resp.body); err != nil {
			return fmt.Errorf("read %s: %w", key, err)
		}
		return nil
	})
}

func (s *store) do(ctx context.Context, method, key string, body io.Reader) (*response, error) {
	address, err := s.url(key)
	if err != nil {
		return nil, final{err}
	}
	header := map[string]string{"Content-Type": "application/octet-stream"}
	if s.tokenFile != "" { // read each time: it is rotated
		token, err := readToken(s.tokenFile)
		if err != nil {
			return nil, final{fmt.Errorf("read the token: %w", err)}
		}
		header["Authorization"] = "Bearer " + token
	}
	resp, err := request(ctx, method, address, header, body)
	if err != nil {
		if own, ok := errors.AsType[localError](err); ok {
			return nil, final(own)
		}
		return nil, err
	}
	if resp.status < 300 {
		return resp, nil
	}
	defer func() { _ = resp.Close() }() // the answer is known
	text, err := io.ReadAll(io.LimitReader(resp.body, 1024))
	if err != nil {
		text = nil // the status says enough
	}
	err = fmt.Errorf("%s %s: %d %s %s", method, key, resp.status, resp.text, strings.TrimSpace(string(text)))
	switch {
	case resp.status == statusNotFound:
		return nil, final{fmt.Errorf("%w: %w", fs.ErrNotExist, err)}
	case resp.status == statusTimeout, resp.status == statusTooMany,
		resp.status >= 500 && resp.status != statusDiskFull && resp.status != statusNotImplemented:
		return nil, err
	default:
		return nil, final{err}
	}
}

// The status codes that matter here.
const (
	statusNotFound       = 404
	statusTimeout        = 408
	statusTooMany        = 429
	statusNotImplemented = 501
	statusDiskFull       = 507
)

// final is an error that repeating cannot mend.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

// localError comes from the file that is sent, not from the way there.
type localError struct{ error }

func (e localError) Unwrap() error { return e.error }

func (s *store) repeat(ctx context.Context, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	pause := firstPause
	for {
		err := try()
		if _, end := errors.AsType[final](err); end || err == nil {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("gave up after %v: %w", s.patience, err)
		}
		pause = min(2*pause, longestPause)
	}
}
