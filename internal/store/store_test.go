package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/store/storetest"
)

func things(files ...string) store.Migrations {
	m := fstest.MapFS{}
	for i, f := range files {
		m[fmt.Sprintf("%04d_step.sql", i+1)] = &fstest.MapFile{Data: []byte(f)}
	}
	return store.Migrations{Owner: "things", FS: m}
}

const thingsTable = "CREATE TABLE things(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"

func count(t *testing.T, s *store.Store) (n int) {
	t.Helper()
	if err := s.View(t.Context(), func(tx *store.Tx) error { return tx.Row("SELECT count(*) FROM things").Scan(&n) }); err != nil {
		t.Fatal(err)
	}
	return n
}

func insert(name string) func(*store.Tx) error {
	return func(tx *store.Tx) error {
		_, err := tx.Exec("INSERT INTO things(name) VALUES(?)", name)
		return err
	}
}

func TestStore_Update_isolatesNeighbours(t *testing.T) {
	s := storetest.Open(t, things(thingsTable))
	const n = 200
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			errs[i] = s.Update(context.Background(), func(tx *store.Tx) error {
				if err := insert(fmt.Sprint(i))(tx); err != nil {
					return err
				}
				if i%10 == 0 {
					return fmt.Errorf("refused %d", i)
				}
				if i%10 == 1 {
					return insert(fmt.Sprint(i))(tx)
				}
				if i%10 == 2 {
					var broken func()
					broken()
				}
				return nil
			})
		})
	}
	wg.Wait()
	for i, err := range errs {
		switch {
		case i%10 == 0 && (err == nil || err.Error() != fmt.Sprintf("refused %d", i)),
			i%10 == 1 && !errors.Is(err, store.ErrConflict),
			i%10 == 2 && (err == nil || !strings.Contains(err.Error(), "panic in a database update")),
			i%10 > 2 && err != nil:
			t.Errorf("update %d: %v", i, err)
		}
	}
	if got := count(t, s); got != n*7/10 {
		t.Errorf("stored %d rows, want %d", got, n*7/10)
	}
}

func TestStore_Update_givenUpWhileQueued(t *testing.T) {
	s := storetest.Open(t, things(thingsTable))
	running, release := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Update(context.Background(), func(tx *store.Tx) error {
			close(running)
			<-release
			return insert("first")(tx)
		}); err != nil {
			t.Error(err)
		}
	})
	<-running
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Update(ctx, insert("second")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(release)
	wg.Wait()
	if got := count(t, s); got != 1 {
		t.Errorf("stored %d rows, want the first only", got)
	}
}

