package storetest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/kiwerk/kiwerk/internal/store"
)

// migrateTogether: copies of the program that start at once on one database.
func migrateTogether(t *testing.T, at func(testing.TB) string) {
	t.Helper()
	path := at(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			s, err := store.Open(t.Context(), store.Options{Path: path, Migrations: []store.Migrations{things(thingsTable)}})
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

type kind int

type word string

// values: what goes in comes out, with the conversions that callers rely on.
func values(t *testing.T, at func(testing.TB) string) {
	t.Helper()
	s := open(t, at, things("CREATE TABLE things(id INTEGER PRIMARY KEY, n BIGINT, f DOUBLE PRECISION, b SMALLINT, t TEXT);"))
	var none *string
	text := "ä\n'?"
	err := s.Update(t.Context(), func(tx *store.Tx) error {
		n, err := tx.Exec("INSERT INTO things(n, f, b, t) VALUES(?, ?, ?, ?), (?, ?, ?, ?) -- really?",
			int64(-1)<<62, 1.5, true, &text, kind(7), -1e308, false, none)
		if err != nil || n != 2 {
			return fmt.Errorf("%d rows, %w", n, err)
		}
		var id int64
		if err := tx.Row("INSERT INTO things(n, f, b, t) VALUES(?1, ?2, ?3, ?4) RETURNING id", 1, 0.1, true, word("")).Scan(&id); err != nil || id != 3 {
			return fmt.Errorf("id %d, %w", id, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	err = s.View(t.Context(), func(tx *store.Tx) error {
		return tx.Each(func(r store.Rows) error {
			var n kind
			var f float64
			var b bool
			var p *word
			var ns sql.NullString
			if err := r.Scan(&n, &f, &b, &p, &ns); err != nil {
				return err
			}
			v := word("nothing")
			if p != nil {
				v = *p
			}
			got = append(got, fmt.Sprintf("%d %v %v %q %v", n, f, b, v, ns.Valid))
			return nil
		}, "SELECT n, f, b, t, t FROM things WHERE t IS NULL OR t <> '?' ORDER BY id")
	})
	want := []string{`-4611686018427387904 1.5 true "ä\n'?" true`, `7 -1e+308 false "nothing" false`, `1 0.1 true "" true`}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v", got, err)
	}
	valuesOfQueries(t, s)
}

func valuesOfQueries(t *testing.T, s *store.Store) {
	t.Helper()
	err := s.View(t.Context(), func(tx *store.Tx) error {
		var sum, count int64
		var average float64
		if err := tx.Row("SELECT sum(b), count(*), avg(b) FROM things").Scan(&sum, &count, &average); err != nil || sum != 2 || count != 3 || average < 0.6 {
			return fmt.Errorf("sum %d, count %d, average %v, %w", sum, count, average, err)
		}
		if err := tx.Row("SELECT n FROM things WHERE id = ?", 99).Scan(&sum); !errors.Is(err, sql.ErrNoRows) || !store.IsNoRows(err) {
			return fmt.Errorf("no row: %w", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// bytesOrNothing: no bytes are NULL, and none of them are not.
func bytesOrNothing(t *testing.T, at func(testing.TB) string) {
	t.Helper()
	s := open(t, at, things(thingsTable))
	for how, run := range map[string]func(context.Context, func(*store.Tx) error) error{"View": s.View, "Update": s.Update} {
		if err := run(t.Context(), func(tx *store.Tx) error {
			var null, empty int
			err := tx.Row("SELECT CASE WHEN CAST(?1 AS BYTEA) IS NULL THEN 1 ELSE 0 END, CASE WHEN CAST(?2 AS BYTEA) IS NULL THEN 1 ELSE 0 END", []byte(nil), []byte{}).Scan(&null, &empty)
			if err == nil && (null != 1 || empty != 0) {
				t.Errorf("%s: nil is NULL: %d, []byte{} is: %d", how, null, empty)
			}
			return err
		}); err != nil {
			t.Errorf("%s: %v", how, err)
		}
	}
}

// oneText: of two statements in one text the second would not run.
func oneText(t *testing.T, at func(testing.TB) string) {
	t.Helper()
	s := open(t, at, things(thingsTable))
	for text, works := range map[string]bool{"SELECT 1": true, "SELECT 1;\n": true, "SELECT 1; SELECT 2": false} {
		if err := s.View(t.Context(), func(tx *store.Tx) error { return tx.Row(text).Scan(new(int)) }); (err == nil) != works {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func lists(t *testing.T, at func(testing.TB) string) {
	t.Helper()
	s := open(t, at, things(thingsTable))
	for _, n := range []string{"a", "b", "c"} {
		if err := s.Update(t.Context(), insert(n)); err != nil {
			t.Fatal(err)
		}
	}
	for query, c := range map[string]struct {
		arg  any
		want int
	}{
		"id IN (??)":       {[]int64{1, 3, 9}, 2},
		"id NOT IN (??)":   {[]int64{1}, 2},
		"name IN (??)":     {[]string{"a", "x'"}, 1},
		"name not in (??)": {[]string(nil), 3},
		"id in (??)":       {[]int64(nil), 0},
	} {
		var n int
		if err := s.View(t.Context(), func(tx *store.Tx) error {
			return tx.Row("SELECT count(*) FROM things WHERE "+query, c.arg).Scan(&n)
		}); err != nil || n != c.want {
			t.Errorf("%s with %v: %d, %v", query, c.arg, n, err)
		}
	}
}

func likes(t *testing.T, at func(testing.TB) string) {
	t.Helper()
	s := open(t, at, things(thingsTable))
	for _, n := range []string{"Ab", "ab", `a\b`, "a%b"} {
		if err := s.Update(t.Context(), insert(n)); err != nil {
			t.Fatal(err)
		}
	}
	for pattern, want := range map[string]int{"a%": 3, "A%": 1, "%B": 0, `a\\_`: 1, `a\\b`: 1, `a\%b`: 1, `a_b`: 2} {
		var n int
		if err := s.View(t.Context(), func(tx *store.Tx) error {
			return tx.Row(`SELECT count(*) FROM things WHERE name LIKE ? ESCAPE '\'`, pattern).Scan(&n)
		}); err != nil || n != want {
			t.Errorf("%s: %d, %v", pattern, n, err)
		}
	}
}

// manyTexts: more different queries than a connection keeps prepared.
func manyTexts(t *testing.T, at func(testing.TB) string) {
	t.Helper()
	s := open(t, at, things(thingsTable))
	err := s.View(t.Context(), func(tx *store.Tx) error {
		for i := range 900 {
			var n int
			if err := tx.Row(fmt.Sprintf("SELECT count(*) + %d FROM things", i%600)).Scan(&n); err != nil || n != i%600 {
				return fmt.Errorf("query %d: %d, %w", i, n, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
