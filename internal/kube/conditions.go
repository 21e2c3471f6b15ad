package kube

import (
	"cmp"
	"errors"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Condition types of every kind of ours, as kstatus reads them.
const (
	Ready       = "Ready"
	Reconciling = "Reconciling"
	StalledType = "Stalled"
)

// Conditioned is an object of ours whose status carries standard conditions.
type Conditioned interface {
	metav1.Object
	Conditions() *[]metav1.Condition
	SetObservedGeneration(generation int64)
}

// Mark sets a condition; the time of transition moves only with the status.
func Mark(obj Conditioned, c metav1.Condition) {
	c.ObservedGeneration = obj.GetGeneration()
	meta.SetStatusCondition(obj.Conditions(), c)
}

// True, False and Unknown build conditions; the reason is CamelCase, the message stable across retries.
func True(typ, reason, message string) metav1.Condition {
	return metav1.Condition{Type: typ, Status: metav1.ConditionTrue, Reason: reason, Message: message}
}

// False says that typ does not hold.
func False(typ, reason, message string) metav1.Condition {
	return metav1.Condition{Type: typ, Status: metav1.ConditionFalse, Reason: reason, Message: message}
}

// Unknown says that typ cannot be told yet.
func Unknown(typ, reason, message string) metav1.Condition {
	return metav1.Condition{Type: typ, Status: metav1.ConditionUnknown, Reason: reason, Message: message}
}

// summarise derives Ready, Reconciling and Stalled from the domain's conditions
// and the outcome. needs are the types that must be True for Ready.
func summarise(obj Conditioned, needs []string, err error) {
	var stalled *StalledError
	var wait *WaitError
	switch {
	case errors.As(err, &stalled):
		Mark(obj, True(StalledType, stalled.Reason, stalled.Error()))
		meta.RemoveStatusCondition(obj.Conditions(), Reconciling)
		Mark(obj, False(Ready, stalled.Reason, stalled.Error()))
		sortConditions(obj)
		return
	case errors.As(err, &wait):
		Mark(obj, True(Reconciling, "Waiting", wait.Reason))
	case err != nil:
		Mark(obj, True(Reconciling, "Retrying", "the last attempt failed and is repeated; see the events and the platform's log"))
	default:
		meta.RemoveStatusCondition(obj.Conditions(), Reconciling)
	}
	meta.RemoveStatusCondition(obj.Conditions(), StalledType)
	ready := True(Ready, "Ready", "")
	for _, t := range needs {
		c := meta.FindStatusCondition(*obj.Conditions(), t)
		if c == nil {
			ready = Unknown(Ready, "Pending", t+" is not known yet")
			break
		}
		if c.Status != metav1.ConditionTrue {
			ready = metav1.Condition{Type: Ready, Status: c.Status, Reason: c.Reason, Message: c.Message}
			break
		}
	}
	if err != nil && ready.Status == metav1.ConditionTrue {
		ready = Unknown(Ready, "Reconciling", "not all steps are done")
	}
	Mark(obj, ready)
	sortConditions(obj)
}

func sortConditions(obj Conditioned) {
	slices.SortFunc(*obj.Conditions(), func(a, b metav1.Condition) int { return cmp.Compare(a.Type, b.Type) })
}
