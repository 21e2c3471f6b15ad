package genai

import (
	"context"
	"strings"

	"github.com/kiwerk/kiwerk/internal/server"
	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/query"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
)

// item is a trace in a review queue.
type item struct {
	queue, id, status, by       string
	completed, created, updated int64
}

const pending = "PENDING"

// itemStatus travels by name or number.
type itemStatus string

// SetName implements mlwire.Enum.
func (e *itemStatus) SetName(name string) bool {
	*e = itemStatus(strings.TrimPrefix(name, "REVIEW_STATUS_UNSPECIFIED"))
	return *e == "" || name == pending || name == "COMPLETE" || name == "DECLINED"
}

// SetNumber implements mlwire.Enum.
func (e *itemStatus) SetNumber(n int64) bool {
	*e = map[int64]itemStatus{1: pending, 2: "COMPLETE", 3: "DECLINED"}[n]
	return *e != "" || n == 0
}

// itemType is always TRACE.
type itemType string

// SetName implements mlwire.Enum.
func (e *itemType) SetName(name string) bool {
	return name == "TRACE" || name == "REVIEW_ITEM_TYPE_UNSPECIFIED"
}

// SetNumber implements mlwire.Enum.
func (e *itemType) SetNumber(n int64) bool { return n == 0 || n == 1 }

type addItems struct {
	Queue string   `ml:"queue_id,required" about:"review_queue"`
	Type  itemType `ml:"item_type"`
	IDs   []string `ml:"item_ids" about:"- only traces of the experiment are taken"`
}

type listItems struct {
	Queue  string     `ml:"queue_id,required" about:"review_queue"`
	Status itemStatus `ml:"status"`
	Max    *int64     `ml:"max_results"`
	Token  string     `ml:"page_token"`
}

type setItem struct {
	Queue  string     `ml:"queue_id,required" about:"review_queue"`
	ID     string     `ml:"item_id,required" about:"- within the queue"`
	Status itemStatus `ml:"status,required"`
	By     string     `ml:"completed_by"`
}

type itemJSON item

// AppendJSON implements mlwire.Appender.
func (i itemJSON) AppendJSON(w *mlwire.Writer) {
	w.Begin()
	w.Str("queue_id", i.queue)
	w.Str("item_type", "TRACE")
	w.Str("item_id", i.id)
	w.Str("status", i.status)
	w.OptStr("completed_by", i.by)
	if i.completed > 0 {
		w.Int("completed_time_ms", i.completed)
	}
	w.Int("creation_time_ms", i.created)
	w.Int("last_update_time_ms", i.updated)
	w.End()
}

const itemColumns = "queue, item, status, completed_by, completed, created, updated"

// itemOrder is that of lists.
var itemOrder = query.Order[item]{}.
	Then(query.By("created", func(i *item) any { return i.created }), true).
	Then(query.By("item", func(i *item) any { return i.id }), false)

func scanItem(r db.Rows) (i item, err error) {
	err = r.Scan(&i.queue, &i.id, &i.status, &i.by, &i.completed, &i.created, &i.updated)
	return i, err
}

func (s *Service) items() []server.Endpoint {
	many := func(list []item, next string, err error) (*route.Many[itemJSON], error) {
		return route.ManyOf("items", list, next, err, func(i item) itemJSON { return itemJSON(i) })
	}
	return route.Flat(
		call(s, "POST", "/review-queues/items/add", write, "add traces to a review queue", func(ctx context.Context, q *addItems) (*route.Many[itemJSON], error) {
			list, err := s.addItems(ctx, q)
			return many(list, "", err)
		}),
		call(s, "POST", "/review-queues/items/remove", write, "take traces out of a review queue", func(ctx context.Context, q *addItems) (*route.Empty, error) {
			return route.Done(s.removeItems(ctx, q))
		}),
		call(s, "GET", "/review-queues/items/list", read, "traces in a review queue", func(ctx context.Context, q *listItems) (*route.Many[itemJSON], error) {
			return many(s.listItems(ctx, q))
		}),
		call(s, "POST", "/review-queues/items/set-status", write, "say that a trace was reviewed", func(ctx context.Context, q *setItem) (*route.One[itemJSON], error) {
			i, err := s.setItem(ctx, q)
			return route.OneOf("item", itemJSON(i), err)
		}),
	)
}

func itemIDs(list []string) ([]string, error) {
	if len(list) == 0 {
		return nil, model.Invalid("`item_ids` must be a non-empty list.")
	}
	return words("item_id", list, maxItemID, false)
}

// checkTraces refuses traces that are not in the experiment of a queue: a
// reviewer would see what belongs to others.
func (s *Service) checkTraces(ctx context.Context, o object[queue], ids []string) error {
	found, err := s.o.Traces.Experiments(ctx, o.Namespace, ids)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if exp, ok := found[id]; !ok || exp != o.Exp {
			return model.Missing("Cannot attach trace(s) ['%s'] to review queue '%s': they do not exist in experiment '%d'.", id, o.ID, o.Exp)
		}
	}
	return nil
}

