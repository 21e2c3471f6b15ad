package store

import (
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"strings"
	"testing"
	"testing/fstest"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/store/storetest"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// upTo is the schema as it was at a version.
func upTo(t *testing.T, version int) db.Migrations {
	t.Helper()
	m := Migrations()
	only := fstest.MapFS{}
	if err := fs.WalkDir(m.FS, ".", func(name string, _ fs.DirEntry, err error) error {
		if err != nil || path.Ext(name) != ".sql" || path.Base(name) >= fmt.Sprintf("%04d", version+1) {
			return err
		}
		b, err := fs.ReadFile(m.FS, name)
		only[name] = &fstest.MapFile{Data: b}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return db.Migrations{Owner: m.Owner, FS: only}
}

// TestMigrations: what a database of a former version holds is there after the
// start of this one. Each new migration adds a fixture testdata/NNNN.sql of the
// version before it.
func TestMigrations(t *testing.T) {
	storetest.Both(t, func(t *testing.T, open func(testing.TB, ...db.Migrations) *db.Store) {
		t.Helper()
		d := open(t, upTo(t, 1))
		b, err := os.ReadFile("testdata/0001.sql")
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Update(t.Context(), func(tx *db.Tx) error { return tx.Script(string(b)) }); err != nil {
			t.Fatal(err)
		}
		s := newStore(t, d)
		r, err := s.Run(t.Context(), "default", "0123456789abcdef0123456789abcdef")
		if err != nil || r.Name != "a run" || r.User != "anna" || len(r.Params) != 1 || len(r.Tags) != 1 || len(r.Metrics) != 1 || !math.IsNaN(r.Metrics[0].Value) {
			t.Errorf("run %+v, %v", r, err)
		}
		points, _, err := s.History(t.Context(), "default", r.ID, "loss", 0, "")
		if err != nil || len(points) != 3 || points[1].Value != 0.25 {
			t.Errorf("history %v, %v", points, err)
		}
		e, err := s.ExperimentByName(t.Context(), "default", "first")
		if err != nil || len(e.Tags) != 1 || e.Tags[0].Value != "Zoë" {
			t.Errorf("experiment %+v, %v", e, err)
		}
		list, _, err := s.SearchRuns(t.Context(), "default", RunQuery{Experiments: []string{fmt.Sprint(e.ID)}, View: model.All, Max: 10, Filter: "params.lr = '0.01'"})
		if err != nil || len(list) != 1 {
			t.Errorf("search: %d runs, %v", len(list), err)
		}
		if _, err := s.Experiment(t.Context(), "team-a", fmt.Sprint(e.ID+1)); err != nil {
			t.Error(err)
		}
		// What is new does not collide with what was there.
		id, err := s.CreateExperiment(t.Context(), "default", "second", "", nil)
		if err != nil || id <= e.ID+1 {
			t.Errorf("experiment %d, %v", id, err)
		}
		if err := s.LogMetric(t.Context(), "default", r.ID, model.Metric{Key: "loss", Value: 1, Timestamp: 9, Step: 9}); err != nil {
			t.Error(err)
		}
	})
}

// TestMigrations_bothDialects: every step of the schema exists in both.
func TestMigrations_bothDialects(t *testing.T) {
	names := func(d db.Dialect) string {
		files, err := fs.Glob(Migrations().FS, "migrations/"+string(d)+"/*.sql")
		if err != nil {
			t.Fatal(err)
		}
		for i, f := range files {
			files[i] = path.Base(f)
		}
		return strings.Join(files, " ")
	}
	if s, p := names(db.SQLite), names(db.Postgres); s != p || s == "" {
		t.Errorf("SQLite has %q, PostgreSQL %q", s, p)
	}
}
