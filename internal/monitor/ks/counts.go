package ks

// Bin is how many values of both samples fell into one bin.
type Bin struct {
	Reference, Window int
	// Point says that all values of the bin are equal, so it hides nothing.
	Point bool
}

// Interval bounds what TwoSample would say about the values behind the counts.
type Interval struct {
	DLow, DHigh float64
	PLow, PHigh float64
	N, M        int
	// Constant says that all values of both samples are equal.
	Constant bool
}

// FromCounts compares two samples of which only counts per bin are known; the
// bins are in ascending order and the same for both.
//
// Both distribution functions are known at the ends of every bin and rise
// inside of it, which bounds the distance from both sides. More ties make
// p-values smaller, so the bounds of p take bins as tied on one side and as
// distinct on the other.
func FromCounts(bins []Bin, ties Ties) Interval {
	n, m, filled := 0, 0, 0
	allPoints := true
	for _, b := range bins {
		n += b.Reference
		m += b.Window
		if b.Reference+b.Window > 0 {
			filled++
			allPoints = allPoints && b.Point
		}
	}
	if n == 0 || m == 0 {
		return Interval{PLow: 1, PHigh: 1, N: n, M: m}
	}
	g := newGrid(n, m)
	var low, high int64
	coarse, fine := make([]bool, n+m+1), make([]bool, n+m+1)
	i, j := 0, 0
	for _, b := range bins {
		if b.Reference+b.Window == 0 {
			continue
		}
		if !b.Point {
			high = max(high, g.distance(i+b.Reference, j), g.distance(i, j+b.Window))
			for k := i + j + 1; k <= i+j+b.Reference+b.Window; k++ {
				fine[k] = true
			}
		}
		i, j = i+b.Reference, j+b.Window
		low = max(low, g.distance(i, j))
		coarse[i+j], fine[i+j] = true, true
	}
	high = max(high, low)
	if ties == TiesIgnored {
		coarse, fine = nil, nil
	}
	r := Interval{DLow: g.ratio(low), DHigh: g.ratio(high), N: n, M: m, Constant: filled == 1 && allPoints}
	r.PHigh = g.tail(low, fine)
	r.PLow = r.PHigh
	if high != low || !allPoints && ties == TiesExact {
		r.PLow = min(r.PHigh, g.tail(high, coarse))
	}
	return r
}
