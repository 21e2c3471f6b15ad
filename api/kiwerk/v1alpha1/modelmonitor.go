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
	// EndpointRef is what is watched. An endpoint has one monitor.
	EndpointRef EndpointRef `json:"endpointRef"`
	// Reference is what the predictions are compared with; by default reference.csv of the run that trained the version that serves.
	Reference ReferenceSpec `json:"reference,omitempty"`
	// Windows divide the predictions into parts that are judged.
	Windows WindowsSpec `json:"windows,omitempty"`
	// Test says when a feature has drifted.
	Test TestSpec `json:"test,omitempty"`
	// Samples says what is kept of a prediction.
	Samples SamplesSpec `json:"samples,omitempty"`
	// Performance is judged by the labels that come back, if this is set.
	Performance *PerformanceSpec `json:"performance,omitempty"`
	// Webhook is told of alerts.
	Webhook *WebhookSpec `json:"webhook,omitempty"`
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
	// Size is the number of predictions in a window; 0 or unset is 100.
	Size int `json:"size,omitempty"`
	// MinRows are the fewest comparable rows of a window that get a verdict; 0 or unset is 30.
	MinRows int `json:"minRows,omitempty"`
	// Confirm is in how many of the last windows (of) the same feature must have drifted before an alarm; 0 or unset is 2.
	Confirm int `json:"confirm,omitempty"`
	// Of is how many of the last windows count for confirm; 0 or unset is 3.
	Of int `json:"of,omitempty"`
}

// TestSpec is the statistical test.
type TestSpec struct {
	// Ties is exact (default: given the ties in the data, right for whole numbers) or scipy (as if there were none).
	Ties string `json:"ties,omitempty"`
	// Alpha is the error that a window is allowed over all features, a probability; 0 or unset is 0.05.
	Alpha float64 `json:"alpha,omitempty"`
	// Correction for several features: benjamini-hochberg (default), bonferroni or none.
	Correction string `json:"correction,omitempty"`
	// MinEffect is the smallest distance D between the distributions that matters, from 0 (same) to 1 (disjoint); 0 or unset is 0.1.
	MinEffect float64 `json:"minEffect,omitempty"`
}

// SamplesSpec asks to keep the features themselves.
type SamplesSpec struct {
	// Record keeps the features of each row. Otherwise only counts per quantile of the reference are kept.
	Record bool `json:"record,omitempty"`
	// Retention of all that is recorded of a prediction, as 720h; unset takes that of the platform, 30 days.
	Retention *metav1.Duration `json:"retention,omitempty"`
	// MaskedFields are features, by their names, that are never kept, only counted.
	MaskedFields []string `json:"maskedFields,omitempty"`
}

// PerformanceSpec judges by the labels that come back.
type PerformanceSpec struct {
	// Metric is accuracy, the only one so far.
	Metric string `json:"metric,omitempty"`
	// Minimum is the accuracy below which the performance counts as degraded, from 0 to 1.
	Minimum float64 `json:"minimum"`
	// AlertBelow is the accuracy below which an alert is raised, from 0 to 1, at most minimum; 0 or unset is minimum.
	AlertBelow float64 `json:"alertBelow,omitempty"`
	// MinLabelled is the number of labels without which nothing is said; 0 or unset is 50.
	MinLabelled int `json:"minLabelled,omitempty"`
	// Window is the number of newest labelled predictions that count; 0 or unset is 200.
	Window int `json:"window,omitempty"`
}

// WebhookSpec tells somebody. The body is what Slack's incoming webhooks take.
type WebhookSpec struct {
	// SecretRef holds the address.
	SecretRef SecretKeyRef `json:"secretRef"`
}

// SecretKeyRef names a key of a Secret of the same namespace.
type SecretKeyRef struct {
	// Name of the Secret.
	Name string `json:"name"`
	// Key of the Secret; empty is url.
	Key string `json:"key,omitempty"`
}

