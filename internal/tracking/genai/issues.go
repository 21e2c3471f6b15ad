package genai

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/kiwerk/kiwerk/internal/server"
	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/filter"
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/query"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
)

// issue is a fault that was found in traces.
type issue struct {
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Status      string   `json:"status"`
	Severity    string   `json:"severity,omitempty"`
	Causes      []string `json:"causes,omitempty"`
	Categories  []string `json:"categories,omitempty"`
	Run         string   `json:"run,omitempty"`
	CreatedBy   string   `json:"createdBy,omitempty"`
	Updated     int64    `json:"updated"`
	// Traces that have it, if that was asked for.
	Traces *int64 `json:"-"`
}

var issueKind = kind[issue]{"issue", "Issue with ID"}

var (
	issueStatuses = []string{"pending", "rejected", "resolved"}
	severities    = []string{"not_an_issue", "low", "medium", "high"} // from lowest to highest
)

var issueLanguage = filter.Language{
	Entities:   map[string]filter.Entity{"attribute": filter.Attribute, "attributes": filter.Attribute},
	Attributes: map[string]filter.Kind{"status": filter.Text, "source_run_id": filter.Text},
}

type createIssue struct {
	Experiment  string   `ml:"experiment_id,required" about:"experiment"`
	Name        string   `ml:"name,required" about:"- a text"`
	Description string   `ml:"description,required"`
	Status      *string  `ml:"status"`
	Severity    *string  `ml:"severity"`
	Causes      []string `ml:"root_causes"`
	Run         string   `ml:"source_run_id" about:"run,read"`
	CreatedBy   string   `ml:"created_by"`
	Categories  []string `ml:"categories"`
}

type updateIssue struct {
	byID `about:"issue"`

	Name        string  `ml:"name" about:"- a text"`
	Description string  `ml:"description"`
	Status      *string `ml:"status"`
	Severity    *string `ml:"severity"`
}

type issueRef struct {
	byID `about:"issue"`
}

type searchIssues struct {
	Experiment string `ml:"experiment_id" about:"experiment"`
	Filter     string `ml:"filter_string"`
	Max        *int64 `ml:"max_results"`
	Token      string `ml:"page_token"`
	Count      bool   `ml:"include_trace_count"`
}

type issueJSON object[issue]

// AppendJSON implements mlwire.Appender.
func (o issueJSON) AppendJSON(w *mlwire.Writer) {
	w.Begin()
	w.Str("issue_id", o.ID)
	w.Str("experiment_id", number(o.Exp))
	w.Str("name", o.Doc.Name)
	w.Str("description", o.Doc.Description)
	w.Str("status", o.Doc.Status)
	w.OptStr("severity", o.Doc.Severity)
	w.Strings("root_causes", o.Doc.Causes)
	w.OptStr("source_run_id", o.Doc.Run)
	w.Int("created_timestamp", o.Created)
	w.Int("last_updated_timestamp", o.Doc.Updated)
	w.OptStr("created_by", o.Doc.CreatedBy)
	w.Strings("categories", o.Doc.Categories)
	if o.Doc.Traces != nil {
		w.Int("trace_count", *o.Doc.Traces)
	}
	w.End()
}

func (s *Service) issues() []server.Endpoint {
	answer := func(o object[issue], err error) (*route.One[issueJSON], error) {
		return route.OneOf("issue", issueJSON(o), err)
	}
	return route.Flat(
		call(s, "POST", "/issues", write, "note an issue", func(ctx context.Context, q *createIssue) (*route.One[issueJSON], error) {
			return answer(s.createIssue(ctx, q))
		}),
		call(s, "PATCH", "/issues/{id}", write, "change an issue", func(ctx context.Context, q *updateIssue) (*route.One[issueJSON], error) {
			return answer(s.updateIssue(ctx, q))
		}),
		call(s, "GET", "/issues/{id}", read, "one issue", func(ctx context.Context, q *issueRef) (*route.One[issueJSON], error) {
			return answer(issueKind.load(ctx, s, server.NamespaceOf(ctx), q.id))
		}),
		call(s, "POST", "/issues/search", read, "find issues", func(ctx context.Context, q *searchIssues) (*route.Many[issueJSON], error) {
			list, next, err := s.searchIssues(ctx, q)
			return route.ManyOf("issues", list, next, err, func(o object[issue]) issueJSON { return issueJSON(o) })
		}),
	)
}

// oneOf checks a word; nil is not given.
func oneOf(field string, given *string, words []string) error {
	if given == nil || slices.Contains(words, *given) {
		return nil
	}
	return model.Invalid("Invalid value '%s' for parameter '%s' supplied. It must be one of %s.", model.Cut(*given, 100), field, strings.Join(words, ", "))
}

// checkIssue bounds what is given of an issue as MLflow's columns do.
func checkIssue(name, description string, status, severity *string) error {
	if len(name) > 255 || len(description) > 65_535 {
		return model.Invalid("The issue is too long: its name may have 255 bytes, its description 65535.")
	}
	if err := oneOf("status", status, issueStatuses); err != nil {
		return err
	}
	return oneOf("severity", severity, severities)
}

