package alone

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net/http"
	neturl "net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kiwerk/kiwerk/internal/kwtest/postgres"
	"github.com/kiwerk/kiwerk/internal/tracking/access"
	"github.com/kiwerk/kiwerk/internal/tracking/lineage"
)

const adminPassword = "a long password"

// login is the header of a user.
func login(name, password string) []string {
	return []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+password))}
}

var admin = login("admin", adminPassword)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		serveChild(dir)
		return
	}
	os.Exit(postgres.Run(m.Run))
}

// onBoth runs a test with the address of a new database of either kind.
func onBoth(t *testing.T, test func(t *testing.T, database string)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) { test(t, DefaultDatabase) })
	t.Run("PostgreSQL", func(t *testing.T) { test(t, postgres.URI(t)) })
}

// guarded starts a server with users alice and bob.
func guarded(t *testing.T, database, ini string) (url string, alice, bob []string) {
	t.Helper()
	return guardedIn(t, database, ini, false)
}

func guardedIn(t *testing.T, database, ini string, workspaces bool) (url string, alice, bob []string) {
	t.Helper()
	return guardedWith(t, ini, func(o *Options) { o.Database, o.Workspaces = database, workspaces })
}

func guardedWith(t *testing.T, ini string, change func(*Options)) (url string, alice, bob []string) {
	t.Helper()
	url, _ = start(t, func(o *Options) {
		change(o)
		o.BasicAuth, o.PasswordRounds = true, 1000
		file := filepath.Join(o.Dir, "auth.ini")
		if err := os.WriteFile(file, []byte(ini), 0o600); err != nil {
			t.Fatal(err)
		}
		o.Getenv = func(k string) string {
			return map[string]string{"MLFLOW_AUTH_CONFIG_PATH": file, "MLFLOW_AUTH_ADMIN_PASSWORD": adminPassword}[k]
		}
	})
	for _, name := range []string{"alice", "bob"} {
		if status, body := call(t, "POST", url+"/api/2.0/mlflow/users/create", object{"username": name, "password": name + "'s password"}, admin...); status != 200 {
			t.Fatalf("%d %s", status, body)
		}
	}
	return url, login("alice", "alice's password"), login("bob", "bob's password")
}

// want calls and compares the status.
func want(t *testing.T, status int, method, url string, body any, who []string) string {
	t.Helper()
	got, answer := call(t, method, url, body, who...)
	if got != status {
		t.Errorf("%s %s: %d %s, want %d", method, url, got, answer, status)
	}
	return answer
}

// TestAccess_leavesLines of failed logins and approvals in a log that has errors only.
func TestAccess_leavesLines(t *testing.T) {
	var log lines
	url, alice, _ := guardedWith(t, "", func(o *Options) {
		o.Database, o.Logger = DefaultDatabase, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError}))
	})
	want(t, 401, "GET", url+"/api/2.0/mlflow/users/current", nil, login("mallory", "a guessed password"))
	want(t, 200, "POST", url+"/api/2.0/mlflow/registered-models/create", object{"name": "m"}, alice)
	want(t, 200, "POST", url+"/api/2.0/mlflow/model-versions/create", object{"name": "m", "source": "s3://b/m"}, alice)
	want(t, 200, "POST", url+"/api/2.0/mlflow/model-versions/set-tag", object{"name": "m", "version": "1", "key": "kiwerk.approval.by", "value": "the queen"}, alice)
	want(t, 200, "POST", url+"/api/2.0/mlflow/model-versions/set-tag", object{"name": "m", "version": "1", "key": "kiwerk.approval", "value": "approved"}, alice)
	want(t, 200, "DELETE", url+"/api/2.0/mlflow/model-versions/delete-tag", object{"name": "m", "version": "1", "key": "kiwerk.approval"}, alice)
	said := log.String()
	for _, part := range []string{
		`msg="login failed" audit=true user="" name=mallory peer=127.0.0.1`,
		`msg=approval component=tracking audit=true user=alice project=default model=m version=1 verdict=approved`, "verdict=withdrawn",
	} {
		if !strings.Contains(said, part) {
			t.Errorf("no %s in %s", part, said)
		}
	}
	if strings.Contains(said, "guessed") || strings.Count(said, "audit=true") != 3 {
		t.Errorf("said %s", said)
	}
}

