package store

import (
	"context"
	"database/sql"
	"errors"
)

// Tx is a transaction: a writing one inside Update, a snapshot inside View. It
// belongs to the goroutine that runs the function.
type Tx struct {
	ctx     context.Context
	session *session
	store   *Store
}

// Exec runs a statement that returns no rows.
// It tells how many rows it changed.
func (t *Tx) Exec(query string, args ...any) (int64, error) {
	st, release, err := t.session.prepared(t.ctx, query) //nolint:sqlclosecheck // release closes it, or keeps it for the next time.
	if err != nil {
		return 0, t.store.translate(err)
	}
	defer release()
	res, err := st.ExecContext(t.ctx, args...)
	if err != nil {
		return 0, t.store.translate(err)
	}
	return res.RowsAffected()
}

// Script runs a string of several statements.
func (t *Tx) Script(script string) error {
	_, err := t.session.conn.ExecContext(t.ctx, script)
	return t.store.translate(err)
}

// Rows is the row of an answer that [Tx.Each] is at.
type Rows interface{ Scan(dest ...any) error }

// Each calls scan for every row of the answer.
func (t *Tx) Each(scan func(Rows) error, query string, args ...any) (err error) {
	st, release, err := t.session.prepared(t.ctx, query) //nolint:sqlclosecheck // release closes it, or keeps it for the next time.
	if err != nil {
		return t.store.translate(err)
	}
	defer release()
	rows, err := st.QueryContext(t.ctx, args...)
	if err != nil {
		return t.store.translate(err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			if errors.Is(err, ErrStop) {
				return nil
			}
			return err
		}
	}
	return t.store.translate(rows.Err())
}

// ErrStop ends [Tx.Each] early and without an error.
var ErrStop = errors.New("stop")

// Row is the answer of a query of at most one row.
type Row struct {
	tx    *Tx
	query string
	args  []any
}

// Row prepares a query of at most one row; its Scan runs it.
func (t *Tx) Row(query string, args ...any) Row { return Row{t, query, args} }

// Scan runs the query and fills dest. No row is sql.ErrNoRows.
func (r Row) Scan(dest ...any) error {
	st, release, err := r.tx.session.prepared(r.tx.ctx, r.query) //nolint:sqlclosecheck // As in Exec.
	if err != nil {
		return r.tx.store.translate(err)
	}
	defer release()
	return r.tx.store.translate(st.QueryRowContext(r.tx.ctx, r.args...).Scan(dest...))
}

// Context is the context of the transaction; inside Update it is never cancelled.
func (t *Tx) Context() context.Context { return t.ctx }

// session is one connection with its prepared statements.
type session struct {
	conn  *sql.Conn
	stmts map[string]*statement
}

type statement struct {
	*sql.Stmt
	busy bool
}

// maxStatements bounds the prepared statements of a connection. Searches make
// many different texts; those beyond the bound are prepared each time.
const maxStatements = 400

func newSession(ctx context.Context, db *sql.DB) (*session, error) {
	c, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &session{conn: c, stmts: map[string]*statement{}}, nil
}

// prepared finds the statement of a query. One that is being read at the
// moment is not given out twice, because running it again would reset it.
func (s *session) prepared(ctx context.Context, query string) (*sql.Stmt, func(), error) {
	if st := s.stmts[query]; st != nil && !st.busy {
		st.busy = true
		return st.Stmt, func() { st.busy = false }, nil
	}
	p, err := s.conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, nil, err
	}
	if s.stmts[query] != nil || len(s.stmts) >= maxStatements {
		return p, func() { _ = p.Close() }, nil // only frees memory
	}
	st := &statement{Stmt: p, busy: true}
	s.stmts[query] = st
	return p, func() { st.busy = false }, nil
}

// exec runs one of the fixed statements that frame a transaction.
func (s *session) exec(ctx context.Context, query string) error {
	st, release, err := s.prepared(ctx, query) //nolint:sqlclosecheck // As in Exec.
	if err != nil {
		return err
	}
	defer release()
	_, err = st.ExecContext(ctx)
	return err
}
