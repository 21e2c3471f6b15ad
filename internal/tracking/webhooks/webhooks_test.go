package webhooks

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kiwerk/kiwerk/internal/server"
	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/store/storetest"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/store"
)

// platform is the registry with webhooks behind the HTTP server.
type platform struct {
	*Service
	t        testing.TB
	handler  http.Handler
	registry *store.Store
	log      *syncBuffer
	clock    *clock
}

type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

type anyone struct{}

func (anyone) Authenticate(*http.Request) (server.User, error) { return server.User{Name: "anna"}, nil }

func (anyone) Authorize(context.Context, server.User, server.Permission, string) error { return nil }

// local is the configuration that reaches receivers of tests.
func local() Config {
	c := DefaultConfig()
	c.Schemes, c.AllowPrivate, c.Timeout, c.Key = []string{"http"}, true, 5*time.Second, strings.Repeat("k", 44)
	return c
}

func start(tb testing.TB, o Options) *platform {
	tb.Helper()
	if o.DB == nil {
		o.DB = storetest.Open(tb)
	}
	p := &platform{t: tb, log: &syncBuffer{}, clock: &clock{}}
	n := 0
	o.NewID = func() string {
		n++
		return fmt.Sprintf("%p", o.DB)[2:10] + fmt.Sprintf("%016x%08x", time.Now().UnixNano(), n)
	}
	o.Clock, o.Logger = p.clock.now, slog.New(slog.NewTextHandler(p.log, nil))
	if o.Backoff == nil {
		o.Backoff = func(int) time.Duration { return time.Millisecond }
	}
	var err error
	if p.Service, err = New(tb.Context(), o); err != nil {
		tb.Fatal(err)
	}
	p.registry, err = store.New(tb.Context(), store.Options{
		DB: o.DB, Clock: o.Clock, NewID: o.NewID, ArtifactRoot: "mlflow-artifacts:", DefaultNamespace: "default", Listener: p.Service,
	})
	if err != nil {
		tb.Fatal(err)
	}
	p.handler, err = server.New(server.Options{Authenticator: anyone{}, Authorizer: anyone{}, Logger: o.Logger, Endpoints: p.Endpoints(), Hosts: []string{"example.com"}})
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// deliver runs the component until the test ends or stop is called.
func (p *platform) deliver() (stop func()) {
	p.t.Helper()
	c := p.Deliveries()
	if err := c.Start(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		if err := c.Stop(context.Background()); err != nil {
			p.t.Error(err)
		}
	})
	p.t.Cleanup(stop)
	return stop
}

func (p *platform) do(method, path, body string, header ...string) (int, map[string]any) {
	p.t.Helper()
	r := httptest.NewRequest(method, "/api/2.0/mlflow/webhooks"+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	p.handler.ServeHTTP(w, r)
	var out map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		p.t.Fatalf("%s %s: %v: %s", method, path, err, w.Body)
	}
	return w.Code, out
}

func (p *platform) create(url, events, secret string) string {
	p.t.Helper()
	var list []string
	for e := range strings.SplitSeq(events, " ") {
		entity, action, _ := strings.Cut(strings.ToUpper(e), ".")
		list = append(list, fmt.Sprintf(`{"entity":%q,"action":%q}`, entity, action))
	}
	status, out := p.do("POST", "", fmt.Sprintf(`{"name":"hook","url":%q,"secret":%q,"events":[%s]}`, url, secret, strings.Join(list, ",")))
	if status != http.StatusOK {
		p.t.Fatalf("%s: %d %v", url, status, out)
	}
	return out["webhook"].(map[string]any)["webhook_id"].(string)
}

func (p *platform) model(name string, tags ...model.Pair) {
	p.t.Helper()
	if _, err := p.registry.CreateRegisteredModel(p.t.Context(), "default", name, "about "+name, tags); err != nil {
		p.t.Fatal(err)
	}
}

