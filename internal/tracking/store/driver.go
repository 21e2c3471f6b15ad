package store

import (
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/kiwerk/kiwerk/internal/tracking/filter"
	"github.com/kiwerk/kiwerk/internal/tracking/query"
)

// fewRows bounds the counting of what a condition selects.
const fewRows = 5000

// driver finds the condition whose index gives the fewest runs, as a query of
// their numbers. There is none if all give many, or if so large a share of all
// runs fits that walking a list finds a page sooner. That list is the runs with
// a text, if the filter names one and the index has them in the order asked for.
func (rs *runSearch) driver() (text *candidate, best clause, err error) {
	candidates, err := rs.candidates()
	if err != nil || len(candidates) == 0 {
		return nil, clause{}, err
	}
	ordered := rs.byStart() && len(rs.experiments) <= manyLists
	if ordered && len(candidates) == 1 && isText(candidates[0].Comparison) {
		return &candidates[0], clause{}, nil
	}
	total, err := rs.count(candidates)
	if err != nil {
		return nil, clause{}, err
	}
	text, best = choose(candidates, ordered, float64(rs.limit), float64(total))
	rs.atMost = fewRows
	for _, c := range candidates {
		rs.atMost = min(rs.atMost, c.n)
	}
	return text, best, nil
}

// choose compares the candidates. Ordered: the runs with a text can be walked
// in the order asked for; that reads at most all of them.
func choose(candidates []candidate, ordered bool, page, total float64) (text *candidate, best clause) {
	fewest, walk := fewRows, page
	for i, c := range candidates {
		if ordered && isText(c.Comparison) {
			if text == nil || c.n < text.n {
				text = &candidates[i]
			}
			continue
		}
		if c.n < fewRows {
			walk *= total / float64(max(c.n, 1))
		}
		if c.n < fewest {
			fewest, best = c.n, c.clause
		}
	}
	if text != nil {
		walk = min(walk, float64(text.n))
	}
	if best.SQL == "" || walk < float64(fewest) {
		return text, clause{}
	}
	return nil, best
}

// candidate is a comparison that is a range of a value index.
type candidate struct {
	filter.Comparison
	clause
	at int // among the comparisons
	n  int // runs that it selects, up to fewRows
}

// count counts what each candidate selects, up to fewRows, and all runs. What
// was many is not counted again for a minute: it only decides where a search starts.
func (rs *runSearch) count(candidates []candidate) (total int, err error) {
	text, now := "SELECT (SELECT coalesce(max(id), 0) FROM runs)", rs.t.s.o.Clock()
	var args []any
	counts := []any{&total}
	counted := map[int]string{}
	for i := range candidates {
		c := &candidates[i]
		what := fmt.Sprint(c.SQL, c.Args)
		if rs.t.s.many.has(what, now) {
			c.n = fewRows
			continue
		}
		counted[i] = what
		text += ", (SELECT count(*) FROM (" + c.SQL + " LIMIT ?) n" + strconv.Itoa(i) + ")"
		args = append(append(args, c.Args...), fewRows)
		counts = append(counts, &c.n)
	}
	if err := rs.t.Row(text, args...).Scan(counts...); err != nil {
		return 0, err
	}
	for i, what := range counted {
		if candidates[i].n >= fewRows {
			rs.t.s.many.add(what, now.Add(time.Minute))
		}
	}
	return total, nil
}

// remembered is a bounded set of what holds for a while.
type remembered struct {
	mu    sync.Mutex
	until map[string]time.Time
}

func (r *remembered) has(s string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return now.Before(r.until[s])
}

func (r *remembered) add(s string, until time.Time) {
	const most, longest = 1000, 1000
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.until == nil || len(r.until) >= most {
		r.until = map[string]time.Time{}
	}
	if len(s) <= longest {
		r.until[s] = until
	}
}

func (rs *runSearch) candidates() (list []candidate, err error) {
	for i, c := range rs.comparisons {
		q, err := rs.indexed(c)
		if err != nil {
			return nil, err
		}
		if q.SQL != "" {
			list = append(list, candidate{c, q, i, 0})
		}
	}
	return list, nil
}

// indexed is a comparison as a range of a value index.
func (rs *runSearch) indexed(c filter.Comparison) (clause, error) {
	metric := c.Entity == filter.Metric && c.Op != filter.Ne
	if !metric && !isText(c) {
		return clause{}, nil
	}
	k, err := rs.t.keyID(c.Key)
	if err != nil || k == 0 {
		return clause{}, err
	}
	exps := rs.experiments
	if metric {
		return query.Of("SELECT run FROM run_latest"+rs.t.by("run_latest_value")+" WHERE exp IN (??) AND k = ? AND nan = 0 AND value "+string(c.Op)+" ?", exps, k, c.Number), nil
	}
	table := runTables[c.Entity]
	return query.Of("SELECT run FROM "+table+rs.t.by(table+"_value")+" WHERE exp IN (??) AND k = ? AND substr(v, 1, 100) = substr(?, 1, 100)", exps, k, c.Text), nil
}
