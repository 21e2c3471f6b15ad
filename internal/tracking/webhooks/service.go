package webhooks

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

//go:embed migrations
var migrations embed.FS

// Migrations is the schema.
func Migrations() db.Migrations { return db.Migrations{Owner: "tracking-webhooks", FS: migrations} }

// Config is what the operator decides; the zero value is DefaultConfig.
type Config struct {
	// AllowPrivate lets receivers be in private networks.
	AllowPrivate bool
	// Schemes that addresses may have.
	Schemes []string
	// Retries follow the first attempt of a delivery.
	Retries int
	// Timeout of one attempt.
	Timeout time.Duration
	// Workers bound the deliveries under way.
	Workers int
	// Key seals secrets; without one KeyFile has it, and is made if need be.
	Key, KeyFile string
	// ForgetSecrets removes all secrets at the start, because their key is lost.
	ForgetSecrets bool
}

// DefaultConfig is that of MLflow.
func DefaultConfig() Config {
	return Config{Schemes: []string{"https"}, Retries: 3, Timeout: 30 * time.Second, Workers: 10}
}

// ConfigFromEnv reads the variables that MLflow's server has for webhooks.
func ConfigFromEnv(getenv func(string) string) (Config, error) {
	c := DefaultConfig()
	var seconds int
	for _, v := range []struct {
		name string
		to   *int
		min  int
	}{
		{"MLFLOW_WEBHOOK_REQUEST_MAX_RETRIES", &c.Retries, 0},
		{"MLFLOW_WEBHOOK_REQUEST_TIMEOUT", &seconds, 1},
		{"MLFLOW_WEBHOOK_DELIVERY_MAX_WORKERS", &c.Workers, 1},
	} {
		text := getenv(v.name)
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < v.min || n > 3600 {
			return c, fmt.Errorf("%s=%q: a whole number from %d to 3600 is expected", v.name, text, v.min)
		}
		*v.to = n
	}
	if seconds > 0 {
		c.Timeout = time.Duration(seconds) * time.Second
	}
	if text := getenv("MLFLOW_WEBHOOK_ALLOWED_SCHEMES"); text != "" {
		c.Schemes = nil
		for s := range strings.SplitSeq(text, ",") {
			if s = strings.TrimSpace(s); s != "http" && s != "https" {
				return c, fmt.Errorf("MLFLOW_WEBHOOK_ALLOWED_SCHEMES=%q: only http and https can be delivered to", text)
			}
			c.Schemes = append(c.Schemes, s)
		}
	}
	for name, to := range map[string]*bool{"MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": &c.AllowPrivate, forgetVariable: &c.ForgetSecrets} {
		switch text := strings.ToLower(getenv(name)); text {
		case "true", "1":
			*to = true
		case "", "false", "0":
		default:
			return c, fmt.Errorf("%s=%q: true or false is expected", name, text)
		}
	}
	if c.Key = getenv("MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"); c.Key != "" && len(c.Key) < minKey {
		return c, fmt.Errorf("MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY is too short: at least %d characters are expected, for example of `openssl rand -base64 32`", minKey)
	}
	return c, nil
}

// Options of the service; DB, Clock, NewID and Logger are required.
type Options struct {
	Config
	DB    *db.Store
	Clock func() time.Time
	// NewID makes ids of 32 hexadecimal digits.
	NewID  func() string
	Logger *slog.Logger
	// Workspaces says that the body names the workspace of the change.
	Workspaces bool
	// Lookup resolves host names; nil is the system's resolver.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// Backoff is the pause after a number of failed attempts; nil is that of MLflow: 1, 2, 4 … 60 s and up to one more.
	Backoff func(failed int) time.Duration
}

// Service keeps webhooks and delivers to them.
type Service struct {
	o      Options
	db     *db.Store
	codec  mlwire.Codec
	vault  *vault
	client *http.Client
	// wake says that there may be something to deliver.
	wake chan struct{}
	// tests bounds the tests under way.
	tests chan struct{}
	// locked says that another key than ours counts now.
	locked atomic.Bool
	// public tells which addresses may be called; smaller in tests.
	public func(netip.Addr) bool
}

// New brings the schema up to date. It starts no goroutine.
func New(ctx context.Context, o Options) (*Service, error) {
	if o.DB == nil || o.Clock == nil || o.NewID == nil || o.Logger == nil {
		return nil, errors.New("webhooks: DB, Clock, NewID and Logger are required")
	}
	if o.Timeout == 0 {
		c := DefaultConfig()
		c.Key, c.KeyFile, c.ForgetSecrets = o.Key, o.KeyFile, o.ForgetSecrets
		o.Config = c
	}
	if o.Lookup == nil {
		o.Lookup = lookup
	}
	if o.Backoff == nil {
		o.Backoff = backoff
	}
	if err := o.DB.Migrate(ctx, Migrations()); err != nil {
		return nil, err
	}
	s := &Service{
		o: o, db: o.DB, codec: mlwire.Codec{Log: o.Logger}, vault: &vault{key: o.Key, file: o.KeyFile},
		wake: make(chan struct{}, 1), tests: make(chan struct{}, o.Workers), public: model.PublicAddress,
	}
	s.client = s.newClient()
	return s, s.checkKey(ctx)
}

func backoff(failed int) time.Duration {
	const most = 60
	seconds := min(float64(int(1)<<min(failed-1, 6)), most)
	return time.Duration((seconds + rand.Float64()) * float64(time.Second))
}

func (s *Service) newClient() *http.Client {
	dialer := &net.Dialer{Timeout: s.o.Timeout}
	if !s.o.AllowPrivate {
		dialer.Control = s.refusePrivate
	}
	return &http.Client{
		Timeout: s.o.Timeout,
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSHandshakeTimeout: s.o.Timeout, // no Proxy: it would be checked in place of the receiver
			MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true, MaxResponseHeaderBytes: 1 << 16,
		},
		CheckRedirect: s.checkRedirect,
	}
}

// maxRedirects is how often a receiver may send a delivery elsewhere.
const maxRedirects = 3

// checkRedirect follows only where the delivery arrives as it is; the rest
// counts as the answer. The dialer checks the new address as it did the old.
func (s *Service) checkRedirect(r *http.Request, via []*http.Request) error {
	if r.Method != http.MethodPost || len(via) > maxRedirects {
		return http.ErrUseLastResponse
	}
	if _, err := parseTarget(r.URL.String(), s.o.Schemes); err != nil {
		return &refused{errors.New("it redirects to an address that is not allowed")}
	}
	return nil
}
