package store

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
)

// maxGroup bounds the updates of one transaction, so that the first of a long
// queue does not wait for the last.
const maxGroup = 256

// request is one Update on its way through the writer.
type request struct {
	ctx   context.Context
	fn    func(*Tx) error
	taken atomic.Bool
	done  chan error
}

// claim decides between running a request and giving it up: the first caller gets true.
func (r *request) claim() bool { return r.taken.CompareAndSwap(false, true) }

// write is the writer's goroutine.
func (s *Store) write(ctx context.Context, w session) {
	defer close(s.done)
	for {
		select {
		case r := <-s.queue:
			s.commitGroup(ctx, w, r)
		case <-s.closing:
			for { // what was accepted is still done
				select {
				case r := <-s.queue:
					s.commitGroup(ctx, w, r)
				default:
					return
				}
			}
		}
	}
}

// commitGroup runs first and what is waiting behind it as one transaction. If
// that breaks as a whole (a full disk, say), each runs alone, so that one
// which does not fit fails by itself.
func (s *Store) commitGroup(ctx context.Context, w session, first *request) {
	group, errs, err := s.runGroup(ctx, w, first)
	if err == nil {
		for i, r := range group {
			r.done <- errs[i]
		}
		return
	}
	err = s.backend.translate(err)
	if len(group) == 1 && !errors.Is(err, errAgain) || errors.Is(err, errOutcome) {
		for _, r := range group {
			r.done <- err
		}
		return
	}
	for _, r := range group {
		r.done <- s.runAlone(ctx, w, r)
	}
}

// runGroup returns the requests it claimed with the error of each, or the
// error that took back all of them.
func (s *Store) runGroup(ctx context.Context, w session, first *request) (group []*request, errs []error, err error) {
	if !first.claim() {
		return nil, nil, nil
	}
	group = append(group, first)
	if err := w.frame(ctx, begin); err != nil {
		return group, nil, err
	}
	next := first
	for {
		fnErr, err := s.runOne(w, next)
		if err != nil {
			s.rollback(ctx, w)
			return group, nil, err
		}
		errs = append(errs, fnErr)
		if next = s.waiting(len(group)); next == nil {
			break
		}
		group = append(group, next)
	}
	if err := w.frame(ctx, commit); err != nil {
		s.rollback(ctx, w)
		return group, nil, err
	}
	return group, errs, nil
}

// waiting takes the next request off the queue, or nil.
func (s *Store) waiting(have int) *request {
	for have < maxGroup {
		select {
		case r := <-s.queue:
			if r.claim() {
				return r
			}
		default:
			return nil
		}
	}
	return nil
}

// runOne runs a request in a savepoint. fnErr is the request's own failure,
// after which the transaction is as it was before; err means that the
// transaction is lost.
func (s *Store) runOne(w session, r *request) (fnErr, err error) {
	ctx := context.WithoutCancel(r.ctx) // an interrupted write rolls back the whole transaction
	if err := w.frame(ctx, mark); err != nil {
		return nil, err
	}
	fnErr = protect(&Tx{ctx: ctx, session: w, store: s}, r.fn)
	if fnErr == nil {
		return nil, w.frame(ctx, keep)
	}
	if errors.Is(fnErr, errAgain) {
		return nil, fnErr
	}
	if err := w.frame(ctx, undo); err != nil {
		return nil, fmt.Errorf("%w (then: %w)", fnErr, err)
	}
	return fnErr, nil
}

// errAgain means that a transaction collided with that of another program
// (a deadlock, say) or that its connection was lost, and that the same again
// may work.
var errAgain = errors.New("the transaction was lost")

// errOutcome means that the connection broke during a commit, and that the
// server could not be asked what has become of it. The updates may be stored,
// so nobody but the caller can know whether to repeat them.
var errOutcome = errors.New("the connection to the database broke while a commit was under way; it may be stored")

// maxTries bounds the repetitions of a transaction that collides.
const maxTries = 4

// runAlone repeats a request of a broken group.
func (s *Store) runAlone(ctx context.Context, w session, r *request) (err error) {
	for range maxTries {
		if err = s.tryAlone(ctx, w, r); !errors.Is(err, errAgain) || errors.Is(err, errOutcome) {
			break
		}
	}
	return err
}

func (s *Store) tryAlone(ctx context.Context, w session, r *request) error {
	if err := w.frame(ctx, begin); err != nil {
		return s.backend.translate(err)
	}
	if err := protect(&Tx{ctx: ctx, session: w, store: s}, r.fn); err != nil {
		s.rollback(ctx, w)
		return s.backend.translate(err)
	}
	if err := w.frame(ctx, commit); err != nil {
		s.rollback(ctx, w)
		return s.backend.translate(err)
	}
	return nil
}

// rollback ends a broken transaction; the database may have done so already.
func (s *Store) rollback(ctx context.Context, w session) {
	if err := w.frame(ctx, rollback); err != nil {
		s.log.DebugContext(ctx, "rollback after a broken transaction", "error", err)
	}
}

// errPanic is what an update that panicked returns: the writer must live on.
var errPanic = errors.New("panic in a database update")

func protect(t *Tx, fn func(*Tx) error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: %v\n%s", errPanic, v, debug.Stack())
		}
	}()
	return fn(t)
}
