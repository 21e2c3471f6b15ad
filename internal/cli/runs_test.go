package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking"
	"github.com/kiwerk/kiwerk/internal/tracking/client"
	"github.com/kiwerk/kiwerk/internal/tracking/trackingtest"
	"github.com/kiwerk/kiwerk/internal/tracking/workbench"
)

// tracked is a tracking server with two runs, r1 and r2, and versions of the model digits.
type tracked struct {
	url  string
	stop func() error
}

var shared struct {
	sync.Once

	tracked

	err error
}

// sharedTracking is one server for all tests of the tree.
func sharedTracking() (string, error) {
	shared.Do(func() {
		dir, err := os.MkdirTemp("", "kiwerk-cli-")
		if err != nil {
			shared.err = err
			return
		}
		shared.tracked, shared.err = startTracking(dir)
		stop := shared.stop
		shared.stop = func() error { return errors.Join(stop(), os.RemoveAll(dir)) }
	})
	return shared.url, shared.err
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.stop != nil {
		if err := shared.stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	os.Exit(code)
}

func startTracking(dir string) (tracked, error) {
	ctx := context.Background()
	db, err := store.Open(ctx, store.Options{Path: filepath.Join(dir, "kiwerk.db")})
	if err != nil {
		return tracked{}, err
	}
	blobs, err := blob.OpenFolder(filepath.Join(dir, "blobs"))
	if err != nil {
		return tracked{}, err
	}
	ids := []string{"r1", "r2", "o1", "o2"}
	var mu sync.Mutex
	newID := func() string {
		mu.Lock()
		defer mu.Unlock()
		if len(ids) == 0 {
			return tracking.RandomID()
		}
		id := ids[0]
		ids = ids[1:]
		return id
	}
	s, err := trackingtest.Serve(ctx, tracking.Deps{Store: db, Blobs: blobs, NewID: newID})
	if err != nil {
		return tracked{}, err
	}
	t := tracked{url: s.URL, stop: func() error {
		s.Close()
		return errors.Join(db.Close(), blobs.Close())
	}}
	return t, t.fill(ctx)
}

func (t tracked) fill(ctx context.Context) error {
	c, err := client.New(client.Options{URI: t.url})
	if err != nil {
		return err
	}
	var failed error
	post := func(path, body string) {
		failed = errors.Join(failed, c.Do(ctx, client.Request{Method: "POST", Path: client.MLflow(path), Body: json.RawMessage(body)}, nil))
	}
	post("experiments/create", `{"name":"digits"}`)
	for i, run := range []string{"r1", "r2"} {
		post("runs/create", fmt.Sprintf(`{"experiment_id":"1","start_time":%d,"run_name":"lauf-%d","user_id":"anna","tags":[{"key":"mlflow.source.git.commit","value":"c%d"}]}`, 1764144000000+i, i, i))
		post("runs/log-batch", fmt.Sprintf(`{"run_id":%q,"metrics":[{"key":"acc","value":0.%d,"timestamp":5,"step":1},{"key":"odd","value":"NaN","timestamp":5}],"params":[{"key":"epochs","value":"%d"},{"key":"lr","value":"0.1"}]}`, run, 7+i, 10*(i+1)))
		post("runs/log-inputs", fmt.Sprintf(`{"run_id":%q,"datasets":[{"dataset":{"name":"train","digest":"d%d","source_type":"local","source":"{}"}}]}`, run, i))
		failed = errors.Join(failed,
			c.Upload(ctx, "1/"+run+"/artifacts/model/MLmodel", strings.NewReader("flavors: {}\n")),
			c.Upload(ctx, "1/"+run+"/artifacts/model/requirements.txt", strings.NewReader(fmt.Sprintf("numpy==2.%d\nscipy==1.0\n", i))))
	}
	post("experiments/create", `{"name":"repeat"}`)
	for i, run := range []string{"o1", "o2"} {
		workflow := []string{"old", "again"}[i]
		post("runs/create", fmt.Sprintf(`{"experiment_id":"2","start_time":1,"run_name":"fit","tags":[{"key":"kiwerk.workflow","value":%q},{"key":"kiwerk.step","value":%q},{"key":"kiwerk.pod","value":"default/p"}]}`, workflow, workflow+".fit"))
		post("runs/log-batch", fmt.Sprintf(`{"run_id":%q,"metrics":[{"key":"acc","value":0.7%d,"timestamp":5}]}`, run, i))
	}
	for _, name := range []string{"net", "twin", "twin"} {
		var a struct{ Model client.LoggedModel }
		failed = errors.Join(failed, c.Do(ctx, client.Request{
			Method: "POST", Path: client.MLflow("logged-models"), Body: json.RawMessage(fmt.Sprintf(`{"experiment_id":"1","name":%q,"source_run_id":"r1"}`, name)),
		}, &a))
		post("runs/outputs", fmt.Sprintf(`{"run_id":"r1","models":[{"model_id":%q,"step":1}]}`, a.Model.Info.ID))
		failed = errors.Join(failed, c.Upload(ctx, "1/models/"+a.Model.Info.ID+"/artifacts/MLmodel", strings.NewReader("flavors: {}\n")))
	}
	failed = errors.Join(failed, c.Do(ctx, client.Request{Method: "POST", Path: "/api/3.0/mlflow/traces", Body: json.RawMessage(
		`{"trace":{"trace_info":{"trace_id":"tr-1","trace_location":{"type":"MLFLOW_EXPERIMENT","mlflow_experiment":{"experiment_id":"1"}},"request_time":"2025-11-26T08:00:00Z","execution_duration":"1.5s","state":"OK","trace_metadata":{"mlflow.sourceRun":"r1"}}}}`,
	)}, nil))
	post("registered-models/create", `{"name":"digits"}`)
	for range 2 {
		post("model-versions/create", `{"name":"digits","source":"mlflow-artifacts:/1/r1/artifacts/model","run_id":"r1"}`)
	}
	post("registered-models/alias", `{"name":"digits","alias":"champion","version":"1"}`)
	return failed
}

// askTracking is the runner of tests.
func askTracking(context.Context, Session) (client.Options, error) {
	url, err := sharedTracking()
	return client.Options{URI: url}, err
}

// runWith runs a command against a server of its own.
func runWith(t *testing.T, env map[string]string, lines ...string) []result {
	t.Helper()
	own := ownTracking(t)
	return runAt(t, own, env, lines...)
}

func ownTracking(t *testing.T) tracked {
	t.Helper()
	own, err := startTracking(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := own.stop(); err != nil {
			t.Error(err)
		}
	})
	return own
}

