package traces

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"path"

	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
	"github.com/kiwerk/kiwerk/internal/tracking/traces/store"
)

// dataFile is what clients keep the spans of a trace in, who do not send them.
const dataFile = "traces.json"

// artifacts are the files that the user interface reads.
func (s *Service) artifacts() (list []server.Endpoint) {
	for _, version := range []string{"2.0", "3.0"} {
		list = append(list, server.Handled(server.Endpoint{
			Method: "GET", Pattern: "/ajax-api/" + version + "/mlflow/get-trace-artifact", Permission: server.Can("get", route.Experiments),
			Summary: "the spans of a trace, or a file that belongs to it", Codec: s.codec,
		}, fileOf, s.artifact))
	}
	return list
}

// fileIn is a file of a trace; without a name, its spans.
type fileIn struct {
	Trace string `about:"trace"`
	Name  string
}

func fileOf(r *http.Request) (*fileIn, error) {
	q := &fileIn{r.URL.Query().Get("request_id"), r.URL.Query().Get("path")}
	if q.Trace == "" {
		return nil, server.Errorf(http.StatusBadRequest, "BAD_REQUEST", `Request must include the "request_id" query parameter.`)
	}
	return q, nil
}

func (s *Service) artifact(w http.ResponseWriter, r *http.Request, q *fileIn) error {
	ctx, ns := r.Context(), server.NamespaceOf(r.Context())
	if q.Name != "" {
		i, err := s.store.Info(ctx, ns, q.Trace)
		if err != nil {
			return err
		}
		return s.file(w, r, i, "attachments/"+q.Name)
	}
	t, err := s.store.Trace(ctx, ns, q.Trace, true)
	if model.IsMissing(err) && t.Info.ID != "" { // the spans lie elsewhere
		return s.file(w, r, t.Info, dataFile)
	}
	if err != nil {
		return err
	}
	spans := make([]json.RawMessage, len(t.Spans))
	for i, content := range t.Spans {
		spans[i] = json.RawMessage(content)
	}
	b, err := json.Marshal(map[string]any{"spans": spans})
	if err != nil {
		return err
	}
	return send(w, dataFile, bytes.NewReader(b))
}

// file sends a file of a trace. Where it lies follows from the experiment and
// not from the tag, which everybody can set.
func (s *Service) file(w http.ResponseWriter, r *http.Request, i store.Info, name string) error {
	e, err := s.o.Tracking.Experiment(r.Context(), server.NamespaceOf(r.Context()), experimentID(i.Experiment))
	if err != nil {
		return err
	}
	if err := blob.CheckKey(name); err != nil {
		return &server.Error{Status: http.StatusBadRequest, Code: model.CodeInvalid, Message: "Invalid path", Cause: err}
	}
	content, err := s.open(r.Context(), store.Location(e, i.ID), name)
	if blob.IsNotExist(err) {
		return model.Missing("Trace '%s' has no file '%s'.", i.ID, name)
	}
	if err != nil {
		return err
	}
	defer func() { _ = content.Close() }() // it was only read
	return send(w, path.Base(name), content)
}

func (s *Service) open(ctx context.Context, location, name string) (io.ReadCloser, error) {
	if s.o.Open != nil {
		return s.o.Open(ctx, location, name)
	}
	below, ok := model.Proxied(location)
	if !ok {
		return nil, model.Invalid("The files of the trace lie in %s, which the server does not read; clients fetch them from there themselves.", location)
	}
	content, _, err := s.o.Blobs.Open(ctx, path.Join(s.o.KeyPrefix, below, name), 0, -1)
	return content, err
}

// send answers with bytes that no browser shows as a page.
func send(w http.ResponseWriter, name string, content io.Reader) error {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	_, _ = io.Copy(w, content) // the answer has begun; a client that got less sees it by the connection
	return nil
}
