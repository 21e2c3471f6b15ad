package soak

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// perBatch is how many points of the metric "batch" one log-batch has.
const perBatch = 50

// writer logs to a run of its own and keeps what was acknowledged: the number
// of the last round, since each round begins after the one before was.
type writer struct {
	s   *server
	run string
	// patient repeats what failed for want of a server; an impatient writer
	// takes any failure for an error.
	patient bool
	// rounds that were acknowledged, failures that were waited out.
	rounds, failures int
	// unavailable are the failures that were a 503; the test watches them grow.
	unavailable atomic.Int64
	err         error
}

// team is what a number of writers did.
type team []*writer

func newTeam(ctx context.Context, t *testing.T, s *server, n int, patient bool) team {
	t.Helper()
	var list team
	for i := range n {
		run, err := s.createRun(ctx, strconv.Itoa(i))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, &writer{s: s, run: run, patient: patient})
	}
	return list
}

// work lets all write until ctx ends; what has begun is finished.
func (w team) work(ctx context.Context) *sync.WaitGroup {
	var wg sync.WaitGroup
	for _, one := range w {
		wg.Go(func() {
			for ctx.Err() == nil && one.err == nil {
				one.round(context.WithoutCancel(ctx))
			}
		})
	}
	return &wg
}

// refused is how often writers have heard 503.
func (w team) refused() (n int64) {
	for _, one := range w {
		n += one.unavailable.Load()
	}
	return n
}

// round writes a batch, a single point, a param and a tag, each until it is acknowledged.
func (w *writer) round(ctx context.Context) {
	n := int64(w.rounds)
	batch := make([]point, perBatch)
	for i := range batch {
		batch[i] = point{"batch", float64(n), 1_700_000_000_000 + n, n*perBatch + int64(i)}
	}
	pair := map[string]string{"run_id": w.run, "key": fmt.Sprintf("p%d", n), "value": strconv.FormatInt(n, 10)}
	for _, request := range []struct {
		path string
		body any
	}{
		{"runs/log-batch", map[string]any{"run_id": w.run, "metrics": batch}},
		{"runs/log-metric", map[string]any{"run_id": w.run, "key": "single", "value": n, "timestamp": 1_700_000_000_000 + n, "step": n}},
		{"runs/log-parameter", pair},
		{"runs/set-tag", pair},
	} {
		if w.err = w.send(ctx, request.path, request.body); w.err != nil {
			return
		}
	}
	w.rounds++
}

// send repeats a request while the server is gone or says that its database is.
func (w *writer) send(ctx context.Context, path string, body any) error {
	for deadline := time.Now().Add(time.Minute); ; {
		err := w.s.call(ctx, http.MethodPost, path, body, nil)
		if err == nil {
			return nil
		}
		var r refusal
		refused := errors.As(err, &r)
		if !w.patient || refused && r.status != http.StatusServiceUnavailable || time.Now().After(deadline) {
			return fmt.Errorf("%s: %w", path, err)
		}
		w.failures++
		if refused {
			w.unavailable.Add(1)
		}
		time.Sleep(2 * time.Millisecond) // a client's pause between two attempts
	}
}

// sums of a team.
type sums struct{ rounds, points, failures, unavailable int }

// check reads everything back: each acknowledged point, param and tag is
// there once. One round more may be: its answers were lost.
func (w team) check(ctx context.Context, t *testing.T) (total sums) {
	t.Helper()
	for i, one := range w {
		if one.err != nil {
			t.Errorf("writer %d: %v", i, one.err)
			continue
		}
		total.rounds += one.rounds
		total.failures += one.failures
		total.unavailable += int(one.unavailable.Load())
		for key, per := range map[string]int{"batch": perBatch, "single": 1} {
			points, err := one.s.history(ctx, one.run, key)
			if err != nil {
				t.Fatal(err)
			}
			total.points += len(points)
			steps := map[int64]int{}
			for _, p := range points {
				steps[p.Step]++
				if want := float64(p.Step / int64(per)); p.Value != want {
					t.Errorf("writer %d: %s at step %d is %g, expected %g", i, key, p.Step, p.Value, want)
				}
			}
			if len(steps) != len(points) {
				t.Errorf("writer %d: %s has %d points with %d steps: some are there twice", i, key, len(points), len(steps))
			}
			for step := range int64(one.rounds * per) {
				if steps[step] == 0 {
					t.Errorf("writer %d: %s at step %d was acknowledged and is lost", i, key, step)
					break
				}
			}
			if extra := len(steps) - one.rounds*per; extra > per {
				t.Errorf("writer %d: %s has %d points that nobody has sent", i, key, extra)
			}
		}
		params, err := one.s.params(ctx, one.run)
		if err != nil {
			t.Fatal(err)
		}
		for n := range one.rounds {
			if want := strconv.Itoa(n); params["p"+want] != want {
				t.Errorf("writer %d: param p%d was acknowledged and is %q", i, n, params["p"+want])
				break
			}
		}
	}
	return total
}