func (p *platform) waiting() (n int) {
	p.t.Helper()
	err := p.db.View(p.t.Context(), func(t *db.Tx) error { return t.Row("SELECT count(*) FROM webhook_deliveries").Scan(&n) })
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

func TestAPI(t *testing.T) { storetest.Both(t, testAPI) }

func testAPI(t *testing.T, open func(testing.TB, ...db.Migrations) *db.Store) {
	t.Helper()
	p := start(t, Options{DB: open(t), Config: local()})
	status, out := p.do("POST", "", `{"name":"a","url":"http://x.example/","events":[{"entity":"MODEL_VERSION","action":"CREATED"},{"entity":4,"action":3}],"secret":"hidden","description":"d","status":"DISABLED"}`)
	w := out["webhook"].(map[string]any)
	id := w["webhook_id"].(string)
	events := []any{map[string]any{"entity": "MODEL_VERSION", "action": "CREATED"}, map[string]any{"entity": "MODEL_VERSION_ALIAS", "action": "DELETED"}}
	want := map[string]any{
		"webhook_id": id, "name": "a", "url": "http://x.example/", "description": "d", "status": "DISABLED", "events": events,
		"creation_timestamp": w["creation_timestamp"], "last_updated_timestamp": w["creation_timestamp"],
	}
	if diff := cmp.Diff(want, w); status != 200 || diff != "" {
		t.Errorf("%d %s", status, diff)
	}
	if _, got := p.do("GET", "/"+id, ""); !cmp.Equal(got, out) {
		t.Errorf("%v", got)
	}
	_, out = p.do("PATCH", "/"+id, `{"status":"ACTIVE","name":"b"}`)
	w = out["webhook"].(map[string]any)
	if w["name"] != "b" || w["status"] != "ACTIVE" || w["description"] != "d" || w["last_updated_timestamp"].(float64) <= w["creation_timestamp"].(float64) {
		t.Errorf("%v", w)
	}
	for range 4 {
		p.create("http://x.example/", "prompt.created", "")
	}
	var seen []string
	for token := ""; ; {
		_, out := p.do("GET", "?max_results=2&page_token="+token, "")
		for _, w := range out["webhooks"].([]any) {
			seen = append(seen, w.(map[string]any)["webhook_id"].(string))
		}
		if token, _ = out["next_page_token"].(string); token == "" {
			break
		}
	}
	slices.Sort(seen)
	if len(slices.Compact(seen)) != 5 {
		t.Errorf("%v", seen)
	}
	if _, out := p.do("GET", "", "", "X-Mlflow-Workspace", "other"); len(out) != 0 {
		t.Errorf("another project sees %v", out)
	}
	for _, c := range []struct{ method, path, body string }{{"GET", "/" + id, ""}, {"PATCH", "/" + id, `{"name":"x"}`}, {"DELETE", "/" + id, ""}, {"POST", "/" + id + "/test", "{}"}} {
		if status, out := p.do(c.method, c.path, c.body, "X-Mlflow-Workspace", "other"); status != 404 || out["error_code"] != "RESOURCE_DOES_NOT_EXIST" {
			t.Errorf("%s %s from another project: %d %v", c.method, c.path, status, out)
		}
	}
	if status, _ := p.do("DELETE", "/"+id, ""); status != 200 {
		t.Error(status)
	}
	if status, out := p.do("GET", "/"+id, ""); status != 404 || out["message"] != "Webhook with ID "+id+" not found." {
		t.Errorf("%d %v", status, out)
	}
}

func TestAPI_refuses(t *testing.T) {
	p := start(t, Options{Config: local()})
	id := p.create("http://x.example/", "prompt.created", "")
	long := strings.Repeat("x", 2000)
	for body, part := range map[string]string{
		`{}`:                             "'name'",
		`{"name":"a"}`:                   "'url'",
		`{"name":"a","url":"http://x/"}`: "'events'",
		`{"name":"a","url":"http://x/","events":[]}`:                                                                              "non-empty",
		`{"name":"-a","url":"http://x/","events":[]}`:                                                                             "Webhook name '-a' is invalid",
		`{"name":"` + long + `","url":"x","events":[]}`:                                                                           "Webhook name",
		`{"name":"a","url":"http://x/","events":[{"entity":"MODEL_VERSION","action":"SET"}]}`:                                     "Invalid action 'set' for entity 'model_version'",
		`{"name":"a","url":"http://x/","events":[{"entity":"NONE","action":"SET"}]}`:                                              "entity",
		`{"name":"a","url":"http://x/","events":[{"entity":0,"action":1}]}`:                                                       "entity",
		`{"name":"a","url":"http://x/","events":[{"action":1}]}`:                                                                  "entity",
		`{"name":"a","url":"http://x/","events":"x"}`:                                                                             "events",
		`{"name":"a","url":"http://x/","events":[{"entity":"PROMPT","action":"CREATED"},{"entity":"PROMPT","action":"CREATED"}]}`: "twice",
		`{"name":"a","url":"http://x/","events":[{"entity":"PROMPT","action":"CREATED"}],"status":"SLEEPING"}`:                    "status",
		`{"name":"a","url":"http://x/","events":[{"entity":"PROMPT","action":"CREATED"}],"secret":"` + long + `"}`:                "secret",
		`{"name":"a","url":"http://x/","events":[{"entity":"PROMPT","action":"CREATED"}],"description":"` + long + `"}`:           "description",
		`{"name":"a","url":"http://[invalid","events":[{"entity":"PROMPT","action":"CREATED"}]}`:                                  "Invalid webhook URL",
		`{"name":"a","url":"   ","events":[{"entity":"PROMPT","action":"CREATED"}]}`:                                              "empty or just whitespace",
	} {
		status, out := p.do("POST", "", body)
		if text, _ := out["message"].(string); status != 400 || !strings.Contains(text, part) {
			t.Errorf("%.100s: %d %v", body, status, out)
		}
	}
	for query, want := range map[string]int{"?max_results=1001": 400, "?max_results=-1": 400, "?page_token=%21": 400, "?max_results=0": 200} {
		if status, out := p.do("GET", query, ""); status != want {
			t.Errorf("%s: %d %v", query, status, out)
		}
	}
	if status, out := p.do("POST", "/"+id+"/test", `{"event":{"entity":"PROMPT","action":"SET"}}`); status != 400 {
		t.Errorf("%d %v", status, out)
	}
	c := local()
	c.Key = ""
	if status, out := start(t, Options{Config: c}).do("POST", "", `{"name":"a","url":"http://x/","secret":"s","events":[{"entity":"PROMPT","action":"CREATED"}]}`); status != 400 || !strings.Contains(out["message"].(string), "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY") {
		t.Errorf("a secret without a key: %d %v", status, out)
	}
}

func TestTestRoute(t *testing.T) {
	p := start(t, Options{Config: local()})
	r := newReceiver(t)
	id := p.create(r.URL, "model_version.created registered_model.created", "s3cret")
	_, out := p.do("POST", "/"+id+"/test", "{}")
	if got := out["result"].(map[string]any); got["success"] != true || got["response_status"] != 200.0 || got["error_message"] != nil {
		t.Errorf("%v", got)
	}
	if c := r.next(t); !strings.Contains(c.body, `"source":"models:/123"`) || c.signature != sign("s3cret", c.id, c.time, c.body) {
		t.Errorf("%+v", c)
	}
	for entity, actions := range valid {
		for _, a := range actions {
			_, out := p.do("POST", "/"+id+"/test", fmt.Sprintf(`{"event":{"entity":%q,"action":%q}}`, strings.ToUpper(entity), strings.ToUpper(a)))
			if c := r.next(t); out["result"].(map[string]any)["success"] != true || !strings.Contains(c.body, `"entity":"`+entity+`"`) {
				t.Errorf("%s.%s: %v %+v", entity, a, out, c)
			}
		}
	}
	r.script = []int{500}
	_, out = p.do("POST", "/"+id+"/test", "{}")
	if got := out["result"].(map[string]any); got["success"] != false || got["response_status"] != 500.0 {
		t.Errorf("%v", got)
	}
	r.Close()
	_, out = p.do("POST", "/"+id+"/test", "{}")
	if got := out["result"].(map[string]any); got["success"] != false || !strings.Contains(got["error_message"].(string), "refused the connection") {
		t.Errorf("%v", got)
	}
}

func TestConfigFromEnv(t *testing.T) {
	key := strings.Repeat("k", 44)
	env := map[string]string{
		"MLFLOW_WEBHOOK_REQUEST_MAX_RETRIES": "0", "MLFLOW_WEBHOOK_REQUEST_TIMEOUT": "7", "MLFLOW_WEBHOOK_DELIVERY_MAX_WORKERS": "2",
		"MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http, https", "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "True", "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": key,
	}
	got, err := ConfigFromEnv(func(n string) string { return env[n] })
	want := Config{AllowPrivate: true, Schemes: []string{"http", "https"}, Timeout: 7 * time.Second, Workers: 2, Key: key}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if got, err := ConfigFromEnv(func(string) string { return "" }); err != nil || !cmp.Equal(got, DefaultConfig()) {
		t.Errorf("%+v, %v", got, err)
	}
	for name, value := range map[string]string{
		"MLFLOW_WEBHOOK_REQUEST_MAX_RETRIES": "many", "MLFLOW_WEBHOOK_REQUEST_TIMEOUT": "0", "MLFLOW_WEBHOOK_DELIVERY_MAX_WORKERS": "-1",
		"MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "gopher", "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "perhaps", "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": "short",
	} {
		_, err := ConfigFromEnv(func(n string) string {
			if n == name {
				return value
			}
			return ""
		})
		if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "short\"") {
			t.Errorf("%s=%s: %v", name, value, err)
		}
	}
}
