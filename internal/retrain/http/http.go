package http

import (
	"context"
	"net/http"

	"github.com/kiwerk/kiwerk/internal/retrain"
	"github.com/kiwerk/kiwerk/internal/server"
)

type listRequest struct{ policy, retraining string }

// FromRequest takes the filters.
func (l *listRequest) FromRequest(r *http.Request) error {
	l.policy, l.retraining = r.URL.Query().Get("policy"), r.PathValue("retraining")
	return nil
}

type listResponse struct {
	Decisions []retrain.Decision `json:"decisions"`
}

// Endpoints of the package.
func Endpoints(s *retrain.Store) []server.Endpoint {
	list := func(ctx context.Context, l *listRequest) (*listResponse, error) {
		decisions, err := s.List(ctx, server.NamespaceOf(ctx), l.policy, l.retraining)
		if err != nil {
			return nil, err
		}
		if l.retraining != "" && len(decisions) == 0 {
			return nil, server.NotFound("project %q has no retraining %q", server.NamespaceOf(ctx), l.retraining)
		}
		return &listResponse{decisions}, nil
	}
	const base = "/kiwerk/v1/projects/{namespace}/retrainings"
	all := server.Typed("GET", base, server.Can("list", "retrainings"), server.JSONCodec{}, list)
	all.Summary = "Decisions of all retrainings of a project, newest first; ?policy= narrows it down"
	one := server.Typed("GET", base+"/{retraining}", server.Can("get", "retrainings"), server.JSONCodec{}, list)
	one.Summary = "Decisions of one retraining, newest first"
	return []server.Endpoint{all, one}
}
