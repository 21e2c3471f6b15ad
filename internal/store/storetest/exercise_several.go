package storetest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/kiwerk/kiwerk/internal/store"
)

// several queries at once give what they give one after the other, also when
// a scan asks for more, ends early or one of them fails.
func several(t *testing.T, at func(testing.TB) string) {
	t.Helper()
	s := open(t, at, things(thingsTable))
	for _, n := range []string{"a", "b", "c"} {
		if err := s.Update(t.Context(), insert(n)); err != nil {
			t.Fatal(err)
		}
	}
	const names = "SELECT name FROM things ORDER BY name"
	var tx *store.Tx
	var got strings.Builder
	note := func(r store.Rows) error {
		var name string
		err := r.Scan(&name)
		got.WriteString(name)
		return err
	}
	all := store.Query{Scan: note, Text: names}
	cases := map[string]struct {
		list  []store.Query
		want  string
		fails bool
	}{
		"None":      {nil, "", false},
		"All":       {[]store.Query{all, {Scan: note, Text: "SELECT name FROM things WHERE id IN (??)", Args: []any{[]int64{2}}}, {Scan: note, Text: names + " DESC"}}, "abcbcba", false},
		"EndEarly":  {[]store.Query{{Scan: func(r store.Rows) error { return errors.Join(note(r), store.ErrStop) }, Text: names}, all}, "aabc", false},
		"Nested":    {[]store.Query{{Scan: func(store.Rows) error { return tx.Each(note, names) }, Text: names}, all}, "abcabcabcabc", false},
		"ScanFails": {[]store.Query{all, {Scan: func(store.Rows) error { return errScan }, Text: names}, all}, "abc", true},
		"Unknown":   {[]store.Query{{Scan: note, Text: "SELECT name FROM nothing"}, all}, "", true},
		"Overflow":  {[]store.Query{all, {Scan: note, Text: "SELECT CAST(abs(-9223372036854775807 - id) AS TEXT) FROM things"}, all}, "abc", true},
	}
	for name, c := range cases {
		got.Reset()
		err := s.View(t.Context(), func(x *store.Tx) error {
			tx = x
			if err := x.Row("SELECT count(*) FROM things").Scan(new(int)); err != nil { // the snapshot begins
				return err
			}
			return x.EachOf(c.list...)
		})
		if (err != nil) != c.fails || got.String() != c.want {
			t.Errorf("%s: %q, %v", name, got.String(), err)
		}
		if n := count(t, s); n != 3 {
			t.Errorf("%s: %d things afterwards", name, n)
		}
	}
}

var errScan = errors.New("a scan failed")

// givenUpQuery: a caller that gives up ends its query, not the store.
func givenUpQuery(t *testing.T, at func(testing.TB) string) {
	t.Helper()
	s := open(t, at, things(thingsTable))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := s.View(ctx, func(tx *store.Tx) error {
		return tx.Row("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000000000) SELECT count(*) FROM n").Scan(new(int))
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("given up: %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err = s.View(ctx, func(tx *store.Tx) error {
		return tx.Each(func(store.Rows) error { <-ctx.Done(); return nil },
			"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000000000) SELECT i FROM n")
	})
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		t.Errorf("given up among its rows: %v", err)
	}
	if n := count(t, s); n != 0 {
		t.Errorf("%d things afterwards", n)
	}
}
