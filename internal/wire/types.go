package wire

import (
	"fmt"
	"math"
	"strings"
)

// DataType is the type of a tensor's elements.
type DataType uint8

// The element types that the protocols can carry.
const (
	Invalid DataType = iota
	Bool
	Uint8
	Uint16
	Uint32
	Uint64
	Int8
	Int16
	Int32
	Int64
	Float16
	BFloat16
	Float32
	Float64
	Bytes
)

type typeInfo struct {
	oip, tf, short string // names: Open Inference Protocol, TensorFlow's enum, TensorFlow's error texts
	size           int    // bytes of an element, 0 for Bytes
}

var types = [...]typeInfo{
	Invalid:  {"INVALID", "DT_INVALID", "invalid", 0},
	Bool:     {"BOOL", "DT_BOOL", "bool", 1},
	Uint8:    {"UINT8", "DT_UINT8", "uint8", 1},
	Uint16:   {"UINT16", "DT_UINT16", "uint16", 2},
	Uint32:   {"UINT32", "DT_UINT32", "uint32", 4},
	Uint64:   {"UINT64", "DT_UINT64", "uint64", 8},
	Int8:     {"INT8", "DT_INT8", "int8", 1},
	Int16:    {"INT16", "DT_INT16", "int16", 2},
	Int32:    {"INT32", "DT_INT32", "int32", 4},
	Int64:    {"INT64", "DT_INT64", "int64", 8},
	Float16:  {"FP16", "DT_HALF", "half", 2},
	BFloat16: {"BF16", "DT_BFLOAT16", "bfloat16", 2},
	Float32:  {"FP32", "DT_FLOAT", "float", 4},
	Float64:  {"FP64", "DT_DOUBLE", "double", 8},
	Bytes:    {"BYTES", "DT_STRING", "string", 0},
}

func (t DataType) info() typeInfo {
	if int(t) >= len(types) {
		return types[Invalid]
	}
	return types[t]
}

// String is the name in the Open Inference Protocol.
func (t DataType) String() string { return t.info().oip }

// TensorFlow is the name in TensorFlow's enum, e.g. DT_FLOAT.
func (t DataType) TensorFlow() string { return t.info().tf }

// Size of one element in bytes; 0 for Bytes, whose elements differ in length.
func (t DataType) Size() int { return t.info().size }

// ParseDataType finds a type by its name in the Open Inference Protocol.
func ParseDataType(name string) (DataType, bool) {
	for t, info := range types {
		if t != int(Invalid) && info.oip == name {
			return DataType(t), true
		}
	}
	return Invalid, false
}

// Tensor is a named block of elements in row-major order.
type Tensor struct {
	Name  string
	Type  DataType
	Shape []int64
	// Data are the elements, little-endian; nil for Bytes.
	Data []byte
	// Strings are the elements of a Bytes tensor.
	Strings [][]byte
}

// Len is the number of elements that the tensor holds.
func (t *Tensor) Len() int {
	if t.Type == Bytes {
		return len(t.Strings)
	}
	if n := t.Type.Size(); n > 0 {
		return len(t.Data) / n
	}
	return 0
}

// mostEmpty bounds the lists of a tensor without elements: nothing else would,
// because no bytes need to be sent for them.
const mostEmpty = 1 << 16

// Elements multiplies a shape; false when a dimension is negative, when the
// product overflows, or when a tensor without elements has absurdly many lists.
func Elements(shape []int64) (int64, bool) {
	n, zero := int64(1), false
	for _, d := range shape {
		if d < 0 || d > 0 && n > math.MaxInt64/64/d {
			return 0, false
		}
		if d == 0 {
			zero = true
			continue
		}
		n *= d
	}
	if zero {
		return 0, n <= mostEmpty
	}
	return n, true
}

// Spec is what a model says about one of its inputs or outputs; a dimension of
// -1 may have any size.
type Spec struct {
	Name  string
	Type  DataType
	Shape []int64
}

// Signature is what a model takes and gives.
type Signature struct {
	Inputs, Outputs []Spec
}

// Check compares tensors with the model's inputs: each exactly once, with its
// type and a shape that fits. It returns them in the model's order.
func (s Signature) Check(inputs []Tensor) ([]Tensor, error) {
	ordered := make([]Tensor, len(s.Inputs))
	for i, spec := range s.Inputs {
		found := -1
		for j := range inputs {
			if inputs[j].Name == spec.Name {
				if found >= 0 {
					return nil, Errorf(InvalidArgument, "input %q is given twice", spec.Name)
				}
				found = j
			}
		}
		if found < 0 {
			return nil, Errorf(InvalidArgument, "input %q is missing; the model takes %s", spec.Name, s.takes())
		}
		if err := spec.check(&inputs[found]); err != nil {
			return nil, err
		}
		ordered[i] = inputs[found]
	}
	if len(inputs) > len(s.Inputs) {
		for i := range inputs {
			if !s.has(inputs[i].Name) {
				return nil, Errorf(InvalidArgument, "unexpected input %q; the model takes %s", inputs[i].Name, s.takes())
			}
		}
	}
	return ordered, nil
}

func (s Signature) has(name string) bool {
	for _, spec := range s.Inputs {
		if spec.Name == name {
			return true
		}
	}
	return false
}

func (s Signature) takes() string {
	if len(s.Inputs) == 0 {
		return "no inputs"
	}
	parts := make([]string, len(s.Inputs))
	for i, spec := range s.Inputs {
		parts[i] = fmt.Sprintf("%q %s%s", spec.Name, spec.Type, shapeText(spec.Shape))
	}
	return strings.Join(parts, ", ")
}

func (s Spec) check(t *Tensor) error {
	if t.Type != s.Type {
		return Errorf(InvalidArgument, "input %q has datatype %s, the model takes %s", s.Name, t.Type, s.Type)
	}
	fits := len(t.Shape) == len(s.Shape)
	for i := 0; fits && i < len(s.Shape); i++ {
		fits = s.Shape[i] < 0 || s.Shape[i] == t.Shape[i]
	}
	if !fits {
		return Errorf(InvalidArgument, "input %q has shape %s, the model takes %s", s.Name, shapeText(t.Shape), shapeText(s.Shape))
	}
	return nil
}

func shapeText(shape []int64) string {
	return strings.ReplaceAll(fmt.Sprint(shape), " ", ",")
}
