package modelserver

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/kiwerk/kiwerk/internal/modelserver/ort"
	"github.com/kiwerk/kiwerk/internal/wire"
)

// ServerOptions of a Server.
type ServerOptions struct {
	// Name and Version of the model, as clients address it.
	Name, Version string
	// MaxBody bounds a request in bytes, also after decompression.
	MaxBody int64
	// Concurrency bounds inferences at a time; 0 means one per processor.
	Concurrency int
	// Timeout bounds one request from its arrival; 0 means a minute.
	Timeout time.Duration
	Logger  *slog.Logger
}

// Server answers inference requests for one model. Until SetModel it says that
// it is not ready.
type Server struct {
	o        ServerOptions
	model    atomic.Pointer[ort.Session]
	draining atomic.Bool
	slots    chan struct{}
	buffers  buffers
}

// NewServer returns a server without a model.
func NewServer(o ServerOptions) *Server {
	if o.Concurrency <= 0 {
		o.Concurrency = runtime.GOMAXPROCS(0)
	}
	if o.Timeout <= 0 {
		o.Timeout = time.Minute
	}
	return &Server{o: o, slots: make(chan struct{}, o.Concurrency)}
}

// SetModel makes the server ready.
func (s *Server) SetModel(m *ort.Session) { s.model.Store(m) }

// Drain makes the server say that it is not ready; it keeps answering.
func (s *Server) Drain() { s.draining.Store(true) }

func (s *Server) ready() bool { return s.model.Load() != nil && !s.draining.Load() }

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.draining.Load() {
		w.Header().Set("Connection", "close")
	}
	path := r.URL.Path
	switch {
	case strings.HasPrefix(path, "/v1/models/"):
		s.tensorflow(w, r, path[len("/v1/models/"):])
	case strings.HasPrefix(path, "/v2/models/"):
		s.openInference(w, r, path[len("/v2/models/"):])
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		fail(w, wire.Errorf(wire.InvalidArgument, "Malformed request: %s %s", r.Method, path))
	default:
		s.common(w, path)
	}
}

func (s *Server) common(w http.ResponseWriter, path string) {
	ready := s.ready()
	status := http.StatusOK
	switch strings.TrimSuffix(path, "/") {
	case "":
		send(w, status, []byte(`{"status":"alive"}`))
	case "/healthz", "/v2/health/live":
		send(w, status, []byte(`{"live":true}`))
	case "/v2/health/ready":
		if !ready {
			status = http.StatusServiceUnavailable
		}
		send(w, status, strconv.AppendBool([]byte(`{"ready":`), ready), []byte{'}'})
	case "/v1/models":
		send(w, status, []byte(`{"models":[`+strconv.Quote(s.o.Name)+`]}`))
	case "/v2/models":
		send(w, status, []byte(`{"models":[`+strconv.Quote(s.o.Name)+`]}`))
	case "/v2":
		send(w, status, []byte(`{"name":"kiwerk-modelserver","version":"2","extensions":["binary_tensor_data"]}`))
	default:
		fail(w, wire.Errorf(wire.NotFound, "Malformed request: GET %s", path))
	}
}

// target is what a path below /v1/models/ or /v2/models/ addresses.
type target struct {
	model, version, verb string
	label                bool // version is a label
}

// split reads NAME[/versions/N|/labels/L][/VERB or :VERB].
func split(rest string, colon bool) target {
	t := target{}
	if i := strings.LastIndexByte(rest, ':'); colon && i >= 0 && !strings.Contains(rest[i:], "/") {
		rest, t.verb = rest[:i], rest[i+1:]
	}
	parts := strings.Split(rest, "/")
	t.model, parts = parts[0], parts[1:]
	if len(parts) >= 2 && (parts[0] == "versions" || parts[0] == "labels") {
		t.label, t.version, parts = parts[0] == "labels", parts[1], parts[2:]
	}
	if len(parts) > 0 && t.verb == "" {
		t.verb = strings.Join(parts, "/")
	}
	return t
}

func (s *Server) has(t target) bool {
	return t.model == s.o.Name && !t.label && (t.version == "" || t.version == s.o.Version)
}

// loaded is the model, or an answer has been sent.
func (s *Server) loaded(w http.ResponseWriter) *ort.Session {
	m := s.model.Load()
	if m == nil {
		w.Header().Set("Retry-After", "1")
		fail(w, wire.Errorf(wire.Unavailable, "Model %s is not ready yet", s.o.Name))
	}
	return m
}

func (s *Server) tensorflow(w http.ResponseWriter, r *http.Request, rest string) {
	t := split(rest, true)
	switch {
	case !s.has(t):
		which := "Latest(" + t.model + ")"
		if t.version != "" {
			which = "Specific(" + t.model + ", " + t.version + ")"
		}
		fail(w, wire.Errorf(wire.NotFound, "Servable not found for request: %s", which))
	case r.Method == http.MethodPost && t.verb == "predict":
		s.predict(w, r)
	case r.Method == http.MethodPost && (t.verb == "classify" || t.verb == "regress"):
		fail(w, wire.Errorf(wire.Unimplemented, "%s takes tf.Example, which ONNX models do not; use :predict", t.verb))
	case r.Method == http.MethodGet && t.verb == "":
		body := wire.AppendStatus(nil, wire.Status{Name: s.o.Name, Version: s.o.Version, Ready: s.ready()})
		status := http.StatusOK
		if !s.ready() {
			status = http.StatusServiceUnavailable
		}
		send(w, status, body)
	case r.Method == http.MethodGet && t.verb == "metadata":
		if m := s.loaded(w); m != nil {
			send(w, http.StatusOK, wire.AppendPredictMetadata(nil, s.o.Name, s.o.Version, m.Signature()))
		}
	default:
		fail(w, wire.Errorf(wire.InvalidArgument, "Malformed request: %s %s", r.Method, r.URL.Path))
	}
}

