package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// call is a request on its way to a pod.
type call struct {
	method, path, query string
	header              http.Header
	body                []byte
}

// answer of a pod. Its body is read by the caller, who closes it.
type answer struct {
	status int
	header http.Header
	length int64 // -1: unknown
	body   io.ReadCloser
}

// forwarder sends a call to an address. An error means that nothing was answered.
type forwarder interface {
	send(ctx context.Context, address string, c *call) (*answer, error)
	close()
}

// httpForwarder keeps connections to pods open.
type httpForwarder struct{ transport *http.Transport }

const (
	connectTimeout = 2 * time.Second
	idlePerPod     = 256
	idleTimeout    = 90 * time.Second
	bufferSize     = 16 << 10
)

func newHTTPForwarder() *httpForwarder {
	return &httpForwarder{&http.Transport{
		DialContext:         (&net.Dialer{Timeout: connectTimeout, KeepAlive: 30 * time.Second}).DialContext,
		MaxIdleConnsPerHost: idlePerPod,
		IdleConnTimeout:     idleTimeout,
		DisableCompression:  true, // what the client asked for goes through as it is
		WriteBufferSize:     bufferSize,
		ReadBufferSize:      bufferSize,
	}}
}

func (f *httpForwarder) close() { f.transport.CloseIdleConnections() }

func (f *httpForwarder) send(ctx context.Context, address string, c *call) (*answer, error) {
	r := (&http.Request{
		Method: c.method, URL: &url.URL{Scheme: "http", Host: address, Path: c.path, RawQuery: c.query},
		Host: address, Header: c.header, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		ContentLength: int64(len(c.body)),
	}).WithContext(ctx)
	if len(c.body) > 0 {
		r.Body = io.NopCloser(bytes.NewReader(c.body))
	}
	resp, err := f.transport.RoundTrip(r) //nolint:bodyclose // The caller closes the answer.
	if err != nil {
		return nil, err
	}
	return &answer{resp.StatusCode, resp.Header, resp.ContentLength, resp.Body}, nil
}

// again tells whether a failed call may go to another pod. Inference changes
// nothing, so it may even when the pod has had the request; but not when it is
// the client or the time limit that ended it.
func again(ctx context.Context, err error) bool {
	return ctx.Err() == nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// Headers that belong to one connection, not to the message.
var hopByHop = []string{"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// Credentials are for the platform; a model gets none of them.
var credentials = []string{"Authorization", "Cookie"}

// forwarded copies what a pod should see of a request's header.
func forwarded(h http.Header) http.Header {
	out := make(http.Header, len(h))
	for k, v := range h {
		out[k] = v
	}
	for _, list := range [][]string{hopByHop, credentials} {
		for _, k := range list {
			delete(out, k)
		}
	}
	delete(out, "Expect")
	if out["User-Agent"] == nil {
		out["User-Agent"] = nil // else the transport adds its own
	}
	return out
}

// returned copies what the client should see of an answer's header.
func returned(dst, h http.Header) {
	for k, v := range h {
		dst[k] = v
	}
	for _, k := range hopByHop {
		delete(dst, k)
	}
}
