package retrain

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kiwerk/kiwerk/api/kiwerk/v1alpha1"
)

func outputs(values ...string) []json.RawMessage {
	list := make([]json.RawMessage, len(values))
	for i, v := range values {
		list[i] = json.RawMessage(v)
	}
	return list
}

func TestCompare(t *testing.T) {
	got, err := Compare(outputs("1", "2", "9", "9"), outputs("1", "9", "3", "4"), []string{"1", "2", "3", "4"})
	if err != nil {
		t.Fatal(err)
	}
	want := v1alpha1.ScoreStatus{Metric: "accuracy", Champion: 0.5, Challenger: 0.75, Rows: 4, OnlyChampion: 1, OnlyChallenger: 2, P: 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestCompare_refusesWhatCannotBeCompared(t *testing.T) {
	for name, c := range map[string]struct {
		champion, challenger []json.RawMessage
		labels               []string
	}{
		"Nothing":       {nil, nil, nil},
		"AnswerMissing": {outputs("1"), nil, []string{"1"}},
		"NoAnswer":      {outputs("1"), outputs("{"), []string{"1"}},
	} {
		t.Run(name, func(t *testing.T) {
			if s, err := Compare(c.champion, c.challenger, c.labels); err == nil {
				t.Errorf("got %+v without an error", s)
			}
		})
	}
}

// The values are sums of binomial coefficients over powers of two.
func TestMcNemar(t *testing.T) {
	cases := map[string]struct {
		b, c int
		want float64
	}{
		"NoDifference": {0, 0, 1},
		"Balanced":     {5, 5, 1},
		"OneOfTen":     {1, 9, 2 * 11.0 / 1024},
		"NoneOfSix":    {6, 0, 2 * 1.0 / 64},
		"TwoOfTwelve":  {2, 10, 2 * (1 + 12 + 66.0) / 4096},
		"Large":        {0, 1000, 2 * math.Pow(2, -1000)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := McNemar(c.b, c.c); math.Abs(got-c.want) > 1e-11*c.want {
				t.Errorf("got %g, want %g", got, c.want)
			}
		})
	}
}
