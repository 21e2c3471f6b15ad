package node_test

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kiwerk/kiwerk/internal/cluster/node"
	"github.com/kiwerk/kiwerk/internal/kube"
	"github.com/kiwerk/kiwerk/internal/kwtest"
)

func makePod(t *testing.T, c client.Client, ns, name string) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Annotations: map[string]string{"other": "kept"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "x"}}},
	}
	kwtest.Eventually(t, func() error { return c.Create(t.Context(), pod) }) // Until the namespace's service account exists.
	return pod
}

func TestAnnotator(t *testing.T) {
	c, ns := kwtest.Client(t, nil), kwtest.Namespace(t)
	first, second, reborn := makePod(t, c, ns, "first"), makePod(t, c, ns, "second"), makePod(t, c, ns, "reborn")
	ports := []node.Port{
		{Namespace: ns, Name: first.Name, UID: string(first.UID), Port: 20001},
		{Namespace: ns, Name: "gone", UID: "4242", Port: 20002},
		{Namespace: ns, Name: reborn.Name, UID: "of-an-earlier-pod", Port: 20003},
		{Namespace: ns, Name: second.Name, UID: string(second.UID), Port: 20004},
		{Namespace: ns, Name: first.Name, UID: string(first.UID), Port: 20001},
	}
	// Run ends when the source does.
	source := node.PortSourceFunc(func(context.Context) <-chan node.Port {
		out := make(chan node.Port, len(ports))
		for _, p := range ports {
			out <- p
		}
		close(out)
		return out
	})
	a, err := node.NewAnnotator(kwtest.Config(t), source, slog.New(slog.DiscardHandler), clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, p := range []*corev1.Pod{first, second, reborn} {
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(p), p); err != nil {
			t.Fatal(err)
		}
		got[p.Name] = p.Annotations[kube.PortAnnotation]
		if p.Annotations["other"] != "kept" {
			t.Errorf("pod %s lost another annotation", p.Name)
		}
	}
	want := map[string]string{"first": "20001", "second": "20004", "reborn": ""}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
}

func TestEnsure_setsAddressesEachTime(t *testing.T) {
	c := kwtest.Client(t, nil)
	const name = "ensured"
	t.Cleanup(func() {
		_ = c.Delete(context.WithoutCancel(t.Context()), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}})
	})
	for _, ip := range []net.IP{net.IPv4(10, 0, 0, 1), net.IPv4(10, 0, 0, 1), net.IPv4(192, 168, 0, 7)} {
		if err := node.Ensure(t.Context(), kwtest.Config(t), name, ip); err != nil {
			t.Fatal(err)
		}
		var n corev1.Node
		if err := c.Get(t.Context(), client.ObjectKey{Name: name}, &n); err != nil {
			t.Fatal(err)
		}
		want := []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: ip.String()}, {Type: corev1.NodeHostName, Address: name}}
		if diff := cmp.Diff(want, n.Status.Addresses); diff != "" {
			t.Errorf("addresses (-want +got):\n%s", diff)
		}
	}
}

// The report of an earlier run does not make the node ready, a new one does.
func TestWaitReady_ignoresOldReports(t *testing.T) {
	c := kwtest.Client(t, nil)
	const name = "waited"
	begun := time.Now()
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{
		Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastHeartbeatTime: metav1.NewTime(begun.Add(-time.Minute)),
	}}}}
	if err := c.Create(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Delete(context.WithoutCancel(t.Context()), n) })

	short, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	err := node.WaitReady(short, kwtest.Config(t), name, begun)
	if err == nil || !strings.Contains(err.Error(), "has not reported since this start") {
		t.Errorf("with an old report: %v", err)
	}

	kwtest.Eventually(t, func() error {
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(n), n); err != nil {
			return err
		}
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastHeartbeatTime: metav1.Now()}}
		return c.Status().Update(t.Context(), n)
	})
	if err := node.WaitReady(t.Context(), kwtest.Config(t), name, begun); err != nil {
		t.Error(err)
	}
}
