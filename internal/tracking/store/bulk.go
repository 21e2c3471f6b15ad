package store

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// Rows are always written in the order of their keys, so that two copies of
// the program do not wait for each other in a circle.

// runKey is a metric, param or tag of a run.
type runKey struct{ run, k int64 }

// pairRow is a row of run_params or run_tags.
type pairRow struct {
	run, k, exp, start int64
	v                  string
}

func rowsOf(m map[runKey]pairRow) []pairRow { return sortedPairs(slices.Collect(maps.Values(m))) }

func sortedPairs(list []pairRow) []pairRow {
	slices.SortFunc(list, func(a, b pairRow) int { return cmp.Or(cmp.Compare(a.run, b.run), cmp.Compare(a.k, b.k)) })
	return list
}

func unique(list []int64) []int64 {
	slices.Sort(list)
	return slices.Compact(list)
}

// runPoint is a row of run_metrics, with the experiment and the start of the run for run_latest.
type runPoint struct {
	run, exp, start int64
	point
}

func newRunPoint(r model.RunInfo, k int64, m model.Metric) runPoint {
	p := runPoint{r.Row, r.ExperimentID, r.Start, point{k: k, ts: m.Timestamp, step: m.Step}}
	var nan bool
	if p.value, nan = model.Sanitize(m.Value); nan {
		p.nan = 1
	}
	return p
}

func compareRunPoints(a, b runPoint) int {
	if c := cmp.Compare(a.run, b.run); c != 0 {
		return c
	}
	return comparePoints(a.point, b.point)
}

// statement is an INSERT of many rows. SQLite takes one "(?, …)" per row,
// PostgreSQL one array per column.
type statement struct {
	table, columns string
	types          []string // of PostgreSQL
	tail           string
}

var (
	insertPoints = statement{
		"run_metrics", "run, k, ts, step, value, nan", []string{"bigint", "bigint", "bigint", "bigint", "float8", "bigint"}, " ON CONFLICT DO NOTHING",
	}
	upsertLatest = statement{
		"run_latest", "run, k, exp, start, value, nan, step, ts",
		[]string{"bigint", "bigint", "bigint", "bigint", "float8", "bigint", "bigint", "bigint"},
		` ON CONFLICT(run, k) DO UPDATE SET value = excluded.value, nan = excluded.nan, step = excluded.step, ts = excluded.ts
		WHERE (excluded.step, excluded.ts, excluded.value) > (run_latest.step, run_latest.ts, run_latest.value)`,
	}
	insertParams = statement{"run_params", "run, k, exp, start, v", []string{"bigint", "bigint", "bigint", "bigint", "text"}, " ON CONFLICT DO NOTHING"}
	upsertTags   = statement{
		"run_tags", "run, k, exp, start, v",
		[]string{"bigint", "bigint", "bigint", "bigint", "text"},
		" ON CONFLICT(run, k) DO UPDATE SET v = excluded.v WHERE run_tags.v <> excluded.v",
	}
)

// values is the text for SQLite.
func (s statement) values(n int) string {
	row := "(?" + strings.Repeat(",?", len(s.types)-1) + ")"
	return "INSERT INTO " + s.table + "(" + s.columns + ") VALUES " + strings.Repeat(row+",", n-1) + row + s.tail
}

// arrays is the text for PostgreSQL.
func (s statement) arrays() string {
	return "INSERT INTO " + s.table + "(" + s.columns + ") SELECT * FROM unnest(?::" + strings.Join(s.types, "[], ?::") + "[])" + s.tail
}

// putMany is insertMany without the answer.
func (t *tx) putMany(s statement, n int, row func(i int, args []any) []any) error {
	if t.Dialect() != db.Postgres {
		_, err := t.insertMany(s, n, row)
		return err
	}
	switch n {
	case 0:
		return nil
	case 1:
		return t.Later(s.values(1), row(0, nil)...)
	}
	return t.Later(s.arrays(), s.transpose(n, row)...)
}

// insertMany runs a statement for n rows and tells how many it changed. row
// appends the values of one.
func (t *tx) insertMany(s statement, n int, row func(i int, args []any) []any) (changed int64, err error) {
	if n == 0 {
		return 0, nil
	}
	if t.Dialect() == db.Postgres && n > 1 {
		return t.Exec(s.arrays(), s.transpose(n, row)...)
	}
	args := make([]any, 0, len(s.types)*min(n, 64))
	for i := 0; i < n; {
		size := 1
		for _, fits := range []int{64, 16, 4} { // a few texts, which stay prepared
			if n-i >= fits {
				size = fits
				break
			}
		}
		args = args[:0]
		for range size {
			args = row(i, args)
			i++
		}
		c, err := t.Exec(s.values(size), args...)
		if err != nil {
			return 0, err
		}
		changed += c
	}
	return changed, nil
}

