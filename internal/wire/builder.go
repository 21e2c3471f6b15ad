package wire

import (
	"encoding/binary"
	"math"
)

// maxRank bounds how deep a tensor's lists may be nested.
const maxRank = 32

// builder turns nested lists into a tensor. The first leaf fixes the rank, the
// first list of each level its size; everything later must agree.
type builder struct {
	typ  DataType
	dims []int64 // -1: the first list of this level is still open
	rank int     // -1: no leaf seen yet
	data []byte
	strs [][]byte
}

func newBuilder(t DataType) *builder { return &builder{typ: t, rank: -1} }

// tensor is the result; a list that is all there is of a level counts.
func (t *builder) tensor(name string) Tensor {
	return Tensor{Name: name, Type: t.typ, Shape: append([]int64{}, t.dims...), Data: t.data, Strings: t.strs}
}

// value takes a leaf or a list that lies below level lists.
func (t *builder) value(c *cursor, level int) error {
	if c.peek() == '[' {
		return t.list(c, level)
	}
	return t.leaf(c, level)
}

func (t *builder) list(c *cursor, level int) error {
	if t.rank >= 0 && level >= t.rank || level >= maxRank {
		most := t.rank
		if most < 0 {
			most = maxRank
		}
		return Errorf(InvalidArgument, "Encountered list at unexpected level: %d expected < %d", level, most)
	}
	if level == len(t.dims) {
		t.dims = append(t.dims, -1)
	}
	c.i++
	size := int64(0)
	more := c.peek() != ']'
	if !more {
		c.i++
	}
	for more {
		taken, err := t.elements(c, level)
		if err != nil {
			return err
		}
		size += taken
		if more, err = c.more(); err != nil {
			return err
		}
	}
	return t.close(level, size)
}

// elements takes one element of a list, or several at once where that is possible.
func (t *builder) elements(c *cursor, level int) (taken int64, err error) {
	if c.peek() == '[' {
		return 1, t.list(c, level+1)
	}
	if t.typ == Float32 && t.mayHoldLeaves(level) {
		if taken = t.plainFloats(c); taken > 0 {
			t.rank = level + 1
		}
	}
	if c.peek() == '[' {
		return taken + 1, t.list(c, level+1)
	}
	return taken + 1, t.leaf(c, level+1)
}

// mayHoldLeaves tells whether a list of this level is an innermost one.
func (t *builder) mayHoldLeaves(level int) bool {
	return t.rank == level+1 || t.rank < 0 && level+1 == len(t.dims)
}

// plainFloats takes elements of an innermost list as long as each is a plain
// decimal followed by a comma: nearly all of what images consist of. Whatever
// else comes is left to the general way, which then takes the next element.
func (t *builder) plainFloats(c *cursor) (taken int64) {
	b, i := c.b, c.i
	if t.data == nil {
		// Numbers of images take about eight bytes of text and four of memory.
		t.data = make([]byte, 0, (len(b)-i)/2)
	}
	data := t.data // a local one, because each change of the field would tell the garbage collector
	for {
		for i < len(b) && (b[i] == ' ' || b[i] == '\n') {
			i++
		}
		f, next, ok := plainFloat(b, i)
		if !ok || next >= len(b) || b[next] != ',' {
			t.data = data
			return taken
		}
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(f))
		i = next + 1
		c.i = i
		taken++
	}
}

// close compares the size of a list with the first one of its level.
func (t *builder) close(level int, size int64) error {
	if t.dims[level] < 0 {
		t.dims[level] = size
		if size == 0 && t.rank < 0 {
			t.rank = level + 1
		}
		return nil
	}
	if t.dims[level] != size {
		return Errorf(InvalidArgument, "Encountered list at unexpected size: %d at level: %d expected size: %d", size, level, t.dims[level])
	}
	return nil
}

