package demo

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// flowPause is the time between two photographs while the line waits for the
// platform: 40 a second, so that a canary sees enough of them.
const flowPause = 25 * time.Millisecond

// flowLabels is how many labels are sent together.
const flowLabels = 20

// flow is the line going on by itself while the platform trains and rolls out.
type flow struct {
	line   *line
	cancel context.CancelFunc
	done   chan struct{}
	// labelling sends labels too. It begins only after the training data have
	// been frozen: nothing may ever be trained on these images.
	labelling atomic.Bool

	mu    sync.Mutex
	shots []shot
	err   error
}

// startFlow photographs the images again and again, each time with new noise,
// until it is stopped.
func startFlow(ctx context.Context, l *line, images []Image) *flow {
	ctx, cancel := context.WithCancel(ctx)
	f := &flow{line: l, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(f.done)
		tick := time.NewTicker(flowPause)
		defer tick.Stop()
		var unlabelled []shot
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			s, err := l.shoot(ctx, images[i%len(images)])
			if err == nil && s != nil && f.labelling.Load() {
				unlabelled, err = f.label(ctx, append(unlabelled, *s))
			}
			f.keep(s, err)
			if err != nil {
				return
			}
		}
	}()
	return f
}

// label sends labels when enough have gathered and gives those still to send.
func (f *flow) label(ctx context.Context, shots []shot) ([]shot, error) {
	if len(shots) < flowLabels {
		return shots, nil
	}
	return nil, f.line.labels(ctx, shots, trueLabel)
}

func (f *flow) keep(s *shot, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s != nil {
		f.shots = append(f.shots, *s)
	}
	f.err = err
}

// stop ends the flow and gives what was photographed.
func (f *flow) stop() ([]shot, error) {
	f.cancel()
	<-f.done
	f.mu.Lock()
	defer f.mu.Unlock()
	if errors.Is(f.err, context.Canceled) {
		return f.shots, nil
	}
	return f.shots, f.err
}

// share is a part of the traffic that was asked for from some moment on.
type share struct {
	percent int64
	from    time.Time
}

// edge is how long a change of the split may take to reach the gateway:
// requests that close to one are not counted.
const edge = time.Second

// observedShare compares the longest stretch of canary traffic with what was
// asked for: how much of it the new version answered.
func observedShare(shots []shot, shares []share, end time.Time, version string) (asked, observed float64, requests int) {
	best := 0
	for i, s := range shares {
		if s.percent <= 0 || s.percent >= 100 {
			continue
		}
		until := end
		if i+1 < len(shares) {
			until = shares[i+1].from
		}
		inside := slices.DeleteFunc(slices.Clone(shots), func(x shot) bool {
			return x.sent.Before(s.from.Add(edge)) || x.sent.After(until.Add(-edge))
		})
		if len(inside) <= best {
			continue
		}
		best = len(inside)
		hits := 0
		for _, x := range inside {
			if x.answer.version == version {
				hits++
			}
		}
		asked, observed, requests = float64(s.percent)/100, float64(hits)/float64(len(inside)), len(inside)
	}
	return asked, observed, requests
}