func (s *Server) openInference(w http.ResponseWriter, r *http.Request, rest string) {
	t := split(rest, false)
	switch {
	case !s.has(t):
		fail(w, wire.Errorf(wire.NotFound, "Request for unknown model: '%s' is not found", t.model))
	case r.Method == http.MethodPost && t.verb == "infer":
		s.infer(w, r)
	case r.Method == http.MethodGet && t.verb == "ready":
		status := http.StatusOK
		if !s.ready() {
			status = http.StatusServiceUnavailable
		}
		send(w, status, []byte(`{"name":`+strconv.Quote(s.o.Name)+`,"ready":`+strconv.FormatBool(s.ready())+`}`))
	case r.Method == http.MethodGet && t.verb == "":
		if m := s.loaded(w); m != nil {
			send(w, http.StatusOK, wire.AppendInferMetadata(nil, s.o.Name, s.o.Version, m.Signature()))
		}
	case t.verb == "" || t.verb == "infer" || t.verb == "ready":
		w.Header().Set("Allow", map[string]string{"infer": "POST"}[t.verb]+"GET")
		send(w, http.StatusMethodNotAllowed, []byte(`{"error":"method not allowed"}`))
	default:
		fail(w, wire.Errorf(wire.NotFound, "no such operation: %s", t.verb))
	}
}

func (s *Server) predict(w http.ResponseWriter, r *http.Request) {
	m := s.loaded(w)
	if m == nil {
		return
	}
	body, release, err := s.body(w, r)
	if err != nil {
		fail(w, err)
		return
	}
	defer release()
	req, err := wire.ParsePredict(body, m.Signature().Inputs)
	if err == nil && req.Signature != "" && req.Signature != wire.DefaultSignature {
		err = wire.Errorf(wire.InvalidArgument, "Serving signature name: %q not found in signature def", req.Signature)
	}
	if err != nil {
		fail(w, err)
		return
	}
	var answer []byte
	err = s.run(r.Context(), m, req.Inputs, func(outputs []wire.Tensor) (err error) {
		answer, err = wire.AppendPredict(nil, req.Columnar, outputs)
		return err
	})
	if err != nil {
		s.failed(w, r, err)
		return
	}
	send(w, http.StatusOK, answer)
}

func (s *Server) infer(w http.ResponseWriter, r *http.Request) {
	m := s.loaded(w)
	if m == nil {
		return
	}
	body, release, err := s.body(w, r)
	if err != nil {
		fail(w, err)
		return
	}
	defer release()
	headerLength, err := wire.ParseHeaderLength(r.Header.Get(wire.HeaderLength), len(body))
	if err != nil {
		fail(w, err)
		return
	}
	req, err := wire.ParseInfer(body, headerLength, m.Signature().Inputs)
	if err != nil {
		fail(w, err)
		return
	}
	var answer []byte
	var jsonLength int
	err = s.run(r.Context(), m, req.Inputs, func(outputs []wire.Tensor) error {
		wanted, err := req.Wanted(outputs)
		if err != nil {
			return err
		}
		answer, jsonLength = wire.AppendInfer(nil, wire.InferResponse{Model: s.o.Name, Version: s.o.Version, ID: req.ID, Outputs: wanted}, req.Binary)
		return nil
	})
	if err != nil {
		s.failed(w, r, err)
		return
	}
	if jsonLength > 0 {
		w.Header().Set(wire.HeaderLength, strconv.Itoa(jsonLength))
		w.Header().Set("Content-Type", "application/octet-stream")
	}
	send(w, http.StatusOK, answer)
}

// run computes when a slot is free and lets encode read the outputs before they are gone.
func (s *Server) run(ctx context.Context, m *ort.Session, inputs []wire.Tensor, encode func([]wire.Tensor) error) error {
	ordered, err := m.Signature().Check(inputs)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return wire.Errorf(wire.DeadlineExceeded, "the request was given up before the model was free")
	}
	result, err := m.Run(ctx, ordered)
	<-s.slots
	if err != nil {
		return err
	}
	defer result.Close()
	return encode(result.Outputs)
}

func (s *Server) failed(w http.ResponseWriter, r *http.Request, err error) {
	var e *wire.Error
	if !errors.As(err, &e) || e.Code == wire.Internal {
		s.o.Logger.ErrorContext(r.Context(), "inference failed", "error", err)
	}
	fail(w, err)
}

func fail(w http.ResponseWriter, err error) {
	var tooLarge *bodyTooLargeError
	if errors.As(err, &tooLarge) {
		body, _ := wire.AppendError(nil, wire.Errorf(wire.InvalidArgument, "%v", tooLarge))
		send(w, http.StatusRequestEntityTooLarge, body)
		return
	}
	body, status := wire.AppendError(nil, err)
	send(w, status, body)
}

// send writes JSON unless a type was set. Clients of KServe compare the type as a whole.
func send(w http.ResponseWriter, status int, parts ...[]byte) {
	h := w.Header()
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json")
	}
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	h.Set("Content-Length", strconv.Itoa(n))
	w.WriteHeader(status)
	for _, p := range parts {
		_, _ = w.Write(p) // the client has gone; there is nobody to tell
	}
}
