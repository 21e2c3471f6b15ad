package webhooks

import (
	"context"
	"regexp"
	"slices"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/query"
)

// webhook as it is kept.
type webhook struct {
	id, namespace    string
	name, url        string
	description      string
	secret           string // sealed
	active           bool
	created, updated int64
	events           []event
}

// maxDescription is MLflow's.
const maxDescription = 1000

var nameForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)

func checkName(name string) error {
	if !nameForm.MatchString(name) {
		return model.Invalid("Webhook name '%s' is invalid. It must start and end with a letter or digit, be less than 63 characters long, and contain only letters, digits, dots (.), underscores (_), and hyphens (-).", model.Cut(name, 100))
	}
	return nil
}

func checkEvents(list []event) error {
	if len(list) == 0 {
		return model.Invalid("Webhook events must be a non-empty list.")
	}
	for i, e := range list {
		if err := e.check(); err != nil {
			return err
		}
		if slices.Contains(list[:i], e) {
			return model.Invalid("Webhook event %s is named twice.", e)
		}
	}
	return nil
}

const columns = "id, namespace, name, url, description, secret, active, created, updated"

func scan(r db.Rows) (w webhook, err error) {
	var active int64
	err = r.Scan(&w.id, &w.namespace, &w.name, &w.url, &w.description, &w.secret, &active, &w.created, &w.updated)
	w.active = active != 0
	return w, err
}

func (w *webhook) activity() int64 {
	if w.active {
		return 1
	}
	return 0
}

// find reads a webhook of a namespace.
func find(t *db.Tx, namespace, id string) (webhook, error) {
	w, err := scan(t.Row("SELECT "+columns+" FROM webhooks WHERE namespace = ? AND id = ?", namespace, id))
	if db.IsNoRows(err) {
		return w, model.Missing("Webhook with ID %s not found.", model.Cut(id, 100))
	}
	if err != nil {
		return w, err
	}
	return w, fill(t, &w)
}

func fill(t *db.Tx, w *webhook) error {
	w.events = nil
	return t.Each(func(r db.Rows) error {
		var name string
		if err := r.Scan(&name); err != nil {
			return err
		}
		w.events = append(w.events, parseEvent(name))
		return nil
	}, "SELECT event FROM webhook_events WHERE webhook = ? ORDER BY position", w.id)
}

func putEvents(t *db.Tx, w *webhook) error {
	if _, err := t.Exec("DELETE FROM webhook_events WHERE webhook = ?", w.id); err != nil {
		return err
	}
	for i, e := range w.events {
		if _, err := t.Exec("INSERT INTO webhook_events(webhook, position, event) VALUES(?, ?, ?)", w.id, i, e.String()); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) create(ctx context.Context, w webhook) (webhook, error) {
	return w, s.db.Update(ctx, func(t *db.Tx) error {
		if w.secret != "" {
			if err := s.agree(t); err != nil {
				return err
			}
		}
		_, err := t.Exec("INSERT INTO webhooks("+columns+") VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)",
			w.id, w.namespace, w.name, w.url, w.description, w.secret, w.activity(), w.created, w.updated)
		if err != nil {
			return err
		}
		return putEvents(t, &w)
	})
}

func (s *Service) get(ctx context.Context, namespace, id string) (w webhook, err error) {
	err = s.db.View(ctx, func(t *db.Tx) error {
		w, err = find(t, namespace, id)
		return err
	})
	return w, err
}

// change runs fn on a webhook and stores what it has made of it.
func (s *Service) change(ctx context.Context, namespace, id string, fn func(*webhook)) (w webhook, err error) {
	err = s.db.Update(ctx, func(t *db.Tx) error {
		if err := t.Hold("SELECT id FROM webhooks WHERE id = ?", id); err != nil {
			return err
		}
		if w, err = find(t, namespace, id); err != nil {
			return err
		}
		secret := w.secret
		if fn(&w); w.secret != "" && w.secret != secret {
			if err := s.agree(t); err != nil {
				return err
			}
		}
		// Clients compare: a change is later than what it changes.
		w.updated = max(s.o.Clock().UnixMilli(), w.updated+1)
		if _, err := t.Exec("UPDATE webhooks SET name = ?, url = ?, description = ?, secret = ?, active = ?, updated = ? WHERE id = ?",
			w.name, w.url, w.description, w.secret, w.activity(), w.updated, w.id); err != nil {
			return err
		}
		return putEvents(t, &w)
	})
	return w, err
}

// remove deletes a webhook with what was still to be delivered to it.
func (s *Service) remove(ctx context.Context, namespace, id string) error {
	return s.db.Update(ctx, func(t *db.Tx) error {
		if _, err := find(t, namespace, id); err != nil {
			return err
		}
		_, err := t.Exec("DELETE FROM webhooks WHERE id = ?", id)
		return err
	})
}

// newest is the order of lists.
var newest = query.Order[webhook]{}.
	Then(query.By("created", func(w *webhook) any { return w.created }), true).
	Then(query.By("id", func(w *webhook) any { return w.id }), false)

func (s *Service) list(ctx context.Context, namespace string, n int, token string) (list []webhook, next string, err error) {
	from, err := query.ParseToken(token, query.Hash("webhooks", namespace))
	if err != nil {
		return nil, "", err
	}
	behind, err := newest.Behind(from)
	if err != nil {
		return nil, "", err
	}
	where := query.All(query.Of("namespace = ?", namespace), behind)
	err = s.db.View(ctx, func(t *db.Tx) error {
		list = nil
		err := t.Each(func(r db.Rows) error {
			w, err := scan(r)
			list = append(list, w)
			return err
		}, "SELECT "+columns+" FROM webhooks WHERE "+where.SQL+newest.End(), append(where.Args, n+1, from.Offset)...)
		if err != nil {
			return err
		}
		if list, next, err = newest.Page(list, n, from); err != nil {
			return err
		}
		for i := range list {
			if err := fill(t, &list[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return list, next, err
}
