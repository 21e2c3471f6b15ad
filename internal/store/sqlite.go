package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"syscall"

	_ "modernc.org/sqlite" // its driver
)

const (
	sqliteDriver = "sqlite"
	// applicationID marks the file as ours; file(1) and the check below read it.
	applicationID = 0x4B495745 // KIWE
)

// sqlite is a file of SQLite.
type sqlite struct {
	path   string
	writes *sql.DB
}

func (*sqlite) dialect() Dialect { return SQLite }

func (d *sqlite) session(ctx context.Context, writes bool) (session, error) {
	if !writes {
		r, err := openSQLiteReader(sqliteURI(d.path, url.Values{"mode": {"ro"}}), append(sqlitePragmas(), "query_only(1)", "cache_size(-4096)"))
		if err != nil {
			return nil, err
		}
		return r, nil
	}
	if err := d.makeFile(); err != nil {
		return nil, err
	}
	var err error
	if d.writes, err = sql.Open(sqliteDriver, sqliteWriterDSN(d.path)); err != nil {
		return nil, err
	}
	d.writes.SetMaxOpenConns(1)
	d.writes.SetMaxIdleConns(1)
	c, err := d.writes.Conn(ctx)
	if err != nil {
		return nil, err
	}
	err = prepareFile(ctx, c)
	if err == nil { // before, the mode would change a file that is not ours
		_, err = c.ExecContext(ctx, "PRAGMA journal_mode = WAL")
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return &sqliteSession{conn: c, stmts: map[string]*sqliteStatement{}}, nil
}

func (d *sqlite) makeFile() error {
	if err := os.MkdirAll(filepath.Dir(d.path), 0o700); err != nil {
		return err
	}
	// SQLite gives its side files the mode of the main one.
	f, err := os.OpenFile(d.path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

func (d *sqlite) close() error {
	if d.writes == nil {
		return nil
	}
	return d.writes.Close()
}

// sqliteWriterDSN opens the one connection that writes. synchronous=FULL syncs
// the log at every commit: with NORMAL a power cut loses the last ones. The
// log is folded in after 16 MiB instead of 4, which halves the writes of a
// steady stream.
func sqliteWriterDSN(path string) string {
	return sqliteURI(path, url.Values{"mode": {"rwc"}, "_dqs": {"0"}, "_pragma": append(sqlitePragmas(),
		"synchronous(FULL)", "wal_autocheckpoint(4000)", "journal_size_limit(67108864)", "cache_size(-16384)")})
}

// sqlitePragmas are those of every connection.
func sqlitePragmas() []string {
	return []string{
		// Another process (a backup, the sqlite3 shell) may hold the lock for a moment.
		"busy_timeout(10000)", "foreign_keys(1)", "temp_store(memory)",
		// LIKE tells cases apart, as it does in PostgreSQL.
		"case_sensitive_like(1)",
	}
}

func sqliteURI(path string, options url.Values) string {
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath(), RawQuery: options.Encode()}
	return u.String()
}

// prepareFile marks a new file as ours and refuses one that is not.
func prepareFile(ctx context.Context, c *sql.Conn) error {
	var id, tables int64
	if err := c.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil {
		return err
	}
	if id == applicationID {
		return nil
	}
	if err := c.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil {
		return err
	}
	var alien string
	if err := c.QueryRowContext(ctx, "SELECT name FROM sqlite_schema WHERE name = 'alembic_version'").Scan(&alien); err == nil {
		return ErrMLflow
	}
	if id != 0 || tables != 0 {
		return fmt.Errorf("%w (application id %#x, %d tables); choose another path", ErrForeign, id, tables)
	}
	_, err := c.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d", applicationID))
	return err
}

// Result codes of SQLite that mean something to callers.
const (
	codeIOErr      = 10
	codeFull       = 13
	codeCantOpen   = 14
	codeConstraint = 19
	codeNotADB     = 26
)

// translate makes SQLite's errors recognisable: a full disk is ENOSPC, which
// the HTTP server knows; a constraint is ErrConflict.
func (d *sqlite) translate(err error) error {
	var e interface{ Code() int } // of the writer's driver or of a reader
	if !errors.As(err, &e) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, ErrConflict) {
		return err
	}
	switch e.Code() & 0xff {
	case codeFull:
		return fmt.Errorf("%w: %w", syscall.ENOSPC, err)
	case codeIOErr, codeCantOpen:
		// A full disk also shows as a failed sync or a log that cannot grow.
		if full(filepath.Dir(d.path)) {
			return fmt.Errorf("%w: %w", syscall.ENOSPC, err)
		}
	case codeConstraint:
		return fmt.Errorf("%w: %w", ErrConflict, err)
	case codeNotADB:
		return fmt.Errorf("%w: %s is no file of SQLite", ErrForeign, d.path)
	}
	return err
}
