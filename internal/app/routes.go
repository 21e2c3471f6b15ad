package app

import (
	"context"
	"html/template"
	"net/http"
	"net/url"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/kiwerk/kiwerk/internal/buildinfo"
	"github.com/kiwerk/kiwerk/internal/server"
)

// ownRoutes are those that belong to no capability. /health, /livez and
// /readyz are the front's, because they answer before there are routes.
type ownRoutes struct {
	app    *App
	server *server.Server
}

func (o *ownRoutes) endpoints() []server.Endpoint {
	noData := server.Public("describes the platform and holds no data")
	return []server.Endpoint{
		{Method: http.MethodGet, Pattern: "/{$}", Permission: noData, Summary: "Page of addresses", Handler: http.HandlerFunc(o.page)},
		{Method: http.MethodGet, Pattern: "/kiwerk/v1/openapi.json", Permission: noData, Summary: "This API in OpenAPI 3.1", Handler: http.HandlerFunc(o.openAPI)},
		server.Typed(http.MethodGet, "/kiwerk/v1/routes", noData, server.JSONCodec{}, o.routes),
		server.Typed(http.MethodGet, "/kiwerk/v1/version", noData, server.JSONCodec{}, o.version),
		{
			Method: http.MethodGet, Pattern: "/metrics", Permission: server.Can("get", "metrics"), Summary: "Metrics in Prometheus' format",
			Handler: promhttp.HandlerFor(prometheus.Gatherers{metrics.Registry, o.app.metrics}, promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes}),
		},
	}
}

const maxScrapes = 4

// none is the request of a route without parameters.
type none struct{}

// Route is one line of /kiwerk/v1/routes.
type Route struct {
	Method     string `json:"method"`
	Pattern    string `json:"pattern"`
	Permission string `json:"permission"`
	Summary    string `json:"summary,omitempty"`
}

// Routes is the list of what is served and who may call it.
type Routes struct {
	Routes []Route `json:"routes"`
}

func (o *ownRoutes) routes(context.Context, *none) (*Routes, error) {
	r := &Routes{}
	for _, e := range o.server.Endpoints() {
		r.Routes = append(r.Routes, Route{e.Method, e.Pattern, e.Permission.String(), e.Summary})
	}
	return r, nil
}

func (o *ownRoutes) version(context.Context, *none) (*buildinfo.Info, error) {
	info := buildinfo.Get()
	return &info, nil
}

var page = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Kiwerk</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:3rem auto;padding:0 1rem}code{background:#eee;padding:.1em .3em}td{padding:.2em 1em .2em 0;vertical-align:top}
@media (prefers-color-scheme:dark){body{background:#151515;color:#ddd}code{background:#333}a{color:#8cf}}</style></head>
<body><h1>Kiwerk {{.Version}}</h1>
<table>
<tr><td>Tracking</td><td><code>export MLFLOW_TRACKING_URI={{.URL}}</code></td></tr>
<tr><td>Kubernetes</td><td><code>kiwerk kubectl get pods -A</code></td></tr>
<tr><td>Endpoints</td><td><code>{{.URL}}/serving/NAMESPACE/NAME/v1/models/NAME:predict</code></td></tr>
<tr><td>Metrics</td><td><a href="/metrics">/metrics</a></td></tr>
<tr><td>API</td><td><a href="/kiwerk/v1/openapi.json">/kiwerk/v1/openapi.json</a>, <a href="/kiwerk/v1/routes">/kiwerk/v1/routes</a></td></tr>
<tr><td>Health</td><td><a href="/health">/health</a></td></tr>
</table></body></html>
`))

func (o *ownRoutes) page(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	_ = page.Execute(w, map[string]string{"Version": buildinfo.Version(), "URL": o.app.url()}) // the client has gone
}

// url is the platform's address for who reads the page.
func (a *App) url() string {
	if a.opts.Local != nil && a.opts.Local.URL != "" {
		return a.opts.Local.URL
	}
	return a.opts.Platform.BaseURL
}

// hosts are the names under which the platform may be called, that for pods among them.
func (a *App) hosts() []string {
	list := slices.Clone(a.opts.Config.Server.Hosts)
	if u, err := url.Parse(a.opts.Platform.BaseURL); err == nil && u.Hostname() != "" {
		list = append(list, u.Hostname())
	}
	return list
}

func (o *ownRoutes) openAPI(w http.ResponseWriter, _ *http.Request) {
	server.WriteJSON(w, http.StatusOK, describe(o.server.Endpoints(), buildinfo.Version()))
}
