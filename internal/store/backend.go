package store

import (
	"context"
	"strings"
)

// Dialect is a kind of database.
type Dialect string

// The dialects are also the names of the folders of their migrations.
const (
	SQLite   Dialect = "sqlite"
	Postgres Dialect = "postgres"
)

// backend is a database of one kind.
type backend interface {
	dialect() Dialect
	// session makes a connection; [Store] uses one to write and some to read.
	session(ctx context.Context, writes bool) (session, error)
	// translate makes errors recognisable: ErrConflict, ErrUnavailable, a full disk.
	translate(err error) error
	close() error
}

// session is one connection with its prepared statements. A lost one is made
// anew when the next transaction begins.
type session interface {
	exec(ctx context.Context, how how, query string, args []any) (int64, error)
	query(ctx context.Context, query string, args []any) (cursor, error)
	frame(ctx context.Context, f frame) error
	close() error
}

// how a statement is run.
type how int

const (
	now    how = iota
	later      // it may wait for the next one; its error is then that one's or the commit's
	script     // several statements without arguments
)

// cursor walks the rows of an answer.
type cursor interface {
	Rows
	Next() bool
	Err() error
	Close() error
}

// frame is a step around the statements of a transaction.
type frame int

const (
	begin    frame = iota // a writing transaction
	snapshot              // a reading one
	mark                  // the beginning of one update in it
	keep                  // that update is done
	undo                  // that update is taken back
	commit
	rollback
)

func newBackend(o Options) (backend, error) {
	if isPostgres(o.Path) {
		return newPostgres(o)
	}
	return &sqlite{path: strings.TrimPrefix(o.Path, "sqlite:///")}, nil
}