// ModelMonitorStatus is how the monitor stands.
type ModelMonitorStatus struct {
	// ObservedGeneration is the generation of the spec that the status is about.
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions: Ready, ReferenceReady, Drifted (True is bad), Performing, Notified, Stalled, SpecWarning.
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Champion is the model version that is being watched.
	Champion *ChampionStatus `json:"champion,omitempty"`
	// Reference is what is compared with.
	Reference *ReferenceStatus `json:"reference,omitempty"`
	// Windows of the champion that were judged last, newest first.
	Windows []WindowStatus `json:"windows,omitempty"`
	// Evaluated windows of the champion have a verdict.
	Evaluated int64 `json:"evaluated"`
	// Drifted windows are some of those evaluated.
	Drifted int64 `json:"drifted"`
	// Insufficient windows had too few rows for a verdict.
	Insufficient int64 `json:"insufficient"`
	// FirstDriftedWindow is where the drift that is being reported began.
	FirstDriftedWindow *WindowStatus `json:"firstDriftedWindow,omitempty"`
	// Performance is what labels say of the champion.
	Performance *PerformanceStatus `json:"performance,omitempty"`
	// Alerts counts what was raised.
	Alerts AlertsStatus `json:"alerts,omitempty"`
}

// ChampionStatus is the model version that answers, canaries apart.
type ChampionStatus struct {
	// Model is the name of the registered model.
	Model string `json:"model"`
	// ModelVersion is the version that answers.
	ModelVersion string `json:"modelVersion"`
	// Revision of the InferenceService that serves it.
	Revision string `json:"revision,omitempty"`
	// Run that trained it.
	Run string `json:"run,omitempty"`
}

// ReferenceStatus is what is compared with.
type ReferenceStatus struct {
	// Run that logged the artifact.
	Run string `json:"run"`
	// Artifact is its path in the run.
	Artifact string `json:"artifact"`
	// Digest is the sha256 of the artifact.
	Digest string `json:"digest"`
	// Rows of the artifact.
	Rows int `json:"rows"`
	// Features that are compared.
	Features int `json:"features"`
}

// Verdicts of windows.
const (
	VerdictNoDrift          = "NoDrift"
	VerdictDrift            = "Drift"
	VerdictInsufficientData = "InsufficientData"
)

// WindowStatus is what was found in a window.
type WindowStatus struct {
	// ModelVersion that answered.
	ModelVersion string `json:"modelVersion"`
	// Index of the window; the first after a change of the champion is 0.
	Index int64 `json:"index"`
	// Start is the time of the first prediction.
	Start metav1.MicroTime `json:"start"`
	// End is the time of the last prediction.
	End metav1.MicroTime `json:"end"`
	// Rows that were compared.
	Rows int `json:"rows"`
	// Verdict is NoDrift, Drift or InsufficientData.
	Verdict string `json:"verdict"`
	// DriftedFeatures is how many features drifted.
	DriftedFeatures int `json:"driftedFeatures"`
	// Features that drifted most, at most five.
	Features []FeatureStatus `json:"features,omitempty"`
	// MaxEffect is the largest distance D of any feature.
	MaxEffect float64 `json:"maxEffect"`
	// Labelled rows when the window was judged.
	Labelled int `json:"labelled,omitempty"`
	// Accuracy of the labelled rows, from 0 to 1.
	Accuracy *float64 `json:"accuracy,omitempty"`
}

// FeatureStatus is what was found of a feature.
type FeatureStatus struct {
	// Name of the feature.
	Name string `json:"name"`
	// D is the distance of the distributions, or the lower end of its interval.
	D float64 `json:"d"`
	// P is the p-value, or the upper end of its interval.
	P float64 `json:"p"`
	// AdjustedP is the p-value corrected for the number of features.
	AdjustedP float64 `json:"adjustedP"`
}

// PerformanceStatus is what labels say of the champion.
type PerformanceStatus struct {
	// Accuracy of the newest labelled predictions, from 0 to 1.
	Accuracy float64 `json:"accuracy"`
	// Labelled predictions that count.
	Labelled int `json:"labelled"`
	// From is the time of the first prediction that counts.
	From metav1.MicroTime `json:"from"`
	// To is the time of the last prediction that counts.
	To metav1.MicroTime `json:"to"`
}

// AlertsStatus counts what was raised.
type AlertsStatus struct {
	// Total of alerts that were ever raised.
	Total int64 `json:"total"`
	// Firing alerts are not resolved yet.
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
