package ks

import (
	"math"
	"slices"
)

// Ties says which null distribution a p-value is taken from.
type Ties int

const (
	// TiesExact conditions on the observed pattern of equal values.
	TiesExact Ties = iota
	// TiesIgnored takes all values as distinct, as scipy does.
	TiesIgnored
)

// Result of a test. P is the probability, without drift, of a distance at least as large as D.
type Result struct {
	D, P float64
	// N and M are the values that were compared: of the reference and of the window.
	N, M int
	// Constant says that all values of both samples are equal, so that the test can tell nothing.
	Constant bool
}

// TwoSample compares two samples, both sorted ascending and without NaN. An
// empty sample gives D 0 and P 1.
func TwoSample(reference, window []float64, ties Ties) Result {
	n, m := len(reference), len(window)
	if n == 0 || m == 0 {
		return Result{P: 1, N: n, M: m}
	}
	g := newGrid(n, m)
	var h int64
	ends := make([]bool, n+m+1)
	for i, j := 0, 0; i < n || j < m; {
		v := math.Inf(1)
		if i < n {
			v = reference[i]
		}
		if j < m {
			v = min(v, window[j])
		}
		for i < n && reference[i] == v {
			i++
		}
		for j < m && window[j] == v {
			j++
		}
		h = max(h, g.distance(i, j))
		ends[i+j] = true
	}
	constant := max(reference[n-1], window[m-1]) == min(reference[0], window[0]) // both are sorted
	if ties == TiesIgnored {
		ends = nil
	}
	return Result{D: g.ratio(h), P: g.tail(h, ends), N: n, M: m, Constant: constant}
}

// Sorted returns the values without NaN, ascending.
func Sorted(values []float64) []float64 {
	s := make([]float64, 0, len(values))
	for _, v := range values {
		if !math.IsNaN(v) {
			s = append(s, v)
		}
	}
	slices.Sort(s)
	return s
}

// grid is the lattice of the paths that merge n and m values. Distances are
// whole multiples of 1/lcm(n, m), so nothing is rounded when they are compared.
type grid struct {
	n, m   int
	nu, mu int64 // n and m divided by their greatest common divisor
	gcd    int64
}

func newGrid(n, m int) grid {
	a, b := int64(n), int64(m)
	for b != 0 {
		a, b = b, a%b
	}
	return grid{n: n, m: m, nu: int64(n) / a, mu: int64(m) / a, gcd: a}
}

// distance of the two empirical distribution functions after i and j values, in units of 1/lcm.
func (g grid) distance(i, j int) int64 {
	d := int64(i)*g.mu - int64(j)*g.nu
	if d < 0 {
		return -d
	}
	return d
}

func (g grid) ratio(h int64) float64 { return float64(h) / (float64(g.nu) * float64(g.m)) }

// tail is the probability that a random path reaches distance h at a position
// k with ends[k]; nil ends means every position.
//
// out(i,j), the probability that a random path to (i,j) has been outside, is 1
// where (i,j) itself is outside and else the mean of its two predecessors,
// weighted with the share of paths that come from each.
func (g grid) tail(h int64, ends []bool) float64 {
	if h <= 0 {
		return 1
	}
	out := make([]float64, g.m+1)
	for j := 1; j <= g.m; j++ {
		out[j] = out[j-1]
		if g.outside(0, j, h, ends) {
			out[j] = 1
		}
	}
	for i := 1; i <= g.n; i++ {
		if ends == nil {
			g.rowUntied(out, i, h)
			continue
		}
		if g.outside(i, 0, h, ends) {
			out[0] = 1
		}
		for j := 1; j <= g.m; j++ {
			if g.outside(i, j, h, ends) {
				out[j] = 1
				continue
			}
			out[j] = (float64(i)*out[j] + float64(j)*out[j-1]) / float64(i+j)
		}
	}
	return min(out[g.m], 1)
}

func (g grid) outside(i, j int, h int64, ends []bool) bool {
	return (ends == nil || ends[i+j]) && g.distance(i, j) >= h
}

// rowUntied computes row i where every position counts: only the band around
// the diagonal is inside. What lies right of it is still 1 from row 0, and what
// the band has left behind is not read again.
func (g grid) rowUntied(out []float64, i int, h int64) {
	centre := int64(i) * g.mu
	first := max(0, floorDiv(centre-h, g.nu)+1)
	last := min(int64(g.m), floorDiv(centre+h-1, g.nu))
	left := 1.0
	if first == 0 {
		left = out[0]
		first = 1
	}
	for j := first; j <= last; j++ {
		left = (float64(i)*out[j] + float64(j)*left) / float64(int64(i)+j)
		out[j] = left
	}
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}

// Detectable is about the smallest distance between n and m values that has a
// p-value below alpha (asymptotic). Anything smaller cannot be seen.
func Detectable(n, m int, alpha float64) float64 {
	if n == 0 || m == 0 {
		return 1
	}
	return min(1, math.Sqrt(-math.Log(alpha/2)/2*(1/float64(n)+1/float64(m))))
}
