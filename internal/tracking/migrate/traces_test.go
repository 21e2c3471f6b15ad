package migrate_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/migrate"
	"github.com/kiwerk/kiwerk/internal/tracking/store"
	traces "github.com/kiwerk/kiwerk/internal/tracking/traces/store"
)

func tracesOf(t *testing.T, d *db.Store) *traces.Store {
	t.Helper()
	s, err := traces.New(t.Context(), traces.Options{DB: d, Clock: time.Now, NewID: func() string { return strings.Repeat("0", 32) }})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const (
	trace1 = "tr-00000000000000000000000000000001"
	trace2 = "tr-00000000000000000000000000000002"
)

func TestImport_traces(t *testing.T) {
	d, s := target(t)
	ts := tracesOf(t, d)
	files := t.TempDir()
	file := filepath.Join(files, "4", "traces", "old3", "artifacts", "traces.json")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(`{"spans": []}`), 0o600); err != nil {
		t.Fatal(err)
	}
	bucket := folder(t)
	src := source(t, mlflow(t, newest, "INSERT INTO trace_tags VALUES('mlflow.artifactLocation', 'file://"+filepath.Dir(file)+"', 'old3')"))
	r, err := migrate.Import(t.Context(), migrate.ImportOptions{
		Name: "x", Source: src, DB: d, Store: s, Traces: ts, Artifacts: &migrate.Artifacts{Bucket: bucket, Dir: files},
	})
	if err != nil || !r.Same() {
		t.Fatalf("%+v, %v", r, err)
	}
	one, err := ts.Trace(t.Context(), "default", trace1, false)
	if err != nil {
		t.Fatal(err)
	}
	if len(one.Spans) != 2 || !strings.Contains(one.Spans[0], `"name": "ask"`) {
		t.Errorf("spans: %q", one.Spans)
	}
	for what, c := range map[string][2]any{
		"name": {one.Info.Tags[traces.TagName], "answer"}, "user": {one.Info.Metadata["mlflow.trace.user"], "kim"}, "session": {one.Info.Metadata["mlflow.trace.session"], "s1"},
		"usage": {one.Info.Metadata["mlflow.trace.tokenUsage"], `{"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}`}, "duration": {*one.Info.Duration, int64(40)},
		"assessments": {len(one.Info.Assessments), 2}, "replaced": {one.Info.Assessments[0].Valid, false}, "metadata": {one.Info.Assessments[1].Metadata["n"], "1"},
	} {
		if c[0] != c[1] {
			t.Errorf("%s: got %v, want %v", what, c[0], c[1])
		}
	}
	old, err := ts.Info(t.Context(), "default", "old3")
	if err != nil || old.State != traces.Unspecified || old.Tags[traces.TagName] != "old" || old.Metadata["mlflow.trace.session"] != "s0" {
		t.Errorf("trace of an old release: %+v, %v", old, err)
	}
	if got := old.Tags[traces.TagLocation]; got != "mlflow-artifacts:/4/traces/old3/artifacts" {
		t.Errorf("location %q", got)
	}
	if _, err := bucket.Stat(t.Context(), "4/traces/old3/artifacts/traces.json"); err != nil {
		t.Error(err)
	}
	linked, err := ts.OfRun(t.Context(), "default", "a0000000000000000000000000000001")
	if diff := cmp.Diff(map[int64][]string{3: {trace2}, 4: {"old3"}}, linked); err != nil || diff != "" {
		t.Errorf("traces of the run: %s, %v", diff, err)
	}
}

// TestImport_tracesBeforeColumns: revisions whose traces have no columns for name, session and usage.
func TestImport_tracesBeforeColumns(t *testing.T) {
	var drop []string
	for _, c := range []string{
		"client_request_id", "request_preview", "response_preview", "db_payload_generation", "trace_name", "session_id", "input_tokens", "output_tokens", "total_tokens",
		"cache_read_input_tokens", "cache_creation_input_tokens", "input_cost", "output_cost", "total_cost",
	} {
		drop = append(drop, "ALTER TABLE trace_info DROP COLUMN "+c)
	}
	src := source(t, mlflow(t, newest, append(drop, "DROP TABLE spans", "DROP TABLE assessments", "DROP TABLE entity_associations")...))
	d, s := target(t)
	r, err := migrate.Import(t.Context(), migrate.ImportOptions{Name: "x", Source: src, DB: d, Store: s, Traces: tracesOf(t, d)})
	if err != nil || !r.Same() || counts(r)["traces"] != 3 || counts(r)["spans"] != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// stopping is a source that fails at a trace.
type stopping struct {
	*migrate.Database
	left int
}

var errStop = errors.New("the cable is out")

func (s *stopping) Traces(ctx context.Context, fn func(traces.Whole) error) error {
	return s.Database.Traces(ctx, func(w traces.Whole) error {
		if s.left--; s.left < 0 {
			return errStop
		}
		return fn(w)
	})
}

const manyTraces = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 350)
	INSERT INTO trace_info(request_id, experiment_id, timestamp_ms, status) SELECT printf('tr-b%031d', i), 3, i, 'OK' FROM n`

// TestImport_tracesGoOn: what came before the end of an import is not brought again.
func TestImport_tracesGoOn(t *testing.T) {
	src := source(t, mlflow(t, newest, manyTraces))
	d, s := target(t)
	ts := tracesOf(t, d)
	o := migrate.ImportOptions{Name: "x", Source: &stopping{src, 250}, DB: d, Store: s, Traces: ts}
	if _, err := migrate.Import(t.Context(), o); !errors.Is(err, errStop) {
		t.Fatal(err)
	}
	rows := func() (list []int64) {
		if err := ts.Each(t.Context(), func(w traces.Whole) error { list = append(list, w.Row); return nil }); err != nil {
			t.Fatal(err)
		}
		return list
	}
	before := rows()
	if len(before) != 200 {
		t.Errorf("%d traces before the end", len(before))
	}
	o.Source = src
	r, err := migrate.Import(t.Context(), o)
	if err != nil || !r.Same() || counts(r)["traces"] != 353 {
		t.Fatalf("%+v, %v", r, err)
	}
	if after := rows(); !slices.Equal(after[:len(before)], before) {
		t.Error("traces were written again")
	}
}

// TestImport_traceTaken: a trace of ours is not written over.
func TestImport_traceTaken(t *testing.T) {
	d, s := target(t)
	ts := tracesOf(t, d)
	if err := s.Import(t.Context(), func(in store.Import) error {
		return ts.Import(in.Tx(), traces.Whole{Namespace: "default", Info: traces.Info{ID: trace1, Experiment: 9, State: traces.OK}})
	}); err != nil {
		t.Fatal(err)
	}
	_, err := migrate.Import(t.Context(), migrate.ImportOptions{Name: "x", Source: source(t, mlflow(t, newest)), DB: d, Store: s, Traces: ts})
	if !errors.Is(err, store.ErrTaken) || !strings.Contains(err.Error(), trace1) {
		t.Errorf("got %v", err)
	}
}
