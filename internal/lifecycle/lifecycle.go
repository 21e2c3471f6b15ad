package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Component is a part of the program that owns goroutines or other resources.
type Component interface {
	// Init prepares what other components may need before they start. It starts nothing.
	Init(ctx context.Context) error
	// Start returns when the component is usable; ctx bounds the start only.
	Start(ctx context.Context) error
	// Stop ends everything that Start began and returns when it has ended.
	Stop(ctx context.Context) error
}

// Group runs components in the order in which they were added.
type Group struct {
	mu      sync.Mutex
	members []member
	started int
	failed  chan error
}

type member struct {
	name string
	Component
}

// NewGroup returns an empty group.
func NewGroup() *Group {
	return &Group{failed: make(chan error, 1)}
}

// Add appends a component. The name appears in errors.
func (g *Group) Add(name string, c Component) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.members = append(g.members, member{name, c})
}

// Start initialises all components, then starts them one after the other. If
// one fails, those already started are stopped again.
func (g *Group) Start(ctx context.Context) error {
	for _, m := range g.members {
		if err := m.Init(ctx); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	for i, m := range g.members {
		if err := m.Start(ctx); err != nil {
			g.started = i
			return errors.Join(fmt.Errorf("%s: %w", m.name, err), g.Stop(context.WithoutCancel(ctx)))
		}
		g.started = i + 1
	}
	return nil
}

// Stop stops the started components in reverse order and joins their errors.
func (g *Group) Stop(ctx context.Context) error {
	var errs []error
	for ; g.started > 0; g.started-- {
		m := g.members[g.started-1]
		if err := m.Stop(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", m.name, err))
		}
	}
	return errors.Join(errs...)
}

// Fail reports that a running component ended by itself. The first report counts.
func (g *Group) Fail(err error) {
	select {
	case g.failed <- err:
	default:
	}
}

// Failed delivers the first error given to Fail.
func (g *Group) Failed() <-chan error { return g.failed }

// Runner is a Component around a function that runs until its context ends.
type Runner struct {
	// Run must return soon after ctx is done.
	Run func(ctx context.Context) error
	// OnExit, if set, hears of a Run that ended before Stop.
	OnExit func(error)

	cancel context.CancelFunc
	done   chan error
}

// Init does nothing.
func (r *Runner) Init(context.Context) error { return nil }

// Start runs the function in a goroutine of its own.
func (r *Runner) Start(ctx context.Context) error {
	ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	r.done = make(chan error, 1)
	go func() {
		err := r.Run(ctx)
		if ctx.Err() == nil && r.OnExit != nil {
			r.OnExit(err)
		}
		r.done <- err
	}()
	return nil
}

// Stop ends the function and waits for it.
func (r *Runner) Stop(ctx context.Context) error {
	if r.cancel == nil {
		return nil
	}
	r.cancel()
	select {
	case err := <-r.done:
		if errors.Is(err, context.Canceled) {
			return nil
		}
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
