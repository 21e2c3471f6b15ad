package access

import (
	"os"
	"sync"
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