func runAt(t *testing.T, own tracked, env map[string]string, lines ...string) []result {
	t.Helper()
	var list []result
	for _, line := range lines {
		var seen []any
		p, out, errs := program(&seen, env, strings.Fields(line)...)
		p.Now = func() time.Time { return started }
		p.TrackingServer = func(context.Context, Session) (client.Options, error) { return client.Options{URI: own.url}, nil }
		code := Run(t.Context(), p)
		list = append(list, result{code, out.String(), errs.String()})
	}
	return list
}

func TestRuns_life(t *testing.T) {
	t.Chdir(t.TempDir())
	r := runWith(
		t, map[string]string{"USER": "anna"},
		"runs list",
		"runs delete r2",
		"runs list",
		"runs list --deleted",
		"runs restore r2",
		"runs tag r1 team=vision old=x",
		"runs tag r1 old-",
		"runs show r1",
		"runs list --filter params.epochs='20' --order-by metrics.acc -e digits",
		"runs list --limit 1",
		"runs export r1 --to x.tar.gz",
		"runs export r1 --to folder",
		"models pull digits@champion --to m",
		"models pull digits@champion --to m",
		"models approve digits/2 --alias champion --reason good",
		"models show digits",
		"models register other --run r2",
		"models register third --run r2 --path nope",
		"models register third --run r1 --path twin",
		"models register third --run r1 --path net",
		"models register third --source mlflow-artifacts:/1/r2/artifacts/nope --run r2",
		"models show digits/1",
		"models show digits@champion",
		"models show digits/9",
		"runs delete r2",
		"runs gc --older-than 1d",
		"runs gc --dry-run",
		"runs gc --run-ids r2",
		"runs delete r1 --erase",
		"runs delete r1 --erase --yes -o json",
		"runs show r1",
	)
	for i, want := range []struct {
		code      int
		has, lack string
	}{
		{0, "r2", ""},
		{0, "kiwerk runs restore r2", ""},
		{0, "r1 ", "r2"},
		{0, "r2", "r1 "},
		{0, "1 run is back", ""},
		{0, "", ""},
		{0, "", ""},
		{0, "team", "old "},
		{0, "r2", "r1 "},
		{0, "--limit 0", "r1 "},
		{0, "x.tar.gz: 5 files", ""},
		{0, "folder: 5 files", "0 traces"},
		{0, "MLmodel", ""},
		{0, "MLmodel", ""},
		{0, "is approved", ""},
		{0, "approved (anna)", ""},
		{0, "Version 1 of model other", ""},
		{2, `no model at "nope"`, "Version"},
		{2, "--model-id m-", "Version"},
		{0, "Version 1 of model third", ""},
		{0, "Version 2 of model third", ""},
		{0, "mlflow-artifacts:/1/r1", "2         READY"},
		{0, "champion", "1   READY"},
		{4, "9", ""},
		{0, "", ""},
		{0, "nothing to remove", "EXTRA"},
		{0, "1 would be", ""},
		{0, "1 removed", ""},
		{2, "--yes", ""},
		{0, `"id": "r1"`, ""},
		{4, "r1", ""},
	} {
		said := r[i].out + r[i].err
		if r[i].code != want.code || !strings.Contains(said, want.has) || want.lack != "" && strings.Contains(said, want.lack) {
			t.Errorf("call %d: code %d\n%s\nwants %q without %q", i, r[i].code, said, want.has, want.lack)
		}
	}
	for _, pattern := range []string{"folder/models/*/model.json", "folder/models/*/artifacts/MLmodel"} {
		if found, err := filepath.Glob(pattern); err != nil || len(found) != 3 {
			t.Errorf("%s: %q, %v", pattern, found, err)
		}
	}
	for _, file := range []string{"x.tar.gz", "folder/traces/tr-1.json", "folder/run.json", "folder/artifacts/model/MLmodel", "m/MLmodel"} {
		if st, err := os.Stat(file); err != nil || st.Size() == 0 {
			t.Errorf("%s: %v", file, err)
		}
	}
	if _, err := os.Stat("m/.kiwerk-partial"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("parts are left: %v", err)
	}
}

