package gateway

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/kiwerk/kiwerk/internal/data"
)

// Recorder keeps predictions. Record must not block.
type Recorder interface {
	Record(data.Prediction)
}

// Feedback takes labels that come back for predictions.
type Feedback interface {
	// Feedback stores all labels or none; an unknown id is a [server.NotFound] that names it.
	Feedback(ctx context.Context, namespace, endpoint string, labels []data.Feedback) error
}

// Deps of a Gateway. All but Metrics and the limits are required.
type Deps struct {
	// Cache has InferenceServices and pods; it must have been started before the gateway is.
	Cache    cache.Cache
	Recorder Recorder
	Feedback Feedback
	Clock    clock.Clock
	Logger   *slog.Logger
	// Random is uniform in [0, n) and safe for use by many goroutines.
	Random func(n uint64) uint64
	// DirectPods dials a pod's own address if it has no annotated port. Without
	// it such a pod gets no requests: its address would be the host's.
	DirectPods bool
	Metrics    prometheus.Registerer
	Limits     Limits
}

// Limits of the gateway; a zero value takes the default.
type Limits struct {
	// MaxBody bounds requests, and answers that are recorded, in bytes.
	MaxBody int64
	// Timeout of a request where the endpoint names none.
	Timeout time.Duration
	// Pending is how long a request waits for a ready pod.
	Pending time.Duration
	// QueueBytes and QueueLength bound what waits to be recorded.
	QueueBytes  int64
	QueueLength int
}

func (l Limits) withDefaults() Limits {
	if l.MaxBody <= 0 {
		l.MaxBody = 64 << 20
	}
	if l.Timeout <= 0 {
		l.Timeout = time.Minute
	}
	if l.Pending <= 0 {
		l.Pending = 10 * time.Second
	}
	if l.QueueBytes <= 0 {
		l.QueueBytes = 64 << 20
	}
	if l.QueueLength <= 0 {
		l.QueueLength = 8192
	}
	return l
}

// Gateway forwards inference requests. It is a lifecycle.Component.
type Gateway struct {
	deps    Deps
	limits  Limits
	table   *table
	forward forwarder
	queue   *queue
	metrics *meters
	watch   watch
}

// New checks the dependencies; nothing runs until Start.
func New(d Deps) (*Gateway, error) {
	if d.Cache == nil || d.Recorder == nil || d.Feedback == nil || d.Clock == nil || d.Logger == nil || d.Random == nil {
		return nil, errors.New("gateway: Cache, Recorder, Feedback, Clock, Logger and Random are required")
	}
	m, err := newMeters(d.Metrics)
	if err != nil {
		return nil, err
	}
	limits := d.Limits.withDefaults()
	return &Gateway{
		deps: d, limits: limits, table: newTable(), forward: newPool(d.Clock), metrics: m,
		queue: newQueue(limits, d.Recorder, m, d.Logger),
	}, nil
}

// Init does nothing.
func (*Gateway) Init(context.Context) error { return nil }

// Start returns when the table has all endpoints.
func (g *Gateway) Start(ctx context.Context) error {
	g.queue.start()
	return g.startWatch(ctx)
}

// Stop ends the watches, records what is queued and closes idle connections.
func (g *Gateway) Stop(ctx context.Context) error {
	err := g.watch.stop()
	g.forward.close()
	return errors.Join(err, g.queue.stop(ctx))
}
