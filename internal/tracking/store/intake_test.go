package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"testing"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/store/storetest"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

func newRun(tb testing.TB, s *Store) string {
	tb.Helper()
	r, err := s.CreateRun(tb.Context(), "default", NewRun{Experiment: "0", Start: 1})
	if err != nil {
		tb.Fatal(err)
	}
	return r.ID
}

// TestLog_together: what many clients log at once is all there, once, and the
// fault of one is not that of another.
func TestLog_together(t *testing.T) { both(t, testLogTogether) }

func testLogTogether(t *testing.T, open opener) {
	t.Helper()
	s := open(t)
	runs := make([]string, 8)
	for i := range runs {
		runs[i] = newRun(t, s)
	}
	if err := s.SetRunDeleted(t.Context(), "default", runs[7], true); err != nil {
		t.Fatal(err)
	}
	const clients, batches = 24, 12
	errs := make([][]error, clients)
	batch := func(c, n int) model.Batch {
		b := model.Batch{
			Params: []model.Pair{{Key: fmt.Sprintf("p%d-%d", c, n), Value: "x"}, {Key: "same", Value: "1"}},
			Tags:   []model.Pair{{Key: "t", Value: fmt.Sprint(c)}},
		}
		for m := range 20 {
			b.Metrics = append(b.Metrics, model.Metric{Key: fmt.Sprintf("m%d", m%5), Value: float64(c), Timestamp: int64(n), Step: int64(m)})
		}
		if n%4 == 1 {
			b.Params[1].Value = "2" // refused with all that goes with it
			b.Tags = append(b.Tags, model.Pair{Key: "refused", Value: "x"})
		}
		return b
	}
	var wg sync.WaitGroup
	for c := range clients {
		errs[c] = make([]error, batches)
		wg.Go(func() {
			for n := range batches {
				id := runs[c%8]
				if n == 10 {
					id = "nothing"
				}
				errs[c][n] = s.LogBatch(context.Background(), "default", id, batch(c, n))
			}
		})
	}
	wg.Wait()
	for c := range clients {
		for n := range batches {
			err := errs[c][n]
			switch {
			case n == 10 && !model.IsMissing(err),
				n != 10 && c%8 == 7 && (err == nil || !strings.Contains(err.Error(), "'active' state")),
				n != 10 && c%8 != 7 && n%4 == 1 && (err == nil || !strings.Contains(err.Error(), "Changing param values")),
				n != 10 && c%8 != 7 && n%4 != 1 && err != nil:
				t.Errorf("client %d, batch %d: %v", c, n, err)
			}
		}
	}
	for i, id := range runs {
		r, err := s.Run(t.Context(), "default", id)
		if err != nil {
			t.Fatal(err)
		}
		points, _, err := s.History(t.Context(), "default", id, "m0", 0, "")
		if err != nil {
			t.Fatal(err)
		}
		wantPoints, wantParams := 3*8*4, 3*8+1 // three clients, eight batches, four points of m0
		if i == 7 {
			wantPoints, wantParams = 0, 0
		}
		if len(points) != wantPoints || len(r.Params) != wantParams {
			t.Errorf("run %d: %d points, %d params, want %d and %d", i, len(points), len(r.Params), wantPoints, wantParams)
		}
		for _, g := range r.Tags {
			if g.Key == "refused" {
				t.Errorf("run %d has the tag of a refused request", i)
			}
		}
	}
}

// TestLog_again: a repeated request adds nothing, and an older point does not become the newest.
func TestLog_again(t *testing.T) { both(t, testLogAgain) }

func testLogAgain(t *testing.T, open opener) {
	t.Helper()
	s := open(t)
	id := newRun(t, s)
	b := model.Batch{Metrics: []model.Metric{
		{Key: "a", Value: 1, Timestamp: 5, Step: 2},
		{Key: "a", Value: 2, Timestamp: 5, Step: 2},
		{Key: "a", Value: math.NaN(), Timestamp: 9, Step: 1},
		{Key: "b", Value: math.Inf(1), Timestamp: 1},
	}, Params: []model.Pair{{Key: "p", Value: ""}}, Tags: []model.Pair{{Key: "t", Value: "1"}, {Key: "t", Value: "2"}}}
	for range 2 {
		if err := s.LogBatch(t.Context(), "default", id, b); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.LogMetric(t.Context(), "default", id, model.Metric{Key: "a", Value: 7, Timestamp: 99, Step: 0}); err != nil {
		t.Fatal(err)
	}
	points, _, err := s.History(t.Context(), "default", id, "a", 0, "")
	if err != nil || len(points) != 4 {
		t.Errorf("points %v, %v", points, err)
	}
	r, err := s.Run(t.Context(), "default", id)
	if err != nil || len(r.Metrics) != 2 || r.Metrics[0].Value != 2 || r.Metrics[1].Value != math.MaxFloat64 {
		t.Errorf("newest %v, %v", r.Metrics, err)
	}
	for _, g := range r.Tags {
		if g.Key == "t" && g.Value != "2" {
			t.Errorf("the last value of a tag counts, got %v", g)
		}
	}
}

// TestLog_closed: everyone who waits is answered.
func TestLog_closed(t *testing.T) {
	d := storetest.Open(t)
	s := newStore(t, d)
	id := newRun(t, s)
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			for n := range 20 {
				err := s.LogMetric(context.Background(), "default", id, model.Metric{Key: "a", Timestamp: int64(i), Step: int64(n)})
				if err != nil && !errors.Is(err, db.ErrClosed) {
					t.Error(err)
				}
			}
		})
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
}

