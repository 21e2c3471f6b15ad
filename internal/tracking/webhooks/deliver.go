package webhooks

import (
	"context"
	"sync"
	"time"

	"github.com/kiwerk/kiwerk/internal/lifecycle"
)

// Deliveries is the component that sends what is due.
func (s *Service) Deliveries() lifecycle.Component { return &lifecycle.Runner{Run: s.run} }

// look is how often the table is looked at without being told: another
// process may have written to it, or died with a lease.
const look = 10 * time.Second

// courier sends deliveries and counts those under way.
type courier struct {
	*Service
	running sync.WaitGroup

	mu   sync.Mutex
	busy map[string]int // per webhook
	n    int
}

func (s *Service) run(ctx context.Context) error {
	c := &courier{Service: s, busy: map[string]int{}}
	defer c.running.Wait()
	for {
		pause := c.round(ctx)
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-s.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// round starts what is due and tells how long nothing will be.
func (c *courier) round(ctx context.Context) time.Duration {
	busy, free := c.load()
	if free == 0 {
		return look // a finished delivery wakes the loop
	}
	// Half of the workers stay for other receivers when one is slow.
	now := c.o.Clock()
	list, err := c.claim(ctx, now, free, max(1, c.o.Workers/2), busy)
	if err != nil {
		if ctx.Err() == nil {
			c.o.Logger.ErrorContext(ctx, "webhook deliveries could not be read; they will be tried again", "error", err)
		}
		return look
	}
	for _, m := range list {
		c.begin(m.webhook)
		c.running.Go(func() {
			defer c.end(m.webhook)
			c.deliver(ctx, m)
		})
	}
	if len(list) > 0 {
		return 0
	}
	// What was due and not taken waits for a worker, whose end wakes the loop.
	at, any, err := c.next(ctx, now)
	if err != nil || !any {
		return look
	}
	return max(0, min(at.Sub(c.o.Clock()), look))
}

func (c *courier) load() (busy map[string]int, free int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	busy = make(map[string]int, len(c.busy))
	for k, n := range c.busy {
		busy[k] = n
	}
	return busy, c.o.Workers - c.n
}

func (c *courier) begin(webhook string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy[webhook]++
	c.n++
}

func (c *courier) end(webhook string) {
	c.mu.Lock()
	if c.busy[webhook]--; c.busy[webhook] == 0 {
		delete(c.busy, webhook)
	}
	c.n--
	c.mu.Unlock()
	c.Committed()
}

func (c *courier) deliver(ctx context.Context, m message) {
	a, err := c.send(ctx, m)
	plain := context.WithoutCancel(ctx) // the outcome is stored also while the program stops
	log := c.o.Logger.With("webhook", m.webhook, "delivery", m.id, "event", m.event, "attempt", m.attempts)
	if err != nil && ctx.Err() != nil {
		err = c.release(plain, m)
	} else {
		v := c.decide(m.attempts, a, err)
		switch {
		case v.why != "" && v.done:
			log.ErrorContext(plain, "webhook not delivered, given up", "reason", v.why)
		case v.why != "":
			log.WarnContext(plain, "webhook not delivered, will be tried again", "reason", v.why)
		}
		err = c.settle(plain, m, v)
	}
	if err != nil {
		log.ErrorContext(plain, "outcome of a webhook delivery could not be stored; it will be sent again", "error", err)
	}
}
