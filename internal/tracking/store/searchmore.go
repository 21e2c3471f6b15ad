package store

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/kiwerk/kiwerk/internal/tracking/filter"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/query"
)

// Query is a search for anything but runs.
type Query struct {
	Filter  string
	Max     int
	OrderBy []string
	Token   string
	View    model.View // experiments only
	// Visible is what the caller may see; nil is everything.
	Visible *model.Visible
}

func (q Query) token(namespace, kind string) (query.Token, error) {
	return query.ParseToken(q.Token, query.Hash(append([]string{namespace, kind, q.Filter, fmt.Sprint(q.View)}, q.OrderBy...)...))
}

// page cuts a result that has one row more than asked for, and names the next page.
func page[T any](list []T, limit int, t token) ([]T, string) {
	if len(list) <= limit {
		return list, ""
	}
	return list[:limit], token{Query: t.Query, Offset: t.Offset + limit}.encode()
}

// wholeNumber refuses 1.5 where numbers of milliseconds or versions are compared.
func wholeNumber(c filter.Comparison) error {
	if c.Number != math.Trunc(c.Number) {
		return model.Invalid("Invalid value for numeric attribute '%s': '%v'", c.Key, c.Number)
	}
	return nil
}

var experimentOrder = map[string]query.Column[model.Experiment]{
	"name":             query.By("e.name", func(e *model.Experiment) any { return e.Name }),
	"experiment_id":    query.By("e.id", func(e *model.Experiment) any { return e.ID }),
	"creation_time":    query.By("e.created", func(e *model.Experiment) any { return e.Created }),
	"last_update_time": query.By("e.updated", func(e *model.Experiment) any { return e.Updated }),
}

// SearchExperiments finds experiments, newest first unless ordered otherwise.
func (s *Store) SearchExperiments(ctx context.Context, namespace string, q Query) (list []model.Experiment, next string, err error) {
	if len(q.OrderBy) == 0 {
		q.OrderBy = []string{"creation_time DESC", "experiment_id ASC"}
	}
	comparisons, orders, err := parse(&experimentLanguage, q.Filter, q.OrderBy)
	if err != nil {
		return nil, "", err
	}
	tok, err := q.token(namespace, "experiments")
	if err != nil {
		return nil, "", err
	}
	order := query.OrderOf(orders, experimentOrder, filter.Order{Key: "experiment_id", Desc: true})
	behind, err := order.Behind(tok)
	if err != nil {
		return nil, "", err
	}
	conditions := []clause{
		behind,
		seenExperiments(q.Visible, namespace),
		query.Of("e.stage IN (??)", stagesOf(q.View)),
	}
	for _, c := range comparisons {
		condition, err := experimentCondition(c)
		if err != nil {
			return nil, "", err
		}
		conditions = append(conditions, condition)
	}
	where := query.All(conditions...)
	err = s.view(ctx, func(t *tx) error {
		list = nil
		err := t.find(func(r rows) error {
			e, err := scanExperiment(r.Scan)
			list = append(list, e)
			return err
		}, "SELECT "+experimentColumns+" FROM experiments e WHERE "+where.SQL+order.End(), append(where.Args, q.Max+1, tok.Offset)...)
		if err != nil {
			return err
		}
		if list, next, err = order.Page(list, q.Max, tok); err != nil {
			return err
		}
		for i := range list {
			if list[i].Tags, err = t.experimentTags(list[i].ID); err != nil {
				return err
			}
		}
		return nil
	})
	return list, next, err
}

// find is Each for the query of a search.
func (t *tx) find(each func(rows) error, query string, args ...any) error {
	if t.s.searched != nil {
		t.s.searched(t, query, args)
	}
	return t.Each(each, query, args...)
}

