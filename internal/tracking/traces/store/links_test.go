package store

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kiwerk/kiwerk/internal/kwtest/postgres"
	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/traces/span"
)

func TestMain(m *testing.M) { os.Exit(postgres.Run(m.Run)) }

// copyAt is a copy of the program at a database that others use, too.
func copyAt(t *testing.T, uri string) *Store {
	t.Helper()
	d, err := db.Open(t.Context(), db.Options{Path: uri, Readers: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	s, err := New(t.Context(), Options{DB: d, Clock: time.Now, NewID: func() string { return strings.Repeat("0", 32) }})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// waits tells whether somebody waits for what another transaction holds.
func (s *Store) waits(t *testing.T) (waits bool) {
	t.Helper()
	var n int64
	if err := s.view(t.Context(), func(t *tx) error {
		return t.Row("SELECT count(*) FROM pg_locks WHERE NOT granted").Scan(&n)
	}); err != nil {
		t.Fatal(err)
	}
	return n > 0
}

// A trace arrives at one copy while another links it: whoever is first, it is linked.
func TestStore_LinkRun_twoCopies(t *testing.T) {
	e := model.Experiment{ID: 1}
	link := func(t *tx) error { return t.linkRun("default", "tr-1", "run") }
	start := func(t *tx) error {
		_, err := t.start("default", e, Info{ID: "tr-1", State: OK})
		return err
	}
	spans := func(t *tx) error {
		b, err := newBatch("tr-1", []span.Span{{TraceID: "tr-1", ID: "1", Start: 1}})
		if err != nil {
			return err
		}
		return t.log("default", e, b)
	}
	for name, c := range map[string]struct{ first, second func(*tx) error }{
		"StartLink": {start, link}, "LinkStart": {link, start}, "SpansLink": {spans, link}, "LinkSpans": {link, spans}, "LinkLink": {link, link},
	} {
		t.Run(name, func(t *testing.T) {
			uri := postgres.URI(t)
			one, two := copyAt(t, uri), copyAt(t, uri)
			done := make(chan error, 1)
			err := one.update(t.Context(), func(x *tx) error {
				if err := c.first(x); err != nil {
					return err
				}
				go func() { done <- two.update(t.Context(), c.second) }()
				for len(done) == 0 && !two.waits(t) {
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if name == "LinkLink" {
				if err := one.update(t.Context(), start); err != nil {
					t.Fatal(err)
				}
			}
			if found, err := two.OfRun(t.Context(), "default", "run"); err != nil || len(found[1]) != 1 {
				t.Errorf("traces of the run: %v, %v", found, err)
			}
			var traces, ahead int64
			err = two.view(t.Context(), func(t *tx) error {
				return t.Row("SELECT (SELECT count(*) FROM traces), (SELECT count(*) FROM trace_links_ahead)").Scan(&traces, &ahead)
			})
			if err != nil || traces != 1 || ahead != 0 {
				t.Errorf("%d traces, %d links that wait, %v", traces, ahead, err)
			}
		})
	}
}
