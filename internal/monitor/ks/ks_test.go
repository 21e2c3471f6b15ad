package ks

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
)

type vectors struct {
	Cases []struct {
		Kind string
		A, B []float64
		D, P float64
	}
	Adjust []struct{ P, BH []float64 }
}

func readVectors(t *testing.T) (v vectors) {
	t.Helper()
	b, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func relative(got, want float64) float64 {
	if got == want {
		return 0
	}
	return math.Abs(got-want) / max(math.Abs(got), math.Abs(want))
}

func TestTwoSample_equalsScipy(t *testing.T) {
	worst := 0.0
	for i, c := range readVectors(t).Cases {
		r := TwoSample(Sorted(c.A), Sorted(c.B), TiesIgnored)
		if math.Abs(r.D-c.D) > 1e-12 || relative(r.P, c.P) > 1e-12 {
			t.Errorf("case %d (%s, %d and %d values): D %v p %v, scipy has %v and %v", i, c.Kind, len(c.A), len(c.B), r.D, r.P, c.D, c.P)
		}
		worst = max(worst, relative(r.P, c.P))
	}
	t.Logf("largest relative difference of p: %.2g", worst)
}

// What R 4.2.2 (ks.test, exact = TRUE) and scipy say of the repeated values in
// scipy's tests: only R sees the ties.
func TestTwoSample_equalsR(t *testing.T) {
	repeated := func(first float64) []float64 {
		return slices.Concat(slices.Repeat([]float64{first}, 3), slices.Repeat([]float64{first + 1}, 4),
			slices.Repeat([]float64{first + 3}, 5), slices.Repeat([]float64{first + 4}, 4))
	}
	for ties, want := range map[Ties]float64{TiesExact: 0.1982098833734952, TiesIgnored: 0.42629346134549484} {
		if got := TwoSample(repeated(2), repeated(3), ties).P; relative(got, want) > 1e-12 {
			t.Errorf("ties %d: p %v, want %v", ties, got, want)
		}
	}
}

// bruteForce counts over all ways to deal the pooled values into two samples.
func bruteForce(a, b []float64) float64 {
	pool := Sorted(append(slices.Clone(a), b...))
	observed := distance(Sorted(a), Sorted(b))
	hits, all := 0.0, 0.0
	for mask := range 1 << len(pool) {
		var x, y []float64
		for k, v := range pool {
			if mask>>k&1 == 1 {
				x = append(x, v)
			} else {
				y = append(y, v)
			}
		}
		if len(x) != len(a) {
			continue
		}
		all++
		if distance(x, y) >= observed-1e-12 {
			hits++
		}
	}
	return hits / all
}

func distance(x, y []float64) (d float64) {
	share := func(s []float64, v float64) float64 {
		n := 0
		for _, e := range s {
			if e <= v {
				n++
			}
		}
		return float64(n) / float64(len(s))
	}
	for _, v := range append(slices.Clone(x), y...) {
		d = max(d, math.Abs(share(x, v)-share(y, v)))
	}
	return d
}

func TestTwoSample_tiesEqualBruteForce(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 300 {
		n, m, levels := 1+rng.IntN(7), 1+rng.IntN(7), 1+rng.IntN(6)
		draw := func(k int) []float64 {
			s := make([]float64, k)
			for i := range s {
				s[i] = float64(rng.IntN(levels))
			}
			return Sorted(s)
		}
		a, b := draw(n), draw(m)
		r, want := TwoSample(a, b, TiesExact), bruteForce(a, b)
		if relative(r.P, want) > 1e-12 || math.Abs(r.D-distance(a, b)) > 1e-12 {
			t.Errorf("case %d: %v and %v: p %v, all arrangements give %v", i, a, b, r.P, want)
		}
	}
}

func TestTwoSample_edges(t *testing.T) {
	cases := map[string]struct {
		a, b     []float64
		d, p     float64
		constant bool
	}{
		"Empty":          {nil, []float64{1}, 0, 1, false},
		"Constant":       {[]float64{0, 0, 0}, []float64{0, 0}, 0, 1, true},
		"TwoConstants":   {[]float64{0, 0, 0}, []float64{1, 1, 1}, 1, 0.1, false},
		"SamePixels":     {[]float64{0, 0, 1, 2}, []float64{0, 0, 1, 2}, 0, 1, false},
		"Infinite":       {[]float64{math.Inf(-1), 0}, []float64{0, math.Inf(1)}, 0.5, 1, false},
		"OnlyInfinities": {[]float64{math.Inf(1)}, []float64{math.Inf(1)}, 0, 1, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := TwoSample(c.a, c.b, TiesExact)
			if relative(r.D, c.d) > 1e-12 || relative(r.P, c.p) > 1e-12 || r.Constant != c.constant {
				t.Errorf("got %+v", r)
			}
		})
	}
}

