package storetest

import (
	"path/filepath"
	"testing"

	"github.com/kiwerk/kiwerk/internal/kwtest/postgres"
	"github.com/kiwerk/kiwerk/internal/store"
)

// Open makes a SQLite database in a temporary folder and closes it with the test.
func Open(tb testing.TB, migrations ...store.Migrations) *store.Store {
	tb.Helper()
	return openAt(tb, filepath.Join(tb.TempDir(), "kiwerk.db"), migrations...)
}

// Postgres makes a schema on the server of the process and closes the database
// with the test. TestMain must call postgres.Run.
func Postgres(tb testing.TB, migrations ...store.Migrations) *store.Store {
	tb.Helper()
	return openAt(tb, postgres.URI(tb), migrations...)
}

// Both runs a test on SQLite and on PostgreSQL. TestMain must call postgres.Run.
func Both(t *testing.T, test func(t *testing.T, open func(testing.TB, ...store.Migrations) *store.Store)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) { test(t, Open) })
	t.Run("PostgreSQL", func(t *testing.T) { test(t, Postgres) })
}

func openAt(tb testing.TB, path string, migrations ...store.Migrations) *store.Store {
	tb.Helper()
	s, err := store.Open(tb.Context(), store.Options{Path: path, Migrations: migrations})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("close database: %v", err)
		}
	})
	return s
}
