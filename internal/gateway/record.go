package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kiwerk/kiwerk/internal/data"
	"github.com/kiwerk/kiwerk/internal/wire"
)

// seen is an answered request, as it was on the wire.
type seen struct {
	prediction        data.Prediction // what all rows share; ID is the request's
	infer             bool            // Open Inference Protocol, else TensorFlow Serving
	request, response []byte
	requestHeader     http.Header
	responseHeader    http.Header

	barrier chan<- struct{} // set: no request but a mark in the queue
}

func (s *seen) size() int64 { return int64(len(s.request) + len(s.response)) }

// queue takes answered requests off the request's path.
type queue struct {
	jobs     chan seen
	bytes    atomic.Int64
	maxBytes int64
	recorder Recorder
	metrics  *meters
	logger   *slog.Logger

	mu     sync.RWMutex // closed against put
	closed bool
	done   chan struct{}
}

func newQueue(l Limits, r Recorder, m *meters, log *slog.Logger) *queue {
	return &queue{jobs: make(chan seen, l.QueueLength), maxBytes: l.QueueBytes, recorder: r, metrics: m, logger: log, done: make(chan struct{})}
}

// put never waits: what does not fit is counted and forgotten.
func (q *queue) put(s seen) {
	q.mu.RLock()
	defer q.mu.RUnlock()
	n := s.size()
	if q.closed || q.bytes.Add(n) > q.maxBytes {
		q.drop(n)
		return
	}
	select {
	case q.jobs <- s:
	default:
		q.drop(n)
	}
}

func (q *queue) drop(n int64) {
	q.bytes.Add(-n)
	q.metrics.dropped.Inc()
}

// flush returns when everything that was put before has been handed to the
// recorder: whoever sends a label has seen the answer, so its prediction must be known.
func (q *queue) flush(ctx context.Context) error {
	reached := make(chan struct{})
	q.mu.RLock()
	if q.closed {
		q.mu.RUnlock()
		return nil
	}
	select {
	case q.jobs <- seen{barrier: reached}:
		q.mu.RUnlock()
	case <-ctx.Done():
		q.mu.RUnlock()
		return ctx.Err()
	}
	select {
	case <-reached:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (q *queue) start() {
	go func() {
		defer close(q.done)
		for s := range q.jobs {
			if s.barrier != nil {
				close(s.barrier)
				continue
			}
			q.bytes.Add(-s.size())
			q.record(&s)
		}
	}()
}

func (q *queue) stop(ctx context.Context) error {
	q.mu.Lock()
	if !q.closed {
		q.closed = true
		close(q.jobs)
	}
	q.mu.Unlock()
	select {
	case <-q.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// record hands over one prediction for each row.
func (q *queue) record(s *seen) {
	rows, err := s.rows()
	if err != nil {
		q.metrics.unread.Inc()
		q.logger.Debug("a prediction is not recorded", "id", s.prediction.ID, "error", err)
		return
	}
	for i := range rows {
		p := s.prediction
		if len(rows) > 1 {
			p.ID += "." + strconv.Itoa(i)
		}
		p.Features, p.Output = rows[i].Features, rows[i].Output
		q.recorder.Record(p)
	}
}

func (s *seen) rows() ([]wire.Row, error) {
	if !s.infer {
		return wire.PredictRows(s.request, s.response)
	}
	in, err := wire.ParseHeaderLength(s.requestHeader.Get(wire.HeaderLength), len(s.request))
	if err != nil {
		return nil, err
	}
	out, err := wire.ParseHeaderLength(s.responseHeader.Get(wire.HeaderLength), len(s.response))
	if err != nil {
		return nil, err
	}
	return wire.InferRows(s.request, in, s.response, out)
}

// common is what all rows of an answer share.
func common(k key, c choice, id string, at time.Time) data.Prediction {
	return data.Prediction{
		ID: id, Namespace: k.namespace, Endpoint: k.name, Model: c.revision.model,
		ModelVersion: c.revision.version, Revision: c.revision.name, Time: at,
	}
}
