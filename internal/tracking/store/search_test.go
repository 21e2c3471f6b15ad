package store

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/kiwerk/kiwerk/internal/kwtest/postgres"
	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/store/storetest"
	"github.com/kiwerk/kiwerk/internal/tracking/filter"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/query"
)

func TestMain(m *testing.M) { os.Exit(postgres.Run(m.Run)) }

type opener func(*testing.T) *Store

// both runs a test on SQLite and on PostgreSQL.
func both(t *testing.T, test func(*testing.T, opener)) {
	t.Helper()
	storetest.Both(t, func(t *testing.T, open func(testing.TB, ...db.Migrations) *db.Store) {
		t.Helper()
		test(t, func(t *testing.T) *Store { t.Helper(); return newStore(t, open(t)) })
	})
}

func newStore(tb testing.TB, d *db.Store) *Store {
	tb.Helper()
	n := 0
	s, err := New(tb.Context(), Options{
		DB: d, Clock: func() time.Time { return time.UnixMilli(1_700_000_000_000) },
		NewID:        func() string { n++; return fmt.Sprintf("%08x%024x", uint32(n*2654435761), n) },
		ArtifactRoot: "mlflow-artifacts:", DefaultNamespace: "default",
	})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// sample is a run as the test knows it.
type sample struct {
	id, name, p, tag string
	experiment       int64
	start            int64
	deleted          bool
	metric           float64
	measured         bool
}

// fill makes runs in two experiments with equal start times, NaN, and gaps.
func fill(t *testing.T, s *Store, n int) (experiments []string, runs []sample) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	other, err := s.CreateExperiment(t.Context(), "default", "other", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	experiments = []string{"0", fmt.Sprint(other)}
	for i := range n {
		r := sample{
			experiment: int64(i%4/3) * other, start: int64(random.IntN(n / 4)), name: fmt.Sprintf("Run_%d", i), p: fmt.Sprint(random.IntN(10)),
			deleted: random.IntN(8) == 0, metric: float64(random.IntN(50)) / 50, measured: random.IntN(5) > 0,
		}
		if random.IntN(20) == 0 {
			r.metric = math.NaN()
		}
		if r.tag = strings.Repeat("long ", 30) + fmt.Sprint(random.IntN(3)); i%3 == 0 {
			r.tag = ""
		}
		run, err := s.CreateRun(t.Context(), "default", NewRun{Experiment: fmt.Sprint(r.experiment), Name: r.name, Start: r.start})
		if err != nil {
			t.Fatal(err)
		}
		r.id = run.ID
		b := model.Batch{Params: []model.Pair{{Key: "p", Value: r.p}}}
		if r.measured {
			b.Metrics = []model.Metric{{Key: "m", Value: -1, Timestamp: 1}, {Key: "m", Value: r.metric, Timestamp: 1, Step: 1}}
		}
		if r.tag != "" {
			b.Tags = []model.Pair{{Key: "tag", Value: r.tag}}
		}
		if err := s.LogBatch(t.Context(), "default", r.id, b); err != nil {
			t.Fatal(err)
		}
		if r.deleted {
			if err := s.SetRunDeleted(t.Context(), "default", r.id, true); err != nil {
				t.Fatal(err)
			}
		}
		runs = append(runs, r)
	}
	return experiments, runs
}

var searches = map[string]func(sample) bool{
	"":                                   func(sample) bool { return true },
	"metrics.m > 0.5":                    func(r sample) bool { return r.measured && r.metric > 0.5 },
	"metrics.m <= 0.02":                  func(r sample) bool { return r.measured && r.metric <= 0.02 },
	"metrics.m != 0.5":                   func(r sample) bool { return r.measured && r.metric != 0.5 },
	"params.p = '3'":                     func(r sample) bool { return r.p == "3" },
	"params.p != '3'":                    func(r sample) bool { return r.p != "3" },
	"params.p IN":                        nil, // not in the language
	"metrics.m > 0.9 AND params.p = '7'": func(r sample) bool { return r.measured && r.metric > 0.9 && r.p == "7" },
	"tags.tag = '" + strings.Repeat("long ", 30) + "1'": func(r sample) bool { return strings.HasSuffix(r.tag, " 1") },
	"tags.tag LIKE '%2'":        func(r sample) bool { return strings.HasSuffix(r.tag, "2") },
	"tags.tag IS NULL":          func(r sample) bool { return r.tag == "" },
	"start_time < 20":           func(r sample) bool { return r.start < 20 },
	"run_name ILIKE 'rUN\\_1%'": func(sample) bool { return false }, // no escapes in LIKE
	"run_name = 'Run_5'":        func(r sample) bool { return r.name == "Run_5" },
}

// rank puts numbers before NaN before runs without the metric.
func (r sample) rank() int {
	switch {
	case !r.measured:
		return 2
	case math.IsNaN(r.metric):
		return 1
	}
	return 0
}

func newest(a, b sample) int {
	return cmp.Or(cmp.Compare(b.start, a.start), cmp.Compare(a.id, b.id))
}

var orderings = map[string]func(a, b sample) int{
	"":                newest,
	"start_time DESC": newest,
	"start_time ASC":  func(a, b sample) int { return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.id, b.id)) },
	"metrics.m ASC": func(a, b sample) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), byMetric(a, b), newest(a, b))
	},
	"metrics.m DESC": func(a, b sample) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), byMetric(b, a), newest(a, b))
	},
	"params.p DESC, metrics.m ASC": func(a, b sample) int {
		return cmp.Or(cmp.Compare(b.p, a.p), cmp.Compare(a.rank(), b.rank()), byMetric(a, b), newest(a, b))
	},
	"tags.tag ASC": func(a, b sample) int {
		gap := func(r sample) int { return map[bool]int{true: 1}[r.tag == ""] }
		return cmp.Or(cmp.Compare(gap(a), gap(b)), cmp.Compare(a.tag, b.tag), newest(a, b))
	},
}

