package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/filter"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/query"
)

// RunQuery is a search for runs.
type RunQuery struct {
	Experiments []string
	Filter      string
	View        model.View
	Max         int
	OrderBy     []string
	Token       string
}

// runSearch is a query on its way to SQL.
type runSearch struct {
	t           *tx
	experiments []int64
	stages      []int64
	comparisons []filter.Comparison
	orders      []filter.Order
	conditions  []clause
	token       token
	limit       int // one more than asked for: it tells whether there is another page
	atMost      int // runs that fit, as far as indexes tell; set by driver
}

// SearchRuns finds runs, newest first unless ordered otherwise, and the token of the next page.
func (s *Store) SearchRuns(ctx context.Context, namespace string, q RunQuery) (list []model.Run, next string, err error) {
	comparisons, orders, err := parse(&runLanguage, q.Filter, q.OrderBy)
	if err != nil {
		return nil, "", err
	}
	tok, err := parseToken(q.Token, query.Hash(append(append([]string{namespace, q.Filter, fmt.Sprint(q.View)}, q.OrderBy...), q.Experiments...)...))
	if err != nil {
		return nil, "", err
	}
	err = s.view(ctx, func(t *tx) error {
		rs := &runSearch{t: t, stages: stagesOf(q.View), comparisons: comparisons, orders: orders, token: tok, limit: q.Max + 1}
		var infos []model.RunInfo
		if rs.experiments, err = t.experimentsOf(namespace, q.Experiments); err == nil && len(rs.experiments) > 0 {
			infos, err = rs.find()
		}
		if err != nil {
			return err
		}
		more := len(infos) > q.Max
		if more {
			infos = infos[:q.Max]
		}
		list = make([]model.Run, len(infos))
		for i, r := range infos {
			r.Namespace = namespace
			list[i].RunInfo = r
		}
		whole, err := t.hydrate(list)
		if err != nil {
			return err
		}
		more = more || whole < len(list)
		if list, next = list[:whole], ""; more {
			next = rs.next(list)
		}
		return nil
	})
	return list, next, err
}

// experimentsOf gives the numbers of those that belong to the namespace.
func (t *tx) experimentsOf(namespace string, ids []string) ([]int64, error) {
	numbers, err := experimentIDs(ids)
	if err != nil {
		return nil, err
	}
	zero := "" // a name that no experiment has
	if slices.Contains(numbers, 0) && namespace != t.s.o.DefaultNamespace {
		zero = DefaultExperiment
	}
	var list []int64
	err = t.Each(func(r rows) error {
		var id int64
		if err := r.Scan(&id); err != nil {
			return err
		}
		list = append(list, id)
		return nil
	}, "SELECT id FROM experiments WHERE namespace = ? AND (id IN (??) OR name = ?)", namespace, numbers, zero)
	return list, err
}

// find chooses the way that reads the fewest rows.
func (rs *runSearch) find() ([]model.RunInfo, error) {
	if err := rs.compile(); err != nil {
		return nil, err
	}
	if !rs.byMetric() && !rs.byStart() {
		return rs.findSorted(clause{})
	}
	text, driver, err := rs.driver()
	if err != nil {
		return nil, err
	}
	if rs.byMetric() {
		return rs.findByMetric(driver)
	}
	if text != nil {
		return rs.findByText(text)
	}
	rs.keyset()
	if driver.SQL != "" {
		return rs.findFrom(driver)
	}
	return rs.findByStart()
}

// compile makes conditions of the comparisons.
func (rs *runSearch) compile() error {
	// Looked at first what few runs have.
	slices.SortStableFunc(rs.comparisons, func(a, b filter.Comparison) int { return cmp.Compare(rank(a), rank(b)) })
	for _, c := range rs.comparisons {
		if rs.bounds(c) {
			continue
		}
		condition, err := rs.condition(c)
		if err != nil {
			return err
		}
		rs.conditions = append(rs.conditions, condition)
	}
	return nil
}