// TestLog_copies: several copies of the program log to the same runs of one PostgreSQL.
func TestLog_copies(t *testing.T) {
	first := storetest.Postgres(t)
	s := newStore(t, first)
	copies := []*Store{s}
	for range 2 {
		d, err := db.Open(t.Context(), db.Options{Path: first.Path()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = d.Close() })
		copies = append(copies, newStore(t, d))
	}
	ids := []string{newRun(t, s), newRun(t, s)}
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := map[string]int{}
	for c, s := range copies {
		for w := range 4 {
			wg.Go(func() {
				for n := range 15 {
					id := ids[(n+w)%2]
					b := model.Batch{Params: []model.Pair{{Key: fmt.Sprint("param", n), Value: fmt.Sprint(c)}}}
					for m := range 10 {
						b.Metrics = append(b.Metrics, model.Metric{Key: fmt.Sprintf("new-%d-%d", n, m), Value: 1, Timestamp: int64(c), Step: int64(w)})
					}
					err := s.LogBatch(context.Background(), "default", id, b)
					if err == nil {
						mu.Lock()
						won[fmt.Sprint(id, n, "=", c)]++
						mu.Unlock()
					} else if !strings.Contains(err.Error(), "Changing param values") {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	for _, id := range ids {
		for n := range 15 {
			winners := 0
			for c := range copies {
				if won[fmt.Sprint(id, n, "=", c)] > 0 {
					winners++
				}
			}
			if winners != 1 {
				t.Errorf("run %s, param %d: %d copies set it", id, n, winners)
			}
		}
	}
}

// twoCopies of the program on one PostgreSQL.
func twoCopies(t *testing.T) []*Store {
	t.Helper()
	first := storetest.Postgres(t)
	second, err := db.Open(t.Context(), db.Options{Path: first.Path()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = second.Close() })
	return []*Store{newStore(t, first), newStore(t, second)}
}

// TestVersions_copies: two copies of the program do not give a number twice.
func TestVersions_copies(t *testing.T) {
	copies := twoCopies(t)
	if _, err := copies[0].CreateRegisteredModel(t.Context(), "default", "m", "", nil); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[int64]bool{}
	for _, s := range copies {
		for range 4 {
			wg.Go(func() {
				for range 10 {
					v, err := s.CreateModelVersion(context.Background(), "default", NewVersion{Name: "m", Source: "s3://bucket/m"})
					if err != nil {
						t.Error(err)
						continue
					}
					mu.Lock()
					seen[v.Version] = true
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	if len(seen) != 80 {
		t.Errorf("%d numbers for 80 versions", len(seen))
	}
}

// TestNoteRegistration_copies: a logged model knows every version that several
// copies of the program have made of it at the same moment.
func TestNoteRegistration_copies(t *testing.T) {
	ctx := t.Context()
	copies := twoCopies(t)
	m, err := copies[0].CreateLoggedModel(ctx, "default", "0", model.LoggedModel{Name: "net"})
	if err != nil {
		t.Fatal(err)
	}
	const each = 100
	var wg sync.WaitGroup
	for c, s := range copies {
		name := "m" + strconv.Itoa(c)
		if _, err := s.CreateRegisteredModel(ctx, "default", name, "", nil); err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for range each {
				if _, err := s.CreateModelVersion(ctx, "default", NewVersion{Name: name, Source: "models:/" + m.ID, ModelID: m.ID}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	m, err = copies[0].LoggedModel(ctx, "default", m.ID, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, tag := range m.Tags {
		if n := strings.Count(tag.Value, `"version"`); tag.Key == model.TagVersionOf && n == len(copies)*each {
			return
		}
	}
	t.Errorf("expected %d versions in %v", len(copies)*each, m.Tags)
}

// TestChangeVersion_copies: what one copy of the program changes does not take
// back what another changes at the same moment.
func TestChangeVersion_copies(t *testing.T) {
	ctx := t.Context()
	copies := twoCopies(t)
	if _, err := copies[0].CreateRegisteredModel(ctx, "default", "m", "", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := copies[0].CreateModelVersion(ctx, "default", NewVersion{Name: "m", Source: "s3://b/m"}); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for c, change := range []func(s *Store, round string) (model.ModelVersion, error){
		func(s *Store, round string) (model.ModelVersion, error) {
			return s.DescribeModelVersion(ctx, "default", "m", "1", &round)
		},
		func(s *Store, _ string) (model.ModelVersion, error) {
			return s.TransitionStage(ctx, "default", "m", "1", "Staging", false)
		},
	} {
		wg.Go(func() {
			for i := range 200 {
				round := strconv.Itoa(i)
				_, err := change(copies[c], round)
				v, readErr := copies[c].ModelVersion(ctx, "default", "m", "1")
				if err != nil || readErr != nil || c == 0 && *v.Description != round || c == 1 && v.Stage != "Staging" {
					t.Errorf("round %d: %+v, %v, %v", i, v, err, readErr)
					return
				}
			}
		})
	}
	wg.Wait()
}
