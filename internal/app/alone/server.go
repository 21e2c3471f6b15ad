package alone

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"

	"github.com/kiwerk/kiwerk/internal/app/front"
	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/lifecycle"
	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking"
	"github.com/kiwerk/kiwerk/internal/tracking/access"
	"github.com/kiwerk/kiwerk/internal/tracking/graphql"
	"github.com/kiwerk/kiwerk/internal/tracking/mcp"
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/traces/prices"
	"github.com/kiwerk/kiwerk/internal/tracking/webhooks"
	"github.com/kiwerk/kiwerk/internal/tracking/workspaces"
)

// Server is a running server.
type Server struct {
	o      Options
	front  *front.Front
	addr   net.Addr
	group  *lifecycle.Group
	close  []func() error
	closed bool
	// root is the address below which new experiments keep their artifacts, unless the server has them.
	root string
	// reserve is memory that is never touched, so that it is none to the system. The collector counts it and runs a
	// fifth as often: where little is alive, an answer in five would wait for it.
	reserve []byte
}

const reserved = 16 << 20

// Open starts the server and returns when it answers.
func Open(ctx context.Context, o Options) (s *Server, err error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	s = &Server{o: o, group: lifecycle.NewGroup(), reserve: make([]byte, reserved)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop(context.WithoutCancel(ctx)))
		}
	}()
	// The address first: a server that cannot have it must not touch the data of the one that has.
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", o.address())
	if err != nil {
		return s, err
	}
	s.addr = l.Addr()
	handler, err := s.build(ctx)
	if err != nil {
		return s, errors.Join(err, l.Close())
	}
	s.front = front.New(o.Logger.With("component", "server"))
	s.front.SetHandler(prefixed(o.StaticPrefix, s.front, handler))
	s.front.SetReady()
	return s, s.serve(l)
}

func (s *Server) serve(l net.Listener) error {
	if s.o.Insecure && !s.o.TLS.Enabled() {
		s.front.ServeOpen(l)
		return nil
	}
	return s.front.Serve(l, s.o.TLS)
}

// build opens storage and makes the routes.
func (s *Server) build(ctx context.Context) (http.Handler, error) {
	if s.o.ArtifactsOnly {
		return s.artifactsOnly(ctx)
	}
	db, err := openStore(ctx, &s.o)
	if err != nil {
		return nil, err
	}
	s.close = append(s.close, db.Close)
	users, err := s.users(ctx, db)
	if err != nil {
		return nil, err
	}
	service, err := s.tracking(ctx, db, users)
	if err != nil {
		return nil, err
	}
	s.group.Add("webhooks", service.Background())
	if err := s.group.Start(ctx); err != nil {
		return nil, err
	}
	endpoints := append(service.Endpoints(), s.endpoints()...)
	wrap := func(h http.Handler, _ server.Authenticator) http.Handler { return h } // a namespace is judged by the cluster
	if s.o.Users == nil {
		o := workspaces.Options{DB: db, Contents: service, Codec: mlwire.Codec{Log: s.o.Logger}, Enabled: s.o.Workspaces}
		if users != nil {
			o.Roles = users
		}
		spaces, err := workspaces.New(ctx, o)
		if err != nil {
			return nil, err
		}
		endpoints, wrap = append(endpoints, spaces.Endpoints()...), spaces.Wrap
	}
	return s.routes(users, service, endpoints, wrap)
}

// artifactsOnly makes the routes of a server that has artifacts only.
func (s *Server) artifactsOnly(ctx context.Context) (http.Handler, error) {
	blobs, err := s.artifacts(ctx)
	if err != nil {
		return nil, err
	}
	s.close = append(s.close, func() error { return blob.Close(blobs) })
	endpoints, err := tracking.ArtifactsOnly(tracking.Deps{Blobs: blobs, KeyPrefix: s.o.KeyPrefix, Clock: s.o.Clock, Logger: s.o.Logger.With("component", "tracking")})
	if err != nil {
		return nil, err
	}
	spaces, err := workspaces.New(ctx, workspaces.Options{Codec: mlwire.Codec{Log: s.o.Logger}})
	if err != nil {
		return nil, err
	}
	var users *access.Service
	if s.o.BasicAuth {
		db, err := openStore(ctx, &s.o)
		if err != nil {
			return nil, err
		}
		s.close = append(s.close, db.Close)
		if users, err = s.users(ctx, db); err != nil {
			return nil, err
		}
	}
	return s.routes(users, tracking.NoObjects{}, append(endpoints, s.endpoints()...), spaces.Wrap)
}

// routes put the guards before the endpoints.
func (s *Server) routes(users *access.Service, objects access.Objects, endpoints []server.Endpoint, wrap func(http.Handler, server.Authenticator) http.Handler) (http.Handler, error) {
	authenticator, authorizer, err := s.guards(users, objects, &endpoints)
	if err != nil {
		return nil, err
	}
	routes, err := server.New(server.Options{
		Authenticator: authenticator, Authorizer: authorizer, Hosts: s.o.hosts(), Origins: s.o.origins(),
		Endpoints: endpoints, Logger: s.o.Logger.With("component", "server"),
	})
	if err != nil {
		return nil, err
	}
	return s.o.headers(wrap(routes, authenticator), routes), nil
}