func TestStore_View_isReadOnlyAndSteady(t *testing.T) {
	s := storetest.Open(t, things(thingsTable))
	if err := s.View(t.Context(), insert("x")); err == nil {
		t.Error("a view could write")
	}
	err := s.View(t.Context(), func(tx *store.Tx) error {
		var before, after int
		if err := tx.Row("SELECT count(*) FROM things").Scan(&before); err != nil {
			return err
		}
		if err := s.Update(t.Context(), insert("meanwhile")); err != nil {
			return err
		}
		if err := tx.Row("SELECT count(*) FROM things").Scan(&after); err != nil {
			return err
		}
		if before != after {
			t.Errorf("the snapshot changed from %d to %d rows", before, after)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if got := count(t, s); got != 1 {
		t.Errorf("the next view sees %d rows, want 1", got)
	}
}

func TestTx_Each_nestedSameQuery(t *testing.T) {
	s := storetest.Open(t, things(thingsTable))
	for _, n := range []string{"a", "b", "c"} {
		if err := s.Update(t.Context(), insert(n)); err != nil {
			t.Fatal(err)
		}
	}
	pairs := 0
	err := s.View(t.Context(), func(tx *store.Tx) error {
		const q = "SELECT name FROM things ORDER BY name"
		return tx.Each(func(store.Rows) error {
			return tx.Each(func(store.Rows) error { pairs++; return nil }, q)
		}, q)
	})
	if err != nil || pairs != 9 {
		t.Errorf("%d pairs, %v", pairs, err)
	}
}

func TestStore_Close_keepsWhatWasAccepted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a ?#%20b.db")
	open := func() *store.Store {
		s, err := store.Open(t.Context(), store.Options{Path: path, Migrations: []store.Migrations{things(thingsTable)}})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	var wg sync.WaitGroup
	var mu sync.Mutex
	stored := 0
	for i := range 100 {
		wg.Go(func() {
			err := s.Update(context.Background(), insert(fmt.Sprint(i)))
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				stored++
			} else if !errors.Is(err, store.ErrClosed) {
				t.Error(err)
			}
		})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if err := s.Update(t.Context(), insert("late")); !errors.Is(err, store.ErrClosed) {
		t.Errorf("update after close: %v", err)
	}
	s = open()
	if got := count(t, s); got != stored {
		t.Errorf("%d rows after reopening, %d were acknowledged", got, stored)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestStore_Migrate(t *testing.T) {
	more := "ALTER TABLE things ADD COLUMN colour TEXT;"
	cases := map[string]struct {
		first, second store.Migrations
		want          error
		message       string
	}{
		"Again":   {things(thingsTable), things(thingsTable), nil, ""},
		"Next":    {things(thingsTable), things(thingsTable, more), nil, ""},
		"Newer":   {things(thingsTable, more), things(thingsTable), store.ErrNewer, "its schema is 2, this program knows 1"},
		"Changed": {things(thingsTable), things(thingsTable + "-- edited"), nil, "differs from the one that was applied"},
		"Broken":  {things(thingsTable), things(thingsTable, "CREATE TABLE other(id); nonsense;"), nil, "nonsense"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := storetest.Open(t, c.first)
			err := s.Migrate(t.Context(), c.second)
			if c.want == nil && c.message == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.message) || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("got %v", err)
			}
			if err := s.View(t.Context(), func(tx *store.Tx) error {
				var n int
				if err := tx.Row("SELECT count(*) FROM sqlite_schema WHERE name='other'").Scan(&n); err != nil || n != 0 {
					t.Errorf("half of a migration was kept: %d, %v", n, err)
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOpen_refusesForeignFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mlflow.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("CREATE TABLE experiments(id)"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(t.Context(), store.Options{Path: path}); !errors.Is(err, store.ErrForeign) {
		t.Errorf("got %v", err)
	}
}

// TestStore_Update_brokenGroup: what only the commit can refuse takes back the
// whole transaction; the neighbours are then done one by one.
func TestStore_Update_brokenGroup(t *testing.T) {
	s := storetest.Open(t, things(thingsTable+`
		CREATE TABLE parts(thing INTEGER NOT NULL REFERENCES things(id) DEFERRABLE INITIALLY DEFERRED);`))
	orphan := func(tx *store.Tx) error {
		_, err := tx.Exec("INSERT INTO parts(thing) VALUES(-1)")
		return err
	}
	const n = 40
	errs := make([]error, n)
	var wg sync.WaitGroup
	hold := make(chan struct{})
	wg.Go(func() { // so that the others are one group
		if err := s.Update(context.Background(), func(*store.Tx) error { <-hold; return nil }); err != nil {
			t.Error(err)
		}
	})
	for i := range n {
		wg.Go(func() {
			fn := insert(fmt.Sprint(i))
			if i == n/2 {
				fn = orphan
			}
			errs[i] = s.Update(context.Background(), fn)
		})
	}
	close(hold)
	wg.Wait()
	for i, err := range errs {
		if broken := i == n/2; broken != errors.Is(err, store.ErrConflict) || !broken && err != nil {
			t.Errorf("update %d: %v", i, err)
		}
	}
	if got := count(t, s); got != n-1 {
		t.Errorf("stored %d rows, want %d", got, n-1)
	}
}

// TestStore_Update_durable: an update that returned is in the file that a
// second program reads, without a close.
func TestStore_Update_durable(t *testing.T) {
	s := storetest.Open(t, things(thingsTable))
	if err := s.Update(t.Context(), insert("x")); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+s.Path()+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var n int
	if err := db.QueryRow("SELECT count(*) FROM things").Scan(&n); err != nil || n != 1 {
		t.Errorf("%d rows, %v", n, err)
	}
	var mode string
	if err := db.QueryRow("PRAGMA journal_mode").Scan(&mode); err != nil || mode != "wal" {
		t.Errorf("journal mode %q, %v", mode, err)
	}
	err = s.Update(t.Context(), func(tx *store.Tx) error {
		var synchronous int
		if err := tx.Row("PRAGMA synchronous").Scan(&synchronous); err != nil || synchronous != 2 {
			t.Errorf("synchronous %d, %v; a commit must reach the disk before it is acknowledged", synchronous, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
