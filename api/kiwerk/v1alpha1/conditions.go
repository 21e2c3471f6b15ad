package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ConditionSpecWarning names fields of the spec that have no effect. It is there only when there are any.
const ConditionSpecWarning = "SpecWarning"

// ReasonUnknownField of a SpecWarning.
const ReasonUnknownField = "UnknownField"

// Reasons of ReferencesFound of a RetrainPolicy, beside ReasonEndpointNotFound.
const (
	ReasonReferencesFound        = "ReferencesFound"
	ReasonTemplateNotFound       = "TemplateNotFound"
	ReasonServiceAccountNotFound = "ServiceAccountNotFound"
)

// SetSpecWarning sets the condition or, with an empty message, removes it, and tells whether that changed it.
func (m *ModelMonitor) SetSpecWarning(message string) (changed bool) {
	return setSpecWarning(&m.Status.Conditions, m.Generation, message)
}

// SetSpecWarning sets the condition or, with an empty message, removes it, and tells whether that changed it.
func (p *RetrainPolicy) SetSpecWarning(message string) (changed bool) {
	return setSpecWarning(&p.Status.Conditions, p.Generation, message)
}

func setSpecWarning(conditions *[]metav1.Condition, generation int64, message string) (changed bool) {
	if message == "" {
		return meta.RemoveStatusCondition(conditions, ConditionSpecWarning)
	}
	old := meta.FindStatusCondition(*conditions, ConditionSpecWarning)
	changed = old == nil || old.Message != message
	meta.SetStatusCondition(conditions, metav1.Condition{
		Type: ConditionSpecWarning, Status: metav1.ConditionTrue, Reason: ReasonUnknownField, Message: message, ObservedGeneration: generation,
	})
	return changed
}
