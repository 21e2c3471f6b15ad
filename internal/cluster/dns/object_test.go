package dns

import (
	"net/netip"
	"testing"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"github.com/kiwerk/kiwerk/internal/kwtest"
)

func TestMain(m *testing.M) { kwtest.Main(m) }

// TestPublish makes the Service, again and at another address, and finds it by name.
func TestPublish(t *testing.T) {
	client, err := kubernetes.NewForConfig(kwtest.Config(t))
	if err != nil {
		t.Fatal(err)
	}
	f := informers.NewSharedInformerFactory(client, 0)
	source, synced, err := NewSource(f)
	if err != nil {
		t.Fatal(err)
	}
	zone := NewZone("cluster.local", netip.MustParseAddr("10.96.0.10"), source)
	f.Start(t.Context().Done())
	f.WaitForCacheSync(t.Context().Done())
	if !synced() {
		t.Error("the source does not know that the informers have synced")
	}
	for _, ip := range []string{"10.96.0.10", "10.96.0.10", "10.96.0.11"} {
		if err := Publish(t.Context(), client, netip.MustParseAddr(ip), netip.MustParseAddrPort("10.244.0.5:53")); err != nil {
			t.Fatal(err)
		}
		svc, err := client.CoreV1().Services(ServiceNamespace).Get(t.Context(), ServiceName, metav1.GetOptions{})
		if err != nil || svc.Spec.ClusterIP != ip || len(svc.Spec.Ports) != 2 || svc.Spec.Type != corev1.ServiceTypeClusterIP {
			t.Errorf("%+v, %v", svc.Spec, err)
		}
		kwtest.Eventually(t, func() error {
			a, _ := zone.Resolve(dns.Question{Name: "kube-dns.kube-system.svc.cluster.local.", Qtype: dns.TypeA})
			if len(a.Answer) != 1 || a.Answer[0].(*dns.A).A.String() != ip {
				return errNoUpstream
			}
			return nil
		})
		if a, _ := zone.Resolve(dns.Question{Name: "_dns._udp.kube-dns.kube-system.svc.cluster.local.", Qtype: dns.TypeSRV}); len(a.Answer) != 1 {
			t.Errorf("port by name: %+v", a)
		}
	}
	if len(source.Endpoints(ServiceNamespace, ServiceName)) != 1 || !source.Namespace(ServiceNamespace) {
		t.Error("the informers do not know the endpoints")
	}
}
