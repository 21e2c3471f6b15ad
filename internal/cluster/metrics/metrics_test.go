package metrics

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	clocktesting "k8s.io/utils/clock/testing"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func at(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

func counted(seconds int, containers ...Container) Count {
	return Count{At: at(seconds), Pods: []Pod{{Namespace: "ns", Name: "p", Containers: containers}}}
}

func TestBetween(t *testing.T) {
	for name, c := range map[string]struct {
		before, now Count
		want        []Rate
		reason      string
	}{
		"Half": {
			counted(0, Container{ID: "a", Used: Used{CPU: time.Second}}),
			counted(10, Container{ID: "a", Used: Used{CPU: 6 * time.Second, Memory: 7}}),
			[]Rate{{5e8, 7}},
			"five seconds in ten are half a core",
		},
		"New": {
			counted(0), counted(10, Container{ID: "a", Created: at(6), Used: Used{CPU: time.Second}}),
			[]Rate{{25e7, 0}},
			"a container that was not there is measured since it was created",
		},
		"JustCreated": {
			counted(0), counted(10, Container{ID: "a", Created: at(10), Used: Used{CPU: time.Second}}),
			[]Rate{{1e9, 0}},
			"no division by nothing",
		},
		"Backwards": {
			counted(0, Container{ID: "a", Used: Used{CPU: 9 * time.Second}}),
			counted(10, Container{ID: "a", Used: Used{CPU: time.Second}}),
			[]Rate{{0, 0}},
			"processes that nobody waited for drop out of the sum",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, between(c.before, c.now).Pods[0].Rates); diff != "" {
				t.Errorf("%s: %s", c.reason, diff)
			}
		})
	}
}

func TestBase(t *testing.T) {
	for name, c := range map[string]struct {
		counts []int
		want   int
		ok     bool
	}{
		"None":    {nil, 0, false},
		"Good":    {[]int{70, 80, 95}, 80, true},
		"Younger": {[]int{95, 98}, 95, true},
		"TooNew":  {[]int{100}, 0, false},
		"TooOld":  {[]int{5}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			var counts []Count
			for _, s := range c.counts {
				counts = append(counts, Count{At: at(s)})
			}
			got, ok := base(counts, at(100))
			if ok != c.ok || ok && !got.At.Equal(at(c.want)) {
				t.Errorf("%v, %v", got.At, ok)
			}
		})
	}
}

// busy is a source whose one container uses a quarter of a core.
type busy struct {
	clock *clocktesting.FakeClock
	asked int
	err   error
}

func (b *busy) Count(context.Context) (Count, error) {
	b.asked++
	used := b.clock.Since(start) / 4
	return Count{At: b.clock.Now(), Node: Used{CPU: used, Memory: 1 << 20}, Pods: []Pod{
		{Namespace: "one", Name: "p", Labels: map[string]string{"app": "x"}, Containers: []Container{{ID: "a", Name: "main", Used: Used{CPU: used, Memory: 1 << 10}}}},
		{Namespace: "two", Name: "q", Containers: []Container{{ID: "b", Name: "main", Used: Used{CPU: used}}}},
	}}, b.err
}

func TestMeter_Measure(t *testing.T) {
	source := &busy{clock: clocktesting.NewFakeClock(at(1000))}
	m := NewMeter(source, source.clock)
	first := make(chan Rates)
	go func() {
		r, err := m.Measure(t.Context())
		if err != nil {
			t.Error(err)
		}
		first <- r
	}()
	for !source.clock.HasWaiters() {
		select {
		case <-t.Context().Done():
			t.Fatal("nobody waits for a second count")
		default:
		}
	}
	source.clock.Step(minWindow)
	if r := <-first; r.Window != minWindow || r.Node.NanoCores != 25e7 || r.Pods[0].Rates[0].NanoCores != 25e7 {
		t.Errorf("first answer %+v", r)
	}
	if _, err := m.Measure(t.Context()); err != nil || source.asked != 2 {
		t.Errorf("asked %d times, %v: an answer serves for a second", source.asked, err)
	}
	for range 20 {
		source.clock.Step(15 * time.Second)
		r, err := m.Measure(t.Context())
		if err != nil || r.Window != 15*time.Second || r.Pods[0].Rates[0].NanoCores != 25e7 {
			t.Errorf("%+v, %v", r, err)
		}
	}
	if n := len(m.counts); n > 8 {
		t.Errorf("%d counts are kept", n)
	}
	source.err = errors.New("broken")
	source.clock.Step(time.Minute)
	if _, err := m.Measure(t.Context()); err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("error %v", err)
	}
}

