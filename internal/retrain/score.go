package retrain

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/kiwerk/kiwerk/api/kiwerk/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/data"
)

// Compare scores the answers of two models to the same rows.
func Compare(champion, challenger []json.RawMessage, labels []string) (v1alpha1.ScoreStatus, error) {
	s := v1alpha1.ScoreStatus{Metric: v1alpha1.MetricAccuracy, Rows: len(labels)}
	if len(champion) != len(labels) || len(challenger) != len(labels) {
		return s, fmt.Errorf("%d rows got %d answers of the champion and %d of the challenger", len(labels), len(champion), len(challenger))
	}
	if len(labels) == 0 {
		return s, errors.New("there is nothing to compare on")
	}
	var a, b int
	for i, label := range labels {
		want, err := json.Marshal(label)
		if err != nil {
			return s, err
		}
		first, err := data.Correct(champion[i], want)
		if err != nil {
			return s, fmt.Errorf("champion, row %d: %w", i, err)
		}
		second, err := data.Correct(challenger[i], want)
		if err != nil {
			return s, fmt.Errorf("challenger, row %d: %w", i, err)
		}
		a, b = a+count(first), b+count(second)
		s.OnlyChampion += count(first && !second)
		s.OnlyChallenger += count(second && !first)
	}
	s.Champion, s.Challenger = float64(a)/float64(len(labels)), float64(b)/float64(len(labels))
	s.P = McNemar(s.OnlyChampion, s.OnlyChallenger)
	return s, nil
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

// McNemar is the exact two-sided p-value for paired answers of which b and c
// were right in one model only: a binomial test with probability 1/2
// (McNemar 1947).
func McNemar(b, c int) float64 {
	n, k := b+c, min(b, c)
	if n == 0 {
		return 1
	}
	// Sum of C(n,i)/2^n for i ≤ k, in logarithms so that large n do not overflow.
	lgn, _ := math.Lgamma(float64(n + 1))
	var tail float64
	for i := range k + 1 {
		li, _ := math.Lgamma(float64(i + 1))
		lr, _ := math.Lgamma(float64(n - i + 1))
		tail += math.Exp(lgn - li - lr - float64(n)*math.Ln2)
	}
	return min(1, 2*tail)
}