func rank(c filter.Comparison) int {
	if isText(c) {
		return 0
	}
	return 1
}

// isText tells whether a comparison is with the whole text of a param or tag.
func isText(c filter.Comparison) bool {
	return (c.Entity == filter.Param || c.Entity == filter.Tag) && c.Op == filter.Eq
}

var runTables = map[filter.Entity]string{filter.Param: "run_params", filter.Tag: "run_tags"}

// has is a condition on a side table. Where a list is walked in order,
// PostgreSQL must look at run after run (OFFSET forbids it to join), as its
// statistics know nothing of how keys and values go together.
func (rs *runSearch) has(not bool, text string, args ...any) clause {
	if rs.t.Dialect() == db.Postgres && (rs.byStart() || rs.byMetric()) {
		text += " OFFSET 0"
	}
	return has(not, text, args...)
}

func (rs *runSearch) condition(c filter.Comparison) (clause, error) {
	switch c.Entity {
	case filter.Attribute:
		return runAttribute(c), nil
	case filter.Dataset:
		return rs.datasetCondition(c), nil
	default:
	}
	k, err := rs.t.keyID(c.Key)
	if err != nil {
		return clause{}, err
	}
	if c.Op == filter.IsNull || c.Op == filter.IsNotNull {
		return rs.has(c.Op == filter.IsNull, "SELECT 1 FROM "+runTables[c.Entity]+" c WHERE c.run = "+thisRun+" AND c.k = ?", k), nil
	}
	if k == 0 {
		return never, nil
	}
	if c.Entity == filter.Metric {
		v := metricCondition(c)
		return rs.has(false, "SELECT 1 FROM run_latest c WHERE c.run = "+thisRun+" AND c.k = ? AND "+v.SQL, append([]any{k}, v.Args...)...), nil
	}
	v := query.Text("c.v", c)
	return rs.has(false, "SELECT 1 FROM "+runTables[c.Entity]+" c WHERE c.run = "+thisRun+" AND c.k = ? AND "+v.SQL, append([]any{k}, v.Args...)...), nil
}

var runAttributes = map[string]string{
	"run_id": "r.uuid", "run_name": "r.name", "user_id": `r."user"`, "artifact_uri": "r.uri", "start_time": "r.start", "end_time": `nullif(r."end", 0)`,
	"status": "CASE r.status WHEN 1 THEN 'RUNNING' WHEN 2 THEN 'SCHEDULED' WHEN 3 THEN 'FINISHED' WHEN 4 THEN 'FAILED' ELSE 'KILLED' END",
}

func runAttribute(c filter.Comparison) clause {
	if runLanguage.Attributes[c.Key] == filter.Number {
		return query.Number(runAttributes[c.Key], c)
	}
	if c.Key != "status" {
		return query.Text(runAttributes[c.Key], c)
	}
	var fits []int64
	fit, err := c.Matcher()
	for st := model.Running; err == nil && st <= model.Killed; st++ {
		if fit(st.String()) {
			fits = append(fits, int64(st))
		}
	}
	return query.Of("r.status IN (??)", fits)
}

func (rs *runSearch) datasetCondition(c filter.Comparison) clause {
	if c.Key == "context" {
		v := query.Text("c.value", c)
		return rs.has(false, "SELECT 1 FROM run_input_tags c WHERE c.run = "+thisRun+" AND c.key = ? AND "+v.SQL, append([]any{model.TagContext}, v.Args...)...)
	}
	column := "d.name"
	if c.Key == "digest" {
		column = "d.digest"
	}
	v := query.Text(column, c)
	return rs.has(false, "SELECT 1 FROM run_inputs c JOIN run_datasets d ON d.id = c.dataset WHERE c.run = "+thisRun+" AND "+v.SQL, v.Args...)
}

