package migrate_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/kwtest/postgres"
	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/client"
	"github.com/kiwerk/kiwerk/internal/tracking/migrate"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/store"
	traces "github.com/kiwerk/kiwerk/internal/tracking/traces/store"
)

// child makes the test program an import of "SOURCE TARGET".
const child = "KIWERK_TEST_IMPORT"

func TestMain(m *testing.M) {
	if source, target, ok := strings.Cut(os.Getenv(child), " "); ok {
		if err := importChild(context.Background(), source, target); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(postgres.Run(m.Run))
}

func importChild(ctx context.Context, source, target string) error {
	var src migrate.Source
	if strings.HasPrefix(source, "http:") {
		c, err := client.New(client.Options{URI: source})
		if err != nil {
			return err
		}
		if src, err = migrate.OpenServer(ctx, c); err != nil {
			return err
		}
	} else {
		m, err := migrate.OpenDatabase(ctx, source)
		if err != nil {
			return err
		}
		defer m.Close()
		src = m
	}
	d, s, err := open(ctx, target)
	if err != nil {
		return err
	}
	ts, err := traces.New(ctx, traces.Options{DB: d, Clock: time.Now, NewID: func() string { return "" }})
	if err != nil {
		return err
	}
	_, err = migrate.Import(ctx, migrate.ImportOptions{
		Name: "test", Source: src, DB: d, Store: s, Traces: ts, Progress: func(runs, points, traces int64) { fmt.Fprintln(os.Stdout, runs, points, traces) },
	})
	return errors.Join(err, d.Close())
}

func open(ctx context.Context, path string) (*db.Store, *store.Store, error) {
	d, err := db.Open(ctx, db.Options{Path: path})
	if err != nil {
		return nil, nil, err
	}
	s, err := store.New(ctx, store.Options{
		DB: d, Clock: time.Now, NewID: func() string { return strings.Repeat("0", 32) }, ArtifactRoot: "mlflow-artifacts:", DefaultNamespace: "default",
	})
	return d, s, err
}

// target is a fresh database of ours.
func target(t *testing.T) (*db.Store, *store.Store) {
	t.Helper()
	d, s, err := open(t.Context(), filepath.Join(t.TempDir(), "kiwerk.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d, s
}

// mlflow makes a database from files of testdata and further statements.
func mlflow(t *testing.T, files []string, more ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "mlflow.db")
	c, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join("testdata", f))
		if err != nil {
			t.Fatal(err)
		}
		more = append([]string{string(b)}, more...)
	}
	for _, s := range more {
		if _, err := c.ExecContext(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	return file
}

var newest = []string{"3.17.sql", "2.0.sql"} // each is put before the one in front

func source(t *testing.T, file string) *migrate.Database {
	t.Helper()
	src, err := migrate.OpenDatabase(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close() })
	return src
}

func counts(r *migrate.Report) map[string]int64 {
	m := map[string]int64{}
	for _, l := range r.Lines {
		m[l.Kind] = l.Source.Count
	}
	return m
}

func TestImport_revisions(t *testing.T) {
	for name, c := range map[string]struct {
		files []string
		want  map[string]int64
	}{
		"2.0": {[]string{"2.0.sql"}, map[string]int64{
			"experiments": 3, "runs": 3, "metrics": 5, "params": 2, "tags": 3, "inputs": 0, "logged models": 0, "registered models": 2, "model versions": 2, "aliases": 0, "traces": 0, "spans": 0, "assessments": 0,
			"evaluation datasets": 0, "evaluation records": 0, "scorers": 0, "issues": 0,
		}},
		"3.17": {newest, map[string]int64{
			"experiments": 3, "runs": 3, "metrics": 5, "params": 2, "tags": 3, "inputs": 3, "logged models": 1, "registered models": 2, "model versions": 3, "aliases": 1, "traces": 3, "spans": 2, "assessments": 3,
			"evaluation datasets": 2, "evaluation records": 2, "scorers": 1, "issues": 1,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			src := source(t, mlflow(t, c.files))
			d, s := target(t)
			for range 2 { // the second time nothing is new
				r, err := migrate.Import(t.Context(), migrate.ImportOptions{Name: "x", Source: src, DB: d, Store: s, Traces: tracesOf(t, d)})
				if err != nil {
					t.Fatal(err)
				}
				if !r.Same() {
					t.Errorf("both sides differ: %+v", r.Lines)
				}
				if diff := cmp.Diff(c.want, counts(r)); diff != "" {
					t.Error(diff)
				}
			}
			run, err := s.Run(t.Context(), "default", "a0000000000000000000000000000001")
			if err != nil || run.User != "kim" || run.End != 200 || run.Status != model.Finished || run.ExperimentID != 3 {
				t.Errorf("run: %+v, %v", run, err)
			}
			v, err := s.ModelVersion(t.Context(), "default", "net", "1")
			if err != nil || v.Stage != "Production" || v.Created != 12 {
				t.Errorf("version: %+v, %v", v, err)
			}
			id, err := s.CreateExperiment(t.Context(), "default", "new", "", nil)
			if err != nil || id <= 4 {
				t.Errorf("a new experiment got number %d: %v", id, err)
			}
		})
	}
}

// TestImport_postgres: from MLflow's database on PostgreSQL to ours there.
func TestImport_postgres(t *testing.T) {
	uri := postgres.URI(t)
	c, err := sql.Open("pgx", uri)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, f := range []string{"2.0.sql", "3.17.sql"} {
		b, err := os.ReadFile(filepath.Join("testdata", f))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.ExecContext(t.Context(), string(b)); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
	}
	d, s, err := open(t.Context(), postgres.URI(t))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	r, err := migrate.Import(t.Context(), migrate.ImportOptions{Name: "x", Source: source(t, uri), DB: d, Store: s, Traces: tracesOf(t, d)})
	if err != nil || !r.Same() {
		t.Fatalf("%+v, %v", r, err)
	}
	d2, s2 := target(t)
	lite, err := migrate.Import(t.Context(), migrate.ImportOptions{Name: "y", Source: source(t, mlflow(t, newest)), DB: d2, Store: s2, Traces: tracesOf(t, d2)})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(lite.Lines, r.Lines); diff != "" {
		t.Errorf("PostgreSQL and SQLite differ: %s", diff)
	}
	id, err := s.CreateExperiment(t.Context(), "default", "new", "", nil)
	if err != nil || id <= 4 {
		t.Errorf("a new experiment got number %d: %v", id, err)
	}
}

func TestImport_dryRun(t *testing.T) {
	src := source(t, mlflow(t, newest))
	d, s := target(t)
	r, err := migrate.Import(t.Context(), migrate.ImportOptions{Name: "x", Source: src, DB: d, Store: s, DryRun: true})
	if err != nil || counts(r)["runs"] != 3 {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := s.RunInfo(t.Context(), "default", "a0000000000000000000000000000001"); !model.IsMissing(err) {
		t.Errorf("the dry run wrote: %v", err)
	}
}

func TestImport_conflicts(t *testing.T) {
	src := source(t, mlflow(t, newest))
	for name, prepare := range map[string]func(context.Context, *store.Store) error{
		"Number": func(ctx context.Context, s *store.Store) error {
			for _, n := range []string{"a", "b", "c"} {
				if _, err := s.CreateExperiment(ctx, "default", n, "", nil); err != nil {
					return err
				}
			}
			return nil
		},
		"Name": func(ctx context.Context, s *store.Store) error {
			_, err := s.CreateExperiment(ctx, "default", "gone", "", nil)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			d, s := target(t)
			if err := prepare(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			_, err := migrate.Import(t.Context(), migrate.ImportOptions{Name: "x", Source: src, DB: d, Store: s})
			if !errors.Is(err, store.ErrTaken) {
				t.Errorf("got %v", err)
			}
			if _, err := s.RunInfo(t.Context(), "default", "a0000000000000000000000000000001"); !model.IsMissing(err) {
				t.Errorf("runs were brought all the same: %v", err)
			}
		})
	}
}

func TestOpenDatabase_refuses(t *testing.T) {
	for name, statement := range map[string]string{
		"TooOld": "UPDATE alembic_version SET version_num = 'bd07f7e963c5'", "Unknown": "UPDATE alembic_version SET version_num = 'ffffffffffff'",
		"NoMLflow": "DROP TABLE alembic_version",
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := migrate.OpenDatabase(t.Context(), mlflow(t, newest, statement)); !errors.Is(err, migrate.ErrUnsupported) {
				t.Errorf("got %v", err)
			}
		})
	}
	if _, err := migrate.OpenDatabase(t.Context(), "sqlite:///"+filepath.Join(t.TempDir(), "none.db")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

// many adds runs with points: 200 small ones and one with a history that needs several transactions.
const many = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500)
	INSERT INTO runs SELECT printf('b%031d', i), 'r' || i, 'LOCAL', '', '', 'u', 'FINISHED', i, i + 1, '', 'active', '', 3, NULL FROM n;
	WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500)
	INSERT INTO metrics SELECT 'm', i / 7.0, i, printf('b%031d', i), i, 0 FROM n;
	WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 120000)
	INSERT INTO metrics SELECT 'long', i / 3.0, i, printf('b%031d', 700), i, 0 FROM n;`

// killed imports into path, kill -9 after each batch that was told, and again, until it is whole.
func killed(t *testing.T, source, path string) (n int) {
	t.Helper()
	for after := 1; ; after = after%3 + 1 {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), child+"="+source+" "+path)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; n < after && lines.Scan(); n++ {
			continue
		}
		if lines.Text() != "" {
			_ = cmd.Process.Kill()
			n++
		}
		if err := cmd.Wait(); err == nil {
			return n
		}
		if n > 50 {
			t.Fatal("the import makes no progress")
		}
	}
}

// TestImport_kill: kill -9 after each batch that was told, and again.
func TestImport_kill(t *testing.T) {
	file := mlflow(t, newest, many)
	path := filepath.Join(t.TempDir(), "kiwerk.db")
	n := killed(t, file, path)
	if n < 3 {
		t.Errorf("killed only %d times", n)
	}
	d, s, err := open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	r, err := migrate.Import(t.Context(), migrate.ImportOptions{Name: "test", Source: source(t, file), DB: d, Store: s, Traces: tracesOf(t, d)})
	if err != nil || !r.Same() || counts(r)["metrics"] != 121505 {
		t.Errorf("after %d kills: %+v, %v", n, r, err)
	}
}

// TestImport_repeatedPoints: MLflow writes points into a folder again that are there.
func TestImport_repeatedPoints(t *testing.T) {
	dir := t.TempDir()
	const run = "a0000000000000000000000000000001"
	for name, content := range map[string]string{
		"7/meta.yaml":                "experiment_id: '7'\nname: seven\nartifact_location: file:///nowhere/7\nlifecycle_stage: active\ncreation_time: 1\nlast_update_time: 1\n",
		"7/" + run + "/meta.yaml":    "run_id: " + run + "\nrun_uuid: " + run + "\nexperiment_id: '7'\nrun_name: r\nuser_id: me\nstatus: 3\nstart_time: 1\nend_time: 2\nlifecycle_stage: active\nartifact_uri: file:///nowhere/7/" + run + "/artifacts\n",
		"7/" + run + "/metrics/acc":  "10 0.5 0\n11 0.7 1\n10 0.5 0\n11 0.7 1 iris d1\n11 0.8 1\n",
		"7/" + run + "/metrics/nan":  "10 nan 0\n10 nan 0\n",
		"7/" + run + "/metrics/zero": "10 0.0 0\n10 -0.0 0\n",
		"7/models/m-1/meta.yaml":     "model_id: m-1\nexperiment_id: '7'\nname: m\nmodel_type: ''\nartifact_location: file:///nowhere/7/models/m-1/artifacts\nsource_run_id: " + run + "\nstatus: 2\ncreation_timestamp: 1\nlast_updated_timestamp: 2\nlifecycle_stage: active\n",
		"7/models/m-1/metrics/acc":   "11 0.7 1 " + run + "\n11 0.7 1 " + run + "\n11 0.7 1 " + run + " iris d1\n",
	} {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	src, err := migrate.OpenFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	d, s := target(t)
	r, err := migrate.Import(t.Context(), migrate.ImportOptions{Name: "twice", Source: src, DB: d, Store: s})
	if err != nil || !r.Same() || counts(r)["metrics"] != 5 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestExport: what goes out as mlruns and comes in again is the same, artifacts too.
func TestExport(t *testing.T) {
	files := t.TempDir()
	name := filepath.Join(files, "3", "a0000000000000000000000000000001", "artifacts", "model", "w.bin")
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte("weights"), 0o600); err != nil {
		t.Fatal(err)
	}
	bucket := folder(t)
	d, s := target(t)
	r, err := migrate.Import(t.Context(), migrate.ImportOptions{
		Name: "x", Source: source(t, mlflow(t, newest)), DB: d, Store: s, Traces: tracesOf(t, d), Artifacts: &migrate.Artifacts{Bucket: bucket, Served: files, Dir: files},
	})
	if err != nil || r.Artifacts.Copied != 1 || r.Artifacts.Elsewhere != 1 {
		t.Fatalf("%+v, %v", r.Artifacts, err)
	}
	dir := filepath.Join(t.TempDir(), "mlruns")
	for n := range 2 {
		e, err := migrate.Export(t.Context(), migrate.ExportOptions{Source: migrate.Kiwerk(s, tracesOf(t, d)), Dir: dir, Bucket: bucket})
		if err != nil {
			t.Fatal(err)
		}
		if want := []int64{3, 0}[n]; e.Runs != want {
			t.Errorf("round %d wrote %d runs: %+v", n, e.Runs, e)
		}
		if want := []migrate.Kept{{}, {Runs: 3, Models: counts(r)["logged models"], Traces: counts(r)["traces"]}}[n]; e.Kept != want {
			t.Errorf("round %d left %+v alone, want %+v", n, e.Kept, want)
		}
	}
	back, err := migrate.OpenFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	d2, s2 := target(t)
	again := folder(t)
	r2, err := migrate.Import(t.Context(), migrate.ImportOptions{Name: "y", Source: back, DB: d2, Store: s2, Traces: tracesOf(t, d2), Artifacts: &migrate.Artifacts{Bucket: again, Dir: dir}})
	if err != nil || !r2.Same() {
		t.Fatalf("%+v, %v", r2, err)
	}
	for i, l := range r2.Lines {
		if l.Kind == "evaluation datasets" {
			break // that layout has none, and no scorers and issues
		}
		if l.Source != r.Lines[i].Source {
			t.Errorf("%s: %+v became %+v", l.Kind, r.Lines[i].Source, l.Source)
		}
	}
	v, err := s2.ModelVersion(t.Context(), "default", "net", "1")
	if err != nil || v.Source != "mlflow-artifacts:/3/a0000000000000000000000000000001/artifacts/model" {
		t.Errorf("source of the version: %q, %v", v.Source, err)
	}
	if _, err := again.Stat(t.Context(), "3/a0000000000000000000000000000001/artifacts/model/w.bin"); err != nil {
		t.Error(err)
	}
}

func folder(t *testing.T) blob.Bucket {
	t.Helper()
	b, err := blob.OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}
