package wire

import (
	"encoding/binary"
	"encoding/json"
	"math"
)

// Row is one row of a request with its answer, as the record of predictions keeps it.
type Row struct {
	// Features are the row's numbers in the order sent, flattened; true is 1,
	// false is 0, what is no number is NaN.
	Features []float64
	// Output is the row's answer as JSON.
	Output json.RawMessage
}

// PredictRows pairs the rows of a :predict request with those of its answer.
// It needs no signature, so whoever forwards requests can use it.
func PredictRows(request, response []byte) ([]Row, error) {
	features, err := predictFeatures(request)
	if err != nil {
		return nil, err
	}
	outputs, err := predictOutputs(response)
	if err != nil {
		return nil, err
	}
	return pair(features, outputs)
}

func pair(features [][]float64, outputs []json.RawMessage) ([]Row, error) {
	if len(features) != len(outputs) {
		return nil, Errorf(InvalidArgument, "%d rows were sent, %d answered", len(features), len(outputs))
	}
	rows := make([]Row, len(features))
	for i := range rows {
		rows[i] = Row{features[i], outputs[i]}
	}
	return rows, nil
}

func predictFeatures(request []byte) ([][]float64, error) {
	c := &cursor{b: request}
	var rows [][]float64
	err := c.object(func(key []byte) error {
		switch string(key) {
		case "instances":
			return c.array(func(int) error {
				row, err := appendLeaves(nil, c, 0)
				rows = append(rows, row)
				return err
			})
		case "inputs":
			if c.peek() == '[' {
				return columnRows(c, &rows)
			}
			return c.object(func([]byte) error { return columnRows(c, &rows) })
		default:
			return c.skip(0)
		}
	})
	return rows, err
}

// columnRows adds a tensor to the right of what the rows already have.
func columnRows(c *cursor, rows *[][]float64) error {
	if c.peek() != '[' {
		return c.skip(0)
	}
	return c.array(func(i int) error {
		for len(*rows) <= i {
			*rows = append(*rows, nil)
		}
		row, err := appendLeaves((*rows)[i], c, 0)
		(*rows)[i] = row
		return err
	})
}

// appendLeaves flattens one value.
func appendLeaves(dst []float64, c *cursor, depth int) ([]float64, error) {
	if depth > maxDepth {
		return nil, Errorf(InvalidArgument, "nested deeper than %d", maxDepth)
	}
	nested := func() (err error) {
		dst, err = appendLeaves(dst, c, depth+1)
		return err
	}
	switch b := c.peek(); {
	case b == '[':
		err := c.array(func(int) error { return nested() })
		return dst, err
	case b == '{':
		err := c.object(func([]byte) error { return nested() })
		return dst, err
	case b == '"':
		_, err := c.string()
		return append(dst, math.NaN()), err
	case c.literal("true"):
		return append(dst, 1), nil
	case c.literal("false"):
		return append(dst, 0), nil
	case c.literal("null"):
		return append(dst, math.NaN()), nil
	default:
		n, err := c.number()
		return append(dst, n.float64()), err
	}
}

func predictOutputs(response []byte) ([]json.RawMessage, error) {
	c := &cursor{b: response}
	var rows []json.RawMessage
	err := c.object(func(key []byte) error {
		switch string(key) {
		case "predictions":
			return c.array(func(int) error {
				raw, err := c.raw()
				rows = append(rows, compact(raw))
				return err
			})
		case "outputs":
			if c.peek() == '[' {
				return c.array(func(int) error {
					raw, err := c.raw()
					rows = append(rows, compact(raw))
					return err
				})
			}
			var named namedRows
			if err := c.object(func(name []byte) error { return named.add(c, name) }); err != nil {
				return err
			}
			rows = named.rows()
			return nil
		default:
			return c.skip(0)
		}
	})
	return rows, err
}

// compact takes the white space out and makes NaN and the infinities null,
// which JSON cannot say.
func compact(raw []byte) json.RawMessage {
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		switch b := raw[i]; b {
		case ' ', '\n', '\t', '\r':
		case '"':
			c := &cursor{b: raw, i: i}
			if _, err := c.string(); err != nil {
				return nil
			}
			out = append(out, raw[i:c.i]...)
			i = c.i - 1
		case 'N', 'I':
			if n := len(out); n > 0 && out[n-1] == '-' {
				out = out[:n-1]
			}
			out = append(out, "null"...)
			for i+1 < len(raw) && raw[i+1]|0x20 >= 'a' && raw[i+1]|0x20 <= 'z' {
				i++
			}
		default:
			out = append(out, b)
		}
	}
	return out
}

