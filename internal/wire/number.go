package wire

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
)

// number is a scanned JSON number: ±mant × 10^exp, exact unless long.
type number struct {
	mant    uint64
	exp     int
	neg     bool
	integer bool // written without fraction and exponent
	long    bool // more digits than mant can hold; the text decides
	special bool // NaN or an infinity
	value   float64
	text    []byte
}

// number takes a JSON number, NaN, Infinity or -Infinity.
//
//nolint:gocognit // One pass over digits, point and exponent; splitting it costs a fifth of the speed.
func (c *cursor) number() (number, error) {
	c.peek()
	start := c.i
	b := c.b
	i := c.i
	n := number{integer: true}
	if i < len(b) && b[i] == '-' {
		n.neg = true
		i++
	}
	first := i
	digits := 0
	for ; i < len(b) && b[i]-'0' <= 9; i++ {
		if digits++; digits <= 19 {
			n.mant = n.mant*10 + uint64(b[i]-'0')
		} else {
			n.exp++
		}
	}
	if i == first {
		return c.special(n)
	}
	if b[first] == '0' && i > first+1 {
		return n, c.syntax(errValue)
	}
	if n.mant == 0 {
		digits = 0
	}
	if i < len(b) && b[i] == '.' {
		n.integer = false
		i++
		first = i
		for ; i < len(b) && b[i]-'0' <= 9; i++ {
			if n.mant == 0 && b[i] == '0' {
				n.exp--
				continue
			}
			if digits++; digits <= 19 {
				n.mant = n.mant*10 + uint64(b[i]-'0')
				n.exp--
			}
		}
		if i == first {
			c.i = i
			return n, c.syntax("Miss fraction part in number.")
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		n.integer = false
		var ok bool
		if i, ok = n.exponent(b, i+1); !ok {
			c.i = i
			return n, c.syntax("Miss exponent in number.")
		}
	}
	n.long = digits > 19
	n.text = b[start:i]
	c.i = i
	return n, nil
}

func (n *number) exponent(b []byte, i int) (int, bool) {
	neg := false
	if i < len(b) && (b[i] == '+' || b[i] == '-') {
		neg = b[i] == '-'
		i++
	}
	first, e := i, 0
	for ; i < len(b) && b[i]-'0' <= 9; i++ {
		if e < 1<<20 {
			e = e*10 + int(b[i]-'0')
		}
	}
	if neg {
		e = -e
	}
	n.exp += e
	return i, i > first
}

func (c *cursor) special(n number) (number, error) {
	start := c.i
	if n.neg {
		c.i++
	}
	switch {
	case !n.neg && c.literal("NaN"):
		n.value = math.NaN()
	case c.literal("Infinity"), c.literal("Inf"):
		n.value = math.Inf(1)
		if n.neg {
			n.value = math.Inf(-1)
		}
	default:
		c.i = start
		if start >= len(c.b) {
			return n, c.syntax(errEmpty)
		}
		return n, c.syntax(errValue)
	}
	n.special, n.integer = true, false
	n.text = c.b[start:c.i]
	return n, nil
}

// Powers of ten that a float64 holds exactly.
var pow10 = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// float64 is the nearest double. Both factors are exact in the quick case, so
// the single rounding of the product or quotient is the right one.
func (n *number) float64() float64 {
	if n.special {
		return n.value
	}
	if n.mant < 1<<53 && !n.long && -22 <= n.exp && n.exp <= 22 {
		f := float64(n.mant)
		if n.exp < 0 {
			f /= pow10[-n.exp]
		} else {
			f *= pow10[n.exp]
		}
		if n.neg {
			f = -f
		}
		return f
	}
	f, _ := strconv.ParseFloat(string(n.text), 64) // out of range gives the infinity, as servers do
	return f
}

// float32 is the nearest float. Going through a double would round twice; that
// differs only when the double lies next to the middle of two floats.
func (n *number) float32() float32 {
	d := n.float64()
	const half = 1 << 28
	low := math.Float64bits(d) & (1<<29 - 1)
	if low >= half-1 && low <= half+1 && !n.special || d != 0 && math.Abs(d) < 0x1p-126 {
		f, _ := strconv.ParseFloat(string(n.text), 32)
		return float32(f)
	}
	return float32(d)
}

// int64 is the integer, false if the number is none or does not fit into bits.
func (n *number) int64(bits int) (int64, bool) {
	if !n.integer || n.long || n.exp != 0 {
		return 0, false
	}
	limit := uint64(1) << (bits - 1)
	if n.neg {
		return -int64(n.mant), n.mant <= limit
	}
	return int64(n.mant), n.mant < limit
}

func (n *number) uint64(bits int) (uint64, bool) {
	if !n.integer || n.neg && n.mant != 0 {
		return 0, false
	}
	if n.long || n.exp != 0 {
		v, err := strconv.ParseUint(string(n.text), 10, bits)
		return v, err == nil
	}
	return n.mant, bits == 64 || n.mant < 1<<bits
}

// someDigits reads up to eight digits at once and tells how many there were.
// Each of the last steps adds neighbours in parallel: first digits to pairs,
// then pairs to fours, then fours to eight.
func someDigits(b []byte) (value uint64, count int) {
	if len(b) < 8 {
		return 0, 0
	}
	v := binary.LittleEndian.Uint64(b)
	const high, six = 0xf0f0f0f0f0f0f0f0, 0x0606060606060606
	// A byte that is a digit has 3 in its upper half, also after 6 was added.
	other := (v&high | (v+six)&high>>4) ^ 0x3333333333333333
	count = bits.TrailingZeros64(other) / 8
	if count == 0 {
		return 0, 0
	}
	v = (v - 0x3030303030303030) << (64 - 8*count) // what is missing becomes leading zeros
	v = v*10 + v>>8
	return ((v&0xff_0000_00ff)*(100+1_000_000<<32) + (v>>16&0xff_0000_00ff)*(1+10_000<<32)) >> 32 & 0xffff_ffff, count
}

var pow10Whole = [...]uint64{1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000}

// plainFloat reads digits with at most one point, where 15 digits are enough
// and the nearest double is not near the middle of two floats; see [number.float32].
func plainFloat(b []byte, i int) (f float32, next int, ok bool) {
	start := i
	neg := i < len(b) && b[i] == '-'
	if neg {
		i++
	}
	first, mant, point := i, uint64(0), -1
	for ; i < len(b); i++ {
		if d := b[i] - '0'; d <= 9 {
			mant = mant*10 + uint64(d)
		} else if b[i] == '.' && point < 0 {
			point = i
			some, count := someDigits(b[i+1:])
			mant = mant*pow10Whole[count] + some
			i += count
		} else {
			break
		}
	}
	if n := i - first; n == 0 || n > 16 || i-1 == point || first == point || b[first] == '0' && n > 1 && point != first+1 {
		return 0, start, false
	}
	d := float64(mant)
	if point >= 0 {
		if mant >= 1<<53 {
			return 0, start, false
		}
		d /= pow10[i-1-point]
	}
	const half = 1 << 28
	if low := math.Float64bits(d) & (1<<29 - 1); low >= half-1 && low <= half+1 {
		return 0, start, false
	}
	if neg {
		d = -d
	}
	return float32(d), i, true
}

// appendFloat writes a number as TensorFlow Serving does: six digits if they
// are enough to read the same number back, else as many as always are; whole
// numbers get ".0" unless they are in scientific form.
func appendFloat(dst []byte, f float64, bits int) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, "NaN"...)
	case math.IsInf(f, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(f, -1):
		return append(dst, "-Infinity"...)
	}
	start := len(dst)
	dst = strconv.AppendFloat(dst, f, 'g', -1, bits)
	if significant(dst[start:]) > 6 {
		enough := 9
		if bits == 64 {
			enough = 17
		}
		dst = strconv.AppendFloat(dst[:start], f, 'g', enough, bits)
	}
	for _, b := range dst[start:] {
		if b == '.' || b == 'e' {
			return dst
		}
	}
	return append(dst, '.', '0')
}

