package controller

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	windows   *prometheus.CounterVec
	alerts    *prometheus.CounterVec
	failures  *prometheus.CounterVec
	drifted   *prometheus.GaugeVec
	maxEffect *prometheus.GaugeVec
	accuracy  *prometheus.GaugeVec
}

func newMetrics() metrics {
	name := []string{"namespace", "monitor"}
	counter := func(metric, help string, more ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: metric, Help: help}, append(name[:2:2], more...))
	}
	gauge := func(metric, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: metric, Help: help}, name)
	}
	return metrics{
		windows:   counter("kiwerk_monitor_windows_total", "Windows that were judged, by verdict.", "verdict"),
		alerts:    counter("kiwerk_monitor_alerts_total", "Alerts that were raised.", "kind"),
		failures:  counter("kiwerk_monitor_webhook_failures_total", "Calls of a webhook that failed."),
		drifted:   gauge("kiwerk_monitor_drifted", "1 while drift is reported."),
		maxEffect: gauge("kiwerk_monitor_max_effect", "Largest distance D of any feature in the window judged last."),
		accuracy:  gauge("kiwerk_monitor_accuracy", "Measured accuracy of the newest labelled predictions."),
	}
}

func (m metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.windows, m.alerts, m.failures, m.drifted, m.maxEffect, m.accuracy}
}

// forget drops the series of a monitor that is gone.
func (m metrics) forget(namespace, name string) {
	labels := prometheus.Labels{"namespace": namespace, "monitor": name}
	for _, v := range []interface {
		DeletePartialMatch(labels prometheus.Labels) int
	}{m.windows, m.alerts, m.failures, m.drifted, m.maxEffect, m.accuracy} {
		v.DeletePartialMatch(labels)
	}
}
