package workspaces_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/kwtest/postgres"
	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/store/storetest"
	"github.com/kiwerk/kiwerk/internal/tracking"
	"github.com/kiwerk/kiwerk/internal/tracking/workspaces"
)

func TestMain(m *testing.M) { os.Exit(postgres.Run(m.Run)) }

// everybody may do everything.
type everybody struct{}

func (everybody) Authenticate(*http.Request) (server.User, error) {
	return server.User{Name: "anna"}, nil
}

func (everybody) Authorize(context.Context, server.User, server.Permission, string) error { return nil }

// serve is a copy of the server. Between is called for requests with a
// workspace, after it was found and before they go on.
func serve(t *testing.T, db *store.Store, between func(*http.Request)) func(method, path, body, workspace string) int {
	t.Helper()
	blobs, err := blob.OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = blob.Close(blobs) }) // nothing lies there
	svc, err := tracking.New(t.Context(), tracking.Deps{Store: db, Blobs: blobs, KeyPrefix: "tracking", Clock: time.Now, NewID: tracking.RandomID, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	spaces, err := workspaces.New(t.Context(), workspaces.Options{DB: db, Contents: svc, Enabled: true})
	if err != nil {
		t.Fatal(err)
	}
	h, err := server.New(server.Options{
		Authenticator: everybody{}, Authorizer: everybody{}, Logger: slog.New(slog.DiscardHandler),
		Endpoints: append(svc.Endpoints(), spaces.Endpoints()...), Hosts: []string{"example.com"},
	})
	if err != nil {
		t.Fatal(err)
	}
	wrapped := spaces.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(server.WorkspaceHeader) != "" {
			between(r)
		}
		h.ServeHTTP(w, r)
	}), everybody{})
	return func(method, path, body, workspace string) int {
		r := httptest.NewRequest(method, path, io.Reader(strings.NewReader(body)))
		r.Header.Set("Content-Type", "application/json")
		if workspace != "" {
			r.Header.Set(server.WorkspaceHeader, workspace)
		}
		w := httptest.NewRecorder()
		wrapped.ServeHTTP(w, r)
		t.Logf("%s %s: %d %s", method, path, w.Code, w.Body)
		return w.Code
	}
}

const spacesPath = "/api/3.0/mlflow/workspaces"

// held are the experiments of a workspace.
func held(t *testing.T, db *store.Store, workspace string) (n int) {
	t.Helper()
	if err := db.View(t.Context(), func(x *store.Tx) error {
		return x.Row("SELECT count(*) FROM experiments WHERE namespace = ?", workspace).Scan(&n)
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

// A workspace goes after a request has found it: nothing is made in it any more.
func TestService_Wrap_deletedMeanwhile(t *testing.T) {
	for _, mode := range []string{"RESTRICT", "SET_DEFAULT", "CASCADE"} {
		t.Run(mode, func(t *testing.T) {
			storetest.Both(t, func(t *testing.T, open func(testing.TB, ...store.Migrations) *store.Store) {
				db := open(t)
				var call func(method, path, body, workspace string) int
				call = serve(t, db, func(*http.Request) {
					if got := call("DELETE", spacesPath+"/team?mode="+mode, "", ""); got != 204 {
						t.Errorf("deletion: %d", got)
					}
				})
				if got := call("POST", spacesPath, `{"name":"team"}`, ""); got != 201 {
					t.Fatal(got)
				}
				if got := call("POST", "/api/2.0/mlflow/experiments/create", `{"name":"x"}`, "team"); got != 404 {
					t.Errorf("creation in a workspace that is gone: %d", got)
				}
				if n := held(t, db, "team"); n != 0 {
					t.Errorf("%d experiments are left", n)
				}
			})
		})
	}
}

// A deletion waits for what is being written by another copy, and counts or moves it.
func TestService_remove_twoCopies(t *testing.T) {
	for mode, want := range map[string]struct{ status, left int }{"RESTRICT": {400, 1}, "SET_DEFAULT": {204, 0}} {
		t.Run(mode, func(t *testing.T) {
			uri := postgres.URI(t)
			one, two := copyAt(t, uri), copyAt(t, uri)
			other := serve(t, two, func(*http.Request) {})
			deleted := make(chan int, 1)
			call := serve(t, one, func(r *http.Request) {
				err := one.Update(r.Context(), func(x *store.Tx) error {
					if _, err := x.Exec("INSERT INTO experiments(namespace, name, artifact_location, created, updated) VALUES('team', 'x', '', 1, 1)"); err != nil {
						return err
					}
					go func() { deleted <- other("DELETE", spacesPath+"/team?mode="+mode, "", "") }()
					for len(deleted) == 0 && !waits(t, two) {
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
				if got := <-deleted; got != want.status {
					t.Errorf("deletion: %d, want %d", got, want.status)
				}
			})
			if got := call("POST", spacesPath, `{"name":"team"}`, ""); got != 201 {
				t.Fatal(got)
			}
			call("GET", "/api/2.0/mlflow/experiments/get-by-name?experiment_name=x", "", "team")
			if n := held(t, one, "team"); n != want.left {
				t.Errorf("%d experiments are left, want %d", n, want.left)
			}
		})
	}
}

// copyAt is the database of one copy among several.
func copyAt(t *testing.T, uri string) *store.Store {
	t.Helper()
	db, err := store.Open(t.Context(), store.Options{Path: uri})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// waits tells whether somebody waits for what another transaction holds.
func waits(t *testing.T, db *store.Store) bool {
	t.Helper()
	var n int64
	if err := db.View(t.Context(), func(x *store.Tx) error {
		return x.Row("SELECT count(*) FROM pg_locks WHERE NOT granted").Scan(&n)
	}); err != nil {
		t.Error(err)
		return true
	}
	return n > 0
}
