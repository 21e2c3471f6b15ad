package trackcmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/kiwerk/kiwerk/internal/cli"
	"github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/text"
)

// TestServe_saysWhatToDo about a start that fails, once, and touches nothing.
func TestServe_saysWhatToDo(t *testing.T) {
	t.Chdir(t.TempDir())
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if err := os.WriteFile("garbage.db", []byte(strings.Repeat("no database ", 99)), 0o600); err != nil {
		t.Fatal(err)
	}
	older(t, "older.db")
	for name, c := range map[string]struct {
		change func(*cli.ServeOptions)
		code   int
		what   text.Key
		has    string // what the cause and the advice say
		hasNot string
	}{
		"PortTaken":     {func(o *cli.ServeOptions) { o.Port = taken.Addr().(*net.TCPAddr).Port }, 0, text.ServePortTaken, "--port 0", ""},
		"Open":          {func(o *cli.ServeOptions) { o.Host = "0.0.0.0" }, cli.ExitUsage, text.ServeOpen, "--insecure", ""},
		"Garbage":       {func(o *cli.ServeOptions) { o.BackendStore = "sqlite:///garbage.db" }, 0, text.ServeForeign, "no file of SQLite", "import"},
		"OtherBuild":    {func(o *cli.ServeOptions) { o.BackendStore = "sqlite:///older.db" }, 0, text.ServeOtherBuild, "0001_", ""},
		"MissingFolder": {func(o *cli.ServeOptions) { o.BackendStore = "sqlite:///none/here/x.db" }, cli.ExitUsage, text.ServeFailed, "does not exist", ""},
		"NoPostgreSQL": {
			func(o *cli.ServeOptions) { o.BackendStore = "postgresql://u:secret@127.0.0.1:1/x" }, 0, text.ServeNoDatabase, "connection refused", "secret",
		},
		"NoLogin": {func(o *cli.ServeOptions) { o.BasicAuth = true }, cli.ExitUsage, text.ServeNoAdmin, "MLFLOW_AUTH_ADMIN_PASSWORD", ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := cli.ServeOptions{Host: "127.0.0.1", BackendStore: "sqlite:///mlflow.db", Artifacts: "./mlartifacts", ServeArtifacts: true}
			c.change(&o)
			err := serve(t.Context(), cli.Session{Err: io.Discard, Text: text.For("en")}, o, func(string) string { return "" })
			var f *cli.Failure
			if !errors.As(err, &f) || f.Code != c.code || f.What.Key != c.what {
				t.Fatalf("got %v", err)
			}
			said := f.Error() + "\n" + f.Try.In(text.For("en"))
			if !strings.Contains(said, c.has) || c.hasNot != "" && strings.Contains(said, c.hasNot) || strings.Count(said, "refused") > 1 {
				t.Errorf("said: %s", said)
			}
			if _, err := os.Stat("none"); err == nil {
				t.Error("a folder was made")
			}
		})
	}
}

func TestBeside(t *testing.T) {
	for uri, want := range map[string]string{
		"sqlite:///mlflow.db": "sqlite:///kiwerk.db",
		"postgresql+psycopg2://me:secret@db:5432/mlflow?sslmode=disable": "postgresql+psycopg2://me:xxxxx@db:5432/kiwerk?sslmode=disable",
	} {
		if got := beside(uri); got != want {
			t.Errorf("%s: %s", uri, got)
		}
	}
}

// TestServe_namesTheArtifacts that clients reach, also where the server has none.
func TestServe_namesTheArtifacts(t *testing.T) {
	t.Chdir(t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var said strings.Builder
	o := cli.ServeOptions{Host: "127.0.0.1", BackendStore: "sqlite:///mlflow.db", Artifacts: "./mlartifacts"}
	w := io.MultiWriter(&said, whenWritten(cancel))
	if err := serve(ctx, cli.Session{Err: w, Text: text.For("en")}, o, func(string) string { return "" }); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said.String(), "artifacts ./mlruns") {
		t.Errorf("said %s", said.String())
	}
}

func TestServe_refusesALevel(t *testing.T) {
	t.Chdir(t.TempDir())
	o := cli.ServeOptions{Host: "127.0.0.1", BackendStore: "sqlite:///mlflow.db", Artifacts: "./mlartifacts", ServeArtifacts: true}
	err := serve(t.Context(), cli.Session{Err: io.Discard, Text: text.For("en")}, o, func(k string) string { return map[string]string{"MLFLOW_LOGGING_LEVEL": "foo"}[k] })
	var f *cli.Failure
	if !errors.As(err, &f) || f.Code != cli.ExitUsage || f.What.Key != text.ServeLevel {
		t.Errorf("got %v", err)
	}
}

// older makes a database whose first migration is not the one of this build.
func older(t *testing.T, file string) {
	t.Helper()
	o := cli.ServeOptions{Host: "127.0.0.1", BackendStore: "sqlite:///" + file, Artifacts: "./mlartifacts", ServeArtifacts: true}
	ctx, cancel := context.WithCancel(t.Context())
	if err := serve(ctx, cli.Session{Err: whenWritten(cancel), Text: text.For("en")}, o, func(string) string { return "" }); err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), store.Options{Path: file})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(t.Context(), func(tx *store.Tx) error {
		n, err := tx.Exec("UPDATE kiwerk_migrations SET digest = 'x' WHERE owner = 'tracking' AND version = 1")
		if err == nil && n != 1 {
			err = fmt.Errorf("%d rows", n)
		}
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// whenWritten is called when the server says that it runs.
type whenWritten func()

func (f whenWritten) Write(b []byte) (int, error) {
	f()
	return len(b), nil
}