func (s *Service) createIssue(ctx context.Context, q *createIssue) (o object[issue], err error) {
	if err := checkIssue(q.Name, q.Description, q.Status, q.Severity); err != nil {
		return o, err
	}
	exp, err := s.active(ctx, q.Experiment)
	if err != nil {
		return o, err
	}
	now, id := s.now(), "iss-"+s.o.NewID()
	o = object[issue]{ID: id, Namespace: server.NamespaceOf(ctx), Exp: exp, Key: id, Created: now, Doc: issue{
		Name: q.Name, Description: q.Description, Status: "pending", Causes: q.Causes, Categories: q.Categories, Run: q.Run, CreatedBy: q.CreatedBy, Updated: now,
	}}
	if q.Status != nil {
		o.Doc.Status = *q.Status
	}
	if q.Severity != nil {
		o.Doc.Severity = *q.Severity
	}
	return o, s.db.Update(ctx, func(t *db.Tx) error { return issueKind.put(t, o) })
}

func (s *Service) updateIssue(ctx context.Context, q *updateIssue) (object[issue], error) {
	if err := checkIssue(q.Name, q.Description, q.Status, q.Severity); err != nil {
		return object[issue]{}, err
	}
	return issueKind.change(ctx, s, server.NamespaceOf(ctx), q.id, func(_ *db.Tx, o *object[issue]) error {
		o.Doc.Name, o.Doc.Description = cmp.Or(q.Name, o.Doc.Name), cmp.Or(q.Description, o.Doc.Description)
		if q.Status != nil {
			o.Doc.Status = *q.Status
		}
		if q.Severity != nil {
			o.Doc.Severity = *q.Severity
		}
		o.Doc.Updated = s.now()
		return nil
	})
}

func (s *Service) searchIssues(ctx context.Context, q *searchIssues) (list []object[issue], next string, err error) {
	n, err := route.MaxResults(q.Max, 100, 50_000)
	if err != nil {
		return nil, "", err
	}
	filters, err := parse(&issueLanguage, q.Filter)
	if err != nil {
		return nil, "", err
	}
	namespace, d := server.NamespaceOf(ctx), documentsOf(s.db)
	token, err := query.ParseToken(q.Token, query.Hash("issues", namespace, q.Experiment, q.Filter, fmt.Sprint(q.Count)))
	if err != nil {
		return nil, "", err
	}
	var exp []int64
	if q.Experiment != "" {
		e, err := s.o.Experiments.Experiment(ctx, namespace, q.Experiment)
		if err != nil {
			return nil, "", err
		}
		exp = append(exp, e.ID)
	}
	conditions := []query.Clause{issueKind.in(namespace, exp...)}
	for _, c := range filters {
		conditions = append(conditions, query.Text(d.text(map[string]string{"status": "status", "source_run_id": "run"}[c.Key]), c))
	}
	order := query.Order[object[issue]]{}.Then(query.By(d.severity(), func(o *object[issue]) any { return int64(slices.Index(severities, o.Doc.Severity)) }), true)
	if q.Count {
		return s.searchCounted(ctx, order, query.All(conditions...), n, token)
	}
	err = s.db.View(ctx, func(t *db.Tx) error {
		list, next, err = issueKind.page(t, issueKind.newest(order), query.All(conditions...), n, token)
		return err
	})
	return list, next, err
}

// severity is the place among severities.
func (d documents) severity() string {
	text := "CASE " + d.text("severity")
	for i, name := range severities {
		text += fmt.Sprintf(" WHEN '%s' THEN %d", name, i)
	}
	return text + " ELSE -1 END"
}

// searchCounted orders by the number of traces, too, which this package does
// not store: all that fits is looked at.
func (s *Service) searchCounted(ctx context.Context, order query.Order[object[issue]], where query.Clause, n int, token query.Token) (list []object[issue], next string, err error) {
	err = s.db.View(ctx, func(t *db.Tx) error {
		list = nil
		return t.Each(func(r db.Rows) error {
			o, err := scanObject[issue](r)
			list = append(list, o)
			return err
		}, "SELECT "+objectColumns+" FROM genai_objects WHERE "+where.SQL, where.Args...)
	})
	if err == nil {
		err = s.countTraces(ctx, list)
	}
	if err != nil {
		return nil, "", err
	}
	order = issueKind.newest(order.Then(query.By("traces", func(o *object[issue]) any {
		if o.Doc.Traces == nil {
			return int64(0)
		}
		return *o.Doc.Traces
	}), true))
	return order.Cut(list, n, token)
}

func (s *Service) countTraces(ctx context.Context, list []object[issue]) error {
	counts, err := s.o.Traces.IssueCounts(ctx, server.NamespaceOf(ctx), route.Convert(list, func(o object[issue]) string { return o.ID }))
	for i := range list {
		n := counts[list[i].ID]
		list[i].Doc.Traces = &n
	}
	return err
}
