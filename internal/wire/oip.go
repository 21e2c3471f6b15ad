package wire

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"strconv"
	"unsafe"
)

// HeaderLength is the header of the binary tensor extension: how many bytes of
// the body are JSON.
const HeaderLength = "Inference-Header-Content-Length"

// InferRequest is a decoded body of the Open Inference Protocol's infer.
type InferRequest struct {
	ID     string
	Inputs []Tensor
	// Outputs asked for; empty means all.
	Outputs []InferOutput
	// BinaryOutputs is the wish for outputs that do not say it themselves.
	BinaryOutputs bool
}

// InferOutput is an output that a request asks for.
type InferOutput struct {
	Name   string
	Binary bool
}

// Binary tells whether the output is to be sent as bytes behind the JSON.
func (r *InferRequest) Binary(output string) bool {
	for _, o := range r.Outputs {
		if o.Name == output {
			return o.Binary
		}
	}
	return r.BinaryOutputs
}

// Wanted filters outputs by what the request asks for, in the order asked.
func (r *InferRequest) Wanted(outputs []Tensor) ([]Tensor, error) {
	if len(r.Outputs) == 0 {
		return outputs, nil
	}
	list := make([]Tensor, 0, len(r.Outputs))
next:
	for _, o := range r.Outputs {
		for i := range outputs {
			if outputs[i].Name == o.Name {
				list = append(list, outputs[i])
				continue next
			}
		}
		return nil, Errorf(InvalidArgument, "unexpected inference output %q", o.Name)
	}
	return list, nil
}

// ParseHeaderLength reads the header of the binary extension; -1 when there is none.
func ParseHeaderLength(header string, body int) (int, error) {
	if header == "" {
		return -1, nil
	}
	n, err := strconv.Atoi(header)
	if err != nil || n < 0 || n > body {
		return 0, Errorf(InvalidArgument, "%s is %q, but the body has %d bytes", HeaderLength, header, body)
	}
	return n, nil
}

// ParseInfer decodes a body; headerLength is the result of [ParseHeaderLength].
// A header length of 0 is a raw request: the bytes of the only input.
func ParseInfer(body []byte, headerLength int, inputs []Spec) (*InferRequest, error) {
	if headerLength == 0 {
		return parseRaw(body, inputs)
	}
	text, binary := body, []byte(nil)
	if headerLength > 0 {
		text, binary = body[:headerLength], body[headerLength:]
	}
	c := &cursor{b: text}
	if c.peek() == 0 {
		return nil, c.syntax(errEmpty)
	}
	p := inferParser{c: c, binary: binary, req: &InferRequest{}}
	if err := c.object(p.member); err != nil {
		return nil, err
	}
	if err := c.end(); err != nil {
		return nil, err
	}
	for i := range p.req.Outputs {
		if !p.explicit[i] {
			p.req.Outputs[i].Binary = p.req.BinaryOutputs
		}
	}
	if len(p.binary) > 0 {
		return nil, Errorf(InvalidArgument, "%d bytes follow the last binary input", len(p.binary))
	}
	return p.req, nil
}

// parseRaw makes the only input from the whole body; one dimension may be open.
func parseRaw(body []byte, inputs []Spec) (*InferRequest, error) {
	if len(inputs) != 1 {
		return nil, Errorf(InvalidArgument, "a raw request needs a model with exactly one input, this one has %d", len(inputs))
	}
	spec := inputs[0]
	t := Tensor{Name: spec.Name, Type: spec.Type, Shape: append([]int64{}, spec.Shape...)}
	if spec.Type == Bytes {
		for i := range t.Shape {
			t.Shape[i] = 1
		}
		t.Strings = [][]byte{body}
		return &InferRequest{Inputs: []Tensor{t}, BinaryOutputs: true}, nil
	}
	open, known := -1, int64(spec.Type.Size())
	for i, d := range spec.Shape {
		if d >= 0 {
			known *= d
			continue
		}
		if open >= 0 {
			return nil, Errorf(InvalidArgument, "a raw request needs an input with at most one open dimension, %q has shape %s", spec.Name, shapeText(spec.Shape))
		}
		open = i
	}
	if open >= 0 && known > 0 && int64(len(body))%known == 0 {
		t.Shape[open] = int64(len(body)) / known
		known = int64(len(body))
	}
	if int64(len(body)) != known {
		return nil, Errorf(InvalidArgument, "raw request of %d bytes does not fit input %q of shape %s and type %s", len(body), spec.Name, shapeText(spec.Shape), spec.Type)
	}
	t.Data = aligned(body)
	return &InferRequest{Inputs: []Tensor{t}, BinaryOutputs: true}, nil
}

