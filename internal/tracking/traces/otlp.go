package traces

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
	"github.com/kiwerk/kiwerk/internal/tracking/traces/prices"
	"github.com/kiwerk/kiwerk/internal/tracking/traces/span"
)

// Headers that exporters are configured with.
const (
	headerExperiment = "X-Mlflow-Experiment-Id"
	headerRun        = "X-Mlflow-Run-Id"
)

const (
	typeProtobuf = "application/x-protobuf"
	typeJSON     = "application/json"
	// maxExport bounds an export, packed and unpacked.
	maxExport = 64 << 20
)

// otlp takes spans from exporters of OpenTelemetry.
func (s *Service) otlp() []server.Endpoint {
	return []server.Endpoint{{
		Method: "POST", Pattern: "/v1/traces", Permission: server.Can("update", route.Experiments), Summary: "spans by the protocol of OpenTelemetry",
		MaxBody: maxExport, Codec: s.codec,
		Request: &exportIn{},
		Handler: server.Judged(func(w http.ResponseWriter, r *http.Request, judge server.Judge) {
			asJSON, err := s.export(r, judge)
			var fault *exportFault
			if errors.As(err, &fault) {
				mlwire.Write(w, fault.cause.Status, fault)
				return
			}
			if err != nil {
				s.codec.Error(w, r, err)
				return
			}
			if asJSON {
				w.Header().Set("Content-Type", typeJSON)
				_, _ = w.Write([]byte("{}")) // the client has gone; there is nobody to tell
				return
			}
			w.Header().Set("Content-Type", typeProtobuf) // an empty message has no bytes
			w.WriteHeader(http.StatusOK)
		}),
	}}
}

// exportFault is an export that cannot be read. Exporters look for "detail".
type exportFault struct{ cause *server.Error }

// Error is the message.
func (f *exportFault) Error() string { return f.cause.Error() }

// Unwrap gives the cause.
func (f *exportFault) Unwrap() error { return f.cause }

// AppendJSON implements mlwire.Appender.
func (f *exportFault) AppendJSON(w *mlwire.Writer) {
	w.Begin()
	w.Str("detail", f.cause.Message)
	w.Str("error_code", f.cause.Code)
	w.Str("message", f.cause.Message)
	w.End()
}

func badExport(status int, format string, args ...any) error {
	return &exportFault{server.Errorf(status, model.CodeInvalid, format, args...)}
}

// exportIn is what an export is about. Traces are those that spans name: they
// may exist already, and in another experiment.
type exportIn struct {
	Experiment string   `about:"experiment,of trace"`
	Run        string   `about:"run"`
	Traces     []string `about:"trace,maybe"`
}

// export stores the spans of a request, all or none.
func (s *Service) export(r *http.Request, judge server.Judge) (asJSON bool, err error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != typeProtobuf && kind != typeJSON {
		return false, badExport(http.StatusBadRequest, "Invalid Content-Type: %s. Expected: application/x-protobuf or application/json", r.Header.Get("Content-Type"))
	}
	asJSON = kind == typeJSON
	experiment := r.Header.Get(headerExperiment)
	if experiment == "" {
		return asJSON, badExport(http.StatusUnprocessableEntity, "The header x-mlflow-experiment-id is required: it says to which experiment the spans belong.")
	}
	body, err := unpacked(r)
	if err != nil {
		return asJSON, err
	}
	data, err := span.DecodeOTLP(body, asJSON)
	if err != nil {
		return asJSON, badExport(http.StatusBadRequest, "Invalid OpenTelemetry format - %w", err)
	}
	spans, err := span.FromOTLP(data)
	switch {
	case errors.Is(err, span.ErrSpan):
		return asJSON, badExport(http.StatusUnprocessableEntity, "Cannot convert OpenTelemetry span to MLflow span: %w", err)
	case err != nil:
		return asJSON, badExport(http.StatusBadRequest, "Invalid OpenTelemetry format - %w", err)
	}
	ctx, ns := r.Context(), server.NamespaceOf(r.Context())
	q := &exportIn{Experiment: experiment, Run: r.Header.Get(headerRun)}
	for i := range spans {
		spans[i].SetCost(s.cost)
		q.Traces = append(q.Traces, spans[i].TraceID)
	}
	if err := judge(ctx, q); err != nil || len(spans) == 0 {
		return asJSON, err
	}
	e, err := s.experiment(ctx, ns, experiment)
	if err != nil {
		return asJSON, err
	}
	roots, err := s.store.Log(ctx, ns, e, spans)
	if err != nil {
		return asJSON, err
	}
	return asJSON, s.linkRoots(ctx, ns, roots, q.Run)
}

// cost is a span.Pricing.
func (s *Service) cost(model, provider string, input, output, cacheRead, cacheWrite, cacheWriteHour float64) (in, out float64, ok bool) {
	return s.o.Prices.Cost(model, provider, prices.Tokens{Input: input, Output: output, CacheRead: cacheRead, CacheWrite: cacheWrite, CacheWriteHour: cacheWriteHour})
}

// linkRoots lets the traces whose root has come belong to the run that the
// exporter names.
func (s *Service) linkRoots(ctx context.Context, ns string, roots []string, run string) error {
	if run == "" || len(roots) == 0 {
		return nil
	}
	if _, err := s.o.Tracking.RunInfo(ctx, ns, run); err != nil {
		s.o.Logger.WarnContext(ctx, "spans are stored but not linked to their run", "run", run, "error", err)
		return nil // the spans are there; an error would make the exporter send them again
	}
	return s.store.LinkRun(ctx, ns, roots, run)
}

// unpacked reads a body, however it is compressed. What unpacks to more than
// the limit is refused before it fills the memory.
func unpacked(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, fmt.Errorf("read request: %w", err)
	}
	var reader io.Reader
	encoding := r.Header.Get("Content-Encoding")
	switch encoding {
	case "", "identity":
		return body, nil
	case "gzip":
		reader, err = gzip.NewReader(bytes.NewReader(body))
	case "deflate":
		if reader, err = zlib.NewReader(bytes.NewReader(body)); err != nil {
			reader, err = flate.NewReader(bytes.NewReader(body)), nil // some send it without its frame
		}
	default:
		return nil, badExport(http.StatusBadRequest, "Unsupported Content-Encoding: %s", encoding)
	}
	if err == nil {
		body, err = io.ReadAll(io.LimitReader(reader, maxExport+1))
	}
	if err != nil {
		return nil, badExport(http.StatusBadRequest, "Failed to decompress %s payload: %w", encoding, err)
	}
	if len(body) > maxExport {
		return nil, badExport(http.StatusBadRequest, "the spans are larger than %d bytes; send them in several requests", maxExport)
	}
	return body, nil
}

func experimentID(n int64) string { return strconv.FormatInt(n, 10) }
