package store

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/store/storetest"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// manyRuns fills an experiment by SQL, with what bench/tracking fills it with.
// KIWERK_SEARCH_RUNS sets how many; with a million the times that -v prints are of interest.
func manyRuns(tb testing.TB, s *Store) (experiment string) {
	tb.Helper()
	n := 4_000
	if text := os.Getenv("KIWERK_SEARCH_RUNS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			tb.Fatal(err)
		}
	}
	id, err := s.CreateExperiment(tb.Context(), "default", "large", "", nil)
	if err != nil {
		tb.Fatal(err)
	}
	experiment = fmt.Sprint(id)
	r, err := s.CreateRun(tb.Context(), "default", NewRun{Experiment: experiment, Start: 1000})
	if err != nil {
		tb.Fatal(err)
	}
	var b model.Batch
	for i := range 5 {
		b.Metrics = append(b.Metrics, model.Metric{Key: fmt.Sprintf("m%d", i), Value: 0.5, Timestamp: 1})
		b.Params = append(b.Params, model.Pair{Key: fmt.Sprintf("p%d", i), Value: "1"})
		b.Tags = append(b.Tags, model.Pair{Key: fmt.Sprintf("t%d", i), Value: "1"})
	}
	if err := s.LogBatch(tb.Context(), "default", r.ID, b); err != nil {
		tb.Fatal(err)
	}
	script, err := os.ReadFile("../../../bench/tracking/fill/kiwerk-" + string(s.db.Dialect()) + ".sql")
	if err != nil {
		tb.Fatal(err)
	}
	text := strings.NewReplacer("{experiment}", experiment, "{runs}", fmt.Sprint(n)).Replace(string(script)) + ";ANALYZE;"
	if err := s.db.Update(tb.Context(), func(t *db.Tx) error { return t.Script(text) }); err != nil {
		tb.Fatal(err)
	}
	return experiment
}

// TestSearchRuns_usesIndexes: no search of the usual kinds reads a whole table.
func TestSearchRuns_usesIndexes(t *testing.T) {
	storetest.Both(t, func(t *testing.T, open func(testing.TB, ...db.Migrations) *db.Store) {
		t.Helper()
		s := newStore(t, open(t))
		experiment := manyRuns(t, s)
		for name, q := range map[string]RunQuery{
			"First":       {},
			"Deleted":     {View: model.DeletedOnly},
			"Filter":      {Filter: "metrics.m0 > 0.9 AND params.p1 = '7'"},
			"Few":         {Filter: "metrics.m0 > 0.998"},
			"None":        {Filter: "params.p1 = 'nothing'"},
			"ByMetric":    {OrderBy: []string{"metrics.m0 DESC"}},
			"ByMetricAsc": {OrderBy: []string{"metrics.m0 ASC"}},
			"Both":        {Filter: "metrics.m0 > 0.9 AND params.p1 = '7'", OrderBy: []string{"metrics.m0 DESC"}},
			"Ordered":     {Filter: "metrics.m0 > 0.5 AND params.p1 = '7'", OrderBy: []string{"metrics.m1 DESC"}},
			"Param":       {Filter: "params.p1 = '7'"},
			"Tag":         {Filter: "tags.t0 = 'value 3'"},
		} {
			q.Experiments, q.Max = []string{experiment}, 100
			for page := range 2 {
				explainSearch(t, s, fmt.Sprint(name, page), q)
				_, next, err := s.SearchRuns(t.Context(), "default", q)
				if err != nil {
					t.Fatal(err)
				}
				if q.Token = next; next == "" {
					break
				}
			}
		}
	})
}

// explained tells how the queries of searches are done.
func explained(t *testing.T, s *Store, search func()) (plans []string) {
	t.Helper()
	explain := "EXPLAIN QUERY PLAN "
	if s.db.Dialect() == db.Postgres {
		explain = "EXPLAIN "
	}
	s.searched = func(tx *tx, query string, args []any) {
		if tx.Dialect() == db.Postgres { // of a small table all is read, unless that is forbidden
			if _, err := tx.Exec("SET LOCAL enable_seqscan = off"); err != nil {
				t.Error(err)
			}
		}
		var plan strings.Builder
		if err := tx.Each(func(r rows) error {
			var line string
			var a, b, c int
			var err error
			if tx.Dialect() == db.SQLite {
				err = r.Scan(&a, &b, &c, &line)
			} else {
				err = r.Scan(&line)
			}
			plan.WriteString(line + "\n")
			return err
		}, explain+query, args...); err != nil {
			t.Errorf("%v in %s", err, query)
		}
		plans = append(plans, plan.String())
	}
	search()
	s.searched = nil
	return plans
}

func explainSearch(t *testing.T, s *Store, name string, q RunQuery) {
	t.Helper()
	plans := explained(t, s, func() {
		if _, _, err := s.SearchRuns(t.Context(), "default", q); err != nil {
			t.Fatal(err)
		}
	})
	for _, p := range plans {
		for line := range strings.SplitSeq(p, "\n") {
			// SQLite says SCAN r for a whole table, and SCAN r USING INDEX for an index.
			whole := strings.Contains(line, "Seq Scan on run") || strings.HasPrefix(line, "SCAN ") && (strings.HasPrefix(line[5:], "r ") || line[5:] == "r" || line[5:] == "c" || line[5:] == "o" && !strings.Contains(p, "CO-ROUTINE o")) && !strings.Contains(line, "USING")
			if whole {
				t.Errorf("%s reads a whole table:\n%s", name, p)
				break
			}
		}
	}
	const times = 5
	took := make([]float64, times)
	for i := range took {
		begin := time.Now()
		if _, _, err := s.SearchRuns(t.Context(), "default", q); err != nil {
			t.Fatal(err)
		}
		took[i] = time.Since(begin).Seconds() * 1000
	}
	slices.Sort(took)
	t.Logf("%-14s %8.2f ms, %8.2f at best", name, took[times/2], took[0])
	if os.Getenv("KIWERK_SEARCH_PLANS") != "" {
		t.Log(strings.Join(plans, "\n"))
	}
}
