package wire

import (
	"encoding/json"
	"sort"
	"strconv"
	"strings"
)

// PredictRequest is a decoded body of TensorFlow Serving's :predict.
type PredictRequest struct {
	// Signature is signature_name; empty means the only one.
	Signature string
	// Columnar is the format with "inputs"; its answer has "outputs".
	Columnar bool
	Inputs   []Tensor
}

// ParsePredict decodes a body for a model with these inputs.
func ParsePredict(body []byte, inputs []Spec) (*PredictRequest, error) {
	c := &cursor{b: body}
	req := &PredictRequest{}
	rows, columns := false, false
	if b := c.peek(); b != '{' && b != 0 {
		return nil, Errorf(InvalidArgument, "Request must be a JSON object with the key 'instances' or 'inputs'")
	}
	if c.peek() == 0 {
		return nil, c.syntax(errEmpty)
	}
	err := c.object(func(key []byte) (err error) {
		switch string(key) {
		case "signature_name":
			name, err := c.string()
			req.Signature = string(name)
			return err
		case "instances":
			rows = true
			req.Inputs, err = parseRows(c, inputs)
			return err
		case "inputs":
			columns = true
			req.Inputs, err = parseColumns(c, inputs)
			return err
		default:
			return c.skip(0)
		}
	})
	if err == nil {
		err = c.end()
	}
	switch {
	case err != nil:
		return nil, err
	case rows && columns:
		return nil, Errorf(InvalidArgument, "Both 'inputs' and 'instances' are given; a request has one of them")
	case !rows && !columns:
		return nil, Errorf(InvalidArgument, "Missing 'inputs' or 'instances' key")
	}
	req.Columnar = columns
	return req, nil
}