// significant counts the digits of a formatted number without zeros at either end.
func significant(text []byte) int {
	count, zeros := 0, 0
	for _, b := range text {
		switch {
		case b == 'e':
			return count
		case b == '0':
			if count > 0 {
				zeros++
			}
		case '1' <= b && b <= '9':
			count += zeros + 1
			zeros = 0
		}
	}
	return count
}

// appendShortest writes the shortest text that reads back as the same number.
func appendShortest(dst []byte, f float64, bits int) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return appendFloat(dst, f, bits)
	}
	start := len(dst)
	dst = strconv.AppendFloat(dst, f, 'g', -1, bits)
	for _, b := range dst[start:] {
		if b == '.' || b == 'e' {
			return dst
		}
	}
	return append(dst, '.', '0')
}

// halfToFloat widens an IEEE 754 half.
func halfToFloat(h uint16) float32 {
	sign := uint32(h>>15) << 31
	exp, frac := uint32(h>>10&0x1f), uint32(h&0x3ff)
	switch exp {
	case 0x1f:
		return math.Float32frombits(sign | 0xff<<23 | frac<<13)
	case 0:
		f := float32(frac) * 0x1p-24
		return math.Float32frombits(sign | math.Float32bits(f))
	default:
		return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
	}
}

// floatToHalf narrows to the nearest IEEE 754 half, ties to even.
func floatToHalf(f float32) uint16 {
	bits := math.Float32bits(f)
	sign := uint16(bits >> 16 & 0x8000)
	abs := bits & 0x7fffffff
	switch {
	case abs > 0x7f800000:
		return sign | 0x7e00
	case abs >= 0x477ff000: // rounds to 2^16 or more
		return sign | 0x7c00
	case abs < 0x38800000: // below the smallest normal half: counted in units of 2^-24
		return sign | uint16(math.RoundToEven(float64(math.Float32frombits(abs))*0x1p24))
	default:
		abs += 0xfff + abs>>13&1
		return sign | uint16((abs-(112<<23))>>13)
	}
}

// floatToBFloat keeps the upper half of a float, rounded to even.
func floatToBFloat(f float32) uint16 {
	bits := math.Float32bits(f)
	if f != f {
		return uint16(bits>>16) | 0x40
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}
