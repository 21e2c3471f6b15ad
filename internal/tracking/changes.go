package tracking

import (
	"context"
	"sync"
)

// Change says that versions, aliases or tags of a registered model are not as
// they were, or that an artifact was stored.
type Change struct {
	Namespace string
	// Model that has changed; empty for an artifact.
	Model string
	// Artifact that was stored, as its path below the artifact root.
	Artifact string
}

// broadcast tells every listener of changes.
type broadcast struct {
	mu        sync.Mutex
	listeners map[chan Change]bool
}

// backlog is how many changes may wait for a listener.
const backlog = 64

// send never waits: a listener with a full backlog misses a change, and gets
// the zero Change instead, which means "anything may have changed".
func (b *broadcast) send(c Change) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for l := range b.listeners {
		select {
		case l <- c:
			continue
		default:
		}
		select { // make room for the zero Change by dropping the oldest
		case <-l:
		default:
		}
		select {
		case l <- Change{}:
		default:
		}
	}
}

// Changes tells of changed models and stored artifacts until ctx ends, when the channel is closed.
// The zero Change means that some were missed and all should be looked at.
// Changes by other processes on the same database are not seen.
func (s *Service) Changes(ctx context.Context) <-chan Change {
	l := make(chan Change, backlog)
	b := &s.changes
	b.mu.Lock()
	if b.listeners == nil {
		b.listeners = map[chan Change]bool{}
	}
	b.listeners[l] = true
	b.mu.Unlock()
	context.AfterFunc(ctx, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.listeners, l)
		close(l)
	})
	return l
}