func (t *builder) leaf(c *cursor, level int) error {
	if t.rank != level {
		if t.rank >= 0 || level < len(t.dims) {
			value, _ := c.raw()
			return Errorf(InvalidArgument, "JSON Value: %s found at incorrect level: %d in the JSON DOM. Expected at level: %d", excerpt(value), level+1, max(t.rank, len(t.dims)))
		}
		t.rank = level
	}
	switch t.typ {
	case Float32:
		// The case that matters for speed, without a second switch.
		n, err := c.number()
		if err != nil {
			return t.mismatch(c, err)
		}
		t.data = binary.LittleEndian.AppendUint32(t.data, math.Float32bits(n.float32()))
		return nil
	case Bytes:
		if b := c.peek(); b != '"' && b != '{' {
			return t.mismatch(c, nil)
		}
		s, err := c.bytesValue()
		t.strs = append(t.strs, s)
		return err
	case Bool:
		switch c.peek(); {
		case c.literal("true"):
			t.data = append(t.data, 1)
		case c.literal("false"):
			t.data = append(t.data, 0)
		default:
			return t.mismatch(c, nil)
		}
		return nil
	default:
		return t.numeric(c)
	}
}

func (t *builder) numeric(c *cursor) error {
	start := c.i
	n, err := c.number()
	if err != nil {
		return t.mismatch(c, err)
	}
	size := t.typ.Size()
	var bits uint64
	ok := true
	switch t.typ {
	case Float64:
		bits = math.Float64bits(n.float64())
	case Float16:
		bits = uint64(floatToHalf(n.float32()))
	case BFloat16:
		bits = uint64(floatToBFloat(n.float32()))
	case Uint8, Uint16, Uint32, Uint64:
		bits, ok = n.uint64(size * 8)
	default:
		var v int64
		v, ok = n.int64(size * 8)
		bits = uint64(v)
	}
	if !ok {
		c.i = start
		return t.mismatch(c, nil)
	}
	var le [8]byte
	binary.LittleEndian.PutUint64(le[:], bits)
	t.data = append(t.data, le[:size]...)
	return nil
}

// mismatch reports a value of another type, or the syntax error if it is no value at all.
func (t *builder) mismatch(c *cursor, syntax error) error {
	kind := ""
	switch b := c.peek(); {
	case b == '"':
		kind = "String"
	case b == '{':
		kind = "Object"
	case b == 't', b == 'f':
		kind = "Bool"
	case b == 'n':
		kind = "Null"
	case syntax != nil:
		return syntax
	default:
		kind = "Number"
	}
	value, err := c.raw()
	if err != nil {
		return err
	}
	return Errorf(InvalidArgument, "JSON Value: %s Type: %s is not of expected type: %s", excerpt(value), kind, t.typ.info().short)
}

// writer appends elements of a tensor as JSON.
type writer struct {
	t *Tensor
	// float formats a floating-point number; the protocols differ.
	float func(dst []byte, f float64, bits int) []byte
	// base64 says that all elements of a Bytes tensor are written as {"b64": …}.
	base64 bool
	comma  string
}

// element appends element i.
func (w *writer) element(dst []byte, i int) []byte {
	d := w.t.Data
	le := binary.LittleEndian
	switch w.t.Type {
	case Float32:
		return w.float(dst, float64(math.Float32frombits(le.Uint32(d[4*i:]))), 32)
	case Float64:
		return w.float(dst, math.Float64frombits(le.Uint64(d[8*i:])), 64)
	case Float16:
		return w.float(dst, float64(halfToFloat(le.Uint16(d[2*i:]))), 32)
	case BFloat16:
		return w.float(dst, float64(math.Float32frombits(uint32(le.Uint16(d[2*i:]))<<16)), 32)
	case Bytes:
		return appendBytes(dst, w.t.Strings[i], w.base64)
	case Bool:
		if d[i] != 0 {
			return append(dst, "true"...)
		}
		return append(dst, "false"...)
	default:
		return appendInteger(dst, w.t.Type, d, i)
	}
}

// value appends the part of the tensor that begins at element offset and has
// the dimensions from level on, as nested lists.
func (w *writer) value(dst []byte, level, offset int) []byte {
	if level == len(w.t.Shape) {
		return w.element(dst, offset)
	}
	step := 1
	for _, d := range w.t.Shape[level+1:] {
		step *= int(d)
	}
	dst = append(dst, '[')
	for i := range int(w.t.Shape[level]) {
		if i > 0 {
			dst = append(dst, w.comma...)
		}
		dst = w.value(dst, level+1, offset+i*step)
	}
	return append(dst, ']')
}
