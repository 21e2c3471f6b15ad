package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// Tx is a transaction: a writing one inside Update, a snapshot inside View. It
// belongs to the goroutine that runs the function.
//
// Placeholders are ? in both dialects, or ?1, ?2 … of which one may appear
// several times. "x IN (??)" and "x NOT IN (??)" compare with the members of a
// []int64, []float64 or []string that is the argument. LIKE tells cases apart.
type Tx struct {
	ctx     context.Context
	session session
	store   *Store
}

// Exec runs a statement that returns no rows.
// It tells how many rows it changed.
//
// After an error of a statement the function that runs in the transaction must
// end with an error: PostgreSQL refuses whatever comes next.
func (t *Tx) Exec(query string, args ...any) (int64, error) {
	n, err := t.session.exec(t.ctx, now, query, args)
	return n, t.fault(err)
}

// Hold keeps other copies of the program from changing the rows that a SELECT
// finds until the update ends, so that what is read next stays true. On SQLite
// there is one writer anyway.
func (t *Tx) Hold(query string, args ...any) error {
	if t.Dialect() != Postgres {
		return nil
	}
	return t.Later(query+" FOR UPDATE", args...)
}

// Later runs a statement whose answer nobody needs: on PostgreSQL it saves a
// round trip. A failure shows at a later statement or at the commit, and is
// then that of the update as a whole.
func (t *Tx) Later(query string, args ...any) error {
	_, err := t.session.exec(t.ctx, later, query, args)
	return t.fault(err)
}

// Script runs a string of several statements.
func (t *Tx) Script(text string) error {
	_, err := t.session.exec(t.ctx, script, text, nil)
	return t.fault(err)
}

// fault makes an error recognisable; of a caller that gave up, that it did.
func (t *Tx) fault(err error) error {
	if err = t.store.backend.translate(err); err != nil && t.ctx.Err() != nil {
		return fmt.Errorf("%w: %w", t.ctx.Err(), err)
	}
	return err
}

// Rows is the row of an answer that [Tx.Each] is at.
type Rows interface{ Scan(dest ...any) error }

// Each calls scan for every row of the answer.
func (t *Tx) Each(scan func(Rows) error, query string, args ...any) error {
	rows, err := t.session.query(t.ctx, query, args)
	if err != nil {
		return t.fault(err)
	}
	return t.read(rows, scan)
}

func (t *Tx) read(rows cursor, scan func(Rows) error) (err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			if errors.Is(err, ErrStop) {
				return nil
			}
			return err
		}
	}
	return t.fault(rows.Err())
}

// Query is one of several that [Tx.EachOf] runs.
type Query struct {
	Scan func(Rows) error
	Text string
	Args []any
}

// EachOf is Each for several queries, which travel to PostgreSQL together. A
// scan may run other queries, but that costs the others their speed.
func (t *Tx) EachOf(list ...Query) error {
	if m, ok := t.session.(interface {
		queries(ctx context.Context, list []Query) ([]cursor, error)
	}); ok {
		cursors, err := m.queries(t.ctx, list)
		if err != nil {
			return t.fault(err)
		}
		for i, c := range cursors {
			if err := t.read(c, list[i].Scan); err != nil {
				for _, rest := range cursors[i+1:] {
					_ = rest.Close() // the first error counts
				}
				return err
			}
		}
		list = list[len(cursors):]
	}
	for _, q := range list {
		if err := t.Each(q.Scan, q.Text, q.Args...); err != nil {
			return err
		}
	}
	return nil
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
	found := false
	err := r.tx.Each(func(rows Rows) error {
		if found {
			return ErrStop
		}
		found = true
		return rows.Scan(dest...)
	}, r.query, r.args...)
	if err == nil && !found {
		return sql.ErrNoRows
	}
	return err
}

// Dialect is the kind of the database, for the few texts that differ.
func (t *Tx) Dialect() Dialect { return t.store.backend.dialect() }

// Context is the context of the transaction; inside Update it is never cancelled.
func (t *Tx) Context() context.Context { return t.ctx }
