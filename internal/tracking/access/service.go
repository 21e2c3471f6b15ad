package access

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/kiwerk/kiwerk/internal/server"
	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

const defaultWorkspace = server.DefaultNamespace

// Objects finds what a request is about.
type Objects interface {
	// ExperimentsOf are the experiments that something belongs to; kind is one
	// of those that route names. What does not exist is an error with status 404.
	ExperimentsOf(ctx context.Context, namespace, kind, id string) ([]string, error)
	// IsPrompt tells whether a registered model is a prompt; what does not exist is none.
	IsPrompt(ctx context.Context, namespace, name string) (bool, error)
	// HasMCPServer tells whether an MCP server exists.
	HasMCPServer(ctx context.Context, namespace, name string) (bool, error)
}

// Options of the service; all but Rounds are required.
type Options struct {
	DB     *db.Store
	Config Config
	Clock  func() time.Time
	Codec  mlwire.Codec
	// Rounds of the password hash; 0 takes the number that is safe.
	Rounds int
}

// Service knows the users.
type Service struct {
	o        Options
	policy   policy
	verifier *verifier

	mu    sync.Mutex
	known map[string]known
	// changes counts our own, so that what was read before one is not kept after it.
	changes int
}

// known is a user with all grants, for a moment.
type known struct {
	subject
	until time.Time
}

type subject struct {
	user
	grants []grant
}

// Changes by another copy of the program are seen after this time; our own at once.
const (
	knownFor = 2 * time.Second
	maxKnown = 4096
)

// New brings the schema up to date and makes the first administrator.
func New(ctx context.Context, o Options) (*Service, error) {
	if o.DB == nil || o.Clock == nil {
		return nil, errors.New("access: DB and Clock are required")
	}
	if o.Rounds == 0 {
		o.Rounds = iterations
	}
	if err := o.DB.Migrate(ctx, Migrations()); err != nil {
		return nil, err
	}
	s := &Service{
		o: o, verifier: newVerifier(o.Clock, o.Rounds), known: map[string]known{},
		policy: policy{standard: o.Config.Standard, workspaces: o.Config.Workspaces, open: o.Config.OpenDefault},
	}
	return s, s.firstAdmin(ctx)
}

func (s *Service) firstAdmin(ctx context.Context) error {
	var exists bool
	err := s.o.DB.View(ctx, func(t *db.Tx) error {
		_, err := findUser(t, s.o.Config.Admin)
		exists = err == nil
		if model.IsMissing(err) {
			return nil
		}
		return err
	})
	if err != nil || exists {
		return err
	}
	switch s.o.Config.Password {
	case "":
		return fmt.Errorf("%w: set MLFLOW_AUTH_ADMIN_PASSWORD, or admin_password in the file that MLFLOW_AUTH_CONFIG_PATH names", ErrNoAdmin)
	case legacyPassword:
		return fmt.Errorf("%w: %q is known to everybody; choose another in MLFLOW_AUTH_ADMIN_PASSWORD", ErrNoAdmin, legacyPassword)
	}
	_, err = s.create(ctx, s.o.Config.Admin, s.o.Config.Password, true)
	switch {
	case err == nil || server.AsError(err).Code == model.CodeExists:
		return nil // another copy of the program was quicker
	case server.AsError(err).Status != http.StatusBadRequest:
		return err
	}
	return fmt.Errorf("%w: the name and the password of the first administrator (MLFLOW_AUTH_ADMIN_USERNAME, MLFLOW_AUTH_ADMIN_PASSWORD, or the file that MLFLOW_AUTH_CONFIG_PATH names): %w", ErrNoAdmin, err)
}

func (s *Service) create(ctx context.Context, name, password string, admin bool) (u user, err error) {
	if err := checkUser(name); err != nil {
		return u, err
	}
	hashed, err := s.hash(password)
	if err != nil {
		return u, err
	}
	err = s.update(ctx, func(t *db.Tx) (err error) {
		u, err = insertUser(t, name, hashed, admin)
		return err
	})
	return u, err
}

func (s *Service) hash(password string) (string, error) {
	if len([]rune(password)) < minPassword {
		return "", model.Invalid("Password must be a string longer than %d characters.", minPassword)
	}
	return hash(password, s.o.Rounds)
}

func checkUser(name string) error {
	if name == "" || len(name) > 255 || strings.Contains(name, ":") || strings.ContainsFunc(name, unicode.IsControl) {
		return model.Invalid("Username cannot be empty, longer than 255 bytes, or contain a colon or control characters.")
	}
	return nil
}

// update changes users or grants; what is known of them is asked again.
func (s *Service) update(ctx context.Context, f func(*db.Tx) error) error {
	err := s.o.DB.Update(ctx, f)
	s.Settled()
	return err
}

// subject finds a user with all grants.
func (s *Service) subject(ctx context.Context, name string) (subject, error) {
	s.mu.Lock()
	k, ok := s.known[name]
	changes := s.changes
	s.mu.Unlock()
	now := s.o.Clock()
	if ok && now.Before(k.until) {
		return k.subject, nil
	}
	var found subject
	err := s.o.DB.View(ctx, func(t *db.Tx) (err error) {
		if found.user, err = findUser(t, name); err != nil {
			return err
		}
		found.grants, err = grantsOf(t, found.ID)
		return err
	})
	if err != nil {
		return subject{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changes != changes {
		return found, nil
	}
	if len(s.known) >= maxKnown {
		clear(s.known)
	}
	s.known[name] = known{found, now.Add(knownFor)}
	return found, nil
}

// Authenticate implements server.Authenticator.
func (s *Service) Authenticate(r *http.Request) (server.User, error) {
	name, password, ok := r.BasicAuth()
	if !ok {
		return server.User{}, unauthenticated("this server needs a login")
	}
	u, err := s.subject(r.Context(), name)
	if err != nil && !model.IsMissing(err) {
		return server.User{}, err
	}
	right, err := s.verifier.check(r.Context(), peerOf(r), password, u.password)
	if err != nil {
		return server.User{}, err
	}
	if !right || u.Admin && password == legacyPassword {
		if log := s.o.Codec.Log; log != nil {
			server.Audit(r.Context(), log, "login failed", "name", name, "peer", peerOf(r))
		}
		return server.User{}, unauthenticated("the name or the password is wrong")
	}
	return server.User{Name: u.Name}, nil
}

// peerOf is the address at the other end, without its port.
func peerOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

func unauthenticated(why string) error {
	e := server.Errorf(http.StatusUnauthorized, "UNAUTHENTICATED", "You are not authenticated: %s.", why)
	e.Remedy = "send a name and a password, as clients do with MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
	return e
}

// asking is who asks. Who has no account is refused; who cannot be looked up is not.
func (s *Service) asking(r *http.Request) (subject, error) {
	who, err := s.subject(r.Context(), userName(r))
	if model.IsMissing(err) {
		err = errForbidden
	}
	return who, err
}

// Authorize implements server.Authorizer: the users of endpoints that went
// through [Service.Govern] are judged there, with the request at hand.
func (*Service) Authorize(_ context.Context, u server.User, _ server.Permission, _ string) error {
	if u.Name == "" {
		return errForbidden
	}
	return nil
}

var errForbidden = server.Errorf(http.StatusForbidden, "PERMISSION_DENIED", "Permission denied.")
