package gateway

import (
	"sync"
	"sync/atomic"
	"time"
)

// key of an endpoint.
type key struct{ namespace, name string }

// endpoint is how one InferenceService stands. It is never changed, only replaced.
type endpoint struct {
	key
	timeout   time.Duration // 0 is the gateway's
	revisions []*revision
	// why it is not ready, as its condition says; empty if it is, or if nobody has said.
	why string
	// hopeless: no revision is rolled out, and none will be until its user acts.
	hopeless bool
	// changed closes when the endpoint is replaced or removed, for those who wait for a pod.
	changed chan struct{}
}

// revision of an endpoint with its share of the requests.
type revision struct {
	name    string
	percent uint64
	// model and version in the registry, if known.
	model, version string
	pods           []*pod
}

// pod that is ready. It is shared by successive tables, so its counter goes on.
type pod struct {
	name, address string
	inflight      atomic.Int64
	gone          atomic.Bool // no table has it any more
}

// choice is where a request goes.
type choice struct {
	revision *revision
	pod      *pod
}

// pick chooses a revision by weight and in it the pod with the least requests
// under way. Pods in tried are left out; a revision without any other pod
// passes its share on to the one with the largest share that has.
func (e *endpoint) pick(random func(uint64) uint64, version string, tried []*pod) (choice, bool) {
	total := uint64(0)
	for _, r := range e.revisions {
		if r.serves(version) {
			total += r.percent
		}
	}
	if total == 0 {
		return choice{}, false
	}
	at := random(total)
	var chosen, largest *revision
	for _, r := range e.revisions {
		if !r.serves(version) {
			continue
		}
		if chosen == nil && at < r.percent {
			chosen = r
		}
		at -= min(at, r.percent)
		if r.percent > 0 && r.least(random, tried) != nil && (largest == nil || r.percent > largest.percent) {
			largest = r
		}
	}
	if p := chosen.least(random, tried); p != nil {
		return choice{chosen, p}, true
	}
	if largest == nil {
		return choice{}, false
	}
	return choice{largest, largest.least(random, tried)}, true
}

// serves tells whether a request for a version (empty is any) may go there.
func (r *revision) serves(version string) bool { return version == "" || r.version == version }

// least is the pod with the least requests under way; ties are broken by chance.
func (r *revision) least(random func(uint64) uint64, tried []*pod) *pod {
	n := uint64(len(r.pods))
	if n == 0 {
		return nil
	}
	start := uint64(0)
	if n > 1 {
		start = random(n)
	}
	var best *pod
	for i := range n {
		p := r.pods[(start+i)%n]
		if !contains(tried, p) && (best == nil || p.inflight.Load() < best.inflight.Load()) {
			best = p
		}
	}
	return best
}

func contains(list []*pod, p *pod) bool {
	for _, t := range list {
		if t == p {
			return true
		}
	}
	return false
}

// table has all endpoints.
type table struct {
	mu      sync.RWMutex
	entries map[key]*endpoint
}

func newTable() *table { return &table{entries: map[key]*endpoint{}} }

// get returns an endpoint, nil if there is none.
func (t *table) get(k key) *endpoint {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.entries[k]
}

// set replaces an endpoint; nil removes it. It returns the pods that are gone.
func (t *table) set(k key, e *endpoint) (gone []*pod) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.entries[k]
	if e == nil {
		delete(t.entries, k)
	} else {
		e.changed = make(chan struct{})
		e.adopt(before)
		t.entries[k] = e
	}
	if before != nil {
		close(before.changed)
	}
	return before.without(e)
}

// without lists the pods of e that after has not.
func (e *endpoint) without(after *endpoint) (gone []*pod) {
	if e == nil {
		return nil
	}
	kept := map[*pod]bool{}
	if after != nil {
		for _, r := range after.revisions {
			for _, p := range r.pods {
				kept[p] = true
			}
		}
	}
	for _, r := range e.revisions {
		for _, p := range r.pods {
			if !kept[p] {
				gone = append(gone, p)
			}
		}
	}
	return gone
}

// adopt keeps pods that were known before, with their counters.
func (e *endpoint) adopt(before *endpoint) {
	if before == nil {
		return
	}
	known := map[[2]string]*pod{}
	for _, r := range before.revisions {
		for _, p := range r.pods {
			known[[2]string{p.name, p.address}] = p
		}
	}
	for _, r := range e.revisions {
		for i, p := range r.pods {
			if old := known[[2]string{p.name, p.address}]; old != nil {
				r.pods[i] = old
			}
		}
	}
}

// names of the endpoints of a project.
func (t *table) names(namespace string) []string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var list []string
	for k := range t.entries {
		if k.namespace == namespace {
			list = append(list, k.name)
		}
	}
	return list
}
