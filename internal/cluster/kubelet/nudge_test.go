package kubelet

import (
	"bytes"
	"errors"
	"net/http"
	"testing"
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
		"PodSucceeded":     {http.MethodPatch, path, `{"status":{"phase":"Succeeded"}}`, http.StatusOK, nil, true},
		"PodFailed":        {http.MethodPatch, path, `{"status":{"phase":"Failed"}}`, http.StatusOK, nil, true},
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
			if _, err := rt.RoundTrip(req); !errors.Is(err, c.err) || !sent { //nolint:bodyclose // It has no body.
				t.Errorf("sent %v, error %v", sent, err)
			}
			select {
			case got := <-n.pods:
				if !c.want || got != (podName{"ns", "p"}) {
					t.Errorf("nudges %+v, want one: %v", got, c.want)
				}
			default:
				if c.want {
					t.Error("no nudge")
				}
			}
		})
	}
}

// A kubelet that hangs must not hold back its own requests.
func TestNudger_wrap_neverBlocks(t *testing.T) {
	n := newNudger()
	rt := n.wrap(roundTripper(func(*http.Request) (*http.Response, error) { return &http.Response{StatusCode: http.StatusOK}, nil }))
	for range nudgeQueue + 1 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, "https://x/api/v1/namespaces/ns/pods/p/status", bytes.NewReader([]byte(`{"status":{"phase":"Failed"}}`)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := rt.RoundTrip(req); err != nil { //nolint:bodyclose // It has no body.
			t.Fatal(err)
		}
	}
}