// bins sorts values into point bins (odd) at the cuts and gaps (even) between them.
func bins(cuts, a, b []float64) []Bin {
	out := make([]Bin, 2*len(cuts)+1)
	index := func(v float64) int {
		i, found := slices.BinarySearch(cuts, v)
		if found {
			return 2*i + 1
		}
		return 2 * i
	}
	for i := range out {
		out[i].Point = i%2 == 1
	}
	for _, v := range a {
		out[index(v)].Reference++
	}
	for _, v := range b {
		out[index(v)].Window++
	}
	return out
}

func TestFromCounts_containsTheExactValues(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	tight := 0
	for i := range 400 {
		n, m, step := 1+rng.IntN(200), 1+rng.IntN(100), math.Pow(2, float64(rng.IntN(6)))
		draw := func(k int, shift float64) []float64 {
			s := make([]float64, k)
			for i := range s {
				s[i] = math.Round((rng.NormFloat64()+shift)*step) / step
			}
			return Sorted(s)
		}
		a, b := draw(n, 0), draw(m, rng.Float64())
		var cuts []float64
		for k := 0; k < n; k += 1 + n/(1+rng.IntN(40)) {
			if len(cuts) == 0 || a[k] > cuts[len(cuts)-1] {
				cuts = append(cuts, a[k])
			}
		}
		for _, ties := range []Ties{TiesExact, TiesIgnored} {
			r, want := FromCounts(bins(cuts, a, b), ties), TwoSample(a, b, ties)
			const e = 1e-12
			if want.D < r.DLow-e || want.D > r.DHigh+e || want.P < r.PLow*(1-e) || want.P > r.PHigh*(1+e) {
				t.Fatalf("case %d, ties %d: D %v p %v are not in %+v", i, ties, want.D, want.P, r)
			}
			if r.PLow == r.PHigh {
				tight++
			}
		}
	}
	t.Logf("%d of 800 intervals are one value", tight)
}

func TestFromCounts_discreteIsExact(t *testing.T) {
	a := []float64{0, 0, 0, 1, 2, 2, 5, 16}
	b := []float64{0, 1, 1, 2, 5, 16, 16}
	r, want := FromCounts(bins([]float64{0, 1, 2, 5, 16}, a, b), TiesExact), TwoSample(a, b, TiesExact)
	if r.DLow != r.DHigh || r.PLow != r.PHigh || r.PLow != want.P || r.DLow != want.D {
		t.Errorf("got %+v, want exactly %+v", r, want)
	}
	if c := FromCounts(bins([]float64{0}, []float64{0, 0}, []float64{0}), TiesExact); !c.Constant || c.PLow != 1 {
		t.Errorf("constant: got %+v", c)
	}
}

func TestAdjust(t *testing.T) {
	for i, c := range readVectors(t).Adjust {
		for k, got := range Adjust(c.P, BenjaminiHochberg) {
			if relative(got, c.BH[k]) > 1e-12 {
				t.Errorf("case %d: adjusted p[%d] %v, scipy has %v", i, k, got, c.BH[k])
			}
		}
	}
	p := []float64{0.01, 0.4, 0.9}
	if got := Adjust(p, Bonferroni); relative(got[0], 0.03) > 1e-12 || got[1] != 1 || p[0] != 0.01 {
		t.Errorf("Bonferroni: %v of %v", got, p)
	}
	if got := Adjust(p, None); !slices.Equal(got, p) {
		t.Errorf("none: %v", got)
	}
	if got := Adjust(nil, BenjaminiHochberg); len(got) != 0 {
		t.Errorf("nothing: %v", got)
	}
}

// Without drift the share of small p-values must not exceed their level, also with pixels.
func TestTwoSample_holdsItsLevel(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	const windows, alpha = 600, 0.05
	below := 0
	for range windows {
		draw := func(k int) []float64 {
			s := make([]float64, k)
			for i := range s {
				s[i] = min(16, max(0, math.Round(rng.NormFloat64()*6+2)))
			}
			return Sorted(s)
		}
		if TwoSample(draw(300), draw(50), TiesExact).P <= alpha {
			below++
		}
	}
	if limit := alpha*windows + 3*math.Sqrt(alpha*(1-alpha)*windows); float64(below) > limit {
		t.Errorf("%d of %d undrifted windows have p ≤ %v, more than %.0f", below, windows, alpha, limit)
	}
}

func BenchmarkTwoSample_pixels(b *testing.B) {
	rng := rand.New(rand.NewPCG(7, 8))
	draw := func(k int) []float64 {
		s := make([]float64, k)
		for i := range s {
			s[i] = math.Round(rng.Float64() * 16)
		}
		return Sorted(s)
	}
	ref, win := draw(900), draw(100)
	for b.Loop() {
		TwoSample(ref, win, TiesExact)
	}
}
