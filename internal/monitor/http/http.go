package monitorhttp

import (
	"context"
	"net/http"
	"strconv"

	"github.com/kiwerk/kiwerk/internal/monitor"
	"github.com/kiwerk/kiwerk/internal/server"
)

const (
	base         = "/kiwerk/v1/projects/{namespace}"
	defaultLimit = 100
	maxLimit     = 1000
)

// Endpoints are the routes over s.
func Endpoints(s *monitor.Store) []server.Endpoint {
	h := handlers{s}
	alerts := server.Typed(http.MethodGet, base+"/alerts", server.Can("list", "alerts"), server.JSONCodec{}, h.alerts)
	alerts.Summary = "List alerts of the monitors"
	windows := server.Typed(http.MethodGet, base+"/endpoints/{name}/windows", server.Can("list", "windows"), server.JSONCodec{}, h.windows)
	windows.Summary = "List the windows of an endpoint that were judged"
	return []server.Endpoint{alerts, windows}
}

type handlers struct{ s *monitor.Store }

type request struct {
	namespace, name string
	limit           int
}

// FromRequest takes path values and the limit.
func (q *request) FromRequest(r *http.Request) error {
	q.namespace, q.name, q.limit = r.PathValue("namespace"), r.PathValue("name"), defaultLimit
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxLimit {
			return server.Invalid("limit must be a number from 1 to %d, got %q", maxLimit, text)
		}
		q.limit = n
	}
	return nil
}

// AlertList is the answer of /alerts.
type AlertList struct {
	Alerts []monitor.Alert `json:"alerts"`
}

func (h handlers) alerts(ctx context.Context, q *request) (*AlertList, error) {
	list, err := h.s.Alerts(ctx, q.namespace, q.limit)
	return &AlertList{list}, err
}

// WindowList is the answer of /endpoints/{name}/windows.
type WindowList struct {
	Windows []monitor.Judged `json:"windows"`
}

func (h handlers) windows(ctx context.Context, q *request) (*WindowList, error) {
	list, err := h.s.WindowsOf(ctx, q.namespace, q.name, q.limit)
	return &WindowList{list}, err
}