func experimentCondition(c filter.Comparison) (clause, error) {
	switch {
	case c.Entity == filter.Tag:
		return tagCondition("experiment_tags", "experiment = e.id", c), nil
	case c.Key == "experiment_id":
		if c.Op == filter.Like || c.Op == filter.ILike {
			return clause{}, model.Invalid("Invalid comparator for experiment_id: %s", c.Op)
		}
		for _, v := range append(c.List, c.Text) {
			if _, err := model.ParseExperimentID(v); err != nil {
				return clause{}, err
			}
		}
		return query.Text("CAST(e.id AS TEXT)", c), nil
	case c.Key == "name":
		return query.Text("e.name", c), nil
	default:
		return query.Number(experimentOrder[c.Key].SQL, c), wholeNumber(c)
	}
}

// wantsPrompts: prompts live in the registry too and are shown only when asked for.
func wantsPrompts(comparisons []filter.Comparison) bool {
	for _, c := range comparisons {
		if c.Entity == filter.Tag && c.Key == model.TagIsPrompt {
			yes := strings.EqualFold(c.Text, "true")
			return c.Op == filter.Eq && yes || c.Op == filter.Ne && strings.EqualFold(c.Text, "false")
		}
	}
	return false
}

// promptCondition leaves prompts out. Rows without the tag are no prompts, so
// a comparison that asks for "no prompt" is dropped with it.
func registryConditions(comparisons []filter.Comparison, model string, condition func(filter.Comparison) (clause, error)) (list []clause, err error) {
	prompts := wantsPrompts(comparisons)
	if !prompts {
		list = append(list, has(true, "SELECT 1 FROM registered_model_tags p WHERE p.model = "+model+" AND p.key = 'mlflow.prompt.is_prompt' AND p.value = 'true'"))
	}
	for _, c := range comparisons {
		if c.Entity == filter.Tag && c.Key == "mlflow.prompt.is_prompt" && !prompts {
			continue
		}
		cl, err := condition(c)
		if err != nil {
			return nil, err
		}
		list = append(list, cl)
	}
	return list, nil
}

var registeredOrder = map[string]query.Column[model.RegisteredModel]{
	"name":                   query.By("g.name", func(m *model.RegisteredModel) any { return m.Name }),
	"last_updated_timestamp": query.By("g.updated", func(m *model.RegisteredModel) any { return m.Updated }),
}

