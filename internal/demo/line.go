package demo

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/kiwerk/kiwerk/internal/data"
)

// A line that gets nothing but errors stops instead of going on for minutes.
const failuresInARow = 20

// line is the production line: it photographs parts, asks the endpoint what
// is stamped on them and keeps count. Safe for concurrent use.
type line struct {
	client *client
	model  string
	now    func() time.Time

	mu       sync.Mutex
	rng      *rand.Rand
	changed  bool // the camera has changed
	camera   Camera
	before   int
	after    int
	failed   int
	failures int // in a row
}

// shot is a photograph and what the endpoint made of it.
type shot struct {
	image  Image
	answer prediction
	sent   time.Time
}

func (s shot) right() bool { return s.answer.label == s.image.Label }

// change swaps the camera.
func (l *line) change(c Camera) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.camera, l.changed = c, true
}

// shoot photographs one image and asks the endpoint. A failed request is
// counted and gives no shot; too many in a row are an error.
func (l *line) shoot(ctx context.Context, img Image) (*shot, error) {
	l.mu.Lock()
	photo := l.camera.Take(img, l.rng)
	if l.changed {
		l.after++
	} else {
		l.before++
	}
	l.mu.Unlock()

	sent := l.now()
	answer, err := l.client.predict(ctx, l.model, photo)

	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.failures = 0
		return &shot{image: img, answer: answer, sent: sent}, nil
	}
	if ctx.Err() != nil {
		// Given up by us, not refused by the platform.
		l.uncount()
		return nil, ctx.Err()
	}
	l.failed++
	if l.failures++; l.failures >= failuresInARow {
		return nil, fmt.Errorf("the endpoint failed %d times in a row, last: %w", l.failures, err)
	}
	return nil, nil //nolint:nilnil // a failed request is an outcome that is counted, not an error of the line
}

func (l *line) uncount() {
	if l.changed {
		l.after--
	} else {
		l.before--
	}
}

// window photographs some images one after the other.
func (l *line) window(ctx context.Context, images []Image) ([]shot, error) {
	shots := make([]shot, 0, len(images))
	for _, img := range images {
		s, err := l.shoot(ctx, img)
		if err != nil {
			return shots, err
		}
		if s != nil {
			shots = append(shots, *s)
		}
	}
	return shots, nil
}

// labels sends back what really was on the photographs.
func (l *line) labels(ctx context.Context, shots []shot, truth func(shot) int) error {
	list := make([]label, len(shots))
	for i, s := range shots {
		list[i] = label{ID: s.answer.id, Label: truth(s)}
	}
	return l.client.feedback(ctx, l.model, list)
}

// trueLabel is what honest people report.
func trueLabel(s shot) int { return s.image.Label }

// gateFraction is what the example's policy holds back.
const gateFraction = 0.2

// shuffledLabels hands the labels of images to other images of the same list,
// but for those that will be held back: what is shuffled is the training part
// of the frozen version, and the gate tells the truth about what came of it.
func shuffledLabels(images []Image, seed uint64) func(shot) int {
	wrong := make([]int, len(images))
	for i, img := range images {
		wrong[i] = img.Label
	}
	rng := rand.New(rand.NewPCG(seed, 3))
	rng.Shuffle(len(wrong), func(i, j int) { wrong[i], wrong[j] = wrong[j], wrong[i] })
	byIndex := map[int]int{}
	for i, img := range images {
		byIndex[img.Index] = wrong[i]
	}
	return func(s shot) int {
		if data.HeldBack(s.answer.id, gateFraction) {
			return s.image.Label
		}
		return byIndex[s.image.Index]
	}
}

// counts gives the requests so far.
func (l *line) counts() (before, after, failed int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.before, l.after, l.failed
}

// accuracy is the share of distinct images that were read right, judged by
// the first photograph of each.
func accuracy(shots []shot) (share float64, images int) {
	seen := map[int]bool{}
	right := 0
	for _, s := range shots {
		if seen[s.image.Index] {
			continue
		}
		seen[s.image.Index] = true
		if s.right() {
			right++
		}
	}
	if len(seen) == 0 {
		return 0, 0
	}
	return float64(right) / float64(len(seen)), len(seen)
}
