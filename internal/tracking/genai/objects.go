package genai

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/kiwerk/kiwerk/internal/server"
	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/query"
)

// kind is what a document is.
type kind[T any] struct{ name, said string }

// object is a document with what it is found by.
type object[T any] struct {
	ID, Namespace string
	Exp           int64
	Key           string
	Created       int64
	Doc           T
}

const objectColumns = "id, namespace, exp, key, created, doc"

func scanObject[T any](r db.Rows) (o object[T], err error) {
	var doc string
	if err := r.Scan(&o.ID, &o.Namespace, &o.Exp, &o.Key, &o.Created, &doc); err != nil {
		return o, err
	}
	return o, json.Unmarshal([]byte(doc), &o.Doc)
}

// missing is the answer to an id that names nothing.
func (k kind[T]) missing(id string) error {
	return model.Missing("%s '%s' not found.", k.said, model.Cut(id, 100))
}

// get finds an object by its id.
func (k kind[T]) get(t *db.Tx, namespace, id string) (object[T], error) {
	o, err := scanObject[T](t.Row("SELECT "+objectColumns+" FROM genai_objects WHERE kind = ? AND namespace = ? AND id = ?", k.name, namespace, id))
	if db.IsNoRows(err) {
		err = k.missing(id)
	}
	return o, err
}

// find finds an object by its key; nil is none.
func (k kind[T]) find(t *db.Tx, namespace string, exp int64, key string) (*object[T], error) {
	o, err := scanObject[T](t.Row("SELECT "+objectColumns+" FROM genai_objects WHERE kind = ? AND namespace = ? AND exp = ? AND key = ?", k.name, namespace, exp, key))
	if db.IsNoRows(err) {
		return nil, nil
	}
	return &o, err
}

// list gives the objects of experiments, or of all for none, the newest first.
func (k kind[T]) list(t *db.Tx, namespace string, exp ...int64) (list []object[T], err error) {
	where := k.in(namespace, exp...)
	err = t.Each(func(r db.Rows) error {
		o, err := scanObject[T](r)
		list = append(list, o)
		return err
	}, "SELECT "+objectColumns+" FROM genai_objects WHERE "+where.SQL+" ORDER BY created DESC, id", where.Args...)
	return list, err
}

// in selects the objects of experiments, or all of a project.
func (k kind[T]) in(namespace string, exp ...int64) query.Clause {
	where := query.Of("kind = ? AND namespace = ?", k.name, namespace)
	switch len(exp) {
	case 0:
		return where
	case 1:
		return query.All(where, query.Of("exp = ?", exp[0]))
	}
	return query.All(where, query.Of("exp IN (??)", exp))
}

// newest is the last resort of every order.
func (k kind[T]) newest(o query.Order[object[T]]) query.Order[object[T]] {
	return o.
		Then(query.By("created", func(o *object[T]) any { return o.Created }), true).
		Then(query.By("id", func(o *object[T]) any { return o.ID }), false)
}

// page finds up to n objects behind a token, in an order.
func (k kind[T]) page(t *db.Tx, order query.Order[object[T]], where query.Clause, n int, token query.Token) (list []object[T], next string, err error) {
	behind, err := order.Behind(token)
	if err != nil {
		return nil, "", err
	}
	where = query.All(where, behind)
	err = t.Each(func(r db.Rows) error {
		o, err := scanObject[T](r)
		list = append(list, o)
		return err
	}, "SELECT "+objectColumns+" FROM genai_objects WHERE "+where.SQL+order.End(), append(where.Args, n+1, token.Offset)...)
	if err != nil {
		return nil, "", err
	}
	return order.Page(list, n, token)
}

// put stores a new object or what has become of one; a key that another has is RESOURCE_ALREADY_EXISTS.
func (k kind[T]) put(t *db.Tx, o object[T]) error {
	doc, err := json.Marshal(o.Doc)
	if err != nil {
		return err
	}
	if holdsNUL(doc) {
		return fmt.Errorf("%w: a text holds a NUL", db.ErrValue)
	}
	_, err = t.Exec(`INSERT INTO genai_objects(id, kind, namespace, exp, key, created, doc) VALUES(?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT(id) DO UPDATE SET key = excluded.key, doc = excluded.doc`, o.ID, k.name, o.Namespace, o.Exp, o.Key, o.Created, string(doc))
	if errors.Is(err, db.ErrConflict) {
		return model.Exists("%s with name '%s' already exists for experiment '%d'.", k.said, o.Key, o.Exp)
	}
	return err
}

func remove(t *db.Tx, id string) error {
	_, err := t.Exec("DELETE FROM genai_objects WHERE id = ?", id)
	return err
}

// load is get in a snapshot of its own.
func (k kind[T]) load(ctx context.Context, s *Service, namespace, id string) (o object[T], err error) {
	err = s.db.View(ctx, func(t *db.Tx) error {
		o, err = k.get(t, namespace, id)
		return err
	})
	return o, err
}

// byName finds the object of an experiment by its key.
func (k kind[T]) byName(ctx context.Context, s *Service, experiment, key string) (out object[T], err error) {
	exp, err := s.active(ctx, experiment)
	if err != nil {
		return out, err
	}
	err = s.db.View(ctx, func(t *db.Tx) error {
		o, err := k.find(t, server.NamespaceOf(ctx), exp, key)
		if err == nil && o == nil {
			err = model.Missing("%s with name '%s' not found for experiment '%d'.", k.said, model.Cut(key, 100), exp)
		}
		if err == nil {
			out = *o
		}
		return err
	})
	return out, err
}

// change runs fn on an object and stores what it has made of it.
func (k kind[T]) change(ctx context.Context, s *Service, namespace, id string, fn func(*db.Tx, *object[T]) error) (o object[T], err error) {
	err = s.db.Update(ctx, func(t *db.Tx) error {
		if err := t.Hold("SELECT id FROM genai_objects WHERE id = ?", id); err != nil {
			return err
		}
		if o, err = k.get(t, namespace, id); err != nil {
			return err
		}
		if err := fn(t, &o); err != nil {
			return err
		}
		return k.put(t, o)
	})
	return o, err
}
