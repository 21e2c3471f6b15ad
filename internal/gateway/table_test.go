package gateway

import (
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kiwerk/kiwerk/api/serving/v1beta1"
	"github.com/kiwerk/kiwerk/internal/kube"
)

// seeded is chance that is the same in each run.
func seeded(seed uint64) func(uint64) uint64 {
	r := rand.New(rand.NewPCG(seed, 1))
	var mu sync.Mutex
	return func(n uint64) uint64 {
		mu.Lock()
		defer mu.Unlock()
		return r.Uint64N(n)
	}
}

func pods(names ...string) []*pod {
	var list []*pod
	for _, n := range names {
		list = append(list, &pod{name: n, address: n})
	}
	return list
}

func TestEndpoint_pick(t *testing.T) {
	a, b, old := pods("a1", "a2"), pods("b1"), pods("o1")
	cases := map[string]struct {
		revisions []*revision
		version   string
		tried     []*pod
		want      map[string]float64 // share by revision; nil: none
	}{
		"Split":            {[]*revision{{name: "a", percent: 90, pods: a}, {name: "b", percent: 10, pods: b}}, "", nil, map[string]float64{"a": .9, "b": .1}},
		"Zero":             {[]*revision{{name: "a", percent: 100, pods: a}, {name: "b", percent: 0, pods: b}}, "", nil, map[string]float64{"a": 1}},
		"NoPods":           {[]*revision{{name: "a", percent: 50}, {name: "b", percent: 50, pods: b}}, "", nil, map[string]float64{"b": 1}},
		"Three":            {[]*revision{{name: "a", percent: 50, pods: a}, {name: "b", percent: 25, pods: b}, {name: "c", percent: 25, pods: old}}, "", nil, map[string]float64{"a": .5, "b": .25, "c": .25}},
		"LargestTakesOver": {[]*revision{{name: "a", percent: 20}, {name: "b", percent: 30, pods: b}, {name: "c", percent: 50, pods: old}}, "", nil, map[string]float64{"b": .3, "c": .7}},
		"Tried":            {[]*revision{{name: "a", percent: 50, pods: a}, {name: "b", percent: 50, pods: b}}, "", b, map[string]float64{"a": 1}},
		"AllTried":         {[]*revision{{name: "b", percent: 100, pods: b}}, "", b, nil},
		"Version":          {[]*revision{{name: "a", version: "1", percent: 90, pods: a}, {name: "b", version: "2", percent: 10, pods: b}}, "2", nil, map[string]float64{"b": 1}},
		"VersionUnknown":   {[]*revision{{name: "a", version: "1", percent: 100, pods: a}}, "2", nil, nil},
		"NothingYet":       {nil, "", nil, nil},
		"FallbackIsNotZero": {
			[]*revision{{name: "a", percent: 100}, {name: "b", percent: 0, pods: b}}, "", nil, nil,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			const n = 20000
			got := map[string]float64{}
			random, e := seeded(3), &endpoint{revisions: c.revisions}
			for range n {
				if choice, ok := e.pick(random, c.version, c.tried); ok {
					got[choice.revision.name]++
				}
			}
			for name, p := range c.want {
				if sigma := math.Sqrt(n * p * (1 - p)); math.Abs(got[name]-n*p) > 3*sigma {
					t.Errorf("%s got %v of %d, want %v ± %v", name, got[name], n, n*p, 3*sigma)
				}
			}
			if len(got) != len(c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestRevision_leastPrefersTheIdle(t *testing.T) {
	r := &revision{pods: pods("a", "b", "c")}
	r.pods[0].inflight.Store(2)
	r.pods[2].inflight.Store(1)
	for range 50 {
		if got := r.least(seeded(1), nil); got.name != "b" {
			t.Fatalf("got %s", got.name)
		}
	}
}

func isvc(traffic ...v1beta1.TrafficTarget) *v1beta1.InferenceService {
	return &v1beta1.InferenceService{
		ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "m"},
		Status: v1beta1.InferenceServiceStatus{Components: map[string]v1beta1.ComponentStatusSpec{
			v1beta1.PredictorComponent: {Traffic: traffic},
		}},
	}
}

func share(name string, percent int64) v1beta1.TrafficTarget {
	return v1beta1.TrafficTarget{RevisionName: name, Percent: &percent}
}

func readyPod(name, revision, port string, change ...func(*corev1.Pod)) corev1.Pod {
	p := corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Labels: map[string]string{v1beta1.LabelRevision: revision},
			Annotations: map[string]string{v1beta1.AnnotationModelVersion: "3"},
		},
		Status: corev1.PodStatus{PodIP: "10.0.0.9", Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
	if port != "" {
		p.Annotations[kube.PortAnnotation] = port
	}
	for _, f := range change {
		f(&p)
	}
	return p
}

func TestMakeEndpoint(t *testing.T) {
	ending := func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)} }
	unready := func(p *corev1.Pod) { p.Status.Conditions[0].Status = corev1.ConditionFalse }
	homeless := func(p *corev1.Pod) { p.Status.PodIP = "" }
	declares := func(port int32) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Spec.Containers = []corev1.Container{{Name: "sidecar"}, {Ports: []corev1.ContainerPort{{ContainerPort: port}}}}
		}
	}
	cases := map[string]struct {
		pods   []corev1.Pod
		direct bool
		want   []string
	}{
		"Ready":      {[]corev1.Pod{readyPod("b", "r", "41"), readyPod("a", "r", "40")}, false, []string{"127.0.0.1:40", "127.0.0.1:41"}},
		"NotReady":   {[]corev1.Pod{readyPod("a", "r", "40", unready)}, false, nil},
		"Ending":     {[]corev1.Pod{readyPod("a", "r", "40", ending)}, false, nil},
		"Other":      {[]corev1.Pod{readyPod("a", "x", "40")}, false, nil},
		"NoPort":     {[]corev1.Pod{readyPod("a", "r", "")}, false, nil},
		"BadPort":    {[]corev1.Pod{readyPod("a", "r", "99999"), readyPod("b", "r", "x"), readyPod("c", "r", "0")}, false, nil},
		"OwnAddress": {[]corev1.Pod{readyPod("a", "r", "")}, true, []string{"10.0.0.9:8080"}},
		"OwnPort":    {[]corev1.Pod{readyPod("a", "r", "", declares(80))}, true, []string{"10.0.0.9:80"}},
		"NoAddress":  {[]corev1.Pod{readyPod("a", "r", "", homeless)}, true, nil},
		"FormerPort": {[]corev1.Pod{readyPod("a", "r", "40")}, true, []string{"10.0.0.9:8080"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			e := makeEndpoint(isvc(share("r", 100)), c.pods, c.direct)
			var got []string
			for _, p := range e.revisions[0].pods {
				got = append(got, p.address)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if c.want != nil && e.revisions[0].version != "3" {
				t.Errorf("version %q", e.revisions[0].version)
			}
		})
	}
	if e := makeEndpoint(isvc(), nil, false); len(e.revisions) != 0 {
		t.Error("an endpoint without status has no revisions")
	}
}

