package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ModelMonitor compares what an endpoint sees with what its model was trained on.
//
// +kubebuilder:object:root=true
type ModelMonitor struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   ModelMonitorSpec   `json:"spec,omitempty"`
	Status ModelMonitorStatus `json:"status,omitempty"`
}

// ModelMonitorList is a list of monitors.
//
// +kubebuilder:object:root=true
type ModelMonitorList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []ModelMonitor `json:"items"`
}

// ModelMonitorSpec is what the user wants.
type ModelMonitorSpec struct {
	EndpointRef EndpointRef      `json:"endpointRef"`
	Reference   ReferenceSpec    `json:"reference,omitempty"`
	Windows     WindowsSpec      `json:"windows,omitempty"`
	Test        TestSpec         `json:"test,omitempty"`
	Samples     SamplesSpec      `json:"samples,omitempty"`
	Performance *PerformanceSpec `json:"performance,omitempty"`
	Webhook     *WebhookSpec     `json:"webhook,omitempty"`
	// Suspend stops judging; predictions are still recorded.
	Suspend bool `json:"suspend,omitempty"`
}

// ReferenceSpec says what the model was trained on.
type ReferenceSpec struct {
	// Run whose artifact is taken; empty follows the model version that serves.
	Run string `json:"run,omitempty"`
	// Artifact of the run: CSV with a header line, one column per feature in
	// the order in which the endpoint gets them. Empty is "reference.csv".
	Artifact string `json:"artifact,omitempty"`
	// LabelColumn is no feature if the artifact has it. Empty is "label".
	LabelColumn string `json:"labelColumn,omitempty"`
}

// WindowsSpec divides the stream of predictions.
type WindowsSpec struct {
	// Size is the number of rows of a window; 0 is 100.
	Size int `json:"size,omitempty"`
	// MinRows with fewer of which nothing is judged; 0 is 30.
	MinRows int `json:"minRows,omitempty"`
	// Alarm when a feature drifted in Confirm of the last Of windows; 0 is 2 of 3.
	Confirm int `json:"confirm,omitempty"`
	Of      int `json:"of,omitempty"`
}

// TestSpec is the statistical test.
type TestSpec struct {
	// Ties is exact (given the ties in the data) or scipy (as if there were none).
	Ties string `json:"ties,omitempty"`
	// Alpha is the error that a window is allowed over all features; 0 is 0.05.
	Alpha float64 `json:"alpha,omitempty"`
	// Correction for several features: benjamini-hochberg (default), bonferroni or none.
	Correction string `json:"correction,omitempty"`
	// MinEffect is the smallest distance D between the distributions that matters; 0 is 0.1.
	MinEffect float64 `json:"minEffect,omitempty"`
}

// SamplesSpec asks to keep the features themselves.
type SamplesSpec struct {
	// Record keeps the features of each row. Otherwise only counts per quantile of the reference are kept.
	Record bool `json:"record,omitempty"`
	// Retention of all that is recorded of a prediction.
	Retention *metav1.Duration `json:"retention,omitempty"`
	// MaskedFields are never kept, only counted.
	MaskedFields []string `json:"maskedFields,omitempty"`
}

// PerformanceSpec judges by the labels that come back.
type PerformanceSpec struct {
	// Metric is accuracy.
	Metric string `json:"metric,omitempty"`
	// Minimum below which the performance counts as degraded.
	Minimum float64 `json:"minimum"`
	// AlertBelow raises an alert; 0 is Minimum.
	AlertBelow float64 `json:"alertBelow,omitempty"`
	// MinLabelled labels before anything is said; 0 is 50.
	MinLabelled int `json:"minLabelled,omitempty"`
	// Window is the number of newest labelled predictions that count; 0 is 200.
	Window int `json:"window,omitempty"`
}

// WebhookSpec tells somebody. The body is what Slack's incoming webhooks take.
type WebhookSpec struct {
	// SecretRef holds the address.
	SecretRef SecretKeyRef `json:"secretRef"`
}

// SecretKeyRef names a key of a Secret of the same namespace.
type SecretKeyRef struct {
	Name string `json:"name"`
	// Key is "url" if empty.
	Key string `json:"key,omitempty"`
}

// ModelMonitorStatus is how the monitor stands.
type ModelMonitorStatus struct {
	ObservedGeneration int64              `json:"observedGeneration,omitempty"`
	Conditions         []metav1.Condition `json:"conditions,omitempty"`
	// Champion is the model version that is being watched.
	Champion  *ChampionStatus  `json:"champion,omitempty"`
	Reference *ReferenceStatus `json:"reference,omitempty"`
	// Windows of the champion that were judged last, newest first.
	Windows []WindowStatus `json:"windows,omitempty"`
	// Evaluated windows of the champion have a verdict, Drifted are some of them; Insufficient ones had too few rows for one.
	Evaluated    int64 `json:"evaluated"`
	Drifted      int64 `json:"drifted"`
	Insufficient int64 `json:"insufficient"`
	// FirstDriftedWindow is where the drift that is being reported began.
	FirstDriftedWindow *WindowStatus      `json:"firstDriftedWindow,omitempty"`
	Performance        *PerformanceStatus `json:"performance,omitempty"`
	Alerts             AlertsStatus       `json:"alerts,omitempty"`
}

// ChampionStatus is the model version that answers, canaries apart.
type ChampionStatus struct {
	Model        string `json:"model"`
	ModelVersion string `json:"modelVersion"`
	Revision     string `json:"revision,omitempty"`
	Run          string `json:"run,omitempty"`
}

