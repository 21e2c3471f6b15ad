package store

import (
	"errors"
	"slices"
	"strings"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/filter"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/query"
	"github.com/kiwerk/kiwerk/internal/tracking/traces/span"
)

// conditions of a search: SQL that lets at least every fitting trace through,
// and the checks in Go that decide about the rest.
type conditions struct {
	sql    []clause
	checks []narrower
}

// narrower keeps those of a chunk of traces that fit.
type narrower func(t *tx, rows []int64) (map[int64]bool, error)

func asInvalid(err error) error {
	var f *filter.Error
	if errors.As(err, &f) {
		return model.Invalid("%s", f.Message)
	}
	return err
}

func parse(text string) ([]filter.Comparison, error) {
	list, err := language.Parse(text)
	return list, asInvalid(err)
}

// conditionsOf translates comparisons.
func (t *tx) conditionsOf(list []filter.Comparison) (out conditions, err error) {
	var spans []filter.Comparison
	for _, c := range list {
		switch {
		case c.Entity == filter.Span:
			c.Key = unquotedAttribute(c.Key)
			spans = append(spans, c)
		case c.Entity == filter.Attribute && c.Key == attrText:
			c.Key = "content"
			spans = append(spans, c)
		default:
			err = errors.Join(err, t.condition(&out, c))
		}
	}
	if len(spans) > 0 {
		err = errors.Join(err, out.addSpans(spans))
	}
	return out, err
}

func unquotedAttribute(key string) string {
	if name, ok := strings.CutPrefix(key, attributePrefix); ok {
		return attributePrefix + filter.Unquote(name)
	}
	return key
}

func (t *tx) condition(out *conditions, c filter.Comparison) error {
	switch c.Entity {
	case filter.Attribute:
		return t.attribute(out, c)
	case filter.Tag:
		return t.tag(out, c)
	case filter.Metadata:
		return t.metadata(out, c)
	case filter.Feedback, filter.Expectation:
		return out.addAssessment(c)
	case filter.Issue:
		out.sql = append(out.sql, query.Of("EXISTS(SELECT 1 FROM trace_assessments a WHERE a.trace = t.id AND a.kind = 'issue' AND a.name = ?)", c.Text))
		return nil
	default:
		return model.Invalid("Invalid search expression type '%s'", c.Entity)
	}
}

func (t *tx) attribute(out *conditions, c filter.Comparison) error {
	switch c.Key {
	case attrTime, attrDuration, attrEnd:
		out.sql = append(out.sql, query.Number(numberColumns[c.Key], c))
		return nil
	case attrName:
		c.Entity, c.Key = filter.Tag, TagName
		return t.tag(out, c)
	case attrRun:
		return t.run(out, c)
	case attrPrompt:
		if strings.Count(c.Text, "/") != 1 {
			return model.Invalid("Invalid prompts filter value '%s'. Expected format: prompt = \"name/version\"", model.Cut(c.Text, maxKey))
		}
		out.sql = append(out.sql, t.linked("prompt", c.Text))
		return nil
	}
	return out.column(textColumns[c.Key], c)
}

var numberColumns = map[string]string{
	attrTime: "t.ts", attrDuration: "t.duration", attrEnd: "(t.ts + COALESCE(t.duration, 0))",
}

var textColumns = map[string]string{attrID: "t.trace_id", attrStatus: "t.state", attrClient: "t.client_request_id"}

