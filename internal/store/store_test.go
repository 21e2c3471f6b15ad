package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/kiwerk/kiwerk/internal/kwtest/postgres"
	"github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(postgres.Run(m.Run)) }

func TestExercise(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {
		storetest.Exercise(t, func(tb testing.TB) string { return filepath.Join(tb.TempDir(), "a ?#%20b.db") })
	})
	t.Run("PostgreSQL", func(t *testing.T) { storetest.Exercise(t, postgres.URI) })
}

var things = store.Migrations{Owner: "things", FS: fstest.MapFS{
	"sqlite/0001_things.sql":   {Data: []byte("CREATE TABLE things(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);")},
	"postgres/0001_things.sql": {Data: []byte("CREATE TABLE things(id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name TEXT NOT NULL UNIQUE);")},
}}

func insert(name string) func(*store.Tx) error {
	return func(tx *store.Tx) error {
		_, err := tx.Exec("INSERT INTO things(name) VALUES(?)", name)
		return err
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
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(t.Context(), store.Options{Path: path}); !errors.Is(err, store.ErrForeign) {
		t.Errorf("got %v", err)
	}
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the refused file was changed, %v", err)
	}
	if left, err := filepath.Glob(path + "-*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

// TestStore_Update_durable: an update that returned is in the file that a
// second program reads, without a close.
func TestStore_Update_durable(t *testing.T) {
	s := storetest.Open(t, things)
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

// TestPostgres_restarts: while the server is away callers hear that they may
// come again, afterwards everything goes on, and what was acknowledged is there.
func TestPostgres_restarts(t *testing.T) {
	server := postgres.Start(t)
	var said bytes.Buffer
	s, err := store.Open(t.Context(), store.Options{Path: server.URI(), Migrations: []store.Migrations{things}, Logger: slog.New(slog.NewTextHandler(&said, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		for _, text := range []string{"the database cannot be reached;", "the database can be reached again"} {
			if n := strings.Count(said.String(), text); n != 2 {
				t.Errorf("%q stands %d times in the log of two outages:\n%s", text, n, said.String())
			}
		}
	}()
	stored := map[string]bool{}
	put := func(name string) error {
		err := s.Update(t.Context(), insert(name))
		if stored[name] = err == nil; err != nil && !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
		return err
	}
	for i, stop := range []func(){server.Stop, server.Kill} {
		life := lifeOf(t, server)
		if err := put(fmt.Sprint("before", i)); err != nil {
			t.Error(err)
		}
		stop()
		if err := put(fmt.Sprint("meanwhile", i)); err == nil {
			t.Error("stored without a database")
		}
		if err := s.View(t.Context(), func(tx *store.Tx) error { return tx.Row("SELECT 1").Scan(new(int)) }); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("view: %v", err)
		}
		if err := server.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		for try := 0; put(fmt.Sprint("after", i)) != nil; try++ { // within the longest pause between two attempts
			if try > 100 {
				t.Fatal("the store does not recover")
			}
			<-time.After(50 * time.Millisecond)
		}
		if crashed := i == 1; (lifeOf(t, server) != life) != crashed {
			t.Errorf("life %s, then %s; crashed: %v", life, lifeOf(t, server), crashed)
		}
	}
	got := map[string]bool{}
	if err := s.View(t.Context(), func(tx *store.Tx) error {
		return tx.Each(func(r store.Rows) error {
			var name string
			err := r.Scan(&name)
			got[name] = true
			return err
		}, "SELECT name FROM things")
	}); err != nil {
		t.Fatal(err)
	}
	for name, ok := range stored {
		if ok != got[name] {
			t.Errorf("%s: acknowledged %v, stored %v", name, ok, got[name])
		}
	}
}

// lifeOf asks as a role without rights.
func lifeOf(t *testing.T, server *postgres.Server) string {
	t.Helper()
	c, err := pgconn.Connect(t.Context(), server.URI())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	results, err := c.Exec(t.Context(), "DROP ROLE IF EXISTS ordinary; CREATE ROLE ordinary; SET ROLE ordinary; "+store.PGLife).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	life := string(results[3].Rows[0][0])
	if life == "" {
		t.Error("the server tells nothing of its life")
	}
	return life
}

func TestPostgres_errors(t *testing.T) {
	uri := postgres.URI(t)
	s, err := store.Open(t.Context(), store.Options{Path: uri, Migrations: []store.Migrations{things}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Update(t.Context(), insert("a\x00b")); !errors.Is(err, store.ErrValue) {
		t.Errorf("NUL: %v", err)
	}
	// A function that goes on after a failed statement is taken back with a word of why, not half stored.
	err = s.Update(t.Context(), func(tx *store.Tx) error {
		if err := insert("x")(tx); err != nil {
			return err
		}
		_ = insert("x")(tx)
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "went on after") {
		t.Errorf("going on: %v", err)
	}
	// A caller that gives up ends its query, not the store.
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.View(ctx, func(tx *store.Tx) error { return tx.Row("SELECT CAST(pg_sleep(60) AS TEXT)").Scan(new(string)) }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("cancelled: %v", err)
	}
	if err := s.View(t.Context(), func(tx *store.Tx) error { return tx.Row("SELECT count(*) FROM things").Scan(new(int)) }); err != nil {
		t.Error(err)
	}
}

func TestOpen_refusesForeignSchemas(t *testing.T) {
	for table, want := range map[string]string{"alembic_version": "kiwerk tracking import", "customers": "search_path"} {
		uri := postgres.URI(t)
		c, err := pgconn.Connect(t.Context(), uri)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Exec(t.Context(), "CREATE TABLE "+table+"(id TEXT)").ReadAll(); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Open(t.Context(), store.Options{Path: uri}); !errors.Is(err, store.ErrForeign) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", table, err)
		}
	}
}

// TestOpen_saysWhatToGrant to a role that may not make tables.
func TestOpen_saysWhatToGrant(t *testing.T) {
	uri := postgres.URI(t)
	c, err := pgconn.Connect(t.Context(), uri)
	if err != nil {
		t.Fatal(err)
	}
	role := fmt.Sprintf("guest-%d", time.Now().UnixNano())
	for _, sql := range []string{`CREATE ROLE "` + role + `" LOGIN`, `DO $$ BEGIN EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), '` + role + `'); END $$`} {
		if _, err := c.Exec(t.Context(), sql).ReadAll(); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		_, err := c.Exec(context.Background(), `DROP OWNED BY "`+role+`"; DROP ROLE "`+role+`"`).ReadAll()
		if err := errors.Join(err, c.Close(context.Background())); err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("user", role)
	u.RawQuery = q.Encode()
	if _, err := store.Open(t.Context(), store.Options{Path: u.String()}); err == nil || !strings.Contains(err.Error(), `TO "`+role+`"`) {
		t.Errorf("got %v", err)
	}
}

func TestOpen_hidesPasswords(t *testing.T) {
	for _, uri := range []string{"postgresql+psycopg2://me:s3cret@127.0.0.1:1/db", "postgres://127.0.0.1:1/db?user=me&password=s3cret"} {
		if _, err := store.Open(t.Context(), store.Options{Path: uri}); !errors.Is(err, store.ErrUnavailable) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("got %v", err)
		}
	}
}
