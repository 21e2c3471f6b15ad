package data

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kiwerk/kiwerk/internal/store"
)

// recorder is the queue between the gateway and the database.
type recorder struct {
	queue  chan item
	bytes  atomic.Int64 // of what waits in the queue
	cancel context.CancelFunc
	done   sync.WaitGroup

	recorded prometheus.Counter
	dropped  *prometheus.CounterVec
	labelled prometheus.Counter
}

// item is a prediction, or a question whether everything before it is stored.
type item struct {
	prediction Prediction
	stored     chan error
}

const (
	maxBatch = 1024
	// maxFeatures bounds what one row may cost; larger inputs (images, say) are recorded without features.
	maxFeatures = 100_000
	// maxQueueBytes bounds the memory of what waits.
	maxQueueBytes = 64 << 20
	rowOverhead   = 300
)

// size is about the memory that a prediction takes while it waits.
func (p *Prediction) size() int64 { return int64(8*len(p.Features) + len(p.Output) + rowOverhead) }

func (r *recorder) init(size int) {
	r.queue = make(chan item, size)
	r.recorded = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "kiwerk_data_predictions_stored_total", Help: "Predictions that were stored.",
	})
	r.dropped = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kiwerk_data_predictions_dropped_total", Help: "Predictions that were answered but not stored.",
	}, []string{"reason"})
	r.labelled = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "kiwerk_data_labels_total", Help: "Labels that came back for predictions.",
	})
}

func (r *recorder) collectors() []prometheus.Collector {
	return []prometheus.Collector{r.recorded, r.dropped, r.labelled}
}

// Record takes a prediction and returns at once. It keeps the slices of p, so
// the caller must not change them any more.
func (s *Service) Record(p Prediction) {
	if len(p.Features) > maxFeatures {
		p.Features = nil
	}
	size := p.size()
	if s.bytes.Add(size) <= maxQueueBytes {
		select {
		case s.queue <- item{prediction: p}:
			return
		default:
		}
	}
	s.bytes.Add(-size)
	s.dropped.WithLabelValues("queue_full").Inc()
}