func byMetric(a, b sample) int {
	if a.rank() != 0 || b.rank() != 0 {
		return 0
	}
	return cmp.Compare(a.metric, b.metric)
}

// TestStore_SearchRuns compares every way of searching with a plain loop.
func TestStore_SearchRuns(t *testing.T) { both(t, testStore_SearchRuns) }

func testStore_SearchRuns(t *testing.T, open opener) {
	t.Helper()
	s := open(t)
	experiments, runs := fill(t, s, 200)
	for text, fits := range searches {
		for order, less := range orderings {
			for _, view := range []model.View{model.ActiveOnly, model.DeletedOnly, model.All} {
				for _, in := range [][]string{experiments[:1], experiments} {
					q := RunQuery{Experiments: in, Filter: text, View: view}
					if order != "" {
						q.OrderBy = strings.Split(order, ", ")
					}
					if fits == nil {
						if _, _, err := s.SearchRuns(t.Context(), "default", q); err == nil {
							t.Errorf("%q was accepted", text)
						}
						continue
					}
					var want []sample
					for _, r := range runs {
						if fits(r) && (view == model.All || r.deleted == (view == model.DeletedOnly)) && slices.Contains(in, fmt.Sprint(r.experiment)) {
							want = append(want, r)
						}
					}
					slices.SortFunc(want, less)
					var ids []string
					for _, r := range want {
						ids = append(ids, r.id)
					}
					for _, size := range []int{37, 1000} {
						if diff := gocmp.Diff(ids, walk(t, s, q, size)); diff != "" {
							t.Fatalf("filter %q, order %q, view %d, experiments %v, pages of %d: %s", text, order, view, in, size, diff)
						}
					}
				}
			}
		}
	}
}

// TestStore_SearchRuns_largePage: a page with too much in it ends early, and
// the next one goes on.
func TestStore_SearchRuns_largePage(t *testing.T) { both(t, testStore_SearchRuns_largePage) }

func testStore_SearchRuns_largePage(t *testing.T, open opener) {
	t.Helper()
	s := open(t)
	_, runs := fill(t, s, 120)
	s.maxEntries = 30
	for order := range orderings {
		q := RunQuery{Experiments: []string{"0"}, View: model.All, Max: 1000}
		if order != "" {
			q.OrderBy = strings.Split(order, ", ")
		}
		var ids []string
		pages := 0
		for {
			list, next, err := s.SearchRuns(t.Context(), "default", q)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range list {
				ids = append(ids, r.ID)
			}
			pages++
			if q.Token = next; next == "" {
				break
			}
		}
		var want []sample
		for _, r := range runs {
			if r.experiment == 0 {
				want = append(want, r)
			}
		}
		slices.SortFunc(want, orderings[order])
		if len(ids) != len(want) || pages < 3 || ids[0] != want[0].id || ids[len(ids)-1] != want[len(want)-1].id {
			t.Errorf("order %q: %d runs on %d pages, want %d runs", order, len(ids), pages, len(want))
		}
	}
}

// walk collects all pages.
func walk(t *testing.T, s *Store, q RunQuery, size int) (ids []string) {
	t.Helper()
	q.Max = size
	for {
		list, next, err := s.SearchRuns(t.Context(), "default", q)
		if err != nil {
			t.Fatalf("%q %v: %v", q.Filter, q.OrderBy, err)
		}
		for _, r := range list {
			ids = append(ids, r.ID)
		}
		if next == "" {
			return ids
		}
		if len(list) != size {
			t.Fatalf("%q %v: a page of %d has a next one", q.Filter, q.OrderBy, len(list))
		}
		q.Token = next
	}
}

