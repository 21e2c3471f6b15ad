// Package controller reconciles ModelMonitor.
//
//	Reconcile ─ follow (champion, reference, baseline, what to record)
//	          ─ judge  (every complete window that has no verdict)
//	          ─ observe ─ decide ─ act (alerts, webhook, conditions)
//
// It is driven by rows, not by time: package data tells when rows or labels of
// an endpoint were stored, and a window is judged when its last row is there.
//
// Conditions: Ready (there is a reference to compare with), ReferenceReady,
// Drifted (True is bad, Unknown is "nothing can be said yet"), Performing,
// Notified.
package controller
