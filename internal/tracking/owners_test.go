package tracking_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"testing"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking"
	"github.com/kiwerk/kiwerk/internal/tracking/access"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// killed ends the process without a word at one of the steps of a change.
type killed struct {
	*access.Service
	at string
}

const deathAt = "KIWERK_TEST_DEATH_AT"

func (k killed) die(at string) {
	if k.at == at {
		os.Exit(9)
	}
}

func (k killed) Made(ctx context.Context, t *store.Tx, o model.Owned) error {
	k.die("before the grant")
	err := k.Service.Made(ctx, t, o)
	k.die("after the grant")
	return err
}

func (k killed) Renamed(ctx context.Context, t *store.Tx, o model.Owned, to string) error {
	err := k.Service.Renamed(ctx, t, o, to)
	k.die("after the rename")
	return err
}

func (k killed) Settled() {
	k.die("after the commit")
	k.Service.Settled()
}

// TestOwners_killed: wherever the program dies, who has made an object may
// manage it, and what was not made leaves no grant.
func TestOwners_killed(t *testing.T) {
	if dir := os.Getenv("KIWERK_TEST_DIR"); dir != "" {
		makeAndDie(t, dir, os.Getenv(deathAt), os.Getenv("KIWERK_TEST_CALL"))
		return
	}
	const create, rename = "experiments/create", "registered-models/rename"
	for at, call := range map[string]string{"before the grant": create, "after the grant": create, "after the commit": create, "after the rename": rename} {
		t.Run(at, func(t *testing.T) {
			dir := t.TempDir()
			c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestOwners_killed$", "-test.count=1")
			c.Env = append(os.Environ(), "KIWERK_TEST_DIR="+dir, deathAt+"="+at, "KIWERK_TEST_CALL="+call)
			out, err := c.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 9 {
				t.Fatalf("%v: %s", err, out)
			}
			p := ownedAt(t, dir, "")
			status, _ := p.do("GET", "/api/2.0/mlflow/experiments/get?experiment_id=1", "", "User", "anna")
			granted, answer := p.do("GET", "/api/3.0/mlflow/users/permissions/get?username=anna&resource_type=experiment&resource_id=1", "", "User", "admin")
			permission := fmt.Sprint(answer["permission"])
			switch at {
			case "after the rename":
				if status, _ := p.do("GET", "/api/2.0/mlflow/registered-models/get?name=m", "", "User", "anna"); status != http.StatusOK {
					t.Errorf("the model that was not renamed: %d", status)
				}
			case "after the commit":
				if status != http.StatusOK || permission != access.Manage {
					t.Errorf("made, and %d, granted %d %s", status, granted, permission)
				}
			default:
				if _, answer := p.do("GET", "/api/2.0/mlflow/experiments/get?experiment_id=1", "", "User", "admin"); answer["experiment"] != nil || permission != access.None {
					t.Errorf("not made, but %v, granted %d %s", answer, granted, permission)
				}
			}
		})
	}
}

// ownedAt is tracking with the user anna, whose death comes at a step.
func ownedAt(t *testing.T, dir, death string) *platform {
	t.Helper()
	database, db, users := usersAt(t, dir)
	p := startAt(t, database, dir, nil, func(d *tracking.Deps) { d.Store, d.Owners = db, killed{users, death} })
	p.db = db
	var err error
	p.handler, err = server.New(server.Options{
		Authenticator: byHeader{}, Authorizer: users, Hosts: []string{"example.com"}, Logger: slog.New(slog.DiscardHandler),
		Endpoints: append(users.Govern(p.Endpoints(), p.Service, access.Artifacts{}), users.Endpoints()...),
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func makeAndDie(t *testing.T, dir, at, call string) {
	t.Helper()
	safe := ownedAt(t, dir, "")
	safe.must("POST", "users/create", `{"username":"anna","password":"password of anna"}`, "User", "admin")
	safe.must("POST", "registered-models/create", `{"name":"m"}`, "User", "anna")
	p := ownedAt(t, dir, at)
	p.must("POST", call, `{"name":"m","new_name":"n"}`, "User", "anna")
	t.Fatal("the program lives")
}

// TestGoverned_withoutDatabase: who cannot be looked up is not refused: a client comes again after 5xx, not after 403.
func TestGoverned_withoutDatabase(t *testing.T) {
	p := ownedAt(t, t.TempDir(), "")
	p.must("POST", "users/create", `{"username":"anna","password":"password of anna"}`, "User", "admin")
	if err := p.db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"registered-models/get?name=m", "users/get?username=anna"} {
		if status, body := p.do("GET", "/api/2.0/mlflow/"+path, "", "User", "anna"); status < 500 {
			t.Errorf("%s: %d %v", path, status, body)
		}
	}
}
