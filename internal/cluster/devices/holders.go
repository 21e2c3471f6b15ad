package devices

import (
	"context"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	podresources "k8s.io/kubelet/pkg/apis/podresources/v1"

	"github.com/kiwerk/kiwerk/internal/cluster/devices/gpu"
	"github.com/kiwerk/kiwerk/internal/cluster/devices/simulate"
)

// askTimeout bounds a question to the kubelet of this process.
const askTimeout = 5 * time.Second

// Holder is a container that has a device.
type Holder struct {
	Namespace string `json:"namespace"`
	Pod       string `json:"pod"`
	Container string `json:"container"`
	Resource  string `json:"resource"`
	Device    string `json:"device"`
	gpu       string // UUID of the GPU that the device is or belongs to
}

// allocated makes the manager look for a pod for a while.
func (m *Manager) allocated() {
	m.mu.Lock()
	m.until = m.cfg.Clock.Now().Add(settle)
	m.mu.Unlock()
	m.lookSoon()
}

// findHolders asks the kubelet, as long as somebody may hold a GPU.
func (m *Manager) findHolders(ctx context.Context) {
	m.mu.Lock()
	client := m.client
	idle := client == nil || (len(m.holders) == 0 && m.holders != nil && m.cfg.Clock.Now().After(m.until))
	m.mu.Unlock()
	if idle {
		return
	}
	holders, err := m.askHolders(ctx)
	if err != nil {
		if ctx.Err() == nil {
			m.cfg.Logger.Debug("who holds the GPUs", "error", err) // the kubelet is starting
		}
		return
	}
	m.mu.Lock()
	same := slices.Equal(holders, m.holders) && m.holders != nil
	m.holders = holders
	m.mu.Unlock()
	if m.cfg.Simulated != nil && !same {
		m.cfg.Simulated.Load(loads(ctx, client, holders))
	}
}

func (m *Manager) askHolders(ctx context.Context) ([]Holder, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	conn, err := grpc.NewClient("unix://"+filepath.Join(m.cfg.KubeletDir, "pod-resources", "kubelet.sock"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	resp, err := podresources.NewPodResourcesListerClient(conn).List(ctx, &podresources.ListPodResourcesRequest{})
	if err != nil {
		return nil, err
	}
	list := []Holder{}
	for _, pod := range resp.GetPodResources() {
		for _, c := range pod.GetContainers() {
			for _, d := range c.GetDevices() {
				list = append(list, m.holding(pod, c.GetName(), d)...)
			}
		}
	}
	slices.SortFunc(list, func(a, b Holder) int {
		return strings.Compare(a.Namespace+"/"+a.Pod+"/"+a.Container+"/"+a.Device, b.Namespace+"/"+b.Pod+"/"+b.Container+"/"+b.Device)
	})
	return list, nil
}

func (m *Manager) holding(pod *podresources.PodResources, container string, d *podresources.ContainerDevices) []Holder {
	if !slices.ContainsFunc(m.resources, func(r gpu.Resource) bool { return r.Name == d.GetResourceName() }) {
		return nil
	}
	var list []Holder
	for _, id := range d.GetDeviceIds() {
		if g, ok := m.system.Find(gpu.DeviceID(id)); ok {
			list = append(list, Holder{pod.GetNamespace(), pod.GetName(), container, d.GetResourceName(), id, g.UUID})
		}
	}
	return list
}

// AnnotationUtilization on a pod says in percent, "20-60" or "90", how busy its
// simulated GPUs are. The one of run.ai's simulator is understood, too.
const (
	AnnotationUtilization = "kiwerk.dev/simulated-gpu-utilization"
	annotationRunAI       = "run.ai/simulated-gpu-utilization"
)

// usualLoad is that of a training that does nothing special.
var usualLoad = simulate.Load{Low: 75, High: 98}

// loads asks the holders' pods how busy they are.
func loads(ctx context.Context, client kubernetes.Interface, holders []Holder) map[string]simulate.Load {
	out := map[string]simulate.Load{}
	asked := map[string]simulate.Load{}
	for _, h := range holders {
		key := h.Namespace + "/" + h.Pod
		load, ok := asked[key]
		if !ok {
			load = usualLoad
			pod, err := client.CoreV1().Pods(h.Namespace).Get(ctx, h.Pod, metav1.GetOptions{})
			if err == nil { // it may be gone again
				load = loadOf(pod.Annotations)
			}
			asked[key] = load
		}
		sum := out[h.gpu]
		out[h.gpu] = simulate.Load{Low: min(percent, sum.Low+load.Low), High: min(percent, sum.High+load.High)}
	}
	return out
}

func loadOf(annotations map[string]string) simulate.Load {
	for _, name := range []string{AnnotationUtilization, annotationRunAI} {
		if l, ok := parseLoad(annotations[name]); ok {
			return l
		}
	}
	return usualLoad
}

// parseLoad reads "20-60" or "90".
func parseLoad(s string) (simulate.Load, bool) {
	low, high, span := strings.Cut(s, "-")
	if !span {
		high = low
	}
	l, errLow := strconv.ParseUint(strings.TrimSpace(low), 10, 8)
	h, errHigh := strconv.ParseUint(strings.TrimSpace(high), 10, 8)
	if errLow != nil || errHigh != nil || l > h || h > percent {
		return simulate.Load{}, false
	}
	return simulate.Load{Low: int(l), High: int(h)}, true
}
