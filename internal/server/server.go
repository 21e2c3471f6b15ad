package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
)

// Options of a server. Authenticator, Authorizer and Logger are required.
type Options struct {
	Authenticator Authenticator
	Authorizer    Authorizer
	// Hosts accepted beside loopback addresses and localhost, with or without a
	// port; "*" stands for any letters, as in "*.suffix" or "192.168.*".
	Hosts []string
	// Origins of web pages that may call beside those of known hosts, as "https://app.example"; "*" as above.
	Origins []string
	// Endpoints are all routes.
	Endpoints []Endpoint
	Logger    *slog.Logger
}

// Server routes requests. It is an http.Handler; listening is the caller's part.
type Server struct {
	opts Options
	mux  *http.ServeMux
}

const defaultMaxBody = 1 << 20

// New checks the endpoints and builds the router.
func New(o Options) (*Server, error) {
	if o.Authenticator == nil || o.Authorizer == nil || o.Logger == nil {
		return nil, errors.New("server: Authenticator, Authorizer and Logger are required")
	}
	s := &Server{opts: o, mux: http.NewServeMux()}
	verbs := map[string]map[string]http.Handler{}
	for _, e := range o.Endpoints {
		if !e.Permission.valid() {
			return nil, fmt.Errorf("%s %s: %w", e.Method, e.Pattern, ErrNoPermission)
		}
		base, verb := splitVerb(e.Pattern)
		key := strings.TrimSpace(e.Method + " " + base)
		if verbs[key] == nil {
			verbs[key] = map[string]http.Handler{}
		}
		if verbs[key][verb] != nil {
			return nil, fmt.Errorf("%s %s: registered twice", e.Method, e.Pattern)
		}
		verbs[key][verb] = s.guard(e)
	}
	for key, handlers := range verbs {
		s.mux.Handle(key, verbMux(key, handlers))
	}
	return s, nil
}

// verbMux serves patterns that differ only in the ":verb" behind the last wildcard.
func verbMux(pattern string, handlers map[string]http.Handler) http.Handler {
	if h := handlers[""]; h != nil && len(handlers) == 1 {
		return h
	}
	name := pattern[strings.LastIndex(pattern, "{")+1 : len(pattern)-1]
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		value := r.PathValue(name)
		if i := strings.LastIndexByte(value, ':'); i >= 0 {
			if h := handlers[value[i+1:]]; h != nil {
				r.SetPathValue(name, value[:i])
				h.ServeHTTP(w, r)
				return
			}
		}
		if h := handlers[""]; h != nil {
			h.ServeHTTP(w, r)
			return
		}
		JSONCodec{}.Error(w, r, NotFound("no such route: %s %s", r.Method, r.URL.Path))
	})
}

// Endpoints lists the routes in a stable order.
func (s *Server) Endpoints() []Endpoint {
	return slices.SortedFunc(slices.Values(s.opts.Endpoints), func(a, b Endpoint) int {
		return strings.Compare(a.Pattern+" "+a.Method, b.Pattern+" "+b.Method)
	})
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := s.checkOrigin(r); err != nil {
		JSONCodec{}.Error(w, r, err)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// guard puts identity, permission and the body limit before an endpoint.
func (s *Server) guard(e Endpoint) http.Handler {
	codec := e.Codec
	if codec == nil {
		codec = JSONCodec{}
	}
	limit := e.MaxBody
	if limit == 0 {
		limit = defaultMaxBody
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ns := e.namespace(r)
		ctx := context.WithValue(r.Context(), namespaceKey{}, ns)
		if !e.Permission.IsPublic() {
			u, err := s.admit(ctx, r, e.Permission, ns)
			if err != nil {
				if AsError(err).Status == http.StatusUnauthorized {
					w.Header().Set("WWW-Authenticate", `Basic realm="mlflow"`)
				}
				codec.Error(w, r, err)
				return
			}
			ctx = context.WithValue(ctx, userKey{}, u)
			ctx = context.WithValue(ctx, permitKey{}, func(ctx context.Context, p Permission) error { return s.authorize(ctx, u, p, ns) })
		}
		if limit > 0 && r.Body != nil {
			r.Body = http.MaxBytesReader(w, r.Body, limit)
		}
		e.Handler.ServeHTTP(w, r.WithContext(ctx))
	})
}

func (s *Server) admit(ctx context.Context, r *http.Request, p Permission, ns string) (User, error) {
	u, err := s.opts.Authenticator.Authenticate(r)
	if status := AsError(err).Status; err != nil && (status == http.StatusServiceUnavailable || status == http.StatusUnauthorized) {
		return User{}, err
	}
	if err != nil {
		e := Errorf(http.StatusUnauthorized, "UNAUTHENTICATED", "this route needs a token: %w", err)
		e.Remedy = "send Authorization: Bearer TOKEN, as clients of MLflow do with MLFLOW_TRACKING_TOKEN; in a cluster kubectl create token NAME makes one, that of a local platform lies in its data directory, file token"
		return User{}, e
	}
	if p.known != "" {
		return u, nil
	}
	return u, s.authorize(ctx, u, p, ns)
}

func (s *Server) authorize(ctx context.Context, u User, p Permission, ns string) error {
	err := s.opts.Authorizer.Authorize(ctx, u, p, ns)
	if err == nil || AsError(err).Status == http.StatusServiceUnavailable {
		return err
	}
	s.opts.Logger.InfoContext(ctx, "refused", "user", u.Name, "permission", p.String(), "namespace", ns, "reason", err)
	e := Errorf(http.StatusForbidden, "PERMISSION_DENIED", "user %q may not %s in project %q", u.Name, p, ns)
	e.Remedy = fmt.Sprintf("grant it with a Role on resource %q of API group %q, verb %q", p.Resource, p.Group, p.Verb)
	return e
}