// lines is a log that requests write and a test reads.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func TestAccess_objects(t *testing.T) { onBoth(t, testAccessObjects) }

func testAccessObjects(t *testing.T, database string) {
	t.Helper()
	url, alice, bob := guarded(t, database, "[mlflow]\ndefault_permission = READ\n")
	api := url + "/api/2.0/mlflow"
	exp := field(t, want(t, 200, "POST", api+"/experiments/create", object{"name": "e"}, alice), "experiment_id")
	run := field(t, want(t, 200, "POST", api+"/runs/create", object{"experiment_id": exp, "start_time": 1}, alice), "run", "info", "run_id")
	want(t, 200, "GET", api+"/runs/get?run_id="+run, nil, bob)
	want(t, 403, "POST", api+"/runs/log-metric", object{"run_id": run, "key": "m", "value": 1, "timestamp": 1}, bob)
	want(t, 403, "POST", api+"/runs/log-batch", `{"run_id":"`+run+`","run_\u0069d":"`+run+`"}`, bob)
	want(t, 403, "POST", api+"/runs/create", object{"experiment_id": "0" + exp}, bob)
	own := field(t, want(t, 200, "POST", api+"/experiments/create", object{"name": "bob's"}, bob), "experiment_id")
	// Fields have a second spelling, and one object that is allowed must not lead to another.
	want(t, 403, "POST", api+"/runs/log-metric", object{"runId": run, "experiment_id": own, "key": "m", "value": 1, "timestamp": 1}, bob)
	want(t, 403, "POST", api+"/runs/delete", object{"runId": run, "experimentId": own}, bob)
	want(t, 403, "POST", api+"/runs/create", object{"experimentId": exp, "x": object{"experiment_id": own}}, bob)
	want(t, 403, "PUT", url+"/api/2.0/mlflow-artifacts/artifacts/"+exp+"/"+run+"/artifacts/a", "x", bob)
	want(t, 200, "PUT", url+"/api/2.0/mlflow-artifacts/artifacts/"+exp+"/"+run+"/artifacts/a", "x", alice)
	want(t, 200, "GET", url+"/api/2.0/mlflow-artifacts/artifacts/"+exp+"/"+run+"/artifacts/a", nil, bob)
	// The handler takes no path from the query, so neither may the check.
	want(t, 403, "POST", url+"/api/2.0/mlflow-artifacts/mpu/create/?path="+own, object{"path": "7", "num_parts": 1}, bob)
	want(t, 404, "GET", api+"/experiments/get-by-name?experiment_name=none", nil, bob)
	want(t, 403, "GET", api+"/runs/get?run_id=none", nil, bob)

	grants := url + "/api/3.0/mlflow/users/permissions"
	give := object{"username": "bob", "resource_type": "experiment", "resource_id": exp, "permission": "EDIT"}
	want(t, 403, "POST", grants+"/grant", give, bob)
	want(t, 200, "POST", grants+"/grant", give, alice)
	want(t, 400, "POST", grants+"/grant", give, alice)
	want(t, 200, "POST", api+"/runs/log-metric", object{"run_id": run, "key": "m", "value": 1, "timestamp": 1}, bob)
	want(t, 403, "POST", api+"/runs/delete", object{"run_id": run}, bob)
	if body := want(t, 200, "GET", grants+"/get?username=bob&resource_type=experiment&resource_id="+exp, nil, alice); field(t, body, "permission") != "EDIT" {
		t.Error(body)
	}
	want(t, 200, "POST", grants+"/revoke", give, alice)
	want(t, 403, "POST", api+"/runs/log-metric", object{"run_id": run, "key": "m", "value": 1, "timestamp": 1}, bob)
	want(t, 404, "POST", grants+"/revoke", give, alice)

	role := field(t, want(t, 200, "POST", url+"/api/3.0/mlflow/roles/create", object{"name": "blind", "workspace": "default"}, admin), "role", "id")
	want(t, 200, "POST", url+"/api/3.0/mlflow/roles/permissions/add", object{"role_id": role, "resource_type": "run", "resource_pattern": "*", "permission": "DENY"}, admin)
	want(t, 200, "POST", url+"/api/3.0/mlflow/roles/assign", object{"role_id": role, "username": "bob"}, admin)
	want(t, 403, "GET", api+"/runs/get?run_id="+run, nil, bob)
	want(t, 200, "GET", api+"/experiments/get?experiment_id="+exp, nil, bob)
	want(t, 403, "POST", url+"/api/3.0/mlflow/roles/create", object{"name": "mine", "workspace": "default"}, bob)
}