// transpose makes columns of rows.
func (s statement) transpose(n int, row func(i int, args []any) []any) []any {
	whole, real, text := make([][]int64, len(s.types)), make([][]float64, len(s.types)), make([][]string, len(s.types))
	var args []any
	for i := range n {
		args = row(i, args[:0])
		for c, a := range args {
			switch v := a.(type) {
			case int64:
				whole[c] = append(whole[c], v)
			case float64:
				real[c] = append(real[c], v)
			case string:
				text[c] = append(text[c], v)
			}
		}
	}
	out := make([]any, len(s.types))
	for c, kind := range s.types {
		switch kind {
		case "float8":
			out[c] = real[c]
		case "text":
			out[c] = text[c]
		default:
			out[c] = whole[c]
		}
	}
	return out
}

func pairValues(list []pairRow) (int, func(i int, args []any) []any) {
	return len(list), func(i int, args []any) []any {
		p := list[i]
		return append(args, p.run, p.k, p.exp, p.start, p.v)
	}
}

// putPoints writes points and the newest of each metric.
func (t *tx) putPoints(points []runPoint) error {
	if len(points) == 0 {
		return nil
	}
	slices.SortFunc(points, compareRunPoints)
	points = slices.CompactFunc(points, func(a, b runPoint) bool { return a == b })
	if err := t.putMany(insertPoints, len(points), func(i int, args []any) []any {
		p := points[i]
		return append(args, p.run, p.k, p.ts, p.step, p.value, p.nan)
	}); err != nil {
		return err
	}
	var latest []runPoint
	for i, p := range points {
		if i == 0 || p.run != points[i-1].run || p.k != points[i-1].k {
			latest = append(latest, p)
		} else if last := &latest[len(latest)-1]; p.newer(last.point) {
			*last = p
		}
	}
	return t.putMany(upsertLatest, len(latest), func(i int, args []any) []any {
		p := latest[i]
		return append(args, p.run, p.k, p.exp, p.start, p.value, p.nan, p.step, p.ts)
	})
}

// namesOf gives each name that the requests use, without those of refused ones.
func namesOf(list []*entry) map[string]bool {
	names := map[string]bool{}
	for _, e := range list {
		if e.err != nil {
			continue
		}
		last := ""
		for _, m := range e.batch.Metrics {
			if m.Key != last { // the same ones stand together
				names[m.Key] = true
				last = m.Key
			}
		}
		for _, p := range e.batch.Params {
			names[p.Key] = true
		}
		for _, p := range e.batch.Tags {
			names[p.Key] = true
		}
	}
	return names
}

// lookUp finds the numbers of the names that have one.
func (t *tx) lookUp(list []*entry) error {
	names := namesOf(list)
	maps.DeleteFunc(names, func(name string, _ bool) bool {
		id, ok := t.s.keys.id(name)
		if ok {
			t.found(name, id) // what is remembered may be forgotten before it is used
		}
		return ok
	})
	if len(names) == 0 {
		return nil
	}
	return t.Each(t.noteKey, "SELECT id, key FROM run_keys WHERE key IN (??)", slices.Sorted(maps.Keys(names)))
}

func (t *tx) noteKey(r rows) error {
	var id int64
	var name string
	err := r.Scan(&id, &name)
	t.found(name, id)
	return err
}

// internAll makes numbers for names that have none.
func (t *tx) internAll(list []*entry) error {
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(namesOf(list))), func(n string) bool { return t.known(n) != 0 })
	if t.Dialect() == db.Postgres && len(names) > 1 {
		if err := t.Each(t.noteKey, "INSERT INTO run_keys(key) SELECT unnest(?::text[]) ON CONFLICT DO NOTHING RETURNING id, key", names); err != nil {
			return err
		}
	}
	for _, n := range names {
		if _, err := t.intern(n); err != nil {
			return err
		}
	}
	return nil
}

// known gives the number of a name that lookUp or internAll has found.
func (t *tx) known(name string) int64 { return t.interned[name] }
