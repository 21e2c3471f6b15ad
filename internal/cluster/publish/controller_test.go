package publish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"

	"github.com/kiwerk/kiwerk/internal/kwtest"
)

func TestMain(m *testing.M) { kwtest.Main(m) }

// world is a controller on a real API server whose node is one backend.
type world struct {
	t         *testing.T
	namespace string
	services  corev1client.ServiceInterface
	pods      corev1client.PodInterface
	events    *record.FakeRecorder
}

func newWorld(t *testing.T) (w *world, stop func()) {
	t.Helper()
	client, err := kubernetes.NewForConfig(kwtest.Config(t))
	if err != nil {
		t.Fatal(err)
	}
	ns := kwtest.Namespace(t)
	w = &world{t, ns, client.CoreV1().Services(ns), client.CoreV1().Pods(ns), record.NewFakeRecorder(100)}
	return w, w.start(client, ns)
}

func (w *world) start(client kubernetes.Interface, ns string) (stop func()) {
	at := backend(w.t, "pod")
	f := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(ns))
	c, err := New(Config{
		Client: client, Informers: f, Events: w.events, Host: &here{}, Node: netip.MustParseAddr("10.244.0.1"), Pods: netip.MustParsePrefix("10.244.0.0/16"),
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, at)
		},
		Logger: slog.New(slog.DiscardHandler), Clock: clock.RealClock{},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	done := make(chan error, 1)
	f.Start(ctx.Done())
	go func() { done <- c.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
		f.Shutdown()
	}
	w.t.Cleanup(stop)
	return stop
}

