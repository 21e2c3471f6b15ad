package webhooks

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	db "github.com/kiwerk/kiwerk/internal/store"
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
