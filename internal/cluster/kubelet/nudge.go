package kubelet

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
)

const (
	// What a status says when the pod's worker may have a next step to take.
	containerEnded = `"terminated":{`

	// How long the nudger looks after a pod for its second step; what takes longer waits for the kubelet's ticker.
	firstLook = 5 * time.Millisecond
	lastLook  = 160 * time.Millisecond
	looks     = 7
)

// nudger makes the kubelet finish pods at once. After a pod's last container
// has ended its worker takes two more steps: it stops what is left, then
// reports the pod as ended. Both are queued without delay, but the kubelet
// looks into that queue only each second, so that a pod of ten milliseconds
// takes half a second more. Any other reason to look at the pod makes the
// worker run right away: the nudger gives one when the kubelet tells the API
// server that a container has ended, and another when nothing of the pod runs
// any more.
type nudger struct {
	pods workqueue.TypedRateLimitingInterface[podName]
}

type podName struct{ namespace, name string }

func newNudger() *nudger {
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[podName](firstLook, lastLook)
	return &nudger{pods: workqueue.NewTypedRateLimitingQueue(limiter)}
}

// workers is what the nudger needs of the kubelet.
type workers interface {
	GetPodByName(namespace, name string) (*corev1.Pod, bool)
	HandlePodSyncs(ctx context.Context, pods []*corev1.Pod)
	RequestPodRelist(logger klog.Logger, uid types.UID)
	PodCouldHaveRunningContainers(pod *corev1.Pod) bool
}

// run nudges until ctx ends.
func (n *nudger) run(ctx context.Context, w workers) {
	stop := context.AfterFunc(ctx, n.pods.ShutDown)
	defer stop()
	for {
		p, quit := n.pods.Get()
		if quit {
			return
		}
		if n.nudge(ctx, w, p) {
			n.pods.AddRateLimited(p)
		} else {
			n.pods.Forget(p)
		}
		n.pods.Done(p)
	}
}

// nudge tells whether to look at the pod again.
func (n *nudger) nudge(ctx context.Context, w workers, p podName) bool {
	pod, ok := w.GetPodByName(p.namespace, p.name)
	if !ok {
		return false
	}
	looked := n.pods.NumRequeues(p)
	stopped := !w.PodCouldHaveRunningContainers(pod)
	if looked == 0 || stopped {
		w.HandlePodSyncs(ctx, []*corev1.Pod{pod})
		// The worker first waits for a look at the containers that is newer than its last step.
		w.RequestPodRelist(klog.FromContext(ctx), pod.UID)
	}
	return !stopped && looked < looks
}

// wrap listens to what goes to the API server through next.
func (n *nudger) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		pod, ends := endingPod(req)
		resp, err := next.RoundTrip(req)
		if ends && err == nil && resp.StatusCode == http.StatusOK {
			n.pods.Add(pod)
		}
		return resp, err
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip calls f.
func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// endingPod tells whether the request reports that a container has ended, and of which pod.
func endingPod(req *http.Request) (podName, bool) {
	if req.Method != http.MethodPatch || req.GetBody == nil {
		return podName{}, false
	}
	rest, ok := strings.CutPrefix(req.URL.Path, "/api/v1/namespaces/")
	parts := strings.Split(rest, "/")
	const namespace, kind, name, status, length = 0, 1, 2, 3, 4
	if !ok || len(parts) != length || parts[kind] != "pods" || parts[status] != "status" {
		return podName{}, false
	}
	body, err := req.GetBody()
	if err != nil {
		return podName{}, false
	}
	defer body.Close()
	patch, err := io.ReadAll(body)
	if err != nil {
		return podName{}, false
	}
	return podName{parts[namespace], parts[name]}, bytes.Contains(patch, []byte(containerEnded))
}