// artifacts opens the folder or bucket of what goes through the server.
func (s *Server) artifacts(ctx context.Context) (blob.Bucket, error) {
	folder, local, err := localFolder(s.o.Artifacts, s.o.Dir)
	if err != nil {
		return nil, err
	}
	if local {
		return blob.OpenFolder(folder)
	}
	b, err := blob.Open(ctx, s.o.Artifacts)
	if err != nil {
		return nil, fmt.Errorf("%w %q: %w", ErrURI, Redact(s.o.Artifacts), err)
	}
	return b, nil
}

func (s *Server) tracking(ctx context.Context, db *store.Store, users *access.Service) (*tracking.Service, error) {
	blobs, err := s.artifacts(ctx)
	if err != nil {
		return nil, err
	}
	s.close = append(s.close, func() error { return blob.Close(blobs) })
	hooks, err := webhooks.ConfigFromEnv(s.o.Getenv)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOptions, err)
	}
	hooks.KeyFile = filepath.Join(s.o.Dir, "webhooks.key")
	if db.Dialect() == store.SQLite {
		hooks.KeyFile = filepath.Join(filepath.Dir(db.Path()), "webhooks.key")
	}
	costs, err := prices.FromEnv(s.o.Getenv, s.o.Logger)
	if err != nil {
		return nil, err
	}
	icons, err := mcp.ConfigFromEnv(s.o.Getenv)
	if err != nil {
		return nil, err
	}
	sources, err := sourceRules(s.o.Getenv)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOptions, err)
	}
	limits, err := graphql.LimitsOf(s.o.Getenv)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOptions, err)
	}
	elsewhere := &places{dir: s.o.Dir, any: !s.o.BasicAuth && !s.o.Insecure && s.o.Users == nil, open: map[string]blob.Bucket{}}
	d := tracking.Deps{
		Store: db, Blobs: blobs, Clock: s.o.Clock, NewID: tracking.RandomID, Logger: s.o.Logger.With("component", "tracking"),
		Webhooks: hooks, MCP: icons, Prices: costs, Sources: sources, GraphQL: limits,
		KeyPrefix: s.o.KeyPrefix,
		Location:  func(uri string) (string, error) { return location(uri, s.o.Dir) },
		Elsewhere: elsewhere.Open, NoProxy: !s.o.ServeArtifacts, NoWorkspaces: !s.o.Workspaces,
	}
	if users != nil {
		d.Owners = users
	}
	root := s.o.ArtifactRoot
	if root == "" && !s.o.ServeArtifacts {
		root = "./mlruns"
	}
	if root != "" {
		if d.ArtifactRoot, err = location(root, s.o.Dir); err != nil {
			return nil, err
		}
		d.ArtifactRoot = strings.TrimRight(d.ArtifactRoot, "/") // ids follow with a slash of their own
		if folder, local, err := localFolder(root, s.o.Dir); err != nil {
			return nil, err
		} else if local {
			elsewhere.roots = append(elsewhere.roots, folder)
		} else {
			elsewhere.bucket = strings.TrimSuffix(root, "/")
		}
	}
	s.root = d.ArtifactRoot
	d.Sources.Own = []string{d.ArtifactRoot, s.o.Artifacts}
	return tracking.New(ctx, d)
}

// users are those of MLflow's login; nil without it.
func (s *Server) users(ctx context.Context, db *store.Store) (*access.Service, error) {
	if s.o.Users != nil || !s.o.BasicAuth {
		return nil, nil //nolint:nilnil // There may be none.
	}
	c, err := access.ReadConfig(s.o.Getenv)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOptions, err)
	}
	c.Workspaces = s.o.Workspaces
	return access.New(ctx, access.Options{DB: db, Config: c, Clock: s.o.Clock, Codec: mlwire.Codec{Log: s.o.Logger}, Rounds: s.o.PasswordRounds})
}

// guards decide who is let in and what they may do. With a login they are
// put around the endpoints, too.
func (s *Server) guards(users *access.Service, t access.Objects, endpoints *[]server.Endpoint) (server.Authenticator, server.Authorizer, error) {
	if u := s.o.Users; u != nil {
		*endpoints = append(*endpoints, u.Endpoints...)
		return u, u, nil
	}
	if users != nil {
		*endpoints = append(users.Govern(*endpoints, t, access.Artifacts{
			Root: s.root, Whole: func(uri string) (string, error) { return location(uri, s.o.Dir) },
		}), users.Endpoints()...)
		return users, users, nil
	}
	if s.o.Insecure {
		return everyone{}, all{}, nil
	}
	own, stop, err := front.OwnPeer()
	if err != nil {
		return nil, nil, err
	}
	s.close = append(s.close, stop)
	return sameUser{own}, all{}, nil
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.addr }

// URL is the address for clients.
func (s *Server) URL() string {
	scheme, host := "http", s.addr.String()
	if s.o.TLS.Enabled() {
		scheme = "https"
	}
	if tcp, ok := s.addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		host = net.JoinHostPort(DefaultHost, fmt.Sprint(tcp.Port))
	}
	return scheme + "://" + host + s.o.StaticPrefix
}

// Failed delivers the error of a listener that ended by itself.
func (s *Server) Failed() <-chan error { return s.front.Failed() }

// Stop lets running requests end until ctx does, and closes everything.
func (s *Server) Stop(ctx context.Context) error {
	if s.closed {
		return nil
	}
	s.closed = true
	var errs []error
	if s.front != nil {
		errs = append(errs, s.front.Stop(ctx))
	}
	errs = append(errs, s.group.Stop(ctx))
	for i := len(s.close) - 1; i >= 0; i-- {
		errs = append(errs, s.close[i]())
	}
	return errors.Join(errs...)
}
