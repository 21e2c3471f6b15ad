package gateway

import (
	"net"
	"net/http"
	"strings"

	"github.com/kiwerk/kiwerk/internal/server"
)

// Headers of answers.
const (
	HeaderPredictionID = "X-Kiwerk-Prediction-Id"
	HeaderRevision     = "X-Kiwerk-Revision"
	HeaderModelVersion = "X-Kiwerk-Model-Version"
)

var (
	predict  = server.Can("create", "predictions")
	describe = server.Can("get", "predictions")
	label    = server.Can("create", "feedback")
)

// route is one line of the list of routes below an endpoint.
type route struct {
	method, pattern string
	permission      server.Permission
	summary         string
	do              operation
}

// operation answers a request for an endpoint; path is the one below it.
type operation func(g *Gateway, w http.ResponseWriter, r *http.Request, t target)

// target is what a request addresses.
type target struct {
	key
	path    string // below the endpoint, as the pod gets it
	version string // asked for by the path; empty is any
}

// The protocols' own paths; {model} is the name of the endpoint.
var routes = []route{
	{"POST", "/v1/models/{model}:predict", predict, "Predict (TensorFlow Serving)", (*Gateway).predict},
	{"POST", "/v1/models/{model}/versions/{version}:predict", predict, "Predict with one version (TensorFlow Serving)", (*Gateway).predict},
	{"POST", "/v1/models/{model}:feedback", label, "Labels for predictions: {\"id\",\"label\"} or {\"feedback\":[…]}", (*Gateway).feedback},
	{"GET", "/v1/models/{model}", describe, "Status of a model (TensorFlow Serving and KServe)", (*Gateway).status},
	{"GET", "/v1/models/{model}/versions/{version}", describe, "Status of one version", (*Gateway).status},
	{"GET", "/v1/models/{model}/metadata", describe, "Signature of a model (TensorFlow Serving)", (*Gateway).ask},
	{"GET", "/v1/models/{model}/versions/{version}/metadata", describe, "Signature of one version", (*Gateway).ask},
	{"POST", "/v2/models/{model}/infer", predict, "Infer (Open Inference Protocol)", (*Gateway).infer},
	{"POST", "/v2/models/{model}/versions/{version}/infer", predict, "Infer with one version", (*Gateway).infer},
	{"GET", "/v2/models/{model}", describe, "Metadata of a model (Open Inference Protocol)", (*Gateway).ask},
	{"GET", "/v2/models/{model}/versions/{version}", describe, "Metadata of one version", (*Gateway).ask},
	{"GET", "/v2/models/{model}/ready", describe, "Whether a model is ready", (*Gateway).ready},
	{"GET", "/v2/models/{model}/versions/{version}/ready", describe, "Whether one version is ready", (*Gateway).ready},
}

const canonical = "/serving/{namespace}/{name}"

// Endpoints are the routes of the gateway: each below /serving/{namespace}/{name}
// and once more at the root, for the default project or the one that Host names.
func (g *Gateway) Endpoints() []server.Endpoint {
	list := []server.Endpoint{
		g.plain("GET", canonical+"/{$}", describe, "Liveness of an endpoint", g.alive),
		g.plain("GET", canonical+"/v2", describe, "Metadata of an endpoint's server", g.serverMetadata),
		g.plain("GET", canonical+"/v2/health/live", describe, "Liveness of an endpoint", g.live),
		g.plain("GET", canonical+"/v2/health/ready", describe, "Readiness of an endpoint", g.endpointReady),
		g.plain("GET", canonical+"/v1/models", describe, "The models of an endpoint", g.endpointModels),
		g.plain("GET", "/v2", describe, "Metadata of the server", g.serverMetadata),
		g.plain("GET", "/v2/health/live", describe, "Liveness of the server", g.live),
		g.plain("GET", "/v2/health/ready", describe, "Readiness of the server", g.serverReady),
		g.plain("GET", "/v1/models", describe, "The endpoints of a project", g.models),
	}
	for _, r := range routes {
		list = append(list,
			g.endpoint(r, canonical, func(q *http.Request) target {
				ns, name := q.PathValue("namespace"), q.PathValue("name")
				return target{key: key{ns, name}, path: strings.TrimPrefix(q.URL.Path, "/serving/"+ns+"/"+name)}
			}),
			g.endpoint(r, "", func(q *http.Request) target {
				t := target{key: key{namespaceOf(q), q.PathValue("model")}, path: q.URL.Path}
				if name, _, ok := HostTarget(q.Host); ok {
					t.name = name
				}
				return t
			}))
	}
	return list
}

func (g *Gateway) endpoint(r route, prefix string, find func(*http.Request) target) server.Endpoint {
	e := g.plain(r.method, prefix+r.pattern, r.permission, r.summary, func(w http.ResponseWriter, q *http.Request) {
		t := find(q)
		t.version = q.PathValue("version")
		r.do(g, w, q, t)
	})
	e.MaxBody = g.limits.MaxBody
	return e
}

func (g *Gateway) plain(method, pattern string, p server.Permission, summary string, h http.HandlerFunc) server.Endpoint {
	return server.Endpoint{
		Method: method, Pattern: pattern, Permission: p, Summary: summary,
		Namespace: namespaceOf, Codec: codec{}, Handler: h,
	}
}

// namespaceOf is the project that a request is about: named by the path, by the
// host, by the header, else the default one.
func namespaceOf(r *http.Request) string {
	if ns := r.PathValue("namespace"); ns != "" {
		return ns
	}
	if _, ns, ok := HostTarget(r.Host); ok {
		return ns
	}
	if ns := r.Header.Get(server.WorkspaceHeader); ns != "" {
		return ns
	}
	return server.DefaultNamespace
}

// HostTarget reads name and namespace of an endpoint from a host like
// name.namespace.localhost or name.namespace.svc.cluster.local.
func HostTarget(hostport string) (name, namespace string, ok bool) {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, suffix := range []string{".localhost", ".svc.cluster.local"} {
		if rest, found := strings.CutSuffix(host, suffix); found {
			name, namespace, ok = strings.Cut(rest, ".")
			return name, namespace, ok && name != "" && namespace != "" && !strings.Contains(namespace, ".")
		}
	}
	return "", "", false
}