// Flush returns when everything that Record took before is stored, or with the error of storing it.
func (s *Service) Flush(ctx context.Context) error {
	stored := make(chan error, 1)
	select {
	case s.queue <- item{stored: stored}:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-stored:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// write is the goroutine that empties the queue, as much as there is at a time.
func (s *Service) write(ctx context.Context) {
	for {
		select {
		case first := <-s.queue:
			s.writeBatch(context.WithoutCancel(ctx), first)
		case <-ctx.Done():
			for { // what was taken is still stored
				select {
				case first := <-s.queue:
					s.writeBatch(context.WithoutCancel(ctx), first)
				default:
					return
				}
			}
		}
	}
}

func (s *Service) writeBatch(ctx context.Context, first item) {
	var batch []Prediction
	var waiting []chan error
	take := func(i item) {
		if i.stored != nil {
			waiting = append(waiting, i.stored)
			return
		}
		s.bytes.Add(-i.prediction.size())
		batch = append(batch, i.prediction)
	}
	take(first)
	for len(batch) < maxBatch {
		select {
		case next := <-s.queue:
			take(next)
			continue
		default:
		}
		break
	}
	err := s.storeBatch(ctx, batch)
	for _, w := range waiting {
		w <- err
	}
}

func (s *Service) storeBatch(ctx context.Context, batch []Prediction) error {
	if len(batch) == 0 {
		return nil
	}
	streams := s.group(batch)
	stored := 0
	err := s.deps.Store.Update(ctx, func(t *store.Tx) error {
		stored = 0
		for _, g := range streams {
			n, err := g.store(t)
			if err != nil {
				return err
			}
			stored += n
		}
		return nil
	})
	if err != nil {
		s.dropped.WithLabelValues("write_failed").Add(float64(len(batch)))
		if !errors.Is(err, store.ErrClosed) {
			s.deps.Logger.ErrorContext(ctx, "predictions were not stored", "predictions", len(batch), "error", err)
		}
		return err
	}
	s.recorded.Add(float64(stored))
	told := map[endpointKey]bool{}
	for _, g := range streams {
		key := endpointKey{g.namespace, g.endpoint}
		if !told[key] {
			told[key] = true
			s.changed(key)
		}
	}
	return nil
}

// streamBatch is the part of a batch that belongs to one stream, in order.
type streamBatch struct {
	namespace, endpoint, model, version string

	recording *Recording
	rows      []Prediction
}

func (s *Service) group(batch []Prediction) []*streamBatch {
	type key struct{ namespace, endpoint, model, version string }
	byKey := map[key]*streamBatch{}
	var list []*streamBatch
	for _, p := range batch {
		k := key{p.Namespace, p.Endpoint, p.Model, p.ModelVersion}
		g := byKey[k]
		if g == nil {
			g = &streamBatch{namespace: k.namespace, endpoint: k.endpoint, model: k.model, version: k.version, recording: s.RecordingOf(k.namespace, k.endpoint)}
			byKey[k] = g
			list = append(list, g)
		}
		if p.Time.IsZero() {
			p.Time = s.deps.Now()
		}
		g.rows = append(g.rows, p)
	}
	return list
}

// store appends the rows to the stream. It reads all it needs in t, so it may be repeated.
func (g *streamBatch) store(t *store.Tx) (int, error) {
	id, next, err := openStream(t, g.namespace, g.endpoint, g.model, g.version)
	if err != nil {
		return 0, err
	}
	counts := newWindowCounts(t, id, g)
	revisions := map[string]bool{}
	stored := 0
	for _, p := range g.rows {
		n, err := t.Exec(`INSERT INTO data_predictions(id, stream, seq, revision, time, output, features)
			VALUES(?, ?, ?, ?, ?, ?, ?) ON CONFLICT(id) DO NOTHING`,
			p.ID, id, next, p.Revision, p.Time.UnixNano(), string(p.Output), g.features(p))
		if err != nil {
			return 0, err
		}
		if n == 0 {
			continue // recorded before
		}
		if err := counts.add(next, p.Features); err != nil {
			return 0, err
		}
		revisions[p.Revision] = true
		next++
		stored++
	}
	for r := range revisions {
		if _, err := t.Exec("INSERT INTO data_revisions(stream, revision) VALUES(?, ?) ON CONFLICT DO NOTHING", id, r); err != nil {
			return 0, err
		}
	}
	if _, err := t.Exec("UPDATE data_streams SET rows = ? WHERE id = ?", next, id); err != nil {
		return 0, err
	}
	return stored, counts.close()
}

// features is what is kept of the row itself: nothing unless somebody asked.
func (g *streamBatch) features(p Prediction) []byte {
	if g.recording == nil || !g.recording.Samples || p.Features == nil {
		return nil
	}
	row := p.Features
	if len(g.recording.masked) > 0 && len(row) == len(g.recording.Names) {
		row = slices.Clone(row)
		for _, i := range g.recording.masked {
			row[i] = math.NaN()
		}
	} else if len(g.recording.masked) > 0 {
		row = nil // what would have to be masked cannot be found; the row counts as malformed
	}
	return encodeRow(row)
}

// openStream finds a stream and how many rows it has; other copies of the
// program wait until these have grown.
func openStream(t *store.Tx, namespace, endpoint, model, version string) (id, rows int64, err error) {
	if _, err := t.Exec(`INSERT INTO data_streams(namespace, endpoint, model, version) VALUES(?, ?, ?, ?)
		ON CONFLICT(namespace, endpoint, model, version) DO NOTHING`, namespace, endpoint, model, version); err != nil {
		return 0, 0, err
	}
	const one = "SELECT id, rows FROM data_streams WHERE namespace = ? AND endpoint = ? AND model = ? AND version = ?"
	if err := t.Hold(one, namespace, endpoint, model, version); err != nil {
		return 0, 0, err
	}
	err = t.Row(one, namespace, endpoint, model, version).Scan(&id, &rows)
	return id, rows, err
}

// windowCounts adds rows to the counts of their windows, reading and writing each window once.
type windowCounts struct {
	tx     *store.Tx
	stream int64
	rec    *Recording
	window int64
	open   *Counts
}

func newWindowCounts(t *store.Tx, stream int64, g *streamBatch) *windowCounts {
	w := &windowCounts{tx: t, stream: stream, window: -1}
	if r := g.recording; r != nil && r.Profile != nil && r.ModelVersion == g.version && r.Model == g.model {
		w.rec = r
	}
	return w
}

func (w *windowCounts) add(seq int64, row []float64) error {
	if w.rec == nil || seq < w.rec.Origin {
		return nil
	}
	if window := (seq - w.rec.Origin) / int64(w.rec.WindowSize); window != w.window {
		if err := w.close(); err != nil {
			return err
		}
		w.window = window
		open, err := readCounts(w.tx, w.stream, w.rec.digest, window)
		if err != nil {
			return err
		}
		if open == nil {
			open = NewCounts(len(w.rec.Profile.Cuts))
		}
		w.open = open
	}
	w.open.Add(*w.rec.Profile, row)
	return nil
}

func (w *windowCounts) close() error {
	if w.open == nil {
		return nil
	}
	_, err := w.tx.Exec(`INSERT INTO data_counts(stream, profile, "window", rows, counts) VALUES(?, ?, ?, ?, ?)
		ON CONFLICT(stream, profile, "window") DO UPDATE SET rows = excluded.rows, counts = excluded.counts`,
		w.stream, w.rec.digest, w.window, w.open.Rows, w.open.encode())
	w.open = nil
	return err
}

func readCounts(t *store.Tx, stream int64, profile string, window int64) (*Counts, error) {
	var rows int
	var b []byte
	err := t.Row(`SELECT rows, counts FROM data_counts WHERE stream = ? AND profile = ? AND "window" = ?`, stream, profile, window).Scan(&rows, &b)
	if store.IsNoRows(err) {
		return nil, nil //nolint:nilnil // No counts yet is no error.
	}
	if err != nil {
		return nil, err
	}
	return decodeCounts(b, rows)
}

// sweepEvery is how often predictions past their retention are looked for.
const sweepEvery = 10 * time.Minute

func (s *Service) sweepLoop(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		if _, err := s.Sweep(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrClosed) {
			s.deps.Logger.ErrorContext(ctx, "old predictions were not deleted", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
