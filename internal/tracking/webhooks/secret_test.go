package webhooks

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/store/storetest"
)

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
	p.do("PATCH", "/"+id, `{"secret":""}`)
	p.do("POST", "/"+id+"/test", "{}")
	if c := r.next(t); c.signature != "" {
		t.Errorf("a secret that was taken away: %+v", c)
	}
}

// TestKey: a copy of the server with another key does not start, and one that
// runs leaves signed deliveries to those that can sign them.
func TestKey(t *testing.T) { storetest.Both(t, testKey) }

func testKey(t *testing.T, open func(testing.TB, ...db.Migrations) *db.Store) {
	t.Helper()
	d := open(t)
	ours, theirs := local(), local()
	theirs.Key = strings.Repeat("x", 44)
	p, q := start(t, Options{Config: ours, DB: d}), start(t, Options{Config: theirs, DB: d}) // nobody has a secret yet
	r := newReceiver(t)
	signed := p.create(r.URL, "registered_model.created", "correct horse")
	q.create(r.URL, "registered_model.created", "")
	status, out := q.do("POST", "", `{"name":"b","url":"`+r.URL+`","events":[{"entity":"REGISTERED_MODEL","action":"CREATED"}],"secret":"s"}`)
	if text, _ := out["message"].(string); status != http.StatusInternalServerError || !strings.Contains(text, "another key") {
		t.Errorf("a secret under another key: %d %v", status, out)
	}
	q.model("m")
	q.deliver()
	if c := r.next(t); c.signature != "" {
		t.Errorf("the other copy has signed: %+v", c)
	}
	q.settled(1) // the signed one waits
	if !strings.Contains(q.log.String(), "left to other copies") {
		t.Errorf("nothing says why: %s", q.log.String())
	}
	p.deliver()
	if c := r.next(t); c.signature != sign("correct horse", c.id, c.time, c.body) {
		t.Errorf("%+v", c)
	}

	none := local()
	none.Key, none.KeyFile = "", filepath.Join(t.TempDir(), "webhooks.key")
	o := q.o
	for _, c := range []Config{theirs, none} {
		o.Config = c
		if _, err := New(t.Context(), o); !errors.Is(err, errOtherKey) {
			t.Errorf("another copy starts: %v", err)
		}
	}
	if _, err := os.Stat(none.KeyFile); err == nil {
		t.Error("a key was made beside the one that counts")
	}
	if err := d.Update(t.Context(), func(x *db.Tx) error { _, err := x.Exec("DELETE FROM webhook_key"); return err }); err != nil {
		t.Fatal(err) // as a version without the check has left it
	}
	o.Config = theirs
	if _, err := New(t.Context(), o); !errors.Is(err, errOtherKey) {
		t.Errorf("another copy starts after an older version: %v", err)
	}
	start(t, Options{Config: ours, DB: d})

	o.ForgetSecrets = true
	if _, err := New(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	o.ForgetSecrets = false
	q = start(t, o)
	if _, out := q.do("GET", "/"+signed, ""); !strings.Contains(fmt.Sprint(out), "DISABLED") {
		t.Errorf("%v", out)
	}
	q.create(r.URL, "registered_model.created", "of the new key")
}
