package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgtype"
)

// postgres is a database on a PostgreSQL server.
type postgres struct {
	config *pgconn.Config
	// log hears when an outage begins and when it ends.
	log *slog.Logger
	// settleWithin bounds how long the writer asks what has become of a commit.
	settleWithin time.Duration
	// shut is true for a while after a connection could not be made: what comes meanwhile fails at once.
	shut atomic.Bool

	mu     sync.Mutex
	had    bool // a connection, once
	wait   time.Duration
	reopen *time.Timer
}

const (
	firstWait = 100 * time.Millisecond
	lastWait  = time.Second
	// connectWithin bounds a connection that nobody answers, unless the URI names a connect_timeout.
	connectWithin = 5 * time.Second
)

// SQLAlchemy's URIs name a driver: postgresql+psycopg2://host/database.
var postgresURI = regexp.MustCompile(`^postgres(ql)?(\+[a-z0-9]+)?://`)

func isPostgres(uri string) bool { return postgresURI.MatchString(uri) }

// redact takes the password out of a URI.
func redact(path string) string {
	if !isPostgres(path) {
		return path
	}
	u, err := url.Parse(path)
	if err != nil {
		return "postgresql://…"
	}
	q := u.Query()
	if q.Has("password") {
		q.Set("password", "xxxxx")
		u.RawQuery = q.Encode()
	}
	return u.Redacted()
}

func newPostgres(o Options) (*postgres, error) {
	c, err := pgconn.ParseConfig(postgresURI.ReplaceAllString(o.Path, "postgresql://"))
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", redact(o.Path), err)
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = connectWithin
	}
	for name, value := range map[string]string{
		"application_name": "kiwerk",
		// Compiling a query takes longer than any of ours runs.
		"jit": "off",
		// Texts are compared byte by byte wherever the order matters, and times are numbers.
		"standard_conforming_strings": "on", "client_encoding": "UTF8", "TimeZone": "UTC",
	} {
		if _, set := c.RuntimeParams[name]; !set {
			c.RuntimeParams[name] = value
		}
	}
	dialer := &net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3},
		Control:         giveUpUnanswered,
	}
	c.DialFunc = dialer.DialContext
	c.BuildContextWatcherHandler = func(pc *pgconn.PgConn) ctxwatch.Handler {
		// A caller that gives up ends its query, not the connection.
		return &pgconn.CancelRequestContextWatcherHandler{Conn: pc, DeadlineDelay: 2 * time.Second}
	}
	return &postgres{config: c, log: o.Logger, settleWithin: outcomeWithin}, nil
}

func (*postgres) dialect() Dialect { return Postgres }

// session of a reader connects when it is first used.
func (d *postgres) session(ctx context.Context, writes bool) (session, error) {
	s := &pgSession{db: d, writes: writes, types: pgtype.NewMap()}
	if !writes {
		return s, nil
	}
	if err := s.connect(ctx); err != nil {
		return nil, err
	}
	if err := d.refuseForeign(ctx, s); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// refuseForeign takes an empty schema or one that has our table of migrations.
func (d *postgres) refuseForeign(ctx context.Context, s *pgSession) error {
	var ours, mlflow, may bool
	var tables int64
	var name string
	if err := s.row(ctx, `SELECT to_regclass('kiwerk_migrations') IS NOT NULL, to_regclass('alembic_version') IS NOT NULL,
		(SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()), coalesce(current_schema(), ''),
		coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)`, &ours, &mlflow, &tables, &name, &may); err != nil {
		return err
	}
	switch {
	case ours:
		return nil
	case mlflow:
		return ErrMLflow
	case name == "":
		return errors.New("the search_path names no schema that exists; make one with CREATE SCHEMA")
	case tables > 0:
		return fmt.Errorf("%w: its schema %q has %d tables of something else; make an empty database, or a schema and add ?search_path=NAME to the URI", ErrForeign, name, tables)
	case !may:
		return fmt.Errorf("the role %q may not make tables in schema %q; an administrator of the database allows it with GRANT USAGE, CREATE ON SCHEMA %s TO %s", d.config.User, name, quoted(name), quoted(d.config.User))
	}
	return nil
}

// quoted is a name as SQL writes it.
func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// dial makes a connection. After a failure the next attempt waits, longer each time.
func (d *postgres) dial(ctx context.Context) (*pgconn.PgConn, error) {
	if d.shut.Load() {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, outage{errors.New("the last attempt to connect failed a moment ago")})
	}
	conn, err := pgconn.ConnectConfig(ctx, d.config.Copy())
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil {
		if d.wait > 0 {
			d.log.Warn("the database can be reached again")
		}
		d.wait, d.had = 0, true
		return conn, nil
	}
	if d.had && d.wait == 0 {
		d.log.Error("the database cannot be reached; requests are answered 503 until it can", "error", &once{err})
	}
	d.wait = min(max(2*d.wait, firstWait), lastWait)
	d.shut.Store(true)
	d.reopen = time.AfterFunc(d.wait, func() { d.shut.Store(false) })
	return nil, fmt.Errorf("%w: %w", ErrUnavailable, outage{&once{err}})
}

// outage is what requests hear while no connection can be made.
type outage struct{ error }

// Told says that the log has it already: a line per request would bury the rest.
func (outage) Told() bool { return true }

// Unwrap gives the cause.
func (o outage) Unwrap() error { return o.error }

// once says each line of an error a single time: an attempt with TLS and one
// without it usually fail alike.
type once struct{ error }

// Error leaves repeated lines out.
func (o *once) Error() string {
	var lines []string
	for line := range strings.Lines(o.error.Error()) {
		if line = strings.TrimSpace(line); line != "" && !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	// Behind the first line, which says where: the attempt without TLS went further.
	if told := slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return strings.HasSuffix(l, "server refused TLS connection") }); len(told) > 1 {
		lines = told
	}
	return strings.Join(lines, " ")
}

// Unwrap gives the error with all its lines.
func (o *once) Unwrap() error { return o.error }

func (d *postgres) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.reopen != nil {
		d.reopen.Stop()
	}
	return nil
}

// SQLSTATE codes that mean something to callers; two digits are a class.
var pgCodes = []struct {
	prefix string
	err    error
}{
	{"23", ErrConflict},
	{"22", ErrValue},
	{"54", ErrValue}, // too long for an index
	{"53100", syscall.ENOSPC},
	{"53", ErrUnavailable}, // no memory, too many connections
	{"08", ErrUnavailable},
	{"25006", ErrUnavailable}, // read-only after a switch to a standby
	{"57P0", ErrUnavailable},  // shutting down, starting up
	{"40", errAgain},          // serialization, deadlock
	{"0A000", errAgain},       // "cached plan must not change result type", after another copy changed the schema
	{"26000", errAgain},       // a prepared statement is gone
	{"55P03", errAgain},
}

// translate makes PostgreSQL's errors recognisable.
func (d *postgres) translate(err error) error {
	if err == nil || errors.Is(err, ErrConflict) || errors.Is(err, ErrUnavailable) || errors.Is(err, ErrValue) || errors.Is(err, syscall.ENOSPC) {
		return err
	}
	var e *pgconn.PgError
	if errors.As(err, &e) {
		for _, c := range pgCodes {
			if !strings.HasPrefix(e.Code, c.prefix) {
				continue
			}
			if errors.Is(c.err, errAgain) {
				return fmt.Errorf("%w: %w: %w", ErrUnavailable, errAgain, err)
			}
			return fmt.Errorf("%w: %w", c.err, err)
		}
		return err
	}
	if errors.Is(err, errAgain) || errors.Is(err, errOutcome) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}