func (rs *runSearch) byStart() bool {
	return len(rs.orders) == 0 || len(rs.orders) == 1 && rs.orders[0] == filter.Order{Entity: filter.Attribute, Key: "start_time", Desc: true}
}

// byMetric: ordered by one metric, in one experiment, whose value index is then walked.
func (rs *runSearch) byMetric() bool {
	return len(rs.orders) == 1 && rs.orders[0].Entity == filter.Metric && len(rs.experiments) == 1
}

// keyset continues behind the last run of the page before. Written with OR,
// SQLite would not use it as a range of the index.
func (rs *runSearch) keyset() {
	if rs.token.ID != "" {
		rs.conditions = append(rs.conditions, rs.token.behind("r.start"))
	}
}

func (t token) behind(start string) clause {
	return query.Of(start+" <= ? AND NOT ("+start+" = ? AND r.uuid <= ?)", t.Start, t.Start, t.ID)
}

func (rs *runSearch) next(page []model.Run) string {
	last := page[len(page)-1]
	t := token{Query: rs.token.Query, Start: last.Start, ID: last.ID}
	if rs.byStart() {
		return t.encode()
	}
	if rs.byMetric() {
		t.Part, t.Value = partOf(last, rs.orders[0].Key)
		return t.encode()
	}
	return token{Query: rs.token.Query, Offset: rs.token.Offset + len(page)}.encode()
}

// indexedText is how many characters of a text an index holds.
const indexedText = 100

const newestFirst = " ORDER BY r.start DESC, r.uuid"

// findFrom starts from the few runs of a driver.
func (rs *runSearch) findFrom(driver clause) ([]model.RunInfo, error) {
	where := of("o.run", query.All(append(rs.conditions, rs.stage())...))
	args := append(slices.Clone(driver.Args), where.Args...)
	return rs.query("SELECT "+runColumns+" FROM (SELECT DISTINCT run FROM ("+driver.SQL+") c) o"+rs.t.runOf("o.run")+" WHERE "+where.SQL+newestFirst+" LIMIT ? OFFSET ?",
		append(args, rs.limit, rs.token.Offset)...)
}

func (rs *runSearch) stage() clause {
	return query.Of("r.stage IN (??)", rs.stages)
}

// scope is the experiments and stages; a single list can be walked in order.
func (rs *runSearch) scope() clause {
	if len(rs.experiments) == 1 && len(rs.stages) == 1 {
		return query.Of("r.exp = ? AND r.stage = ?", rs.experiments[0], rs.stages[0])
	}
	return query.All(rs.stage(), query.Of("r.exp IN (??)", rs.experiments))
}

// manyLists is where merging the lists of experiments becomes dearer than sorting.
const manyLists = 8

// findByStart walks the list of each experiment and stage and merges them.
func (rs *runSearch) findByStart() ([]model.RunInfo, error) {
	if len(rs.experiments)*len(rs.stages) > manyLists {
		return rs.findSorted(clause{})
	}
	where := of("r.id", query.All(rs.conditions...))
	var parts []string
	var args []any
	for _, e := range rs.experiments {
		for _, st := range rs.stages {
			parts = append(parts, "SELECT * FROM (SELECT "+runColumns+" FROM runs r"+rs.t.by("runs_list")+" WHERE r.exp = ? AND r.stage = ? AND "+where.SQL+newestFirst+" LIMIT ?) p"+strconv.Itoa(len(parts)))
			args = append(append(append(args, e, st), where.Args...), rs.limit+rs.token.Offset)
		}
	}
	return rs.query("SELECT * FROM ("+strings.Join(parts, " UNION ALL ")+") r"+newestFirst+" LIMIT ? OFFSET ?", append(args, rs.limit, rs.token.Offset)...)
}