func TestAccess_models(t *testing.T) { onBoth(t, testAccessModels) }

func testAccessModels(t *testing.T, database string) {
	t.Helper()
	url, alice, bob := guarded(t, database, "[mlflow]\ndefault_permission = NO_PERMISSIONS\n")
	api := url + "/api/2.0/mlflow"
	want(t, 200, "POST", api+"/registered-models/create", object{"name": "m"}, alice)
	want(t, 403, "GET", api+"/registered-models/get?name=m", nil, bob)
	want(t, 200, "POST", api+"/registered-models/create", object{"name": "bob's"}, bob)
	want(t, 403, "GET", url+lineage.Path+"?model=m&name=bob%27s", nil, bob) // it also shows runs and data
	want(t, 403, "POST", api+"/registered-models/set-tag", object{"name": "m", "key": "k", "value": "v"}, bob)
	want(t, 200, "POST", api+"/registered-models/rename", object{"name": "m", "new_name": "n"}, alice)
	want(t, 200, "GET", api+"/registered-models/get?name=n", nil, alice)
	want(t, 200, "DELETE", api+"/registered-models/delete", object{"name": "n"}, alice)
	want(t, 200, "POST", api+"/registered-models/create", object{"name": "n"}, bob)
	want(t, 403, "GET", api+"/registered-models/get?name=n", nil, alice) // her grant went with the old one
}

// The server reads below its artifact root with its own credentials, so the
// source of a version must not lead to what its maker may not read.
func TestAccess_sourceBelowTheArtifactRoot(t *testing.T) {
	url, alice, bob := guardedWith(t, "[mlflow]\ndefault_permission = NO_PERMISSIONS\n", func(o *Options) { o.ArtifactRoot = "s3://bucket/root/" })
	api := url + "/api/2.0/mlflow"
	theirs := field(t, want(t, 200, "POST", api+"/experiments/create", object{"name": "alice's"}, alice), "experiment_id")
	own := field(t, want(t, 200, "POST", api+"/experiments/create", object{"name": "bob's"}, bob), "experiment_id")
	want(t, 200, "POST", api+"/registered-models/create", object{"name": "m"}, bob)
	for source, status := range map[string]int{
		"s3://bucket/root/" + theirs + "/run/artifacts/m": 403, "s3://bucket/root//" + theirs + "/run": 403, "s3://bucket/root": 403, "s3://bucket/root/other": 403,
		"s3://bucket/root/" + own + "/run/artifacts/m": 200, "s3://bucket/elsewhere/m": 200,
	} {
		want(t, status, "POST", api+"/model-versions/create", object{"name": "m", "source": source}, bob)
	}
}

