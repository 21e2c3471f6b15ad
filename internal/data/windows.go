package data

import (
	"context"
	"math"
	"time"

	"github.com/kiwerk/kiwerk/internal/store"
)

// Stream is what one model version has answered at an endpoint so far.
type Stream struct {
	Model, Version string
	// Rows that were recorded, also those whose retention has ended.
	Rows int64
	// Revisions that answered.
	Revisions []string

	id int64
}

// Streams lists the streams of an endpoint, oldest first.
func (s *Service) Streams(ctx context.Context, namespace, endpoint string) ([]Stream, error) {
	var list []Stream
	err := s.deps.Store.View(ctx, func(t *store.Tx) error {
		return t.Each(func(rows store.Rows) error {
			var st Stream
			var revision *string
			if err := rows.Scan(&st.id, &st.Model, &st.Version, &st.Rows, &revision); err != nil {
				return err
			}
			if len(list) == 0 || list[len(list)-1].id != st.id {
				list = append(list, st)
			}
			if revision != nil {
				last := &list[len(list)-1]
				last.Revisions = append(last.Revisions, *revision)
			}
			return nil
		}, `SELECT s.id, s.model, s.version, s.rows, r.revision FROM data_streams s LEFT JOIN data_revisions r ON r.stream = s.id
			WHERE s.namespace = ? AND s.endpoint = ? ORDER BY s.id, r.revision`, namespace, endpoint)
	})
	return list, err
}

// Window is a run of rows of a stream.
type Window struct {
	Index int64
	// Rows of the window that are stored.
	Rows    int
	Start   time.Time
	End     time.Time
	FirstID string
	// Columns are the samples of each feature, NaN where a value is missing or
	// masked. Nil if not every row of the window has its features.
	Columns [][]float64
	// Malformed rows have another number of features than the others.
	Malformed int
	// Counts per bin of the profile that was recorded, nil if there are none.
	Counts *Counts
	// Labelled rows whose label could be compared, and those that were right.
	Labelled, Correct int
}

// WindowQuery names a window: rows [Index·Size, (Index+1)·Size) of a stream, counted from row Origin.
type WindowQuery struct {
	Namespace, Endpoint string
	Model, Version      string
	Origin, Index       int64
	Size                int
	// Profile whose counts are wanted.
	Profile *Profile
	// Features is how many a row has.
	Features int
}

