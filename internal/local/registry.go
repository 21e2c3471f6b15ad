//go:build linux

package local

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"time"
)

// pullStall is how long a registry may send nothing in the middle of a layer.
const pullStall = time.Minute

// plainOnLoopback refuses HTTP without TLS to other machines. The client of
// registries would speak it to every private address, with the secrets of a pull.
type plainOnLoopback struct{ next http.RoundTripper }

// RoundTrip sends what may be sent.
func (p plainOnLoopback) RoundTrip(r *http.Request) (*http.Response, error) {
	host := r.URL.Hostname()
	ip, err := netip.ParseAddr(host)
	if r.URL.Scheme == "http" && host != "localhost" && (err != nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("registry %s: only a registry on this machine is spoken to without TLS", r.URL.Host)
	}
	return p.next.RoundTrip(r)
}

// untilStalled ends answers of registries that send nothing for a while, so
// that a pull fails and can be tried again instead of waiting for ever.
type untilStalled struct {
	next  http.RoundTripper
	limit time.Duration
}

// RoundTrip watches over the body of the answer.
func (u untilStalled) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	resp, err := u.next.RoundTrip(r.WithContext(ctx))
	if err != nil {
		cancel(nil)
		return nil, err
	}
	stalled := fmt.Errorf("registry %s: sent nothing for %s", r.URL.Host, u.limit)
	resp.Body = &watchedBody{
		ReadCloser: resp.Body, ctx: ctx, cancel: cancel, limit: u.limit,
		timer: time.AfterFunc(u.limit, func() { cancel(stalled) }),
	}
	return resp, nil
}

// watchedBody is cancelled when nothing comes.
type watchedBody struct {
	io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	limit  time.Duration
}

// Read says why it was cancelled.
func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.timer.Reset(b.limit)
	}
	if err != nil && err != io.EOF && b.ctx.Err() != nil { //nolint:errorlint // Readers return io.EOF itself.
		err = context.Cause(b.ctx)
	}
	return n, err
}

// Close ends the watch.
func (b *watchedBody) Close() error {
	b.timer.Stop()
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}