// parseColumns takes the value of "inputs": a tensor if the model has one
// input, or an object of tensors by name.
func parseColumns(c *cursor, inputs []Spec) ([]Tensor, error) {
	if len(inputs) == 1 && !startsNamed(c) {
		b := newBuilder(inputs[0].Type)
		if err := b.value(c, 0); err != nil {
			return nil, err
		}
		return []Tensor{b.tensor(inputs[0].Name)}, nil
	}
	if c.peek() != '{' {
		return nil, Errorf(InvalidArgument, "inputs is a plain value/list, but expecting an object as multiple input tensors required as per tensorinfo_map")
	}
	var tensors []Tensor
	err := c.object(func(key []byte) error {
		spec, ok := find(inputs, key)
		if !ok {
			return Errorf(InvalidArgument, "Unexpected named input: %s in 'inputs' object; expecting: %s", key, names(inputs))
		}
		b := newBuilder(spec.Type)
		if err := b.value(c, 0); err != nil {
			return within(err, "Failed to process 'inputs' object key: %s.", key)
		}
		tensors = append(tensors, b.tensor(spec.Name))
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, spec := range inputs {
		if !holds(tensors, spec.Name) {
			return nil, Errorf(InvalidArgument, "Missing named input: %s in 'inputs' object.", spec.Name)
		}
	}
	return tensors, nil
}

// startsNamed tells an object of tensors from a base64 value.
func startsNamed(c *cursor) bool {
	if c.peek() != '{' {
		return false
	}
	ahead := &cursor{b: c.b, i: c.i + 1}
	key, err := ahead.string()
	return err != nil || string(key) != "b64"
}

// parseRows takes the value of "instances".
func parseRows(c *cursor, inputs []Spec) ([]Tensor, error) {
	if c.peek() != '[' {
		return nil, Errorf(InvalidArgument, "Expecting 'instances' to be a list/array")
	}
	builders := make([]*builder, len(inputs))
	for i, spec := range inputs {
		builders[i] = newBuilder(spec.Type)
		builders[i].dims = []int64{-1}
	}
	size := int64(0)
	err := c.array(func(i int) error {
		size++
		return parseRow(c, i, inputs, builders)
	})
	if err != nil {
		return nil, err
	}
	tensors := make([]Tensor, len(inputs))
	for i, b := range builders {
		if err := b.close(0, size); err != nil {
			return nil, err
		}
		tensors[i] = b.tensor(inputs[i].Name)
	}
	return tensors, nil
}

func parseRow(c *cursor, i int, inputs []Spec, builders []*builder) error {
	if len(inputs) == 1 && !startsNamed(c) {
		if err := builders[0].value(c, 1); err != nil {
			return within(err, "Failed to process element: %d of 'instances' list.", i)
		}
		return nil
	}
	if c.peek() != '{' {
		return Errorf(InvalidArgument, "instances is a plain list, but expecting list of objects as multiple input tensors required as per tensorinfo_map")
	}
	start, seen := c.i, make([]bool, len(inputs))
	err := c.object(func(key []byte) error {
		k := index(inputs, key)
		if k < 0 {
			return Errorf(InvalidArgument, "Failed to process element: %d of 'instances' list. JSON object: does not have named input: %s; expecting: %s", i, key, names(inputs))
		}
		if seen[k] {
			return Errorf(InvalidArgument, "Failed to process element: %d of 'instances' list. key: %s is given twice", i, key)
		}
		seen[k] = true
		if err := builders[k].value(c, 1); err != nil {
			return within(err, "Failed to process element: %d key: %s of 'instances' list.", i, key)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, ok := range seen {
		if !ok {
			return Errorf(InvalidArgument, "Failed to process element: %d of 'instances' list. JSON object: %s keys must be equal to: %s", i, excerpt(c.b[start:c.i]), names(inputs))
		}
	}
	return nil
}

func index(specs []Spec, name []byte) int {
	for i := range specs {
		if specs[i].Name == string(name) {
			return i
		}
	}
	return -1
}

func find(specs []Spec, name []byte) (Spec, bool) {
	if i := index(specs, name); i >= 0 {
		return specs[i], true
	}
	return Spec{}, false
}

func holds(tensors []Tensor, name string) bool {
	for i := range tensors {
		if tensors[i].Name == name {
			return true
		}
	}
	return false
}

func names(specs []Spec) string {
	list := make([]string, len(specs))
	for i := range specs {
		list[i] = specs[i].Name
	}
	sort.Strings(list)
	return strings.Join(list, ",")
}

// AppendPredict appends the answer to a :predict request. Row format needs the
// same first dimension in all outputs.
func AppendPredict(dst []byte, columnar bool, outputs []Tensor) ([]byte, error) {
	if columnar {
		dst = append(dst, "{\n    \"outputs\": "...)
		if len(outputs) == 1 {
			dst = tfWriter(&outputs[0]).value(dst, 0, 0)
		} else {
			dst = appendNamed(dst, outputs, "        ", func(dst []byte, t *Tensor) []byte { return tfWriter(t).value(dst, 0, 0) })
		}
		return append(dst, "\n}\n"...), nil
	}
	batch := int64(-1)
	for i := range outputs {
		t := &outputs[i]
		if len(t.Shape) == 0 {
			return nil, Errorf(InvalidArgument, "Tensor name: %s has no batch dimension; ask in the columnar format ('inputs')", t.Name)
		}
		if batch >= 0 && batch != t.Shape[0] {
			return nil, Errorf(InvalidArgument, "Tensor name: %s has inconsistent batch size: %d expecting: %d", t.Name, t.Shape[0], batch)
		}
		batch = t.Shape[0]
	}
	dst = append(dst, "{\n    \"predictions\": "...)
	if len(outputs) == 1 {
		dst = tfWriter(&outputs[0]).value(dst, 0, 0)
	} else {
		dst = append(dst, '[')
		for row := range int(batch) {
			if row > 0 {
				dst = append(dst, ',')
			}
			dst = append(dst, "\n        "...)
			dst = appendNamed(dst, outputs, "            ", func(dst []byte, t *Tensor) []byte {
				return tfWriter(t).value(dst, 1, row*(t.Len()/int(batch)))
			})
		}
		dst = append(dst, "\n    ]"...)
	}
	return append(dst, "\n}\n"...), nil
}

func tfWriter(t *Tensor) *writer {
	return &writer{t: t, float: appendFloat, base64: strings.HasSuffix(t.Name, "_bytes"), comma: ", "}
}

func appendNamed(dst []byte, tensors []Tensor, indent string, value func([]byte, *Tensor) []byte) []byte {
	dst = append(dst, '{')
	for i := range tensors {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '\n')
		dst = append(dst, indent...)
		dst = appendString(dst, []byte(tensors[i].Name))
		dst = append(dst, ": "...)
		dst = value(dst, &tensors[i])
	}
	dst = append(dst, '\n')
	dst = append(dst, indent[4:]...)
	return append(dst, '}')
}

// Status is a model's state in the answer to GET /v1/models/{name}.
type Status struct {
	Name    string
	Version string
	Ready   bool
	// Message says why a model is not ready.
	Message string
}

// AppendStatus appends one answer with the fields of both servers that users
// come from: model_version_status of TensorFlow Serving, name and ready of KServe.
func AppendStatus(dst []byte, s Status) []byte {
	state, code := "AVAILABLE", "OK"
	if !s.Ready {
		state, code = "LOADING", "UNAVAILABLE"
	}
	body, err := json.MarshalIndent(map[string]any{
		"name": s.Name, "ready": s.Ready,
		"model_version_status": []any{map[string]any{
			"version": s.Version, "state": state,
			"status": map[string]any{"error_code": code, "error_message": s.Message},
		}},
	}, "", " ")
	if err != nil {
		body = []byte("{}") // strings and bools always encode
	}
	return append(append(dst, body...), '\n')
}

// AppendPredictMetadata appends the answer to GET /v1/models/{name}/metadata.
func AppendPredictMetadata(dst []byte, name, version string, s Signature) []byte {
	list := func(specs []Spec) map[string]any {
		out := map[string]any{}
		for _, spec := range specs {
			dims := []any{}
			for _, d := range spec.Shape {
				dims = append(dims, map[string]any{"size": strconv.FormatInt(d, 10), "name": ""})
			}
			out[spec.Name] = map[string]any{
				"dtype": spec.Type.TensorFlow(), "name": spec.Name,
				"tensor_shape": map[string]any{"dim": dims, "unknown_rank": false},
			}
		}
		return out
	}
	body, err := json.MarshalIndent(map[string]any{
		"model_spec": map[string]any{"name": name, "signature_name": "", "version": version},
		"metadata": map[string]any{"signature_def": map[string]any{"signature_def": map[string]any{DefaultSignature: map[string]any{
			"inputs": list(s.Inputs), "outputs": list(s.Outputs), "method_name": "tensorflow/serving/predict",
		}}}},
	}, "", " ")
	if err != nil {
		body = []byte("{}") // strings always encode
	}
	return append(append(dst, body...), '\n')
}

// DefaultSignature is the name of the only signature that an ONNX model has.
const DefaultSignature = "serving_default"
