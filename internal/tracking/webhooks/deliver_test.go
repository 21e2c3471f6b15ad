package webhooks

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/store/storetest"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/store"
)

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
