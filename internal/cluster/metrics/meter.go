package metrics

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// Count is what has been used up to a moment.
type Count struct {
	At   time.Time
	Node Used
	Pods []Pod
}

// Used is CPU time and memory.
type Used struct {
	// CPU is the sum of all time so far.
	CPU time.Duration
	// Memory is the working set in bytes, as it is now.
	Memory uint64
}

// Pod is a pod with running containers.
type Pod struct {
	Namespace, Name string
	Labels          map[string]string
	Containers      []Container
}

// Container is a running container.
type Container struct {
	ID, Name string
	Created  time.Time
	Used     Used
}

// Source counts.
type Source interface {
	Count(ctx context.Context) (Count, error)
}

// Rates are what is used at the moment.
type Rates struct {
	At time.Time
	// Window is the time over which CPU was measured.
	Window time.Duration
	Node   Rate
	Pods   []PodRates
}

// Rate is CPU in billionths of a core and memory in bytes.
type Rate struct {
	NanoCores int64
	Memory    uint64
}

// PodRates are the rates of a pod's containers.
type PodRates struct {
	Pod
	// Rates are in the order of Containers.
	Rates []Rate
}

const (
	// A window shorter than this says more about the kernel's ticks than about a container.
	minWindow = time.Second
	// Counts of former questions serve between these ages.
	goodWindow, maxWindow = 10 * time.Second, 90 * time.Second
)

// Meter measures when asked.
type Meter struct {
	source Source
	clock  clock.Clock

	mu     sync.Mutex
	counts []Count // oldest first
	last   Rates
}

// NewMeter returns a meter for source.
func NewMeter(source Source, c clock.Clock) *Meter { return &Meter{source: source, clock: c} }

// Measure returns current rates. It takes minWindow when nobody has asked lately.
func (m *Meter) Measure(ctx context.Context) (Rates, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.last.At.IsZero() && m.clock.Since(m.last.At) < minWindow {
		return m.last, nil
	}
	now, err := m.count(ctx)
	if err != nil {
		return Rates{}, err
	}
	before, ok := base(m.counts, now.At)
	if !ok {
		before = now
		select {
		case <-m.clock.After(minWindow):
		case <-ctx.Done():
			return Rates{}, fmt.Errorf("measure what pods use: %w", context.Cause(ctx))
		}
		if now, err = m.count(ctx); err != nil {
			return Rates{}, err
		}
	}
	m.keep(now)
	m.last = between(before, now)
	return m.last, nil
}

func (m *Meter) count(ctx context.Context) (Count, error) {
	c, err := m.source.Count(ctx)
	if err != nil {
		return Count{}, fmt.Errorf("measure what pods use: %w", err)
	}
	return c, nil
}

// keep notes a count for later questions, and forgets those that are too old.
func (m *Meter) keep(c Count) {
	for len(m.counts) > 0 && c.At.Sub(m.counts[0].At) > maxWindow {
		m.counts = m.counts[1:]
	}
	if n := len(m.counts); n == 0 || c.At.Sub(m.counts[n-1].At) >= goodWindow/2 {
		m.counts = append(m.counts, c)
	}
}

// base is the youngest count that is old enough to compare with, else the oldest that still serves.
func base(counts []Count, now time.Time) (Count, bool) {
	for i := len(counts) - 1; i >= 0; i-- {
		if age := now.Sub(counts[i].At); age >= goodWindow && age <= maxWindow {
			return counts[i], true
		}
	}
	for _, c := range counts {
		if age := now.Sub(c.At); age >= minWindow && age <= maxWindow {
			return c, true
		}
	}
	return Count{}, false
}

// between makes rates of two counts. A container that the first one does not
// have is measured since it was created.
func between(before, now Count) Rates {
	window := now.At.Sub(before.At)
	r := Rates{At: now.At, Window: window, Node: rate(before.Node.CPU, now.Node, window)}
	known := map[string]time.Duration{}
	for _, p := range before.Pods {
		for _, c := range p.Containers {
			known[c.ID] = c.Used.CPU
		}
	}
	for _, p := range now.Pods {
		pr := PodRates{Pod: p}
		for _, c := range p.Containers {
			was, there := known[c.ID]
			since := window
			if !there {
				was, since = 0, max(minWindow, now.At.Sub(c.Created))
			}
			pr.Rates = append(pr.Rates, rate(was, c.Used, since))
		}
		r.Pods = append(r.Pods, pr)
	}
	return r
}

// rate never is negative: the time of processes that nobody waited for drops out of the sum.
func rate(before time.Duration, now Used, window time.Duration) Rate {
	r := Rate{Memory: now.Memory}
	if used := now.CPU - before; used > 0 && window > 0 {
		r.NanoCores = int64(float64(used) / float64(window) * float64(time.Second))
	}
	return r
}
