package store

import (
	"testing"

	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// TestErase leaves no row of a run, and the rows of others as they were.
func TestErase(t *testing.T) {
	both(t, func(t *testing.T, open opener) {
		s, ctx := open(t), t.Context()
		var ids []string
		for range 3 {
			r, err := s.CreateRun(ctx, "default", NewRun{Experiment: "0", Tags: []model.Pair{{Key: "t", Value: "v"}}})
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, r.ID)
			var points []model.Metric
			for i := range 900 {
				points = append(points, model.Metric{Key: []string{"a", "b", "c"}[i%3], Value: float64(i), Timestamp: int64(i), Step: int64(i)})
			}
			if err := s.LogBatch(ctx, "default", r.ID, model.Batch{Metrics: points, Params: []model.Pair{{Key: "p", Value: "v"}}}); err != nil {
				t.Fatal(err)
			}
		}
		count := func(table string) (n int) {
			t.Helper()
			if err := s.view(ctx, func(t *tx) error { return t.Row("SELECT count(*) FROM " + table).Scan(&n) }); err != nil {
				t.Fatal(err)
			}
			return n
		}
		if err := s.EraseRun(ctx, "default", ids[0]); err == nil {
			t.Error("a run that is not deleted was removed")
		}
		for _, id := range ids[:2] {
			if err := s.SetRunDeleted(ctx, "default", id, true); err != nil {
				t.Fatal(err)
			}
		}
		list, err := s.Doomed(ctx, "default", DoomedQuery{Max: 1})
		if err != nil || len(list) != 1 {
			t.Fatalf("%+v, %v", list, err)
		}
		rest, err := s.Doomed(ctx, "default", DoomedQuery{Max: 10, After: list[0]})
		if err != nil || len(rest) != 1 || rest[0].ID == list[0].ID {
			t.Errorf("%+v, %v", rest, err)
		}
		if list, err := s.Doomed(ctx, "default", DoomedQuery{Max: 10, Before: 1}); err != nil || len(list) != 0 {
			t.Errorf("%+v, %v", list, err)
		}
		if list, err := s.Doomed(ctx, "other", DoomedQuery{Max: 10}); err != nil || len(list) != 0 {
			t.Errorf("another project: %+v, %v", list, err)
		}
		for _, id := range append(ids[:2:2], ids[0], "nobody") {
			if err := s.EraseRun(ctx, "default", id); err != nil {
				t.Error(err)
			}
		}
		for table, want := range map[string]int{"runs": 1, "run_metrics": 900, "run_latest": 3, "run_params": 1} {
			if got := count(table); got != want {
				t.Errorf("%s has %d rows, want %d", table, got, want)
			}
		}
	})
}
