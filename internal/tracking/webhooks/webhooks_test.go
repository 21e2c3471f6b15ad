package webhooks

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
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

// delivered is what a receiver got.
type delivered struct {
	path, id, time, signature, body string
}

// receiver answers with the statuses of its script, then with 200.
type receiver struct {
	*httptest.Server
	calls  chan delivered
	mu     sync.Mutex
	script []int
}

func newReceiver(t *testing.T, script ...int) *receiver {
	t.Helper()
	r := &receiver{calls: make(chan delivered, 100), script: script}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		b, err := io.ReadAll(q.Body)
		if err != nil {
			t.Error(err)
		}
		h := q.Header
		r.calls <- delivered{q.URL.Path, h.Get("X-Mlflow-Delivery-Id"), h.Get("X-Mlflow-Timestamp"), h.Get("X-Mlflow-Signature"), string(b)}
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.script) > 0 {
			w.WriteHeader(r.script[0])
			r.script = r.script[1:]
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) next(t *testing.T) delivered {
	t.Helper()
	select {
	case c := <-r.calls:
		return c
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was delivered")
		return delivered{}
	}
}

// settled waits until only so many deliveries are kept.
func (p *platform) settled(kept int) {
	p.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); p.waiting() > kept; {
		if time.Now().After(deadline) {
			p.t.Fatal("deliveries are left")
		}
		<-time.After(time.Millisecond)
	}
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

func TestDeliver(t *testing.T) { storetest.Both(t, testDeliver) }

func testDeliver(t *testing.T, open func(testing.TB, ...db.Migrations) *db.Store) {
	t.Helper()
	p := start(t, Options{DB: open(t), Config: local(), Workspaces: true})
	r := newReceiver(t)
	var all []string
	for entity, actions := range valid {
		for _, a := range actions {
			all = append(all, entity+"."+a)
		}
	}
	p.create(r.URL+"/all", strings.Join(all, " "), "s3cret")
	disabled := p.create(r.URL+"/disabled", "registered_model.created", "")
	p.do("PATCH", "/"+disabled, `{"status":"DISABLED"}`)
	p.deliver()

	expect := func(event, data string) {
		t.Helper()
		c := r.next(t)
		var got struct {
			Entity, Action, Timestamp, Workspace string
			Data                                 any
		}
		var want any
		if err := json.Unmarshal([]byte(c.body), &got); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(data), &want); err != nil {
			t.Fatal(err)
		}
		if got.Entity+"."+got.Action != event || !cmp.Equal(got.Data, want) || got.Workspace != "default" || c.path != "/all" {
			t.Errorf("%s: got %+v", event, c)
		}
		if c.signature != sign("s3cret", c.id, c.time, c.body) || len(c.id) != 36 {
			t.Errorf("%s: signature %q of %q", event, c.signature, c.id)
		}
		if _, err := time.Parse(time.RFC3339, got.Timestamp); err != nil {
			t.Error(err)
		}
	}
	ctx, reg := t.Context(), p.registry
	step := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	about := "v"
	p.model("m", model.Pair{Key: "a", Value: "ü<"})
	expect("registered_model.created", `{"name":"m","description":"about m","tags":{"a":"ü<"}}`)
	step(reg.CreateModelVersion(ctx, "default", store.NewVersion{Name: "m", Source: "s3://b/m", Description: &about, Tags: []model.Pair{{Key: "k", Value: "v"}}}))
	expect("model_version.created", `{"name":"m","version":"1","source":"s3://b/m","run_id":null,"tags":{"k":"v"},"description":"v"}`)
	step(nil, reg.SetModelVersionTag(ctx, "default", "m", "1", model.Pair{Key: "x", Value: "y"}))
	expect("model_version_tag.set", `{"name":"m","version":"1","key":"x","value":"y"}`)
	step(nil, reg.DeleteModelVersionTag(ctx, "default", "m", "1", "x"))
	expect("model_version_tag.deleted", `{"name":"m","version":"1","key":"x"}`)
	step(nil, reg.SetAlias(ctx, "default", "m", "best", "1"))
	expect("model_version_alias.created", `{"name":"m","version":"1","alias":"best"}`)
	step(nil, reg.DeleteAlias(ctx, "default", "m", "best"))
	expect("model_version_alias.deleted", `{"name":"m","alias":"best"}`)

	prompt := []model.Pair{{Key: model.PromptTag, Value: "true"}, {Key: "_mlflow_prompt_type", Value: "text"}, {Key: "k", Value: "v"}}
	p.model("p", prompt...)
	expect("prompt.created", `{"name":"p","description":"about p","tags":{"k":"v"}}`)
	step(reg.CreateModelVersion(ctx, "default", store.NewVersion{Name: "p", Source: "dummy-source", Tags: append(prompt, model.Pair{Key: promptText, Value: "Hi {{n}}"})}))
	expect("prompt_version.created", `{"name":"p","version":"1","template":"Hi {{n}}","tags":{"k":"v"},"description":null}`)
	step(nil, reg.SetRegisteredModelTag(ctx, "default", "p", model.Pair{Key: "x", Value: "y"}))
	expect("prompt_tag.set", `{"name":"p","key":"x","value":"y"}`)
	step(nil, reg.DeleteRegisteredModelTag(ctx, "default", "p", "x"))
	expect("prompt_tag.deleted", `{"name":"p","key":"x"}`)
	step(nil, reg.SetModelVersionTag(ctx, "default", "p", "1", model.Pair{Key: "x", Value: "y"}))
	expect("prompt_version_tag.set", `{"name":"p","version":"1","key":"x","value":"y"}`)
	step(nil, reg.DeleteModelVersionTag(ctx, "default", "p", "1", "x"))
	expect("prompt_version_tag.deleted", `{"name":"p","version":"1","key":"x"}`)
	step(nil, reg.SetAlias(ctx, "default", "p", "best", "1"))
	expect("prompt_alias.created", `{"name":"p","version":"1","alias":"best"}`)
	step(nil, reg.DeleteAlias(ctx, "default", "p", "best"))
	expect("prompt_alias.deleted", `{"name":"p","alias":"best"}`)
	p.settled(0)
	if _, err := reg.CreateRegisteredModel(ctx, "other", "m", "", nil); err != nil || p.waiting() > 0 {
		t.Errorf("a webhook hears of another project: %v", err)
	}
	if len(r.calls) > 0 {
		t.Errorf("more was delivered: %+v", <-r.calls)
	}
}