type inferParser struct {
	c        *cursor
	binary   []byte // bytes behind the JSON that no input has taken yet
	req      *InferRequest
	explicit []bool // of Outputs: said itself whether it is binary
}

func (p *inferParser) member(key []byte) error {
	switch string(key) {
	case "id":
		if p.c.peek() != '"' {
			return p.c.skip(0) // clients send null for none
		}
		id, err := p.c.string()
		p.req.ID = string(id)
		return err
	case "inputs":
		return p.c.array(func(i int) error {
			t, err := p.input()
			if err != nil {
				return within(err, "Failed to process element: %d of 'inputs'.", i)
			}
			p.req.Inputs = append(p.req.Inputs, t)
			return nil
		})
	case "outputs":
		return p.c.array(func(int) error { return p.output() })
	case "parameters":
		return p.parameters(func(name []byte) error {
			if string(name) != "binary_data_output" {
				return p.c.skip(0)
			}
			return p.boolean(&p.req.BinaryOutputs)
		})
	default:
		return p.c.skip(0)
	}
}

func (p *inferParser) parameters(each func(name []byte) error) error {
	if p.c.peek() != '{' {
		return p.c.skip(0)
	}
	return p.c.object(each)
}

func (p *inferParser) boolean(v *bool) error {
	p.c.peek()
	*v = p.c.literal("true")
	if !*v && !p.c.literal("false") {
		return Errorf(InvalidArgument, "expected true or false at offset: %d", p.c.i)
	}
	return nil
}

func (p *inferParser) output() error {
	var out InferOutput
	explicit := false
	err := p.c.object(func(key []byte) error {
		switch string(key) {
		case "name":
			name, err := p.c.string()
			out.Name = string(name)
			return err
		case "parameters":
			return p.parameters(func(name []byte) error {
				if string(name) != "binary_data" {
					return p.c.skip(0)
				}
				explicit = true
				return p.boolean(&out.Binary)
			})
		default:
			return p.c.skip(0)
		}
	})
	p.req.Outputs = append(p.req.Outputs, out)
	p.explicit = append(p.explicit, explicit)
	return err
}

// element is an input while it is read. Its data may stand before its
// datatype; then it is skipped first and read again at the end.
type element struct {
	Tensor

	built  *builder
	dataAt int   // -1: none yet
	size   int64 // of its binary data; -1: none
}

// input takes one element of "inputs".
func (p *inferParser) input() (Tensor, error) {
	e := &element{dataAt: -1, size: -1}
	if err := p.c.object(func(key []byte) error { return p.inputMember(e, key) }); err != nil {
		return e.Tensor, err
	}
	return e.Tensor, p.complete(e)
}

