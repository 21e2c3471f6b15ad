package front

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kiwerk/kiwerk/internal/config"
)

const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 64 << 10
	maxStreams    = 1000
)

// Front listens from the first moment of a start, so that /health can tell the
// phase; the routes follow when they exist.
type Front struct {
	log     *slog.Logger
	phase   atomic.Pointer[string]
	ready   atomic.Bool
	handler atomic.Pointer[http.Handler]
	server  *http.Server
	served  sync.WaitGroup
	failed  chan error
}

// ErrOpenWithoutTLS refuses an address that others reach without encryption.
var ErrOpenWithoutTLS = errors.New("an address beyond loopback needs server.tls.certFile and server.tls.keyFile")

// New makes a front that serves nothing yet.
func New(log *slog.Logger) *Front {
	f := &Front{log: log, failed: make(chan error, 1)}
	f.SetPhase("starting")
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	f.server = &http.Server{
		Handler:           f,
		Protocols:         &protocols,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ConnContext: withConn,
		ErrorLog:    slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return f
}

// Serve answers on l until Stop. The listener is closed then.
func (f *Front) Serve(l net.Listener, t config.TLS) error {
	if tcp, ok := l.Addr().(*net.TCPAddr); ok && !tcp.IP.IsLoopback() && !t.Enabled() {
		return fmt.Errorf("listen on %s: %w", l.Addr(), ErrOpenWithoutTLS)
	}
	if t.Enabled() {
		cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return fmt.Errorf("server.tls: %w", err)
		}
		f.server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}}
	}
	f.served.Go(func() {
		var err error
		if t.Enabled() {
			err = f.server.ServeTLS(l, "", "")
		} else {
			err = f.server.Serve(l)
		}
		if !errors.Is(err, http.ErrServerClosed) {
			f.failed <- fmt.Errorf("the platform's listener ended: %w", err)
		}
	})
	return nil
}

// ServeOpen answers on l until Stop, without encryption wherever l is. The
// caller knows why: the network of pods does not leave this machine, or a
// person has said that it is to be trusted.
func (f *Front) ServeOpen(l net.Listener) {
	f.served.Go(func() {
		if err := f.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			f.failed <- fmt.Errorf("an open listener of the platform ended: %w", err)
		}
	})
}

// Failed delivers the error of a listener that ended by itself.
func (f *Front) Failed() <-chan error { return f.failed }

// SetPhase is what /health tells until SetReady.
func (f *Front) SetPhase(phase string) {
	f.phase.Store(&phase)
	f.ready.Store(false)
}

// SetReady opens /health.
func (f *Front) SetReady() { f.ready.Store(true) }

// Ready tells what /health tells.
func (f *Front) Ready() (bool, string) { return f.ready.Load(), *f.phase.Load() }

// SetHandler installs the routes.
func (f *Front) SetHandler(h http.Handler) { f.handler.Store(&h) }

// ServeHTTP answers the probes of operations itself; they hold no data and
// must work while nothing else does.
func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/livez":
		plain(w, http.StatusOK, "OK")
		return
	case "/health", "/readyz":
		if ready, phase := f.Ready(); !ready {
			w.Header().Set("Retry-After", "1")
			plain(w, http.StatusServiceUnavailable, phase)
			return
		}
		plain(w, http.StatusOK, "OK")
		return
	}
	if h := f.handler.Load(); h != nil {
		(*h).ServeHTTP(w, r)
		return
	}
	// No Retry-After: clients would take it instead of their growing pauses and
	// have used up their attempts before a restart is over.
	_, phase := f.Ready()
	plain(w, http.StatusServiceUnavailable, "starting: "+phase)
}

func plain(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body)) // the client has gone; there is nobody to tell
}

// Stop lets running requests end until ctx does.
func (f *Front) Stop(ctx context.Context) error {
	f.SetPhase("stopping")
	err := f.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, f.server.Close())
	}
	f.served.Wait()
	return err
}
