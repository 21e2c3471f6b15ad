package rest

import (
	"bytes"
	"errors"
	"io"
	"net/http"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
)

const ajax = "/ajax-api"

// maxAjaxUpload bounds what the web page may upload.
const maxAjaxUpload = 10 << 20

// webPage has the calls that only upstream's web page makes.
func (a *API) webPage() []server.Endpoint {
	telemetry := server.Public("it says that the web page has nothing to report")
	return []server.Endpoint{
		handler(a, "POST", ajax+"/2.0/mlflow/upload-artifact", "update", "upload an artifact of a run", maxAjaxUpload+1, uploadOf, a.uploadToRun),
		{
			Method: "GET", Pattern: ajax + "/3.0/mlflow/ui-telemetry", Permission: telemetry, Summary: "the web page is told to report nothing", Codec: a.codec,
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.codec.Encode(w, r, noTelemetry{}) }),
		},
		{
			Method: "POST", Pattern: ajax + "/3.0/mlflow/ui-telemetry", Permission: telemetry, Summary: "what a web page reports all the same is dropped", Codec: a.codec,
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				a.codec.Encode(w, r, route.Text{Name: "status", Value: "disabled"})
			}),
		},
	}
}

type noTelemetry struct{}

// AppendJSON implements mlwire.Appender.
func (noTelemetry) AppendJSON(w *writer) {
	w.Begin()
	w.Bool("disable_ui_telemetry", true)
	w.Name("disable_ui_events")
	w.BeginList()
	w.EndList()
	w.Int("ui_rollout_percentage", 0)
	w.End()
}

func uploadOf(r *http.Request) (*fileIn, error) {
	q := &fileIn{Run: r.URL.Query().Get("run_uuid"), File: r.URL.Query().Get("path")}
	switch {
	case q.Run == "":
		return nil, model.Invalid("Request must specify run_uuid.")
	case q.File == "":
		return nil, model.Invalid("Request must specify path.")
	}
	return q.checked()
}

func (a *API) uploadToRun(w http.ResponseWriter, r *http.Request, q *fileIn) error {
	content, err := io.ReadAll(r.Body)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge) || len(content) > maxAjaxUpload:
		return model.Invalid("Artifact size is too large. Max size is 10MB.")
	case err != nil:
		return err
	case len(content) == 0:
		return model.Invalid("Request must specify data.")
	}
	info, err := a.store.RunInfo(r.Context(), server.NamespaceOf(r.Context()), q.Run)
	if err != nil {
		return err
	}
	p, err := a.placeOf(r.Context(), info.ArtifactURI, q.File)
	if err != nil {
		return err
	}
	if err := a.keep(r, w.Header(), p, bytes.NewReader(content)); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	return nil
}
