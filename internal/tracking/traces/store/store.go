package store

import (
	"context"
	"embed"
	"errors"
	"strings"
	"time"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/query"
)

//go:embed migrations
var migrations embed.FS

// Migrations is the schema of traces.
func Migrations() db.Migrations { return db.Migrations{Owner: "tracking-traces", FS: migrations} }

// Options of a store; all are required.
type Options struct {
	DB    *db.Store
	Clock func() time.Time
	// NewID makes ids of 32 hexadecimal digits.
	NewID func() string
}

// Store keeps traces.
type Store struct{ o Options }

// New brings the schema up to date.
func New(ctx context.Context, o Options) (*Store, error) {
	if o.DB == nil || o.Clock == nil || o.NewID == nil {
		return nil, errors.New("traces: all options are required")
	}
	return &Store{o}, o.DB.Migrate(ctx, Migrations())
}

// tx is a transaction with the queries of this package.
type tx struct {
	*db.Tx
	s *Store
}

func (s *Store) update(ctx context.Context, f func(*tx) error) error {
	return s.o.DB.Update(ctx, func(t *db.Tx) error { return f(&tx{t, s}) })
}

func (s *Store) view(ctx context.Context, f func(*tx) error) error {
	return s.o.DB.View(ctx, func(t *db.Tx) error { return f(&tx{t, s}) })
}

func (s *Store) now() int64 { return s.o.Clock().UnixMilli() }

// clause is a piece of SQL with its arguments. Texts are constants of this
// package; everything that a caller sent is an argument.
type clause = query.Clause

// chunk bounds the ids of one statement.
const chunk = 500

// insert writes rows in statements of many rows each.
func (t *tx) insert(into string, columns int, conflict string, rows [][]any) error {
	const most = 50
	one := "(" + strings.TrimSuffix(strings.Repeat("?, ", columns), ", ") + ")"
	for len(rows) > 0 {
		n := min(most, len(rows))
		if n < most {
			n = 1 // the rest one by one: two texts of a statement instead of fifty
		}
		var args []any
		for _, r := range rows[:n] {
			args = append(args, r...)
		}
		if _, err := t.Exec("INSERT INTO "+into+" VALUES "+strings.TrimSuffix(strings.Repeat(one+", ", n), ", ")+" "+conflict, args...); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

func missing(id string) error {
	return model.Missing("Trace with ID '%s' not found.", model.Cut(id, 300))
}

// null is NULL for an empty text.
func null(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