// textCondition is the SQL of a comparison of a text; exact tells whether it
// says all. Databases do not agree on regular expressions, and not on the case
// of letters beyond ASCII.
func textCondition(column string, c filter.Comparison) (_ clause, exact bool) {
	switch c.Op {
	case filter.Eq, filter.Ne:
		return query.Of(column+" "+string(c.Op)+" ?", c.Text), true
	case filter.In, filter.NotIn:
		return query.Of(column+" "+string(c.Op)+" (??)", c.List), true
	case filter.Like:
		return query.Of(column+` LIKE ? ESCAPE '\'`, strings.ReplaceAll(c.Text, `\`, `\\`)), true
	case filter.ILike:
		pattern := anyCase(c.Text)
		return query.Of("lower("+column+") LIKE ?", pattern), pattern == strings.ToLower(c.Text)
	default:
		return query.Of(column + " IS NOT NULL"), false
	}
}

// anyCase prepares a pattern for a match in SQL that ignores case: any letter
// will do where databases differ.
func anyCase(pattern string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r > '~' || r == '\\':
			return '_'
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		default:
			return r
		}
	}, pattern)
}

// column compares a column of the trace.
func (o *conditions) column(column string, c filter.Comparison) error {
	if c.Op == filter.IsNull || c.Op == filter.IsNotNull {
		o.sql = append(o.sql, query.Of(column+" "+string(c.Op)))
		return nil
	}
	cond, exact := textCondition(column, c)
	o.sql = append(o.sql, cond)
	if exact {
		return nil
	}
	return o.match(c, query.Of("SELECT t.id, "+column+" FROM traces t WHERE "+column+" IS NOT NULL AND t.id IN "))
}

// match adds a check of the values that a query finds for a chunk of traces;
// one value that fits is enough. The query ends where the list of ids follows.
func (o *conditions) match(c filter.Comparison, query clause) error {
	fits, err := c.Matcher()
	if err != nil {
		return asInvalid(err)
	}
	o.checks = append(o.checks, func(t *tx, rows []int64) (map[int64]bool, error) {
		keep := map[int64]bool{}
		err := t.Each(func(r db.Rows) error {
			var row int64
			var value string
			if err := r.Scan(&row, &value); err != nil {
				return err
			}
			keep[row] = keep[row] || fits(value)
			return nil
		}, query.SQL+"(??)", append(slices.Clone(query.Args), rows)...)
		return keep, err
	})
	return nil
}

func (t *tx) tag(out *conditions, c filter.Comparison) error {
	if c.Key == TagName {
		return out.column("t.name", c)
	}
	return t.pair(out, "trace_tags", c)
}

func (t *tx) metadata(out *conditions, c filter.Comparison) error {
	switch c.Key {
	case metaSession:
		return out.column("t.session", c)
	case MetaRun:
		return t.run(out, c)
	case metaUsage, metaCost:
		columns, want := span.TokenNames, tokens(span.Tokens(c.Text))
		if c.Key == metaCost {
			columns, want = span.CostNames, costs(span.Costs(c.Text))
		}
		return out.amounts(c, columns, want)
	}
	return t.pair(out, "trace_metadata", c)
}

// amounts compares usage or cost, which are columns, with a JSON object.
func (o *conditions) amounts(c filter.Comparison, columns []string, want []any) error {
	has := "COALESCE(t." + strings.Join(columns, ", t.") + ") IS NOT NULL"
	var same []clause
	for i, v := range want {
		if v == nil {
			same = append(same, query.Of("t."+columns[i]+" IS NULL"))
		} else {
			same = append(same, query.Of("t."+columns[i]+" IS NOT NULL AND t."+columns[i]+" = ?", v))
		}
	}
	equal := query.All(same...)
	switch c.Op {
	case filter.IsNull:
		o.sql = append(o.sql, query.Of("NOT ("+has+")"))
	case filter.IsNotNull:
		o.sql = append(o.sql, query.Of(has))
	case filter.Eq:
		o.sql = append(o.sql, query.Of(has+" AND "+equal.SQL, equal.Args...))
	case filter.Ne:
		o.sql = append(o.sql, query.Of(has+" AND NOT ("+equal.SQL+")", equal.Args...))
	default:
		return model.Invalid("Comparator '%s' is not supported for reserved metadata '%s'. Only '=', '!=', 'IS NULL', and 'IS NOT NULL' are supported.", c.Op, c.Key)
	}
	return nil
}

// few is how many hits of an index are worth starting a search from.
const few = 2000

// pair compares a tag or metadata.
func (t *tx) pair(out *conditions, table string, c filter.Comparison) error {
	from := "SELECT 1 FROM " + table + " c WHERE c.trace = t.id AND c.key = ?"
	switch c.Op {
	case filter.IsNull:
		out.sql = append(out.sql, query.Of("NOT EXISTS("+from+")", c.Key))
		return nil
	case filter.IsNotNull:
		out.sql = append(out.sql, query.Of("EXISTS("+from+")", c.Key))
		return nil
	case filter.Eq:
		hits := query.Of("FROM "+table+" c WHERE c.key = ? AND substr(c.value, 1, 100) = ? AND c.value = ?", c.Key, model.Cut(c.Text, 100), c.Text)
		rare, err := t.rare(hits)
		if err != nil {
			return err
		}
		if rare {
			out.sql = append(out.sql, query.Of("t.id IN (SELECT c.trace "+hits.SQL+")", hits.Args...))
			return nil
		}
	default:
	}
	cond, exact := textCondition("c.value", c)
	out.sql = append(out.sql, query.Of("EXISTS("+from+" AND "+cond.SQL+")", append([]any{c.Key}, cond.Args...)...))
	if exact {
		return nil
	}
	return out.match(c, query.Of("SELECT c.trace, c.value FROM "+table+" c WHERE c.key = ? AND c.trace IN ", c.Key))
}

// rare tells whether a condition has few hits.
func (t *tx) rare(hits clause) (bool, error) {
	var n int64
	err := t.Row("SELECT COUNT(*) FROM (SELECT 1 AS hit "+hits.SQL+" LIMIT ?) x", append(hits.Args, few+1)...).Scan(&n)
	return n <= few, err
}

// linked is a condition: the trace belongs to a run or a version of a prompt.
func (t *tx) linked(kind, target string) clause {
	return query.Of("EXISTS(SELECT 1 FROM trace_links l WHERE l.trace = t.id AND l.kind = ? AND l.target = ?)", kind, target)
}

// run compares the run of a trace: the one that it was made in, or one that it
// was linked to later.
func (t *tx) run(out *conditions, c filter.Comparison) error {
	if c.Op != filter.Eq {
		c.Key = MetaRun
		return t.pair(out, "trace_metadata", c)
	}
	out.sql = append(out.sql, query.Of(`t.id IN (SELECT m.trace FROM trace_metadata m WHERE m.key = ? AND substr(m.value, 1, 100) = ? AND m.value = ?
		UNION SELECT l.trace FROM trace_links l WHERE l.kind = 'run' AND l.target = ?)`, MetaRun, model.Cut(c.Text, 100), c.Text, c.Text))
	return nil
}

// addAssessment compares feedback or an expectation. What was said about one
// trace of a session as a whole holds for all of its traces.
func (o *conditions) addAssessment(c filter.Comparison) error {
	value, exact := query.Of("1 = 1"), true
	switch c.Op {
	case filter.IsNull, filter.IsNotNull:
	case filter.Lt, filter.Le, filter.Gt, filter.Ge:
		value = query.Of("a.is_number = 1 AND a.number "+string(c.Op)+" ?", c.Number)
	case filter.Eq, filter.Ne: // 'true' finds true and "true"
		op := "IN"
		if c.Op == filter.Ne {
			op = "NOT IN"
		}
		value = query.Of("a.value "+op+" (?, ?)", c.Text, span.Quoted(c.Text))
	default:
		value, exact = textCondition("a.value", c)
	}
	where := "a.kind = ? AND a.name = ? AND a.valid = 1 AND " + value.SQL
	args := append([]any{string(c.Entity), c.Key}, value.Args...)
	has := "EXISTS(SELECT 1 FROM trace_assessments a WHERE a.trace = t.id AND " + where + ")" +
		" OR t.session IS NOT NULL AND EXISTS(SELECT 1 FROM traces u JOIN trace_assessments a ON a.trace = u.id WHERE u.exp = t.exp AND u.session = t.session AND a.whole_session = 1 AND " + where + ")"
	if c.Op == filter.IsNull {
		has = "NOT (" + has + ")"
	}
	o.sql = append(o.sql, query.Of(has, append(append([]any{}, args...), args...)...))
	if exact {
		return nil
	}
	return o.match(c, query.Of(`SELECT t.id, a.value FROM traces t JOIN traces u ON u.id = t.id OR u.exp = t.exp AND u.session = t.session
		JOIN trace_assessments a ON a.trace = u.id AND (u.id = t.id OR a.whole_session = 1)
		WHERE a.kind = ? AND a.name = ? AND a.valid = 1 AND t.id IN `, string(c.Entity), c.Key))
}

// addSpans adds conditions that one span has to meet, all of them.
func (o *conditions) addSpans(list []filter.Comparison) error {
	var sql []clause
	var matchers []spanMatcher
	content := "''" // read only if it matters
	for _, c := range list {
		column := "s." + c.Key
		name, isAttribute := strings.CutPrefix(c.Key, attributePrefix)
		var cond clause
		exact := false
		if isAttribute {
			column = "s.content"
			cond = query.Of("lower(s.content) LIKE ?", "%"+anyCase(strings.NewReplacer("%", "_").Replace(name))+"%")
		} else {
			cond, exact = textCondition(column, c)
		}
		sql = append(sql, cond)
		if exact {
			continue
		}
		fits, err := c.Matcher()
		if err != nil {
			return asInvalid(err)
		}
		if column == "s.content" {
			content = column
		}
		matchers = append(matchers, spanMatcher{c.Key, name, isAttribute, fits})
	}
	where := query.All(sql...)
	o.sql = append(o.sql, query.Of("EXISTS(SELECT 1 FROM trace_spans s WHERE s.trace = t.id AND "+where.SQL+")", where.Args...))
	if len(matchers) == 0 {
		return nil
	}
	o.checks = append(o.checks, func(t *tx, rows []int64) (map[int64]bool, error) {
		keep := map[int64]bool{}
		err := t.Each(func(r db.Rows) error {
			var row int64
			var s candidate
			if err := r.Scan(&row, &s.name, &s.kind, &s.status, &s.content); err != nil || keep[row] {
				return err
			}
			keep[row] = s.fits(matchers)
			return nil
		}, "SELECT s.trace, s.name, s.type, s.status, "+content+" FROM trace_spans s WHERE "+where.SQL+" AND s.trace IN (??)", append(slices.Clone(where.Args), rows)...)
		return keep, err
	})
	return nil
}

type spanMatcher struct {
	key, attribute string
	isAttribute    bool
	fits           func(string) bool
}

// candidate is a span that SQL let through.
type candidate struct{ name, kind, status, content string }

func (s candidate) fits(list []spanMatcher) bool {
	for _, m := range list {
		var value string
		switch m.key {
		case "name":
			value = s.name
		case "type":
			value = s.kind
		case "status":
			value = s.status
		default:
			value = s.content
		}
		if m.isAttribute {
			var ok bool
			if value, ok = span.Attribute(s.content, m.attribute); !ok {
				return false
			}
		}
		if !m.fits(value) {
			return false
		}
	}
	return true
}
