package tracking

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking/access"
	"github.com/kiwerk/kiwerk/internal/tracking/digests"
	"github.com/kiwerk/kiwerk/internal/tracking/gc"
	"github.com/kiwerk/kiwerk/internal/tracking/genai"
	"github.com/kiwerk/kiwerk/internal/tracking/graphql"
	"github.com/kiwerk/kiwerk/internal/tracking/lineage"
	"github.com/kiwerk/kiwerk/internal/tracking/mcp"
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/rest"
	"github.com/kiwerk/kiwerk/internal/tracking/traces"
	"github.com/kiwerk/kiwerk/internal/tracking/webhooks"
)

// ArtifactsOnly are the routes of a server that hands artifacts through for a
// tracking server elsewhere: those of mlflow-artifacts and of the handshake.
// All others say so. It needs Blobs, Clock and Logger, and no database: it
// keeps no digests, and the addresses of parts of uploads count in this
// process only.
func ArtifactsOnly(d Deps) ([]server.Endpoint, error) {
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // it never fails, as its documentation promises
	api, err := rest.New(rest.Options{
		ArtifactsOnly: true, Blobs: d.Blobs, Digests: digests.None, Secret: secret[:], KeyPrefix: d.KeyPrefix, ArtifactRoot: artifactRoot, Version: Version,
		NoWorkspaces: true, Clock: d.Clock, Logger: d.Logger, MaxArtifact: d.MaxArtifact, Changed: func(string, string) {}, Uploaded: func(string, string) {},
	})
	if err != nil {
		return nil, err
	}
	// Nothing of the others is called; their routes are known without their data.
	whole := Service{
		api: api, traces: &traces.Service{}, web: &graphql.Handler{}, webhooks: &webhooks.Service{},
		gc: &gc.Service{}, genai: &genai.Service{}, lineage: &lineage.Service{}, mcp: &mcp.Service{},
	}
	list := whole.Endpoints()
	for i, e := range list {
		if !e.Permission.IsPublic() && !strings.Contains(e.Pattern, "/mlflow-artifacts/") {
			list[i] = disabled(e)
		}
	}
	return list, nil
}

// disabled is a route that is served elsewhere; the status and the begin of the sentence are upstream's.
func disabled(e server.Endpoint) server.Endpoint {
	said := fmt.Sprintf("Endpoint: %s disabled due to the mlflow server running in `--artifacts-only` mode; ask the tracking server, or start this one without that flag", e.Pattern)
	return server.Endpoint{
		Method: e.Method, Pattern: e.Pattern, Summary: e.Summary, Permission: server.Public("it only says that the route is served elsewhere"), Codec: mlwire.Codec{},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte(said)) // the client has gone; there is nobody to tell
		}),
	}
}

// NoObjects are those of a server that has artifacts only.
type NoObjects struct{}

var _ access.Objects = NoObjects{}

// ExperimentsOf implements access.Objects.
func (NoObjects) ExperimentsOf(_ context.Context, _, kind, id string) ([]string, error) {
	return nil, model.Missing("No %s with id=%s exists here", kind, id)
}

// IsPrompt implements access.Objects.
func (NoObjects) IsPrompt(context.Context, string, string) (bool, error) { return false, nil }

// HasMCPServer implements access.Objects.
func (NoObjects) HasMCPServer(context.Context, string, string) (bool, error) { return false, nil }
