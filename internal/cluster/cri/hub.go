package cri

import (
	"context"
	"sync"
)

// hub gives every value to all subscribers, each at its own pace and without loss.
type hub[T any] struct {
	mu     sync.Mutex
	subs   map[*queue[T]]bool
	closed bool
}

type queue[T any] struct {
	items []T
	wake  chan struct{}
	done  bool
}

// publish never blocks.
func (h *hub[T]) publish(v T) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for q := range h.subs {
		q.items = append(q.items, v)
		q.notify()
	}
}

func (q *queue[T]) notify() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// subscribe delivers first and then everything published until ctx or the hub ends.
func (h *hub[T]) subscribe(ctx context.Context, first []T) <-chan T {
	q := &queue[T]{items: first, wake: make(chan struct{}, 1)}
	h.mu.Lock()
	if h.subs == nil {
		h.subs = map[*queue[T]]bool{}
	}
	h.subs[q] = true
	q.done = h.closed
	h.mu.Unlock()
	q.notify()
	out := make(chan T)
	go h.deliver(ctx, q, out)
	return out
}

func (h *hub[T]) deliver(ctx context.Context, q *queue[T], out chan<- T) {
	defer close(out)
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.subs, q)
	}()
	for {
		select {
		case <-q.wake:
		case <-ctx.Done():
			return
		}
		h.mu.Lock()
		items, done := q.items, q.done
		q.items = nil
		h.mu.Unlock()
		for _, v := range items {
			select {
			case out <- v:
			case <-ctx.Done():
				return
			}
		}
		if done {
			return
		}
	}
}

// close ends all subscriptions after what was published before.
func (h *hub[T]) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for q := range h.subs {
		q.done = true
		q.notify()
	}
}
