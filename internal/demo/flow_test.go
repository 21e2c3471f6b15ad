package demo

import (
	"fmt"
	"testing"
	"time"

	"github.com/kiwerk/kiwerk/internal/data"
)

func TestObservedShare(t *testing.T) {
	start := time.Date(2026, 1, 1, 8, 0, 0, 0, time.UTC)
	at := func(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }
	shots := func(version string, seconds ...float64) []shot {
		var list []shot
		for _, s := range seconds {
			list = append(list, shot{sent: at(s), answer: prediction{version: version}})
		}
		return list
	}
	cases := map[string]struct {
		shots           []shot
		shares          []share
		end             float64
		asked, observed float64
		requests        int
	}{
		"NoCanary": {shots: shots("1", 1, 2, 3), end: 10},
		"OneStep": {
			shots:  append(shots("1", 3, 4, 5), shots("2", 6)...),
			shares: []share{{0, at(0)}, {30, at(1)}, {100, at(8)}}, end: 10,
			asked: 0.3, observed: 0.25, requests: 4,
		},
		"EdgesDoNotCount": {
			shots:  append(shots("2", 1.5, 7.5), shots("1", 4)...),
			shares: []share{{30, at(1)}, {100, at(8)}}, end: 10,
			asked: 0.3, observed: 0, requests: 1,
		},
		"LongestStepCounts": {
			shots:  append(shots("1", 3), shots("2", 12, 13, 14, 15)...),
			shares: []share{{10, at(1)}, {50, at(10)}}, end: 20,
			asked: 0.5, observed: 1, requests: 4,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			asked, observed, requests := observedShare(c.shots, c.shares, at(c.end), "2")
			if asked != c.asked || observed != c.observed || requests != c.requests {
				t.Errorf("got %v, %v, %d; want %v, %v, %d", asked, observed, requests, c.asked, c.observed, c.requests)
			}
		})
	}
}

func TestAccuracy_countsDistinctImages(t *testing.T) {
	shots := []shot{
		{image: Image{Index: 1, Label: 3}, answer: prediction{label: 3}},
		{image: Image{Index: 2, Label: 4}, answer: prediction{label: 9}},
		{image: Image{Index: 2, Label: 4}, answer: prediction{label: 4}},
	}
	if got, n := accuracy(shots); got != 0.5 || n != 2 {
		t.Errorf("got %v of %d, want 0.5 of 2", got, n)
	}
}

func TestShuffledLabels_areOftenWrongButTheSameOnes(t *testing.T) {
	var images []Image
	for i := range 500 {
		images = append(images, Image{Index: i, Label: i % 10})
	}
	truth := shuffledLabels(images, 1)
	wrong, held := 0, 0
	for i, img := range images {
		s := shot{image: img, answer: prediction{id: fmt.Sprint("p", i)}}
		switch {
		case data.HeldBack(s.answer.id, gateFraction):
			held++
			if truth(s) != img.Label {
				t.Errorf("the gate is told that a %d is a %d", img.Label, truth(s))
			}
		case truth(s) != img.Label:
			wrong++
		}
	}
	if held < 50 || wrong < (500-held)*8/10 {
		t.Errorf("%d of 500 are held back, only %d of the others wrong", held, wrong)
	}
}

func FuzzParseLabel(f *testing.F) {
	f.Add([]byte(`{"predictions":[7]}`))
	f.Add([]byte(`{"predictions":[{"label":7,"probabilities":[0.1]}]}`))
	f.Add([]byte(`{"predictions":[[7]]}`))
	f.Add([]byte(`{"predictions":[null]}`))
	f.Add([]byte(`[`))
	f.Fuzz(func(_ *testing.T, body []byte) {
		_, _ = parseLabel(body) // must not panic
	})
}
