package datahttp

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/kiwerk/kiwerk/internal/data"
	"github.com/kiwerk/kiwerk/internal/server"
)

const base = "/kiwerk/v1/projects/{namespace}"

// Endpoints are the routes of s.
func Endpoints(s *data.Service, log *slog.Logger) []server.Endpoint {
	h := handlers{s, log}
	list := []server.Endpoint{
		{
			Method: http.MethodPost, Pattern: base + "/datasets/{name}/versions", Permission: server.Can("create", "datasets"),
			Summary: "Store bytes as a data-set version after checking them", MaxBody: -1, // Ingest has a limit of its own
			Handler: http.HandlerFunc(h.ingest), Response: new(data.Version),
		},
		server.Typed(http.MethodGet, base+"/datasets", server.Can("list", "datasets"), server.JSONCodec{}, h.datasets),
		server.Typed(http.MethodGet, base+"/datasets/{name}/versions", server.Can("list", "datasets"), server.JSONCodec{}, h.versions),
		server.Typed(http.MethodGet, base+"/datasets/{name}/versions/{version}", server.Can("get", "datasets"), server.JSONCodec{}, h.version),
		{
			Method: http.MethodGet, Pattern: base + "/datasets/{name}/versions/{version}/content", Permission: server.Can("get", "datasets"),
			Summary: "Read the bytes of a data-set version", Handler: http.HandlerFunc(h.content),
		},
		server.Typed(http.MethodGet, base+"/predictions/{id}", server.Can("get", "predictions"), server.JSONCodec{}, h.prediction),
	}
	for i, summary := range map[int]string{
		1: "List the newest version of each data set", 2: "List the versions of a data set",
		3: "Describe a data-set version", 5: "Show a recorded prediction with its label",
	} {
		list[i].Summary = summary
	}
	return list
}

type handlers struct {
	s   *data.Service
	log *slog.Logger
}

func (h handlers) ingest(w http.ResponseWriter, r *http.Request) {
	var codec server.JSONCodec
	req := data.IngestRequest{Namespace: r.PathValue("namespace"), Name: r.PathValue("name"), Body: r.Body}
	if text := r.URL.Query().Get("schema"); text != "" {
		schema, err := data.ParseSchema([]byte(text))
		if err != nil {
			codec.Error(w, r, err)
			return
		}
		req.Schema = schema
	}
	v, err := h.s.Ingest(r.Context(), req)
	if err != nil {
		h.logInternal(r, err)
		codec.Error(w, r, err)
		return
	}
	server.WriteJSON(w, http.StatusCreated, v)
}

// logInternal keeps the causes that callers do not get to see.
func (h handlers) logInternal(r *http.Request, err error) {
	if e := server.AsError(err); e.Status >= http.StatusInternalServerError {
		h.log.ErrorContext(r.Context(), "request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
}

type datasetsRequest struct {
	namespace, name, version string
}

// FromRequest takes the path values.
func (q *datasetsRequest) FromRequest(r *http.Request) error {
	q.namespace, q.name, q.version = r.PathValue("namespace"), r.PathValue("name"), r.PathValue("version")
	return nil
}

// VersionList is the answer to both lists.
type VersionList struct {
	Versions []data.Version `json:"versions"`
}

func (h handlers) datasets(ctx context.Context, q *datasetsRequest) (*VersionList, error) {
	list, err := h.s.Datasets(ctx, q.namespace)
	return &VersionList{list}, err
}

func (h handlers) versions(ctx context.Context, q *datasetsRequest) (*VersionList, error) {
	list, err := h.s.Versions(ctx, q.namespace, q.name)
	return &VersionList{list}, err
}

func (h handlers) version(ctx context.Context, q *datasetsRequest) (*data.Version, error) {
	return h.s.Version(ctx, q.namespace, q.name, q.version)
}

func (h handlers) content(w http.ResponseWriter, r *http.Request) {
	var codec server.JSONCodec
	v, err := h.s.Version(r.Context(), r.PathValue("namespace"), r.PathValue("name"), r.PathValue("version"))
	if err != nil {
		codec.Error(w, r, err)
		return
	}
	body, err := h.s.Open(r.Context(), v)
	if err != nil {
		h.logInternal(r, err)
		codec.Error(w, r, err)
		return
	}
	defer func() { _ = body.Close() }() // it was only read
	header := w.Header()
	header.Set("Content-Type", map[string]string{data.CSV: "text/csv", data.Parquet: "application/vnd.apache.parquet"}[v.Format])
	header.Set("Content-Length", strconv.FormatInt(v.Bytes, 10))
	header.Set("Content-Disposition", `attachment; filename="`+v.Name+"-"+strconv.Itoa(v.Version)+"."+v.Format+`"`)
	header.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("ETag", `"`+v.Digest+`"`)
	if _, err := io.Copy(w, body); err != nil && !errors.Is(err, context.Canceled) {
		h.log.WarnContext(r.Context(), "content was not sent completely", "path", r.URL.Path, "error", err)
	}
}

type predictionRequest struct{ namespace, id string }

// FromRequest takes the path values.
func (q *predictionRequest) FromRequest(r *http.Request) error {
	q.namespace, q.id = r.PathValue("namespace"), r.PathValue("id")
	return nil
}

// Prediction is a recorded prediction. Features are there if samples were recorded; null is a value that was missing or masked.
type Prediction struct {
	ID           string          `json:"id"`
	Endpoint     string          `json:"endpoint"`
	Model        string          `json:"model"`
	ModelVersion string          `json:"modelVersion"`
	Revision     string          `json:"revision"`
	Time         string          `json:"time"`
	Output       json.RawMessage `json:"output"`
	Features     []*float64      `json:"features,omitempty"`
	Label        json.RawMessage `json:"label,omitempty"`
	LabelledAt   string          `json:"labelledAt,omitempty"`
	Correct      *bool           `json:"correct,omitempty"`
}

const timeFormat = "2006-01-02T15:04:05.000000Z07:00"

func (h handlers) prediction(ctx context.Context, q *predictionRequest) (*Prediction, error) {
	p, err := h.s.Get(ctx, q.namespace, q.id)
	if err != nil {
		return nil, err
	}
	out := &Prediction{
		ID: p.ID, Endpoint: p.Endpoint, Model: p.Model, ModelVersion: p.ModelVersion, Revision: p.Revision,
		Time: p.Time.Format(timeFormat), Output: p.Output, Label: p.Label, Correct: p.Correct,
	}
	if p.LabelledAt != nil {
		out.LabelledAt = p.LabelledAt.Format(timeFormat)
	}
	for _, v := range p.Features {
		if v != v { // NaN has no form in JSON
			out.Features = append(out.Features, nil)
			continue
		}
		out.Features = append(out.Features, &v)
	}
	return out, nil
}
