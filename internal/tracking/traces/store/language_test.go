package store

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/kiwerk/kiwerk/internal/server"
	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/store/storetest"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

func open(tb testing.TB) *Store {
	tb.Helper()
	s, err := New(tb.Context(), Options{DB: storetest.Open(tb), Clock: time.Now, NewID: func() string { return strings.Repeat("0", 32) }})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// Whatever is accepted runs; whatever is refused is the caller's fault.
func FuzzStore_Search(f *testing.F) {
	s := open(f)
	if _, err := s.Start(f.Context(), "default", model.Experiment{ID: 1}, Info{ID: "a", State: OK, Tags: map[string]string{"a": "b"}}); err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		"status = 'OK' AND tags.a RLIKE '^b'", "span.attributes.`x.y` LIKE '%z%'", "feedback.f >= 0.5 AND expectation.e IS NULL", "metadata.`mlflow.trace.tokenUsage` = '{}'",
		"prompt = 'a/1'", "text ILIKE '%ä%'", "timestamp < 1e300 AND end_time >= -1.5", "request_id NOT IN ('a', 'b')", "issue.id = 'x'", "name LIKE '\\%'", "span.content ILIKE '%%_'",
	} {
		f.Add(seed, "timestamp DESC")
	}
	f.Add("", "metadata.x")
	f.Add("run_id IS NOT NULL", "tags.`a`")
	f.Fuzz(func(t *testing.T, filter, order string) {
		_, _, err := s.Search(t.Context(), "default", Query{Experiments: []int64{1}, Filter: filter, OrderBy: []string{order}, Max: 1})
		if err != nil && !isInvalid(err) {
			t.Errorf("%q %q: %v", filter, order, err)
		}
		_, err = s.Metrics(t.Context(), "default", MetricsQuery{Experiments: []int64{1}, View: OfTraces, Metric: "trace_count", Aggregations: []Aggregation{{Kind: "COUNT"}}, Filters: []string{filter}, Max: 1})
		if err != nil && !isInvalid(err) {
			t.Errorf("%q: %v", filter, err)
		}
	})
}

func isInvalid(err error) bool {
	var e *server.Error
	return errors.As(err, &e) && e.Code == model.CodeInvalid
}

// The searches that everybody makes walk along an index and stop.
func TestStore_Search_plan(t *testing.T) {
	s := open(t)
	for filter, want := range map[string][]string{
		"":                 {"traces_list"},
		"status = 'OK'":    {"traces_list"},
		"timestamp_ms > 5": {"traces_list"},
		"tags.a = 'b'":     {"trace_tags_value"},
		"run_id = 'r'":     {"trace_metadata_value", "trace_links_target"},
	} {
		for _, after := range [][]any{nil, {int64(7), "tr-1"}} {
			plan := planOf(t, s, filter, after)
			for _, w := range want {
				if !strings.Contains(plan, w) {
					t.Errorf("%q does not use %s:\n%s", filter, w, plan)
				}
			}
			if want[0] == "traces_list" && (strings.Contains(plan, "TEMP B-TREE") || strings.Contains(plan, "SCAN")) {
				t.Errorf("%q sorts or scans:\n%s", filter, plan)
			}
			if after != nil && want[0] == "traces_list" && !strings.Contains(plan, "ts<?") {
				t.Errorf("%q begins a later page at the first trace:\n%s", filter, plan)
			}
		}
	}
}

func planOf(t *testing.T, s *Store, filter string, after []any) (plan string) {
	t.Helper()
	list, err := parse(filter)
	if err != nil {
		t.Fatal(err)
	}
	orders, err := parseOrders(nil)
	if err != nil {
		t.Fatal(err)
	}
	err = s.view(t.Context(), func(x *tx) error {
		conds, err := x.conditionsOf(list)
		if err != nil {
			return err
		}
		w := walk{tx: x, conds: conds, orders: orders, after: after}
		w.scope("default", []int64{1})
		query := w.query(10)
		return x.Each(func(r db.Rows) error {
			var a, b, c int64
			var line string
			err := r.Scan(&a, &b, &c, &line)
			plan += line + "\n"
			return err
		}, "EXPLAIN QUERY PLAN "+query.SQL, query.Args...)
	})
	if err != nil {
		t.Fatal(err)
	}
	return plan
}
