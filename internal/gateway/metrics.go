package gateway

import (
	"errors"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// meters of the gateway.
type meters struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	retries  prometheus.Counter
	dropped  prometheus.Counter
	unread   prometheus.Counter
}

func newMeters(r prometheus.Registerer) (*meters, error) {
	m := &meters{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kiwerk_inference_requests_total", Help: "Requests to endpoints by revision and status code.",
		}, []string{"namespace", "endpoint", "revision", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "kiwerk_inference_request_seconds", Help: "Time from the request to the end of the answer.",
			Buckets: prometheus.ExponentialBuckets(.0005, 2, 16),
		}, []string{"namespace", "endpoint", "revision"}),
		retries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "kiwerk_inference_retries_total", Help: "Requests that were sent to another pod because the first one gave no answer.",
		}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "kiwerk_predictions_dropped_total", Help: "Answers that were not recorded because the queue was full.",
		}),
		unread: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "kiwerk_predictions_unreadable_total", Help: "Answers that were not recorded because their rows could not be told apart.",
		}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.requests, m.seconds, m.retries, m.dropped, m.unread} {
		var twice prometheus.AlreadyRegisteredError
		if err := r.Register(c); err != nil && !errors.As(err, &twice) {
			return nil, err
		}
	}
	return m, nil
}

// forget removes the series of an endpoint that is gone.
func (m *meters) forget(k key) {
	labels := prometheus.Labels{"namespace": k.namespace, "endpoint": k.name}
	m.requests.DeletePartialMatch(labels)
	m.seconds.DeletePartialMatch(labels)
}

func (m *meters) done(k key, revision string, status int, seconds float64) {
	m.requests.WithLabelValues(k.namespace, k.name, revision, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(k.namespace, k.name, revision).Observe(seconds)
}