func (s *Service) addItems(ctx context.Context, q *addItems) (list []item, err error) {
	ids, err := itemIDs(q.IDs)
	if err != nil {
		return nil, err
	}
	namespace := server.NamespaceOf(ctx)
	o, err := queueKind.load(ctx, s, namespace, q.Queue)
	if err != nil {
		return nil, err
	}
	if err := s.checkTraces(ctx, o, ids); err != nil {
		return nil, err
	}
	err = s.db.Update(ctx, func(t *db.Tx) error {
		list = nil
		if _, err := queueKind.get(t, namespace, q.Queue); err != nil {
			return err
		}
		now := s.now()
		for _, id := range ids {
			if _, err := t.Exec("INSERT INTO genai_items(queue, item, status, created, updated) VALUES(?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", q.Queue, id, pending, now, now); err != nil {
				return err
			}
			i, err := scanItem(t.Row("SELECT "+itemColumns+" FROM genai_items WHERE queue = ? AND item = ?", q.Queue, id))
			if err != nil {
				return err
			}
			list = append(list, i)
		}
		return nil
	})
	return list, err
}

func (s *Service) removeItems(ctx context.Context, q *addItems) error {
	ids, err := itemIDs(q.IDs)
	if err != nil {
		return err
	}
	return s.db.Update(ctx, func(t *db.Tx) error {
		if _, err := queueKind.get(t, server.NamespaceOf(ctx), q.Queue); err != nil {
			return err
		}
		for _, id := range ids {
			if _, err := t.Exec("DELETE FROM genai_items WHERE queue = ? AND item = ?", q.Queue, id); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Service) listItems(ctx context.Context, q *listItems) (list []item, next string, err error) {
	n, err := route.MaxResults(q.Max, 1000, 50_000)
	if err != nil {
		return nil, "", err
	}
	token, err := query.ParseToken(q.Token, query.Hash("items", q.Queue, string(q.Status)))
	if err != nil {
		return nil, "", err
	}
	behind, err := itemOrder.Behind(token)
	if err != nil {
		return nil, "", err
	}
	where := query.All(query.Of("queue = ?", q.Queue), behind)
	if q.Status != "" {
		where = query.All(where, query.Of("status = ?", string(q.Status)))
	}
	err = s.db.View(ctx, func(t *db.Tx) error {
		list = nil
		if _, err := queueKind.get(t, server.NamespaceOf(ctx), q.Queue); err != nil {
			return err
		}
		err := t.Each(func(r db.Rows) error {
			i, err := scanItem(r)
			list = append(list, i)
			return err
		}, "SELECT "+itemColumns+" FROM genai_items WHERE "+where.SQL+itemOrder.End(), append(where.Args, n+1, token.Offset)...)
		if err != nil {
			return err
		}
		list, next, err = itemOrder.Page(list, n, token)
		return err
	})
	return list, next, err
}

// setItem notes who has reviewed a trace; saying the same again changes nothing.
func (s *Service) setItem(ctx context.Context, q *setItem) (i item, err error) {
	by := strings.ToLower(strings.TrimSpace(q.By))
	if caller := owner(ctx); caller != "" {
		if by = strings.ToLower(caller); q.Status == pending {
			by = ""
		}
	}
	switch {
	case q.Status == pending && by != "":
		return i, model.Invalid("`completed_by` must not be set when reopening an item to `pending`.")
	case q.Status != pending && by == "":
		return i, model.Invalid("`completed_by` is required when setting status to `%s`.", strings.ToLower(string(q.Status)))
	case len(by) > maxQueueName:
		return i, model.Invalid("`completed_by` must be at most %d characters; got %d.", maxQueueName, len(by))
	}
	id := strings.TrimSpace(q.ID)
	err = s.db.Update(ctx, func(t *db.Tx) error {
		if _, err := queueKind.get(t, server.NamespaceOf(ctx), q.Queue); err != nil {
			return err
		}
		i, err = scanItem(t.Row("SELECT "+itemColumns+" FROM genai_items WHERE queue = ? AND item = ?", q.Queue, id))
		if db.IsNoRows(err) {
			return model.Missing("Item '%s' is not attached to review queue '%s'.", model.Cut(id, 100), q.Queue)
		}
		if err != nil || i.status == string(q.Status) {
			return err
		}
		i.status, i.by, i.updated, i.completed = string(q.Status), by, s.now(), 0
		if by != "" {
			i.completed = i.updated
		}
		_, err = t.Exec("UPDATE genai_items SET status = ?, completed_by = ?, completed = ?, updated = ? WHERE queue = ? AND item = ?", i.status, i.by, i.completed, i.updated, q.Queue, id)
		return err
	})
	return i, err
}