func (p *inferParser) inputMember(e *element, key []byte) error {
	switch string(key) {
	case "name":
		name, err := p.c.string()
		e.Name = string(name)
		return err
	case "datatype":
		name, err := p.c.string()
		if err != nil {
			return err
		}
		var ok bool
		if e.Type, ok = ParseDataType(string(name)); !ok {
			return Errorf(InvalidArgument, "input %q has unknown datatype %q", e.Name, name)
		}
		return nil
	case "shape":
		e.Shape = []int64{}
		return p.c.array(func(int) error { return p.dimension(&e.Tensor) })
	case "parameters":
		return p.parameters(func(name []byte) error {
			if string(name) != "binary_data_size" {
				return p.c.skip(0)
			}
			return p.size(&e.size)
		})
	case "data":
		p.c.peek()
		e.dataAt = p.c.i
		if e.Type == Invalid {
			return p.c.skip(0)
		}
		e.built = newBuilder(e.Type)
		return e.built.value(p.c, 0)
	default:
		return p.c.skip(0)
	}
}

// complete checks an element and gives it its data.
func (p *inferParser) complete(e *element) error {
	if e.Name == "" || e.Type == Invalid || e.Shape == nil {
		return Errorf(InvalidArgument, "an input needs name, shape and datatype")
	}
	want, ok := Elements(e.Shape)
	if !ok {
		return Errorf(InvalidArgument, "input %q has the impossible shape %s", e.Name, shapeText(e.Shape))
	}
	if e.size >= 0 {
		return p.takeBinary(&e.Tensor, e.size, want)
	}
	if e.dataAt < 0 {
		return Errorf(InvalidArgument, "input %q has neither data nor parameters.binary_data_size", e.Name)
	}
	b := e.built
	if b == nil || b.typ != e.Type {
		b = newBuilder(e.Type)
		if err := b.value(&cursor{b: p.c.b, i: e.dataAt}, 0); err != nil {
			return err
		}
	}
	e.Data, e.Strings = b.data, b.strs
	if got := int64(e.Len()); got != want {
		return Errorf(InvalidArgument, "input %q has %d elements, its shape %s needs %d", e.Name, got, shapeText(e.Shape), want)
	}
	if len(b.dims) > 1 && shapeText(b.dims) != shapeText(e.Shape) {
		return Errorf(InvalidArgument, "input %q has data nested as %s, its shape is %s", e.Name, shapeText(b.dims), shapeText(e.Shape))
	}
	return nil
}

func (p *inferParser) dimension(t *Tensor) error {
	n, err := p.c.number()
	if err != nil {
		return err
	}
	d, ok := n.int64(64)
	if !ok || len(t.Shape) >= maxRank {
		return Errorf(InvalidArgument, "input %q: shape must be a list of at most %d integers", t.Name, maxRank)
	}
	t.Shape = append(t.Shape, d)
	return nil
}

func (p *inferParser) size(size *int64) error {
	n, err := p.c.number()
	if err != nil {
		return err
	}
	v, ok := n.int64(64)
	if !ok || v < 0 {
		return Errorf(InvalidArgument, "binary_data_size must be a whole number")
	}
	*size = v
	return nil
}

// takeBinary gives an input its part of the bytes behind the JSON.
func (p *inferParser) takeBinary(t *Tensor, size, want int64) error {
	if size > int64(len(p.binary)) {
		return Errorf(InvalidArgument, "input %q has binary_data_size %d, but %d bytes are left", t.Name, size, len(p.binary))
	}
	part := p.binary[:size]
	p.binary = p.binary[size:]
	if t.Type == Bytes {
		return t.splitStrings(part, want)
	}
	if size != want*int64(t.Type.Size()) {
		return Errorf(InvalidArgument, "input %q has binary_data_size %d, its shape %s and type %s need %d", t.Name, size, shapeText(t.Shape), t.Type, want*int64(t.Type.Size()))
	}
	t.Data = aligned(part)
	return nil
}

// splitStrings cuts elements that are preceded by their length in four bytes.
func (t *Tensor) splitStrings(part []byte, want int64) error {
	for len(part) >= 4 {
		n := int64(binary.LittleEndian.Uint32(part))
		if n > int64(len(part)-4) {
			break
		}
		t.Strings = append(t.Strings, part[4:4+n:4+n])
		part = part[4+n:]
	}
	if len(part) > 0 || int64(len(t.Strings)) != want {
		return Errorf(InvalidArgument, "input %q does not hold %d strings with their lengths", t.Name, want)
	}
	return nil
}

