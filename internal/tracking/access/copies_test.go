package access

import (
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/kiwerk/kiwerk/internal/kwtest/postgres"
	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(postgres.Run(m.Run)) }

// TestPutGrant_copies: two copies of the program give new users what they have
// made at the same moment.
func TestPutGrant_copies(t *testing.T) {
	first := storetest.Postgres(t, Migrations())
	second, err := db.Open(t.Context(), db.Options{Path: first.Path()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = second.Close() }) // the test has ended
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		var u user
		if err := first.Update(t.Context(), func(t *db.Tx) (err error) { u, err = insertUser(t, name, "", false); return err }); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for i, s := range []*db.Store{first, second} {
			wg.Go(func() {
				id := string(rune('1' + i))
				err := s.Update(t.Context(), func(t *db.Tx) error { return putGrant(t, u.ID, "default", kindExperiment, id, Manage) })
				if err != nil {
					t.Errorf("%s, copy %d: %v", name, i, err)
				}
			})
		}
		wg.Wait()
	}
}

// TestWithAdmin_copies: two administrators remove each other at the same moment.
func TestWithAdmin_copies(t *testing.T) {
	first := storetest.Postgres(t, Migrations())
	second, err := db.Open(t.Context(), db.Options{Path: first.Path()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = second.Close() }) // the test has ended
	for range 8 {
		err := first.Update(t.Context(), func(t *db.Tx) error {
			for _, name := range []string{"a", "b"} {
				if _, err := t.Exec("INSERT INTO access_users(name, password, admin) VALUES(?, '', 1) ON CONFLICT(name) DO UPDATE SET admin = 1", name); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		var failed atomic.Int32
		for i, s := range []*db.Store{first, second} {
			wg.Go(func() {
				other := string(rune('b' - i))
				err := s.Update(t.Context(), func(t *db.Tx) error {
					return withAdmin(t, func() error { return deleteUser(t, other) })
				})
				if err != nil {
					failed.Add(1)
				}
			})
		}
		wg.Wait()
		if failed.Load() != 1 {
			t.Fatalf("%d of two removals were refused", failed.Load())
		}
	}
}
