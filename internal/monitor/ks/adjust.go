package ks

import "slices"

// Correction for testing several features at once.
type Correction int

const (
	// BenjaminiHochberg bounds the share of false ones among those found.
	BenjaminiHochberg Correction = iota
	// Bonferroni bounds the probability of a single false one.
	Bonferroni
	// None leaves the values as they are.
	None
)

// Adjust returns the p-values so corrected that each may be compared with alpha as it is.
func Adjust(p []float64, c Correction) []float64 {
	adjusted := slices.Clone(p)
	n := float64(len(p))
	switch c {
	case Bonferroni:
		for i := range adjusted {
			adjusted[i] = min(1, adjusted[i]*n)
		}
	case BenjaminiHochberg:
		order := make([]int, len(p))
		for i := range order {
			order[i] = i
		}
		slices.SortFunc(order, func(a, b int) int {
			switch {
			case p[a] > p[b]:
				return -1
			case p[a] < p[b]:
				return 1
			}
			return a - b
		})
		smallest := 1.0
		for k, i := range order { // from the largest down
			smallest = min(smallest, p[i]*n/(n-float64(k)))
			adjusted[i] = smallest
		}
	case None:
	}
	return adjusted
}
