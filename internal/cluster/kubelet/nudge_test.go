package kubelet

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
)

func TestNudger_wrap(t *testing.T) {
	const path = "/api/v1/namespaces/ns/pods/p/status"
	ended := `{"status":{"containerStatuses":[{"name":"c","state":{"running":null,"terminated":{"exitCode":0}}}]}}`
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		err                error
		want               bool
	}{
		"ContainerEnded":   {http.MethodPatch, path, ended, http.StatusOK, nil, true},
		"ContainerStarted": {http.MethodPatch, path, `{"status":{"containerStatuses":[{"state":{"running":{}}}]}}`, http.StatusOK, nil, false},
		"Refused":          {http.MethodPatch, path, ended, http.StatusConflict, nil, false},
		"NotSent":          {http.MethodPatch, path, ended, 0, errors.New("no connection"), false},
		"OtherMethod":      {http.MethodPut, path, ended, http.StatusOK, nil, false},
		"OtherKind":        {http.MethodPatch, "/api/v1/namespaces/ns/services/p/status", ended, http.StatusOK, nil, false},
		"NotStatus":        {http.MethodPatch, "/api/v1/namespaces/ns/pods/p/resize", ended, http.StatusOK, nil, false},
		"ClusterScoped":    {http.MethodPatch, "/api/v1/nodes/n/status", ended, http.StatusOK, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNudger()
			sent := false
			rt := n.wrap(roundTripper(func(*http.Request) (*http.Response, error) {
				sent = true
				return &http.Response{StatusCode: c.status}, c.err
			}))
			req, err := http.NewRequestWithContext(t.Context(), c.method, "https://127.0.0.1"+c.path, bytes.NewReader([]byte(c.body)))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := rt.RoundTrip(req); !errors.Is(err, c.err) || !sent {
				t.Errorf("sent %v, error %v", sent, err)
			}
			if got := n.pods.Len() == 1; got != c.want {
				t.Errorf("nudged: %v, want %v", got, c.want)
			}
			if c.want {
				if got, _ := n.pods.Get(); got != (podName{"ns", "p"}) {
					t.Errorf("nudges %+v", got)
				}
			}
		})
	}
}

// fakeWorkers is a kubelet whose pod stops after some looks.
type fakeWorkers struct {
	known bool
	// stopsAfter is the number of looks at which nothing of the pod runs any more.
	stopsAfter int

	looked, synced int
	// tooEarly tells of a look at the containers before there was a step that waits for it.
	tooEarly bool
}

func (f *fakeWorkers) GetPodByName(string, string) (*corev1.Pod, bool) {
	return &corev1.Pod{}, f.known
}

func (f *fakeWorkers) HandlePodSyncs(context.Context, []*corev1.Pod) { f.synced++ }

func (f *fakeWorkers) RequestPodRelist(klog.Logger, types.UID) {
	f.tooEarly = f.tooEarly || f.synced == 0
}

func (f *fakeWorkers) PodCouldHaveRunningContainers(*corev1.Pod) bool {
	f.looked++
	return f.looked <= f.stopsAfter
}

func TestNudger_nudge(t *testing.T) {
	for name, c := range map[string]struct {
		workers    fakeWorkers
		wantSynced int
		wantLooked int
		reason     string
	}{
		"Unknown":         {fakeWorkers{}, 0, 0, "the pod is gone"},
		"StopsAtOnce":     {fakeWorkers{known: true}, 1, 1, "one step is left"},
		"StopsLater":      {fakeWorkers{known: true, stopsAfter: 3}, 2, 4, "one nudge to stop, one to report"},
		"OtherContainers": {fakeWorkers{known: true, stopsAfter: 1000}, 1, looks + 1, "a pod that goes on is left alone after a while"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, w := newNudger(), c.workers
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan struct{})
				go func() {
					n.run(ctx, &w)
					close(ended)
				}()
				n.pods.Add(podName{"ns", "p"})
				<-time.After(looks * lastLook)
				synctest.Wait()
				if w.synced != c.wantSynced || w.looked != c.wantLooked {
					t.Errorf("%s: nudged %d times and looked %d times, want %d and %d", c.reason, w.synced, w.looked, c.wantSynced, c.wantLooked)
				}
				if w.tooEarly {
					t.Error("asked for a look at the containers before there was a step that waits for it")
				}
				cancel()
				<-ended
			})
		})
	}
}