// Upstream keeps the artifacts of a workspace in a folder of its name.
func TestAccess_pathsOfAWorkspace(t *testing.T) {
	url, alice, bob := guarded(t, DefaultDatabase, "[mlflow]\ndefault_permission = NO_PERMISSIONS\n")
	id := field(t, want(t, 200, "POST", url+"/api/2.0/mlflow/experiments/create", object{"name": "alice's"}, alice), "experiment_id")
	list := url + "/api/2.0/mlflow-artifacts/artifacts?path="
	for path, status := range map[string]int{
		id + "/models/m-1/artifacts": 200, "workspaces/default/" + id + "/models/m-1/artifacts": 200, "workspaces/default/" + id: 200,
		"workspaces/team/" + id: 403, "workspaces/default": 403, "workspaces//default/" + id: 403, "workspaces/default/workspaces/default/" + id: 403, "workspaces/" + id: 403,
	} {
		want(t, status, "GET", list+path, nil, alice)
		want(t, 403, "GET", list+path, nil, bob)
	}
}

// Who may not see either does not hear whether it exists, when both are named.
func TestAccess_presignedOfOne(t *testing.T) {
	url, alice, bob := guardedWith(t, "[mlflow]\ndefault_permission = NO_PERMISSIONS\n", func(o *Options) { o.ArtifactRoot = "./mlruns" })
	id := field(t, want(t, 200, "POST", url+"/api/2.0/mlflow/experiments/create", object{"name": "alice's"}, alice), "experiment_id")
	run := field(t, want(t, 200, "POST", url+"/api/2.0/mlflow/runs/create", object{"experiment_id": id}, alice), "run", "info", "run_id")
	for _, call := range []string{"/api/2.0/mlflow/artifacts/presigned-upload-url", "/api/2.0/mlflow/artifacts/presigned-download-url"} {
		want(t, 403, "POST", url+call, object{"runId": run, "path": "a"}, bob)
		want(t, 501, "POST", url+call, object{"run_id": run, "path": "a"}, alice) // a folder signs nothing
		for _, body := range []object{{"run_id": run, "model_id": "m-none", "path": "a"}, {"runId": run, "modelId": "m-none", "path": "a"}, {"path": "a"}} {
			want(t, 400, "POST", url+call, body, bob)
		}
	}
}

// New experiments keep nothing among the artifacts of others, however the address is written.
func TestAccess_locationsOfOthers(t *testing.T) {
	dir := ""
	url, alice, bob := guardedWith(t, "[mlflow]\ndefault_permission = NO_PERMISSIONS\n", func(o *Options) { o.ArtifactRoot, dir = "./mlruns", o.Dir })
	api := url + "/api/2.0/mlflow"
	theirs := field(t, want(t, 200, "POST", api+"/experiments/create", object{"name": "alice's"}, alice), "experiment_id")
	at := dir + "/mlruns/" + theirs
	for i, location := range []string{
		at, at + "/run/artifacts", "file://" + at, "file:" + at, "./mlruns/" + theirs, "mlruns/" + theirs + "/", "./x/../mlruns/" + theirs, dir + "/./mlruns//0" + theirs,
		"mlflow-artifacts:/" + theirs, "mlflow-artifacts:///" + theirs + "/run",
	} {
		want(t, 403, "POST", api+"/experiments/create", object{"name": "at " + location, "artifact_location": location}, bob)
		want(t, 200, "POST", api+"/experiments/create", object{"name": string(rune('a' + i)), "artifact_location": location}, alice)
	}
	want(t, 200, "POST", api+"/experiments/create", object{"name": "bob's", "artifact_location": dir + "/mlruns/of bob"}, bob)
}

func TestAccess_searchesShowWhatMayBeRead(t *testing.T) {
	onBoth(t, testAccessSearchesShowWhatMayBeRead)
}

