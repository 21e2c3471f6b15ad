package data

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
)

// maxCuts bounds the bins of a feature to 2·maxCuts+1. Reference data with
// fewer distinct values lose nothing.
const maxCuts = 2048

// Profile divides the values of each feature at quantiles of the reference.
// With k cuts there are 2k+1 bins: a gap below the first cut (bin 0), then each
// cut itself (odd bins) and the gap above it (even bins).
type Profile struct {
	Names []string    `json:"names"`
	Cuts  [][]float64 `json:"cuts"`
}

// NewProfile makes a profile of reference columns; NaN is left out.
func NewProfile(names []string, columns [][]float64) Profile {
	p := Profile{Names: names, Cuts: make([][]float64, len(columns))}
	for f, column := range columns {
		values := make([]float64, 0, len(column))
		for _, v := range column {
			if !math.IsNaN(v) && !math.IsInf(v, 0) {
				values = append(values, v)
			}
		}
		slices.Sort(values)
		distinct := slices.Compact(slices.Clone(values))
		if len(distinct) > maxCuts {
			distinct = distinct[:0]
			for i := range maxCuts {
				distinct = append(distinct, values[i*(len(values)-1)/(maxCuts-1)])
			}
			distinct = slices.Compact(distinct)
		}
		p.Cuts[f] = distinct
	}
	return p
}

// Bin is the bin of a value of feature f.
func (p Profile) Bin(f int, v float64) int {
	i, found := slices.BinarySearch(p.Cuts[f], v)
	if found {
		return 2*i + 1
	}
	return 2 * i
}

// Bins is the number of bins of feature f.
func (p Profile) Bins(f int) int { return 2*len(p.Cuts[f]) + 1 }

// Point tells whether all values of a bin are equal.
func Point(bin int) bool { return bin%2 == 1 }

// Digest identifies the profile.
func (p Profile) Digest() string {
	h := sha256.New()
	var b [8]byte
	for f, cuts := range p.Cuts {
		fmt.Fprintf(h, "%q %d\n", p.Names[f], len(cuts))
		for _, c := range cuts {
			binary.LittleEndian.PutUint64(b[:], math.Float64bits(c))
			h.Write(b[:])
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}

// Counts is how many rows of a window fell into which bin, per feature. It
// holds no value of any row.
type Counts struct {
	// Rows that were counted.
	Rows int
	// Features has the filled bins of each feature.
	Features []map[int]int
}

// NewCounts returns counts of no row.
func NewCounts(features int) *Counts {
	c := &Counts{Features: make([]map[int]int, features)}
	for f := range c.Features {
		c.Features[f] = map[int]int{}
	}
	return c
}

// Add counts a row. Rows with another number of features are left out, as are single missing values.
func (c *Counts) Add(p Profile, row []float64) {
	if len(row) != len(p.Cuts) {
		return
	}
	c.Rows++
	for f, v := range row {
		if !math.IsNaN(v) {
			c.Features[f][p.Bin(f, v)]++
		}
	}
}

// encode writes the filled bins as differences, which is a few bytes each.
func (c *Counts) encode() []byte {
	b := binary.AppendUvarint(nil, uint64(len(c.Features)))
	for _, bins := range c.Features {
		b = binary.AppendUvarint(b, uint64(len(bins)))
		last := 0
		for _, bin := range slices.Sorted(maps.Keys(bins)) {
			b = binary.AppendUvarint(b, uint64(bin-last))
			b = binary.AppendUvarint(b, uint64(bins[bin]))
			last = bin
		}
	}
	return b
}

var errCounts = errors.New("stored counts are damaged")

func decodeCounts(b []byte, rows int) (*Counts, error) {
	next := func() (int, error) {
		v, n := binary.Uvarint(b)
		if n <= 0 || v > math.MaxInt32 {
			return 0, errCounts
		}
		b = b[n:]
		return int(v), nil
	}
	features, err := next()
	if err != nil || features > len(b)+1 {
		return nil, errCounts
	}
	c := NewCounts(features)
	c.Rows = rows
	for f := range c.Features {
		filled, err := next()
		if err != nil {
			return nil, err
		}
		bin := 0
		for range filled {
			step, err := next()
			if err != nil {
				return nil, err
			}
			count, err := next()
			if err != nil {
				return nil, err
			}
			bin += step
			c.Features[f][bin] += count
		}
	}
	return c, nil
}

// encodeRow keeps the exact bits of a row.
func encodeRow(row []float64) []byte {
	b := make([]byte, 0, 8*len(row))
	for _, v := range row {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	return b
}

func decodeRow(b []byte) []float64 {
	row := make([]float64, len(b)/8)
	for i := range row {
		row[i] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
	}
	return row
}
