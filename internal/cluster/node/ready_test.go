package node

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestUsableNode(t *testing.T) {
	begun := metav1.NewTime(time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC))
	taint := func(key string) []corev1.Taint {
		return []corev1.Taint{{Key: key, Effect: corev1.TaintEffectNoSchedule}}
	}
	for name, c := range map[string]struct {
		status corev1.ConditionStatus
		after  time.Duration
		taints []corev1.Taint
		why    string
	}{
		"Ready":       {status: corev1.ConditionTrue},
		"OldReport":   {status: corev1.ConditionTrue, after: -time.Second, why: "has not reported"},
		"NotReady":    {status: corev1.ConditionFalse, why: "the runtime is away"},
		"JustReady":   {status: corev1.ConditionTrue, taints: taint(corev1.TaintNodeNotReady), why: "not yet removed"},
		"Unreachable": {status: corev1.ConditionTrue, taints: taint(corev1.TaintNodeUnreachable), why: "not yet removed"},
		"Cordoned":    {status: corev1.ConditionTrue, taints: taint(corev1.TaintNodeUnschedulable)},
		"OwnTaint":    {status: corev1.ConditionTrue, taints: taint("example.com/gpu")},
	} {
		node := &corev1.Node{Spec: corev1.NodeSpec{Taints: c.taints}}
		node.Status.Conditions = []corev1.NodeCondition{{
			Type: corev1.NodeReady, Status: c.status, LastHeartbeatTime: metav1.NewTime(begun.Add(c.after)), Message: "the runtime is away",
		}}
		ready, why := usableNode(node, begun)
		if ready != (c.why == "") || !strings.Contains(why, c.why) {
			t.Errorf("%s: %v, %q; want %q", name, ready, why, c.why)
		}
	}
}