// ReferenceStatus is what is compared with.
type ReferenceStatus struct {
	Run      string `json:"run"`
	Artifact string `json:"artifact"`
	// Digest is the sha256 of the artifact.
	Digest   string `json:"digest"`
	Rows     int    `json:"rows"`
	Features int    `json:"features"`
}

// Verdicts of windows.
const (
	VerdictNoDrift          = "NoDrift"
	VerdictDrift            = "Drift"
	VerdictInsufficientData = "InsufficientData"
)

// WindowStatus is what was found in a window.
type WindowStatus struct {
	ModelVersion string `json:"modelVersion"`
	Index        int64  `json:"index"`
	// Start and End are the times of the first and the last prediction.
	Start   metav1.MicroTime `json:"start"`
	End     metav1.MicroTime `json:"end"`
	Rows    int              `json:"rows"`
	Verdict string           `json:"verdict"`
	// DriftedFeatures is their number, Features names those that drifted most, at most five.
	DriftedFeatures int             `json:"driftedFeatures"`
	Features        []FeatureStatus `json:"features,omitempty"`
	// MaxEffect is the largest distance D of any feature.
	MaxEffect float64 `json:"maxEffect"`
	// Accuracy of the labelled rows when the window was judged.
	Labelled int      `json:"labelled,omitempty"`
	Accuracy *float64 `json:"accuracy,omitempty"`
}

// FeatureStatus is what was found of a feature.
type FeatureStatus struct {
	Name string `json:"name"`
	// D is the distance of the distributions, or the lower end of its interval.
	D float64 `json:"d"`
	// P is the p-value, or the upper end of its interval; AdjustedP is corrected for the number of features.
	P         float64 `json:"p"`
	AdjustedP float64 `json:"adjustedP"`
}

// PerformanceStatus is what labels say of the champion.
type PerformanceStatus struct {
	Accuracy float64 `json:"accuracy"`
	Labelled int     `json:"labelled"`
	// From and To are the times of the predictions that count.
	From metav1.MicroTime `json:"from"`
	To   metav1.MicroTime `json:"to"`
}

// AlertsStatus counts what was raised.
type AlertsStatus struct {
	Total  int64 `json:"total"`
	Firing int64 `json:"firing"`
	// LastID of the alert that was raised last.
	LastID string `json:"lastID,omitempty"`
}

// Conditions of a ModelMonitor beside Ready, Reconciling and Stalled.
const (
	// ConditionReferenceReady: there is something to compare with.
	ConditionReferenceReady = "ReferenceReady"
	// ConditionDrifted: the inputs have drifted. True is bad; Unknown means that nothing can be said yet.
	ConditionDrifted = "Drifted"
	// ConditionPerforming: the measured performance is at least the minimum.
	ConditionPerforming = "Performing"
	// ConditionNotified: the webhook has taken all alerts.
	ConditionNotified = "Notified"
)

// Reasons of a ModelMonitor's conditions.
const (
	ReasonReferenceLoaded   = "ReferenceLoaded"
	ReasonReferenceNotFound = "ReferenceNotFound"
	ReasonReferenceInvalid  = "ReferenceInvalid"
	ReasonEndpointNotFound  = "EndpointNotFound"
	ReasonEndpointNotReady  = "EndpointNotReady"
	ReasonEndpointTaken     = "EndpointTaken"
	ReasonInvalidSpec       = "InvalidSpec"

	ReasonDriftDetected    = "DriftDetected"
	ReasonNoDrift          = "NoDrift"
	ReasonInsufficientData = "InsufficientData"

	ReasonPerformanceBelowMinimum = "BelowMinimum"
	ReasonPerformanceMet          = "MinimumMet"
	ReasonTooFewLabels            = "TooFewLabels"

	ReasonDelivered      = "Delivered"
	ReasonDeliveryFailed = "DeliveryFailed"
)

// Conditions gives access to the conditions.
func (m *ModelMonitor) Conditions() *[]metav1.Condition { return &m.Status.Conditions }

// SetObservedGeneration says which spec the status is about.
func (m *ModelMonitor) SetObservedGeneration(g int64) { m.Status.ObservedGeneration = g }

// WithDefaults is the spec with every empty field filled.
func (s ModelMonitorSpec) WithDefaults() ModelMonitorSpec {
	fill(&s.Reference.Artifact, "reference.csv")
	fill(&s.Reference.LabelColumn, "label")
	fill(&s.Windows.Size, 100)
	fill(&s.Windows.MinRows, 30)
	fill(&s.Windows.Confirm, 2)
	fill(&s.Windows.Of, 3)
	fill(&s.Test.Ties, TiesExact)
	fill(&s.Test.Alpha, 0.05)
	fill(&s.Test.Correction, CorrectionBH)
	fill(&s.Test.MinEffect, 0.1)
	if s.Performance != nil {
		p := *s.Performance
		fill(&p.Metric, MetricAccuracy)
		fill(&p.AlertBelow, p.Minimum)
		fill(&p.MinLabelled, 50)
		fill(&p.Window, 200)
		s.Performance = &p
	}
	if s.Webhook != nil {
		w := *s.Webhook
		fill(&w.SecretRef.Key, "url")
		s.Webhook = &w
	}
	return s
}

// Values of fields.
const (
	TiesExact            = "exact"
	TiesScipy            = "scipy"
	CorrectionBH         = "benjamini-hochberg"
	CorrectionBonferroni = "bonferroni"
	CorrectionNone       = "none"
	MetricAccuracy       = "accuracy"
)

func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