func testAccessSearchesShowWhatMayBeRead(t *testing.T, database string) {
	t.Helper()
	url, alice, bob := guarded(t, database, "[mlflow]\ndefault_permission = NO_PERMISSIONS\n")
	api := url + "/api/2.0/mlflow"
	for i := range 12 {
		who := alice
		if i%3 == 0 {
			who = bob
		}
		want(t, 200, "POST", api+"/experiments/create", object{"name": "e" + string(rune('a'+i))}, who)
	}
	seen, token, pages := 0, "", 0
	for {
		body := want(t, 200, "POST", api+"/experiments/search", object{"max_results": 3, "page_token": token}, alice)
		n := strings.Count(body, `"experiment_id"`)
		seen, pages = seen+n, pages+1
		if token = field(t, body, "next_page_token"); token == "<nil>" || pages > 10 {
			break
		}
		if n != 3 {
			t.Errorf("page %d has %d elements before the last", pages, n)
		}
	}
	if seen != 8 {
		t.Errorf("%d experiments seen, want 8", seen)
	}
}

func TestAccess_users(t *testing.T) { onBoth(t, testAccessUsers) }

func testAccessUsers(t *testing.T, database string) {
	t.Helper()
	url, alice, bob := guarded(t, database, "")
	api := url + "/api/2.0/mlflow/users"
	want(t, 403, "POST", api+"/create", object{"username": "eve", "password": "eve's long password"}, bob)
	want(t, 400, "POST", api+"/create", object{"username": "eve", "password": "short"}, admin)
	want(t, 400, "POST", api+"/create", object{"username": "bob", "password": "another password"}, admin)
	if answer := want(t, 403, "GET", api+"/get?username=alice", nil, bob); !strings.Contains(answer, "Permission denied.") {
		t.Errorf("clients look for another text: %s", answer)
	}
	want(t, 200, "GET", api+"/get?username=bob", nil, bob)
	want(t, 200, "GET", url+"/api/3.0/mlflow/users/permissions/list", "null", bob)
	want(t, 400, "PATCH", api+"/update-password", "null", bob)
	want(t, 400, "PATCH", api+"/update-password", object{"username": "bob", "password": "bob's new password"}, bob)
	want(t, 200, "PATCH", api+"/update-password", object{"username": "bob", "password": "bob's new password", "current_password": "bob's password"}, bob)
	want(t, 401, "GET", api+"/current", nil, bob)
	want(t, 200, "GET", api+"/current", nil, login("bob", "bob's new password"))
	want(t, 403, "PATCH", api+"/update-admin", object{"username": "alice", "is_admin": true}, alice)
	want(t, 200, "PATCH", api+"/update-admin", object{"username": "alice", "is_admin": true}, admin)
	want(t, 200, "GET", url+"/api/3.0/mlflow/roles/list", nil, alice)
	want(t, 400, "DELETE", api+"/delete", object{"username": "admin"}, admin)
	want(t, 200, "PATCH", api+"/update-admin", object{"username": "admin", "is_admin": false}, admin) // alice is one, too
	want(t, 403, "GET", url+"/api/2.0/mlflow/webhooks", nil, admin)
	if answer := want(t, 400, "PATCH", api+"/update-admin", object{"username": "alice", "is_admin": false}, alice); !strings.Contains(answer, "Make another user an administrator first") {
		t.Error(answer)
	}
	want(t, 200, "GET", url+"/api/3.0/mlflow/roles/list", nil, alice)
	want(t, 200, "PATCH", api+"/update-admin", object{"username": "admin", "is_admin": true}, alice)
	want(t, 200, "DELETE", api+"/delete", object{"username": "alice"}, admin)
	want(t, 401, "GET", api+"/current", nil, alice)
	for name, who := range map[string][]string{"Nobody": nil, "Unknown": login("x", "y"), "NoPassword": login("admin", ""), "Bearer": {"Authorization", "Bearer x"}} {
		t.Run(name, func(t *testing.T) {
			answer := want(t, 401, "GET", api+"/current", nil, who)
			if !strings.Contains(answer, "You are not authenticated") || !strings.Contains(answer, "MLFLOW_TRACKING_USERNAME") || strings.Contains(answer, "token") {
				t.Errorf("the answer does not say what to send: %s", answer)
			}
		})
	}
}