// SearchRegisteredModels finds registered models in the order of their names unless ordered otherwise.
func (s *Store) SearchRegisteredModels(ctx context.Context, namespace string, q Query) (list []model.RegisteredModel, next string, err error) {
	comparisons, orders, err := parse(&registeredLanguage, q.Filter, q.OrderBy)
	if err != nil {
		return nil, "", err
	}
	tok, err := q.token(namespace, "registered")
	if err != nil {
		return nil, "", err
	}
	conditions, err := registryConditions(comparisons, "g.id", func(c filter.Comparison) (clause, error) {
		if c.Entity == filter.Tag {
			return tagCondition("registered_model_tags", "model = g.id", c), nil
		}
		return query.Text("g.name", c), nil
	})
	if err != nil {
		return nil, "", err
	}
	order := query.OrderOf(orders, registeredOrder, filter.Order{Key: "name"})
	behind, err := order.Behind(tok)
	if err != nil {
		return nil, "", err
	}
	conditions = append(conditions, seenRegistered(q.Visible, comparisons)...)
	where := query.All(append(conditions, behind, query.Of("g.namespace = ?", namespace))...)
	err = s.view(ctx, func(t *tx) error {
		list = nil
		err := t.find(func(r rows) error {
			m, err := scanRegistered(r.Scan)
			list = append(list, m)
			return err
		}, "SELECT "+registeredColumns+" FROM registered_models g WHERE "+where.SQL+order.End(), append(where.Args, q.Max+1, tok.Offset)...)
		if err != nil {
			return err
		}
		if list, next, err = order.Page(list, q.Max, tok); err != nil {
			return err
		}
		for i := range list {
			if err := t.fillRegistered(&list[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return list, next, err
}

const versionModelName = "(SELECT name FROM registered_models WHERE id = v.model)"

var versionOrder = map[string]query.Column[model.ModelVersion]{
	"name":                   query.By(versionModelName, func(v *model.ModelVersion) any { return v.Name }),
	"version_number":         query.By("v.version", func(v *model.ModelVersion) any { return v.Version }),
	"creation_timestamp":     query.By("v.created", func(v *model.ModelVersion) any { return v.Created }),
	"last_updated_timestamp": query.By("v.updated", func(v *model.ModelVersion) any { return v.Updated }),
}

// SearchModelVersions finds versions, last changed first unless ordered otherwise.
func (s *Store) SearchModelVersions(ctx context.Context, namespace string, q Query) (list []model.ModelVersion, next string, err error) {
	if len(q.OrderBy) == 0 {
		q.OrderBy = []string{"last_updated_timestamp DESC", "name ASC", "version_number DESC"}
	}
	comparisons, orders, err := parse(&versionLanguage, q.Filter, q.OrderBy)
	if err != nil {
		return nil, "", err
	}
	tok, err := q.token(namespace, "versions")
	if err != nil {
		return nil, "", err
	}
	conditions, err := registryConditions(comparisons, "v.model", versionCondition)
	if err != nil {
		return nil, "", err
	}
	order := query.OrderOf(orders, versionOrder, filter.Order{Key: "name"}, filter.Order{Key: "version_number", Desc: true})
	behind, err := order.Behind(tok)
	if err != nil {
		return nil, "", err
	}
	conditions = append(conditions, seenVersions(q.Visible, comparisons, namespace)...)
	where := query.All(append(conditions, behind, query.Of("v.deleted = 0"))...)
	err = s.view(ctx, func(t *tx) error {
		found, err := t.versions("WHERE "+where.SQL+order.End(), append(where.Args, q.Max+1, tok.Offset)...)
		if err != nil {
			return err
		}
		list, next, err = order.Page(found, q.Max, tok)
		return err
	})
	return list, next, err
}

func versionCondition(c filter.Comparison) (clause, error) {
	switch {
	case c.Entity == filter.Tag:
		return tagCondition("model_version_tags", "version = v.id", c), nil
	case c.Key == "version_number":
		return query.Number("v.version", c), wholeNumber(c)
	case c.Key == "run_id":
		return query.Text("v.run_id", c), nil
	case c.Key == "source_path":
		return query.Text("v.source", c), nil
	default:
		return query.Text(versionModelName, c), nil
	}
}

// ModelOrder is an order of logged models; a metric can be that on one data set.
type ModelOrder struct {
	Field           string
	Desc            bool
	Dataset, Digest string
}

// DatasetFilter names a data set, with or without digest.
type DatasetFilter struct{ Name, Digest string }

// ModelQuery is a search for logged models.
type ModelQuery struct {
	Experiments []string
	Filter      string
	Datasets    []DatasetFilter
	Max         int
	OrderBy     []ModelOrder
	Token       string
}

var modelAttributes = map[string]string{
	"model_id": "m.uuid", "name": "m.name", "model_type": "m.type", "source_run_id": "m.source_run",
	"creation_timestamp": "m.created", "last_updated_timestamp": "m.updated",
	"status": "CASE m.status WHEN 1 THEN 'PENDING' WHEN 2 THEN 'READY' ELSE 'FAILED' END",
}

// SearchLoggedModels finds logged models, newest first unless ordered otherwise.
func (s *Store) SearchLoggedModels(ctx context.Context, namespace string, q ModelQuery) (list []model.LoggedModel, next string, err error) {
	comparisons, _, err := parse(&loggedModelLanguage, q.Filter, nil)
	if err != nil {
		return nil, "", err
	}
	order, err := modelOrder(q.OrderBy)
	if err != nil {
		return nil, "", err
	}
	tok, err := parseToken(q.Token, query.Hash(namespace, q.Filter, fmt.Sprint(q.Experiments, q.OrderBy, q.Datasets)))
	if err != nil {
		return nil, "", err
	}
	conditions, err := modelConditions(comparisons, q.Datasets)
	if err != nil {
		return nil, "", err
	}
	err = s.view(ctx, func(t *tx) error {
		list = nil
		exps, err := t.experimentsOf(namespace, q.Experiments)
		if err != nil {
			return err
		}
		where := query.All(append(conditions, query.Of("m.stage = 0 AND m.exp IN (??)", exps))...)
		err = t.Each(func(r rows) error {
			m, err := scanLoggedModel(r.Scan)
			list = append(list, m)
			return err
		}, "SELECT "+loggedModelColumns+" FROM logged_models m WHERE "+where.SQL+" ORDER BY "+order.SQL+" LIMIT ? OFFSET ?",
			append(append(where.Args, order.Args...), q.Max+1, tok.Offset)...)
		if err != nil {
			return err
		}
		list, next = page(list, q.Max, tok)
		for i := range list {
			if err := t.fillLoggedModel(&list[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return list, next, err
}

func modelOrder(orders []ModelOrder) (clause, error) {
	var out clause
	var texts []string
	for _, o := range orders {
		if entity, _, dotted := strings.Cut(o.Field, "."); dotted && entity != "metrics" {
			return out, model.Invalid("Invalid order by field name: %s. Only metrics are supported.", o.Field)
		}
		parsed, err := loggedModelLanguage.ParseOrder(o.Field)
		if err != nil {
			return out, model.Invalid("Invalid order by field name: %s", o.Field)
		}
		column := modelAttributes[parsed.Key]
		if parsed.Entity == filter.Metric {
			// The newest value of the metric, on the data set if one is named.
			column = `(SELECT CASE WHEN c.nan = 1 THEN NULL ELSE c.value END FROM logged_model_metrics c WHERE c.model = m.id AND c.key = ?
				AND (? = '' OR c.dataset = ?) AND (? = '' OR c.digest = ?) ORDER BY c.ts DESC, c.step DESC, c.run LIMIT 1)`
			args := []any{parsed.Key, o.Dataset, o.Dataset, o.Digest, o.Digest}
			out.Args = append(append(out.Args, args...), args...)
		}
		if parsed.Key == "status" && parsed.Entity == filter.Attribute {
			column = "m.status" // pending, ready, failed
		}
		texts = append(texts, column+" IS NULL", column+direction(o.Desc))
	}
	out.SQL = strings.Join(append(texts, "m.created DESC", "m.uuid"), ", ")
	return out, nil
}

func modelConditions(comparisons []filter.Comparison, datasets []DatasetFilter) (list []clause, err error) {
	on, measured := datasetClause(datasets), false
	for _, c := range comparisons {
		switch c.Entity {
		case filter.Metric:
			measured = true
			v := metricCondition(c)
			list = append(list, has(false, "SELECT 1 FROM logged_model_metrics c WHERE c.model = m.id AND c.key = ? AND "+v.SQL+" AND ("+on.SQL+")",
				append(append([]any{c.Key}, v.Args...), on.Args...)...))
		case filter.Param:
			list = append(list, tagCondition("logged_model_params", "model = m.id", c))
		case filter.Tag:
			list = append(list, tagCondition("logged_model_tags", "model = m.id", c))
		default:
			if loggedModelLanguage.Attributes[c.Key] == filter.Number {
				list = append(list, query.Number(modelAttributes[c.Key], c))
			} else {
				list = append(list, query.Text(modelAttributes[c.Key], c))
			}
		}
	}
	if len(datasets) > 0 && !measured {
		list = append(list, has(false, "SELECT 1 FROM logged_model_metrics c WHERE c.model = m.id AND ("+on.SQL+")", on.Args...))
	}
	for _, d := range datasets {
		if d.Name == "" {
			return nil, model.Invalid("`dataset_name` in the `datasets` clause must be specified.")
		}
	}
	return list, nil
}

func datasetClause(datasets []DatasetFilter) clause {
	if len(datasets) == 0 {
		return always
	}
	var texts []string
	var args []any
	for _, d := range datasets {
		texts = append(texts, "c.dataset = ? AND (? = '' OR c.digest = ?)")
		args = append(args, d.Name, d.Digest, d.Digest)
	}
	return query.Of(strings.Join(texts, " OR "), args...)
}