func TestHandler(t *testing.T) {
	source := &busy{clock: clocktesting.NewFakeClock(at(1000))}
	meter := NewMeter(source, source.clock)
	second := NewMeter(source, source.clock)
	h := &Handler{Nodes: []Node{{"n", meter}, {"n-2", second}}}
	meter.keep(Count{At: at(980)})
	second.keep(Count{At: at(980)})
	info := &request.RequestInfoFactory{APIPrefixes: sets.NewString("apis", "api"), GrouplessAPIPrefixes: sets.NewString("api")}
	for name, c := range map[string]struct {
		method, path string
		code         int
		want         []string
		not          string
	}{
		"Resources":   {http.MethodGet, "", 200, []string{`"APIResourceList"`, `"PodMetrics"`, `"NodeMetrics"`}, ""},
		"Nodes":       {http.MethodGet, "/nodes", 200, []string{`"NodeMetricsList"`, `"cpu":"12500m"`, `"memory":"1Mi"`, `"name":"n-2"`}, ""},
		"Node":        {http.MethodGet, "/nodes/n", 200, []string{`"kind":"NodeMetrics"`, `"name":"n"`}, ""},
		"SecondNode":  {http.MethodGet, "/nodes/n-2", 200, []string{`"kind":"NodeMetrics"`, `"name":"n-2"`}, ""},
		"NoNode":      {http.MethodGet, "/nodes/x", 404, []string{`"reason":"NotFound"`}, ""},
		"AllPods":     {http.MethodGet, "/pods", 200, []string{`"name":"p"`, `"name":"q"`}, ""},
		"Namespace":   {http.MethodGet, "/namespaces/one/pods", 200, []string{`"name":"p"`, `"memory":"1Ki"`}, `"q"`},
		"Pod":         {http.MethodGet, "/namespaces/one/pods/p", 200, []string{`"kind":"PodMetrics"`, `"window":"20s"`}, "List"},
		"OtherPod":    {http.MethodGet, "/namespaces/two/pods/p", 404, []string{`"reason":"NotFound"`}, ""},
		"Labels":      {http.MethodGet, "/pods?labelSelector=app%3Dx", 200, []string{`"p"`}, `"q"`},
		"Fields":      {http.MethodGet, "/pods?fieldSelector=metadata.name%3Dq", 200, []string{`"q"`}, `"p"`},
		"BadSelector": {http.MethodGet, "/pods?labelSelector=%3D%3D", 400, []string{`"reason":"BadRequest"`}, ""},
		"Watch":       {http.MethodGet, "/pods?watch=true", 405, []string{`"reason":"MethodNotAllowed"`}, ""},
		"Write":       {http.MethodDelete, "/namespaces/one/pods/p", 405, []string{`"reason":"MethodNotAllowed"`}, ""},
		"Unknown":     {http.MethodGet, "/services", 404, []string{`"reason":"NotFound"`}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(c.method, Path+c.path, http.NoBody)
			ri, err := info.NewRequestInfo(r)
			if err != nil {
				t.Fatal(err)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r.WithContext(request.WithRequestInfo(r.Context(), ri)))
			body := w.Body.String()
			if w.Code != c.code || !json.Valid(w.Body.Bytes()) {
				t.Errorf("code %d\n%s", w.Code, body)
			}
			for _, want := range c.want {
				if !strings.Contains(body, want) {
					t.Errorf("no %s in\n%s", want, body)
				}
			}
			if c.not != "" && strings.Contains(body, c.not) {
				t.Errorf("%s in\n%s", c.not, body)
			}
		})
	}
}

func TestPodsOf(t *testing.T) {
	sandbox := func(name string, ids ...string) *runtimeapi.PodSandboxStats {
		s := &runtimeapi.PodSandboxStats{
			Attributes: &runtimeapi.PodSandboxAttributes{
				Metadata: &runtimeapi.PodSandboxMetadata{Namespace: "ns", Name: name},
				Labels:   map[string]string{"app": "x", "io.kubernetes.pod.name": name},
			},
			Linux: &runtimeapi.LinuxPodSandboxStats{},
		}
		for _, id := range ids {
			s.Linux.Containers = append(s.Linux.Containers, &runtimeapi.ContainerStats{Attributes: &runtimeapi.ContainerAttributes{Id: id}})
		}
		return s
	}
	got := podsOf([]*runtimeapi.PodSandboxStats{sandbox("runs", "a", "ended"), sandbox("ended", "b"), nil}, map[string]time.Time{"a": start})
	want := []Pod{{Namespace: "ns", Name: "runs", Labels: map[string]string{"app": "x"}, Containers: []Container{{ID: "a", Created: start}}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
