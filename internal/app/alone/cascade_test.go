package alone

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"maps"
	neturl "net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kiwerk/kiwerk/internal/store"
)

// openDatabase opens the one that a server has.
func openDatabase(t *testing.T, database, dir string) *store.Store {
	t.Helper()
	file, err := DatabasePath(database, dir)
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), store.Options{Path: file, Readers: 1})
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

// tables counts the rows of each table; those that only grow are left out.
func tables(t *testing.T, db *store.Store) map[string]int64 {
	t.Helper()
	counts := map[string]int64{}
	err := db.View(t.Context(), func(tx *store.Tx) error {
		list := "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
		if db.Dialect() == store.Postgres {
			list = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
		}
		var names []string
		err := tx.Each(func(r store.Rows) error {
			var name string
			err := r.Scan(&name)
			names = append(names, name)
			return err
		}, list)
		for _, name := range names {
			var n int64
			if err == nil && name != "run_keys" {
				err = tx.Row("SELECT count(*) FROM " + name).Scan(&n)
				counts[name] = n
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return counts
}

// named counts the rows of each table that belong to a workspace by themselves.
func named(t *testing.T, db *store.Store, workspace string) map[string]int64 {
	t.Helper()
	list := "SELECT m.name, c.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND c.name IN ('namespace', 'workspace')"
	if db.Dialect() == store.Postgres {
		list = "SELECT CAST(table_name AS TEXT), CAST(column_name AS TEXT) FROM information_schema.columns WHERE table_schema = current_schema() AND column_name IN ('namespace', 'workspace')"
	}
	counts := map[string]int64{}
	err := db.View(t.Context(), func(tx *store.Tx) error {
		columns := map[string]string{}
		err := tx.Each(func(r store.Rows) error {
			var table, column string
			err := r.Scan(&table, &column)
			columns[table] = column
			return err
		}, list)
		if len(columns) < 7 {
			t.Errorf("only these tables name a workspace: %v", columns)
		}
		for table, column := range columns {
			var n int64
			if err == nil {
				err = tx.Row("SELECT count(*) FROM "+table+" WHERE "+column+" = ?", workspace).Scan(&n)
			}
			if n > 0 {
				counts[table] = n
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return counts
}

// files are those in the folder of artifacts.
func files(t *testing.T, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(dir, "mlartifacts"), func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			list = append(list, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// fill puts something of each kind into a workspace.
func fill(t *testing.T, url, workspace string, runs int) {
	t.Helper()
	in := []string{"X-MLFLOW-WORKSPACE", workspace}
	v2, v3 := url+"/api/2.0/mlflow/", url+"/api/3.0/mlflow/"
	exp := field(t, want(t, 200, "POST", v2+"experiments/create", object{"name": "e", "tags": []object{{"key": "a", "value": "b"}}}, in), "experiment_id")
	for i := range runs {
		run := field(t, want(t, 200, "POST", v2+"runs/create", object{"experiment_id": exp, "start_time": 1}, in), "run", "info", "run_id")
		want(t, 200, "POST", v2+"runs/log-batch", object{
			"run_id": run, "metrics": []object{{"key": "m", "value": 1, "timestamp": 1, "step": 1}}, "params": []object{{"key": "p", "value": "v"}}, "tags": []object{{"key": "t", "value": "v"}},
		}, in)
		want(t, 200, "PUT", fmt.Sprintf("%s/api/2.0/mlflow-artifacts/artifacts/%s/%s/artifacts/f", url, exp, run), "x", in)
		if i > 0 {
			continue
		}
		dataset := object{"name": "d", "digest": "x", "source_type": "s", "source": "s"}
		want(t, 200, "POST", v2+"runs/log-inputs", object{"run_id": run, "datasets": []object{{"dataset": dataset, "tags": []object{{"key": "a", "value": "b"}}}}}, in)
		logged := field(t, want(t, 200, "POST", v2+"logged-models", object{"experiment_id": exp, "name": "m", "source_run_id": run, "params": []object{{"key": "a", "value": "b"}}, "tags": []object{{"key": "a", "value": "b"}}}, in), "model", "info", "model_id")
		want(t, 200, "POST", v2+"runs/outputs", object{"run_id": run, "models": []object{{"model_id": logged, "step": 1}}}, in)
		want(t, 200, "POST", v2+"traces/link-to-run", object{"trace_ids": []string{"tr-later"}, "run_id": run}, in)
		want(t, 200, "POST", v2+"registered-models/create", object{"name": "r", "tags": []object{{"key": "a", "value": "b"}}}, in)
		want(t, 200, "POST", v2+"model-versions/create", object{"name": "r", "source": "models:/" + logged, "model_id": logged, "tags": []object{{"key": "a", "value": "b"}}}, in)
		want(t, 200, "POST", v2+"registered-models/alias", object{"name": "r", "alias": "best", "version": "1"}, in)
	}
	trace := object{
		"trace_id": "tr-1", "trace_location": object{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": object{"experiment_id": exp}},
		"request_time": "2026-01-01T00:00:00Z", "state": "OK", "tags": object{"a": "b"}, "trace_metadata": object{"a": "b"},
	}
	want(t, 200, "POST", v3+"traces", object{"trace": object{"trace_info": trace}}, in)
	want(t, 200, "POST", v3+"traces/tr-1/assessments", object{"assessment": object{
		"assessment_name": "good", "trace_id": "tr-1", "source": object{"source_type": "HUMAN", "source_id": "a"}, "feedback": object{"value": true},
		"create_time": "2026-01-01T00:00:00Z", "last_update_time": "2026-01-01T00:00:00Z",
	}}, in)
	data := field(t, want(t, 200, "POST", v3+"datasets/create", object{"name": "qa", "experiment_ids": []string{exp}}, in), "dataset", "dataset_id")
	want(t, 200, "POST", v3+"datasets/"+data+"/records", object{"records": `[{"inputs": {"a": 1}}]`}, in)
	want(t, 200, "POST", v2+"webhooks", object{"name": "w", "url": "http://127.0.0.1:1/", "events": []object{{"entity": "REGISTERED_MODEL", "action": "CREATED"}}}, in)
	mcp := v3 + "mcp-servers/com.example%2Ffiles"
	want(t, 200, "POST", mcp+"/versions", object{"server_json": object{"name": "com.example/files", "version": "1.0.0"}}, in)
	want(t, 200, "POST", mcp+"/versions/1.0.0/tags", object{"key": "a", "value": "b"}, in)
	want(t, 200, "POST", mcp+"/tags", object{"key": "a", "value": "b"}, in)
	want(t, 200, "POST", mcp+"/aliases", object{"alias": "best", "version": "1.0.0"}, in)
	want(t, 200, "POST", mcp+"/endpoints", object{"url": "https://example.org/mcp", "server_alias": "best"}, in)
}

// private lets webhooks lead to this machine.
func private(name string) string {
	return map[string]string{"MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true", "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http"}[name]
}

func TestWorkspaces_deleteWithContents(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		url, dir := start(t, func(o *Options) { o.Database, o.Workspaces, o.Getenv = database, true, private })
		spaces := url + "/api/3.0/mlflow/workspaces"
		want(t, 201, "POST", spaces, object{"name": "keep"}, nil)
		fill(t, url, "keep", 1)
		db := openDatabase(t, database, dir)
		before, beforeFiles := tables(t, db), files(t, dir)
		want(t, 201, "POST", spaces, object{"name": "team"}, nil)
		fill(t, url, "team", 3)
		empty := map[string]bool{ // of no workspace, or filled by what takes too long here
			"kiwerk_migrations": true, "artifact_secrets": true, "tracking_imports": true, "webhook_key": true,
			"webhook_deliveries": true, "trace_spans": true, "trace_links": true, "genai_items": true, "logged_model_metrics": true,
		}
		for name, n := range tables(t, db) {
			if n == before[name] && !empty[name] {
				t.Errorf("nothing of the workspace is in %s: let fill put something there, and Service.Clear remove it", name)
			}
		}
		body := want(t, 400, "DELETE", spaces+"/team", nil, nil)
		for _, what := range []string{"1 in experiments", "1 in registered models", "1 in webhooks", "1 in traces", "1 in datasets"} {
			if !strings.Contains(body, what) {
				t.Errorf("no %q in %s", what, body)
			}
		}
		want(t, 204, "DELETE", spaces+"/team?mode=CASCADE", nil, nil)
		want(t, 404, "GET", spaces+"/team", nil, nil)
		if diff := cmp.Diff(before, tables(t, db)); diff != "" {
			t.Errorf("rows before and after: %s", diff)
		}
		if diff := cmp.Diff(beforeFiles, files(t, dir)); diff != "" {
			t.Errorf("files before and after: %s", diff)
		}
	})
}

func TestWorkspaces_deleteIntoDefault(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		url, dir := start(t, func(o *Options) { o.Database, o.Workspaces, o.Getenv = database, true, private })
		spaces, v2 := url+"/api/3.0/mlflow/workspaces", url+"/api/2.0/mlflow/"
		for _, name := range []string{"one", "two", "three"} {
			want(t, 201, "POST", spaces, object{"name": name}, nil)
			if name != "three" {
				fill(t, url, name, 1)
			}
		}
		// The default experiment of each begins with its first run.
		first := object{"experiment_id": "0", "start_time": 1}
		var ran []string
		for _, name := range []string{"one", "three"} {
			ran = append(ran, field(t, want(t, 200, "POST", v2+"runs/create", first, []string{"X-MLFLOW-WORKSPACE", name}), "run", "info", "run_id"))
		}
		db := openDatabase(t, database, dir)
		before := tables(t, db)
		want(t, 204, "DELETE", spaces+"/one?mode=SET_DEFAULT", nil, nil)
		before["workspaces"]--
		if diff := cmp.Diff(before, tables(t, db)); diff != "" {
			t.Errorf("rows before and after: %s", diff)
		}
		for table, n := range named(t, db, "one") {
			t.Errorf("%d rows of %s are still in the workspace: let Service.Move take them along", n, table)
		}
		exp := field(t, want(t, 200, "GET", v2+"experiments/get-by-name?experiment_name=e", nil, nil), "experiment", "experiment_id")
		body := want(t, 200, "POST", v2+"runs/search", object{"experiment_ids": []string{exp}, "filter": "params.p = 'v'"}, nil)
		_, run, _ := strings.Cut(body, `"run_id": "`)
		run, _, _ = strings.Cut(run, `"`)
		want(t, 200, "GET", fmt.Sprintf("%s/api/2.0/mlflow-artifacts/artifacts/%s/%s/artifacts/f", url, exp, run), nil, nil)
		want(t, 200, "GET", url+"/api/3.0/mlflow/traces/tr-1", nil, nil)
		if body := want(t, 400, "DELETE", spaces+"/two?mode=SET_DEFAULT", nil, nil); !strings.Contains(body, `registered models: \"r\"`) || !strings.Contains(body, "kiwerk runs gc") {
			t.Error(body)
		}
		want(t, 200, "POST", v2+"experiments/create", object{"name": "Default (three)"}, nil)
		want(t, 204, "DELETE", spaces+"/three?mode=SET_DEFAULT", nil, nil)
		for i, name := range []string{"Default (one)", "Default (three 2)"} {
			exp := field(t, want(t, 200, "GET", v2+"experiments/get-by-name?experiment_name="+neturl.QueryEscape(name), nil, nil), "experiment", "experiment_id")
			if got := field(t, want(t, 200, "GET", v2+"runs/get?run_id="+ran[i], nil, nil), "run", "info", "experiment_id"); got != exp || got == "0" {
				t.Errorf("the run in the default experiment is in %s now, not in %s, which is %q", got, exp, name)
			}
		}
		want(t, 200, "GET", v2+"experiments/get-by-name?experiment_name=e", nil, []string{"X-MLFLOW-WORKSPACE", "two"})
	})
}

// TestWorkspaces_deleteAfterAKill kills a server while it deletes; the same call finishes it.
func TestWorkspaces_deleteAfterAKill(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		const runs = 120
		dir := t.TempDir()
		child, url := startChild(t, database, dir)
		spaces := url + "/api/3.0/mlflow/workspaces"
		db := openDatabase(t, database, dir)
		before := tables(t, db)
		want(t, 201, "POST", spaces, object{"name": "team"}, nil)
		fill(t, url, "team", runs)
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			_, _ = tryCall(t.Context(), "DELETE", spaces+"/team?mode=CASCADE")
		}()
		for left := int64(runs); left == runs; left = tables(t, db)["runs"] {
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait() // it was killed
		<-answered
		left := tables(t, db)
		t.Logf("killed with %d of %d runs left", left["runs"], runs)
		url, _ = start(t, func(o *Options) { o.Dir, o.Database, o.Workspaces, o.Getenv = dir, database, true, private })
		if left["workspaces"] > 0 {
			want(t, 204, "DELETE", url+"/api/3.0/mlflow/workspaces/team?mode=CASCADE", nil, nil)
		}
		after := tables(t, db)
		maps.DeleteFunc(after, func(name string, _ int64) bool { _, was := before[name]; return !was })
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("rows before and after: %s", diff)
		}
		if list := files(t, dir); len(list) > 0 {
			t.Errorf("files are left: %v", list)
		}
	})
}

const childDir, childDatabase = "KIWERK_TEST_ALONE_DIR", "KIWERK_TEST_ALONE_DATABASE"

// startChild starts a server as a process of its own.
func startChild(t *testing.T, database, dir string) (child *exec.Cmd, url string) {
	t.Helper()
	child = exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), childDir+"="+dir, childDatabase+"="+database)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the child did not start: %v", err)
	}
	return child, strings.TrimSpace(line)
}

// serveChild is that process.
func serveChild(dir string) {
	o := Options{
		Host: DefaultHost, Database: os.Getenv(childDatabase), Artifacts: DefaultArtifacts, ServeArtifacts: true, Workspaces: true,
		Dir: dir, Getenv: private, Clock: time.Now, Logger: slog.New(slog.DiscardHandler),
	}
	s, err := Open(context.Background(), o)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stdout, s.URL())
	<-s.Failed()
}
