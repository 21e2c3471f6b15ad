package alone

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/kiwerk/kiwerk/internal/config"
	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/store"
)

// Options of the server. Dir, Clock and Logger are required.
type Options struct {
	Host string
	Port int
	// Database is the URI of the database; Registry and WorkspaceStore must lead to the same or be empty.
	Database, Registry, WorkspaceStore string
	// ArtifactRoot is where new experiments keep artifacts that clients reach
	// themselves; empty lets them go through the server.
	ArtifactRoot string
	// Artifacts is the folder or bucket behind the server's own artifact routes.
	Artifacts string
	// ServeArtifacts switches those routes on.
	ServeArtifacts bool
	// ArtifactsOnly serves nothing else; a database is opened only for users.
	ArtifactsOnly bool
	// StaticPrefix begins the paths under which the server answers beside those without it.
	StaticPrefix string
	// Workspaces makes the workspace header count.
	Workspaces bool
	// Hosts and Origins beside the usual ones; FrameOptions is a header, NONE leaves it out.
	Hosts, Origins []string
	FrameOptions   string
	// AnyHost switches the checks of Host and Origin off.
	AnyHost bool
	// Metrics serves /metrics.
	Metrics bool
	// BasicAuth switches MLflow's users and permissions on.
	BasicAuth bool
	// PasswordRounds of the hash; 0 takes the number that is safe.
	PasswordRounds int
	TLS            config.TLS
	// Users, if set, are known elsewhere: in the cluster that the server runs in.
	Users *Users
	// KeyPrefix is where artifacts lie below Artifacts.
	KeyPrefix string
	// Insecure trusts everybody who reaches the address, and lets it be any.
	Insecure bool

	// Dir is what relative paths start at.
	Dir    string
	Getenv func(string) string
	Clock  func() time.Time
	Logger *slog.Logger
}

// Users decide who is let in and what they may do; Endpoints come with them.
type Users struct {
	server.Authenticator
	server.Authorizer
	Endpoints []server.Endpoint
}

// Defaults of `mlflow server`.
const (
	DefaultHost      = "127.0.0.1"
	DefaultPort      = 5000
	DefaultDatabase  = "sqlite:///mlflow.db"
	DefaultArtifacts = "./mlartifacts"
)

// Errors of Options that a person is told how to mend.
var (
	// ErrOpen is an address beyond loopback without TLS and login.
	ErrOpen = errors.New("an address beyond loopback needs TLS and a login")
	// ErrNotBuilt is an option of `mlflow server` that is not there.
	ErrNotBuilt = errors.New("is not offered")
	// ErrOptions are options that do not fit.
	ErrOptions = errors.New("the options do not fit")
)

// workspaceFlag counts only where there are workspaces, as upstream has it.
const workspaceFlag = "--workspace-store-uri"

func (o *Options) check() error {
	if o.Dir == "" || o.Clock == nil || o.Logger == nil || o.Getenv == nil {
		return errors.New("alone: Dir, Getenv, Clock and Logger are required")
	}
	if err := o.checkDatabases(); err != nil {
		return err
	}
	if o.ArtifactsOnly && (!o.ServeArtifacts || o.Workspaces || o.Users != nil) {
		return fmt.Errorf("--artifacts-only together with --no-serve-artifacts or --enable-workspaces %w: whose artifacts a path names only the tracking server knows", ErrNotBuilt)
	}
	if o.StaticPrefix != "" && (!strings.HasPrefix(o.StaticPrefix, "/") || strings.HasSuffix(o.StaticPrefix, "/")) {
		return fmt.Errorf("%w: --static-prefix %q must begin with a slash and end without one", ErrOptions, o.StaticPrefix)
	}
	return o.checkAddress()
}

// checkDatabases refuses a second one.
func (o *Options) checkDatabases() error {
	for flag, uri := range map[string]string{"--registry-store-uri": o.Registry, workspaceFlag: o.WorkspaceStore} {
		if uri != "" && (o.Workspaces || flag != workspaceFlag) && !o.sameDatabase(uri) {
			return fmt.Errorf("%s %s: a database beside that of --backend-store-uri %w: runs, models, workspaces and what links them change together, in one transaction; leave the flag out", flag, Redact(uri), ErrNotBuilt)
		}
	}
	return nil
}

// checkAddress refuses certificates that do not fit, and an address that others reach without TLS and login.
func (o *Options) checkAddress() error {
	if (o.TLS.CertFile == "") != (o.TLS.KeyFile == "") {
		return fmt.Errorf("%w: certificate and key belong together (--tls-cert-file, --tls-key-file)", ErrOptions)
	}
	if o.TLS.Enabled() && o.Users == nil { // before anything is made
		if _, err := tls.LoadX509KeyPair(o.TLS.CertFile, o.TLS.KeyFile); err != nil {
			return fmt.Errorf("%w: --tls-cert-file and --tls-key-file: %w", ErrOptions, err)
		}
	}
	if !o.Insecure && !loopback(o.Host) && (!o.TLS.Enabled() || !o.BasicAuth && o.Users == nil) {
		return fmt.Errorf("%w: %s", ErrOpen, o.Host)
	}
	return nil
}

// sameDatabase tells whether a URI leads to the database.
func (o *Options) sameDatabase(uri string) bool {
	own, err := DatabasePath(o.Database, o.Dir)
	if err != nil {
		return true // which is said elsewhere
	}
	other, err := DatabasePath(uri, o.Dir)
	return err == nil && store.Same(own, other)
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func (o *Options) address() string { return net.JoinHostPort(o.Host, strconv.Itoa(o.Port)) }