// Alignment of the numbers that models read. Whoever reads a body should place
// it so that what follows the JSON is a multiple of it; then nothing is copied.
const Alignment = 8

// aligned copies bytes to the start of a block of their own unless they are aligned already.
func aligned(b []byte) []byte {
	if len(b) == 0 || uintptr(unsafe.Pointer(unsafe.SliceData(b)))%Alignment == 0 {
		return b
	}
	words := make([]byte, (len(b)+7)/8*8)
	return words[:copy(words, b)]
}

// InferResponse is the answer to an infer request.
type InferResponse struct {
	Model, Version, ID string
	Outputs            []Tensor
}

// AppendInfer appends the answer. The second result is the length of the JSON
// part, which goes into [HeaderLength]; 0 means that all of it is JSON.
func AppendInfer(dst []byte, r InferResponse, isBinary func(output string) bool) ([]byte, int) {
	start := len(dst)
	dst = append(dst, `{"model_name":`...)
	dst = appendString(dst, []byte(r.Model))
	if r.Version != "" {
		dst = append(dst, `,"model_version":`...)
		dst = appendString(dst, []byte(r.Version))
	}
	if r.ID != "" {
		dst = append(dst, `,"id":`...)
		dst = appendString(dst, []byte(r.ID))
	}
	dst = append(dst, `,"outputs":[`...)
	var tail []byte
	behind := false
	for i := range r.Outputs {
		t := &r.Outputs[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendHead(dst, t)
		if !isBinary(t.Name) {
			dst = append(dst, `,"data":`...)
			flat := Tensor{Type: t.Type, Shape: []int64{int64(t.Len())}, Data: t.Data, Strings: t.Strings}
			dst = (&writer{t: &flat, float: appendShortest, comma: ","}).value(dst, 0, 0)
			dst = append(dst, '}')
			continue
		}
		behind = true
		before := len(tail)
		tail = t.appendBinary(tail)
		dst = append(dst, `,"parameters":{"binary_data_size":`...)
		dst = strconv.AppendInt(dst, int64(len(tail)-before), 10)
		dst = append(dst, '}', '}')
	}
	dst = append(dst, ']', '}')
	if !behind {
		return dst, 0
	}
	return append(dst, tail...), len(dst) - start
}

func appendHead(dst []byte, t *Tensor) []byte {
	dst = append(dst, `{"name":`...)
	dst = appendString(dst, []byte(t.Name))
	dst = append(dst, `,"datatype":"`...)
	dst = append(dst, t.Type.String()...)
	dst = append(dst, `","shape":[`...)
	for i, d := range t.Shape {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(dst, d, 10)
	}
	return append(dst, ']')
}

func (t *Tensor) appendBinary(dst []byte) []byte {
	if t.Type != Bytes {
		return append(dst, t.Data...)
	}
	for _, s := range t.Strings {
		dst = binary.LittleEndian.AppendUint32(dst, uint32(min(len(s), math.MaxUint32)))
		dst = append(dst, s...)
	}
	return dst
}

// AppendInferMetadata appends the answer to GET /v2/models/{name}.
func AppendInferMetadata(dst []byte, name, version string, s Signature) []byte {
	list := func(specs []Spec) []any {
		out := []any{}
		for _, spec := range specs {
			out = append(out, map[string]any{"name": spec.Name, "datatype": spec.Type.String(), "shape": append([]int64{}, spec.Shape...)})
		}
		return out
	}
	body, err := json.Marshal(map[string]any{
		"name": name, "versions": []string{version}, "platform": "onnx_onnxv1",
		"inputs": list(s.Inputs), "outputs": list(s.Outputs),
	})
	if err != nil {
		body = []byte("{}") // strings and numbers always encode
	}
	return append(append(dst, body...), '\n')
}
