package genai

import (
	"context"
	"slices"
	"strings"

	"github.com/kiwerk/kiwerk/internal/server"
	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/query"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
)

// queue is a list of traces that people are to rate. That of one user has
// their name and every label schema of the experiment.
type queue struct {
	Name      string   `json:"name"`
	Type      string   `json:"type"`
	CreatedBy string   `json:"createdBy,omitempty"`
	Updated   int64    `json:"updated"`
	Users     []string `json:"users,omitempty"`
	Labels    []string `json:"labels,omitempty"`
}

const (
	userQueue   = "USER"
	customQueue = "CUSTOM"
)

var queueKind = kind[queue]{"queue", "Review queue"}

const (
	maxQueueName = 250
	maxUsers     = 10
	maxItemID    = 50
)

// queueType travels by name or number.
type queueType string

// SetName implements mlwire.Enum.
func (e *queueType) SetName(name string) bool {
	*e = queueType(name)
	return name == userQueue || name == customQueue
}

// SetNumber implements mlwire.Enum.
func (e *queueType) SetNumber(n int64) bool {
	*e = map[int64]queueType{1: userQueue, 2: customQueue}[n]
	return *e != ""
}

type createQueue struct {
	Experiment string    `ml:"experiment_id,required" about:"experiment,of review_queue"`
	Name       string    `ml:"name,required" about:"- within the experiment"`
	Type       queueType `ml:"queue_type,required"`
	Users      []string  `ml:"users"`
	Labels     []string  `ml:"schema_ids" about:"- only those of the experiment are taken"`
}

type queueOfUser struct {
	Experiment string `ml:"experiment_id,required" about:"experiment,of review_queue"`
	User       string `ml:"user,required"`
}

type queueByName struct {
	Experiment string `ml:"experiment_id,required" about:"experiment,of review_queue"`
	Name       string `ml:"name,required" about:"- within the experiment"`
}

type queueRef struct {
	ID string `ml:"queue_id,required" about:"review_queue"`
}

type listQueues struct {
	Experiment string `ml:"experiment_id,required" about:"experiment,of review_queue"`
	User       string `ml:"user"`
	Item       string `ml:"item_id" about:"- a condition"`
	Max        *int64 `ml:"max_results"`
	Token      string `ml:"page_token"`
}

type updateQueue struct {
	ID        string   `ml:"queue_id,required" about:"review_queue"`
	SetUsers  bool     `ml:"update_users"`
	Users     []string `ml:"users"`
	SetLabels bool     `ml:"update_schema_ids"`
	Labels    []string `ml:"schema_ids" about:"- only those of the experiment are taken"`
	Name      *string  `ml:"name" about:"- within the experiment"`
	Owner     *string  `ml:"new_owner"`
}

type queueJSON object[queue]

// AppendJSON implements mlwire.Appender.
func (o queueJSON) AppendJSON(w *mlwire.Writer) {
	w.Begin()
	w.Str("queue_id", o.ID)
	w.Str("experiment_id", number(o.Exp))
	w.Str("name", o.Doc.Name)
	w.Str("queue_type", o.Doc.Type)
	w.OptStr("created_by", o.Doc.CreatedBy)
	w.Int("creation_time_ms", o.Created)
	w.Int("last_update_time_ms", o.Doc.Updated)
	w.Strings("users", o.Doc.Users)
	w.Strings("schema_ids", o.Doc.Labels)
	w.End()
}