func TestTable_setKeepsCountersAndWakes(t *testing.T) {
	table, k := newTable(), key{"n", "m"}
	list := []corev1.Pod{readyPod("a", "r", "40")}
	table.set(k, makeEndpoint(isvc(share("r", 100)), list, false))
	first := table.get(k)
	first.revisions[0].pods[0].inflight.Store(7)
	table.set(k, makeEndpoint(isvc(share("r", 50)), list, false))
	select {
	case <-first.changed:
	default:
		t.Error("whoever waits for a change was not woken")
	}
	if got := table.get(k).revisions[0].pods[0].inflight.Load(); got != 7 {
		t.Errorf("the pod counts %d requests, want 7", got)
	}
	second := table.get(k)
	table.set(k, nil)
	if <-second.changed; table.get(k) != nil || len(table.names("n")) != 0 {
		t.Error("the endpoint is still there")
	}
}

func TestHostTarget(t *testing.T) {
	cases := map[string]struct {
		name, namespace string
		ok              bool
	}{
		"m.team.localhost:7878":      {"m", "team", true},
		"M.Team.LOCALHOST.":          {"m", "team", true},
		"m.team.svc.cluster.local":   {"m", "team", true},
		"localhost":                  {},
		"m.localhost":                {},
		"a.b.c.localhost":            {},
		"127.0.0.1:80":               {},
		"m.team.localhost.evil.test": {},
		".team.localhost":            {},
	}
	for host, want := range cases {
		name, ns, ok := HostTarget(host)
		if ok != want.ok || ok && (name != want.name || ns != want.namespace) {
			t.Errorf("%s: %q %q %v", host, name, ns, ok)
		}
	}
}

func TestNewID(t *testing.T) {
	shape := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	random := seeded(5)
	var ids []string
	for i := range 1000 {
		ids = append(ids, newID(time.UnixMilli(1_700_000_000_000+int64(i)), random))
	}
	for _, id := range ids {
		if !shape.MatchString(id) {
			t.Fatalf("%s is no UUID of version 7", id)
		}
	}
	if !slices.IsSorted(ids) {
		t.Error("ids do not sort by time")
	}
	if a, b := newID(time.Unix(1, 0), random), newID(time.Unix(1, 0), random); a == b {
		t.Error("two ids of one moment are the same")
	}
}

func TestParseFeedback(t *testing.T) {
	cases := map[string]struct {
		body, want string
		n          int
	}{
		"One":      {`{"id":"a","label":3}`, "", 1},
		"Object":   {`{"id":"a","label":{"class":"x"}}`, "", 1},
		"List":     {`[{"id":"a","label":1}]`, "expected an object, got a list", 0},
		"Several":  {`{"feedback":[{"id":"a","label":"x"},{"id":"b","label":0}]}`, "", 2},
		"Both":     {`{"id":"a","label":1,"feedback":[]}`, "either", 0},
		"Nothing":  {`{}`, "are required", 0},
		"None":     {`{"feedback":[]}`, "are required", 0},
		"NoLabel":  {`{"id":"a"}`, `label 0 has no "label"`, 0},
		"Null":     {`{"id":"a","label":null}`, `has no "label"`, 0},
		"NoID":     {`{"feedback":[{"label":1}]}`, `label 0 has no "id"`, 0},
		"Twice":    {`{"feedback":[{"id":"a","label":1},{"id":"a","label":2}]}`, `repeats the id "a"`, 0},
		"NotJSON":  {`x`, "neither", 0},
		"TooMany":  {`{"feedback":[` + strings.TrimSuffix(strings.Repeat(`{},`, maxLabels+1), ",") + `]}`, "the most is", 0},
		"WrongTyp": {`{"id":3,"label":1}`, "id: expected a string, got a number", 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := parseFeedback([]byte(c.body))
			if c.want == "" && (err != nil || len(got) != c.n) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, %v, want %d, %q", got, err, c.n, c.want)
			}
		})
	}
}

func FuzzParseFeedback(f *testing.F) {
	f.Add([]byte(`{"feedback":[{"id":"a","label":"x"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := parseFeedback(b)
		if err == nil && len(list) == 0 {
			t.Error("accepted without a label")
		}
	})
}