func (w *world) create(name string, kind corev1.ServiceType, number int32) {
	w.t.Helper()
	_, err := w.services.Create(w.t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.ServiceSpec{Type: kind, Selector: map[string]string{"app": "x"}, Ports: []corev1.ServicePort{
			{Port: number, TargetPort: intstr.FromInt32(8080), Protocol: corev1.ProtocolTCP},
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
}

// published waits for the condition.
func (w *world) published(name string, want metav1.ConditionStatus, reason string) *corev1.Service {
	w.t.Helper()
	var svc *corev1.Service
	kwtest.Eventually(w.t, func() (err error) {
		if svc, err = w.services.Get(w.t.Context(), name, metav1.GetOptions{}); err != nil {
			return err
		}
		c := meta.FindStatusCondition(svc.Status.Conditions, ConditionPublished)
		if c == nil || c.Status != want || c.Reason != reason {
			return fmt.Errorf("service %s: condition %+v, want %s %s", name, c, want, reason)
		}
		return nil
	})
	return svc
}

func TestController(t *testing.T) {
	w, stop := newWorld(t)
	number := free(t)
	w.create("first", corev1.ServiceTypeLoadBalancer, number)
	svc := w.published("first", metav1.ConditionTrue, reasonPublished)
	if i := svc.Status.LoadBalancer.Ingress; len(i) != 1 || i[0].IP != "127.0.0.1" || i[0].Hostname != "localhost" {
		t.Errorf("status %+v", i)
	}
	for name, at := range map[string]int32{"LoadBalancer": number, "NodePort": svc.Spec.Ports[0].NodePort} {
		if got, err := askTCP(t, at); err != nil || got != "pod hello\nbye" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}

	w.create("second", corev1.ServiceTypeLoadBalancer, number)
	svc = w.published("second", metav1.ConditionFalse, reasonTaken)
	if len(svc.Status.LoadBalancer.Ingress) != 0 {
		t.Errorf("a port that is not open is in the status: %+v", svc.Status.LoadBalancer)
	}
	<-w.events.Events
	if err := w.services.Delete(t.Context(), "first", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.published("second", metav1.ConditionTrue, reasonPublished)

	// Another controller, as after a restart.
	stop()
	if got, err := askTCP(t, number); err == nil {
		t.Errorf("without a controller: %q", got)
	}
	client, err := kubernetes.NewForConfig(kwtest.Config(t))
	if err != nil {
		t.Fatal(err)
	}
	w.start(client, svc.Namespace)
	kwtest.Eventually(t, func() error {
		_, err := askTCP(t, number)
		return err
	})

	// No longer published: the status says nothing any more.
	patch := []byte(`{"spec":{"type":"ClusterIP"}}`)
	if _, err := w.services.Patch(t.Context(), "second", types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	kwtest.Eventually(t, func() error {
		svc, err := w.services.Get(t.Context(), "second", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if len(svc.Status.LoadBalancer.Ingress)+len(svc.Status.Conditions) > 0 {
			return fmt.Errorf("status %+v", svc.Status)
		}
		return nil
	})
	if got, err := askTCP(t, number); err == nil {
		t.Errorf("after the Service changed: %q", got)
	}
}

// TestController_hostPorts: a pod's host port is the user's machine's, too, while the pod lives.
func TestController_hostPorts(t *testing.T) {
	w, _ := newWorld(t)
	number := free(t)
	ip := w.pod("first", number)
	kwtest.Eventually(t, func() error {
		got, err := askTCP(t, number)
		if err == nil && got != "pod hello\nbye" {
			err = fmt.Errorf("got %q", got)
		}
		return err
	})
	w.pod("second", number)
	want := fmt.Sprintf("Warning HostPortNotPublished %d/tcp is not published: Pod %s/first has it", number, w.namespace)
	if got := <-w.events.Events; got != want {
		t.Errorf("event %q, want %q", got, want)
	}
	ended := fmt.Appendf(nil, `{"status":{"phase":"Succeeded","podIP":%q}}`, ip)
	if _, err := w.pods.Patch(t.Context(), "first", types.MergePatchType, ended, metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
	now := int64(0)
	kwtest.Eventually(t, func() error { // the second has it now
		_, err := askTCP(t, number)
		return err
	})
	if err := w.pods.Delete(t.Context(), "second", metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
		t.Fatal(err)
	}
	kwtest.Eventually(t, func() error {
		if _, err := askTCP(t, number); err == nil {
			return errors.New("the port of a pod that is gone answers")
		}
		return nil
	})
	if len(w.events.Events) > 0 {
		t.Errorf("another event: %s", <-w.events.Events)
	}
}

// pod makes one that runs, as far as its status says.
func (w *world) pod(name string, hostPort int32) (ip string) {
	w.t.Helper()
	pod, err := w.pods.Create(w.t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PodSpec{
			NodeName: "none", AutomountServiceAccountToken: new(bool),
			Containers: []corev1.Container{{Name: "c", Image: "none", Ports: []corev1.ContainerPort{{ContainerPort: 8080, HostPort: hostPort}}}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	ip = "10.244.0.16"
	pod.Status.Phase, pod.Status.PodIP, pod.Status.PodIPs = corev1.PodRunning, ip, []corev1.PodIP{{IP: ip}}
	if _, err := w.pods.UpdateStatus(w.t.Context(), pod, metav1.UpdateOptions{}); err != nil {
		w.t.Fatal(err)
	}
	return ip
}

func TestController_leavesForeignStatusAlone(t *testing.T) {
	w, _ := newWorld(t)
	w.create("lb", corev1.ServiceTypeLoadBalancer, free(t))
	w.published("lb", metav1.ConditionTrue, reasonPublished)
	patch := []byte(`{"status":{"loadBalancer":{"ingress":[{"ip":"203.0.113.1"}]}}}`)
	if _, err := w.services.Patch(t.Context(), "lb", types.MergePatchType, patch, metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
	// A change of another Service comes later than this one's.
	w.create("later", corev1.ServiceTypeLoadBalancer, free(t))
	w.published("later", metav1.ConditionTrue, reasonPublished)
	svc, err := w.services.Get(t.Context(), "lb", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if svc.Status.LoadBalancer.Ingress[0].IP != "203.0.113.1" {
		t.Error("the status that somebody else wrote was overwritten")
	}
}