// Window reads a window.
func (s *Service) Window(ctx context.Context, q WindowQuery) (*Window, error) {
	w := &Window{Index: q.Index}
	err := s.deps.Store.View(ctx, func(t *store.Tx) error {
		var stream int64
		err := t.Row("SELECT id FROM data_streams WHERE namespace = ? AND endpoint = ? AND model = ? AND version = ?",
			q.Namespace, q.Endpoint, q.Model, q.Version).Scan(&stream)
		if store.IsNoRows(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := w.readRows(t, stream, q); err != nil {
			return err
		}
		if q.Profile == nil {
			return nil
		}
		r := Recording{Profile: q.Profile, WindowSize: q.Size, Origin: q.Origin}
		if err := r.prepare(); err != nil {
			return err
		}
		w.Counts, err = readCounts(t, stream, r.digest, q.Index)
		return err
	})
	return w, err
}

func (w *Window) readRows(t *store.Tx, stream int64, q WindowQuery) error {
	columns := make([][]float64, q.Features)
	complete := true
	err := t.Each(func(rows store.Rows) error {
		var id string
		var at int64
		var features []byte
		var kept bool // an empty row is read as nil, too
		var correct *bool
		if err := rows.Scan(&id, &at, &features, &kept, &correct); err != nil {
			return err
		}
		if w.Rows == 0 {
			w.FirstID, w.Start = id, time.Unix(0, at).UTC()
		}
		w.End = time.Unix(0, at).UTC()
		w.Rows++
		if correct != nil {
			w.Labelled++
			if *correct {
				w.Correct++
			}
		}
		switch row := decodeRow(features); {
		case !kept:
			complete = false
		case len(row) != q.Features:
			w.Malformed++
		default:
			for f, v := range row {
				columns[f] = append(columns[f], v)
			}
		}
		return nil
	}, "SELECT id, time, features, features IS NOT NULL, correct FROM data_predictions WHERE stream = ? AND seq >= ? AND seq < ? ORDER BY seq",
		stream, q.Origin+q.Index*int64(q.Size), q.Origin+(q.Index+1)*int64(q.Size))
	if complete && w.Rows > 0 {
		w.Columns = columns
	}
	return err
}

// Score is what labels say about a stretch of predictions.
type Score struct {
	Labelled, Correct int
	// From and To are the times of the first and last prediction that counts.
	From, To time.Time
}

// Accuracy is the share of right answers, NaN without labels.
func (s Score) Accuracy() float64 {
	if s.Labelled == 0 {
		return math.NaN()
	}
	return float64(s.Correct) / float64(s.Labelled)
}

// LastLabelled scores the last n labelled rows of a stream, from row first on.
func (s *Service) LastLabelled(ctx context.Context, namespace, endpoint, model, version string, first int64, n int) (Score, error) {
	var sc Score
	err := s.deps.Store.View(ctx, func(t *store.Tx) error {
		return t.Each(func(rows store.Rows) error {
			var at int64
			var correct bool
			if err := rows.Scan(&at, &correct); err != nil {
				return err
			}
			sc.From = time.Unix(0, at).UTC()
			if sc.Labelled == 0 {
				sc.To = sc.From
			}
			sc.Labelled++
			if correct {
				sc.Correct++
			}
			return nil
		}, `SELECT p.time, p.correct FROM data_predictions p JOIN data_streams s ON s.id = p.stream
			WHERE s.namespace = ? AND s.endpoint = ? AND s.model = ? AND s.version = ? AND p.seq >= ? AND p.correct IS NOT NULL
			ORDER BY p.seq DESC LIMIT ?`, namespace, endpoint, model, version, first, n)
	})
	return sc, err
}

// VersionScore is what one model version did at an endpoint in a stretch of time.
type VersionScore struct {
	Model, Version string
	Rows           int
	Score
}

// Scores lists what each model version did from a time on.
func (s *Service) Scores(ctx context.Context, namespace, endpoint string, from time.Time) ([]VersionScore, error) {
	var list []VersionScore
	err := s.deps.Store.View(ctx, func(t *store.Tx) error {
		return t.Each(func(rows store.Rows) error {
			var v VersionScore
			var first, last int64
			if err := rows.Scan(&v.Model, &v.Version, &v.Rows, &v.Labelled, &v.Correct, &first, &last); err != nil {
				return err
			}
			v.From, v.To = time.Unix(0, first).UTC(), time.Unix(0, last).UTC()
			list = append(list, v)
			return nil
		}, `SELECT s.model, s.version, count(*), count(p.correct), coalesce(sum(p.correct), 0), min(p.time), max(p.time)
			FROM data_streams s JOIN data_predictions p ON p.stream = s.id
			WHERE s.namespace = ? AND s.endpoint = ? AND p.time >= ? GROUP BY s.id ORDER BY s.id`, namespace, endpoint, from.UnixNano())
	})
	return list, err
}

// CountSamples is the number of labelled samples that Freeze would find.
func (s *Service) CountSamples(ctx context.Context, namespace, endpoint string, from time.Time) (n int, err error) {
	err = s.deps.Store.View(ctx, func(t *store.Tx) error {
		return t.Row(`SELECT count(*) FROM data_streams s JOIN data_predictions p ON p.stream = s.id
			WHERE s.namespace = ? AND s.endpoint = ? AND p.time >= ? AND p.labelled IS NOT NULL AND p.features IS NOT NULL`,
			namespace, endpoint, from.UnixNano()).Scan(&n)
	})
	return n, err
}
