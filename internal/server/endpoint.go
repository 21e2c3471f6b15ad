package server

import (
	"context"
	"errors"
	"net/http"
	"strings"
)

// Permission is what a caller needs for a route, in the words of Kubernetes RBAC.
type Permission struct {
	Verb     string // get, list, create, update, delete, …
	Group    string // API group, mostly kiwerk.dev
	Resource string // experiments, registeredmodels, predictions, …

	public, known string
}

// GroupKiwerk is the API group of resources that exist only as permissions.
const GroupKiwerk = "kiwerk.dev"

// Can is a permission on a resource of our own group.
func Can(verb, resource string) Permission {
	return Permission{Verb: verb, Group: GroupKiwerk, Resource: resource}
}

// Public lets everybody call a route that has passed the host check. The
// reason is printed in the list of routes.
func Public(reason string) Permission { return Permission{public: reason} }

// Known lets everybody who can be identified call a route, which shows each
// caller what is theirs. The reason is printed in the list of routes.
func Known(reason string) Permission { return Permission{known: reason} }

// IsPublic tells whether no identity is needed.
func (p Permission) IsPublic() bool { return p.public != "" }

func (p Permission) valid() bool {
	return p.public != "" || p.known != "" || (p.Verb != "" && p.Group != "" && p.Resource != "")
}

// String is the permission as the list of routes shows it.
func (p Permission) String() string {
	if p.IsPublic() {
		return "public: " + p.public
	}
	if p.known != "" {
		return "every user: " + p.known
	}
	return p.Verb + " " + p.Resource + "." + p.Group
}

// Endpoint is one route.
type Endpoint struct {
	// Method and Pattern as net/http has them; a Pattern may end in ":verb"
	// after a wildcard ("/v1/models/{model}:predict").
	Method, Pattern string
	Permission      Permission
	// Summary is one line for the API description.
	Summary string
	// Namespace finds the project that the request is about. Nil means the
	// path value "namespace", else the workspace header, else the default one.
	Namespace func(*http.Request) string
	// MaxBody bounds the request body in bytes: 0 is the default of 1 MiB, -1 is no bound.
	MaxBody int64
	// Codec writes the errors that happen before Handler runs. Nil is [JSONCodec].
	Codec Codec
	// Handler answers the request. [Typed] makes one from a function.
	Handler http.Handler
	// Request and Response are zero values of the types that travel, for the API description.
	Request, Response any
}

// Codec translates between HTTP and the values of one API family.
type Codec interface {
	// Decode fills req (a pointer to a struct) from the request.
	Decode(r *http.Request, req any) error
	// Encode writes a successful response.
	Encode(w http.ResponseWriter, r *http.Request, resp any)
	// Error writes an error in the family's envelope.
	Error(w http.ResponseWriter, r *http.Request, err error)
}

// Judge decides on what was read from a request, before anything is done. It
// may narrow the request to what its caller may see.
type Judge func(ctx context.Context, req any) error

// Judged is a handler that reads its request, lets a judge decide on what it
// read, and only then does something. What is judged is what is done: nobody
// has to read the request a second time and perhaps otherwise.
type Judged func(w http.ResponseWriter, r *http.Request, judge Judge)

// ServeHTTP implements http.Handler: everything is allowed.
func (h Judged) ServeHTTP(w http.ResponseWriter, r *http.Request) { h(w, r, Allow) }

// Allow is the judge of servers that have none.
func Allow(context.Context, any) error { return nil }

// Typed makes an endpoint from a function over decoded values. Its handler is [Judged].
func Typed[Req, Resp any](method, pattern string, perm Permission, c Codec, execute func(context.Context, *Req) (*Resp, error)) Endpoint {
	return Endpoint{
		Method: method, Pattern: pattern, Permission: perm, Codec: c,
		Request: new(Req), Response: new(Resp),
		Handler: Judged(func(w http.ResponseWriter, r *http.Request, judge Judge) {
			req := new(Req)
			if err := c.Decode(r, req); err != nil {
				c.Error(w, r, err)
				return
			}
			if err := judge(r.Context(), req); err != nil {
				c.Error(w, r, err)
				return
			}
			resp, err := execute(r.Context(), req)
			if err != nil {
				c.Error(w, r, err)
				return
			}
			c.Encode(w, r, resp)
		}),
	}
}

// Handled makes an endpoint whose answer is more than a value: read finds in a
// request what is judged. The rest of e is kept. Its handler is [Judged].
func Handled[Req any](e Endpoint, read func(*http.Request) (*Req, error), answer func(http.ResponseWriter, *http.Request, *Req) error) Endpoint {
	e.Request = new(Req)
	e.Handler = Judged(func(w http.ResponseWriter, r *http.Request, judge Judge) {
		req, err := read(r)
		if err == nil {
			err = judge(r.Context(), req)
		}
		if err == nil {
			err = answer(w, r, req)
		}
		if err != nil {
			e.Codec.Error(w, r, err)
		}
	})
	return e
}

// ErrNoPermission is returned by New for an endpoint without a permission.
var ErrNoPermission = errors.New("endpoint has no permission; every route states who may call it")

// namespace of the request, as the endpoint says or by the common rules.
func (e Endpoint) namespace(r *http.Request) string {
	if e.Namespace != nil {
		return e.Namespace(r)
	}
	if ns := r.PathValue("namespace"); ns != "" {
		return ns
	}
	if ns := r.Header.Get(WorkspaceHeader); ns != "" {
		return ns
	}
	return DefaultNamespace
}

// splitVerb separates "/v1/models/{model}:predict" into its mux pattern and verb.
func splitVerb(pattern string) (base, verb string) {
	i := strings.LastIndex(pattern, "}:")
	if i < 0 || strings.Contains(pattern[i+2:], "/") {
		return pattern, ""
	}
	return pattern[:i+1], pattern[i+2:]
}

const (
	// WorkspaceHeader is MLflow's header; its value names a project, which is a namespace.
	WorkspaceHeader = "X-Mlflow-Workspace"
	// DefaultNamespace is the project of requests that name none.
	DefaultNamespace = "default"
)