// TestRuns_short: the begin of an id is enough where it is the only one, whether the run is deleted or not.
func TestRuns_short(t *testing.T) {
	own := ownTracking(t)
	c, err := client.New(client.Options{URI: own.url})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for range 2 {
		var a struct{ Run client.Run }
		if err := c.Do(t.Context(), client.Request{Method: "POST", Path: client.MLflow("runs/create"), Body: json.RawMessage(`{"experiment_id":"1"}`)}, &a); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, a.Run.Info.ID)
	}
	short := ids[0][:8]
	r := runAt(t, own, nil, "runs delete "+short, "runs show "+short, "runs restore "+short, "runs tag "+short+" a=b", "runs compare "+short+" "+ids[1][:8], "runs export "+short+" --to "+t.TempDir())
	for i, x := range r {
		if x.code != ExitOK || !strings.Contains(x.out, ids[0]) {
			t.Errorf("call %d: %+v", i, x)
		}
	}
	if _, err := workbench.RunIDs(t.Context(), c, []string{"r___"}); !client.IsNotFound(err) {
		t.Errorf("an underscore stood for a letter: %v", err)
	}
}

// TestRuns_cells: what people gave neither leaves its column nor commands the terminal.
func TestRuns_cells(t *testing.T) {
	own := ownTracking(t)
	p, out, errs := program(nil, nil, "runs", "tag", "r1", "note=a\tb\n\x1b[2Jc")
	p.TrackingServer = func(context.Context, Session) (client.Options, error) { return client.Options{URI: own.url}, nil }
	if code := Run(t.Context(), p); code != ExitOK {
		t.Fatal(out.String(), errs.String())
	}
	r := runAt(t, own, nil, "runs show r1")[0]
	if !strings.Contains(r.out, "a b \ufffd[2Jc\n") || !strings.Contains(r.out, "\nMODELS\n  m-") {
		t.Errorf("got %q", r.out)
	}
}