func TestDeliver_retries(t *testing.T) {
	for name, c := range map[string]struct {
		script   []int
		calls    int
		complain string
	}{
		"Works":        {nil, 1, ""},
		"Later":        {[]int{503, 429}, 3, "will be tried again"},
		"GivesUp":      {[]int{500, 502, 503, 504, 500}, 4, "given up"},
		"ClientError":  {[]int{401}, 1, "answered 401"},
		"NotImplement": {[]int{501}, 1, "answered 501"},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, Options{Config: local()})
			r := newReceiver(t, c.script...)
			p.create(r.URL, "registered_model.created", "s3cret")
			p.deliver()
			p.model("m")
			ids := map[string]bool{}
			for range c.calls {
				ids[r.next(t).id] = true
			}
			p.settled(0)
			if len(ids) != 1 || len(r.calls) > 0 {
				t.Errorf("ids %v, %d more calls", ids, len(r.calls))
			}
			log := p.log.String()
			if !strings.Contains(log, c.complain) || c.complain == "" && log != "" || strings.Contains(log, r.URL) || strings.Contains(log, "s3cret") {
				t.Errorf("log: %s", log)
			}
		})
	}
}

// TestDeliver_afterDeath: what another process left behind is sent, once its lease is over.
func TestDeliver_afterDeath(t *testing.T) { storetest.Both(t, testAfterDeath) }

func testAfterDeath(t *testing.T, open func(testing.TB, ...db.Migrations) *db.Store) {
	t.Helper()
	r := newReceiver(t)
	dead := start(t, Options{Config: local(), DB: open(t)})
	dead.create(r.URL, "registered_model.created", "s")
	dead.model("claimed")
	if list, err := dead.claim(t.Context(), dead.clock.now(), 10, 5, nil); err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	dead.model("never looked at")

	p := start(t, Options{Config: local(), DB: dead.db})
	stop := p.deliver()
	if c := r.next(t); !strings.Contains(c.body, "never looked at") {
		t.Errorf("%+v", c)
	}
	p.settled(1)
	stop()
	if p.waiting() != 1 {
		t.Errorf("%d are waiting, want the one with the lease", p.waiting())
	}
	p.clock.advance(p.o.Timeout + margin + time.Second)
	p.deliver()
	if c := r.next(t); !strings.Contains(c.body, "claimed") {
		t.Errorf("%+v", c)
	}
	p.settled(0)
}