func (s *Service) queues() []server.Endpoint {
	answer := func(o object[queue], err error) (*route.One[queueJSON], error) {
		return route.OneOf("review_queue", queueJSON(o), err)
	}
	return route.Flat(
		call(s, "POST", "/review-queues/create", write, "make a review queue", func(ctx context.Context, q *createQueue) (*route.One[queueJSON], error) {
			return answer(s.createQueue(ctx, q, owner(ctx)))
		}),
		call(s, "POST", "/review-queues/get-or-create-user", write, "the review queue of a user", func(ctx context.Context, q *queueOfUser) (*route.One[queueJSON], error) {
			return answer(s.queueOfUser(ctx, q))
		}),
		call(s, "GET", "/review-queues/get", read, "one review queue", func(ctx context.Context, q *queueRef) (*route.One[queueJSON], error) {
			return answer(queueKind.load(ctx, s, server.NamespaceOf(ctx), q.ID))
		}),
		call(s, "GET", "/review-queues/get-by-name", read, "the review queue with a name", func(ctx context.Context, q *queueByName) (*route.One[queueJSON], error) {
			return answer(queueKind.byName(ctx, s, q.Experiment, strings.ToLower(q.Name)))
		}),
		call(s, "GET", "/review-queues/list", read, "review queues of an experiment", func(ctx context.Context, q *listQueues) (*route.Many[queueJSON], error) {
			list, next, err := s.listQueues(ctx, q)
			return route.ManyOf("review_queues", list, next, err, func(o object[queue]) queueJSON { return queueJSON(o) })
		}),
		call(s, "POST", "/review-queues/update", write, "change a review queue", func(ctx context.Context, q *updateQueue) (*route.One[queueJSON], error) {
			return answer(s.updateQueue(ctx, q))
		}),
		call(s, "POST", "/review-queues/delete", erase, "delete a review queue", func(ctx context.Context, q *queueRef) (*route.Empty, error) {
			return route.Done(s.db.Update(ctx, func(t *db.Tx) error {
				_, err := queueKind.get(t, server.NamespaceOf(ctx), q.ID)
				if model.IsMissing(err) {
					return nil // as it was asked for
				}
				if err != nil {
					return err
				}
				return remove(t, q.ID)
			}))
		}),
	)
}

// owner is who calls; the person at the machine is nobody in particular.
func owner(ctx context.Context) string {
	if u := server.UserOf(ctx); !u.Local {
		return u.Name
	}
	return ""
}