func TestRuns_compare(t *testing.T) {
	r := runWith(t, nil, "runs compare r1 r2", "runs compare r1 r2 --all -o csv", "runs compare r1 r1")
	for _, want := range []string{"acc", "0.7", "0.8", "+0.1", "epochs", "mlflow.source.git.commit", "numpy", "2.0", "train", "d0", "d1"} {
		if !strings.Contains(r[0].out, want) {
			t.Errorf("%q is missing in\n%s%s", want, r[0].out, r[0].err)
		}
	}
	if strings.Contains(r[0].out, "scipy") || strings.Contains(r[0].out, "lr") {
		t.Errorf("what is the same is shown:\n%s", r[0].out)
	}
	if !strings.HasPrefix(r[1].out, "section,key,r1,r2,delta\n") || !strings.Contains(r[1].out, "params,lr,0.1,0.1,\n") {
		t.Errorf("got\n%s", r[1].out)
	}
	if r[2].code != 0 || !strings.Contains(r[2].err, "do not differ") {
		t.Errorf("got %+v", r[2])
	}
}

func TestRuns_formats(t *testing.T) {
	r := runWith(t, nil, "runs list -e digits -o csv", "runs list -e digits -o parquet", "runs list -o json", "models list -o csv", "models list -o wide", "runs list -o wide")
	if want := "run_id,run_name,experiment_id,experiment,status,start_time,end_time,user,artifact_uri,lifecycle_stage,metrics.acc,metrics.odd,params.epochs,params.lr,tags.mlflow.runName,tags.mlflow.source.git.commit\n" +
		"r2,lauf-1,1,digits,RUNNING,2025-11-26T08:00:00.001Z,,anna,mlflow-artifacts:/1/r2/artifacts,active,0.8,NaN,20,0.1,lauf-1,c1\n"; !strings.HasPrefix(r[0].out, want) {
		t.Errorf("got\n%s\nwant\n%s", r[0].out, want)
	}
	type row struct {
		ID    string   `parquet:"run_id,optional"`
		Acc   *float64 `parquet:"metrics.acc,optional"`
		End   *int64   `parquet:"end_time,optional"`
		Start *int64   `parquet:"start_time,optional"`
		LR    string   `parquet:"params.lr,optional"`
	}
	rows, err := parquet.Read[row](bytes.NewReader([]byte(r[1].out)), int64(len(r[1].out)))
	if err != nil || len(rows) != 2 || rows[0].ID != "r2" || *rows[0].Acc != 0.8 || rows[0].End != nil || *rows[0].Start != 1764144000001 || rows[1].LR != "0.1" {
		t.Errorf("%+v, %v", rows, err)
	}
	if !strings.HasPrefix(r[3].out, "name,version,aliases") || !strings.Contains(r[3].out, "digits,2,champion→1") {
		t.Errorf("got\n%s", r[3].out)
	}
	for i, x := range r {
		if x.code != 0 || x.err != "" {
			t.Errorf("call %d: %d %s", i, x.code, x.err)
		}
	}
}