// TestAccess_graphql: what is kept from somebody is null, as what does not exist.
func TestAccess_graphql(t *testing.T) {
	url, alice, bob := guarded(t, DefaultDatabase, "[mlflow]\ndefault_permission = NO_PERMISSIONS\n")
	id := field(t, want(t, 200, "POST", url+"/api/2.0/mlflow/experiments/create", object{"name": "alice's"}, alice), "experiment_id")
	query := object{"query": `{ mlflowGetExperiment(input: {experimentId: "` + id + `"}) { experiment { name } } }`}
	if answer := want(t, 200, "POST", url+"/graphql", query, alice); !strings.Contains(answer, "alice's") {
		t.Error(answer)
	}
	if answer := want(t, 200, "POST", url+"/graphql", query, bob); strings.TrimSpace(answer) != `{"data":{"mlflowGetExperiment":null},"errors":null}` {
		t.Error(answer)
	}
}

func TestAccess_signup(t *testing.T) {
	url, _, bob := guarded(t, DefaultDatabase, "")
	want(t, 401, "GET", url+"/signup", nil, nil)
	token := func() (token, cookie string) {
		r, err := http.NewRequestWithContext(t.Context(), "GET", url+"/signup", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(admin[0], admin[1])
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		form, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(form), `name="csrf_token" value="`)
		token, _, _ = strings.Cut(rest, `"`)
		cookie, _, _ = strings.Cut(resp.Header.Get("Set-Cookie"), ";")
		return token, cookie
	}
	sent, cookie := token()
	_, other := token()
	cases := []struct {
		name, user, password, token, cookie, site string
		who                                       []string
		status                                    int
		says                                      string
	}{
		{"NoToken", "eve", "eve's password", "", cookie, "", admin, 400, "The CSRF token is missing"},
		{"NoCookie", "eve", "eve's password", sent, "", "", admin, 400, "The CSRF token is missing"},
		{"OfAnotherForm", "eve", "eve's password", sent, other, "", admin, 400, "The CSRF token is invalid"},
		{"OtherSite", "eve", "eve's password", sent, cookie, "cross-site", admin, 403, "another site"},
		{"NoAdministrator", "eve", "eve's password", sent, cookie, "", bob, 403, "Permission denied"},
		{"ShortPassword", "eve", "short", sent, cookie, "", admin, 400, "Password"},
		{"Taken", "bob", "bob's password", sent, cookie, "", admin, 400, "already exists"},
		{"Good", "<eve>", "eve's password", sent, cookie, "same-origin", admin, 200, "Successfully signed up user: &lt;eve&gt;"},
	}
	for _, c := range cases {
		form := neturl.Values{"username": {c.user}, "password": {c.password}, "csrf_token": {c.token}}.Encode()
		header := slices.Concat(c.who, []string{"Content-Type", "application/x-www-form-urlencoded", "Cookie", c.cookie, "Sec-Fetch-Site", c.site})
		if answer := want(t, c.status, "POST", url+"/api/2.0/mlflow/users/create-ui", form, header); !strings.Contains(answer, c.says) {
			t.Errorf("%s: %s", c.name, answer)
		}
	}
	want(t, 200, "GET", url+"/api/2.0/mlflow/users/current", nil, login("<eve>", "eve's password"))
}

func TestOpen_needsAnAdministrator(t *testing.T) {
	for name, password := range map[string]string{"None": "", "Known": "password1234"} {
		t.Run(name, func(t *testing.T) {
			o := Options{
				Host: DefaultHost, Database: DefaultDatabase, Artifacts: DefaultArtifacts, BasicAuth: true, PasswordRounds: 1000,
				Dir: t.TempDir(), Clock: time.Now, Logger: slog.New(slog.DiscardHandler),
				Getenv: func(k string) string { return map[string]string{"MLFLOW_AUTH_ADMIN_PASSWORD": password}[k] },
			}
			s, err := Open(context.Background(), o)
			if !errors.Is(err, access.ErrNoAdmin) {
				t.Errorf("got %v %v", s, err)
			}
		})
	}
}
