package storetest

import (
	"path/filepath"
	"testing"

	"github.com/kiwerk/kiwerk/internal/store"
)

// Open makes a database in a temporary folder and closes it with the test.
func Open(tb testing.TB, migrations ...store.Migrations) *store.Store {
	tb.Helper()
	s, err := store.Open(tb.Context(), store.Options{Path: filepath.Join(tb.TempDir(), "kiwerk.db"), Migrations: migrations})
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