func TestRuns_reproduce(t *testing.T) {
	r := runWith(t, nil, "runs reproduce o1 --tolerance 0.02", "runs reproduce o1", "runs reproduce r1", "runs reproduce o2", "runs show o2")
	for i, want := range []struct {
		code int
		says []string
	}{
		{0, []string{"o1 is reproduced by o2", "acc", "0.7", "0.71", "Not recorded, so not compared: commit, data, environment, image, seed"}},
		{1, []string{"o1 is not reproduced by o2"}},
		{1, []string{"kiwerk.workflow, kiwerk.step"}},
		{1, []string{"ended as Failed"}},
		{0, []string{"kiwerk.reproduces"}},
	} {
		for _, says := range want.says {
			if r[i].code != want.code || !strings.Contains(r[i].out+r[i].err, says) {
				t.Errorf("call %d: code %d\n%s%s\nwants %q", i, r[i].code, r[i].out, r[i].err, says)
			}
		}
	}
}

func TestModels_lineage(t *testing.T) {
	r := runWith(t, nil, "models lineage digits@champion", "models lineage digits -o json", "models lineage nobody")
	for _, want := range []string{"digits/1 champion", "r1 lauf-0", "c0", "train d0"} {
		if !strings.Contains(r[0].out, want) {
			t.Errorf("%q is missing in\n%s%s", want, r[0].out, r[0].err)
		}
	}
	var a struct{ Versions []struct{ Version string } }
	if err := json.Unmarshal([]byte(r[1].out), &a); err != nil || len(a.Versions) != 2 || a.Versions[0].Version != "2" {
		t.Errorf("%v, %v", a, err)
	}
	if r[2].code != ExitNotFound {
		t.Errorf("got %+v", r[2])
	}
}

// TestModels_pull fetches a source that is one file; a source at which nothing lies is a failure.
func TestModels_pull(t *testing.T) {
	t.Chdir(t.TempDir())
	r := runWith(
		t, nil,
		"models register one --run r2 --source mlflow-artifacts:/1/r2/artifacts/model/MLmodel",
		"models register none --run r2 --source mlflow-artifacts:/1/r2/artifacts/nope",
		"models register folder --run r2 --source mlflow-artifacts:/1/r2/artifacts/no/folder",
		"models pull one/1 --to one", "models pull none --to none", "models pull folder --to none",
	)
	content, err := os.ReadFile("one/MLmodel")
	if err != nil || string(content) != "flavors: {}\n" || r[3].code != ExitOK {
		t.Errorf("%q, %v, %+v", content, err, r[3])
	}
	if entries, err := os.ReadDir("one"); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
	for _, x := range r[4:] {
		if x.code != ExitNotFound || !strings.Contains(x.err, "no file lies at mlflow-artifacts:/1/r2/artifacts/no") {
			t.Errorf("%+v", x)
		}
	}
	if _, err := os.Stat("none"); err == nil {
		t.Error("a folder was made for nothing")
	}
}

