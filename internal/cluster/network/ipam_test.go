package network

import (
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
)

func newTestPool(t *testing.T, path, prefix, first string) *pool {
	t.Helper()
	p, err := openPool(path, netip.MustParsePrefix(prefix), netip.MustParseAddr(first))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func mustTake(t *testing.T, p *pool, id string) string {
	t.Helper()
	a, err := p.take(id)
	if err != nil {
		t.Fatal(err)
	}
	return a.String()
}

func TestPool_take(t *testing.T) {
	path := filepath.Join(t.TempDir(), "addresses.json")
	p := newTestPool(t, path, "10.0.0.0/29", "10.0.0.4")
	for id, want := range map[string]string{"a": "10.0.0.4"} {
		if got := mustTake(t, p, id); got != want {
			t.Errorf("%s has %s, want %s", id, got, want)
		}
	}
	if again := mustTake(t, p, "a"); again != "10.0.0.4" {
		t.Errorf("the same pod got %s the second time", again)
	}
	mustTake(t, p, "b")
	if err := p.free("b"); err != nil {
		t.Fatal(err)
	}
	// A new daemon goes on behind the last address, whether it is used or not.
	p = newTestPool(t, path, "10.0.0.0/29", "10.0.0.4")
	if got := mustTake(t, p, "c"); got != "10.0.0.6" {
		t.Errorf("after .5 was freed the next pod got %s, want .6", got)
	}
	if got := mustTake(t, p, "d"); got != "10.0.0.5" {
		t.Errorf("at the end of the range the next pod got %s, want .5", got)
	}
	if a, err := p.take("e"); !errors.Is(err, errPoolEmpty) {
		t.Errorf("a full range gave %s, %v", a, err)
	}
	if err := p.free("nobody"); err != nil {
		t.Errorf("freeing what has no address: %v", err)
	}
}

func TestPool_isWrittenBeforeUse(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	p := newTestPool(t, filepath.Join(dir, "addresses.json"), "10.0.0.0/24", "10.0.0.16")
	if a, err := p.take("a"); err == nil {
		t.Fatalf("%s was given without a record", a)
	}
	if len(p.all()) != 0 {
		t.Errorf("%v is in use after a failure", p.all())
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if got := mustTake(t, p, "a"); got != "10.0.0.16" {
		t.Errorf("after the failure the first pod got %s", got)
	}
}

func TestParsePool_refusals(t *testing.T) {
	for name, text := range map[string]string{
		"NoJSON":   "{",
		"Outside":  `{"used":{"a":"192.168.0.1"}}`,
		"Double":   `{"used":{"a":"10.0.0.20","b":"10.0.0.20"}}`,
		"NotAnIP":  `{"used":{"a":"ten"}}`,
		"LastSix":  `{"last":"::1","used":{}}`,
		"EmptyOne": `{"used":{"a":""}}`,
	} {
		if s, err := parsePool([]byte(text), netip.MustParsePrefix("10.0.0.0/24")); err == nil {
			t.Errorf("%s: %s was accepted as %+v", name, text, s)
		}
	}
}

func FuzzParsePool(f *testing.F) {
	f.Add([]byte(`{"last":"10.0.0.20","used":{"a":"10.0.0.20"}}`))
	f.Add([]byte(`{"used":null}`))
	prefix := netip.MustParsePrefix("10.0.0.0/24")
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parsePool(b, prefix)
		if err != nil {
			return
		}
		out, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := parsePool(out, prefix); err != nil || len(again.Used) != len(s.Used) {
			t.Errorf("%s became %s: %v", b, out, err)
		}
	})
}
