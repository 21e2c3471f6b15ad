package webhooks

import (
	"context"
	"database/sql"
	"errors"
	"iter"
	"maps"
	"time"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// uuid writes an id as MLflow's are written.
func (s *Service) uuid() string {
	id := s.o.NewID()
	if len(id) != 32 {
		return id
	}
	return id[:8] + "-" + id[8:12] + "-" + id[12:16] + "-" + id[16:20] + "-" + id[20:]
}

// Record implements the listener of the tracking store.
func (s *Service) Record(t *db.Tx, e model.Event) error {
	ev := event{e.Entity, e.Action}
	var receivers []string
	err := t.Each(func(r db.Rows) error {
		receivers = append(receivers, "")
		return r.Scan(&receivers[len(receivers)-1])
	}, `SELECT w.id FROM webhook_events v JOIN webhooks w ON w.id = v.webhook
		WHERE v.event = ? AND w.namespace = ? AND w.active = 1 ORDER BY w.created, w.id`, ev.String(), e.Namespace)
	if err != nil || len(receivers) == 0 {
		return err
	}
	body, err := s.body(ev, e.Namespace, data(e))
	if err != nil {
		return err
	}
	for _, id := range receivers {
		_, err := t.Exec("INSERT INTO webhook_deliveries(id, webhook, event, body, due) VALUES(?, ?, ?, ?, ?)", s.uuid(), id, ev.String(), body, s.o.Clock().UnixMilli())
		if err != nil {
			return err
		}
	}
	return nil
}

// Committed implements the listener of the tracking store.
func (s *Service) Committed() {
	select {
	case s.wake <- struct{}{}:
	default: // it is awake already
	}
}

// margin is how much longer a lease is than the attempt that it covers.
const margin = 5 * time.Second

// claim takes up to n deliveries that are due; busy counts those under way per
// webhook, of which there are at most perWebhook.
func (s *Service) claim(ctx context.Context, now time.Time, n, perWebhook int, busy map[string]int) (list []message, err error) {
	err = s.db.Update(ctx, func(t *db.Tx) error {
		list = nil
		if err := s.lock(ctx, t); err != nil {
			return err
		}
		load := maps.Clone(busy)
		if load == nil {
			load = map[string]int{}
		}
		for len(list) < n {
			m, err := s.claimOne(t, now, full(load, perWebhook))
			if db.IsNoRows(err) {
				return nil
			}
			if err != nil {
				return err
			}
			load[m.webhook]++
			list = append(list, m)
		}
		return nil
	})
	return list, err
}

// full are the webhooks with as many deliveries under way as one may have.
func full(load map[string]int, most int) iter.Seq[string] {
	return func(yield func(string) bool) {
		for id, k := range load {
			if k >= most && !yield(id) {
				return
			}
		}
	}
}

// lock leaves signed deliveries to the copies that have their key.
func (s *Service) lock(ctx context.Context, t *db.Tx) error {
	_, err := s.keyed(t)
	other := errors.Is(err, errOtherKey)
	if s.locked.Swap(other) != other && other {
		s.o.Logger.ErrorContext(ctx, "signed webhook deliveries are left to other copies", "error", err, "key", s.vault.origin())
	}
	if other {
		return nil
	}
	return err
}

// claimOne takes the delivery that is due first, but none of some webhooks.
func (s *Service) claimOne(t *db.Tx, now time.Time, without iter.Seq[string]) (m message, err error) {
	query, args := `SELECT d.id, d.webhook, w.url, w.secret, d.event, d.body, d.attempts FROM webhook_deliveries d JOIN webhooks w ON w.id = d.webhook
		WHERE d.due <= ? AND d.leased <= ?`, []any{now.UnixMilli(), now.UnixMilli()}
	if s.locked.Load() {
		query += " AND w.secret = ''"
	}
	for id := range without {
		query += " AND d.webhook <> ?"
		args = append(args, id)
	}
	if err := t.Row(query+" ORDER BY d.due, d.id LIMIT 1", args...).Scan(&m.id, &m.webhook, &m.url, &m.secret, &m.event, &m.body, &m.attempts); err != nil {
		return m, err
	}
	m.attempts++
	changed, err := t.Exec("UPDATE webhook_deliveries SET leased = ?, attempts = ? WHERE id = ? AND leased <= ?",
		now.Add(s.o.Timeout+margin).UnixMilli(), m.attempts, m.id, now.UnixMilli())
	if err == nil && changed == 0 {
		err = sql.ErrNoRows // another process was faster, and tells when it is done
	}
	return m, err
}

// settle stores what an attempt has come to.
func (s *Service) settle(ctx context.Context, m message, v verdict) error {
	return s.db.Update(ctx, func(t *db.Tx) error {
		if v.done {
			_, err := t.Exec("DELETE FROM webhook_deliveries WHERE id = ?", m.id)
			return err
		}
		_, err := t.Exec("UPDATE webhook_deliveries SET leased = 0, due = ? WHERE id = ?", s.o.Clock().Add(v.after).UnixMilli(), m.id)
		return err
	})
}

// release gives a delivery back that was interrupted.
func (s *Service) release(ctx context.Context, m message) error {
	return s.db.Update(ctx, func(t *db.Tx) error {
		_, err := t.Exec("UPDATE webhook_deliveries SET leased = 0, attempts = attempts - 1 WHERE id = ?", m.id)
		return err
	})
}

// next tells when something is due that was not at a time; false is nothing.
func (s *Service) next(ctx context.Context, now time.Time) (at time.Time, any bool, err error) {
	var ms *int64
	err = s.db.View(ctx, func(t *db.Tx) error {
		return t.Row("SELECT min(CASE WHEN leased > due THEN leased ELSE due END) FROM webhook_deliveries WHERE due > ? OR leased > ?", now.UnixMilli(), now.UnixMilli()).Scan(&ms)
	})
	if err != nil || ms == nil {
		return time.Time{}, false, err
	}
	return time.UnixMilli(*ms), true, nil
}
