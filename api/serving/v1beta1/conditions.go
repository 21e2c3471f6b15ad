package v1beta1

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Condition as KServe writes it.
type Condition struct {
	Type               string                 `json:"type"`
	Status             corev1.ConditionStatus `json:"status"`
	Severity           string                 `json:"severity,omitempty"`
	LastTransitionTime metav1.Time            `json:"lastTransitionTime,omitempty"`
	Reason             string                 `json:"reason,omitempty"`
	Message            string                 `json:"message,omitempty"`
}

// Types of conditions, upstream's names.
const (
	Ready                 = "Ready"
	PredictorReady        = "PredictorReady"
	IngressReady          = "IngressReady"
	RoutesReady           = "RoutesReady"
	LatestDeploymentReady = "LatestDeploymentReady"
	// SpecWarning is ours: it names fields of the spec that have no effect, and is there only when there are any.
	SpecWarning = "SpecWarning"
)

// Reasons that explain what stands in the way.
const (
	ReasonUnsupportedField = "UnsupportedField"
	ReasonUnknownField     = "UnknownField"
	ReasonModelNotFound    = "ModelNotFound"
	// ReasonAddressNotPermitted: the storageUri leads where the platform's configuration lets nobody read.
	ReasonAddressNotPermitted = "AddressNotPermitted"
	// ReasonInvalidAddress: the storageUri has a form by which nothing can be found.
	ReasonInvalidAddress = "InvalidAddress"
	ReasonLoading        = "ModelLoading"
	ReasonLoadFailed     = "ModelLoadFailed"
	ReasonNoReplicas     = "NoReadyReplicas"
)

// SetCondition adds or changes a condition; the time moves only with the status.
func (s *InferenceServiceStatus) SetCondition(c Condition, now metav1.Time) {
	i := slices.IndexFunc(s.Conditions, func(o Condition) bool { return o.Type == c.Type })
	if i < 0 {
		c.LastTransitionTime = now
		s.Conditions = append(s.Conditions, c)
		slices.SortFunc(s.Conditions, func(a, b Condition) int {
			if a.Type < b.Type {
				return -1
			}
			return 1
		})
		return
	}
	c.LastTransitionTime = s.Conditions[i].LastTransitionTime
	if s.Conditions[i].Status != c.Status {
		c.LastTransitionTime = now
	}
	s.Conditions[i] = c
}

// SetSpecWarning sets the condition or, with an empty message, removes it, and tells whether that changed it.
func (s *InferenceService) SetSpecWarning(message string) (changed bool) {
	old := s.Status.GetCondition(SpecWarning)
	if message == "" {
		s.Status.Conditions = slices.DeleteFunc(s.Status.Conditions, func(c Condition) bool { return c.Type == SpecWarning })
		return old != nil
	}
	changed = old == nil || old.Message != message
	s.Status.SetCondition(Condition{
		Type: SpecWarning, Status: corev1.ConditionTrue, Reason: ReasonUnknownField, Message: message,
	}, metav1.Now())
	return changed
}

// GetCondition finds a condition; nil if there is none.
func (s *InferenceServiceStatus) GetCondition(typ string) *Condition {
	for i := range s.Conditions {
		if s.Conditions[i].Type == typ {
			return &s.Conditions[i]
		}
	}
	return nil
}

// IsReady tells whether the endpoint answers with its newest revision.
func (s *InferenceServiceStatus) IsReady() bool {
	c := s.GetCondition(Ready)
	return c != nil && c.Status == corev1.ConditionTrue
}
