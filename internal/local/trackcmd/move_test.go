package trackcmd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/kiwerk/kiwerk/internal/cli"
	"github.com/kiwerk/kiwerk/internal/text"
)

// TestMove_addresses: an address that serve would refuse is refused here, too, and no file is made.
func TestMove_addresses(t *testing.T) {
	t.Chdir(t.TempDir())
	s := cli.Session{Err: io.Discard, Text: text.For("en")}
	if err := os.MkdirAll("mlruns/0", 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("mlruns/0/meta.yaml", []byte("experiment_id: '0'\nname: Default\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		do   func() error
		code int
	}{
		"ImportIntoPath":    {importing(t, s, "./mlruns", "kiwerk.db"), cli.ExitUsage},
		"ImportIntoMySQL":   {importing(t, s, "./mlruns", "mysql://h/kiwerk"), cli.ExitUsage},
		"ImportOfMySQL":     {importing(t, s, "mysql+pymysql://h/mlflow", "sqlite:///kiwerk.db"), cli.ExitUsage},
		"ExportOfPath":      {exporting(t, s, "kiwerk.db", "default"), cli.ExitUsage},
		"ExportOfNothing":   {exporting(t, s, "sqlite:///kiwerk.db", "default"), 0},
		"ExportOfNoProject": {exporting(t, s, "sqlite:///served.db", "nope"), cli.ExitNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			var f *cli.Failure
			if err := c.do(); !errors.As(err, &f) || f.Code != c.code {
				t.Errorf("got %v, want exit code %d", err, c.code)
			}
			if _, err := os.Stat("kiwerk.db"); err == nil {
				t.Error("a database was made")
			}
		})
	}
}

// TestMove_kiwerk: a database of ours is a source, by its address and by its path, but not for itself.
func TestMove_kiwerk(t *testing.T) {
	t.Chdir(t.TempDir())
	s := cli.Session{Err: io.Discard, Text: text.For("en"), Quiet: true}
	d, st, err := openStore(t.Context(), "sqlite:///kiwerk.db", false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.CreateExperiment(t.Context(), "default", "digits", "", nil); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	for n, source := range []string{"sqlite:///kiwerk.db", "kiwerk.db"} {
		to := fmt.Sprintf("sqlite:///other%d.db", n)
		r, err := bring(t.Context(), s, cli.ImportOptions{Source: source, To: to, Artifacts: "reference"})
		if err != nil || !r.Same || r.Lines[0].Here != 2 {
			t.Errorf("%s: %+v, %v", source, r, err)
		}
		var f *cli.Failure
		if _, err := bring(t.Context(), s, cli.ImportOptions{Source: source, To: "sqlite:///kiwerk.db", Artifacts: "reference"}); !errors.As(err, &f) || f.Code != cli.ExitUsage {
			t.Errorf("%s into itself: %v", source, err)
		}
	}
}

func importing(t *testing.T, s cli.Session, source, to string) func() error {
	t.Helper()
	return func() error {
		_, err := bring(t.Context(), s, cli.ImportOptions{Source: source, To: to, Artifacts: "reference"})
		return err
	}
}

func exporting(t *testing.T, s cli.Session, from, workspace string) func() error {
	t.Helper()
	return func() error {
		if workspace != "default" {
			d, _, err := openStore(t.Context(), from, false)
			if err != nil {
				return err
			}
			if err := d.Close(); err != nil {
				return err
			}
		}
		_, err := export(t.Context(), s, cli.ExportOptions{Dir: "out", From: from, Workspace: workspace})
		return err
	}
}
