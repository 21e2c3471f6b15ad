package app

import (
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// answers keeps answers for a short time. When it is full the old ones go, and
// if none is old, all: an attacker who fills it gains nothing but reviews.
type answers[K comparable, V any] struct {
	clock clock.PassiveClock
	ttl   time.Duration
	max   int

	mu      sync.Mutex
	entries map[K]cached[V]
}

type cached[V any] struct {
	value V
	until time.Time
}

func newAnswers[K comparable, V any](c clock.PassiveClock, ttl time.Duration, limit int) *answers[K, V] {
	return &answers[K, V]{clock: c, ttl: ttl, max: limit, entries: map[K]cached[V]{}}
}

func (c *answers[K, V]) get(k K) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[k]
	if !ok || !c.clock.Now().Before(e.until) {
		var zero V
		return zero, false
	}
	return e.value, true
}

func (c *answers[K, V]) put(k K, v V) { c.putFor(k, v, c.ttl) }

func (c *answers[K, V]) putFor(k K, v V, ttl time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock.Now()
	if len(c.entries) >= c.max {
		for k, e := range c.entries {
			if !now.Before(e.until) {
				delete(c.entries, k)
			}
		}
	}
	if len(c.entries) >= c.max {
		clear(c.entries)
	}
	c.entries[k] = cached[V]{v, now.Add(ttl)}
}