// TestDeliver_slowReceiver: it holds back neither requests nor other receivers, and stopping does not lose what it has not answered.
func TestDeliver_slowReceiver(t *testing.T) {
	c := local()
	c.Workers, c.Timeout = 4, time.Minute
	p := start(t, Options{Config: c})
	hold := make(chan struct{})
	entered := make(chan struct{}, 100)
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		entered <- struct{}{}
		<-hold
	}))
	defer slow.Close()
	defer close(hold)
	quick := newReceiver(t)
	p.create(slow.URL, "registered_model.created", "")
	p.create(quick.URL, "registered_model.created", "")
	stop := p.deliver()
	began := time.Now()
	for i := range 8 {
		p.model(fmt.Sprint("m", i))
	}
	for range 8 {
		quick.next(t)
	}
	if d := time.Since(began); d > 15*time.Second {
		t.Errorf("a slow receiver held everything back for %s", d)
	}
	<-entered
	<-entered
	if len(entered) > 0 {
		t.Error("one receiver has more than half of the workers")
	}
	p.settled(8)
	stop()
	if p.waiting() != 8 {
		t.Errorf("%d deliveries are kept, want 8", p.waiting())
	}
	if list, err := p.claim(t.Context(), p.clock.now(), 1, 1, nil); err != nil || len(list) != 1 || list[0].attempts != 1 {
		t.Errorf("an interrupted attempt counts: %+v, %v", list, err)
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

func TestSecrets(t *testing.T) {
	c := local()
	c.Key, c.KeyFile = "", filepath.Join(t.TempDir(), "webhooks.key")
	p := start(t, Options{Config: c})
	r := newReceiver(t)
	id := p.create(r.URL, "registered_model.created", "correct horse")
	st, err := os.Stat(c.KeyFile)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st, err)
	}
	var stored string
	if err := p.db.View(t.Context(), func(x *db.Tx) error { return x.Row("SELECT secret FROM webhooks").Scan(&stored) }); err != nil || strings.Contains(stored, "correct") || !strings.HasPrefix(stored, sealed) {
		t.Errorf("%q, %v", stored, err)
	}
	if _, err := p.vault.open("another", stored); err == nil {
		t.Error("a secret can be moved to another webhook")
	}
	p = start(t, Options{Config: c, DB: p.db}) // a restart
	p.do("POST", "/"+id+"/test", "{}")
	if c := r.next(t); c.signature != sign("correct horse", c.id, c.time, c.body) {
		t.Errorf("%+v", c)
	}
	c.Key = strings.Repeat("x", 44)
	p = start(t, Options{Config: c, DB: p.db})
	_, out := p.do("POST", "/"+id+"/test", "{}")
	if text, _ := out["result"].(map[string]any)["error_message"].(string); !strings.Contains(text, "another key") {
		t.Errorf("%v", out)
	}
	p.do("PATCH", "/"+id, `{"secret":""}`)
	p.do("POST", "/"+id+"/test", "{}")
	if c := r.next(t); c.signature != "" {
		t.Errorf("a secret that was taken away: %+v", c)
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

func TestDecide(t *testing.T) {
	s := &Service{o: Options{Config: Config{Retries: 2}, Backoff: func(n int) time.Duration { return time.Duration(n) * time.Second }}}
	for name, c := range map[string]struct {
		n    int
		a    answer
		err  error
		want verdict
	}{
		"Success":    {1, answer{status: 204}, nil, verdict{done: true}},
		"Busy":       {1, answer{status: 429}, nil, verdict{after: time.Second, why: "the receiver answered 429"}},
		"BusyLater":  {2, answer{status: 503, after: time.Minute}, nil, verdict{after: time.Minute, why: "the receiver answered 503"}},
		"BusyEnd":    {3, answer{status: 503}, nil, verdict{done: true, after: 3 * time.Second, why: "the receiver answered 503"}},
		"Redirect":   {1, answer{status: 302}, nil, verdict{done: true, why: "the receiver answered 302"}},
		"Refused":    {1, answer{}, &refused{errPrivate}, verdict{done: true, why: "the receiver was not called: its address is not a public IP address"}},
		"Unreached":  {1, answer{}, io.EOF, verdict{after: time.Second, why: "the receiver was not reached: EOF"}},
		"Unreached3": {3, answer{}, io.EOF, verdict{done: true, after: 3 * time.Second, why: "the receiver was not reached: EOF"}},
	} {
		if got := s.decide(c.n, c.a, c.err); got != c.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
	for n, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 4: 8 * time.Second, 7: time.Minute, 1000: time.Minute} {
		if got := backoff(n); got < want || got > want+time.Second {
			t.Errorf("backoff(%d) = %s", n, got)
		}
	}
}

// TestDeliver_copies: several servers on one database do not send the same delivery.
func TestDeliver_copies(t *testing.T) { storetest.Both(t, testCopies) }

func testCopies(t *testing.T, open func(testing.TB, ...db.Migrations) *db.Store) {
	t.Helper()
	const n = 60
	r := newReceiver(t)
	first := start(t, Options{Config: local(), DB: open(t)})
	first.create(r.URL, "registered_model.created", "")
	first.deliver()
	second := start(t, Options{Config: local(), DB: first.db})
	second.deliver()
	for i := range n {
		first.model(fmt.Sprint("m", i))
		second.Committed()
	}
	ids := map[string]bool{}
	for range n {
		ids[r.next(t).id] = true
	}
	first.settled(0)
	if len(ids) != n || len(r.calls) > 0 {
		t.Errorf("%d deliveries of %d, %d too many", len(ids), n, len(r.calls))
	}
}