func TestRuns_namedWrongly(t *testing.T) {
	t.Chdir(t.TempDir())
	unknown := strings.Repeat("f", 32)
	own := ownTracking(t)
	c, err := client.New(client.Options{URI: own.url})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"r1", "r2"} {
		if err := c.Do(t.Context(), client.Request{Method: "POST", Path: client.MLflow("runs/update"), Body: json.RawMessage(`{"run_id":"` + id + `","status":"FINISHED","end_time":1764144000101}`)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	r := runAt(
		t, own, nil,
		"runs gc --run-ids "+unknown, "runs show 7d", "runs export r1 --to x.zip", "runs compare r1 r2 --lang de --all",
		"runs delete r2", "runs gc --run-ids r2,"+unknown,
	)
	for i, want := range []struct {
		code int
		says []string
	}{
		{ExitNotFound, []string{unknown}},
		{ExitNotFound, []string{"7d", "four letters"}},
		{ExitUsage, []string{"x.tar.gz"}},
		{ExitOK, []string{"0,1 s"}},
		{ExitOK, nil},
		{ExitNotFound, []string{"1 removed", unknown}},
	} {
		for _, says := range want.says {
			if !strings.Contains(r[i].out+r[i].err, says) {
				t.Errorf("call %d: %q is missing in %+v", i, says, r[i])
			}
		}
		if r[i].code != want.code {
			t.Errorf("call %d: %+v", i, r[i])
		}
	}
	if _, err := os.Stat("x.zip"); err == nil {
		t.Error("a folder x.zip was made")
	}
}

func TestAge(t *testing.T) {
	for s, want := range map[string]time.Duration{"30d": 720 * time.Hour, "1d12h": 36 * time.Hour, "90m": 90 * time.Minute, "d": -1, "-1d": -1, "x": -1, "1d1d": -1} {
		if got, err := age(s); (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
}

// TestTracking_login: the server says what it wants; one that says nothing and asks for Basic wants a name.
func TestTracking_login(t *testing.T) {
	for name, c := range map[string]struct{ body, try string }{
		"Stock":  {`You are not authenticated.`, "export MLFLOW_TRACKING_USERNAME=… MLFLOW_TRACKING_PASSWORD=…"},
		"Remedy": {`{"error":{"code":"UNAUTHENTICATED","message":"Wrong.","remedy":"send a name and a password"}}`, "send a name and a password"},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("WWW-Authenticate", `Basic realm="mlflow"`)
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = w.Write([]byte(c.body))
			}))
			defer s.Close()
			r, _ := run(t, nil, "runs", "list", "--tracking-uri", s.URL)
			if r.code != ExitNotAllowed || !strings.HasSuffix(r.err, ": "+c.try+"\n") || strings.Contains(r.err, "TOKEN") || strings.Contains(r.err, ".;") {
				t.Errorf("%d %s", r.code, r.err)
			}
		})
	}
}

func TestTracking_failures(t *testing.T) {
	refuse := func(status int) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			server.WriteJSON(w, status, map[string]string{"error_code": "X", "message": "said so"})
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	gone := httptest.NewServer(nil)
	gone.Close()
	cases := map[string]struct {
		args string
		env  map[string]string
		code int
		err  string
	}{
		"NoSuchRun":     {"runs show nobody", nil, ExitNotFound, "nobody"},
		"NobodyThere":   {"runs list --tracking-uri " + gone.URL, nil, ExitNotReady, "/health"},
		"ShortNowhere":  {"runs show abcd1234", nil, ExitNotFound, "abcd1234"},
		"NoSuchModel":   {"models show nobody", nil, ExitNotFound, "nobody"},
		"NoSuchAlias":   {"models show digits@nobody", nil, ExitNotFound, "nobody"},
		"NotAnAddress":  {"runs list --tracking-uri sqlite:///x.db", nil, ExitUsage, "http://"},
		"Environment":   {"runs list", map[string]string{"MLFLOW_TRACKING_URI": "mlruns"}, ExitUsage, `"mlruns"`},
		"Login":         {"runs list --tracking-uri " + refuse(401), nil, ExitNotAllowed, "MLFLOW_TRACKING_TOKEN"},
		"Forbidden":     {"runs list --tracking-uri " + refuse(403), nil, ExitNotAllowed, "no permission"},
		"BadFilter":     {"runs list --filter nonsense", nil, ExitUsage, "nonsense"},
		"BadVersion":    {"models pull digits/x", nil, ExitUsage, "MODEL/VERSION"},
		"BadTag":        {"runs tag r1 x", nil, ExitUsage, "TAG=VALUE"},
		"NothingToMake": {"models register x", nil, ExitUsage, "--model-id"},
		"RejectWhy":     {"models approve digits/1 --reject", nil, ExitUsage, "--reason"},
		"BadLimit":      {"runs list --limit -3", nil, ExitUsage, "--limit 0"},
		"NextStep":      {"models pull nobody", nil, ExitNotFound, "kiwerk models list"},
		"BadFormat":     {"runs list -o xml", nil, ExitUsage, "parquet"},
		"WrongFlag":     {"runs list --foo", nil, ExitUsage, "--foo"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r, _ := run(t, c.env, strings.Fields(c.args)...)
			if r.code != c.code || !strings.Contains(r.err, c.err) {
				t.Errorf("code %d, want %d: %s", r.code, c.code, r.err)
			}
		})
	}
}