// words trims, checks and deduplicates a list.
func words(field string, list []string, limit int, fold bool) (out []string, err error) {
	for _, w := range list {
		if w = strings.TrimSpace(w); fold {
			w = strings.ToLower(w)
		}
		if w == "" || len(w) > limit {
			return nil, model.Invalid("`%s` must have 1 to %d characters, got %d.", field, limit, len(w))
		}
		if !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return out, nil
}

func users(list []string) ([]string, error) {
	out, err := words("user", list, maxQueueName, true)
	if len(out) > maxUsers {
		err = model.Invalid("A review queue can have at most %d assigned users; got %d.", maxUsers, len(out))
	}
	slices.Sort(out)
	return out, err
}

func customName(name string) (string, error) {
	list, err := words("name", []string{name}, maxQueueName, false)
	if err != nil {
		return "", err
	}
	if strings.EqualFold(list[0], "default") {
		return "", model.Invalid("`%s` is a reserved queue name and cannot be used for a custom queue.", list[0])
	}
	return list[0], nil
}

func newQueue(q *createQueue) (d queue, err error) {
	d.Type = string(q.Type)
	if d.Users, err = users(q.Users); err != nil {
		return d, err
	}
	if d.Labels, err = words("schema_id", q.Labels, 36, false); err != nil {
		return d, err
	}
	slices.Sort(d.Labels)
	if d.Type == customQueue {
		d.Name, err = customName(q.Name)
		return d, err
	}
	name, err := words("name", []string{q.Name}, maxQueueName, true)
	if err != nil {
		return d, err
	}
	d.Name = name[0]
	switch {
	case len(d.Labels) > 0:
		err = model.Invalid("A user queue cannot have explicitly-attached schemas; it resolves to all of the experiment's label schemas.")
	case len(d.Users) > 0 && !slices.Equal(d.Users, name):
		err = model.Invalid("A user queue must have exactly one assigned user equal to its name; got name='%s' and users=%q.", d.Name, d.Users)
	}
	d.Users = name
	return d, err
}

func checkLabels(t *db.Tx, namespace string, exp int64, ids []string) error {
	for _, id := range ids {
		o, err := labelKind.get(t, namespace, id)
		if err != nil && !model.IsMissing(err) {
			return err
		}
		if err != nil || o.Exp != exp {
			return model.Invalid("Label schema id(s) ['%s'] not found for experiment '%d'.", model.Cut(id, 100), exp)
		}
	}
	return nil
}

func (s *Service) createQueue(ctx context.Context, q *createQueue, by string) (o object[queue], err error) {
	d, err := newQueue(q)
	if err != nil {
		return o, err
	}
	exp, err := s.active(ctx, q.Experiment)
	if err != nil {
		return o, err
	}
	now, namespace := s.now(), server.NamespaceOf(ctx)
	d.CreatedBy, d.Updated = by, now
	o = object[queue]{ID: "rq-" + s.o.NewID(), Namespace: namespace, Exp: exp, Key: strings.ToLower(d.Name), Created: now, Doc: d}
	return o, s.db.Update(ctx, func(t *db.Tx) error {
		if err := checkLabels(t, namespace, exp, d.Labels); err != nil {
			return err
		}
		return queueKind.put(t, o)
	})
}

func (s *Service) queueOfUser(ctx context.Context, q *queueOfUser) (object[queue], error) {
	name := strings.ToLower(strings.TrimSpace(q.User))
	o, err := s.createQueue(ctx, &createQueue{Experiment: q.Experiment, Name: name, Type: userQueue}, name)
	if err == nil || server.AsError(err).Code != model.CodeExists {
		return o, err
	}
	o, err = queueKind.byName(ctx, s, q.Experiment, strings.ToLower(name))
	if err == nil && o.Doc.Type != userQueue {
		err = model.Exists("A non-user queue named '%s' already exists; cannot get-or-create a user queue with that name.", name)
	}
	return o, err
}

func (s *Service) listQueues(ctx context.Context, q *listQueues) (list []object[queue], next string, err error) {
	n, err := route.MaxResults(q.Max, 1000, 50_000)
	if err != nil {
		return nil, "", err
	}
	exp, err := s.active(ctx, q.Experiment)
	if err != nil {
		return nil, "", err
	}
	namespace, user := server.NamespaceOf(ctx), strings.ToLower(strings.TrimSpace(q.User))
	token, err := query.ParseToken(q.Token, query.Hash("queues", namespace, number(exp), user, q.Item))
	if err != nil {
		return nil, "", err
	}
	where := queueKind.in(namespace, exp)
	if user != "" {
		where = query.All(where, documentsOf(s.db).has("users", []string{user}))
	}
	if q.Item != "" {
		where = query.All(where, query.Of("EXISTS(SELECT 1 FROM genai_items i WHERE i.queue = genai_objects.id AND i.item = ?)", q.Item))
	}
	err = s.db.View(ctx, func(t *db.Tx) error {
		list, next, err = queueKind.page(t, queueKind.newest(nil), where, n, token)
		return err
	})
	return list, next, err
}

func (s *Service) updateQueue(ctx context.Context, q *updateQueue) (object[queue], error) {
	return queueKind.change(ctx, s, server.NamespaceOf(ctx), q.ID, func(t *db.Tx, o *object[queue]) (err error) {
		d := &o.Doc
		if d.Type == userQueue {
			return model.Invalid("A user queue's name, assigned user, schemas, and owner are fixed and cannot be updated.")
		}
		if q.Owner != nil {
			list, err := words("new_owner", []string{*q.Owner}, maxQueueName, false)
			if err != nil {
				return err
			}
			d.CreatedBy = list[0]
		}
		if q.Name != nil {
			if d.Name, err = customName(*q.Name); err != nil {
				return err
			}
			o.Key = strings.ToLower(d.Name)
		}
		if q.SetUsers {
			if d.Users, err = users(q.Users); err != nil {
				return err
			}
		}
		d.Updated = s.now()
		if q.SetLabels {
			return setLabels(t, o, q.Labels)
		}
		return nil
	})
}

// setLabels changes the questions of a queue that nobody has begun to answer.
func setLabels(t *db.Tx, o *object[queue], ids []string) error {
	var n int
	if err := t.Row("SELECT count(*) FROM genai_items WHERE queue = ?", o.ID).Scan(&n); err != nil {
		return err
	}
	if n > 0 {
		return model.Invalid("A review queue's questions are locked once items are assigned to it. Remove the items before changing its questions.")
	}
	ids, err := words("schema_id", ids, 36, false)
	if err != nil {
		return err
	}
	slices.Sort(ids)
	o.Doc.Labels = ids
	return checkLabels(t, o.Namespace, o.Exp, ids)
}