// namedRows makes {"a": …, "b": …} per row from one list per output.
type namedRows struct{ list [][]byte }

func (n *namedRows) add(c *cursor, name []byte) error {
	if c.peek() != '[' {
		return c.skip(0)
	}
	return c.array(func(i int) error {
		raw, err := c.raw()
		if err == nil {
			n.put(i, name, compact(raw))
		}
		return err
	})
}

func (n *namedRows) put(i int, name, value []byte) {
	for len(n.list) <= i {
		n.list = append(n.list, nil)
	}
	row := n.list[i]
	if row == nil {
		row = append(row, '{')
	} else {
		row = append(row, ',')
	}
	row = appendString(row, name)
	row = append(row, ':')
	n.list[i] = append(row, value...)
}

func (n *namedRows) rows() []json.RawMessage {
	out := make([]json.RawMessage, len(n.list))
	for i, row := range n.list {
		out[i] = append(row, '}')
	}
	return out
}

// InferRows is [PredictRows] for the Open Inference Protocol; the lengths are
// those of [ParseHeaderLength]. The first dimension of the tensors counts the rows.
func InferRows(request []byte, requestHeader int, response []byte, responseHeader int) ([]Row, error) {
	if requestHeader == 0 {
		return nil, Errorf(Unimplemented, "a raw request says nothing about its rows")
	}
	in, err := ParseInfer(request, requestHeader, nil)
	if err != nil {
		return nil, err
	}
	outputs, err := parseOutputs(response, responseHeader)
	if err != nil {
		return nil, err
	}
	var features [][]float64
	for i := range in.Inputs {
		t := &in.Inputs[i]
		if len(t.Shape) == 0 || t.Shape[0] <= 0 {
			continue
		}
		n := int(t.Shape[0])
		for len(features) < n {
			features = append(features, nil)
		}
		width := t.Len() / n
		for row := range n {
			for k := range width {
				features[row] = append(features[row], t.float64(row*width+k))
			}
		}
	}
	return pair(features, outputRows(outputs))
}

// parseOutputs reads an answer, which has the form of a request with other names.
func parseOutputs(response []byte, header int) ([]Tensor, error) {
	text, tail := response, []byte(nil)
	if header > 0 {
		text, tail = response[:header], response[header:]
	}
	p := inferParser{c: &cursor{b: text}, binary: tail, req: &InferRequest{}}
	var outputs []Tensor
	err := p.c.object(func(key []byte) error {
		if string(key) != "outputs" {
			return p.c.skip(0)
		}
		return p.c.array(func(int) error {
			t, err := p.input()
			outputs = append(outputs, t)
			return err
		})
	})
	return outputs, err
}

func outputRows(outputs []Tensor) []json.RawMessage {
	var named namedRows
	var single []json.RawMessage
	for i := range outputs {
		t := &outputs[i]
		if len(t.Shape) == 0 || t.Shape[0] <= 0 {
			continue
		}
		w := &writer{t: t, float: appendShortest, comma: ","}
		width := t.Len() / int(t.Shape[0])
		for row := range int(t.Shape[0]) {
			value := compact(w.value(nil, 1, row*width))
			if len(outputs) == 1 {
				single = append(single, value)
			} else {
				named.put(row, []byte(t.Name), value)
			}
		}
	}
	if single != nil {
		return single
	}
	return named.rows()
}

// float64 is element i as a number; NaN for strings.
func (t *Tensor) float64(i int) float64 {
	le := binary.LittleEndian
	switch t.Type {
	case Float32:
		return float64(math.Float32frombits(le.Uint32(t.Data[4*i:])))
	case Float64:
		return math.Float64frombits(le.Uint64(t.Data[8*i:]))
	case Float16:
		return float64(halfToFloat(le.Uint16(t.Data[2*i:])))
	case BFloat16:
		return float64(math.Float32frombits(uint32(le.Uint16(t.Data[2*i:])) << 16))
	case Bool, Uint8:
		return float64(t.Data[i])
	case Uint16:
		return float64(le.Uint16(t.Data[2*i:]))
	case Uint32:
		return float64(le.Uint32(t.Data[4*i:]))
	case Uint64:
		return float64(le.Uint64(t.Data[8*i:]))
	case Int8:
		return float64(int8(t.Data[i]))
	case Int16:
		return float64(int16(le.Uint16(t.Data[2*i:])))
	case Int32:
		return float64(int32(le.Uint32(t.Data[4*i:])))
	case Int64:
		return float64(int64(le.Uint64(t.Data[8*i:])))
	default:
		return math.NaN()
	}
}
