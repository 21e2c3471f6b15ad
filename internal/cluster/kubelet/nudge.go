package kubelet

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	k8skubelet "k8s.io/kubernetes/pkg/kubelet"
)

const (
	// What a status says when the pod's worker has a next step to take.
	containerEnded = `"terminated":{`
	podSucceeded   = `"phase":"Succeeded"`
	podFailed      = `"phase":"Failed"`

	// A lost nudge only means that the step waits for the kubelet's ticker.
	nudgeQueue = 256
)

// nudger makes the kubelet finish pods at once. After a pod's last container
// has ended, and once more after the pod was reported as ended, its worker
// queues a next step without delay; but the kubelet looks into that queue only
// each second, so that a pod of ten milliseconds takes half a second more. Any
// other reason to look at the pod makes the worker run right away. The nudger
// gives one when the kubelet reports such a status to the API server.
type nudger struct {
	pods chan podName
}

type podName struct{ namespace, name string }

func newNudger() *nudger { return &nudger{pods: make(chan podName, nudgeQueue)} }

// run nudges until ctx ends.
func (n *nudger) run(ctx context.Context, kl *k8skubelet.Kubelet) {
	for {
		select {
		case <-ctx.Done():
			return
		case p := <-n.pods:
			if pod, ok := kl.GetPodByName(p.namespace, p.name); ok {
				kl.HandlePodSyncs(ctx, []*corev1.Pod{pod})
			}
		}
	}
}

// wrap listens to what goes to the API server through next.
func (n *nudger) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		pod, ends := endingPod(req)
		resp, err := next.RoundTrip(req)
		if ends && err == nil && resp.StatusCode == http.StatusOK {
			select {
			case n.pods <- pod:
			default:
			}
		}
		return resp, err
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip calls f.
func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// endingPod tells whether the request reports that a container or pod has ended, and of which pod.
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
	defer body.Close() //nolint:errcheck // A copy in memory.
	patch, err := io.ReadAll(body)
	if err != nil {
		return podName{}, false
	}
	for _, sign := range []string{containerEnded, podSucceeded, podFailed} {
		if bytes.Contains(patch, []byte(sign)) {
			return podName{parts[namespace], parts[name]}, true
		}
	}
	return podName{}, false
}
