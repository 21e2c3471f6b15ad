package rest

import (
	"net/http"

	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
)

type serverInfo struct {
	workspaces bool
	// signs tells that clients reach the bucket themselves, by signed
	// addresses. Uploads in parts work without, too, but one stream is faster
	// then, and the question for an address a request in vain.
	signs bool
}

func (s serverInfo) AppendJSON(w *writer) {
	w.Begin()
	w.Str("store_type", "SqlStore")
	w.Bool("workspaces_enabled", s.workspaces) // a workspace is a project, which is a namespace
	w.Bool("trace_archival_enabled", false)
	w.Bool("multipart_uploads_enabled", s.signs)
	w.Bool("multipart_downloads_enabled", s.signs)
	w.Bool("presigned_upload_run_id_supported", true)
	w.Bool("presigned_upload_model_id_supported", true)
	w.Name("features_enabled")
	w.Begin()
	w.Bool("gateway", false)
	w.End()
	w.End()
}

// fallback has what clients ask before they log in, and the answer for what is not served.
func (a *API) fallback() []server.Endpoint {
	handshake := server.Public("clients ask for it before they send credentials; it tells nothing about data")
	nothing := server.Public("it only says that the route does not exist")
	list := route.Both(server.Endpoint{
		Method: "GET", Pattern: "/api/3.0/mlflow/server-info", Permission: handshake, Summary: "what the tracking server can do",
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, signs := blob.SignerOf(a.o.Blobs) // credentials may have turned out not to be able to
			a.codec.Encode(w, r, serverInfo{!a.o.NoWorkspaces, signs})
		}),
	})
	list = append(list, server.Endpoint{
		Method: "GET", Pattern: "/version", Permission: handshake, Summary: "the release of MLflow whose API is served",
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			_, _ = w.Write([]byte(a.o.Version)) // the client has gone; there is nobody to tell
		}),
	})
	for _, p := range []string{"/api/2.0/mlflow/", "/api/2.0mlflow/", "/api/3.0/mlflow/", "/api/2.0/mlflow-artifacts/"} {
		list = append(list, route.Both(server.Endpoint{
			Pattern: p, Permission: nothing, Summary: "calls that are not served", Codec: a.codec,
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				a.codec.Error(w, r, server.Errorf(http.StatusNotFound, "ENDPOINT_NOT_FOUND", "%s %s is not served by this tracking server", r.Method, r.URL.Path))
			}),
		})...)
	}
	return list
}

var _ mlwire.Appender = serverInfo{}
