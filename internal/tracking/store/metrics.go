package store

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

var notANumber = math.NaN()

// point is a row of run_metrics without its run.
type point struct {
	k, ts, step int64
	value       float64
	nan         int64
}

func comparePoints(a, b point) int {
	if c := cmp.Compare(a.k, b.k); c != 0 {
		return c
	}
	if c := cmp.Compare(a.ts, b.ts); c != 0 {
		return c
	}
	if c := cmp.Compare(a.step, b.step); c != 0 {
		return c
	}
	if c := cmp.Compare(a.value, b.value); c != 0 {
		return c
	}
	return cmp.Compare(a.nan, b.nan)
}

// newer is the order in which a metric's newest point is the greatest.
func (p point) newer(q point) bool {
	if p.step != q.step {
		return p.step > q.step
	}
	if p.ts != q.ts {
		return p.ts > q.ts
	}
	return p.value > q.value
}

// putMetrics writes points to a run, and to the models that they name.
func (t *tx) putMetrics(r model.RunInfo, metrics []model.Metric) error {
	points := make([]runPoint, len(metrics))
	for i, m := range metrics {
		k, err := t.intern(m.Key)
		if err != nil {
			return err
		}
		points[i] = newRunPoint(r, k, m)
	}
	if err := t.putPoints(points); err != nil {
		return err
	}
	return t.putModelMetrics(r, metrics)
}

// putModelMetrics writes the points that name a logged model to that model too.
func (t *tx) putModelMetrics(r model.RunInfo, metrics []model.Metric) error {
	models := map[string]int64{}
	for _, m := range metrics {
		if m.ModelID == "" {
			continue
		}
		row, ok := models[m.ModelID]
		if !ok {
			lm, err := t.loggedModel(r.Namespace, m.ModelID, false)
			if err != nil {
				return err
			}
			row = lm.Row
			models[m.ModelID] = row
		}
		value, nan := model.Sanitize(m.Value)
		if _, err := t.Exec(`INSERT INTO logged_model_metrics(model, key, dataset, digest, run, ts, step, value, nan)
			VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			row, m.Key, m.DatasetName, m.DatasetDigest, r.ID, m.Timestamp, m.Step, value, nan); err != nil {
			return err
		}
	}
	return nil
}

// maxPoints bounds a page of a metric's history of which no size was asked for.
const maxPoints = 1_000_000

// History is a page of a metric's points in the order of time, step, value.
// limit 0 is as many as one answer may have.
func (s *Store) History(ctx context.Context, namespace, id, key string, limit int, token string) (points []model.Metric, next string, err error) {
	from, err := parseHistoryToken(token, key)
	if err != nil {
		return nil, "", err
	}
	if limit <= 0 || limit > maxPoints {
		limit = maxPoints
	}
	err = s.view(ctx, func(t *tx) error {
		points = nil
		r, err := t.runInfo(namespace, id)
		if model.IsMissing(err) {
			return nil // as upstream: a run that is not there has no points
		}
		if err != nil {
			return err
		}
		k, err := t.keyID(key)
		if err != nil {
			return err
		}
		points, err = t.points(key, `SELECT ts, step, value, nan FROM run_metrics
			WHERE run = ? AND k = ? AND (ts, step, value, nan) > (?, ?, ?, ?) ORDER BY ts, step, value, nan LIMIT ?`,
			r.Row, k, from.TS, from.Step, from.Value, from.NaN, limit+1)
		return err
	})
	if err == nil && len(points) > limit {
		points = points[:limit]
		next = historyTokenOf(key, points[limit-1]).encode()
	}
	return points, next, err
}

func (t *tx) points(key, query string, args ...any) (points []model.Metric, err error) {
	err = t.Each(func(r rows) error {
		m := model.Metric{Key: key}
		var nan bool
		if err := r.Scan(&m.Timestamp, &m.Step, &m.Value, &nan); err != nil {
			return err
		}
		if nan {
			m.Value = notANumber
		}
		points = append(points, m)
		return nil
	}, query, args...)
	return points, err
}

// HistoryBulk gives the points of one metric of many runs, at most limit in all.
func (s *Store) HistoryBulk(ctx context.Context, namespace string, ids []string, key string, limit int) (points []model.Metric, err error) {
	ids = slices.Sorted(slices.Values(ids))
	for _, id := range ids {
		if len(points) >= limit {
			break
		}
		list, _, err := s.History(ctx, namespace, id, key, limit-len(points), "")
		if err != nil {
			return nil, err
		}
		for _, m := range list {
			m.RunUUID = id
			points = append(points, m)
		}
	}
	return points, nil
}

// Interval is a range of steps; nil is all of them.
type Interval struct{ From, To int64 }

// HistoryInterval gives up to limit points of each run, evenly spread over the
// points in the order of their steps, with the first and the last.
func (s *Store) HistoryInterval(ctx context.Context, namespace string, ids []string, key string, limit int, in *Interval) (all []model.Metric, err error) {
	if in == nil {
		in = &Interval{math.MinInt64, math.MaxInt64}
	}
	err = s.view(ctx, func(t *tx) error {
		all = nil
		k, err := t.keyID(key)
		if err != nil {
			return err
		}
		for _, id := range ids {
			r, err := t.runInfo(namespace, id)
			if model.IsMissing(err) {
				continue
			}
			if err != nil {
				return err
			}
			points, err := t.sample(r.Row, k, key, limit, *in)
			if err != nil {
				return err
			}
			for _, m := range points {
				m.RunUUID = id
				all = append(all, m)
			}
		}
		return nil
	})
	return all, err
}

// sample cuts the points into limit parts, the first of which are one longer
// if they do not come out even, and keeps the first point of each part. The
// last point of all stands in for the last one kept.
func (t *tx) sample(run, k int64, key string, limit int, in Interval) ([]model.Metric, error) {
	var total int
	if err := t.Row("SELECT count(*) FROM run_metrics WHERE run = ? AND k = ? AND step BETWEEN ? AND ?", run, k, in.From, in.To).Scan(&total); err != nil {
		return nil, err
	}
	size, longer := max(total/limit, 1), total%limit
	if total <= limit {
		longer = 0
	}
	border := longer * (size + 1) // where the parts of the usual size begin
	points, err := t.points(key, `SELECT ts, step, value, nan FROM (
		SELECT ts, step, value, nan, row_number() OVER (ORDER BY step, ts, value, nan) - 1 AS i FROM run_metrics
		WHERE run = ? AND k = ? AND step BETWEEN ? AND ?) p
		WHERE i < ? AND i % ? = 0 OR i >= ? AND (i - ?) % ? = 0 OR i = ?
		ORDER BY step, ts, value, nan`, run, k, in.From, in.To, border, size+1, border, border, size, total-1)
	if len(points) > limit {
		points = append(points[:limit-1], points[len(points)-1])
	}
	return points, err
}