// findByText walks the runs with a text in each experiment and merges them.
func (rs *runSearch) findByText(c *candidate) ([]model.RunInfo, error) {
	k, err := rs.t.keyID(c.Key)
	if err != nil {
		return nil, err
	}
	conditions := slices.Delete(slices.Clone(rs.conditions), c.at, c.at+1)
	if rs.t.Dialect() != db.Postgres || utf8.RuneCountInString(c.Text) >= indexedText { // SQLite's substr ends at a NUL
		conditions = append(conditions, rs.conditions[c.at])
	}
	conditions = append(conditions, rs.stage())
	if rs.token.ID != "" {
		conditions = append(conditions, rs.token.behind("o.start"))
	}
	where := of("o.run", query.All(conditions...))
	table := runTables[c.Entity]
	var parts []string
	var args []any
	for _, e := range rs.experiments {
		parts = append(parts, "SELECT * FROM (SELECT "+runColumns+" FROM "+table+" o"+rs.t.by(table+"_value")+" "+rs.t.then()+
			" runs r ON r.id = o.run WHERE o.exp = ? AND o.k = ? AND substr(o.v, 1, 100) = substr(?, 1, 100) AND "+where.SQL+
			" ORDER BY o.start DESC, r.uuid LIMIT ?) p"+strconv.Itoa(len(parts)))
		args = append(append(append(args, e, k, c.Text), where.Args...), rs.limit+rs.token.Offset)
	}
	return rs.query("SELECT * FROM ("+strings.Join(parts, " UNION ALL ")+") r"+newestFirst+" LIMIT ? OFFSET ?", append(args, rs.limit, rs.token.Offset)...)
}

// findSorted is the general way: everything that fits, of the runs of a driver if there is one, sorted.
func (rs *runSearch) findSorted(driver clause) ([]model.RunInfo, error) {
	var joins, orders []string
	from, run, scope, args := "runs r", "r.id", rs.scope(), slices.Clone(driver.Args)
	if driver.SQL != "" {
		// A driver knows the experiments. Named again, they would let PostgreSQL, before it has statistics, walk all
		// their runs for each of the driver's.
		run, scope = "d.run", rs.stage()
		from = "(SELECT DISTINCT run FROM (" + driver.SQL + ") c) d" + rs.t.runOf("d.run")
	}
	started := false
	for i, o := range rs.orders {
		name := fmt.Sprintf("o%d", i)
		if o.Entity == filter.Attribute {
			column := runAttributes[o.Key]
			if o.Key == "end_time" {
				orders = append(orders, column+" IS NULL")
			}
			orders = append(orders, column+direction(o.Desc))
			started = started || o.Key == "start_time"
			continue
		}
		k, err := rs.t.keyID(o.Key)
		if err != nil {
			return nil, err
		}
		table, value, rank := runTables[o.Entity], name+".v", name+".v IS NULL"
		if o.Entity == filter.Metric {
			table, value = "run_latest", name+".value"
			rank = "CASE WHEN " + name + ".nan = 1 THEN 1 WHEN " + value + " IS NULL THEN 2 ELSE 0 END"
		}
		joins = append(joins, " LEFT JOIN "+table+" "+name+" ON "+name+".run = r.id AND "+name+".k = ?")
		args = append(args, k)
		orders = append(orders, rank, value+direction(o.Desc))
	}
	if !started {
		orders = append(orders, "r.start DESC")
	}
	orders = append(orders, "r.uuid")
	where := of(run, query.All(append(rs.conditions, scope)...))
	return rs.query("SELECT "+runColumns+" FROM "+from+strings.Join(joins, "")+" WHERE "+where.SQL+" ORDER BY "+strings.Join(orders, ", ")+" LIMIT ? OFFSET ?",
		append(append(args, where.Args...), rs.limit, rs.token.Offset)...)
}

func (rs *runSearch) query(text string, args ...any) (list []model.RunInfo, err error) {
	err = rs.t.find(func(r rows) error {
		info, err := scanRun(r.Scan)
		if err == nil {
			list = append(list, info)
		}
		return err
	}, text, args...)
	return list, err
}
