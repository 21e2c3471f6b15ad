package store

import (
	"fmt"
	"math"
	"slices"

	"github.com/kiwerk/kiwerk/internal/tracking/filter"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/query"
)

// Runs in the order of a metric come in three parts: those with a number, those
// with NaN, and those without the metric. Each is a walk along an index.
const (
	numbers = 1 + iota
	notNumbers
	without
)

// partOf tells where in the order a run is.
func partOf(r model.Run, key string) (part int, value float64) {
	for _, m := range r.Metrics {
		switch {
		case m.Key != key:
		case math.IsNaN(m.Value):
			return notNumbers, 0
		default:
			return numbers, m.Value
		}
	}
	return without, 0
}

// findByMetric walks the value index of one experiment; a driver, if there is one, gives the few runs that fit.
func (rs *runSearch) findByMetric(driver clause) (found []model.RunInfo, err error) {
	if driver.SQL != "" && rs.atMost < rs.limit && rs.token.ID == "" && rs.token.Offset == 0 {
		return rs.findFew(driver)
	}
	k, err := rs.t.keyID(rs.orders[0].Key)
	if err != nil {
		return nil, err
	}
	last := without
	limits := rs.limits()
	if len(limits) > 0 {
		last = numbers // who has no number does not fit
	}
	skip := rs.token.Offset
	for part := max(rs.token.Part, numbers); part <= last && len(found) < rs.limit; part++ {
		text, args := rs.metricPart(part, k, driver, limits)
		list, err := rs.query(text, append(slices.Clone(args), rs.limit-len(found), skip)...)
		if err != nil {
			return nil, err
		}
		found = append(found, list...)
		if len(list) > 0 || skip == 0 || part == last {
			skip = 0
			continue
		}
		n, err := rs.countPart(text, args)
		if err != nil {
			return nil, err
		}
		skip -= n
	}
	return found, nil
}

// findFew sorts what a driver gives: all of it fits on the page, so all three parts would be asked for.
func (rs *runSearch) findFew(driver clause) ([]model.RunInfo, error) {
	for _, c := range rs.comparisons {
		if !rs.bounds(c) {
			continue
		}
		condition, err := rs.condition(c)
		if err != nil {
			return nil, err
		}
		rs.conditions = append(rs.conditions, condition)
	}
	return rs.findSorted(driver)
}

// limits are the comparisons with the metric that orders, as ranges of the walk.
func (rs *runSearch) limits() (list []clause) {
	for _, c := range rs.comparisons {
		if rs.bounds(c) {
			list = append(list, query.Of("o.value "+string(c.Op)+" ?", c.Number))
		}
	}
	return list
}

// bounds tells whether a comparison is a range of the walk.
func (rs *runSearch) bounds(c filter.Comparison) bool {
	return rs.byMetric() && c.Entity == filter.Metric && c.Key == rs.orders[0].Key && c.Op != filter.Ne
}

// metricPart is the query of a part, without its limit and offset.
func (rs *runSearch) metricPart(part int, k int64, driver clause, limits []clause) (string, []any) {
	desc := rs.orders[0].Desc
	conditions := append(slices.Clone(rs.conditions), rs.stage())
	if part == numbers {
		conditions = append(conditions, limits...)
	}
	if rs.token.Part == part {
		conditions = append(conditions, rs.token.behindValue(desc))
	}
	run := "o.run"
	switch {
	case part == without && driver.SQL == "":
		run = "r.id"
	case part == without:
		run = "d.run"
	}
	args := slices.Clone(driver.Args)
	from := " FROM run_latest o" + rs.t.by("run_latest_value") + " " + rs.t.then() + " runs r ON r.id = o.run"
	switch {
	case part == without && driver.SQL == "":
		from = " FROM runs r"
	case part == without:
		from = " FROM (SELECT DISTINCT run FROM (" + driver.SQL + ") c) d" + rs.t.runOf("d.run")
	case driver.SQL != "":
		from = " FROM (SELECT DISTINCT run FROM (" + driver.SQL + ") c) d " + rs.t.then() + " run_latest o ON o.run = d.run" + rs.t.runOf("o.run")
	}
	where := of(run, query.All(conditions...))
	if part == without {
		args = append(append(args, rs.experiments[0], k), where.Args...)
		return "SELECT " + runColumns + from + " WHERE r.exp = ? AND NOT EXISTS(SELECT 1 FROM run_latest o WHERE o.run = r.id AND o.k = ?) AND " +
			where.SQL + newestFirst + " LIMIT ? OFFSET ?", args
	}
	args = append(append(args, rs.experiments[0], k), where.Args...)
	return "SELECT " + runColumns + from + fmt.Sprintf(" WHERE o.exp = ? AND o.k = ? AND o.nan = %d AND ", part-numbers) + where.SQL +
		" ORDER BY o.value" + direction(desc) + ", o.start DESC, r.uuid LIMIT ? OFFSET ?", args
}

// behindValue continues within a part.
func (t token) behindValue(desc bool) clause {
	switch {
	case t.Part == without:
		return t.behind("r.start")
	case t.Part == notNumbers:
		return t.behind("o.start")
	case desc: // a range of the index
		return query.Of("(o.value, o.start) <= (?, ?) AND NOT (o.value = ? AND o.start = ? AND r.uuid <= ?)", t.Value, t.Start, t.Value, t.Start, t.ID)
	default:
		return query.Of("o.value >= ? AND NOT (o.value = ? AND o.start > ?) AND NOT (o.value = ? AND o.start = ? AND r.uuid <= ?)", t.Value, t.Value, t.Start, t.Value, t.Start, t.ID)
	}
}

// countPart tells how many rows a part has that lies before the page.
func (rs *runSearch) countPart(text string, args []any) (n int, err error) {
	err = rs.t.Row("SELECT count(*) FROM ("+text+") n", append(slices.Clone(args), int64(math.MaxInt64), 0)...).Scan(&n)
	return n, err
}
