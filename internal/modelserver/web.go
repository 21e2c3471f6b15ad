package modelserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path"
	"strings"
	"syscall"
	"time"
)

const (
	artifactsPath  = "/api/2.0/mlflow-artifacts/artifacts"
	attempts       = 6
	firstPause     = 100 * time.Millisecond
	maxListing     = 4 << 20
	headerTimeout  = 30 * time.Second
	connectTimeout = 10 * time.Second
)

// proxied tells whether u is an artifact of the platform, and its path.
func (f *Fetcher) proxied(u *url.URL) (string, bool) {
	platform, err := url.Parse(f.Platform)
	if err != nil || f.Platform == "" || !strings.EqualFold(platform.Host, u.Host) || platform.Scheme != u.Scheme {
		return "", false
	}
	return strings.CutPrefix(u.Path, artifactsPath+"/")
}

// artifacts reads from the platform's artifact proxy.
func (f *Fetcher) artifacts(p string) (source, string, error) {
	if f.Platform == "" {
		return nil, "", errors.New("an artifact of the platform needs its address in KIWERK_URL")
	}
	p = strings.Trim(path.Clean("/"+p), "/")
	return &proxy{Fetcher: f, client: client(nil)}, p, nil
}

// proxy is the platform's mlflow-artifacts interface.
type proxy struct {
	*Fetcher
	client *http.Client
}

func (s *proxy) list(ctx context.Context, folder string) ([]entry, error) {
	r, err := s.get(ctx, artifactsPath+"?path="+url.QueryEscape(folder))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var body struct {
		Files []struct {
			Path  string      `json:"path"`
			IsDir bool        `json:"is_dir"`
			Size  json.Number `json:"file_size"`
		} `json:"files"`
	}
	if err := json.NewDecoder(io.LimitReader(r, maxListing)).Decode(&body); err != nil {
		return nil, fmt.Errorf("list of artifacts: %w", err)
	}
	list := make([]entry, 0, len(body.Files))
	for _, file := range body.Files {
		size, _ := file.Size.Int64() // unknown for folders
		list = append(list, entry{path.Base(file.Path), file.IsDir, size})
	}
	return list, nil
}

func (s *proxy) open(ctx context.Context, file string) (io.ReadCloser, error) {
	return s.get(ctx, artifactsPath+(&url.URL{Path: "/" + file}).EscapedPath())
}

func (s *proxy) get(ctx context.Context, target string) (io.ReadCloser, error) {
	return fetch(ctx, s.client, strings.TrimSuffix(s.Platform, "/")+target, func(r *http.Request) error {
		if s.Namespace != "" {
			r.Header.Set("X-Mlflow-Workspace", s.Namespace)
		}
		if s.TokenFile == "" {
			return nil
		}
		// Read each time: the platform replaces it while the pod lives.
		token, err := os.ReadFile(s.TokenFile)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
		return err
	})
}

// web is a single file on some other server. It never gets the token.
type web struct {
	client *http.Client
	url    *url.URL
}

func newWeb(allowPrivate bool, u *url.URL) *web {
	control := publicOnly
	if allowPrivate {
		control = nil
	}
	return &web{client(control), u}
}

func (*web) list(context.Context, string) ([]entry, error) { return nil, nil }

func (s *web) open(ctx context.Context, _ string) (io.ReadCloser, error) {
	return fetch(ctx, s.client, s.url.String(), func(*http.Request) error { return nil })
}

// client makes connections only to addresses that control lets through.
func client(control func(network, address string, _ syscall.RawConn) error) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext:           (&net.Dialer{Timeout: connectTimeout, Control: control}).DialContext,
		TLSHandshakeTimeout:   connectTimeout,
		ResponseHeaderTimeout: headerTimeout,
		DisableCompression:    true,
	}}
}

var errPrivate = errors.New("the address lies in a private network, which models are not fetched from unless serving.allowPrivateAddresses is set")

// publicOnly refuses private addresses when the connection is made, after names
// were resolved: a check of the name alone could be led astray.
func publicOnly(_, address string, _ syscall.RawConn) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if ip := a.Addr().Unmap(); !ip.IsGlobalUnicast() || ip.IsPrivate() || carrierGrade.Contains(ip) || translated.Contains(ip) {
		return fmt.Errorf("%s: %w", ip, errPrivate)
	}
	return nil
}

var (
	carrierGrade = netip.MustParsePrefix("100.64.0.0/10")
	translated   = netip.MustParsePrefix("64:ff9b::/96")
)

// fetch gets a body. What may pass by itself (no connection yet, a busy or
// restarting server) is tried again a few times.
func fetch(ctx context.Context, c *http.Client, target string, prepare func(*http.Request) error) (io.ReadCloser, error) {
	pause := firstPause
	for try := 1; ; try++ {
		body, again, err := fetchOnce(ctx, c, target, prepare)
		if err == nil || !again || try == attempts {
			return body, err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
		pause *= 2
	}
}

func fetchOnce(ctx context.Context, c *http.Client, target string, prepare func(*http.Request) error) (body io.ReadCloser, again bool, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, false, err
	}
	if err := prepare(r); err != nil {
		return nil, false, err
	}
	resp, err := c.Do(r)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) { // it repeats the address with its query
			err = u.Err
		}
		return nil, !errors.Is(err, errPrivate), fmt.Errorf("%s cannot be reached: %w", r.URL.Host, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, false, nil
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 300)) // best effort: only for the message
	resp.Body.Close()
	again = resp.StatusCode >= 500 && resp.StatusCode != http.StatusNotImplemented || resp.StatusCode == http.StatusTooManyRequests
	return nil, again, fmt.Errorf("%s answered %s for %s: %s", r.URL.Host, resp.Status, r.URL.Path, strings.TrimSpace(string(text)))
}