// TestRunSearch_driver: where SQL starts does not change what is found.
func TestRunSearch_driver(t *testing.T) { both(t, testRunSearch_driver) }

func testRunSearch_driver(t *testing.T, open opener) {
	t.Helper()
	s := open(t)
	fill(t, s, 100)
	for text, want := range map[string]bool{
		"metrics.m > 0.97":                   true,  // few runs
		"params.p != '3'":                    false, // no index
		"metrics.m > -1 AND start_time >= 0": true,  // many, but the whole list is small
		"params.unknown = 'x'":               false, // nothing to look for
	} {
		err := s.view(t.Context(), func(x *tx) error {
			comparisons, _, err := parse(&runLanguage, text, nil)
			if err != nil {
				return err
			}
			rs := &runSearch{t: x, experiments: []int64{0}, stages: []int64{0}, comparisons: comparisons, limit: 101}
			_, driver, err := rs.driver()
			if got := driver.SQL != ""; got != want {
				t.Errorf("%s: driver %q", text, driver.SQL)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestChoose(t *testing.T) {
	t.Parallel()
	metric := func(n int) candidate {
		return candidate{filter.Comparison{Entity: filter.Metric, Op: ">"}, query.Of("metric"), 0, n}
	}
	param := func(n int) candidate {
		return candidate{filter.Comparison{Entity: filter.Param, Op: filter.Eq}, query.Of("param"), 0, n}
	}
	for name, c := range map[string]struct {
		candidates []candidate
		ordered    bool
		text, best string
	}{
		"Many":            {candidates: []candidate{metric(fewRows), param(fewRows)}},
		"Few":             {candidates: []candidate{metric(100), param(fewRows)}, best: "metric"},
		"Fewer":           {candidates: []candidate{metric(100), param(50)}, best: "param"},
		"ListIsShorter":   {candidates: []candidate{metric(4900)}},
		"Text":            {candidates: []candidate{metric(fewRows), param(fewRows)}, ordered: true, text: "param"},
		"ShorterText":     {candidates: []candidate{metric(900), param(800)}, ordered: true, text: "param"},
		"LongerText":      {candidates: []candidate{metric(100), param(fewRows)}, ordered: true, best: "metric"},
		"FewerOfTwoTexts": {candidates: []candidate{metric(500), param(400), param(fewRows)}, ordered: true, text: "param"},
	} {
		text, best := choose(c.candidates, c.ordered, 100, 200_000)
		got := ""
		if text != nil {
			got = text.SQL
		}
		if got != c.text || best.SQL != c.best {
			t.Errorf("%s: text %q, driver %q", name, got, best.SQL)
		}
	}
}

func TestRemembered(t *testing.T) {
	t.Parallel()
	var r remembered
	now := time.UnixMilli(1_700_000_000_000)
	if r.has("a", now) {
		t.Error("it knows what it was not told")
	}
	r.add("a", now.Add(time.Minute))
	if !r.has("a", now) || r.has("a", now.Add(time.Minute)) {
		t.Error("it must hold for a minute")
	}
	for i := range 1000 {
		r.add(fmt.Sprint(i), now.Add(time.Minute))
	}
	if r.has("a", now) || len(r.until) > 1000 {
		t.Errorf("%d are remembered", len(r.until))
	}
}

func TestStore_HistoryInterval(t *testing.T) { both(t, testStore_HistoryInterval) }

func testStore_HistoryInterval(t *testing.T, open opener) {
	t.Helper()
	s := open(t)
	run, err := s.CreateRun(t.Context(), "default", NewRun{})
	if err != nil {
		t.Fatal(err)
	}
	var points []model.Metric
	for i := range 997 {
		points = append(points, model.Metric{Key: "m", Value: float64(i), Timestamp: int64(997 - i), Step: int64(i)})
	}
	if err := s.LogBatch(t.Context(), "default", run.ID, model.Batch{Metrics: points}); err != nil {
		t.Fatal(err)
	}
	for _, limit := range []int{1, 2, 3, 10, 320, 996, 997, 2500} {
		got, err := s.HistoryInterval(t.Context(), "default", []string{run.ID}, "m", limit, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != min(limit, 997) || got[len(got)-1].Step != 996 || limit > 1 && got[0].Step != 0 {
			t.Errorf("limit %d: %d points", limit, len(got))
		}
		for i := 1; i < len(got); i++ {
			if gap := got[i].Step - got[i-1].Step; gap < 1 || limit > 1 && gap > int64(2*(997/limit+1)) {
				t.Errorf("limit %d: a gap of %d steps", limit, gap)
			}
		}
	}
	got, err := s.HistoryInterval(t.Context(), "default", []string{run.ID}, "m", 5, &Interval{100, 104})
	if err != nil || len(got) != 5 || got[0].Step != 100 || got[4].Step != 104 {
		t.Errorf("%v, %v", got, err)
	}
}
