package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
)

// sqliteSession is one connection to SQLite.
type sqliteSession struct {
	conn  *sql.Conn
	stmts map[string]*sqliteStatement
}

type sqliteStatement struct {
	*sql.Stmt
	busy bool
}

// maxStatements bounds the prepared statements of a connection. Searches make
// many different texts; those beyond the bound are prepared each time.
const maxStatements = 400

var sqliteFrames = map[frame][]string{
	begin: {"BEGIN IMMEDIATE"}, snapshot: {"BEGIN"},
	mark: {"SAVEPOINT one"}, keep: {"RELEASE one"}, undo: {"ROLLBACK TO one", "RELEASE one"},
	commit: {"COMMIT"}, rollback: {"ROLLBACK"},
}

func (s *sqliteSession) frame(ctx context.Context, f frame) error {
	for _, text := range sqliteFrames[f] {
		if _, err := s.exec(ctx, now, text, nil); err != nil {
			return err
		}
	}
	return nil
}

// exec has nothing to win by waiting.
func (s *sqliteSession) exec(ctx context.Context, how how, query string, args []any) (int64, error) {
	if how == script {
		_, err := s.conn.ExecContext(ctx, query)
		return 0, err
	}
	st, release, err := s.prepared(ctx, query) //nolint:sqlclosecheck // release closes it, or keeps it for the next time.
	if err != nil {
		return 0, err
	}
	defer release()
	res, err := st.ExecContext(ctx, sqliteArgs(args)...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func (s *sqliteSession) query(ctx context.Context, query string, args []any) (cursor, error) {
	st, release, err := s.prepared(ctx, query) //nolint:sqlclosecheck // As in exec.
	if err != nil {
		return nil, err
	}
	rows, err := st.QueryContext(ctx, sqliteArgs(args)...) //nolint:rowserrcheck // Tx.Each asks.
	if err != nil {
		release()
		return nil, err
	}
	return &sqliteRows{rows, release}, nil
}

// close gives up the statements first: a connection that still has some is
// kept alive by SQLite, and the last one would not fold the log into the main file.
func (s *sqliteSession) close() error {
	var errs []error
	for _, st := range s.stmts {
		errs = append(errs, st.Close())
	}
	return errors.Join(append(errs, s.conn.Close())...)
}

type sqliteRows struct {
	*sql.Rows
	release func()
}

func (r *sqliteRows) Close() error {
	defer r.release()
	return r.Rows.Close()
}

// prepared finds the statement of a query. One that is being read at the
// moment is not given out twice, because running it again would reset it.
func (s *sqliteSession) prepared(ctx context.Context, query string) (*sql.Stmt, func(), error) {
	if st := s.stmts[query]; st != nil && !st.busy {
		st.busy = true
		return st.Stmt, func() { st.busy = false }, nil
	}
	p, err := s.conn.PrepareContext(ctx, sqliteText(query))
	if err != nil {
		return nil, nil, err
	}
	if s.stmts[query] != nil || len(s.stmts) >= maxStatements {
		return p, func() { _ = p.Close() }, nil // only frees memory
	}
	st := &sqliteStatement{Stmt: p, busy: true}
	s.stmts[query] = st
	return p, func() { st.busy = false }, nil
}

// listMark stands for a list of which each member is compared; its argument is a slice.
const listMark = "(??)"

// sqliteArgs writes lists as the JSON that the query takes apart.
func sqliteArgs(args []any) []any {
	var out []any
	for i, a := range args {
		switch a.(type) {
		case []int64, []string, []float64:
			if out == nil {
				out = append([]any(nil), args...)
			}
			out[i] = jsonList(a)
		}
	}
	if out == nil {
		return args
	}
	return out
}

func jsonList(list any) string {
	b, err := json.Marshal(list)
	if err != nil || string(b) == "null" {
		return "[]" // numbers and strings always marshal; null would be one value
	}
	return string(b)
}
